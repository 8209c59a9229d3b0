"""The layer that predicts its own offsets."""

import pytest
import torch
from support.close import assert_close
from support.deform_calls import both_versions
from torch import nn

from convnotes import DeformConv2d, deform_conv2d
from convnotes.measure import cost, receptive_field

pytestmark = pytest.mark.usefixtures("each_backend")


def test_cost_tells_the_offsets_from_the_convolution():
    layer = DeformConv2d(4, 6, 3, padding=1)
    rows = {row.name: row for row in cost(layer, (1, 4, 8, 9)).layers}
    assert rows["(itself)"].macs == 72 * 9 * 4 * 6
    assert rows["conv_offset"].macs == 72 * 9 * 4 * 27


def test_a_symbolic_trace_keeps_it_as_one_step_and_its_field_has_no_closed_form():
    layer = DeformConv2d(2, 3, 3, dtype=torch.float64)
    x = torch.randn(1, 2, 7, 6, dtype=torch.float64)
    traced = torch.fx.symbolic_trace(layer)
    assert sum(node.target is deform_conv2d for node in traced.graph.nodes) == 1
    assert_close(traced(x), layer(x))
    with pytest.raises(ValueError, match="does not know what deform_conv2d does to a position"):
        receptive_field(layer)


def plain_and_deformable(modulated, **options):
    torch.manual_seed(5)
    plain = nn.Conv2d(4, 6, (3, 2), dtype=torch.float64, **options)
    torch.manual_seed(5)
    layer = DeformConv2d(4, 6, (3, 2), modulated=modulated, offset_groups=2, dtype=torch.float64, **options)
    return plain, layer


OPTIONS = {
    "plain": dict(),
    "strided-dilated-grouped": dict(stride=(2, 1), padding=(1, 2), dilation=(2, 1), groups=2),
    "same": dict(padding="same"),
    "no-bias": dict(bias=False),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_v1_starts_as_the_plain_convolution_of_the_same_seed(options):
    plain, layer = plain_and_deformable(False, **options)
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64)
    assert torch.equal(layer.weight, plain.weight)
    assert_close(layer(x), plain(x))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_v2_starts_as_half_of_it(options):
    plain, layer = plain_and_deformable(True, **options)
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64)
    bias = 0 if plain.bias is None else plain.bias.view(-1, 1, 1)
    assert_close(layer(x) - bias, (plain(x) - bias) / 2)


@both_versions
def test_offsets_learn_from_the_first_step(modulated):
    layer = DeformConv2d(3, 4, 3, padding=1, modulated=modulated)
    layer(torch.randn(1, 3, 6, 5)).square().sum().backward()
    gradient = layer.conv_offset.weight.grad.flatten(1).abs().amax(1)
    assert (gradient > 0).all()
    assert set(layer.state_dict()) == {"weight", "bias", "conv_offset.weight", "conv_offset.bias"}


def test_what_is_predicted_is_what_is_used():
    layer = DeformConv2d(4, 6, 3, padding=1, offset_groups=2)
    nn.init.normal_(layer.conv_offset.weight, std=0.1)
    x = torch.randn(2, 4, 5, 7)
    offset, mask = layer.predict(x)
    assert offset.shape == (2, 36, 5, 7)
    assert mask.shape == (2, 18, 5, 7)
    assert mask.min() > 0
    assert mask.max() < 1
    assert_close(layer(x), deform_conv2d(x, offset, layer.weight, layer.bias, padding=1, mask=mask))


def test_autocast_gives_low_precision_and_a_default_device_is_followed():
    with torch.device("meta"):
        layer = DeformConv2d(3, 4, 3)
    assert {p.device.type for p in layer.parameters()} == {"meta"}
    with torch.autocast("cpu", torch.bfloat16):
        assert DeformConv2d(3, 4, 3)(torch.randn(1, 3, 6, 5)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: DeformConv2d(4, 6, 3, groups=3), "groups must divide in_channels=4 and out_channels=6, got 3"),
        (lambda: DeformConv2d(4, 6, 3, offset_groups=3), "offset_groups must divide in_channels=4, got 3"),
        (lambda: DeformConv2d(4, 6, 0), "kernel_size must be at least 1"),
        (lambda: DeformConv2d(4, 6, 3, offset_groups=0), "offset_groups must be at least 1, got 0"),
        (lambda: DeformConv2d(4, 6, 9)(torch.zeros(2, 4, 8, 9)), "DeformConv2d: a kernel of 9×9"),
    ],
)
def test_bad_arguments_are_refused_in_words(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize("bias", [True, False])
def test_a_bias_by_position_as_torchvision_s_is_told_where_it_lands(bias):
    with pytest.raises(TypeError, match=f"offset_groups must be an int, got {bias}"):
        DeformConv2d(4, 6, 3, 1, 0, 1, 1, bias)


@both_versions
def test_it_takes_what_torchvision_s_layer_takes(modulated):
    """Offset and mask from outside, and a state without a predictor."""
    layer, x = (
        DeformConv2d(4, 6, 3, padding=1, modulated=modulated, dtype=torch.float64),
        torch.randn(2, 4, 7, 6).double(),
    )
    offset = 0.4 + torch.randint(-2, 2, (2, 18, 7, 6)).double()
    mask = torch.rand(2, 9, 7, 6).double() if modulated else None
    found = layer(x, offset, mask)
    assert_close(found, deform_conv2d(x, offset, layer.weight, layer.bias, padding=1, mask=mask))
    state = {name: torch.ones_like(getattr(layer, name)) for name in ("weight", "bias")}
    before = layer.conv_offset.weight.clone()
    nn.Sequential(layer).load_state_dict({f"0.{name}": value for name, value in state.items()})
    assert (layer.weight == 1).all()
    assert torch.equal(layer.conv_offset.weight, before)
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: \"conv_offset.bias\""):
        layer.load_state_dict(state | {"conv_offset.weight": before})
    with pytest.raises(ValueError, match="needs an offset beside the mask"):
        layer(x, mask=torch.rand(2, 9, 7, 6))
