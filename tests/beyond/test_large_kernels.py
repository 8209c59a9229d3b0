import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close
from torch import nn

from convnotes import ConvNeXtBlock, LargeKernelConv2d, RepLKNet, convnext_tiny, fuse_branches, replknet31_b
from convnotes.beyond.convnext import LayerNorm2d, Permute, drop_path
from convnotes.measure import cost, receptive_field


def params(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("strips", [False, True])
@pytest.mark.parametrize(("kernel_size", "small"), [(31, 5), (51, 5), (7, 3), (3, 3)])
def test_the_small_kernel_melts_into_the_large_one(kernel_size, small, strips):
    layer = LargeKernelConv2d(3, kernel_size, small, strips, dtype=torch.float64)
    x = torch.randn(2, 3, 14, 9, dtype=torch.float64)
    layer(x)
    conv = layer.eval().fuse()
    assert conv.kernel_size == (kernel_size, kernel_size)
    assert conv.groups == 3
    assert (conv(x) - layer(x)).abs().max() <= 1e-12 * layer(x).abs().max()


def test_without_a_small_kernel_there_is_one_branch():
    layer = LargeKernelConv2d(4, 9, None)
    assert [name for name, _ in layer.named_children()] == ["lkb_origin"]
    assert receptive_field(layer.eval().fuse()).words == "9×9"


def test_published_counts():
    tiny = convnext_tiny(device="meta")
    assert params(tiny) == 28_589_128
    assert cost(tiny, (1, 3, 224, 224)).macs // 10**6 == 4455
    net = replknet31_b(device="meta")
    assert params(net) // 10**6 == 79
    assert params(fuse_branches(net.eval())) // 10**6 == 79


def test_names_are_those_of_torchvision_and_of_the_authors():
    names = set(convnext_tiny(device="meta").state_dict())
    assert {
        "features.0.0.weight",
        "features.0.1.bias",
        "features.1.0.layer_scale",
        "features.1.0.block.0.weight",
        "features.1.0.block.5.bias",
        "features.2.1.weight",
        "classifier.0.weight",
        "classifier.2.bias",
    } <= names
    names = set(replknet31_b(device="meta").state_dict())
    assert {
        "stem.3.bn.running_mean",
        "stages.2.blocks.34.prelkb_bn.weight",
        "stages.0.blocks.0.large_kernel.lkb_origin.conv.weight",
        "stages.0.blocks.0.large_kernel.small_conv.bn.bias",
        "stages.3.blocks.3.preffn_bn.bias",
        "transitions.2.1.conv.weight",
        "norm.weight",
        "head.bias",
    } <= names


def test_a_fused_network_gives_the_logits_of_its_branches():
    net = RepLKNet((9, 7, 5, 3), (1, 1, 1, 1), (4, 6, 6, 8), 5, small_kernel=3, dtype=torch.float64)
    x = torch.randn(4, 3, 37, 33, dtype=torch.float64)
    net(x)
    net.eval()
    fused = fuse_branches(net)
    assert_close(fused(x), net(x))
    assert type(fused.stages[0].blocks[0].large_kernel) is nn.Conv2d


def test_layer_norm_is_over_the_channels_of_a_pixel():
    norm, x = LayerNorm2d(6, dtype=torch.float64), torch.randn(2, 6, 5, 4, dtype=torch.float64)
    nn.init.normal_(norm.weight)
    mean, spread = x.mean(1, keepdim=True), x.var(1, correction=0, keepdim=True)
    expected = (x - mean) / (spread + norm.eps).sqrt() * norm.weight.view(1, 6, 1, 1)
    assert_close(norm(x), expected)
    assert repr(Permute(0, 2, 3, 1)) == "Permute(0, 2, 3, 1)"


def test_a_dropped_path_leaves_the_mean_as_it_is():
    torch.manual_seed(0)
    added = drop_path(torch.ones(20_000, 1, 1, 1), 0.3, training=True)
    assert set(added.unique().tolist()) == {0.0, torch.tensor(1 / 0.7).item()}
    assert added.mean().item() == pytest.approx(1, abs=0.02)
    block, x = ConvNeXtBlock(3, drop_path=0.999999, layer_scale=1.0), torch.randn(2, 3, 7, 7)
    assert torch.equal(block(x), x)
    assert not torch.equal(block.eval()(x), x)


def test_the_block_starts_as_almost_the_identity_and_can_be_reset():
    block, x = ConvNeXtBlock(4), torch.randn(1, 4, 8, 8)
    assert (block(x) - x).abs().max() < 1e-4
    nn.init.ones_(block.layer_scale)
    block.reset_parameters()
    assert (block.layer_scale == 1e-6).all()


def test_the_large_kernel_sees_what_a_convolution_of_its_size_sees():
    layer = LargeKernelConv2d(2, 11, 3, dtype=torch.float64).eval()
    x = torch.zeros(1, 2, 21, 21, dtype=torch.float64)
    x[0, :, 10, 10] = 1
    seen = (layer(x) - layer(torch.zeros_like(x))).abs()[0, 0] > 0
    assert seen.sum() == 121
    assert F.max_pool2d(seen.double()[None], 11).sum() == 1


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: LargeKernelConv2d(4, 6), ValueError, "kernel_size must be odd"),
        (lambda: LargeKernelConv2d(4, 3, 5), ValueError, "small_kernel must be odd and from 1 to 3, got 5"),
        (lambda: LargeKernelConv2d(4, 9, None, strips=True), ValueError, "strips needs a small_kernel"),
        (lambda: LargeKernelConv2d(4, 9)(torch.zeros(1, 3, 9, 9)), ValueError, "input of LargeKernelConv2d"),
        (lambda: ConvNeXtBlock(4, 6), ValueError, "kernel_size must be odd"),
        (lambda: ConvNeXtBlock(4, drop_path=1.0), ValueError, "drop_path"),
        (lambda: convnext_tiny(device="meta")(torch.empty(1, 3, 31, 64, device="meta")), ValueError, "at least 32×32"),
        (lambda: RepLKNet((9, 7, 5), (1, 1, 1, 1), (4, 4, 4, 4)), ValueError, "kernel_sizes"),
    ],
)
def test_bad_arguments_are_refused(build, error, says):
    with pytest.raises(error, match=says):
        build()
