import copy
import io

import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close, assert_same
from torch import nn

from convnotes import (
    Shift2d,
    ShiftBlock,
    ShiftResNet,
    definitions,
    shift2d,
    shiftresnet20,
)
from convnotes.kernels.shift.moves import moves_of
from convnotes.measure import cost, measured_receptive_field, receptive_field
from convnotes.operations.cifar_resnet import CifarResNet, resnet20

LAYERS = {
    "contiguous": dict(channels=18),
    "contiguous with channels left over": dict(channels=20),
    "interleaved": dict(channels=18, order="interleaved"),
    "interleaved with channels left over": dict(channels=23, order="interleaved"),
    "5x5": dict(channels=50, kernel_size=5),
    "dilated": dict(channels=9, dilation=3),
    "dilated beyond the picture": dict(channels=9, dilation=9),
    "fewer channels than taps": dict(channels=7),
    "a window of one pixel": dict(channels=3, kernel_size=1),
}
layers = pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)


def images(channels=3, height=11, width=7, **kw):
    return torch.randn(2, channels, height, width, dtype=torch.float64, **kw)


@layers
def test_the_layer_matches_the_definition_forward_and_gradient(options):
    layer, x = Shift2d(**options), images(options["channels"], requires_grad=True)
    assert_same(layer(x), definitions.shift2d(x, layer.displacements), (x,))


@pytest.mark.parametrize("size", [(11, 7), (1, 1), (2, 9)], ids=str)
def test_any_displacements_match_the_definition_as_a_tensor_and_as_a_list(size):
    x, d = images(12, *size, requires_grad=True), torch.randint(-4, 5, (12, 2))
    d[0], d[1] = torch.tensor([20, 0]), torch.tensor([0, -20])  # beyond the picture: nothing is left
    assert_same(shift2d(x, d), definitions.shift2d(x, d), (x,))
    assert torch.equal(shift2d(x, d.tolist()), shift2d(x, d))
    assert shift2d(x, d)[:, :2].abs().max() == 0


def test_a_channel_reads_its_displacement_further():
    x = torch.arange(12.0).view(1, 1, 3, 4)
    assert shift2d(x, [(1, 2)]).tolist() == [[[[6, 7, 0, 0], [10, 11, 0, 0], [0, 0, 0, 0]]]]


def test_both_orders_are_the_published_ones():
    k, C = 3, 20
    share = C // k**2
    contiguous, interleaved = (
        Shift2d(C, order=order).displacements.tolist() for order in ("contiguous", "interleaved")
    )
    for c in range(C):
        if c < share * k**2:
            assert interleaved[c] == [c // k % k - k // 2, c % k - k // 2]  # h_c, w_c of the CUDA code
            assert contiguous[c] == [c // share // k - k // 2, c // share % k - k // 2]
        else:
            assert interleaved[c] == contiguous[c] == [0, 0]


@pytest.mark.parametrize("order", ["contiguous", "interleaved"])
def test_one_pass_takes_one_copy_a_tap_and_one_more_for_what_is_left_over(order):
    assert len(Shift2d(18, order=order)._moves.runs()) == 9
    assert len(Shift2d(100, 5, order=order)._moves.runs()) == 25
    assert len(Shift2d(20, order=order)._moves.runs()) == 10


def test_runs_cover_every_channel_once():
    displacements = [tuple(pair) for pair in torch.randint(-1, 2, (64, 2)).tolist()]
    covered = {}
    for dy, dx, start, stop, step in moves_of(displacements).runs():
        for c in range(start, stop, step):
            assert c not in covered
            covered[c] = (dy, dx)
    assert [covered[c] for c in range(64)] == displacements


@layers
def test_shift_and_a_1x1_convolution_are_one_convolution_with_one_hot_kernels(options):
    layer, C = Shift2d(**options), options["channels"]
    x, w = images(C, requires_grad=True), torch.randn(4, C, dtype=torch.float64, requires_grad=True)
    reach = int(layer.displacements.abs().max())
    one_hot = torch.zeros(C, 2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    for c, (dy, dx) in enumerate(layer.displacements.tolist()):
        one_hot[c, reach + dy, reach + dx] = 1
    full = F.conv2d(x, w[:, :, None, None] * one_hot, padding=reach)
    assert_same(F.conv2d(layer(x), w[:, :, None, None]), full, (x, w))
    assert_same(layer(x), F.conv2d(x, one_hot[:, None], padding=reach, groups=C), (x,))


def test_with_a_1x1_kernel_on_both_sides_the_order_makes_no_difference():
    first = ShiftBlock(6, 9, expansion=2, order="contiguous", dtype=torch.float64).eval()
    second = ShiftBlock(6, 9, expansion=2, order="interleaved", dtype=torch.float64).eval()
    second.load_state_dict({**first.state_dict(), "shift.displacements": second.shift.displacements})
    home = {tuple(d): [] for d in first.shift.displacements.tolist()}
    for c, d in enumerate(first.shift.displacements.tolist()):
        home[tuple(d)].append(c)
    source = [home[tuple(d)].pop() for d in second.shift.displacements.tolist()]  # the channel that moves as this one
    with torch.no_grad():
        second.conv1.weight.copy_(first.conv1.weight[source])
        second.conv2.weight.copy_(first.conv2.weight[:, source])
    x = images(6)
    assert_close(second(x), first(x))


def test_moving_back_is_the_transpose():
    x, g, d = images(5), images(5), torch.randint(-3, 4, (5, 2))
    assert_close((shift2d(x, d) * g).sum(), (x * shift2d(g, -d)).sum())


def test_the_displacements_are_state_and_loading_others_changes_the_layer():
    layer, other, x = Shift2d(9), Shift2d(9, order="interleaved", dilation=2), images(9)
    assert not torch.equal(layer(x), other(x))
    file = io.BytesIO()
    torch.save(other.state_dict(), file)
    file.seek(0)
    layer.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(layer(x), other(x))
    assert torch.equal(copy.deepcopy(layer)(x), other(x))
    layer.reset_parameters()
    assert torch.equal(layer.displacements, Shift2d(9).displacements)
    assert torch.equal(layer(x), Shift2d(9)(x))


def test_a_graph_captures_displacements_given_as_a_tensor_or_a_list():
    x, d = images(5, requires_grad=True), torch.randint(-3, 4, (5, 2))
    torch.compiler.reset()
    captured = torch.compile(shift2d, fullgraph=True, backend="aot_eager")
    assert_same(captured(x, d), shift2d(x, d), (x,))
    assert_same(captured(x, d.tolist()), shift2d(x, d), (x,))


def test_an_exported_shift_is_plain_torch():
    program = torch.export.export(ShiftBlock(3, 9).eval(), (torch.randn(2, 3, 8, 8),))
    names = {str(node.target).split(".")[0] for node in program.graph.nodes if node.op == "call_function"}
    assert names == {"aten"}


@pytest.mark.parametrize(("expansion", "params", "macs"), [
    (1, 34_906, 5_948_032), (3, 95_642, 16_433_792), (6, 186_746, 32_162_432), (9, 277_850, 47_891_072),
])  # fmt: skip
def test_shiftresnet20_costs_what_is_published(expansion, params, macs):
    found = cost(shiftresnet20(expansion, device="meta"), (1, 3, 32, 32))
    assert (found.params, found.macs) == (params, macs)
    moved = expansion * 3 * (16 * 32**2 + 32 * 16**2 + 64 * 8**2) + expansion * (32 * (32**2 - 16**2) + 64 * 192)
    assert found.moved_bytes == 2 * 4 * moved  # the first block of a stage shifts before its stride


def test_the_plain_resnet20_costs_what_is_published():
    found = cost(resnet20(device="meta"), (1, 3, 32, 32))
    assert (found.params, found.macs, found.moved_bytes) == (272_474, 40_813_184, 0)


def test_depth_and_classes_are_as_asked():
    net = ShiftResNet(14, expansion=2, num_classes=100)
    assert [len(stage) for stage in (net.layer1, net.layer2, net.layer3)] == [2, 2, 2]
    assert net(torch.randn(2, 3, 9, 6)).shape == (2, 100)


def test_the_receptive_field_is_the_window_of_the_displacements():
    assert receptive_field(Shift2d(9, dilation=2)) == (5, 1, 2)
    assert receptive_field(nn.Sequential(nn.Conv2d(3, 25, 1, stride=2), Shift2d(25, 5))) == (9, 2, 4)
    net = ShiftResNet(8, expansion=2)
    assert receptive_field(net).size == measured_receptive_field(net, (1, 3, 64, 64), at="layer3")


@pytest.mark.parametrize(
    ("build", "problem", "says"),
    [
        (lambda: Shift2d(9, 2), ValueError, "kernel_size must be odd and at least 1, got 2"),
        (lambda: Shift2d(0), ValueError, "channels must be at least 1, got 0"),
        (lambda: Shift2d(9, dilation=0), ValueError, "dilation must be at least 1"),
        (lambda: Shift2d(9, order="random"), ValueError, "order must be .* got 'random'"),
        (lambda: ShiftBlock(3, 4, expansion=0), ValueError, "expansion must be at least 1"),
        (lambda: ShiftResNet(19), ValueError, r"depth must be 6n \+ 2 .* got 19"),
        (lambda: CifarResNet(2), ValueError, "depth must be 6n"),
        (
            lambda: shift2d(images(3), [(0, 1)]),
            ValueError,
            r"input of shift2d must be \[B, 1, H, W\], got shape \(2, 3, 11, 7\)",
        ),
        (lambda: shift2d(images(3), [(0, 1, 2)] * 3), ValueError, r"pairs \(dy, dx\)"),
        (lambda: shift2d(images(3), [(0, 1.5)] * 3), TypeError, "whole numbers"),
        (lambda: shift2d(images(3), 1), TypeError, "a tensor or pairs .* got int"),
        (lambda: shift2d(images(3), torch.zeros(3, 2)), TypeError, "whole numbers, got torch.float32"),
        (
            lambda: shift2d(images(3), torch.zeros(2, 3).long()),
            ValueError,
            r"displacements of shift2d must be \[C, 2\], got shape \(2, 3\)",
        ),
        (
            lambda: shift2d(images(3), torch.zeros(3, 2, device="meta").long()),
            ValueError,
            "displacements of shift2d must be on cpu, got meta",
        ),
        (lambda: shift2d([1], [(0, 1)]), TypeError, r"input of shift2d must be a tensor \[B, 1, H, W\], got list"),
    ],
)
def test_bad_arguments_are_refused(build, problem, says):
    with pytest.raises(problem, match=says):
        build()
