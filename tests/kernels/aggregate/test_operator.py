"""The aggregation as an operator of torch: its rules, its other derivatives, autocast."""

import pytest
import torch
from support.aggregate_calls import CASES, every_case, gradients, tensors
from support.close import assert_close, assert_same

from convnotes import definitions, deform_aggregate2d
from convnotes.kernels import backend
from convnotes.kernels.aggregate import in_torch
from convnotes.kernels.aggregate.sampling import Taps

pytestmark = pytest.mark.usefixtures("each_backend")
GEOMETRY = ([3, 3], [1, 1], [1, 1], [1, 1])


@every_case
def test_plain_torch_is_the_definition_and_its_written_out_gradient_that_of_autograd(case):
    inputs, options = tensors(case)
    with backend.use("torch"):
        assert_same(deform_aggregate2d(*inputs, **options), definitions.deform_aggregate2d(*inputs, **options), inputs)
        y = deform_aggregate2d(*inputs, **options)
    if "offset_scale" in options or "remove_center" in options or options.get("padding") == "same":
        return
    g, two = torch.randn_like(y), {n: (v, v) if isinstance(v, int) else v for n, v in options.items()}
    given = (two.get("stride", (1, 1)), two.get("padding", (0, 0)), two.get("dilation", (1, 1)))
    taps = Taps(options["kernel_size"], *given)
    found = in_torch.backward(g, *(t.detach() for t in inputs), taps, (True,) * 3)
    for a, b in zip(found, gradients(y, inputs, g), strict=True):
        assert_close(a, b)


def test_the_gradient_keeps_torch_s_rules():
    inputs, _ = tensors(CASES["groups"], batch=1, size=(5, 6))
    detached = [t.detach() for t in inputs]
    grad = torch.randn_like(torch.ops.convnotes.deform_aggregate2d(*detached, *GEOMETRY))
    for needed in ([True, True, True], [False, True, False]):
        torch.library.opcheck(
            torch.ops.convnotes.deform_aggregate2d_backward, (grad, *detached, *GEOMETRY, needed)
        )  # fmt: skip


@pytest.mark.parametrize("name", ["groups", "scaled", "scaled-no-middle"])
def test_derivatives_of_both_modes_and_of_second_order_are_the_numerical_ones(name):
    _, G, kernel, options = CASES[name]
    inputs, options = tensors((2 * G, G, kernel, options), batch=1, size=(5, 4))

    def call(*given):
        return deform_aggregate2d(*given, **options)

    assert torch.autograd.gradcheck(call, inputs, fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, inputs, fast_mode=True, check_fwd_over_rev=True)


@pytest.mark.parametrize("mapped", range(3), ids=["input", "offset", "mask"])
def test_vmap_is_a_loop(mapped):
    inputs, options = tensors(CASES["scaled"])
    values = [t.detach() for t in inputs]
    values[mapped] = torch.stack([values[mapped], values[mapped] * 0.5, values[mapped] * 0.7])
    each = [[v[i] if n == mapped else v for n, v in enumerate(values)] for i in range(3)]
    dims = tuple(0 if n == mapped else None for n in range(3))
    found = torch.vmap(lambda *t: deform_aggregate2d(*t, **options), dims)(*values)
    assert_close(found, torch.stack([deform_aggregate2d(*one, **options) for one in each]))


@pytest.mark.parametrize("name", ["groups", "scaled-no-middle"])
def test_autocast_reads_and_sums_in_float32_and_mixes_dtypes(name):
    inputs, options = tensors(CASES[name], torch.float32)
    inputs[0] = inputs[0].detach().bfloat16().requires_grad_()  # as it comes from a convolution
    wide = [t.detach().float().requires_grad_() for t in inputs]
    expected = deform_aggregate2d(*wide, **options)
    g = torch.randn_like(expected).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = deform_aggregate2d(*inputs, **options)
    assert y.dtype == torch.bfloat16
    assert_close(y.float(), expected.bfloat16().float())
    for a, b in zip(gradients(y, inputs, g), gradients(expected, wide, g.float()), strict=True):
        assert_close(a.float(), b.to(a.dtype).float())


@pytest.mark.parametrize("name", ["groups", "scaled", "scaled-no-middle"])
def test_compiled_it_is_one_graph_with_the_same_gradients(name):
    inputs, options = tensors(CASES[name])
    torch.compiler.reset()
    compiled = torch.compile(lambda *t: deform_aggregate2d(*t, **options), fullgraph=True, backend="aot_eager")
    assert_same(compiled(*inputs), deform_aggregate2d(*inputs, **options), inputs)
