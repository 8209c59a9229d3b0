"""The digits of the non-local operator, and the memory that it takes: never that of all pairs."""

import json

import pytest
import torch
from support.close import assert_same
from support.largest import Largest
from support.non_local_calls import SIZES, defined, every_mode, ours, tensors

from convnotes import definitions, non_local2d


@pytest.mark.parametrize("case", ["ties", "all equal", "on the edge", "all seen", "none seen"])
def test_concatenation_is_exact_where_sorting_has_nothing_to_go_by(case):
    """Small integers make ties in b, and pairs with a + b = 0 exactly, where ReLU and its derivative are 0."""
    D, C, places, keys = 2, 3, (11, 7), (5, 4)
    q, k = (torch.randint(-2, 3, (2, D, *size)).double() for size in (places, keys))
    if case == "all equal":
        k = torch.ones_like(k)
    if case == "on the edge":
        q, k = torch.ones_like(q), -torch.ones_like(k)
    q = q + {"all seen": 9, "none seen": -9}.get(case, 0)
    value, relation = torch.randn(2, C, *keys, dtype=torch.float64), torch.ones(2 * D, dtype=torch.float64)
    given = [t.requires_grad_() for t in (q, k, value, relation)]
    actual = ours("concat", *given)
    assert_same(actual, defined("concat", *given), given)
    assert bool(actual.any()) == (case not in ("on the edge", "none seen"))


# Float32 products of torch 2.6 lose more digits in a sum of 1,600 terms: all pairs err by 1.3 millionths with it.
OF_A_PRODUCT = 2e-6 if torch.__version__ < "2.7" else 1e-6


@pytest.mark.parametrize(("mode", "error"), [("dot", OF_A_PRODUCT), ("concat", 1e-6), ("gaussian", 5e-6)])
def test_float32_agrees_with_all_pairs_to_a_millionth_of_the_output_at_40x40(mode, error):
    """The maps are multiples of 1/64, so that a + b of "concat" is exact and no pair lies on the wrong side of 0.

    Torch's fused softmax takes its exponentials to fewer digits than torch.softmax, and gets more room.
    """
    given = tensors(mode, (4, 6, (40, 40), (40, 40)), batch=1, dtype=torch.float32)
    given = [t.detach().mul(64).round().div(64).requires_grad_() for t in given]
    exact = [t.detach().double().requires_grad_() for t in given]
    actual, expected = ours(mode, *given), defined(mode, *exact)
    g = torch.randn_like(expected)
    both = [(actual, expected)]
    both += zip(torch.autograd.grad(actual, given, g.float()), torch.autograd.grad(expected, exact, g), strict=True)
    for one, other in both:
        assert (one - other).abs().max() <= error * other.abs().max()


def test_running_sums_keep_their_digits_over_many_keys_with_a_large_mean():
    """A running sum of 128² values near 100 ends at 1.6 million, where float32 counts in eighths."""
    q, k = torch.randn(1, 1, 1, 64), torch.randn(1, 1, 128, 128)
    g, relation = 100 + torch.randn(1, 1, 128, 128), torch.ones(2)
    exact = definitions.non_local(q.double(), k.double(), g.double(), "concat", relation=relation.double())
    actual = non_local2d(q, k, g, "concat", relation=relation)
    assert ((actual - exact) / exact).abs().max() <= 1e-6


@every_mode
@pytest.mark.parametrize("where", ["query", "key", "value"])
def test_nan_reaches_what_it_reaches_in_the_definition(mode, where):
    given = [t.detach() for t in tensors(mode, SIZES["rectangular"])]
    given[("query", "key", "value").index(where)][0, 1, 2, 1] = torch.nan
    assert torch.equal(ours(mode, *given).isnan(), defined(mode, *given).isnan())


@every_mode
def test_nothing_is_lost_in_half_precision_over_many_keys(mode):
    """A sum of 128² products near 10 is above the largest half-precision number; their mean is not."""
    given = [t.detach().abs() + 3 for t in tensors(mode, (2, 2, (4, 4), (128, 128)), batch=1, dtype=torch.float16)]
    exact = defined(mode, *(t.double() for t in given))
    torch.testing.assert_close(ours(mode, *given).double(), exact, rtol=4e-3, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("widths", [(6, 6), (6, 4), (4, 6)], ids=str)
@every_mode
def test_no_tensor_of_all_pairs_is_made_forward_or_backward(mode, widths, dtype):
    """All pairs would be 1,584² elements, 264 times the largest map."""
    given = tensors(mode, (*widths, (44, 36), (44, 36)), batch=1, dtype=dtype)
    with Largest() as largest:
        ours(mode, *given).sum().backward()
    assert 0 < largest.elements <= 3 * 6 * 44 * 36
    with Largest() as largest, torch.no_grad():
        ours(mode, *given)
    assert 0 < largest.elements <= 3 * 6 * 44 * 36


def peak_bytes(call, path) -> int:
    """The most memory that torch holds at once during `call`, the kernels' own scratch memory included."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    profiler.export_chrome_trace(str(path))
    events = [e for e in json.loads(path.read_text())["traceEvents"] if e.get("name") == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e["ts"]):
        held += event["args"]["Bytes"]
        most = max(most, held)
    return most


@every_mode
def test_the_peak_of_training_memory_grows_as_the_number_of_places(mode, tmp_path):
    def peak(side):
        given = tensors(mode, (8, 8, (side, side), (side, side)), batch=1, dtype=torch.float32)
        return peak_bytes(lambda: ours(mode, *given).sum().backward(), tmp_path / "trace.json")

    peak(8)
    small, large = peak(32), peak(64)
    assert large <= 4.2 * small
    assert large < 64**4 * 4 / 8, "an eighth of all pairs"
