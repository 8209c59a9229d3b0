import pytest
import torch
from support.close import assert_close

from convnotes import definitions, non_local2d
from convnotes.kernels.attention import operator as attention
from convnotes.measure import peak_memory

SIZES = {  # (channels of query and key, channels of value, query's places, key's places)
    "alike": (4, 4, (11, 7), (11, 7)),
    "wide-values": (3, 6, (11, 7), (5, 3)),
    "wide-queries": (6, 3, (5, 3), (11, 7)),
}
every_size = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
every_batch = pytest.mark.parametrize("batch", [1, 3])
FORMATS = [torch.contiguous_format, torch.channels_last]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks that fit into the maps of the tests, and leave a part of one over at either end."""
    monkeypatch.setattr(attention, "_queries", lambda q: 10)
    monkeypatch.setattr(attention, "_KEYS", 6)


@pytest.fixture
def taken(monkeypatch):
    """The calls that went by blocks."""
    calls, own = [], attention._backward
    monkeypatch.setattr(attention, "_backward", lambda *given: calls.append(1) or own(*given))
    return calls


def tensors(size, batch=2, dtype=torch.float64):
    D, C, places, keys = size
    shapes = (batch, D, *places), (batch, D, *keys), (batch, C, *keys)
    return [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]


@every_size
@every_batch
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
def test_gradients_by_blocks_are_those_of_the_definition(size, batch, memory_format, taken):
    given = [t.detach().contiguous(memory_format=memory_format).requires_grad_() for t in tensors(size, batch)]
    y, expected = non_local2d(*given, scale=0.7), definitions.non_local(*given, "gaussian", 0.7)
    assert_close(y, expected)
    gradient = torch.randn_like(expected)
    found = torch.autograd.grad(y, given, gradient)
    assert taken
    for one, other in zip(found, torch.autograd.grad(expected, given, gradient), strict=True):
        assert_close(one, other)
        assert one.is_contiguous(memory_format=memory_format)


def test_a_sum_hands_back_one_number_for_all_places(taken):
    given = tensors(SIZES["alike"])
    found = torch.autograd.grad(non_local2d(*given).sum(), given)
    expected = torch.autograd.grad(definitions.non_local(*given, "gaussian", 1.0).sum(), given)
    assert taken
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)


@every_size
def test_derivatives_of_second_order_are_the_numerical_ones(size):
    given = tensors(size, batch=1)
    assert torch.autograd.gradcheck(non_local2d, given, fast_mode=True, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(non_local2d, given, fast_mode=True, check_fwd_over_rev=True)


def test_only_what_asks_for_a_gradient_gets_one():
    query, key, value = tensors(SIZES["alike"])
    non_local2d(query.detach(), key, value.detach()).sum().backward()
    assert [t.grad is not None for t in (query, key, value)] == [False, True, False]


def test_nan_goes_its_way(taken):
    query, key, value = tensors(SIZES["alike"], batch=1)
    with torch.no_grad():
        query[0, 0, 3, 3] = torch.nan
    y = non_local2d(query, key, value)
    y.sum().backward()
    assert taken
    assert y.isnan().sum() == y[0, :, 3, 3].isnan().sum() == y.shape[1]
    assert query.grad.isnan().sum() == query.shape[1]
    assert all(t.grad.isnan().all() for t in (key, value))


def test_an_output_changed_in_place_is_noticed():
    given = tensors(SIZES["alike"])
    y = non_local2d(*given)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("batch", [1, 3])
def test_the_number_of_threads_changes_no_bit(batch, taken):
    given = tensors((8, 8, (20, 20), (20, 20)), batch, dtype=torch.float32)
    gradient, before, found = torch.randn(batch, 8, 20, 20), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(torch.autograd.grad(non_local2d(*given), given, gradient))
    finally:
        torch.set_num_threads(before)
    assert len(taken) == 2
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_half_precision_and_autocast_are_left_to_torch(taken):
    non_local2d(*tensors(SIZES["alike"], dtype=torch.bfloat16)).sum().backward()
    with torch.autocast("cpu"):
        y = non_local2d(*tensors(SIZES["alike"], dtype=torch.float32))
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    assert not taken


@pytest.mark.parametrize(("side", "most"), [(80, 5), (128, 10)], ids=str)
def test_training_takes_little_more_than_the_output_and_the_gradients(side, most, monkeypatch, taken):
    """Of 32 channels in float32, one map is side² / 8192 MiB. Beside four, the copies of two blocks are made."""
    monkeypatch.undo()
    given = tensors((32, 32, (side, side), (side, side)), batch=1, dtype=torch.float32)
    gradient = torch.randn(1, 32, side, side)
    peak = peak_memory(lambda: torch.autograd.grad(non_local2d(*given), given, gradient))
    assert 4 * side**2 / 8192 < peak / 2**20 <= most
