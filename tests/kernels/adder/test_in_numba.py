"""The adder's compiled loops. `tests/operations/test_adder.py` runs under this backend as well as under torch."""

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import torch
from support.close import assert_close

from convnotes import adder2d, definitions
from convnotes.kernels import backend
from convnotes.kernels.adder import in_torch
from convnotes.measure import peak_memory

pytest.importorskip("numba", reason="the loops need numba")
from convnotes.kernels.adder import in_numba

pytestmark = pytest.mark.usefixtures("by_numba")

gradients = pytest.mark.parametrize("gradient", ["paper", "exact"])

# name → (images, weight, options): what the tiles, the blocks of rows and the remainders by the stride could get wrong
CASES = {
    "plain": ((2, 3, 11, 7), (5, 3, 3, 3), dict()),
    "padded": ((2, 3, 11, 7), (4, 3, 3, 3), dict(padding=1)),
    "strided": ((2, 3, 11, 7), (4, 3, 3, 5), dict(stride=(2, 3), padding=(1, 2))),
    "stride beyond the kernel": ((2, 3, 13, 11), (4, 3, 2, 1), dict(stride=(3, 4))),
    "stride beyond the picture": ((2, 3, 4, 5), (4, 3, 3, 3), dict(stride=(9, 7))),
    "dilated": ((2, 3, 11, 7), (4, 3, 3, 2), dict(dilation=(2, 3), padding=(3, 0))),
    "strided and dilated alike": ((2, 3, 11, 9), (4, 3, 3, 3), dict(stride=2, dilation=2, padding=2)),
    "padding beyond the kernel": ((2, 3, 5, 4), (4, 3, 3, 3), dict(padding=(5, 7))),
    "same": ((2, 3, 5, 4), (4, 3, 2, 4), dict(padding="same", dilation=(3, 1))),
    "grouped": ((2, 6, 11, 7), (15, 2, 3, 3), dict(groups=3, stride=2, padding=1)),
    "many outputs": ((2, 9, 11, 7), (14, 9, 3, 3), dict(padding=1)),
    "many outputs in groups": ((2, 4, 11, 7), (18, 2, 3, 3), dict(groups=2, padding=(0, 2))),
    "depthwise": ((2, 6, 11, 7), (6, 1, 5, 3), dict(groups=6, padding=(2, 1))),
    "pointwise": ((3, 100, 5, 7), (9, 100, 1, 1), dict()),
    "pointwise, strided": ((3, 6, 5, 7), (9, 6, 1, 1), dict(stride=2)),
    "large kernel, several loads of columns": ((1, 5, 13, 12), (3, 5, 9, 9), dict(padding=4)),
    "many pictures of one pixel": ((70, 3, 1, 1), (4, 3, 1, 1), dict()),
    "one column": ((3, 2, 200, 1), (4, 2, 3, 1), dict(padding=(1, 0))),
    "one row": ((1, 2, 1, 301), (4, 2, 1, 4), dict()),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@pytest.fixture
def only_loops(monkeypatch):
    """Nothing but the gradient of the weight may go to torch."""
    real = in_torch.contract

    def refused(*inputs):
        slot, slope = inputs[5][:2]
        assert slot == "weight", f"the slot {slot} with slope {slope} went to torch"
        return real(*inputs)

    monkeypatch.setattr(in_numba, "in_torch", SimpleNamespace(contract=refused))


def leaves(case, dtype=torch.float64):
    images, weight, options = case
    x = torch.randn(images, dtype=dtype, requires_grad=True)
    return x, torch.randn(weight, dtype=dtype, requires_grad=True), options


def with_gradients(function, x, w, g):
    y = function(x, w)
    return y, *torch.autograd.grad(y, (x, w), g)


@cases
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_forward_and_both_gradients_are_the_definition_s(case, dtype, only_loops):
    x, w, options = leaves(case, dtype)
    g = torch.randn_like(adder2d(x, w, **options))
    ours = with_gradients(lambda x, w: adder2d(x, w, **options, gradient="exact"), x, w, g)
    wide = (t.detach().double().requires_grad_() for t in (x, w))
    defined = with_gradients(lambda x, w: definitions.adder2d(x, w, **options), *wide, g.double())
    for actual, expected in zip(ours, defined, strict=True):
        assert_close(actual, expected.to(dtype))


@cases
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_the_paper_s_gradient_is_that_of_the_torch_path(case, dtype, only_loops):
    x, w, options = leaves(case, dtype)
    # Sums of about 1, to which the table's absolute tolerance belongs, however many terms they have.
    g = torch.randn_like(adder2d(x, w, **options)) / w[:, 0].numel() ** 0.5
    ours = with_gradients(lambda x, w: adder2d(x, w, **options), x, w, g)
    wide = (t.detach().double().requires_grad_() for t in (x, w))
    with backend.use("torch"):
        theirs = with_gradients(lambda x, w: adder2d(x, w, **options), *wide, g.double())
    for actual, expected in zip(ours, theirs, strict=True):
        assert_close(actual, expected.to(dtype))


@gradients
def test_the_bits_do_not_depend_on_the_number_of_threads(gradient):
    x, w, _ = leaves(((3, 5, 33, 31), (11, 5, 3, 3), None), torch.float32)
    with torch.no_grad():
        x[1, :, 4:7, 4:7] = w[3]  # a match in one tile
    g = torch.randn(3, 11, 17, 16)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        y = adder2d(x, w, stride=2, padding=1, gradient=gradient)
        found.append((y, *torch.autograd.grad(y, x, g)))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def exact(x, w):
    return definitions.adder2d(x.double(), w.double(), padding=1)


def test_a_close_match_keeps_its_digits():
    w = 100 + torch.randn(16, 8, 3, 3)
    x = torch.randn(2, 8, 20, 20)
    x[0, :, 5:8, 9:12] = w[3] + 1e-3 * torch.randn(8, 3, 3)
    y, expected = adder2d(x, w, padding=1), exact(x, w)
    assert expected[0, 3, 6, 10] > -1 > -1000 > expected[1].max()
    assert (y / expected - 1).abs().max() < 2e-6


def test_inputs_far_from_zero_keep_their_digits():
    x, w = 1000 + torch.randn(2, 8, 20, 20), 1000 + torch.randn(16, 8, 3, 3)
    y, expected = adder2d(x, w)[..., :18, :18], exact(x, w)[..., 1:-1, 1:-1]
    assert (y / expected - 1).abs().max() < 2e-6


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 3e38])
@pytest.mark.parametrize("where", ["input", "weight"])
def test_values_that_are_no_numbers_go_where_the_definition_sends_them(bad, where):
    x, w = torch.randn(2, 8, 9, 9), torch.randn(10, 8, 3, 3)
    (x if where == "input" else w)[1, 2, 1, 2] = bad
    expected = definitions.adder2d(x, w, padding=1)
    torch.testing.assert_close(adder2d(x, w, padding=1), expected, equal_nan=True)
    assert not expected.isfinite().all() or bad == 3e38


def test_a_pixel_that_is_no_number_has_no_gradient_either():
    x, w = torch.randn(1, 3, 6, 6), torch.randn(9, 3, 3, 3)
    x[0, 1, 2, 3] = float("nan")
    x.requires_grad_()
    (found,) = torch.autograd.grad(adder2d(x, w, padding=1), x, torch.randn(1, 9, 6, 6))
    assert found.isnan().nonzero().tolist() == [[0, 1, 2, 3]]


def test_it_may_be_called_from_many_threads_at_once():
    x, w, _ = leaves(((2, 5, 33, 31), (7, 5, 3, 3), None), torch.float32)
    torch.set_num_threads(2)
    expected, found = adder2d(x, w), []

    def caller():
        with backend.use("numba"):
            found.extend(adder2d(x, w) for _ in range(20))

    callers = [threading.Thread(target=caller) for _ in range(4)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert len(found) == 80
    assert all(torch.equal(y, expected) for y in found)


@gradients
@pytest.mark.parametrize("where", ["images", "weight", "gradient"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf], ids=str)
@pytest.mark.parametrize("case", ["padded", "stride beyond the kernel", "grouped"])
def test_nan_and_infinity_go_where_torch_lets_them_go(case, value, where, gradient):
    x, w, options = leaves(CASES[case])
    g = torch.randn_like(adder2d(x, w, **options))
    with torch.no_grad():
        touched = {"images": x, "weight": w, "gradient": g}[where].view(-1)
        touched[[0, 1, touched.numel() // 2, -1]] = value
        if where == "images":
            w.view(-1)[0] = 2.0
    ours = with_gradients(lambda x, w: adder2d(x, w, **options, gradient=gradient), x, w, g)
    with backend.use("torch"):
        theirs = with_gradients(lambda x, w: adder2d(x, w, **options, gradient=gradient), x, w, g)
    for actual, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10, equal_nan=True)
    assert not all(t.isfinite().all() for t in ours)


@pytest.mark.parametrize("turned", [False, True])
def test_a_pixel_that_no_kernel_covers_has_no_gradient_even_if_it_is_nan(turned, only_loops):
    x, w, _ = leaves(((2, 3, 13, 11), (4, 3, 2, 1), None))
    stride, missed_rows, missed_columns = (3, 4), [2, 5, 8, 11, 12], [1, 2, 3, 5, 6, 7, 9, 10]
    with torch.no_grad():
        x[:, :, missed_rows] = torch.nan
        x[..., missed_columns] = torch.nan
    if turned:
        x, w = (t.detach().mT.contiguous().requires_grad_() for t in (x, w))
    y = adder2d(x, w, stride=stride[::-1] if turned else stride)
    assert y.isfinite().all()
    (by_input,) = torch.autograd.grad(y.sum(), x)
    assert (by_input == 0)[x.isnan()].all()
    assert (by_input != 0)[x.isfinite()].all()


def test_the_difference_of_large_near_numbers_keeps_its_digits():
    x = torch.randn(1, 3, 9, 8) + 1000
    w = x[:, :, 2:5, 3:6].clone() + 0.0625
    y = adder2d(x, w)
    assert_close(y, definitions.adder2d(x.double(), w.double()).float())
    assert y[0, 0, 2, 3] == -27 * 0.0625


@gradients
def test_an_empty_batch_gives_an_empty_batch(gradient):
    x, w, _ = leaves(((0, 3, 11, 7), (5, 3, 3, 3), None))
    y = adder2d(x, w, gradient=gradient)
    assert y.shape == (0, 5, 9, 5)
    by_input, by_weight = torch.autograd.grad(y.sum(), (x, w))
    assert by_input.shape == x.shape
    assert by_weight.abs().max() == 0


@pytest.mark.parametrize("case", ["padded", "strided", "grouped"])
def test_channels_last_and_other_strides_do_not_matter(case, only_loops):
    x, w, options = leaves(CASES[case])
    g = torch.randn_like(adder2d(x, w, **options))
    expected = with_gradients(lambda x, w: adder2d(x, w, **options), x, w, g)
    for form in (
        lambda t: t.to(memory_format=torch.channels_last),
        lambda t: t.transpose(2, 3).contiguous().transpose(2, 3),
        lambda t: torch.stack([t, torch.full_like(t, torch.nan)], -1)[..., 0],
    ):
        turned = (form(t.detach()).requires_grad_(t.requires_grad) for t in (x, w, g))
        for a, b in zip(with_gradients(lambda x, w: adder2d(x, w, **options), *turned), expected, strict=True):
            assert_close(a, b)


def test_other_dtypes_go_to_torch():
    x, w, options = leaves(CASES["padded"], torch.bfloat16)
    y = adder2d(x, w, **options)
    with backend.use("torch"):
        assert torch.equal(y, adder2d(x, w, **options))


@pytest.mark.parametrize(("slot", "slope"), [("output", "distance"), ("input", "clamp"), ("input", "sign")])
@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_the_operator_is_registered_as_torch_wants_it(slot, slope, last, only_loops):
    x, w, _ = leaves(((2, 4, 11, 7), (6, 2, 3, 3), None))
    if last:
        x = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    g = None if slot == "output" else torch.randn(2, 6, 5, 5, dtype=torch.float64)
    arguments = (x.detach(), w.detach(), g, None, None, slot, slope, (2, 1), (0, 1, 0, 0), (1, 1), 2, True)
    torch.library.opcheck(torch.ops.convnotes.adder.default, arguments)


def test_training_takes_little_more_memory_than_its_gradients():
    x, w, _ = leaves(((2, 64, 56, 56), (64, 64, 3, 3), None), torch.float32)
    g = torch.randn(2, 64, 56, 56)
    assert peak_memory(lambda: with_gradients(lambda x, w: adder2d(x, w, padding=1), x, w, g)) <= 10 * 2**20


FRESH = """
import torch
from convnotes import adder2d
torch.set_num_threads(1)
x, w = torch.randn(2, 3, 9, 9, requires_grad=True), torch.randn(4, 3, 3, 3, requires_grad=True)
adder2d(x, w).sum().backward()
"""


def test_a_fresh_process_compiles_and_says_so_and_the_next_one_takes_it_from_the_disk(tmp_path):
    """How long either takes is measured by `python -m convnotes.bench --op start`."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), backend.VARIABLE: "numba"}
    runs, kept = [], []
    for _ in range(2):
        run = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True, env=environment)
        runs.append(run)
        kept.append({file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()})
    assert runs[0].stderr.count("\n") == runs[0].stderr.count("numba compiles a few loops") == 1
    assert runs[1].stderr == ""
    assert any(file.suffix == ".nbc" for file in kept[0]), "nothing was kept"
    assert kept[1] == kept[0], "the next process has compiled something again"
