"""The operator whose kernel has its taps at given places."""

import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close, assert_same

from convnotes import active_conv2d, definitions

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
    if beyond:
        (g,) = torch.autograd.grad(actual.sum(), p, retain_graph=True)
        assert (g[p.abs() > limit] == 0).all()
    assert_same(actual, expected, (x, w, p, b))


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("dilation", [1, 2])
def test_on_the_places_of_a_kernel_it_is_the_plain_and_the_dilated_convolution(dilation, case, bias):
    taps = [(dilation * (u - 1), dilation * (v - 1)) for u in range(3) for v in range(3)]
    x, w, p, b = tensors(taps, bias)
    py, px = (case.get("padding", 0),) * 2 if isinstance(case.get("padding", 0), int) else case["padding"]
    plain = F.conv2d(x, w.unflatten(2, (3, 3)), b, case.get("stride", 1), (py + dilation, px + dilation), dilation)
    assert_same(active_conv2d(x, w, p, b, **case), plain, (x, w, b))
    assert_same(active_conv2d(x, w, p, b, **case, reach=dilation), plain, (x, w, b))


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


def good(**changes):
    x, w, p, b = (t.detach() for t in tensors(POSITIONS["near"]))
    return {"input": x, "weight": w, "positions": p, "bias": b} | changes


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            dict(input=torch.zeros(11, 7).double()),
            r"input of active_conv2d must be \[B, 3, H, W\], got shape \(11, 7\)",
        ),
        (
            dict(input=torch.zeros(1, 2, 11, 7).double()),
            r"input of active_conv2d must be \[B, 3, H, W\], got shape \(1, 2, 11, 7\)",
        ),
        (
            dict(input=torch.zeros(1, 3, 11, 7)),
            r"input of active_conv2d must be of torch\.float64 like the rest, got torch\.float32",
        ),
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
        (
            dict(positions=torch.zeros(5, 2)),
            r"positions of active_conv2d must be of torch\.float64 like the rest, got torch\.float32",
        ),
        (
            dict(positions=torch.zeros(5, 2).double().to("meta")),
            "positions of active_conv2d must be on cpu like the rest, got a tensor on meta",
        ),
        (dict(bias=torch.zeros(3).double()), r"bias of active_conv2d must be \[4\], got shape \(3,\)"),
        (
            dict(bias=torch.zeros(4)),
            r"bias of active_conv2d must be of torch\.float64 like the rest, got torch\.float32",
        ),
        (dict(stride=0), "stride must be at least 1, got 0"),
        (dict(padding=(0, -4)), "active_conv2d: a kernel of 1×1 does not fit into the padded input of 11×-1"),
        (
            dict(positions=torch.zeros(3, 5, 2).double()),
            "the number G of position groups must divide out_channels=4, got 3",
        ),
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
