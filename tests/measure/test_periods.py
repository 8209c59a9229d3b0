"""The measured receptive field where neighbouring positions differ, against that of every position of the output."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from support.drawn import at_least
from support.fields import Net, conv
from torch import nn

from convnotes import Adder2d
from convnotes.measure import measured_receptive_field, receptive_field


def brute_force(net, side):
    """The largest extent of the gradient of one row, and of one column, that does not reach the border of the image."""
    net = net.double().requires_grad_(False)
    for parameter in net.parameters():
        parameter.copy_(parameter.abs() + 0.1)
    x = torch.ones(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    y = net(x)
    most = [0, 0]
    for axis in (0, 1):
        for n in range(y.shape[2 + axis]):
            (gradient,) = torch.autograd.grad(y.select(2 + axis, n).sum(), x, retain_graph=True)
            seen = gradient[0, 0].ne(0).any(1 - axis).nonzero()
            if len(seen) and seen.min() > 0 and seen.max() < side - 1:
                most[axis] = max(most[axis], int(seen.max() - seen.min()) + 1)
    return most[0] if most[0] == most[1] else tuple(most)


def up(factor, **options):
    return nn.Upsample(scale_factor=factor, **options)


def down(stride, kernel=1):
    return nn.Conv2d(1, 1, kernel, stride)


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    @staticmethod
    def backward(ctx, gradient):
        return F.avg_pool2d(gradient, 2) * 4


def to_depth_and_back(net, x):
    """Twice the size by views: [B, 4, H, W] → [B, 1, 2H, 2W]."""
    B, _, H, W = (y := net.a(x)).shape
    return net.b(y.view(B, 2, 2, H, W).permute(0, 3, 1, 4, 2).reshape(B, 1, 2 * H, 2 * W))


def written(net, x):
    y = x.new_zeros(*x.shape[:2], *(2 * n for n in x.shape[2:]))
    y[:, :, ::2, ::2], y[:, :, 1::2, 1::2] = x, net.a(x)
    return net.b(y)


def both_ways(net, x):
    """A map that went up by 3 and down by 2 meets one that went up by 3 and down by 2 in the other order."""
    return net.a(F.interpolate(x, scale_factor=3)[:, :, ::2, ::2]) + net.b(
        F.interpolate(x[:, :, ::2, ::2], scale_factor=3)
    )


def picked(net, x):
    return net.a(x.index_select(2, torch.tensor([0, 1, 3, 4, 8, 9, 11, 14, 15, 17, 20, 21, 22, 29])))


MIXES = {
    "x2 /3 x4": nn.Sequential(up(2), down(3, 5), up(4), down(1, 2)),
    "x3 /2 x5": nn.Sequential(up(3), down(2, 2), up(5), down(1, 4)),
    "x2 /3 x3": nn.Sequential(up(2), down(3, 4), up(3), down(1, 2)),
    "transposed x3 /2 x2": nn.Sequential(nn.ConvTranspose2d(1, 1, 3, 3), nn.MaxPool2d(2), up(2), down(1, 2)),
    "rows x2 /3, columns x3 /2": nn.Sequential(up((2, 3)), nn.AvgPool2d((3, 2)), up((2, 1)), down(1, 3)),
    "x1.5": nn.Sequential(up(1.5), down(1, 2)),
    "/1.5": nn.Sequential(up(2 / 3), down(1, 2), up(2), down(1, 2)),
    "to a fixed size": nn.Sequential(nn.Upsample(size=(50, 45)), down(1, 2)),
    "align_corners": nn.Sequential(up(2, mode="bilinear", align_corners=True), down(3, 3), up(4), conv(1, 1, 3)),
    "bilinear": nn.Sequential(up(2, mode="bilinear"), down(3, 3), up(4, mode="bilinear"), conv(1, 1, 3)),
    "adaptive": nn.Sequential(nn.AdaptiveAvgPool2d(20), up(2), down(1, 2)),
    "pixel shuffle": nn.Sequential(conv(1, 4, 3), nn.PixelShuffle(2), down(3, 3), up(4), down(1, 3)),
    "by views": nn.Sequential(Net(to_depth_and_back, a=conv(1, 4, 3), b=down(3, 3)), up(4), down(1, 3)),
    "written into": nn.Sequential(Net(written, a=conv(1, 1, 3), b=down(3, 3)), up(4), down(1, 3)),
    "an autograd function": nn.Sequential(Net(lambda net, x: Twice.apply(x)), down(3, 3), up(4), down(1, 3)),
    "both ways": nn.Sequential(Net(both_ways, a=conv(1, 1, 3), b=conv(1, 1, 3)), down(2, 2), up(2), down(1, 2)),
    "picked": Net(picked, a=nn.Conv2d(1, 1, 3)),
    "up and down again": nn.Sequential(up(2), conv(1, 1, 3), down(2, 2), up(3), down(3, 3), conv(1, 1, 3)),
}


@pytest.mark.parametrize("name", MIXES)
def test_the_largest_of_all_positions_is_found(name):
    assert measured_receptive_field(MIXES[name], (1, 1, 30, 30)) == brute_force(MIXES[name], 30)


def test_the_reported_mix_of_factors_without_a_common_divisor():
    net = MIXES["x2 /3 x4"]
    assert measured_receptive_field(net, (1, 1, 30, 30)) == receptive_field(net).size == 5


@at_least(40)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("up"), st.integers(2, 4)), st.tuples(st.just("down"), st.integers(2, 3)),
            st.tuples(st.just("kernel"), st.integers(2, 3)),
        ),
        min_size=2, max_size=5,
    )
)  # fmt: skip
def test_any_mix_is_that_of_the_closed_form(steps):
    made = {"up": up, "down": lambda n: down(n, n), "kernel": lambda n: down(1, n)}
    net = nn.Sequential(*(made[kind](number) for kind, number in steps))
    field = receptive_field(net)
    assume(field.size < 24 and 0.4 < field.stride < 6)
    assert measured_receptive_field(net, (1, 1, 48, 48)) == field.size


def test_a_layer_of_the_package_passes_the_period_on():
    net = nn.Sequential(up(2), down(3, 5), Adder2d(1, 1, 1), up(4), down(1, 2))
    assert measured_receptive_field(net, (1, 1, 30, 30)) == 5


def test_one_gradient_is_asked_where_all_positions_see_alike(monkeypatch):
    from convnotes.measure import effective

    asked, gradient = [], effective._gradient
    monkeypatch.setattr(effective, "_gradient", lambda *given: asked.append(1) or gradient(*given))
    measured_receptive_field(nn.Sequential(conv(1, 1, 3), nn.MaxPool2d(2), conv(1, 1, 3)), (1, 1, 40, 40))
    assert len(asked) == 1
    asked.clear()
    measured_receptive_field(nn.Sequential(up(2), down(2, 2), conv(1, 1, 3)), (1, 1, 40, 40))
    assert len(asked) == 1, "a period that a stride takes away again"


def test_more_positions_than_can_be_asked_are_refused():
    net = Net(lambda net, x: F.interpolate(net.a(x), size=(601, 601)), a=conv(1, 1, 3))
    with pytest.raises(
        ValueError, match="601 rows or columns of the output may all see differently, and 512 are asked"
    ):
        measured_receptive_field(net, (1, 1, 16, 16))
