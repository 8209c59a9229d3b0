"""The closed form where a forward writes into parts of tensors, mirrors them or puts them together from patches."""

import pytest
import torch
import torch.nn.functional as F
from support.fields import Net, conv
from torch import nn

from convnotes.measure import measured_receptive_field, receptive_field


def shifted(net, x):
    out = torch.zeros_like(x)
    out[:, :1, 1:], out[:, 1:2, :-1], out[:, 2:] = x[:, :1, :-1], x[:, 1:2, 1:], x[:, 2:]
    return net.a(out)


def one_channel(net, x):
    y = net.a(x)
    y[:, 0] = net.b(x)[:, 0]
    return y


def every_other(net, x):
    y = net.a(x).clone()
    y[:, :, ::2, ::2] += net.b(x)[:, :, ::2, ::2]
    return y


def depth_to_space(net, x):
    out = torch.zeros(x.shape[0], 3, 2 * x.shape[2], 2 * x.shape[3], dtype=x.dtype)
    out[:, :, ::2, ::2], out[:, :, 1::2, ::2], out[:, :, ::2, 1::2] = x, net.a(x), net.b(x)
    return out


def border(net, x):
    x = net.a(x)
    x[:, :, 0] = 0
    x[:, :, -1, :].zero_()
    return net.b(x)


def through_a_view(net, x):
    y = x.clone()
    y.view(x.shape[0], -1).add_(net.a(x).flatten(1))
    return y


def seen_by_a_view(net, x):
    y = x.clone()
    part = y[:, :2]
    y.add_(net.a(x))
    return part


def patches(net, x):
    rows = net.linear(F.unfold(x, 4, stride=4).transpose(1, 2)).transpose(1, 2)
    return net.a(F.fold(rows, x.shape[2:], 4, stride=4))


def inside_windows(net, x):
    B, C, H, W = x.shape
    windows = x.view(B, C, H // 8, 8, W // 8, 8).permute(0, 2, 4, 1, 3, 5).reshape(-1, C, 8, 8)
    return net.a(windows).view(B, H // 8, W // 8, C, 8, 8).permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


def skip_with_corners(net, x):
    inner = F.interpolate(net.b(F.max_pool2d(x, 2)), scale_factor=2, mode="bilinear", align_corners=True)
    return net.a(x + inner)


def a(kernel=3, **options):
    return nn.Conv2d(3, 3, kernel, **({"padding": "same"} | options))


NETS = {
    "shifted": (Net(shifted, a=a(1)), ((3, 1), 1, (1, 0))),
    "one channel": (Net(one_channel, a=a(), b=a(5)), (5, 1, 2)),
    "every other": (Net(every_other, a=a(), b=a(5)), (5, 1, 2)),
    "depth to space": (Net(depth_to_space, a=a(), b=a(5)), (5, 0.5, (2, 1))),
    "border": (Net(border, a=a(), b=a()), (5, 1, 2)),
    "through a view": (Net(through_a_view, a=a()), (3, 1, 1)),
    "seen by a view": (Net(seen_by_a_view, a=a()), (3, 1, 1)),
    "circular": (nn.Sequential(nn.CircularPad2d(2), a(padding=0)), (3, 1, 2)),
    "mirrored and back": (
        Net(lambda net, x: x + net.a(x.flip(3)).flip(3), a=a((1, 3))),
        ((1, 3), 1, (0, 1)),
    ),
    "turned and back": (
        Net(lambda net, x: torch.rot90(net.a(torch.rot90(x, 1, (2, 3))), -1, (2, 3)), a=a((1, 5))),
        ((5, 1), 1, (2, 0)),
    ),
    "folded": (Net(lambda net, x: F.fold(F.unfold(x, 3, padding=1), x.shape[2:], 3, padding=1)), (1, 1, 0)),
    "patches": (Net(patches, linear=nn.Linear(48, 48), a=a()), (8, 1, 4)),
    "inside windows": (Net(inside_windows, a=a()), (3, 1, 0)),
    "align_corners": (nn.UpsamplingBilinear2d(scale_factor=4), (2, 0.25, 1)),
    "a skip with align_corners": (Net(skip_with_corners, a=a(), b=a()), (10, 1, 4)),
    "the last axis": (Net(lambda net, x: net.a(x.unsqueeze(2))[:, :, 0], a=nn.Conv3d(3, 4, (1, 3, 5))), ((3, 5), 1, 0)),
    "stacked": (Net(lambda net, x: torch.stack([net.a(x), net.b(x)], -1)[..., 0], a=a(), b=a(5)), (3, 1, 1)),
}


@pytest.mark.parametrize("name", NETS)
def test_the_closed_form_is_what_gradients_measure(name):
    net, field = NETS[name]
    assert receptive_field(net) == field
    assert measured_receptive_field(net, (1, 3, 48, 48)) == field[0]


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (lambda net, x: F.interpolate(x, scale_factor=0.5, mode="area"), "an adaptive pooling grows"),
        (lambda net, x: F.adaptive_avg_pool2d(x, x.shape[2] // 2), "an adaptive pooling grows"),
        (lambda net, x: F.interpolate(x, size=(72, 72)), "changes with the size of the image.*give input_shape"),
        (lambda net, x: x.cumsum(2), "at cumsum it runs along the map"),
        (lambda net, x: net.linear(x), r"has the shape \(1, 48, 224, 48\) of a map, but its positions are not"),
        (lambda net, x: torch.rot90(x, 1, (2, 3)), "mirrored"),
        (lambda net, x: torch.fft.fft2(x).abs(), "does not know what"),
    ],
    ids=["area", "half", "fixed size", "running sum", "linear along an axis", "turned", "spectrum"],
)
def test_what_cannot_be_told_is_refused(run, says):
    with pytest.raises(ValueError, match=says):
        receptive_field(Net(run, linear=nn.Linear(48, 48)))


def test_with_the_size_known_area_interpolation_is_pooling():
    net = Net(lambda net, x: F.interpolate(net.a(x), scale_factor=0.5, mode="area"), a=a())
    assert receptive_field(net, (1, 3, 48, 48)) == (4, 2, 1)
    assert receptive_field(Net(lambda net, x: F.interpolate(x, size=(72, 72))), (1, 3, 48, 48)).size == 1


@pytest.mark.parametrize("run", [lambda net, x: x.softmax(3), lambda net, x: x.sort(3)[0]], ids=["softmax", "sort"])
def test_what_mixes_one_axis_sees_it_whole(run):
    assert receptive_field(Net(run)) == ((1, float("inf")), 1, (0, float("inf")))


def test_attention_of_torch_sees_the_whole_image():
    def attended(net, x):
        y = net.patches(x)
        tokens = y.flatten(2).transpose(1, 2)
        return net.block(tokens).transpose(1, 2).reshape(y.shape)

    block = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    net = Net(attended, patches=conv(3, 4, 8, stride=8, padding=0), block=block)
    assert receptive_field(net) == (float("inf"), 8, float("inf"))
