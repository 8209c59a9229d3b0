"""The compiled loops against the definition, and against plain torch where no definition holds."""

import itertools
import subprocess
import sys

import pytest
import torch
from support.close import assert_close

from convnotes import definitions, deform_conv2d
from convnotes.geometry import output_size
from convnotes.kernels import backend
from convnotes.kernels.deform import in_torch
from convnotes.kernels.deform.sampling import Sampling
from convnotes.measure import peak_memory

pytest.importorskip("numba", reason="numba is not installed")

# channels, outputs, kernel, groups of the weight, offset groups, options: channels fill vectors of 16 or 8, or do not
CASES = {
    "one-channel": (1, 2, (3, 3), 1, 1, dict()),
    "tails": (35, 5, (3, 2), 1, 1, dict(stride=(2, 1), padding=(0, 2))),
    "whole-vectors": (32, 4, (2, 3), 1, 2, dict(padding=(1, 2), dilation=(2, 1))),
    "offset-groups-across-groups": (36, 6, (3, 3), 2, 3, dict(padding=1)),
    "groups-across-offset-groups": (36, 6, (1, 3), 3, 2, dict(padding=(0, 1), stride=(1, 2))),
    "depthwise": (8, 16, (3, 3), 8, 4, dict(padding=2, dilation=2)),
    "pointwise": (20, 7, (1, 1), 1, 1, dict()),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
both_versions = pytest.mark.parametrize("modulated", [False, True], ids=["v1", "v2"])


@pytest.fixture(autouse=True)
def _by_numba():
    with backend.use("numba"):
        yield


def tensors(case, modulated=True, dtype=torch.float64, batch=2, size=(11, 7)):
    """input, offset (between −4 and 4, away from whole numbers), weight and mask, and the options."""
    C, O, kernel, groups, offset_groups, options = case
    places, taps = output_size(size, kernel, **options), kernel[0] * kernel[1] * offset_groups
    offset = torch.randint(-4, 4, (batch, 2 * taps, *places)) + 0.1 + 0.8 * torch.rand(batch, 2 * taps, *places)
    made = [
        torch.randn(batch, C, *size),
        offset,
        torch.randn(O, C // groups, *kernel),
        torch.rand(batch, taps, *places) if modulated else None,
    ]
    return [None if t is None else t.to(dtype).requires_grad_() for t in made], options


def called(function, inputs, options):
    input, offset, weight, mask = inputs
    return function(input, offset, weight, **options, mask=mask)


def by_torch(input, offset, weight, **options):
    with backend.use("torch"):
        return deform_conv2d(input, offset, weight, **options)


def gradients(y, inputs, g):
    return torch.autograd.grad(y, [t for t in inputs if t is not None], g)


@every_case
@both_versions
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "NHWC"])
def test_forward_and_gradient_match_the_definition(case, modulated, memory):
    inputs, options = tensors(case, modulated)
    inputs[0] = inputs[0].detach().contiguous(memory_format=memory).requires_grad_()
    ours, expected = called(deform_conv2d, inputs, options), called(definitions.deform_conv2d, inputs, options)
    assert_close(ours, expected)
    g = torch.randn_like(expected)
    for a, b in zip(gradients(ours, inputs, g), gradients(expected, inputs, g), strict=True):
        assert_close(a, b)


@every_case
def test_float32_errs_at_most_twice_as_much_as_the_definition(case):
    inputs, options = tensors(case, dtype=torch.float32)
    doubles = [t.detach().double().requires_grad_() for t in inputs]
    exact, defined = (called(definitions.deform_conv2d, given, options) for given in (doubles, inputs))
    g = torch.randn_like(defined)
    ours = called(deform_conv2d, inputs, options)
    rows = zip(
        (ours, *gradients(ours, inputs, g)),
        (defined, *gradients(defined, inputs, g)),
        (exact, *gradients(exact, doubles, g.double())),
        strict=True,
    )
    for one, other, true in rows:
        error, its = ((t.double() - true).abs().max() for t in (one, other))
        assert error <= 2 * its + 1e-5 * true.abs().max()


def test_many_chunks_and_blocks_of_pictures_are_one(monkeypatch):
    from convnotes.kernels.deform import in_numba

    inputs, options = tensors(CASES["tails"], batch=5)
    whole = called(deform_conv2d, inputs, options)
    g = torch.randn_like(whole)
    expected = (whole, *gradients(whole, inputs, g))
    monkeypatch.setattr(in_numba, "_COLUMNS", 20_000)
    monkeypatch.setattr(in_numba, "_PICTURES", 50_000)
    pieces = called(deform_conv2d, inputs, options)
    for a, b in zip((pieces, *gradients(pieces, inputs, g)), expected, strict=True):
        assert_close(a, b)


SPECIAL = [torch.nan, torch.inf, -torch.inf, 1e30, -1e30, 2.0**31, -(2.0**63), -1.0, 0.0, 1.0, 0.5, 10.0, 11.0, -12.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@both_versions
def test_special_offsets_give_what_plain_torch_gives(modulated, dtype):
    """NaN, infinities and numbers past every index, on pixels and on the border: in each direction with each other."""
    inputs, options = tensors((5, 3, (1, 1), 1, 1, dict(padding=1)), modulated, dtype, size=(11, 14))
    pairs = torch.tensor(list(itertools.product(SPECIAL, SPECIAL)), dtype=dtype)
    order = torch.randint(len(pairs), inputs[1][:, 0].shape)
    order[0].view(-1)[: len(pairs)] = torch.arange(len(pairs))
    with torch.no_grad():
        inputs[1].copy_(pairs[order].movedim(-1, 1))
    ours, expected = called(deform_conv2d, inputs, options), called(by_torch, inputs, options)
    torch.testing.assert_close(ours, expected, equal_nan=True, rtol=1e-5, atol=1e-5)
    assert ours.isnan().any()
    assert ours.isfinite().any()
    g = torch.randn_like(ours)
    for a, b in zip(gradients(ours, inputs, g), gradients(expected, inputs, g), strict=True):
        torch.testing.assert_close(a, b, equal_nan=True, rtol=1e-5, atol=1e-5)


def test_all_nan_offsets_touch_no_memory_of_others():
    x, weight = torch.randn(1, 3, 5, 4), torch.randn(2, 3, 3, 3)
    offset = torch.full((1, 18, 5, 4), torch.nan, requires_grad=True)
    x.requires_grad_()
    y = deform_conv2d(x, offset, weight, padding=1)
    assert y.isnan().all()
    y.sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))


@both_versions
def test_the_same_bits_come_out_on_one_thread_and_on_two(modulated):
    inputs, options = tensors((40, 16, (3, 3), 1, 2, dict(padding=1)), modulated, torch.float32, size=(28, 30))
    g = torch.randn(2, 16, 28, 30)

    def run(threads):
        torch.set_num_threads(threads)
        y = called(deform_conv2d, inputs, options)
        x, offset, _, *mask = gradients(y, inputs, g)  # torch sums the product for the weight as it likes
        return y, x, offset, *mask

    first = run(1)
    for threads in (2, 2, 3):
        for a, b in zip(first, run(threads), strict=True):
            assert torch.equal(a, b)


@both_versions
def test_an_empty_batch_has_an_empty_result_and_zero_gradients(modulated):
    inputs, options = tensors(CASES["tails"], modulated, batch=0)
    y = called(deform_conv2d, inputs, options)
    assert y.shape == (0, 5, 5, 10)
    by_input, by_offset, by_weight, *_ = gradients(y, inputs, y)
    assert by_input.shape == inputs[0].shape
    assert by_offset.shape == inputs[1].shape
    assert torch.equal(by_weight, torch.zeros_like(inputs[2]))


def test_strides_do_not_matter():
    inputs, options = tensors(CASES["offset-groups-across-groups"])
    y = called(deform_conv2d, inputs, options)
    g = torch.randn_like(y)
    wide = [torch.stack([t, torch.full_like(t, torch.nan)], -1)[..., 0] for t in inputs]
    z = called(deform_conv2d, wide, options)
    assert_close(z, y)
    strided = torch.stack([g, torch.full_like(g, torch.nan)], -1)[..., 0]
    for a, b in zip(gradients(z, inputs, strided), gradients(y, inputs, g), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("needed", [n for n in itertools.product((0, 1), repeat=4) if any(n)], ids=str)
def test_each_gradient_comes_alone_and_in_any_company(needed):
    inputs, options = tensors(CASES["whole-vectors"])
    y = called(deform_conv2d, inputs, options)
    g = torch.randn_like(y)
    expected = gradients(y, inputs, g)
    some = [t.detach().requires_grad_(bool(n)) for t, n in zip(inputs, needed, strict=True)]
    wanted = [t for t in some if t.requires_grad]
    found = torch.autograd.grad(called(deform_conv2d, some, options), wanted, g)
    for a, b in zip(found, itertools.compress(expected, needed), strict=True):
        assert_close(a, b)


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


def test_what_is_kept_for_the_gradient_is_what_was_given():
    inputs, options = tensors((16, 16, (3, 3), 1, 1, dict(padding=1)), dtype=torch.float32, size=(32, 32))
    y = 2 * 16 * 32 * 32 * 4
    assert peak_memory(lambda: called(deform_conv2d, inputs, options)) <= y + 4096


def test_the_first_call_tells_of_the_compilation_once_and_others_say_nothing(tmp_path):
    code = """
import torch
from convnotes import deform_conv2d
x, w = torch.randn(1, 2, 5, 5, requires_grad=True), torch.randn(3, 2, 3, 3)
for _ in range(2):
    deform_conv2d(x, torch.randn(1, 18, 3, 3), w).sum().backward()
"""
    import os

    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "CONVNOTES_BACKEND": "numba"}
    first, second = (
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert first.stderr.count("numba compiles") == 1
    assert second.stderr == ""
