import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close, assert_same
from support.layer_definitions import separable_definition
from torch import nn

from convnotes import MobileNetV1, SeparableConv2d, Xception, mobilenet_v1

CASES = {
    "plain": dict(kernel_size=3),
    "strided-padded-rectangular": dict(kernel_size=(3, 5), stride=(2, 1), padding=(0, 2)),
    "dilated": dict(kernel_size=3, dilation=(1, 2), padding=2),
    "three-kernels-a-channel": dict(kernel_size=3, depth_multiplier=3, padding="same"),
    "no-bias": dict(kernel_size=3, bias=False),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_forward_and_gradient_match_the_definition(case):
    layer = SeparableConv2d(3, 5, **case, dtype=torch.float64)
    x = torch.randn(2, 3, 11, 7, dtype=torch.float64, requires_grad=True)
    assert_same(layer(x), separable_definition(layer, x), (x, *layer.parameters()))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_separable_convolution_is_a_full_one_whose_kernels_have_low_rank(case):
    layer = SeparableConv2d(3, 5, **case, dtype=torch.float64)
    x = torch.randn(2, 3, 11, 7, dtype=torch.float64)
    weight = layer.full_weight()
    full = F.conv2d(x, weight, layer.pointwise.bias, layer.stride, layer.padding, layer.dilation)
    assert_close(layer(x), full)
    for channel in range(3):
        rank = torch.linalg.matrix_rank(weight[:, channel].flatten(1)).item()
        assert rank <= layer.depth_multiplier


def test_with_enough_kernels_a_channel_it_can_be_any_convolution():
    """Depth multiplier k²: the depthwise kernels are the taps, the pointwise kernel is the weight."""
    weight = torch.randn(4, 2, 3, 3, dtype=torch.float64)
    layer = SeparableConv2d(2, 4, 3, depth_multiplier=9, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.depthwise.weight.copy_(torch.eye(9, dtype=torch.float64).view(9, 1, 3, 3).repeat(2, 1, 1, 1))
        layer.pointwise.weight.copy_(weight.flatten(2).flatten(1)[:, :, None, None])
    assert_close(layer.full_weight(), weight)


@pytest.mark.parametrize("multiplier", [1, 2, 5, 7])
def test_the_nearest_separable_layer_misses_what_its_singular_values_say(multiplier):
    conv = nn.Conv2d(3, 5, (3, 2), (2, 1), (0, 2), (1, 2), dtype=torch.float64)
    layer = SeparableConv2d.nearest(conv, multiplier)
    squares = torch.linalg.svdvals(conv.weight.transpose(0, 1).flatten(2)).square()  # [C, 5]
    assert_close((layer.full_weight() - conv.weight).square().sum(), squares[:, multiplier:].sum())
    x = torch.randn(2, 3, 11, 7, dtype=torch.float64)
    expected = F.conv2d(x, layer.full_weight(), conv.bias, conv.stride, conv.padding, conv.dilation)
    assert_close(layer(x), expected)
    if multiplier >= 5:
        assert_close(layer(x), conv(x))


def test_no_separable_layer_beside_the_nearest_one_is_nearer():
    conv = nn.Conv2d(2, 4, 3, bias=False, dtype=torch.float64)
    layer = SeparableConv2d.nearest(conv)
    assert layer.pointwise.bias is None
    loss = (layer.full_weight() - conv.weight).square().sum()
    for gradient in torch.autograd.grad(loss, [*layer.parameters()]):
        assert_close(gradient, torch.zeros_like(gradient))
    for _ in range(20):
        other = SeparableConv2d.nearest(conv)
        with torch.no_grad():
            for p in other.parameters():
                p += 0.01 * torch.randn_like(p)
        assert (other.full_weight() - conv.weight).square().sum() > loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_nearest_layer_keeps_dtype_device_and_the_convolution(dtype):
    conv = nn.Conv2d(2, 4, 3, padding="same", dtype=dtype)
    layer = SeparableConv2d.nearest(conv, 2)
    assert {p.dtype for p in layer.parameters()} == {dtype}
    assert layer.padding == "same"
    assert torch.equal(layer.pointwise.bias, conv.bias)
    assert SeparableConv2d.nearest(conv.to("meta")).depthwise.weight.is_meta


@pytest.mark.parametrize(
    ("conv", "error", "says"),
    [
        (nn.Linear(2, 2), TypeError, "conv must be a torch.nn.Conv2d, got Linear"),
        (nn.Conv2d(2, 2, 3, groups=2), ValueError, 'got 2 and "zeros"'),
        (nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), ValueError, 'got 1 and "circular"'),
    ],
)
def test_what_has_no_nearest_separable_layer_is_refused(conv, error, says):
    with pytest.raises(error, match=says):
        SeparableConv2d.nearest(conv)


def test_what_is_put_between_acts_between():
    layer = SeparableConv2d(3, 4, 3, between=nn.ReLU(), dtype=torch.float64)
    x = torch.randn(1, 3, 6, 5, dtype=torch.float64)
    assert_close(layer(x), layer.pointwise(layer.depthwise(x).relu()))


def test_mobilenet_scales_its_widths():
    narrow = mobilenet_v1(10, width_multiplier=0.25, device="meta")
    assert [block[0].out_channels for block in narrow.blocks][:4] == [16, 32, 32, 64]
    assert narrow(torch.empty(2, 3, 64, 33, device="meta")).shape == (2, 10)


def test_the_published_networks_give_logits_and_xception_refuses_less_than_7_pixels():
    assert MobileNetV1(5, 0.1).eval()(torch.randn(1, 3, 1, 1)).shape == (1, 5)
    net = Xception(5).eval()
    assert net(torch.randn(1, 3, 7, 9)).shape == (1, 5)
    with pytest.raises(ValueError, match="input of Xception must have at least 7×7 pixels, got 6×9"):
        net(torch.randn(1, 3, 6, 9))


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: SeparableConv2d(3, 4, 3, depth_multiplier=0), "depth_multiplier must be at least 1, got 0"),
        (lambda: SeparableConv2d(3, 4, 0), "kernel_size must be at least 1"),
        (lambda: SeparableConv2d(3, 4, 3, padding="same", stride=2)(torch.randn(1, 3, 8, 8)), "same"),
        (lambda: SeparableConv2d(3, 4, 5)(torch.randn(1, 3, 4, 8)), "SeparableConv2d: a kernel of 5×5"),
        (lambda: MobileNetV1(width_multiplier=0), r"width_multiplier must lie in \(0, inf\), got 0"),
    ],
)
def test_bad_arguments_are_refused(build, says):
    with pytest.raises(ValueError, match=says):
        build()
