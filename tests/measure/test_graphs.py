"""The closed form on graphs that are told from shapes and arguments, against gradients."""

import math

import pytest
import torch
import torch.nn.functional as F
from support.fields import FIELDS, WINDOWS, Net, conv
from torch import nn

import convnotes
from convnotes.measure import measured_receptive_field, receptive_field


@pytest.mark.parametrize("name", FIELDS)
def test_the_closed_form_is_what_gradients_measure(name):
    net, field = FIELDS[name]
    assert receptive_field(net) == pytest.approx(field) if name == "bicubic" else receptive_field(net) == field
    channels = next((n for n in range(1, 5) if _runs(net, n)), 1)
    assert measured_receptive_field(net, (1, channels, 60, 60)) == field[0]


def _runs(net, channels):
    try:
        with torch.no_grad():
            net(torch.zeros(1, channels, 60, 60))
    except RuntimeError:
        return False
    return True


def test_windows_of_attention_are_followed_place_by_place():
    net, field = WINDOWS
    assert receptive_field(net) == field
    assert (
        measured_receptive_field(net, (1, 1, 48, 48)) == field[0]
    )  # the place in the middle lies at a window's border


def test_what_hangs_on_the_size_of_the_image_asks_for_it():
    halves = Net(lambda net, x: sum(x.chunk(2, 2)))
    with pytest.raises(ValueError, match=r"the receptive field changes with the size of the image.*: give input_shape"):
        receptive_field(halves)
    assert receptive_field(halves, (1, 1, 48, 48)).size == (25, 1)


def excite(net, x):
    x = net.conv(x)
    return x * torch.sigmoid(net.inner(x.mean((2, 3))))[:, :, None, None]


def excite_by_convolution(net, x):
    x = net.conv(x)
    return x * torch.sigmoid(net.inner(F.adaptive_avg_pool2d(x, 1)))


def attend(net, x):
    q = x.flatten(2).transpose(1, 2)
    return ((q @ q.transpose(1, 2)).softmax(-1) @ q).transpose(1, 2).reshape(x.shape)


@pytest.mark.parametrize(
    "net",
    [
        Net(excite, conv=conv(4, 4, 3), inner=nn.Linear(4, 4)),
        Net(excite_by_convolution, conv=conv(4, 4, 3), inner=nn.Conv2d(4, 4, 1)),
        Net(lambda net, x: x - x.mean((2, 3), keepdim=True)),
        Net(lambda net, x: x + F.interpolate(net.conv(F.adaptive_avg_pool2d(x, 1)), x.shape[2:]), conv=conv(2, 2, 1)),
        Net(attend),
        convnotes.NonLocal2d(4),
        convnotes.ASPP(2, 3),
    ],
    ids=["excite", "excite-conv", "centred", "image-pooling", "attention", "non-local", "aspp"],
)
def test_what_comes_back_from_the_whole_picture_sees_it_whole(net):
    assert receptive_field(net) == (math.inf, 1, math.inf)


def test_one_axis_may_see_everything_and_the_other_not():
    net = Net(lambda net, x: x * torch.sigmoid(x.mean(3, keepdim=True)))
    assert receptive_field(net) == ((1, math.inf), 1, (0, math.inf))


def test_deeplab_has_a_closed_form():
    assert receptive_field(convnotes.deeplabv3_resnet50(device="meta")) == (math.inf, 1, math.inf)


@pytest.mark.parametrize(
    ("net", "size"),
    [
        (nn.Sequential(conv(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)), 3),
        (nn.Sequential(conv(1, 4, 3), nn.Flatten(), nn.Linear(4 * 9 * 9, 2)), 3),  # of pictures of 9×9
        (Net(lambda net, x: net.out(net.conv(x).amax((2, 3))), conv=conv(3, 4, 5), out=nn.Linear(4, 2)), 5),
        (
            Net(
                lambda net, x: net.out(torch.cat([net.token, net.conv(x).flatten(2).mT], 1)[:, 0]),
                token=nn.Parameter(torch.zeros(1, 1, 8)), conv=nn.Conv2d(3, 8, 16, 16), out=nn.Linear(8, 3),
            ),
            16,
        ),
    ],
    ids=["mean", "flat", "maximum", "class-token"],
)  # fmt: skip
def test_the_field_is_that_of_the_last_map_where_no_place_is_left(net, size):
    assert receptive_field(net).size == size


def adaptive(size):
    return nn.Sequential(conv(1, 4, 3), nn.AdaptiveAvgPool2d(size), nn.Conv2d(4, 2, 1))


@pytest.mark.parametrize(
    ("net", "says"),
    [
        (adaptive(1), "a convolution acts on what was averaged"),
        (adaptive(4), "at convolution an adaptive pooling to 4×4 took the positions"),
        (nn.Sequential(nn.AdaptiveMaxPool2d(4), nn.MaxPool2d(2)), "at max_pool2d_with_indices an adaptive pooling"),
        (Net(lambda net, x: net.conv(x.flatten(1).view(1, 1, -1, 16)), conv=conv(1, 1, 3)), "convolution"),
        (Net(lambda net, x: net.conv(x.mean(2, keepdim=True)), conv=conv(1, 1, 3)), "a convolution acts on"),
        (Net(lambda net, x: torch.cat([x, x], 2)), "at cat parts of a map are put together in another order"),
        (Net(lambda net, x: x.flip(3)), "the map that comes out is mirrored"),
        (Net(lambda net, x: x + x[:, :, :1]), "at add"),
        (Net(lambda net, x: x + x.transpose(2, 3)), "at add maps meet in different layouts"),
        (
            Net(lambda net, x: F.grid_sample(x, torch.zeros(1, 8, 8, 2), align_corners=False)),
            "does not know what grid_sampler_2d does",
        ),
        (nn.FractionalMaxPool2d(2, output_ratio=0.5), "does not know what fractional_max_pool2d does"),
        (Net(lambda net, x: torch.zeros_like(x)), "nothing that comes out depends on the image"),
    ],
)
def test_what_cannot_be_told_is_refused_by_its_call(net, says):
    with pytest.raises(ValueError, match=says):
        receptive_field(net)


def test_a_part_in_the_middle_that_is_written_in_place_is_refused():
    def halves(net, x):
        out, half = torch.zeros_like(x), x.shape[2] // 2
        out[:, :, half:] = x[:, :, :half]
        return out

    with pytest.raises(ValueError, match="at copy_ a part in the middle of an axis is written"):
        receptive_field(Net(halves))


def test_once_the_size_is_known_a_convolution_may_follow_adaptive_pooling():
    net = nn.Sequential(conv(1, 4, 3), nn.AdaptiveAvgPool2d(4), nn.Conv2d(4, 2, 3))
    assert receptive_field(net, (1, 1, 8, 8)) == (8, 2, 1)
    with pytest.raises(ValueError, match="took the positions"):
        receptive_field(net, (1, 1, 9, 9))
