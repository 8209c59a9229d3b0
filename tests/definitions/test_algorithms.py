"""The other ways to compute a convolution give what the definition gives, forward and gradient."""

import pytest
import torch
from support.close import assert_same

from convnotes import definitions
from convnotes.definitions import conv2d_by_fft, conv2d_by_matrix, conv2d_by_winograd, winograd_matrices


def leaf(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("padding", [0, (2, 1)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 4), (5, 3)])
@pytest.mark.parametrize("way", [conv2d_by_matrix, conv2d_by_fft])
def test_the_matrix_product_and_the_fft_are_the_convolution(way, kernel, padding):
    x, w = leaf(2, 3, 11, 7), leaf(4, 3, *kernel)
    assert_same(way(x, w, padding), definitions.conv2d(x, w, padding=padding), (x, w))


@pytest.mark.parametrize("padding", [0, (2, 1)])
@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_winograd_s_tiles_are_the_convolution(k, m, padding):
    x, w = leaf(2, 3, 11, 7), leaf(4, 3, k, k)
    assert_same(conv2d_by_winograd(x, w, padding, m), definitions.conv2d(x, w, padding=padding), (x, w))


def test_two_outputs_of_three_taps_take_four_products():
    A, G, D = winograd_matrices(2, 3)
    assert G.shape == (4, 3)
    x, w = torch.randn(4, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    expected = torch.stack([x[:3] @ w, x[1:] @ w])
    torch.testing.assert_close(A @ ((G @ w) * (D @ x)), expected)


def test_larger_tiles_lose_more_digits():
    torch.manual_seed(0)
    x, w = torch.randn(1, 16, 24, 24), torch.randn(8, 16, 3, 3)
    exact = definitions.conv2d(x.double(), w.double())
    small, large = ((conv2d_by_winograd(x, w, m=m) - exact).abs().max() for m in (2, 8))
    assert small < 1e-4 * exact.std()
    assert large > 100 * small
