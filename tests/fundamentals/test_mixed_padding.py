"""The mixed convolution pads as timm's `MixedConv2d` does: by name, by a number, for odd and even kernels."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close, assert_same

from convnotes import MixedConv2d, definitions
from convnotes.measure import receptive_field

KERNELS = [(3, 5, 7), (4,), (2, 4), (3, 4), (6, 6)]
SIZES = [(11, 7), (12, 9), (8, 8)]


def sides_of_timm(padding, n, k, s, d):
    """(before, after) of one axis of n pixels, as timm reckons it for a kernel of k, stride s, dilation d."""
    span = d * (k - 1)
    if padding == "same":
        missing = max((-(-n // s) - 1) * s + span + 1 - n, 0)
        return missing // 2, missing - missing // 2
    pixels = (s - 1 + span) // 2 if padding == "" else 0 if padding == "valid" else padding
    return pixels, pixels


def by_hand(layer, x, padding):
    """Part by part, each padded by hand; None where the maps differ in size."""
    results = []
    for conv, part in zip(layer.children(), x.split(layer.in_splits, 1), strict=True):
        (k, _), (sy, sx), (dy, dx) = conv.kernel_size, layer.stride, layer.dilation
        down = sides_of_timm(padding, x.shape[2], k, sy, dy)
        across = sides_of_timm(padding, x.shape[3], k, sx, dx)
        groups = part.shape[1] if layer.depthwise else 1
        padded = F.pad(part, (*across, *down))
        results.append(definitions.conv2d(padded, conv.weight, conv.bias, layer.stride, 0, layer.dilation, groups))
    return torch.cat(results, 1) if len({y.shape[2:] for y in results}) == 1 else None


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("stride", [1, 2, 3, (2, 1)], ids=str)
@pytest.mark.parametrize("kernels", KERNELS, ids=str)
@pytest.mark.parametrize("padding", ["", "same", "valid", 1, 3])
def test_values_and_gradients_are_those_of_parts_padded_by_hand(padding, kernels, stride, size):
    options = dict(stride=stride, dilation=(1, 2) if padding in ("", "same") else 1, depthwise=stride == 2)
    layer = MixedConv2d(6, 6, kernels, **options, padding=padding, dtype=torch.float64)
    x = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    expected = by_hand(layer, x, padding)
    if expected is None:
        with pytest.raises(ValueError, match=r"padding of MixedConv2d must give all .* maps of one size"):
            layer(x)
    else:
        assert_same(layer(x), expected, (x, *layer.parameters()))


@pytest.mark.parametrize("stride", [1, 2])
def test_timm_s_rule_is_the_default_for_odd_kernels_and_strides_1_and_2(stride):
    torch.manual_seed(0)
    one = MixedConv2d(6, 6, stride=stride, dilation=2)
    torch.manual_seed(0)
    other = MixedConv2d(6, 6, stride=stride, dilation=2, padding="")
    x = torch.randn(2, 6, 11, 7)
    assert torch.equal(one(x), other(x))


def test_with_stride_1_same_is_the_default_and_that_of_torch():
    torch.manual_seed(0)
    one = MixedConv2d(4, 4, 4, dilation=(1, 2), dtype=torch.float64)
    torch.manual_seed(0)
    other = MixedConv2d(4, 4, (4,), dilation=(1, 2), padding="same", dtype=torch.float64)
    x, conv = torch.randn(2, 4, 11, 7, dtype=torch.float64), other.get_submodule("0")
    assert torch.equal(one(x), other(x))
    assert_close(one(x), F.conv2d(x, conv.weight, conv.bias, 1, "same", (1, 2)))


def test_a_pair_is_vertical_first_and_numpy_s_ints_are_ints():
    layer = MixedConv2d(4, 4, np.int64(3), padding=(np.int64(2), 0))
    assert layer(torch.randn(1, 4, 11, 7)).shape == (1, 4, 13, 5)
    assert layer.kernel_sizes == (3,)


@pytest.mark.parametrize(
    "options", [dict(padding="same", stride=2), dict(kernel_sizes=(2, 4, 3), stride=(2, 1))], ids=str
)
@pytest.mark.filterwarnings("ignore")  # that sizes become constants, and that tracing is going out of use
def test_graphs_take_any_size(options):
    layer = MixedConv2d(6, 6, **options).eval()
    x, other = torch.randn(2, 6, 11, 7), torch.randn(3, 6, 13, 10)
    sizes = {n: torch.export.Dim(name, min=6, max=64) for n, name in ((2, "height"), (3, "width"))}
    exported = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1), **sizes},))
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    for graph in (torch.fx.symbolic_trace(layer), torch.jit.trace(layer, x), exported.module(), compiled):
        assert_close(graph(x), layer(x))
        assert_close(graph(other), layer(other))


def test_its_receptive_field_counts_the_padding():
    assert receptive_field(MixedConv2d(4, 4, 4)) == (4, 1, 1)
    assert receptive_field(MixedConv2d(4, 4, (3, 5), padding="")) == (5, 1, 2)
    assert receptive_field(MixedConv2d(4, 4, 3, stride=3, padding="")) == (3, 3, 2)


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: MixedConv2d(4, 4, padding="circular"), ValueError, "padding must be None, .* got 'circular'"),
        (lambda: MixedConv2d(4, 4, padding=-1), ValueError, "padding must be at least 0, got -1"),
        (lambda: MixedConv2d(4, 4, padding=1.5), TypeError, "padding must be an int or two ints"),
        (lambda: MixedConv2d(4, 4, 5, padding="valid")(torch.ones(1, 4, 4, 7)), ValueError, "does not fit into"),
        (
            lambda: MixedConv2d(4, 4, (3, 5), padding=1)(torch.ones(1, 4, 9, 7)),
            ValueError,
            r"maps of one size, got \(1, 1\), which gives 9×7, 7×5",
        ),
    ],
)
def test_bad_paddings_are_refused(build, error, says):
    with pytest.raises(error, match=says):
        build()
