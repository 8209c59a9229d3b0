"""The deformable convolution as an operator of torch: its rules, its other derivatives, autocast."""

import pytest
import torch
from support.close import assert_close
from support.deform_loops import CASES, both_versions, by_torch, called, every_case, gradients, tensors

from convnotes import deform_conv2d
from convnotes.kernels import backend
from convnotes.kernels.deform import in_torch
from convnotes.kernels.deform import operator as deform_operator
from convnotes.kernels.deform.sampling import Sampling

pytest.importorskip("numba", reason="numba is not installed")

pytestmark = pytest.mark.usefixtures("by_numba")


@pytest.mark.parametrize("name", ["torch", "numba"])
@pytest.mark.parametrize("modulated", [False, True], ids=["v1", "v2"])
def test_the_operator_keeps_torch_s_rules_under_each_backend(name, modulated):
    inputs, _ = tensors(CASES["groups-across-offset-groups"], modulated, batch=1, size=(5, 6))
    geometry = ([1, 2], [0, 1], [1, 1])
    with backend.use(name):
        torch.library.opcheck(torch.ops.convnotes.deform_conv2d, (*inputs, *geometry))
        detached = [None if t is None else t.detach() for t in inputs]
        grad = torch.randn_like(torch.ops.convnotes.deform_conv2d(*detached, *geometry))
        for needed in ([True, True, True, modulated], [False, True, False, False]):
            torch.library.opcheck(
                torch.ops.convnotes.deform_conv2d_backward, (grad, *detached, *geometry, needed)
            )  # fmt: skip


@every_case
@both_versions
def test_the_gradient_written_out_in_torch_is_that_of_autograd(case, modulated):
    inputs, options = tensors(case, modulated)
    y = called(by_torch, inputs, options)
    g = torch.randn_like(y)
    two = {name: (v, v) if isinstance(v, int) else v for name, v in options.items()}
    sampling = Sampling(two.get("stride", (1, 1)), two.get("padding", (0, 0)), two.get("dilation", (1, 1)))
    found = in_torch.backward(g, *(None if t is None else t.detach() for t in inputs), sampling, (True,) * 4)
    for a, b in zip([t for t in found if t is not None], gradients(y, inputs, g), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("mapped", range(4), ids=["input", "offset", "weight", "mask"])
def test_vmap_of_the_operator_and_of_its_gradient_is_a_loop(mapped):
    inputs, _ = tensors(CASES["offset-groups-across-groups"])
    values, geometry = [t.detach() for t in inputs], ([1, 1], [1, 1], [1, 1])
    values[mapped] = torch.stack([values[mapped], values[mapped] * 0.5, values[mapped] * 0.7])
    dims = tuple(0 if n == mapped else None for n in range(4))
    grad = torch.randn(2, 6, 11, 7, dtype=torch.float64)
    needed = [True, mapped != 1, True, False]

    def forward(*given):
        return torch.ops.convnotes.deform_conv2d(*given, *geometry)

    def backward(*given):
        return torch.ops.convnotes.deform_conv2d_backward(grad, *given, *geometry, needed)

    each = [[v[i] if n == mapped else v for n, v in enumerate(values)] for i in range(3)]
    assert_close(torch.vmap(forward, dims)(*values), torch.stack([forward(*one) for one in each]))
    chosen = [n for n in range(4) if needed[n]]
    loop = [backward(*one) for one in each]
    found = torch.vmap(lambda *given: [backward(*given)[n] for n in chosen], dims)(*values)
    for n, a in zip(chosen, found, strict=True):
        assert_close(a, torch.stack([one[n] for one in loop]))


def test_derivatives_beyond_the_first_and_forward_mode_go_through_torch():
    inputs, options = tensors((3, 2, (2, 2), 1, 1, dict()), batch=1, size=(4, 3))

    def call(*given):
        return called(deform_conv2d, given, options)

    assert torch.autograd.gradcheck(call, inputs, fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, inputs, fast_mode=True, check_fwd_over_rev=True)
    values = [t.detach() for t in inputs]
    per_sample = torch.func.jacrev(lambda w: call(values[0], values[1], w, values[3]).sum((2, 3)))(values[2])
    assert per_sample.shape == (1, 2, 2, 3, 2, 2)


def test_training_multiply_adds_are_those_of_the_plain_path():
    from torch.utils.flop_counter import FlopCounterMode

    inputs, options = tensors(CASES["tails"])
    counts = []
    for name in ("torch", "numba"):
        with backend.use(name), FlopCounterMode(display=False) as counter:
            y = called(deform_conv2d, inputs, options)
            y.sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] == 3 * 2 * y.numel() * inputs[2][0].numel()


def test_autocast_gives_low_precision_as_plain_torch_does():
    inputs, options = tensors(CASES["tails"], dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert called(deform_conv2d, inputs, options).dtype == torch.bfloat16


def test_autocast_reads_and_sums_in_float32_and_mixes_dtypes(monkeypatch):
    inputs, options = tensors(CASES["tails"], dtype=torch.float32)
    inputs[0] = inputs[0].detach().bfloat16().requires_grad_()  # as it comes from a convolution
    wide = [t.detach().float().requires_grad_() for t in inputs]
    expected = called(deform_conv2d, wide, options)
    g = torch.randn_like(expected).bfloat16()
    monkeypatch.setattr(in_torch, "forward", None)  # the operator alone
    with torch.autocast("cpu", torch.bfloat16):
        y = called(deform_conv2d, inputs, options)
        assert torch.equal(torch.ops.convnotes.deform_conv2d(*inputs, [2, 1], [0, 2], [1, 1]), expected)
    assert torch.equal(y, expected.bfloat16())
    for a, b in zip(gradients(y, inputs, g), gradients(expected, wide, g.float()), strict=True):
        assert torch.equal(a, b.to(a.dtype))


def test_autocast_leaves_float64_as_it_is():
    inputs, options = tensors(CASES["tails"])
    with torch.autocast("cpu", torch.bfloat16):
        y = called(deform_conv2d, inputs, options)
    assert torch.equal(y, called(deform_conv2d, inputs, options))


def test_under_autocast_it_is_compiled_as_one_graph():
    inputs, options = tensors(CASES["tails"], dtype=torch.float32)

    def autocast(*inputs):
        with torch.autocast("cpu", torch.bfloat16):
            return called(deform_conv2d, inputs, options)

    torch.compiler.reset()
    compiled = torch.compile(autocast, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*inputs), autocast(*inputs))


def test_traced_for_another_device_no_pixel_reaches_a_sample_at_minus_1(monkeypatch):
    """With padding 1 and no offset every sample of the border stands there, with weight 0 on the pixels inside."""
    monkeypatch.setattr(deform_operator, "_as_one_operator", lambda *_: False)  # as on a GPU
    x, offset = torch.randn(2, 4, 6, 5, dtype=torch.float64), torch.zeros(2, 18, 6, 5, dtype=torch.float64)
    weight, mask = torch.randn(3, 4, 3, 3, dtype=torch.float64), torch.rand(2, 9, 6, 5, dtype=torch.float64)
    torch.compiler.reset()
    traced = torch.compile(deform_conv2d, fullgraph=True, backend="aot_eager")
    for pixel in (0.5, torch.nan, torch.inf):
        x[0, 1, 0, 2] = x[1, 0, 3, 4] = pixel
        leaves = [t.clone().requires_grad_() for t in (x, offset, weight, mask)]
        x_, offset_, weight_, mask_ = leaves
        found = []
        for call in (traced, deform_conv2d):
            y = call(x_, offset_, weight_, None, 1, 1, 1, mask_)
            found.append((y, *torch.autograd.grad(y.nan_to_num(0, 0, 0).sin().sum(), leaves)))
        for ours, expected in zip(*found, strict=True):
            torch.testing.assert_close(ours, expected, equal_nan=True)
