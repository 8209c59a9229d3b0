import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close, assert_same
from torch import nn

from convnotes import MixedConv2d, SeparableConv2d, definitions
from convnotes.fundamentals.multi_scale import split_channels
from convnotes.measure import cost, measured_receptive_field, receptive_field

CASES = {
    "plain": (8, 10, dict()),
    "channels-left-over": (7, 5, dict(kernel_sizes=(5, 1, 3))),
    "strided-dilated-rectangular": (4, 6, dict(kernel_sizes=(3, 5), stride=(2, 1), dilation=(1, 2))),
    "stride-3": (6, 3, dict(stride=3, dilation=2)),
    "depthwise": (8, 8, dict(depthwise=True)),
    "depthwise-two-kernels-a-channel": (7, 14, dict(depthwise=True, stride=2)),
    "the-same-size-twice": (9, 8, dict(kernel_sizes=(3, 3, 5, 7))),
    "one-size": (3, 4, dict(kernel_sizes=(5,))),
    "no-bias": (6, 6, dict(bias=False)),
    "even": (6, 4, dict(kernel_sizes=(4, 2))),
    "even-and-odd": (6, 6, dict(kernel_sizes=(3, 4, 6), stride=(2, 3))),
    "even-depthwise": (4, 8, dict(kernel_sizes=(6, 5), depthwise=True)),
    "an-int": (4, 6, dict(kernel_sizes=5)),
    "an-even-int": (4, 6, dict(kernel_sizes=2, stride=3)),
}
every_case = pytest.mark.parametrize(("C", "O", "options"), CASES.values(), ids=CASES)


def made(C: int, O: int, options: dict) -> tuple[MixedConv2d, torch.Tensor]:
    return MixedConv2d(C, O, **options, dtype=torch.float64), torch.randn(2, C, 11, 7, dtype=torch.float64)


@every_case
def test_forward_and_gradient_match_the_definition(C, O, options):
    layer, x = made(C, O, options)
    x.requires_grad_()
    convs = list(layer.children())
    biases = None if convs[0].bias is None else [c.bias for c in convs]
    expected = definitions.mixed_conv2d(x, [c.weight for c in convs], biases, layer.stride, layer.dilation)
    assert_same(layer(x), expected, (x, *layer.parameters()))


@every_case
def test_it_is_one_convolution_of_the_largest_size_whose_kernels_are_zero_elsewhere(C, O, options):
    layer, x = made(C, O, options)
    largest, weight = max(layer.kernel_sizes), torch.zeros(O, C, *[max(layer.kernel_sizes)] * 2, dtype=torch.float64)
    to, at = 0, 0
    for conv in layer.children():
        edge = (largest - 1) // 2 - (conv.kernel_size[0] - 1) // 2
        multiplier = conv.out_channels // conv.in_channels if conv.groups > 1 else conv.out_channels
        for o in range(conv.out_channels):
            seen = slice(at, at + conv.in_channels) if conv.groups == 1 else slice(at + o // multiplier, None)
            seen = slice(seen.start, seen.start + conv.weight.shape[1])
            inner = slice(edge, edge + conv.kernel_size[0])
            weight[to + o, seen, inner, inner] = conv.weight[o].detach()
        to, at = to + conv.out_channels, at + conv.in_channels
    bias = None if conv.bias is None else torch.cat([c.bias for c in layer.children()])
    (dy, dx), before, after = layer.dilation, (largest - 1) // 2, largest // 2
    padded = F.pad(x, (dx * before, dx * after, dy * before, dy * after))
    assert_close(layer(x), F.conv2d(padded, weight, bias, layer.stride, 0, layer.dilation))


@pytest.mark.parametrize(("channels", "parts", "split"), [(8, 3, [4, 2, 2]), (9, 3, [3, 3, 3]), (11, 4, [5, 2, 2, 2])])
def test_what_is_left_over_goes_to_the_first_part(channels, parts, split):
    assert split_channels(channels, parts) == split
    assert MixedConv2d(channels, channels, [3] * parts).in_splits == split


def test_equal_sizes_are_a_grouped_convolution():
    mixed = MixedConv2d(6, 9, (3, 3, 3), stride=2, dtype=torch.float64)
    grouped = nn.Conv2d(6, 9, 3, 2, padding=1, groups=3, dtype=torch.float64)
    grouped.weight.data = torch.cat([c.weight.data for c in mixed.children()])
    grouped.bias.data = torch.cat([c.bias.data for c in mixed.children()])
    x = torch.randn(2, 6, 11, 7, dtype=torch.float64)
    assert_close(mixed(x), grouped(x))


def test_one_size_depthwise_is_the_depthwise_half_of_a_separable_layer():
    mixed = MixedConv2d(4, 8, (5,), depthwise=True, bias=False, dtype=torch.float64)
    separable = SeparableConv2d(4, 3, 5, padding=2, depth_multiplier=2, dtype=torch.float64)
    separable.depthwise.weight.data = mixed.get_submodule("0").weight.data
    x = torch.randn(2, 4, 11, 7, dtype=torch.float64)
    assert_close(mixed(x), separable.depthwise(x))


@pytest.mark.parametrize("stride", [1, 2, 3, (2, 1)])
@pytest.mark.parametrize("size", [(11, 7), (8, 6), (1, 1)])
def test_the_size_is_kept_or_divided_by_the_stride_and_rounded_up(stride, size):
    y = MixedConv2d(3, 3, dilation=2, stride=stride)(torch.randn(1, 3, *size))
    down, across = (stride, stride) if isinstance(stride, int) else stride
    assert y.shape[2:] == (-(-size[0] // down), -(-size[1] // across))


def test_a_part_sees_no_channel_of_another():
    layer, x = made(9, 6, {})
    changed = x.clone()
    changed[:, 3:6] += 1
    same = (layer(changed) == layer(x)).all(3).all(2).all(0)
    assert same.tolist() == [True, True, False, False, True, True]


@pytest.mark.parametrize(
    ("options", "size"),
    [(dict(), 7), (dict(kernel_sizes=(3, 1, 5)), 5), (dict(dilation=3), 19), (dict(stride=2, depthwise=True), 7)],
)
def test_the_largest_kernel_is_its_receptive_field(options, size):
    layer = MixedConv2d(6, 6, **options)
    field = receptive_field(layer)
    assert field == (size, options.get("stride", 1), size // 2)
    assert measured_receptive_field(layer, (1, 6, 64, 64)) == size
    assert receptive_field(nn.Sequential(layer, nn.ReLU(), nn.Conv2d(6, 2, 3))).size == size + 2 * field.stride


def test_its_cost_is_that_of_its_parts():
    layer = MixedConv2d(8, 10, stride=2)
    counted = cost(layer, (2, 8, 11, 7))
    weights = 9 * 4 * 4 + 25 * 2 * 3 + 49 * 2 * 3
    assert counted.params == weights + 10
    assert counted.macs == 2 * 6 * 4 * weights
    assert counted.activation_bytes == 4 * 2 * 10 * 6 * 4
    assert cost(MixedConv2d(12, 12, depthwise=True, bias=False), (1, 12, 8, 8)).params == 4 * (9 + 25 + 49)


def test_its_state_is_named_like_timm_s():
    assert list(MixedConv2d(6, 6, bias=False).state_dict()) == ["0.weight", "1.weight", "2.weight"]
    assert list(MixedConv2d(6, 6, (3, 5)).state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


@pytest.mark.parametrize("kernels", [[3, 5, 7], 3, 4])
@pytest.mark.parametrize("padding", ["", "same"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("depthwise", [False, True])
def test_it_agrees_with_timm(kernels, padding, stride, depthwise):
    timm = pytest.importorskip("timm", reason="timm is not installed: it is one more reference, not needed")
    theirs = timm.layers.MixedConv2d(8, 8, kernels, stride, padding, depthwise=depthwise).double()
    options = dict(stride=stride, padding=padding, depthwise=depthwise)
    ours = MixedConv2d(8, 8, kernels, **options, bias=False, dtype=torch.float64)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 8, 11, 7, dtype=torch.float64)
    assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: MixedConv2d(6, 6, ()), ValueError, r"kernel_sizes must hold at least 1, got \(\)"),
        (lambda: MixedConv2d(6, 6, (3, 0)), ValueError, r"kernel_sizes\[1\] must be at least 1, got 0"),
        (lambda: MixedConv2d(6, 6, (3, 5.0)), TypeError, r"kernel_sizes\[1\] must be an int, got 5\.0"),
        (lambda: MixedConv2d(6, 6, 0), ValueError, r"kernel_sizes\[0\] must be at least 1, got 0"),
        (lambda: MixedConv2d(6, 6, 3.0), TypeError, "kernel_sizes must be a sequence of ints, got 3.0"),
        (lambda: MixedConv2d(6, 6, "357"), TypeError, "kernel_sizes must be a sequence of ints"),
        (lambda: MixedConv2d(2, 6), ValueError, r"in_channels must be at least 3, .* \(3, 5, 7\), got 2"),
        (lambda: MixedConv2d(6, 2), ValueError, r"out_channels must be at least 3, .* \(3, 5, 7\), got 2"),
        (lambda: MixedConv2d(0, 6), ValueError, "in_channels must be at least 1, got 0"),
        # 8 → 16 is a multiple in all, but not part by part: [4, 2, 2] → [6, 5, 5]
        (lambda: MixedConv2d(8, 16, depthwise=True), ValueError, "got 6 outputs for 4 inputs in part 0"),
        (
            lambda: MixedConv2d(6, 9, depthwise=True),
            ValueError,
            r"depthwise needs a whole .* got 3 outputs for 2 inputs in part 0 of \[2, 2, 2\] → \[3, 3, 3\]",
        ),
        (lambda: MixedConv2d(3, 3)(torch.ones(1, 3, 0, 7)), ValueError, "at least 1×1 pixels, got 0×7"),
        (lambda: MixedConv2d(6, 6, stride=0), ValueError, "stride must be at least 1, got 0"),
        (lambda: split_channels(2, 3), ValueError, "2 channels cannot be cut into 3 parts"),
        (lambda: split_channels(2, 0), ValueError, "parts must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(build, error, says):
    with pytest.raises(error, match=says):
        build()
