"""The layer with places that it learns: where they start, how far they may go, and the steps that move them."""

import math

import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close
from torch import nn

from convnotes import ActiveConv2d, definitions
from convnotes.measure import cost, measured_receptive_field, receptive_field
from convnotes.receptive_field.active import active_groups, ring, scale_active_steps


def test_the_ring_starts_on_the_right_and_goes_on_by_way_of_below():
    x_first = [(0, 0), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]  # the authors' order
    assert ring(9) == tuple((y, x) for x, y in x_first)
    assert ring(5) == ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
    assert ring(1) == ((0, 0),)
    assert ring(5, radius=2.0) == ((0, 0), (0, 2), (2, 0), (0, -2), (-2, 0))
    assert len(set(ring(7))) == 7, "halves must not send two synapses to one pixel"
    assert all(math.copysign(1, v) > 0 for place in ring(9) for v in place if v == 0)
    layer = ActiveConv2d(2, 3)
    assert layer.positions.tolist() == [list(place) for place in ring(9)]
    between = ActiveConv2d(2, 3, synapses=[(0, 0), (0.1, -1 / 3)], dtype=torch.float64)
    assert between.positions.tolist() == [[0, 0], [0.1, -1 / 3]], "positions start in the layer's own precision"


def test_at_the_start_it_is_a_3x3_convolution_with_its_taps_in_the_order_of_the_ring():
    layer = ActiveConv2d(3, 4, stride=2, dtype=torch.float64)
    kernel = torch.empty(4, 3, 3, 3, dtype=torch.float64)
    for k, (y, x) in enumerate(ring(9)):
        kernel[:, :, int(y) + 1, int(x) + 1] = layer.weight[:, :, k].detach()
    x = torch.randn(2, 3, 11, 7, dtype=torch.float64)
    assert_close(layer(x), F.conv2d(x, kernel, layer.bias, stride=2, padding=1))


def test_weights_start_as_those_of_a_3x3_convolution():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3)
    torch.manual_seed(0)
    layer = ActiveConv2d(3, 4)
    assert torch.equal(layer.weight, conv.weight.flatten(2))
    assert torch.equal(layer.bias, conv.bias)


def test_the_first_synapse_is_pinned_whatever_its_row_holds():
    layer = ActiveConv2d(3, 4, dtype=torch.float64)
    x = torch.randn(2, 3, 11, 7, dtype=torch.float64)
    expected = layer(x)
    expected.square().sum().backward()
    assert (layer.positions.grad[0] == 0).all()
    assert (layer.positions.grad[1:] != 0).all()
    with torch.no_grad():
        layer.positions[0] = torch.tensor([2.5, -1.0])
    assert torch.equal(layer(x), expected)
    assert layer.places()[0].tolist() == [0, 0]


def test_the_layer_is_one_ordinary_convolution():
    layer = moved(ActiveConv2d(3, 4, 6, stride=(1, 2), padding=1, max_reach=(2, 3), dtype=torch.float64))
    x = torch.randn(2, 3, 11, 7, dtype=torch.float64)
    weight = layer.full_weight()
    assert weight.shape == (4, 3, 5, 7)
    assert_close(layer(x), F.conv2d(x, weight, layer.bias, stride=(1, 2), padding=(3, 4)))
    assert_close(weight.sum((2, 3)), layer.weight.sum(2))  # interpolation shares a tap out and loses nothing


def moved(layer: ActiveConv2d, by: float = 0.4) -> ActiveConv2d:
    with torch.no_grad():
        layer.positions += torch.empty_like(layer.positions).uniform_(-by, by)
    return layer


def test_a_position_beyond_the_reach_acts_on_the_border():
    layer = ActiveConv2d(3, 4, 3, max_reach=2, dtype=torch.float64)
    x = torch.randn(2, 3, 11, 7, dtype=torch.float64)
    with torch.no_grad():
        layer.positions[1] = torch.tensor([5.0, 0.25])
        layer.positions[2] = torch.tensor([-1.5, -9.0])
    y = layer(x)
    border = torch.tensor([[0, 0], [2.0, 0.25], [-1.5, -2.0]], dtype=torch.float64)
    assert_close(layer.places(), border)
    assert_close(y, definitions.active_conv2d(x, layer.weight, border, layer.bias))
    y.square().sum().backward()
    assert (layer.positions.grad == 0).tolist() == [[True, True], [True, False], [False, True]]


def test_steered_steps_have_the_length_of_the_rate_and_end_inside():
    layer = ActiveConv2d(3, 4, max_reach=1, dtype=torch.float64)
    optimizer = torch.optim.SGD(active_groups(layer, lr=10.0), lr=10.0)
    scale_active_steps(layer, optimizer)
    x, before = torch.randn(2, 3, 11, 7, dtype=torch.float64), layer.positions.detach().clone()
    (-layer(x).square().sum()).backward()
    optimizer.step()
    assert_close(layer.positions.grad.norm(dim=1)[1:], torch.ones(8, dtype=torch.float64))
    assert layer.positions.abs().max() <= 1
    free = before - 0.1 * layer.positions.grad
    assert_close(layer.positions.detach(), free.clamp(-1, 1))
    assert not torch.equal(free, free.clamp(-1, 1)), "the test must send one outside"
    layer.zero_grad()
    layer(x).square().sum().backward()
    assert (layer.positions.grad[1:] != 0).all(), "on the border there is a gradient again"


def test_a_step_without_normalisation_is_the_gradient_s():
    layer = ActiveConv2d(3, 4, dtype=torch.float64)
    optimizer = torch.optim.SGD(active_groups(layer, lr=1e-3), lr=1e-3)
    scale_active_steps(layer, optimizer, normalise=False)
    before = layer.positions.detach().clone()
    layer(torch.randn(2, 3, 11, 7, dtype=torch.float64)).sum().backward()
    optimizer.step()
    assert_close(layer.positions.detach(), before - 1e-5 * layer.positions.grad)


def test_normalised_gradients_keep_their_direction_and_a_zero_stays():
    net = nn.Sequential(ActiveConv2d(1, 1, 4, dtype=torch.float64), nn.Conv2d(1, 1, 1))
    net[0].positions.grad = torch.tensor([[0, 0], [3.0, -4.0], [1e-12, 0], [torch.nan, 1]], dtype=torch.float64)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    scale_active_steps(net, optimizer)
    optimizer.step()
    expected = [[0, 0], [0.6, -0.8], [1, 0]]
    assert_close(net[0].positions.grad[:3], torch.tensor(expected, dtype=torch.float64))
    assert net[0].positions.grad[3].isnan().all()
    optimizer.zero_grad()
    optimizer.step()  # without gradients there is nothing to do


def test_positions_learn_a_hundred_times_slower_and_do_not_decay():
    net = nn.Sequential(ActiveConv2d(3, 4), nn.BatchNorm2d(4), ActiveConv2d(4, 2, 5))
    others, positions = active_groups(net, lr=0.5, weight_decay=1e-4)
    assert (others["lr"], others["weight_decay"]) == (0.5, 1e-4)
    assert (positions["lr"], positions["weight_decay"]) == (0.005, 0.0)
    assert [id(p) for p in positions["params"]] == [id(net[0].positions), id(net[2].positions)]
    assert {*map(id, others["params"]), *map(id, positions["params"])} == {*map(id, net.parameters())}
    assert len(others["params"]) == 6
    assert active_groups(net, lr=0.5, factor=0.1)[1]["lr"] == 0.05
    assert "weight_decay" not in active_groups(net, lr=0.5)[0]  # which leaves it to the optimiser
    with pytest.raises(ValueError, match="Conv2d holds no ActiveConv2d"):
        active_groups(nn.Conv2d(3, 4, 3), lr=0.1)


def test_learning_positions_finds_a_shift():
    """A picture and itself, 1.5 pixels lower and 2.25 to the left: one synapse walks there."""
    x = torch.randn(8, 1, 36, 36, dtype=torch.float64)
    for _ in range(3):
        x = F.avg_pool2d(x, 5, stride=1, padding=2)  # smooth, so that no other minimum is near
    target = definitions.active_conv2d(
        x, torch.ones(1, 1, 1, dtype=x.dtype), torch.tensor([[1.5, -2.25]], dtype=x.dtype)
    )
    layer = ActiveConv2d(1, 1, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[0.0, 1.0]]]))
    optimizer = torch.optim.SGD([layer.positions], lr=0.1)
    scale_active_steps(layer, optimizer)
    for step in range(120):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 120)
        optimizer.zero_grad()
        (layer(x) - target).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(layer.places()[1].tolist(), [1.5, -2.25], rtol=0, atol=0.02)


def test_the_closed_form_is_what_the_layer_may_see_and_gradients_what_it_sees_now():
    layer = ActiveConv2d(2, 3, stride=2, padding=1, max_reach=(2, 4))
    assert receptive_field(layer) == ((5, 9), 2, (3, 5))
    net = nn.Sequential(nn.Conv2d(3, 2, 3), layer)
    assert receptive_field(net).size == (7, 11)
    assert measured_receptive_field(layer, (1, 2, 31, 31)) == 3
    with torch.no_grad():
        layer.positions[3] = torch.tensor([0.0, 3.5])
    assert measured_receptive_field(layer, (1, 2, 31, 31)) == (3, 6)


def test_the_cost_is_that_of_the_kernel_that_is_computed():
    layer = ActiveConv2d(3, 4, 9, max_reach=2)
    counted = cost(layer, (2, 3, 11, 7))
    assert counted.macs == 3 * 4 * 25 * (2 * 77 + 9)
    assert counted.params == 3 * 4 * 9 + 4 + 9 * 2


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: ActiveConv2d(0, 4), "in_channels must be at least 1, got 0"),
        (lambda: ActiveConv2d(3, 4, 0), "synapses must be at least 1, got 0"),
        (lambda: ActiveConv2d(3, 4, ()), r"synapses must hold at least one \(y, x\)"),
        (lambda: ActiveConv2d(3, 4, ((0, 0), (1, 2, 3))), r"synapses must hold at least one \(y, x\)"),
        (lambda: ActiveConv2d(3, 4, ((0, 1), (1, 2))), r"pinned at \(0, 0\), got \(0.0, 1.0\)"),
        (
            lambda: ActiveConv2d(3, 4, ring(9, 2), max_reach=(2, 1)),
            r"start within max_reach=\(2, 1\), got \(0.0, 2.0\)",
        ),
        (lambda: ActiveConv2d(3, 4, max_reach=0), "max_reach must be at least 1, got 0"),
        (lambda: ring(9, -1.0), r"radius must lie in \[0, inf\), got -1\.0"),
        (lambda: ring(9, math.nan), r"radius must lie in \[0, inf\), got nan"),
    ],
)
def test_bad_arguments_are_refused(build, says):
    with pytest.raises(ValueError, match=says):
        build()
