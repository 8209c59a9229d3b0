import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close, assert_same
from torch import nn

from convnotes import Involution2d, RedNet, definitions, involution2d, rednet50
from convnotes.measure import cost, receptive_field


def noise(*shape, **kw):
    return torch.randn(shape, dtype=torch.float64, **kw)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_a_constant_generator_is_a_depthwise_convolution_shared_by_the_group(groups, stride):
    layer, x = Involution2d(6, (3, 5), stride, groups=groups, dtype=torch.float64), noise(2, 6, 11, 7)
    (last,) = layer.conv2
    nn.init.zeros_(last.weight)
    kernels = last.bias.view(groups, 1, 3, 5).repeat_interleave(6 // groups, 0)  # of each channel
    assert_same(layer(x), F.conv2d(x, kernels, None, stride, (1, 2), 1, 6), (last.bias,))


@pytest.mark.parametrize(
    "window",
    [
        dict(),
        dict(stride=(2, 1), padding=(2, 1), dilation=(1, 2)),
        dict(padding="same", dilation=2),
        dict(stride=3, padding="valid"),
    ],
)
def test_the_function_is_its_definition(window):
    x = noise(2, 4, 11, 9, requires_grad=True)
    H, W = F.conv2d(x, noise(1, 4, 3, 4), **window).shape[2:]
    weight = noise(2, 2, 3, 4, H, W, requires_grad=True)
    assert_same(involution2d(x, weight, **window), definitions.involution2d(x, weight, **window), (x, weight))


def test_the_sum_is_that_over_unfolded_patches():
    x, weight = noise(2, 6, 8, 10), noise(2, 3, 5, 5, 4, 5)
    patches = F.unfold(x, 5, padding=2, stride=2).view(2, 3, 2, 25, 4, 5)
    expected = (patches * weight.flatten(2, 3).unsqueeze(2)).sum(3).view(2, 6, 4, 5)
    assert_close(involution2d(x, weight, 2, 2), expected)


def test_training_keeps_the_padded_images_and_the_kernels_and_no_patches():
    x, weight = noise(2, 16, 8, 10, requires_grad=True), noise(2, 2, 7, 7, 8, 10, requires_grad=True)
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        involution2d(x, weight, padding=3)
    assert sum(kept.values()) == 8 * (2 * 16 * 14 * 16 + weight.numel())


def test_a_kernel_comes_from_its_pixel_alone():
    layer, x = Involution2d(4, 3, dtype=torch.float64).eval(), noise(1, 4, 7, 5)
    other = x.clone()
    other[..., 3, 2] += 1
    differ = (layer.generate(x) != layer.generate(other)).flatten(1, 3).any(1)[0]
    assert differ.nonzero().tolist() == [[3, 2]]


def test_with_a_stride_the_generator_sees_the_mean_as_in_the_authors_code():
    layer, x = Involution2d(4, 3, stride=2, dtype=torch.float64).eval(), noise(1, 4, 8, 6)
    (last,), (conv, norm) = layer.conv2, layer.conv1
    expected = last(torch.relu(norm(conv(F.avg_pool2d(x, 2, 2)))))
    assert_close(layer.generate(x).flatten(1, 3), expected)
    assert layer(noise(1, 4, 1, 1)).shape == (1, 4, 1, 1)


def test_its_reach_is_that_of_a_convolution():
    assert receptive_field(Involution2d(16, 7)).words == "7×7"
    assert receptive_field(Involution2d(16, (3, 5), dilation=2)).words == "5×9"


def test_published_counts():
    net = rednet50(device="meta")
    assert sum(p.numel() for p in net.parameters()) == 15_540_806  # 15.54 M in the authors' table
    counted = cost(net, (1, 3, 224, 224)).macs
    places = [(32, 112, 9), *[(64, 56, 49)] * 3, *[(128, 28, 49)] * 4, *[(256, 14, 49)] * 6, *[(512, 7, 49)] * 3]
    summed = sum(channels * side**2 * taps for channels, side, taps in places)
    assert (counted + summed) / 1e9 == pytest.approx(2.71, abs=0.07)  # theirs, norms and activations included


def test_names_are_those_of_the_authors():
    assert {
        "stem.0.conv.weight",
        "stem.0.bn.running_var",
        "stem.1.conv1.conv.weight",
        "stem.1.conv2.conv.bias",
        "stem.2.weight",
        "stem.4.bn.bias",
        "layer1.0.conv1.weight",
        "layer1.0.downsample.1.running_mean",
        "layer2.3.conv2.conv1.bn.weight",
        "layer4.2.conv2.conv2.conv.weight",
        "layer4.2.bn3.bias",
        "fc.weight",
    } <= set(rednet50(device="meta").state_dict())


def test_a_block_begins_as_its_shortcut():
    net = RedNet((1, 2, 1, 1), (16, 16, 16, 16), 5).eval()
    x = torch.rand(2, 64, 9, 7)
    assert torch.equal(net.layer2[1](x), x)
    assert net.layer2[1].conv2.groups == 1
    assert rednet50(device="meta").layer3[0].conv2.groups == 16


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: Involution2d(6, 4), ValueError, "kernel_size must be odd, got 4"),
        (lambda: Involution2d(6, 3, groups=4), ValueError, "groups must divide channels=6, got 4"),
        (lambda: Involution2d(6, 3, reduction=0), ValueError, "reduction must be at least 1"),
        (lambda: Involution2d(6, 3)(torch.zeros(1, 5, 9, 9)), ValueError, "input of Involution2d"),
        (lambda: involution2d(noise(2, 4, 5, 5), noise(2, 3, 3, 3, 3, 3)), ValueError, "got 3 groups for 4 channels"),
        (
            lambda: involution2d(noise(2, 4, 5, 5), noise(2, 2, 3, 3, 5, 5)),
            ValueError,
            r"weight .* \[2, 2, 3, 3, 3, 3\]",
        ),
        (
            lambda: involution2d(noise(2, 4, 5, 5), noise(1, 2, 3, 3, 3, 3)),
            ValueError,
            r"weight .* \[2, 2, 3, 3, 3, 3\]",
        ),
        (lambda: involution2d(noise(2, 4, 2, 5), noise(2, 2, 3, 3, 3, 3)), ValueError, "involution2d: a kernel of 3×3"),
        (lambda: involution2d(noise(2, 4, 5, 5), None), TypeError, "weight of involution2d must be a tensor"),
        (lambda: RedNet((1, 1, 1, 1), (16, 56, 16, 16)), ValueError, "groups must divide channels=56, got 3"),
        (lambda: RedNet((1, 1, 1), (16, 16, 16, 16)), ValueError, "layers must hold 4 ints"),
    ],
)
def test_bad_arguments_are_refused(build, error, says):
    with pytest.raises(error, match=says):
        build()
