"""Depthwise kernels that are large, or reach far, which torch computes well in one memory format or in none."""

import pytest
import torch
import torch.nn.functional as F

from convnotes.kernels import backend
from convnotes.kernels.depthwise.operator import depthwise_conv2d
from convnotes.measure import peak_memory

KERNELS = [((7, 7), 1), ((9, 9), 1), ((5, 15), 1), ((3, 3), 7), ((5, 5), 4), ((1, 9), 2), ((9, 9), 2)]  # and dilation


@pytest.fixture(autouse=True, params=["torch", "numba"])
def _each_backend(request):
    if request.param not in backend.available():
        pytest.skip(f"{request.param} is not installed")
    with backend.use(request.param):
        yield


def by_definition(x, weight, bias, d):
    """Tap by tap, of an image padded by half a kernel."""
    (H, W), (KH, KW) = x.shape[2:], weight.shape[2:]
    padded = F.pad(x, (d * (KW // 2), d * (KW // 2), d * (KH // 2), d * (KH // 2)))
    y = bias.view(-1, 1, 1)
    for u in range(KH):
        for v in range(KW):
            y = y + weight[:, 0, u, v, None, None] * padded[:, :, d * u : d * u + H, d * v : d * v + W]
    return y


@pytest.mark.parametrize("trains", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize(
    ("kernel", "d"),
    [((7, 7), 1), ((9, 9), 1), ((5, 15), 1), ((3, 3), 7), ((5, 5), 4), ((1, 9), 2), ((9, 9), 2)],
    ids=str,
)
def test_a_large_kernel_is_its_definition_in_either_memory_format_and_keeps_it(kernel, d, layout, trains):
    x, weight, bias = torch.randn(2, 6, 9, 20), torch.randn(6, 1, *kernel), torch.randn(6)
    inputs = [t.requires_grad_(trains) for t in (x.to(memory_format=layout), weight, bias)]
    padding = (d * (kernel[0] // 2), d * (kernel[1] // 2))
    y = depthwise_conv2d(*inputs, (1, 1), padding, (d, d))
    exact = [t.detach().double().requires_grad_(trains) for t in inputs]
    expected = by_definition(*exact, d)
    assert y.is_contiguous(memory_format=layout)
    assert (y - expected).abs().max() <= 1e-6 * expected.abs().max()
    if trains:
        g = torch.randn_like(y)
        found, wanted = torch.autograd.grad(y, inputs, g), torch.autograd.grad(expected, exact, g.double())
        for a, b in zip(found, wanted, strict=True):
            assert (a - b).abs().max() <= 2e-6 * b.abs().max()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_a_dilated_one_has_the_same_bits_on_any_number_of_threads(layout):
    x = torch.randn(3, 37, 23, 30).to(memory_format=layout).requires_grad_()
    weight, g = torch.randn(37, 1, 5, 5, requires_grad=True), torch.randn(3, 37, 23, 30).to(memory_format=layout)
    found = []
    for threads in (1, 2, 2, 3):
        torch.set_num_threads(threads)
        y = depthwise_conv2d(x, weight, None, (1, 1), (8, 8), (4, 4))
        found.append((y, *torch.autograd.grad(y, (x, weight), g)))
    for other in found[1:]:
        assert all(map(torch.equal, other, found[0]))


def test_a_dilated_one_takes_little_memory_beside_its_result():
    x, weight = torch.randn(1, 96, 56, 56), torch.randn(96, 1, 9, 9)
    with torch.inference_mode():
        peak = peak_memory(lambda: depthwise_conv2d(x, weight, None, (1, 1), (8, 8), (2, 2)))
    assert peak <= 4 * x.numel() + 10 * 2**20


@pytest.mark.parametrize(("kernel", "dilation"), [((3, 5), (2, 4)), ((2, 8), (1, 2)), ((4, 4), (3, 5))], ids=str)
@pytest.mark.parametrize("size", [(11, 7), (5, 40), (33, 1)], ids=str)
def test_a_dilated_one_padded_to_the_same_size_is_torch_s_in_float64(size, kernel, dilation):
    x, weight = torch.randn(2, 5, *size), torch.randn(5, 1, *kernel)
    exact, inputs = ([t.to(dtype).requires_grad_() for t in (x, weight)] for dtype in (torch.float64, torch.float32))
    y = depthwise_conv2d(*inputs, None, (1, 1), "same", dilation)
    expected, g = F.conv2d(*exact, None, 1, "same", dilation, 5), torch.randn_like(y)
    assert (y - expected).abs().max() <= 1e-6 * expected.abs().max()
    found, wanted = torch.autograd.grad(y, inputs, g), torch.autograd.grad(expected, exact, g.double())
    for a, b in zip(found, wanted, strict=True):
        assert (a - b).abs().max() <= 2e-6 * b.abs().max()
