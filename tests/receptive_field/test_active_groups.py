"""What the active convolution of the authors has beside: positions by groups of outputs, and negative padding."""

import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close, assert_same

from convnotes import ActiveConv2d, active_conv2d, active_groups, definitions, scale_active_steps
from convnotes.measure import measured_receptive_field, receptive_field

PADDING = [0, -1, (-2, 1), (2, -3), (-5, -3)]
STRIDE = [1, (2, 3)]
every_padding = pytest.mark.parametrize("padding", PADDING, ids=str)
every_stride = pytest.mark.parametrize("stride", STRIDE, ids=str)


def leaf(*shape, scale=1.0):
    return (scale * torch.randn(shape, dtype=torch.float64)).requires_grad_()


@every_padding
@every_stride
@pytest.mark.parametrize("groups", [None, 1, 2, 6])
@pytest.mark.parametrize("spread", [1.0, 4.0, 30.0])
def test_forward_and_gradient_match_the_definition(padding, stride, groups, spread):
    x, w, b = leaf(2, 3, 11, 7), leaf(6, 3, 5), leaf(6)
    p = leaf(*([] if groups is None else [groups]), 5, 2, scale=spread)
    expected = definitions.active_conv2d(x, w, p, b, stride, padding)
    assert_same(active_conv2d(x, w, p, b, stride, padding), expected, (x, w, p, b))
    reach = (4, 1)
    limit = torch.tensor(reach, dtype=p.dtype)
    expected = definitions.active_conv2d(x, w, p.clamp(-limit, limit), b, stride, padding)
    assert_same(active_conv2d(x, w, p, b, stride, padding, reach), expected, (x, w, p, b))


@every_stride
def test_an_unpadded_3x3_is_a_padding_of_minus_1(stride):
    taps = torch.tensor([(u, v) for u in (-1.0, 0.0, 1.0) for v in (-1.0, 0.0, 1.0)], dtype=torch.float64)
    x, w = leaf(2, 3, 11, 7), leaf(4, 3, 9)
    plain = F.conv2d(x, w.unflatten(2, (3, 3)), None, stride)
    assert_same(active_conv2d(x, w, taps, None, stride, -1), plain, (x, w))
    assert_same(active_conv2d(x, w, taps, None, stride, -1, reach=2), plain, (x, w))


def test_a_negative_padding_is_a_part_of_the_whole_map():
    x, w, p = leaf(2, 3, 11, 7), leaf(4, 3, 5), leaf(5, 2, scale=3.0)
    assert_close(active_conv2d(x, w, p, padding=(-2, -1)), active_conv2d(x, w, p)[:, :, 2:-2, 1:-1])


def test_a_group_is_an_active_convolution_of_its_own_outputs():
    x, w, p, b = leaf(2, 3, 11, 7), leaf(6, 3, 5), leaf(3, 5, 2), leaf(6)
    y = active_conv2d(x, w, p, b)
    for g in range(3):
        own = slice(2 * g, 2 * g + 2)
        assert_close(y[:, own], active_conv2d(x, w[own], p[g], b[own]))


def test_groups_at_the_same_positions_are_one_group():
    torch.manual_seed(0)
    one = ActiveConv2d(3, 6, dtype=torch.float64)
    torch.manual_seed(0)
    three = ActiveConv2d(3, 6, position_group=3, dtype=torch.float64)
    assert three.positions.shape == (3, 9, 2)
    assert torch.equal(three.positions, one.positions.expand(3, -1, -1))
    x = torch.randn(2, 3, 11, 7, dtype=torch.float64)
    assert_close(three(x), one(x))
    assert_close(three.full_weight(), one.full_weight())


@pytest.mark.parametrize("groups", [1, 2])
def test_the_first_synapse_of_every_group_is_pinned_and_steps_have_length_1(groups):
    layer = ActiveConv2d(3, 4, position_group=groups, padding=-1, max_reach=2, dtype=torch.float64)
    with torch.no_grad():
        layer.positions += 0.3
    optimizer = torch.optim.SGD(active_groups(layer, lr=1.0, factor=0.5))
    scale_active_steps(layer, optimizer)
    before = layer.positions.detach().clone()
    layer(torch.randn(2, 3, 11, 7, dtype=torch.float64)).square().sum().backward()
    assert (layer.positions.grad[..., 0, :] == 0).all()
    optimizer.step()
    lengths = layer.positions.grad.norm(dim=-1)
    assert_close(lengths[..., 1:], torch.ones_like(lengths[..., 1:]))
    assert (layer.places()[..., 0, :] == 0).all()
    moved = (layer.positions - before)[..., 1:, :].norm(dim=-1)
    assert (moved <= 0.5 + 1e-12).all()  # and back inside where one left


def test_its_receptive_field_starts_inside_the_picture():
    layer = ActiveConv2d(1, 2, [(0, 0), (1, 0), (-1, 1), (0.5, -1)], padding=-2, max_reach=1, position_group=2)
    field = receptive_field(layer)
    assert field == (3, 1, -1)
    assert measured_receptive_field(layer, (1, 1, 15, 15)) == 3


@pytest.mark.parametrize(("groups", "error"), [(0, ValueError), (3, ValueError), (1.0, TypeError), (True, TypeError)])
def test_a_bad_number_of_groups_is_refused(groups, error):
    with pytest.raises(error, match="position_group must"):
        ActiveConv2d(3, 4, position_group=groups)
