"""The roofline: the page counts as Python does, Python as `cost` does, and the layers of the package as both."""

import math

import pytest
import torch
from support.javascript import call, refused_by_both
from torch import nn

from convnotes import GhostConv2d, PartialConv2d, SeparableConv2d
from convnotes.measure import cost
from convnotes.widgets import Roofline
from convnotes.widgets.roofline import MACHINES, NAMES

STATES = [
    {},
    {"channels": 8, "size": 4, "kernel": 1, "batch": 1, "peak": 10, "bandwidth": 10_000, "operator": "mixed"},
    {"channels": 512, "size": 112, "kernel": 11, "batch": 64, "peak": 1_000_000, "bandwidth": 1, "operator": "full"},
    {"channels": 120, "size": 28, "kernel": 5, "batch": 3, "peak": 10_000, "bandwidth": 1_000, "operator": "ghost"},
]
every_state = pytest.mark.parametrize("state", STATES, ids=str)


def whole(state):
    widget = Roofline(**state)
    names = ("channels", "size", "kernel", "batch", "peak", "bandwidth", "operator")
    return {name: getattr(widget, name) for name in names}


@every_state
def test_the_page_counts_as_python_does(state):
    found = call("roofline", "bounds(state)", state=whole(state))
    assert [row["key"] for row in found] == list(NAMES)
    for row, bound in zip(found, Roofline(**state).bounds().values(), strict=True):
        assert (row["operations"], row["bytes"], row["decides"]) == (bound.operations, bound.bytes, bound.decides)
        assert row["seconds"] == pytest.approx(bound.seconds, rel=1e-12)


@pytest.mark.parametrize(("C", "k", "n", "B"), [(64, 3, 56, 1), (24, 5, 8, 3)])
def test_the_layers_of_the_package_have_the_same_multiply_adds_and_bytes_written(C, k, n, B):
    half = k // 2
    layers = {
        "full": nn.Conv2d(C, C, k, padding=half, bias=False),
        "ghost": GhostConv2d(C, C, k, act_layer=nn.Identity),
        "depthwise": nn.Conv2d(C, C, k, padding=half, groups=C, bias=False),
        "partial": PartialConv2d(C, k),
        "pointwise": nn.Conv2d(C, C, 1, bias=False),
        "separable": SeparableConv2d(C, C, k, padding=half, bias=False),
        "mixed": nn.Sequential(PartialConv2d(C, k), nn.Conv2d(C, C, 1, bias=False)),
    }
    widget = Roofline(channels=C, kernel=k, size=n, batch=B)
    steps = widget.steps()
    for name, bound in widget.bounds().items():
        counted = cost(layers[name], (B, C, n, n))
        written = sum(row.activation_bytes for row in counted.layers if row.macs)
        weights = sum(conv.weight.numel() for conv in steps[name])
        read = 4 * (B * n * n * sum(conv.in_channels for conv in steps[name]) + weights)
        assert bound.operations == counted.macs
        assert bound.bytes == read + written
        assert weights == sum(p.numel() for p in layers[name].parameters() if p.dim() == 4)


def test_the_standard_case_worked_out_by_hand():
    pixels, machine = 56 * 56, dict(peak=10_000, bandwidth=1_000)
    found = Roofline(**machine).bounds()
    assert found["full"].operations == 9 * 64 * 64 * pixels
    assert found["partial"].bytes == 4 * (2 * 16 * pixels + 9 * 16 * 16)
    assert found["depthwise"].seconds == 4 * (2 * 64 * pixels + 9 * 64) / 1e12
    assert found["full"].seconds == pytest.approx(9 * 64 * 64 * pixels / 1e13)
    assert found["ghost"].seconds == pytest.approx(9 * 64 * 32 * pixels / 1e13 + 4 * (2 * 32 * pixels + 9 * 32) / 1e12)
    assert {name: bound.decides for name, bound in found.items()} == {
        **{"full": "operations", "ghost": "both", "depthwise": "bytes", "partial": "operations"},
        **{"pointwise": "bytes", "separable": "bytes", "mixed": "both"},
    }


@every_state
def test_no_operator_lies_above_the_roof_and_one_step_lies_on_it(state):
    state = whole(state)
    for name, bound in Roofline(**state).bounds().items():
        speed = bound.operations / bound.seconds
        most = min(1e9 * state["peak"], 1e9 * state["bandwidth"] * bound.operations / bound.bytes)
        assert speed <= most * (1 + 1e-12)
        if len(Roofline(**state).steps()[name]) == 1:
            assert speed == pytest.approx(most, rel=1e-12)


def test_the_roof_bends_at_the_ridge_and_points_of_single_steps_lie_on_it():
    state = whole({})
    start, ridge, end = call("roofline", "roof(state)", state=state)
    assert start[0] == 0
    assert ridge == [pytest.approx(math.log(2.5 / 0.2) / math.log(5e3)), 1]
    assert end == [1, 1]
    spots = call("roofline", "bounds(state).map((row) => point(row, state))", state=state)
    x, y = spots[2]  # depthwise: left of the ridge
    assert (y - start[1]) / (x - start[0]) == pytest.approx((1 - start[1]) / ridge[0])
    assert spots[0][1] == 1
    start, _, _ = call("roofline", "roof(state)", state=state | {"peak": 1e6, "bandwidth": 1})
    assert start[1] == 0  # the slope enters the chart from below
    assert start[0] > 0


@every_state
def test_flags_stay_inside_the_chart_on_lines_of_their_own(state):
    points = "bounds(state).map((row) => [row.name, 62 + 364 * point(row, state)[0]])"
    names = call("roofline", points, state=whole(state))
    found = call("roofline", "flags(names, 436, 16)", names=names)
    assert sorted(line for _, line, _ in found) == list(range(7))
    for (text, at), (x, line, anchor) in zip(names, found, strict=True):
        width = 0.58 * 16 * len(text)
        left = x - width if anchor == "end" else x
        assert left + width <= 436
        lower = [other for (_, other), (_, below, _) in zip(names, found, strict=True) if below < line]
        assert all(other >= at for other in lower), "a pole goes through the flag of a point to its left"


@every_state
def test_the_copied_code_prints_the_time_shown(state, capsys):
    state = whole(state)
    exec(call("roofline", "torchCode(state)", state=state), {})
    expected = Roofline(**state).bounds()[state["operator"]].seconds
    assert capsys.readouterr().out == f"at least {1e6 * expected:.2f} µs\n"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (576, "576"), (1_806_336, "1.81 M"), (115_605_504, "116 M"), (2e13, "20 T")]
)
def test_counts_have_three_digits(value, text):
    assert call("roofline", "scaled(value)", value=value) == text


@pytest.mark.parametrize(("value", "text"), [(1.1e-6, "1.1 µs"), (2.346e-3, "2.35 ms"), (12.34, "12.3 s")])
def test_times_have_three_digits(value, text):
    assert call("roofline", "duration(value)", value=value) == text


def test_the_machines_are_the_same_on_the_page_and_the_slider_reaches_them():
    expected = {name: {"peak": peak, "bandwidth": bandwidth} for name, (peak, bandwidth) in MACHINES.items()}
    assert call("roofline", "MACHINES") == expected
    for speed in (value for machine in MACHINES.values() for value in machine):
        assert call("roofline", "speed(power)", power=math.log10(speed)) == speed


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"channels": 12}, "channels must be a multiple of 8, got 12"),
        ({"size": 57}, "size must be a multiple of 4"),
        ({"kernel": 4}, "kernel must be odd"),
        ({"batch": 65}, "batch must be"),
        ({"peak": 9.0}, "peak must lie in"),
        ({"bandwidth": 0.5}, "bandwidth must lie in"),
        ({"operator": "1×1"}, "operator"),
    ],
)
def test_bad_state_is_refused(state, says):
    refused_by_both(Roofline, state, says)


def test_it_says_what_it_shows():
    words = Roofline()._alt()
    assert "depthwise 1.1 multiply-adds per byte, at least 40.2 µs, decided by bytes" in words
    assert repr(Roofline(kernel=5)).startswith("Roofline(64 channels, 56×56 pixels, kernel 5×5, batch 1; 100 G")
    assert torch.is_tensor(Roofline().steps()["full"][0].weight)
