"""The compiled loops against the definition, and against plain torch where no definition holds."""

import itertools
import subprocess
import sys

import pytest
import torch
from support.close import assert_close, assert_same
from support.deform_loops import CASES, both_versions, by_torch, called, every_case, gradients, tensors

from convnotes import definitions, deform_conv2d
from convnotes.measure import peak_memory

pytest.importorskip("numba", reason="numba is not installed")

pytestmark = pytest.mark.usefixtures("by_numba")
FORMATS = [torch.contiguous_format, torch.channels_last]
every_format = pytest.mark.parametrize("memory", FORMATS, ids=["NCHW", "NHWC"])


@every_case
@both_versions
@every_format
def test_forward_and_gradient_match_the_definition(case, modulated, memory):
    inputs, options = tensors(case, modulated)
    inputs[0] = inputs[0].detach().contiguous(memory_format=memory).requires_grad_()
    ours, expected = called(deform_conv2d, inputs, options), called(definitions.deform_conv2d, inputs, options)
    assert_same(ours, expected, inputs)


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


@every_case
@every_format
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_errs_at_most_twice_as_much_as_plain_torch(case, memory, dtype):
    inputs, options = tensors(case, dtype=dtype)
    inputs[0] = inputs[0].detach().contiguous(memory_format=memory).requires_grad_()
    doubles = [t.detach().double().requires_grad_() for t in inputs]
    exact = called(by_torch, doubles, options)
    g = torch.randn_like(exact).to(dtype)
    rows = [(exact, *gradients(exact, doubles, g.double()))]
    for function in (deform_conv2d, by_torch):
        y = called(function, inputs, options)
        rows.append((y, *gradients(y, inputs, g)))
    for true, one, other in zip(*rows, strict=True):
        assert one.dtype == dtype
        error, its = ((t.double() - true).abs().max() for t in (one, other))
        assert error <= 2 * its + 1e-5 * true.abs().max()


@both_versions
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", [CASES["whole-vectors"], CASES["offset-groups-across-groups"]], ids=["one", "groups"])
def test_channels_stay_last_and_no_other_order_changes_a_bit(case, modulated, dtype):
    inputs, options = tensors(case, modulated, dtype)
    found = []
    for memory in FORMATS:
        inputs[0] = inputs[0].detach().contiguous(memory_format=memory).requires_grad_()
        y = called(deform_conv2d, inputs, options)
        torch.manual_seed(1)
        g = torch.randn(y.shape).to(dtype)
        found.append((y, *gradients(y, inputs, g)))
        assert all(t.is_contiguous(memory_format=memory) for t in found[-1][:2])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


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


def test_what_is_kept_for_the_gradient_is_what_was_given():
    inputs, options = tensors((16, 16, (3, 3), 1, 1, dict(padding=1)), dtype=torch.float32, size=(32, 32))
    y = 2 * 16 * 32 * 32 * 4
    assert peak_memory(lambda: called(deform_conv2d, inputs, options)) <= y + 4096


def test_channels_last_are_read_where_they_are():
    """64 channels of 128² pixels are 4 MiB, and so is a table of them; columns are 2 MiB."""
    from convnotes.kernels.deform import in_numba
    from convnotes.kernels.deform.sampling import Sampling

    inputs, _ = tensors((64, 64, (1, 1), 1, 1, dict()), dtype=torch.float32, batch=1, size=(128, 128))
    x, *others = (t.detach() for t in inputs)
    given = *others, Sampling((1, 1), (0, 0), (1, 1))
    for memory, table in zip(FORMATS, (4, 0), strict=True):
        x = x.contiguous(memory_format=memory)
        g = torch.randn_like(x)
        calls = lambda: in_numba.forward(x, *given), lambda: in_numba.backward(g, x, *given, (True,) * 4)  # noqa: B023
        forward, backward = (peak_memory(call) / 2**20 for call in calls)
        assert 4 + table <= forward <= 4 + table + 2.5  # beside the result
        assert 4 + 3 * table <= backward <= 4 + 3 * table + 2.5  # of the gradients of the result and the input too


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
