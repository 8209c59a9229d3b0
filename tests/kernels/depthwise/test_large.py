"""Large depthwise kernels, which torch computes well in one memory format or in none."""

import pytest
import torch
import torch.nn.functional as F

from convnotes.kernels import backend
from convnotes.kernels.depthwise.operator import depthwise_conv2d


@pytest.fixture(autouse=True, params=["torch", "numba"])
def _each_backend(request):
    if request.param not in backend.available():
        pytest.skip(f"{request.param} is not installed")
    with backend.use(request.param):
        yield


def by_definition(x, weight, bias):
    """Tap by tap, of an image padded by half a kernel."""
    (H, W), (KH, KW) = x.shape[2:], weight.shape[2:]
    padded = F.pad(x, (KW // 2, KW // 2, KH // 2, KH // 2))
    y = bias.view(-1, 1, 1)
    for u in range(KH):
        for v in range(KW):
            y = y + weight[:, 0, u, v, None, None] * padded[:, :, u : u + H, v : v + W]
    return y


@pytest.mark.parametrize("trains", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("kernel", [(7, 7), (9, 9), (5, 15)], ids=str)
def test_a_large_kernel_is_its_definition_in_either_memory_format_and_keeps_it(kernel, layout, trains):
    x, weight, bias = torch.randn(2, 6, 9, 20), torch.randn(6, 1, *kernel), torch.randn(6)
    inputs = [t.requires_grad_(trains) for t in (x.to(memory_format=layout), weight, bias)]
    padding = (kernel[0] // 2, kernel[1] // 2)
    y = depthwise_conv2d(*inputs, (1, 1), padding, (1, 1))
    exact = [t.detach().double().requires_grad_(trains) for t in inputs]
    expected = by_definition(*exact)
    assert y.is_contiguous(memory_format=layout)
    assert (y - expected).abs().max() <= 1e-6 * expected.abs().max()
    if trains:
        g = torch.randn_like(y)
        found, wanted = torch.autograd.grad(y, inputs, g), torch.autograd.grad(expected, exact, g.double())
        for a, b in zip(found, wanted, strict=True):
            assert (a - b).abs().max() <= 2e-6 * b.abs().max()
