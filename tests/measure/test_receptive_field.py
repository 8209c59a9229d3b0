import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from support.drawn import at_least
from torch import nn

import convnotes
from convnotes.compression.small_kernels import VGG
from convnotes.measure import effective_receptive_field, measured_receptive_field, receptive_field


@pytest.mark.parametrize(
    ("name", "options", "size", "at", "picture"),
    [
        ("VGG", {}, 212, "features", 260),
        ("mobilenet_v1", {"width_multiplier": 0.1}, 315, "blocks", 416),
        ("ResNet", {"stride_on": "1x1"}, 483, "layer4", 608),
        ("ResNet", {"stride_on": "3x3"}, 427, "layer4", 544),
    ],
)
def test_published_fields_from_the_closed_form_and_from_gradients(name, options, size, at, picture):
    if name == "ResNet":
        net = convnotes.ResNet((3, 4, 6, 3), width_per_group=1, **options)  # narrow: the field is the same
    elif name == "VGG":
        net = VGG([(8, 5), (8, 5), (8, 7), (8, 7), (8, 7)])  # vgg16, narrow
        assert receptive_field(convnotes.vgg16(device="meta")) == receptive_field(net)
    else:
        net = getattr(convnotes, name)(**options)
    assert receptive_field(net)[:2] == (size, 32)
    assert measured_receptive_field(net, (1, 3, picture, picture), at=at) == size


def test_vgg_s_padding_is_the_published_one():
    assert receptive_field(convnotes.vgg16(device="meta")).padding == 90


def test_alexnet_s_published_field():
    """Krizhevsky's geometry as google-research's table has it: 195 / 32 / 64."""

    def conv(k, s=1, p=0):
        return nn.Conv2d(1, 1, k, s, p)

    net = nn.Sequential(
        conv(11, 4), nn.MaxPool2d(3, 2), conv(5, p=2), nn.MaxPool2d(3, 2), conv(3, p=1), conv(3, p=1), conv(3, p=1),
        nn.MaxPool2d(3, 2),
    )  # fmt: skip
    assert receptive_field(net) == (195, 32, 64)


def test_a_pooling_that_is_used_twice_is_seen_through_twice():
    pool = nn.MaxPool2d(3, 2)
    net = nn.Sequential(pool, nn.Conv2d(1, 1, 3), pool)
    assert receptive_field(net).size == measured_receptive_field(net, (1, 1, 41, 41)) == 11


def test_axes_that_differ_are_given_apart():
    net = nn.Sequential(nn.Conv2d(1, 1, (3, 5), stride=(1, 2), padding=(1, 0)), nn.Conv2d(1, 1, 3, dilation=(1, 4)))
    assert receptive_field(net) == ((5, 21), (1, 2), (1, 0))


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nn.Conv2d(1, 1, 3), "3×3"),
        (nn.Conv2d(1, 1, (3, 5)), "3×5"),
        (convnotes.NonLocal2d(4), "the whole input"),
        (nn.Softmax(3), "1×∞"),
    ],
)
def test_a_page_prints_it_in_one_way(net, words):
    assert receptive_field(net).words == words


def test_branches_see_the_hull():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.far = nn.Conv2d(2, 2, 3, padding=4, dilation=4)
            self.off = nn.Conv2d(2, 2, 3, padding=(0, 1))

        def forward(self, x):
            return torch.cat([self.far(x), F.pad(self.off(x), (0, 0, 1, 1))], 1)

    assert receptive_field(Branches()) == (9, 1, 4)
    assert measured_receptive_field(Branches(), (1, 2, 30, 30)) == 9


def test_branches_of_different_strides_are_refused_by_place():
    class Uneven(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 1, 1, stride=2), nn.Conv2d(1, 1, 1)

        def forward(self, x):
            return self.a(x).mean() + self.b(x)

    class Uneven2(Uneven):
        def forward(self, x):
            return self.a(x) + self.b(x)

    assert receptive_field(Uneven()) == (math.inf, 1, math.inf)  # the mean is of the whole picture
    with pytest.raises(ValueError, match=r"at add branches of strides \[1, 2\] meet"):
        receptive_field(Uneven2())


def test_functional_calls_are_followed():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(1, 1, 3, 5))

        def forward(self, x):
            return F.max_pool2d(F.relu(F.conv2d(x, self.weight, stride=2, padding=1)), 2)

    assert receptive_field(Functional()) == ((5, 7), 4, 1)


def test_the_field_ends_where_places_are_averaged_away():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert receptive_field(net).size == 3


def test_adaptive_pooling_into_equal_windows_is_pooling_once_the_size_is_known():
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.AdaptiveAvgPool2d(4))
    assert receptive_field(net).size == 3
    assert receptive_field(net, (1, 1, 8, 8)) == (4, 2, 1)


def test_a_layer_may_tell_its_own_reach():
    class Far(nn.Module):
        def forward(self, x):
            raise RuntimeError("torch.fx must not look in here")

        def reach(self):
            return (1, 2, 2), (0, 0, 1)

    assert receptive_field(nn.Sequential(nn.Conv2d(1, 1, 3), Far())) == ((6, 3), (2, 1), (1, 0))
    assert receptive_field(Far()).size == (4, 1)


def test_what_fx_cannot_follow_is_named():
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match=r"cannot follow Branching: .*measured_receptive_field"):
        receptive_field(Branching())
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got str"):
        receptive_field("resnet")


geometry = st.fixed_dictionaries(
    {
        "kernel_size": st.tuples(st.integers(1, 4), st.integers(1, 4)),
        "stride": st.tuples(st.integers(1, 2), st.integers(1, 2)),
        "padding": st.tuples(st.integers(0, 2), st.integers(0, 2)),
        "dilation": st.tuples(st.integers(1, 3), st.integers(1, 3)),
    }
)


@at_least(40)
@given(st.lists(geometry, min_size=1, max_size=3), st.booleans())
def test_any_stack_has_the_field_that_its_gradients_have(layers, pooled):
    convs = [nn.Conv2d(1, 1, **options) for options in layers]
    net = nn.Sequential(*convs, *([nn.ReLU(), nn.MaxPool2d(2)] if pooled else []))
    assert receptive_field(net).size == measured_receptive_field(net, (1, 1, 160, 160))


def test_the_effective_field_is_the_product_of_the_kernels_and_peaks_in_the_middle():
    net = nn.Sequential(*[nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(2)])
    with torch.no_grad():
        for layer in net:
            layer.weight.fill_(1.0)
    erf = effective_receptive_field(net, (1, 1, 11, 9))
    line = torch.tensor([1.0, 2, 3, 2, 1], dtype=torch.float64)
    expected = torch.zeros(11, 9, dtype=torch.float64)
    expected[3:8, 2:7] = torch.outer(line, line) / 9
    torch.testing.assert_close(erf, expected)


def test_the_effective_field_repeats_and_leaves_the_model_alone():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3)).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    first, second = (effective_receptive_field(net, (1, 3, 15, 13)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.max() == 1
    assert net.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net[0].weight.dtype == torch.float32


def test_a_layer_inside_can_be_asked():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert measured_receptive_field(net, (1, 1, 9, 9), at="0") == 3
    with pytest.raises(ValueError, match=r"must be a map \[B, C, H, W\], got shape \(1, 4\): name the layer"):
        measured_receptive_field(net, (1, 1, 9, 9))
    with pytest.raises(ValueError, match=r"there is no layer 'head'; the outermost are 0, 1, 2"):
        effective_receptive_field(net, (1, 1, 9, 9), at="head")


def test_a_picture_that_is_too_small_and_a_bad_shape_are_refused():
    with pytest.raises(ValueError, match="reaches the border of an image of 4×4"):
        measured_receptive_field(nn.Conv2d(1, 1, 3), (1, 1, 4, 4))
    with pytest.raises(ValueError, match=r"input_shape \[B, C, H, W\] must hold 4 ints, got \(1, 4, 4\)"):
        measured_receptive_field(nn.Conv2d(1, 1, 3), (1, 4, 4))
    dead = nn.Conv2d(1, 1, 3)
    nn.init.zeros_(dead.weight)
    with pytest.raises(ValueError, match="depends on no pixel"):
        effective_receptive_field(dead, (1, 1, 9, 9))
