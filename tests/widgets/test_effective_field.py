"""The effective field: its influence is the squared gradient of paths, in the page as in Python and in torch."""

import itertools
import math

import numpy as np
import pytest
import torch
from support.javascript import call, refused_by_both
from torch import nn

from convnotes.measure import cost, receptive_field
from convnotes.widgets import EffectiveField
from convnotes.widgets.effective_field import HELD

SIDES = (21, 27)
NETWORKS = [(31, 1, 1), (3, 15, 1), (7, 3, 1), (3, 4, 5), (11, 2, 3), (3, 1, 15)]
every_network = pytest.mark.parametrize(("K", "n", "d"), NETWORKS)
both = pytest.mark.parametrize("residual", [False, True])


def widget(K=31, n=1, d=1, **state) -> EffectiveField:
    return EffectiveField(torch.rand(3, *SIDES), kernel_sizes=[K, 3], depths=[n, 1], dilations=[d, 1], **state)


def on_the_page(expression: str, K: int, n: int, d: int, residual: bool, **values):
    one = {"k": K, "n": n, "d": d, "residual": residual}
    return call("effective_field", expression, one=one, **values)


def by_gradient(K: int, n: int, d: int, residual: bool) -> np.ndarray:
    """The influence on a whole plane: the gradient of a network whose taps are all 1/K², which counts paths."""
    side = 1 + n * (K - 1) * d
    x = torch.zeros(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    taps, y = torch.full((1, 1, K, K), 1 / K**2, dtype=torch.float64), x
    for _ in range(n):
        seen = nn.functional.conv2d(y, taps, padding=d * (K // 2), dilation=d)
        y = (y + seen) / 2 if residual else seen
    (gradient,) = torch.autograd.grad(y[0, 0, side // 2, side // 2], x)
    return gradient[0, 0].numpy()


def cut(whole: np.ndarray, row: int, column: int) -> np.ndarray:
    """The part of a plane that lies on the photograph, the middle at (row, column)."""
    reach = len(whole) // 2
    place = np.zeros(SIDES)
    for i, j in itertools.product(range(SIDES[0]), range(SIDES[1])):
        u, v = i - row + reach, j - column + reach
        if 0 <= u < len(whole) and 0 <= v < len(whole):
            place[i, j] = whole[u, v]
    return place


@both
@every_network
def test_the_influence_is_that_of_paths_in_the_page_and_in_python(K, n, d, residual):
    row, column = 4, 19
    expected = cut(by_gradient(K, n, d, residual), row, column)
    ours = widget(K, n, d, residual=residual, probe=[row, column]).influence(0)
    found = on_the_page(
        "influence(parts(one), height, width, at)", K, n, d, residual, height=21, width=27, at=[row, column]
    )
    assert ours == pytest.approx(expected, abs=1e-14)
    assert np.array(found).reshape(SIDES) == pytest.approx(expected, abs=1e-14)


@both
@every_network
def test_the_square_is_the_smallest_that_holds_95_percent(K, n, d, residual):
    whole = by_gradient(K, n, d, residual)
    side = widget(K, n, d, residual=residual).square(0)
    assert on_the_page("square(parts(one))", K, n, d, residual) == side
    middle = len(whole) // 2

    def held(reach: int) -> float:
        inside = slice(middle - reach, middle + reach + 1)
        return whole[inside, inside].sum()

    assert held(side // 2) >= HELD - 1e-9
    assert side == 1 or held(side // 2 - 1) < HELD


@both
@every_network
def test_the_deviation_of_the_formula_is_that_of_the_influence(K, n, d, residual):
    row = by_gradient(K, n, d, residual).sum(0)
    offsets = np.arange(len(row)) - len(row) // 2
    expected = math.sqrt((row * offsets**2).sum())
    assert on_the_page("deviation(one)", K, n, d, residual) == pytest.approx(expected)
    reach = len(row) // 2
    assert on_the_page("along(parts(one), reach)", K, n, d, residual, reach=reach) == pytest.approx(row, abs=1e-14)


@every_network
def test_the_copied_code_has_the_receptive_field_and_the_costs_that_are_shown(K, n, d):
    shown = widget(K, n, d, channels=16)
    scope = {"torch": torch}
    state = {"kernel_sizes": [K, 3], "depths": [n, 1], "dilations": [d, 1], "channels": 16, "residual": False}
    exec(call("effective_field", "torchCode(state)", state=state), scope)
    for which, net in enumerate((scope["a"], scope["b"])):
        counted = cost(net, (1, 16, 56, 56))
        assert receptive_field(net).size == shown.receptive_field(which)
        assert (counted.params, counted.macs) == (shown.parameters(which), shown.macs(which))
        page = call("effective_field", "cost(network(state, which), 16)", state=state, which=which)
        assert page == {"params": counted.params, "macs": counted.macs}
        assert call("effective_field", "fieldOf(network(state, which))", state=state, which=which) == (
            shown.receptive_field(which)
        )


def test_the_copied_code_adds_the_input_where_there_are_shortcuts():
    state = {"kernel_sizes": [3, 5], "depths": [2, 1], "dilations": [1, 1], "channels": 16, "residual": True}
    scope = {"torch": torch}
    exec(call("effective_field", "torchCode(state)", state=state), scope)
    x = torch.randn(1, 16, 5, 7)
    for weight in scope["a"].parameters():
        nn.init.zeros_(weight)
    assert torch.equal(scope["a"](x), x)


def test_random_networks_have_that_squared_gradient_on_average():
    K, n, draws, width = 5, 3, 400, 4
    side, channels = 1 + n * (K - 1), 400 * 4
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    x = normal(1, channels, side, side).requires_grad_()
    y = x
    for _ in range(n):
        y = nn.functional.conv2d(y, normal(channels, 1, K, K) / K, groups=channels)
        y = nn.functional.conv2d(y, normal(channels, width, 1, 1) / width**0.5, groups=draws)
    (gradient,) = torch.autograd.grad(y.view(draws, width)[:, 0].sum(), x)
    measured = gradient.square().mean((0, 1)).numpy()
    expected = by_gradient(K, n, 1, False)
    rows, formula = measured.sum(1) / measured.sum(), expected.sum(1)
    offsets = np.arange(side) - side // 2
    assert (rows * offsets**2).sum() == pytest.approx((formula * offsets**2).sum(), rel=0.05)


def test_a_pixel_without_influence_is_dim_and_that_with_most_beside_the_output_is_as_it_was():
    found = call("effective_field", "lit([0.5, 0.5, 0.5, 1, 1, 1], [0, 2, 9], 2)")
    assert found == pytest.approx([0.1, 0.5, 0.5, 0.2, 1, 1])


def test_sixty_four_small_layers_have_the_square_of_one_large_one():
    assert widget(31, 1).square(0) == widget(3, 64).square(0) == 31
    assert widget(3, 63).square(0) < 31


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"kernel_sizes": [4, 3]}, r"kernel_sizes\[0\] must be odd and from 3 to 51, got 4"),
        ({"depths": [1, 73]}, r"depths\[1\] must be from 1 to 72, got 73"),
        ({"dilations": [16, 1]}, r"dilations\[0\] must be from 1 to 15, got 16"),
        ({"channels": 65}, "channels must be"),
        ({"probe": [21, 0]}, "probe"),
    ],
)
def test_bad_states_are_refused(state, says):
    refused_by_both(
        lambda **more: EffectiveField(torch.rand(3, *SIDES), **more), state, says, height=SIDES[0], width=SIDES[1]
    )
