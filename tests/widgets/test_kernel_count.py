"""The kernel count: its module rebuilds what torch's convolutions rebuild, from components that are the best ones."""

import pytest
import torch
from support.close import assert_close
from support.javascript import call

from convnotes.measure import cost
from convnotes.widgets import KernelCount
from convnotes.widgets.kernel_count import patch_components


def counting(**state) -> KernelCount:
    return KernelCount(torch.rand(3, 11, 17, generator=torch.Generator().manual_seed(0)), alt="Noise", **state)


@pytest.mark.parametrize("overlap", [False, True], ids=["side by side", "overlapping"])
@pytest.mark.parametrize(("size", "count"), [(3, 1), (3, 9), (5, 7), (7, 20)])
def test_the_module_rebuilds_what_a_convolution_and_its_transpose_rebuild(size, count, overlap):
    shown = counting(size=size, count=count, overlap=overlap)
    full = KernelCount.kernels(counting(size=size, count=size**2))
    values = {"x": shown._pixels().flatten().tolist(), "basis": full.flatten().tolist()}
    stride = 1 if overlap else size
    found = call("kernel_count", f"rebuild(x, 11, 17, basis, {size}, {count}, {stride})", **values)
    assert_close(torch.tensor(found, dtype=torch.float64).view(11, 17), shown.rebuilt())


def test_all_components_together_rebuild_the_photograph_itself():
    shown = counting(size=3, count=9, overlap=True)
    torch.testing.assert_close(shown.rebuilt(), shown._pixels(), atol=1e-6, rtol=1e-6)
    assert shown.share() == pytest.approx(1)


@pytest.mark.parametrize("overlap", [False, True], ids=["side by side", "overlapping"])
def test_what_the_kernels_add_one_by_one_is_what_they_rebuild_together(overlap):
    shown = counting(size=3, count=4, overlap=overlap)
    values = {"x": shown._pixels().flatten().tolist(), "basis": shown.kernels().flatten().tolist()}
    stride = 1 if overlap else 3
    parts = call("kernel_count", f"[1, 2, 3, 4].map((n) => part(x, 11, 17, basis, 3, n, {stride}))", **values)
    assert_close(torch.tensor(parts, dtype=torch.float64).sum(0).view(11, 17), shown.rebuilt())


def test_arrow_keys_go_along_the_rows_of_the_sheet_and_around_among_the_kernels_in_use():
    ask = "steps.map(([from, step]) => stepped(from, step, 3, 7))"
    steps = [[1, [0, 1]], [1, [1, 0]], [7, [0, 1]], [1, [0, -1]], [2, [-1, 0]], [6, [1, 0]]]
    assert call("kernel_count", ask, steps=steps) == [2, 4, 1, 7, 6, 2]


def test_no_other_kernels_leave_a_smaller_error_in_the_patches():
    image = torch.rand(20, 30, dtype=torch.float64).cumsum(1).cumsum(0) / 300
    kernels, powers = patch_components(image, 3)
    assert_close(kernels @ kernels.T, torch.eye(9, dtype=torch.float64))
    patches = torch.nn.functional.unfold(image[None, None], 3)[0]

    def error(basis):
        return (patches - basis.T @ (basis @ patches)).square().sum(0).mean()

    assert_close(error(kernels[:4]), powers[4:].sum())
    for _ in range(20):
        other = torch.linalg.qr(torch.randn(9, 4, dtype=torch.float64)).Q.T
        assert error(other) > error(kernels[:4])


def test_what_the_first_kernels_keep_is_one_minus_the_mean_squares_that_are_left():
    image = torch.rand(20, 30, dtype=torch.float64)
    kernels, powers = patch_components(image, 3)
    patches = torch.nn.functional.unfold(image[None, None], 3)[0]
    found = call("kernel_count", "keeps(values, variance)", values=powers.tolist(), variance=0.8)
    for n in (1, 4, 9):
        left = (patches - kernels[:n].T @ (kernels[:n] @ patches)).square().sum(0).mean().item()
        assert found[n - 1] == pytest.approx(1 - left / 0.8)


def test_quality_is_the_share_of_the_variance_and_the_ratio_of_peak_to_error():
    x, y = torch.rand(40, dtype=torch.float64), torch.rand(40, dtype=torch.float64)
    found = call("kernel_count", "quality(x, y)", x=x.tolist(), y=y.tolist())
    error = (x - y).square()
    assert found["share"] == pytest.approx(1 - (error.mean() / x.var(correction=0)).item())
    assert found["decibels"] == pytest.approx(-10 * torch.log10(error.mean()).item())


def test_its_counts_are_those_of_cost():
    counted = cost(torch.nn.Conv2d(1, 6, 5, padding=2, bias=False), (1, 1, 11, 17))
    assert call("kernel_count", "counts(6, 5, 187)") == {"weights": counted.params, "macs": counted.macs}


def test_each_size_finds_its_own_components_in_what_python_sends():
    assert call("kernel_count", "offsets([3, 5, 7])") == {
        "3": {"kernels": 0, "values": 0},
        "5": {"kernels": 81, "values": 9},
        "7": {"kernels": 706, "values": 34},
    }
    shown = counting(size=7, count=49)
    expected, _ = patch_components(shown._pixels(), 7)
    torch.testing.assert_close(shown.kernels().flatten(1), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("overlap", [False, True])
def test_the_copied_code_encodes_and_decodes(overlap):
    basis = counting(size=3, count=9).kernels()
    scope = {"torch": torch}
    flag = str(overlap).lower()
    exec(call("kernel_count", f"torchCode(basis, 3, 9, {flag})", basis=basis.flatten().tolist()), scope)
    torch.testing.assert_close(scope["rebuilt"], scope["picture"], atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (
            lambda: KernelCount(torch.rand(1, 9, 9)),
            r"image must hold finite floats of shape \[3, H, W\], got shape \(1, 9, 9\)",
        ),
        (lambda: counting(sizes=(3, 9)), r"sizes\[1\] must be from 2 to 7, got 9"),
        (lambda: KernelCount(torch.rand(3, 4, 9)), r"sizes\[1\] must be from 2 to 4, got 5"),
        (lambda: counting(size=4), "size must be 3, 5 or 7, got 4"),
        (lambda: counting(count=0), "count must be from 1 to 49, got 0"),
        (lambda: counting(shown=50), "shown must be from 1 to 49, got 50"),
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
