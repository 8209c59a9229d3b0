"""The compiled loops of the aggregation: against plain torch, in every format, and what they take of memory."""

import itertools

import pytest
import torch
from support.aggregate_calls import CASES, every_case, gradients, tensors
from support.close import assert_close, assert_same

from convnotes import definitions, deform_aggregate2d
from convnotes.kernels import backend
from convnotes.measure import peak_memory

pytest.importorskip("numba", reason="numba is not installed")

pytestmark = pytest.mark.usefixtures("by_numba")
FORMATS = [torch.contiguous_format, torch.channels_last]
SPECIAL = [torch.nan, torch.inf, -torch.inf, 1e30, 2.0**31, -1.0, 0.0, 1.0, 0.5, 10.0, 11.0, -12.0]


def by_torch(*inputs, **options):
    with backend.use("torch"):
        return deform_aggregate2d(*inputs, **options)


@every_case
@pytest.mark.parametrize("memory", FORMATS, ids=["NCHW", "NHWC"])
def test_forward_and_gradient_match_the_definition(case, memory):
    inputs, options = tensors(case, memory=memory)
    assert_same(deform_aggregate2d(*inputs, **options), definitions.deform_aggregate2d(*inputs, **options), inputs)


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_it_errs_at_most_twice_as_much_as_plain_torch(case, dtype):
    inputs, options = tensors(case, dtype)
    doubles = [t.detach().double().requires_grad_() for t in inputs]
    exact = by_torch(*doubles, **options)
    g = torch.randn_like(exact).to(dtype)
    rows = [(exact, *gradients(exact, doubles, g.double()))]
    for function in (deform_aggregate2d, by_torch):
        y = function(*inputs, **options)
        rows.append((y, *gradients(y, inputs, g)))
    for true, one, other in zip(*rows, strict=True):
        assert one.dtype == dtype
        error, its = ((t.double() - true).abs().max() for t in (one, other))
        assert error <= 2 * its + 1e-5 * true.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["whole-vectors", "groups", "scaled-no-middle"])
def test_channels_stay_last_and_no_other_order_changes_a_bit(name, dtype):
    inputs, options = tensors(CASES[name], dtype)
    found = []
    for memory in FORMATS:
        inputs[0] = inputs[0].detach().contiguous(memory_format=memory).requires_grad_()
        y = deform_aggregate2d(*inputs, **options)
        torch.manual_seed(1)
        found.append((y, *gradients(y, inputs, torch.randn(y.shape).to(dtype))))
        assert all(t.is_contiguous(memory_format=memory) for t in found[-1][:2])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("memory", FORMATS, ids=["NCHW", "NHWC"])
def test_the_same_bits_come_out_on_one_thread_and_on_two(groups, memory):
    inputs, options = tensors((64, groups, (3, 3), dict(padding=1)), torch.float32, size=(28, 30), memory=memory)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        y = deform_aggregate2d(*inputs, **options)
        torch.manual_seed(1)
        found.append((y, *gradients(y, inputs, torch.randn(y.shape))))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_many_chunks_and_blocks_of_images_are_one(monkeypatch):
    from convnotes.kernels.aggregate import in_numba as aggregate
    from convnotes.kernels.deform import in_numba as deform

    inputs, options = tensors(CASES["groups"], batch=5)
    whole = deform_aggregate2d(*inputs, **options)
    g = torch.randn_like(whole)
    expected = (whole, *gradients(whole, inputs, g))
    monkeypatch.setattr(deform, "_COLUMNS", 20_000)
    monkeypatch.setattr(deform, "_PICTURES", 50_000)
    monkeypatch.setattr(aggregate, "_LOCATED", 1)
    pieces = deform_aggregate2d(*inputs, **options)
    for a, b in zip((pieces, *gradients(pieces, inputs, g)), expected, strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_special_offsets_give_what_plain_torch_gives(dtype):
    """NaN, infinities and numbers past every index, on pixels and on the border: in each direction with each other."""
    inputs, options = tensors((5, 1, (1, 1), dict(padding=1)), dtype, size=(11, 14))
    pairs = torch.tensor(list(itertools.product(SPECIAL, SPECIAL)), dtype=dtype)
    order = torch.randint(len(pairs), inputs[1][:, 0].shape)
    order[0].view(-1)[: len(pairs)] = torch.arange(len(pairs))
    with torch.no_grad():
        inputs[1].copy_(pairs[order].movedim(-1, 1))
    ours, expected = deform_aggregate2d(*inputs, **options), by_torch(*inputs, **options)
    torch.testing.assert_close(ours, expected, equal_nan=True, rtol=1e-5, atol=1e-5)
    assert ours.isnan().any()
    assert ours.isfinite().any()
    g = torch.randn_like(ours)
    for a, b in zip(gradients(ours, inputs, g), gradients(expected, inputs, g), strict=True):
        torch.testing.assert_close(a, b, equal_nan=True, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("needed", [n for n in itertools.product((0, 1), repeat=3) if any(n)], ids=str)
def test_each_gradient_comes_alone_and_in_any_company(needed):
    inputs, options = tensors(CASES["whole-vectors"])
    y = deform_aggregate2d(*inputs, **options)
    g = torch.randn_like(y)
    expected = gradients(y, inputs, g)
    some = [t.detach().requires_grad_(bool(n)) for t, n in zip(inputs, needed, strict=True)]
    found = gradients(deform_aggregate2d(*some, **options), [t for t in some if t.requires_grad], g)
    for a, b in zip(found, itertools.compress(expected, needed), strict=True):
        assert_close(a, b)


def test_nothing_is_kept_for_the_gradient_but_what_was_given():
    inputs, options = tensors((16, 1, (3, 3), dict(padding=1)), torch.float32, size=(32, 32))
    y = 2 * 16 * 32 * 32 * 4
    before = peak_memory(lambda: deform_aggregate2d(*(t.detach() for t in inputs), **options))
    assert peak_memory(lambda: deform_aggregate2d(*inputs, **options)) <= max(before, y) + 4096


@pytest.mark.parametrize("memory", FORMATS, ids=["NCHW", "NHWC"])
def test_beside_what_goes_in_and_out_it_takes_little_memory(memory):
    """64 channels of 128² pixels are 4 MiB, a table of them where channels are not last; columns would be 36 MiB."""
    from convnotes.kernels.aggregate import in_numba
    from convnotes.kernels.aggregate.sampling import Taps

    inputs, _ = tensors((64, 4, (3, 3), dict(padding=1)), torch.float32, 1, (128, 128), memory)
    given = *(t.detach() for t in inputs), Taps((3, 3), (1, 1), (1, 1), (1, 1))
    g, table = torch.randn_like(given[0]), 0 if memory == torch.channels_last else 4
    forward = peak_memory(lambda: in_numba.forward(*given)) / 2**20
    backward = peak_memory(lambda: in_numba.backward(g, *given, (True,) * 3)) / 2**20
    returned = 4 + 4.5 + 2.25  # the gradients of the input, offset and mask
    assert 4 <= forward <= 4 + 2 * table + 2.5  # beside the result
    assert returned <= backward <= returned + 3 * table + 4.5


def test_strides_do_not_matter():
    inputs, options = tensors(CASES["groups"])
    y = deform_aggregate2d(*inputs, **options)
    g = torch.randn_like(y)
    wide = [torch.stack([t, torch.full_like(t, torch.nan)], -1)[..., 0] for t in inputs]
    z = deform_aggregate2d(*wide, **options)
    assert_close(z, y)
    strided = torch.stack([g, torch.full_like(g, torch.nan)], -1)[..., 0]
    for a, b in zip(gradients(z, inputs, strided), gradients(y, inputs, g), strict=True):
        assert_close(a, b)


def test_an_empty_batch_gives_nothing_and_zero_gradients():
    inputs, options = tensors(CASES["groups"], batch=0)
    y = deform_aggregate2d(*inputs, **options)
    assert y.shape == (0, 36, 11, 7)
    assert [g.shape for g in gradients(y, inputs, y)] == [t.shape for t in inputs]
