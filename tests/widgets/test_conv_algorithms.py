"""What the count of five ways says is what torch counts of them, or what an FFT written out multiplies."""

import math

import pytest
import torch
from support.javascript import call
from torch.utils.flop_counter import FlopCounterMode

from convnotes.definitions import conv2d_by_matrix, conv2d_by_winograd
from convnotes.widgets import ConvAlgorithms

STATES = [
    dict(kernel=3, size=56, channels=64, images=1, prepared=True),
    dict(kernel=5, size=29, channels=8, images=4, prepared=False),
    dict(kernel=1, size=4, channels=1, images=1, prepared=True),
    dict(kernel=15, size=224, channels=512, images=64, prepared=False),
]
every_state = pytest.mark.parametrize("state", STATES, ids=str)


def multiplications(function, *inputs, **options):
    with FlopCounterMode(display=False) as counter:
        function(*inputs, **options)
    return counter.get_total_flops() // 2


@every_state
def test_the_page_counts_as_python_does(state):
    found = call("conv_algorithms", "counts(state)", state=state)
    expected = ConvAlgorithms(**state).counts()
    assert [way["name"] for way in found] == list(expected)
    for way, count in zip(found, expected.values(), strict=True):
        assert (way.get("multiplications"), way.get("memory")) == (count or (None, None))


@pytest.mark.parametrize(("kernel", "size"), [(3, 8), (3, 7), (5, 9), (1, 5)])
def test_torch_counts_the_same_products(kernel, size):
    C, B = 2, 4
    x, w = torch.rand(B, C, size, size), torch.rand(C, C, kernel, kernel)
    counts = ConvAlgorithms(kernel=kernel, size=size, channels=C, images=B, prepared=False).counts()
    padding = kernel // 2
    assert multiplications(torch.nn.functional.conv2d, x, w, padding=padding) == counts["direct sum"].multiplications
    assert multiplications(conv2d_by_matrix, x, w, padding) == counts["matrix product"].multiplications
    for m in (2, 4):
        counted = counts[f"Winograd {m}×{m}"].multiplications
        assert multiplications(conv2d_by_winograd, x, w, padding, m) == counted
    copied = 0 if kernel == 1 else torch.nn.functional.unfold(x, kernel, padding=padding).numel()
    assert counts["matrix product"].memory == copied


def fft(values):
    """The transform of a power of two of complex numbers, and its complex products, halving with radix 2."""
    n = len(values)
    if n == 1:
        return values, 0
    (even, a), (odd, b) = fft(values[::2]), fft(values[1::2])
    turned = odd * torch.exp(-2j * math.pi * torch.arange(n // 2, dtype=torch.float64) / n)
    return torch.cat([even + turned, even - turned]), a + b + n // 2


def test_an_fft_is_counted_as_if_written_out():
    """Two real lines go through one complex transform, so that N real numbers take half of its products."""
    side = 8
    image = torch.randn(side, side, dtype=torch.complex128)
    products, lines = 0, []
    for row in image:
        line, count = fft(row)
        lines.append(line)
        products += count
    columns = []
    for column in torch.stack(lines).T:
        line, count = fft(column)
        columns.append(line)
        products += count
    torch.testing.assert_close(torch.stack(columns).T, torch.fft.fft2(image))
    without, with_kernels = (
        ConvAlgorithms(kernel=3, size=6, channels=1, images=1, prepared=prepared).counts()["FFT"].multiplications
        for prepared in (True, False)
    )
    assert with_kernels - without == 4 * products // 2


def test_a_tile_that_is_too_wide_is_not_counted():
    counts = ConvAlgorithms(kernel=7).counts()
    assert counts["Winograd 4×4"] is None
    assert counts["Winograd 2×2"] is not None
    assert "Winograd 4×4" not in ConvAlgorithms(kernel=7)._alt()


def test_the_fewest_are_named_and_code_runs():
    ways = call("conv_algorithms", "fewest(counts(state)).map((way) => way.name)", state=STATES[0])
    assert ways == ["Winograd 4×4"]
    code = call("conv_algorithms", "torchCode(state)", state=STATES[1])
    exec(compile(code, "copied", "exec"), {"torch": torch})
    assert call("conv_algorithms", "needed(state)", state=STATES[2]) == 16 + 1 + 16
