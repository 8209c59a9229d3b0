"""The signal through depth: its module computes what torch computes, of the same weights and of its own."""

import math

import numpy as np
import pytest
import torch
from support.javascript import call
from torch import nn

from convnotes import initialise
from convnotes.widgets import SignalDepth
from convnotes.widgets.signal_depth import BAND, NONLINEARITIES, SCHEMES, gaussians, seed_of

ACT = {"linear": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh}
STATES = [
    {},
    {"scheme": "he", "depth": 7, "width": 32, "draw": 4},
    {"scheme": "xavier", "nonlinearity": "tanh", "depth": 30, "width": 16},
    {"scheme": "orthogonal", "depth": 5, "width": 48, "nonlinearity": "relu", "draw": 9},
    {"scheme": "orthogonal", "depth": 3, "width": 16, "nonlinearity": "linear"},
    {"std": 0.31, "depth": 2, "width": 17, "nonlinearity": "linear"},
    {"std": 0.02, "norm": True, "draw": 7},
    {"scheme": "orthogonal", "depth": 6, "width": 16, "nonlinearity": "tanh", "norm": True},
]
every_state = pytest.mark.parametrize("state", STATES, ids=str)


def whole(state: dict) -> dict:
    return call("signal_depth", "FIRST") | state


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
@pytest.mark.parametrize(("depth", "width", "batch"), [(1, 3, 5), (4, 6, 7)])
def test_outputs_and_gradients_are_torch_s_for_the_same_weights(nonlinearity, depth, width, batch, norm):
    normalise = nn.BatchNorm1d(width, dtype=torch.float64) if norm else nn.Identity()
    layers = [nn.Linear(width, width, bias=False, dtype=torch.float64) for _ in range(depth)]
    x, top = torch.randn(2, batch, width, dtype=torch.float64)
    scale, a, outputs = 1.7, x, []
    for layer in layers:
        outputs.append(normalise(scale * layer(a)))
        a = ACT[nonlinearity]()(outputs[-1])
    expected = torch.autograd.grad(outputs[-1], outputs, top)
    values = {
        "weights": [layer.weight.detach().flatten().tolist() for layer in layers],
        "x": x.flatten().tolist(),
        "top": top.flatten().tolist(),
        "scale": scale,
        "n": width,
        "phi": nonlinearity,
        "norm": norm,
    }
    passed = "forward(weights, scale, x, n, phi, norm)"
    z = call("signal_depth", f"{passed}.outputs", **values)
    np.testing.assert_allclose(z, torch.stack(outputs).detach().flatten(1), rtol=1e-12, atol=1e-12)
    g = call("signal_depth", f"backward(weights, scale, {passed}, top, n, phi)", **values)
    np.testing.assert_allclose(g, torch.stack(expected).flatten(1), rtol=1e-12, atol=1e-12)


@every_state
def test_the_page_and_python_show_the_same_deviations(state):
    expression = "(({ outputs, gradients }) => [outputs.map(std), gradients.map(std)])(signals(state))"
    found = call("signal_depth", expression, state=whole(state))
    np.testing.assert_allclose(found, SignalDepth(**state).deviations(), rtol=1e-9)


@pytest.mark.parametrize(("draw", "stream", "count"), [(1, 0, 7), (9, 31, 10), (3, 2, 1)])
def test_both_draw_the_same_numbers(draw, stream, count):
    seed = seed_of(draw, stream)
    assert call("signal_depth", "seedOf(draw, stream)", draw=draw, stream=stream) == seed
    found = call("signal_depth", "gaussians(seed, count)", seed=seed, count=count)
    np.testing.assert_allclose(found, gaussians(seed, count), rtol=1e-12, atol=1e-14)


def test_the_numbers_are_standard_normal_and_the_streams_apart():
    streams = np.stack([gaussians(seed_of(draw, stream), 10000) for draw in (1, 2, 9) for stream in (0, 1, 2, 31)])
    assert np.abs(streams.mean(1)).max() < 0.04
    assert np.abs(streams.std(1) - 1).max() < 0.03
    assert np.abs(np.corrcoef(streams) - np.eye(len(streams))).max() < 0.05
    within = (np.abs(streams) < 1.6449).mean()
    assert within == pytest.approx(0.9, abs=0.01)


def test_rows_are_made_orthonormal_as_gram_and_schmidt_do():
    matrix = torch.randn(9, 9, dtype=torch.float64)
    found = call("signal_depth", "orthonormal(m, 9)", m=matrix.flatten().tolist())
    rows = torch.tensor(found, dtype=torch.float64).view(9, 9)
    np.testing.assert_allclose(rows @ rows.T, np.eye(9), atol=1e-12)
    lower = matrix @ rows.T  # each row is made of itself and those before it
    assert lower.triu(1).abs().max() < 1e-12
    assert (lower.diagonal() > 0).all()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_sigma_is_that_of_the_weights_and_of_initialise(scheme, nonlinearity):
    state = whole({"scheme": scheme, "nonlinearity": nonlinearity, "width": 96, "std": 0.07})
    sigma = call("signal_depth", "deviation(state)", state=state)
    weights = torch.stack(SignalDepth(**state).weights())
    assert weights.square().mean().sqrt().item() == pytest.approx(sigma, rel=0.01)
    options = {"normal": {"std": 0.07}, "he": {}, "xavier": {}, "orthogonal": {}}[scheme]
    if scheme == "orthogonal" and nonlinearity == "relu":
        options = {"nonlinearity": "relu"}
    drawn = initialise(nn.Linear(96, 96), scheme, **options).weight
    assert drawn.square().mean().sqrt().item() == pytest.approx(sigma, rel=0.05)


@pytest.mark.parametrize("nonlinearity", ["linear", "relu"])
def test_the_formula_is_met_on_average_over_draws(nonlinearity):
    state = {"depth": 8, "width": 96, "std": 0.12, "nonlinearity": nonlinearity}
    for layer in (1, 4, 8):
        squares = [SignalDepth(**state, draw=draw).deviations()[0][layer - 1] ** 2 for draw in range(1, 10)]
        expected = call("signal_depth", "expected(state, layer)", state=whole(state), layer=layer)
        assert math.sqrt(np.mean(squares)) == pytest.approx(expected, rel=0.1)
    assert call("signal_depth", "expected(state, 2)", state=whole({"nonlinearity": "tanh"})) is None


@pytest.mark.parametrize("nonlinearity", ["linear", "relu", "tanh"])
def test_with_a_norm_neither_signal_nor_gradient_depends_on_sigma(nonlinearity):
    state = {"norm": True, "nonlinearity": nonlinearity, "depth": 8}
    near, far = (SignalDepth(**state, std=std).deviations() for std in (0.1, 0.4))
    np.testing.assert_allclose(near[0], 1, rtol=1e-3)
    np.testing.assert_allclose(far[0], 1, rtol=1e-3)
    np.testing.assert_allclose(near[1], far[1], rtol=2e-3)
    assert call("signal_depth", "expected(state, 5)", state=whole(state)) == 1


@pytest.mark.parametrize(
    ("values", "layer"),
    [([1, 2.9, 0.34], 0), ([1, 3.1, 1], 2), ([1, 2, 3, 0.33], 4), ([0], 1), ([1, math.inf], 2), ([1, None], 2)],
)
def test_the_first_layer_outside_the_band_is_found(values, layer):
    assert call("signal_depth", "leaves(values)", values=values) == layer


def test_the_band_is_the_same_on_the_page_and_in_python():
    np.testing.assert_allclose(call("signal_depth", "BAND"), BAND)


def test_he_stays_in_the_band_in_every_draw_and_other_factors_leave_it():
    def held(**state):
        deviations, _ = SignalDepth(**state).deviations()
        return all(BAND[0] <= one <= BAND[1] for one in deviations)

    assert all(held(scheme="he", draw=draw) for draw in range(1, 10))
    assert not any(held(scheme="xavier", draw=draw) for draw in range(1, 10))
    assert not held()


def test_a_histogram_holds_every_value_and_the_outer_ones_at_its_ends():
    values = [-9, -3, -1.1, 0, 0.1, 2.99, 3, 50]
    found = call("signal_depth", "histogram(values, 3, 6)", values=values)
    np.testing.assert_allclose(found, np.array([2, 1, 0, 2, 0, 3]) / 8)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (0.0321, "0.032"),
        (1.234e-5, "1.2·10⁻⁵"),
        (4567, "4.6·10³"),
        (3e22, "3.0·10²²"),
        (250, "250"),
    ],
)
def test_small_and_large_deviations_are_readable(value, text):
    assert call("signal_depth", "scientific(value)", value=value) == text


@every_state
def test_the_copied_code_runs_and_its_network_has_the_deviation_shown(state, capsys):
    state = whole(state)
    scope = {}
    exec(call("signal_depth", "torchCode(state)", state=state), scope)
    layers = [layer for layer in scope["net"] if isinstance(layer, nn.Linear)]
    assert len(layers) == state["depth"]
    norms = [layer for layer in scope["net"] if isinstance(layer, nn.BatchNorm1d)]
    assert len(norms) == state["norm"] * state["depth"]
    assert isinstance(scope["net"][1 + state["norm"]], ACT[state["nonlinearity"]])
    found = torch.cat([layer.weight.flatten() for layer in layers]).square().mean().sqrt().item()
    assert found == pytest.approx(call("signal_depth", "deviation(state)", state=state), rel=0.1)
    assert "tensor(" in capsys.readouterr().out


def test_the_first_state_is_the_widget_s():
    widget = SignalDepth()
    assert {name: getattr(widget, name) for name in whole({})} == whole({})
    assert widget.deviations()[0][-1] < 1e-3


@pytest.mark.parametrize(
    "state",
    [
        {"scheme": "lsuv"},
        {"nonlinearity": "gelu"},
        {"depth": 1},
        {"width": 97},
        {"std": 0.0},
        {"draw": 10},
        {"norm": "yes"},
    ],
)
def test_bad_state_is_refused(state):
    with pytest.raises(Exception, match=next(iter(state))):
        SignalDepth(**state)
