import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close, assert_same

from convnotes import Bottleneck, ResNet, definitions, resnet50, resnext50_32x4d


def test_a_block_whose_last_norm_gives_nothing_is_the_identity_of_a_positive_input():
    block = Bottleneck(16, 4).eval()
    with torch.no_grad():
        block.bn3.weight.zero_()
    x = torch.rand(2, 16, 9, 7)
    assert torch.equal(block(x), x)


def test_a_stride_on_the_1x1_kernel_never_looks_at_three_pixels_of_four():
    x = torch.randn(1, 8, 8, 6, dtype=torch.float64, requires_grad=True)
    for where, share in (("1x1", 0.25), ("3x3", 1.0)):
        block = Bottleneck(8, 2, stride=2, stride_on=where, dtype=torch.float64).eval()
        (g,) = torch.autograd.grad(block.conv3(block.conv2(block.conv1(x))).sum(), x)
        assert (g != 0).any(1).double().mean().item() == share


def test_grouped_kernels_are_a_full_kernel_with_zero_blocks():
    block = Bottleneck(8, 64, groups=4, width_per_group=1, dtype=torch.float64)
    conv = block.conv2
    x = torch.randn(1, conv.in_channels, 5, 6, dtype=torch.float64)
    n = conv.in_channels // 4
    full = torch.zeros(4 * n, 4 * n, 3, 3, dtype=torch.float64)
    for g in range(4):
        full[g * n : (g + 1) * n, g * n : (g + 1) * n] = conv.weight[g * n : (g + 1) * n]
    assert_close(conv(x), F.conv2d(x, full, padding=1))


def test_resnext_spends_as_much_on_more_channels():
    plain, grouped = resnet50(device="meta").layer1[0], resnext50_32x4d(device="meta").layer1[0]
    assert plain.conv2.weight.shape == (64, 64, 3, 3)
    assert grouped.conv2.weight.shape == (128, 4, 3, 3)


def test_the_strides_lie_where_they_are_asked_for():
    for where, first, middle in (("3x3", 1, 2), ("1x1", 2, 1)):
        block = resnet50(stride_on=where, device="meta").layer2[0]
        assert (block.conv1.stride, block.conv2.stride) == ((first, first), (middle, middle))


def test_dilation_spreads_the_3x3_kernel_and_keeps_the_size():
    block = Bottleneck(16, 4, dilation=3, dtype=torch.float64).eval()
    conv, x = block.conv2, torch.randn(1, 4, 11, 7, dtype=torch.float64)
    spread = torch.zeros(4, 4, 7, 7, dtype=torch.float64)
    spread[..., ::3, ::3] = conv.weight
    assert_close(conv(x), F.conv2d(x, spread, padding=3))
    assert block(torch.randn(1, 16, 11, 7, dtype=torch.float64)).shape == (1, 16, 11, 7)


@pytest.mark.parametrize(
    ("replaced", "step"), [((True, True, True), 8), ((False, True, True), 4), ((False, False, True), 2)]
)
@pytest.mark.parametrize("stride_on", ["3x3", "1x1"])
def test_dilation_in_the_place_of_strides_gives_the_strided_map_and_more_between(replaced, step, stride_on):
    options = dict(layers=(1, 2, 2, 2), width_per_group=4, stride_on=stride_on, num_classes=None, dtype=torch.float64)
    strided, dilated = ResNet(**options).eval(), ResNet(**options, replace_stride_with_dilation=replaced).eval()
    dilated.load_state_dict(strided.state_dict(), strict=True)
    x = torch.randn(1, 3, 75, 66, dtype=torch.float64)
    dense = dilated(x)
    assert dense.shape[2:] == (-(-75 * step // 32), -(-66 * step // 32))
    assert_close(dense[..., ::step, ::step], strided(x))


def test_torchvision_s_dilations_lie_where_it_has_them():
    net = resnet50(replace_stride_with_dilation=[False, True, True], device="meta")
    dilations = [[block.conv2.dilation[0] for block in getattr(net, f"layer{n}")] for n in (1, 2, 3, 4)]
    assert dilations == [[1, 1, 1], [1, 1, 1, 1], [1, 2, 2, 2, 2, 2], [2, 4, 4]]


def test_without_a_classifier_the_last_map_comes_out():
    net = ResNet((1, 1, 1, 1), num_classes=None).eval()
    assert net(torch.randn(2, 3, 33, 65)).shape == (2, 2048, 2, 3)
    assert not any(name.startswith("fc.") for name in net.state_dict())


def test_any_size_runs():
    net = ResNet((1, 1, 1, 1), num_classes=5).eval()
    for size in ((1, 1), (33, 18)):
        assert net(torch.randn(2, 3, *size)).shape == (2, 5)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Bottleneck(3, 4, stride=0), "stride must be at least 1, got 0"),
        (lambda: Bottleneck(3, 4, stride_on="7x7"), "'7x7'"),
        (lambda: Bottleneck(3, 4, groups=2, width_per_group=4), "leaves a group no channel"),
        (lambda: ResNet((3, 4, 6)), r"layers must hold 4 ints, got \(3, 4, 6\)"),
        (lambda: ResNet((3, 4, 0, 3)), r"layers\[2\] must be at least 1, got 0"),
        (lambda: resnet50(0), "num_classes must be at least 1"),
        (lambda: Bottleneck(3, 4, dilation=0), "dilation must be at least 1, got 0"),
        (lambda: resnet50(replace_stride_with_dilation=(True, False)), r"three bools.* got \(True, False\)"),
        (lambda: resnet50(replace_stride_with_dilation=(1, 2, 4)), "three bools"),
    ],
)
def test_bad_arguments_are_refused(build, says):
    with pytest.raises(ValueError, match=says):
        build()


def test_a_block_that_keeps_its_shape_adds_the_input_itself():
    block = Bottleneck(16, 4, groups=2, width_per_group=32, dtype=torch.float64).eval()
    norms = [block.bn1, block.bn2, block.bn3]
    for norm in norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    weights = [block.conv1.weight, block.conv2.weight, block.conv3.weight]
    x = torch.randn(2, 16, 11, 7, dtype=torch.float64, requires_grad=True)
    assert block.downsample is None
    assert_same(block(x), definitions.bottleneck(x, weights, norms, groups=2), (x, *weights))
