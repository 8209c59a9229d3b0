import pytest
import torch
from support.close import assert_close
from torch import nn

from convnotes import FasterNet, GhostConv2d, GhostNet, PartialConv2d, fasternet_t0, ghostnet_100
from convnotes.measure import cost, receptive_field


def params(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("ratio", "first", "others"), [(2, 32, 32), (3, 22, 44), (4, 16, 48)])
def test_a_ghost_layer_has_about_one_in_ratio_of_the_weights_of_a_convolution(ratio, first, others):
    layer = GhostConv2d(48, 64, kernel_size=3, ratio=ratio)
    primary, cheap = layer.primary_conv[0].weight, layer.cheap_operation[0].weight
    assert primary.shape == (first, 48, 3, 3)
    assert cheap.shape == (others, 1, 3, 3)
    plain = 64 * 48 * 9
    assert (primary.numel() + cheap.numel()) * ratio / plain == pytest.approx(1, abs=0.1)
    assert layer(torch.rand(1, 48, 9, 7)).shape == (1, 64, 9, 7)


def test_the_ghosts_are_made_from_the_channels_beside_them():
    layer = GhostConv2d(4, 7, act_layer=nn.Identity, dtype=torch.float64).eval()
    x = torch.randn(2, 4, 9, 7, dtype=torch.float64)
    y, (conv, norm, _) = layer(x), layer.cheap_operation
    assert_close(y[:, :4], layer.primary_conv(x))
    assert_close(y[:, 4:], norm(conv(y[:, :4]))[:, :3])
    assert (y < 0).any()
    assert (GhostConv2d(4, 7)(x.float()) >= 0).all()


def test_the_other_channels_pass_bit_by_bit_and_the_input_stays():
    layer, x = PartialConv2d(10, n_div=4), torch.randn(2, 10, 9, 7)
    before = x.clone()
    y = layer(x)
    assert torch.equal(y[:, 2:], x[:, 2:])
    assert torch.equal(y[:, :2], layer.partial_conv3(x[:, :2]))
    assert torch.equal(x, before)
    assert receptive_field(PartialConv2d(8, 5)).words == "5×5"


def test_a_partial_convolution_does_one_in_n_squared_of_the_work():
    part, whole = (cost(PartialConv2d(32, n_div=n), (1, 32, 14, 14)).macs for n in (4, 1))
    assert part * 16 == whole


def test_published_counts():
    net = ghostnet_100(device="meta")
    assert params(net) == 5_182_508  # 5.2 M and 141 million multiply-adds in the paper
    assert cost(net, (1, 3, 224, 224)).macs // 10**6 == 141
    net = fasternet_t0(device="meta")
    assert params(net) == 3_905_500  # 3.9 M and 0.34 billion
    assert round(cost(net, (1, 3, 224, 224)).macs / 1e9, 2) == 0.34


def test_names_are_those_of_the_authors():
    assert {
        "conv_stem.weight",
        "bn1.running_mean",
        "blocks.0.0.ghost1.primary_conv.0.weight",
        "blocks.1.0.conv_dw.weight",
        "blocks.1.0.bn_dw.bias",
        "blocks.3.0.se.conv_reduce.bias",
        "blocks.3.0.se.conv_expand.weight",
        "blocks.6.3.shortcut.3.weight",
        "blocks.8.3.ghost2.cheap_operation.1.running_var",
        "blocks.9.0.conv.weight",
        "blocks.9.0.bn1.weight",
        "conv_head.bias",
        "classifier.weight",
    } <= set(ghostnet_100(device="meta").state_dict())
    assert {
        "patch_embed.proj.weight",
        "patch_embed.norm.bias",
        "stages.0.blocks.0.spatial_mixing.partial_conv3.weight",
        "stages.1.reduction.weight",
        "stages.4.blocks.7.mlp.1.running_var",
        "stages.6.blocks.1.mlp.3.weight",
        "avgpool_pre_head.1.weight",
        "head.bias",
    } <= set(fasternet_t0(device="meta").state_dict())


def test_widths_are_multiples_of_four_and_the_map_is_halved_five_times():
    net = GhostNet(width_multiplier=1.3, device="meta")
    widths = [module.out_channels for module in net.modules() if isinstance(module, GhostConv2d)]
    assert all(width % 4 == 0 for width in widths)
    assert net.blocks(torch.empty(1, net.conv_stem.out_channels, 112, 112, device="meta")).shape[2:] == (7, 7)


def test_a_dropped_path_leaves_the_input_of_a_block():
    net = FasterNet((2, 1, 1, 1), 8, 5, drop_path=0.5)
    assert [block.drop for stage in list(net.stages)[::2] for block in stage.blocks] == [0, 0.125, 0.25, 0.375, 0.5]
    block, x = net.stages[0].blocks[0], torch.rand(2, 8, 9, 7)
    block.drop = 1 - 1e-9
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: GhostConv2d(4, 6, 2), ValueError, "kernel_size must be odd"),
        (lambda: GhostConv2d(4, 6, cheap_kernel_size=4), ValueError, "cheap_kernel_size must be odd"),
        (lambda: GhostConv2d(4, 6, ratio=1), ValueError, "ratio must be at least 2, got 1"),
        (lambda: GhostConv2d(4, 6)(torch.zeros(1, 3, 9, 9)), ValueError, r"input of GhostConv2d must be \[B, 4"),
        (lambda: PartialConv2d(6, 4), ValueError, "kernel_size must be odd"),
        (lambda: PartialConv2d(3, n_div=4), ValueError, "n_div must be from 1 to 3, got 4"),
        (lambda: PartialConv2d(4)(torch.zeros(1, 3, 9, 9)), ValueError, "input of PartialConv2d"),
        (lambda: GhostNet(width_multiplier=0), ValueError, "width_multiplier must lie in"),
        (lambda: FasterNet((1, 1, 1), 8), ValueError, "layers must hold 4 ints"),
        (lambda: FasterNet((1, 1, 1, 1), 3), ValueError, "n_div must be from 1 to 3, got 4"),
        (lambda: FasterNet((1, 1, 1, 1), 8, drop_path=1.0), ValueError, "drop_path must lie in"),
        (lambda: fasternet_t0(device="meta")(torch.empty(1, 3, 31, 64, device="meta")), ValueError, "at least 32×32"),
    ],
)
def test_bad_arguments_are_refused(build, error, says):
    with pytest.raises(error, match=says):
        build()
