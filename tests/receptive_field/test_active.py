import math

import pytest
import torch
import torch.nn.functional as F
from conftest import assert_close
from torch import nn

from convnotes import ActiveConv2d, active_conv2d, definitions
from convnotes.measure import cost, measured_receptive_field, receptive_field
from convnotes.receptive_field.active import active_groups, ring, scale_active_steps

CASES = {
    "plain": dict(),
    "strided": dict(stride=(2, 3)),
    "padded-rectangular": dict(padding=(0, 2)),
    "strided-padded": dict(stride=(3, 1), padding=(1, 3)),
}
POSITIONS = {
    "near": [(0.3, -0.8), (1.2, 1.9), (-1.6, 0.1), (0.7, -2.4), (-0.2, 0.6)],
    "one-sided": [(3.3, -5.8), (4.2, -4.1), (4.6, -5.1), (3.7, -4.4), (4.2, -5.6)],  # nothing is near the middle
    "at-the-edge": [(-10.7, 0.2), (10.4, 6.8), (0.1, -6.6), (0.6, 6.1), (-3.2, 0.4)],
    "far-outside": [(-40.3, 2.2), (0.2, 1e9), (100.5, -300.7), (0.3, 0.4), (-2.6, 0.7)],
    "whole": [(0, 0), (1, -2), (1, -2), (-3, 0), (11, 4)],
}


def tensors(positions, bias=True):
    K = len(positions)
    x = torch.randn(2, 3, 11, 7, dtype=torch.float64, requires_grad=True)
    w = torch.randn(4, 3, K, dtype=torch.float64, requires_grad=True)
    p = torch.tensor(positions, dtype=torch.float64, requires_grad=True)
    b = torch.randn(4, dtype=torch.float64, requires_grad=True) if bias else None
    return [x, w, p, b]


def assert_same(actual, expected, wanted):
    assert_close(actual, expected)
    g = torch.randn_like(expected)
    ours, theirs = (torch.autograd.grad(y, wanted, g, retain_graph=True) for y in (actual, expected))
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("positions", POSITIONS.values(), ids=POSITIONS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_forward_and_gradient_match_the_definition(case, positions):
    x, w, p, b = tensors(positions)
    assert_same(active_conv2d(x, w, p, b, **case), definitions.active_conv2d(x, w, p, b, **case), (x, w, p, b))


@pytest.mark.parametrize("reach", [1, 4, (2, 12)], ids=str)
@pytest.mark.parametrize("positions", [v for k, v in POSITIONS.items() if k != "whole"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_with_a_reach_it_is_the_definition_at_clamped_positions(case, positions, reach):
    x, w, p, b = tensors(positions)
    limit = torch.tensor(reach if isinstance(reach, tuple) else (reach, reach), dtype=p.dtype)
    beyond = (p.abs() > limit).any()
    actual = active_conv2d(x, w, p, b, **case, reach=reach)
    expected = definitions.active_conv2d(x, w, p.clamp(-limit, limit), b, **case)
    assert_same(actual, expected, (x, w, p, b))
    if beyond:
        (g,) = torch.autograd.grad(actual.sum(), p)
        assert (g[p.abs() > limit] == 0).all()


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("dilation", [1, 2])
def test_on_the_places_of_a_kernel_it_is_the_plain_and_the_dilated_convolution(dilation, case, bias):
    taps = [(dilation * (u - 1), dilation * (v - 1)) for u in range(3) for v in range(3)]
    x, w, p, b = tensors(taps, bias)
    py, px = (case.get("padding", 0),) * 2 if isinstance(case.get("padding", 0), int) else case["padding"]
    plain = F.conv2d(x, w.unflatten(2, (3, 3)), b, case.get("stride", 1), (py + dilation, px + dilation), dilation)
    wanted = [t for t in (x, w, b) if t is not None]
    assert_same(active_conv2d(x, w, p, b, **case), plain, wanted)
    assert_same(active_conv2d(x, w, p, b, **case, reach=dilation), plain, wanted)


def test_a_synapse_at_the_middle_is_a_pointwise_kernel_and_one_elsewhere_a_shift():
    x, w, _, _ = tensors([(0, 0)])
    assert_close(active_conv2d(x, w, torch.zeros(1, 2, dtype=x.dtype)), F.conv2d(x, w[..., None]))
    shifted = F.pad(x, (0, 3, 2, 0))[:, :, :11, 3:]  # what lies 2 rows above and 3 columns to the right
    at = torch.tensor([[-2.0, 3.0]], dtype=x.dtype)
    assert_close(active_conv2d(x, w, at), F.conv2d(shifted, w[..., None]))


def test_positions_are_vertical_first():
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 4, 1] = 1
    one = torch.ones(1, 1, 1)
    y = active_conv2d(x, one, torch.tensor([[2.0, -1.0]]))
    assert y.nonzero().tolist() == [[0, 0, 2, 2]]


def test_between_pixels_the_picture_is_interpolated_and_fades_over_one_pixel_at_the_border():
    x = torch.tensor([[[[1.0, 3.0, 7.0]]]], dtype=torch.float64)
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    y = active_conv2d(x, one, torch.tensor([[0.0, 0.25]], dtype=torch.float64))
    assert_close(y, torch.tensor([[[[1.5, 4.0, 5.25]]]], dtype=torch.float64))
    y = active_conv2d(x, one, torch.tensor([[-0.25, 0.0]], dtype=torch.float64))
    assert_close(y, 0.75 * x)


def test_the_kernel_is_no_larger_than_the_positions_ask_for():
    x, w, _, _ = tensors([(0, 0)])

    def side(*place):
        with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
            active_conv2d(x, w, torch.tensor([place], dtype=x.dtype))
        (convolution,) = [n for op, n in counter.get_flop_counts()["Global"].items() if "convolution" in str(op)]
        return convolution / (2 * 2 * 77 * 3 * 4)

    assert side(0.4, -0.4) == 4
    assert side(7.4, -5.4) == 4  # as small away from the middle
    assert side(1e30, -1e30) <= 4  # what cannot meet the picture is not computed


@pytest.mark.parametrize("padding", [0, 2])
def test_a_synapse_that_meets_no_pixel_gives_nothing_and_gets_no_gradient(padding):
    x, w, p, b = tensors([(11.0 + padding, 0.0), (-11.1 - padding, 0.0), (0.0, 500.5), (1e20, 1e20)])
    y = active_conv2d(x, w, p, b, padding=padding)
    assert torch.equal(y, b.view(1, -1, 1, 1).expand_as(y))
    for g in torch.autograd.grad(y.sum(), (x, w, p)):
        assert (g == 0).all()


def test_at_a_whole_position_the_derivative_is_that_towards_the_next_pixel():
    x, w, _, _ = tensors([(0, 0)])
    for place, options in (
        ((1.0, -2.0), {}),
        ((1.0, -2.0), {"reach": 4}),
        ((-11.0, 1.0), {}),
    ):  # the last: just outside
        p = torch.tensor([place], dtype=x.dtype, requires_grad=True)
        y = active_conv2d(x, w, p, **options).sum()
        (g,) = torch.autograd.grad(y, p)
        for axis in (0, 1):
            step = torch.zeros_like(p)
            step[0, axis] = 1e-3
            forward = (active_conv2d(x, w, p + step).sum() - y) / 1e-3
            backward = (y - active_conv2d(x, w, p - step).sum()) / 1e-3
            torch.testing.assert_close(g[0, axis], forward, rtol=1e-8, atol=1e-8)
            assert (forward - backward).abs() > 1e-2 or (place[0] == -11 and axis == 1)


def test_on_the_border_of_the_reach_the_derivative_is_the_inner_one():
    x, w, _, _ = tensors([(0, 0)])
    p = torch.tensor([[2.0, -2.0]], dtype=x.dtype, requires_grad=True)
    y = active_conv2d(x, w, p, reach=2).sum()
    (g,) = torch.autograd.grad(y, p)
    for axis, inwards in ((0, -1e-3), (1, 1e-3)):
        step = torch.zeros_like(p)
        step[0, axis] = inwards
        inner = (active_conv2d(x, w, p + step).sum() - y) / inwards
        torch.testing.assert_close(g[0, axis], inner, rtol=1e-8, atol=1e-8)


def test_forward_mode_and_double_backward_reach_the_positions():
    x, w, p, b = tensors(POSITIONS["near"])
    x, w, b = x.detach(), w.detach(), b.detach()
    for options in ({}, {"reach": 3}):
        assert torch.autograd.gradcheck(
            lambda p, options=options: active_conv2d(x, w, p, b, **options), (p,), check_forward_ad=True
        )
        assert torch.autograd.gradgradcheck(
            lambda w, p, options=options: active_conv2d(x, w, p, b, **options), (w.requires_grad_(), p)
        )


def test_with_a_reach_it_compiles_and_maps_over_positions_and_without_it_says_what_is_missing():
    x, w, p, b = (t.detach() for t in tensors(POSITIONS["near"]))
    torch.compiler.reset()
    compiled = torch.compile(active_conv2d, fullgraph=True, backend="aot_eager")
    assert_close(compiled(x, w, p, b, reach=3), active_conv2d(x, w, p, b))
    many = torch.stack([p, 0.5 * p])
    mapped = torch.vmap(lambda p: active_conv2d(x, w, p, b, reach=3))(many)
    assert_close(mapped, torch.stack([active_conv2d(x, w, one, b) for one in many]))
    said = "give active_conv2d a reach" if torch.__version__ >= "2.7" else "Observed exception"  # all that 2.6 tells
    with pytest.raises(Exception, match=said):
        compiled(x, w, p, b)
    with pytest.raises(ValueError, match="give active_conv2d a reach"):
        active_conv2d(*(t.to("meta") for t in (x, w, p, b)))
    assert active_conv2d(*(t.to("meta") for t in (x, w, p, b)), reach=3).shape == (2, 4, 11, 7)


def test_a_nan_under_the_kernel_and_a_nan_position_are_not_hidden():
    x, w, p, _ = (None if t is None else t.detach() for t in tensors([(0, 0), (3, 0)], bias=False))
    x[0, 0, 5, 3] = torch.nan
    y = active_conv2d(x, w, p, reach=3)
    assert y[0, :, 2:9, 0:7].isnan().all()  # also where no tap looks
    assert not y[0, :, :2].isnan().any()
    assert not y[1].isnan().any()
    p[1, 0] = torch.nan
    assert active_conv2d(x, w, p).isnan().all()
    assert active_conv2d(x, w, p, reach=3).isnan().all()


def test_places_beyond_256_pixels_are_told_apart_in_bfloat16():
    x = torch.randn(1, 1, 1, 400).bfloat16()
    one = torch.ones(1, 1, 2).bfloat16()
    y = active_conv2d(x, one, torch.tensor([[0.0, 260.0], [0.0, 0.0]]).bfloat16())
    assert torch.equal(y[..., :140], x[..., :140] + x[..., 260:])


# The layer


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


def good(**changes):
    x, w, p, b = (t.detach() for t in tensors(POSITIONS["near"]))
    return {"input": x, "weight": w, "positions": p, "bias": b} | changes


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            dict(input=torch.zeros(3, 11, 7).double()),
            r"input of active_conv2d must be \[B, 3, H, W\], got shape \(3, 11, 7\)",
        ),
        (dict(input=torch.zeros(1, 2, 11, 7).double()), r"must be \[B, 3, H, W\], got shape \(1, 2, 11, 7\)"),
        (dict(input=torch.zeros(1, 3, 11, 7)), "input .* must be of torch.float64 like the rest, got torch.float32"),
        (dict(input=torch.zeros(1, 3, 0, 7).double()), "does not fit into the padded input of 0×7"),
        (
            dict(weight=torch.zeros(4, 3, 5, 1).double()),
            r"weight of active_conv2d must be \[O, C, K\], got shape \(4, 3, 5, 1\)",
        ),
        (dict(weight=torch.zeros(4, 3, 0).double()), r"one tap at least, got shape \(4, 3, 0\)"),
        (
            dict(positions=torch.zeros(4, 2).double()),
            r"positions of active_conv2d must be \[5, 2\], got shape \(4, 2\)",
        ),
        (dict(positions=torch.zeros(5, 2)), "positions .* must be of torch.float64 like the rest, got torch.float32"),
        (
            dict(positions=torch.zeros(5, 2).double().to("meta")),
            "positions .* must be on cpu like the rest, got a tensor on meta",
        ),
        (dict(bias=torch.zeros(3).double()), r"bias of active_conv2d must be \[4\], got shape \(3,\)"),
        (dict(bias=torch.zeros(4)), "bias .* must be of torch.float64 like the rest, got torch.float32"),
        (dict(stride=0), "stride must be at least 1, got 0"),
        (dict(padding=-1), "padding must be at least 0, got -1"),
        (dict(reach=0), "reach must be at least 1, got 0"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        active_conv2d(**good(**changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict(weight=[1.0]), r"weight of active_conv2d must be a tensor \[O, C, K\], got list"),
        (dict(positions=[(0, 0)]), r"positions of active_conv2d must be a tensor \[5, 2\], got list"),
        (dict(padding="same"), "padding must be an int or two ints"),
        (dict(reach=1.5), "reach must be an int or two ints"),
    ],
)
def test_inputs_of_a_wrong_type_are_refused(changes, says):
    with pytest.raises(TypeError, match=says):
        active_conv2d(**good(**changes))


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
        (lambda: ring(9, -1.0), r"radius must lie in \[0, inf\), got -1.0"),
        (lambda: ring(9, math.nan), r"radius must lie in \[0, inf\), got nan"),
    ],
)
def test_bad_arguments_are_refused(build, says):
    with pytest.raises(ValueError, match=says):
        build()
