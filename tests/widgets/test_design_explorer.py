"""The design explorer: its front is that of `convnotes.designs`, what beats a row is said, and bad rows are refused."""

import dataclasses
import random

import pytest
import torch
from support.example_widgets import ROW
from support.javascript import call

from convnotes import designs
from convnotes.widgets import DesignExplorer
from convnotes.widgets.design_explorer import AXES, GAINS


def some_rows(seed: int) -> list[designs.Row]:
    draw = random.Random(seed)
    return [
        dataclasses.replace(
            ROW, design=name, budget=budget, params=draw.randint(90, 110), macs=draw.randint(1, 9),
            adds=draw.choice([0, 8]), step_bytes=draw.randint(1, 9), inference_ms=draw.random(), step_ms=draw.random(),
            accuracies=tuple(draw.randint(1, 9) / 10 for _ in range(3)),
        )
        for budget in (100, 200)
        for name in "abcdefgh"
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_the_front_is_the_same_in_python_and_in_node(seed):
    rows = some_rows(seed)
    for x in AXES:
        for gain in GAINS:
            widget = DesignExplorer(rows, x=x, gain=gain, budget=200)
            shown = [row for row in widget.rows if row["budget"] == 200]
            found = call("design_explorer", "front(rows, x, gain).map((row) => row.design)", rows=shown, x=x, gain=gain)
            assert found == widget.front()
            if gain == "mean":
                at = [row for row in rows if row.budget == 200]
                assert found == [row.design for row in designs.front(at, x)]


def test_what_beats_a_row_is_all_that_costs_no_more_and_reaches_no_less():
    rows = [row for row in DesignExplorer(some_rows(0)).rows if row["budget"] == 100]
    names = "beaters(rows, row, 'macs', 'worst').map((other) => other.design).sort()"
    for row, found in zip(rows, call("design_explorer", f"rows.map((row) => {names})", rows=rows), strict=True):
        at = row["macs"], row["worst"]
        near = [one for one in rows if one["macs"] <= at[0] and one["worst"] >= at[1]]
        assert found == sorted(one["design"] for one in near if (one["macs"], one["worst"]) != at)


def test_the_judgement_names_the_best_of_those_that_beat():
    rows = [
        {"design": "wide", "macs": 2000, "mean": 0.5},
        {"design": "small", "macs": 1500, "mean": 0.6},
        {"design": "tiny", "macs": 10, "mean": 0.55},
    ]
    said = call("design_explorer", "rows.map((row) => judged(rows, row, 'macs', 'mean'))", rows=rows)
    assert said == [
        "small is better: 1.5 k ≤ 2 k multiply-adds, 0.600 ≥ 0.500",
        "small: no design with fewer multiply-adds is as accurate",
        "tiny: no design with fewer multiply-adds is as accurate",
    ]


@pytest.mark.parametrize("value", [0.5625, 0.4375, 0.125, 0.6075, 0.3624999, 0.4966666666666667])
def test_an_accuracy_has_the_digits_that_python_gives_it(value):
    assert call("design_explorer", "share(value)", value=value) == f"{value:.3f}"


def test_an_axis_holds_its_values_and_its_ticks_are_round():
    values = [10538, 783188, 247058]
    at = call("design_explorer", "values.map(scale(values, 50, 500, true))", values=values)
    assert 50 < at[0] < at[2] < at[1] < 500
    assert call("design_explorer", "ticks(values, true)", values=values) == [20000, 50000, 100000, 200000, 500000]
    assert call("design_explorer", "ticks([0.31, 0.72], false)") == [0.4, 0.5, 0.6, 0.7]
    assert call("design_explorer", "[950, 1790, 14000, 3.2e6, 2.345].map(compact)") == [
        "950",
        "1.8 k",
        "14 k",
        "3.2 M",
        "2.35",
    ]
    one = call("design_explorer", "scale([5, 5], 0, 10, true)(5)")
    assert one == pytest.approx(5)


def test_names_stand_beside_their_points_inside_the_chart_and_over_no_other_name():
    area, size = {"left": 40, "right": 428, "top": 12, "bottom": 590}, 17
    names = [["separable", 90, 60], ["mixed", 80, 66], ["plain 3×3", 70, 95], ["1×1 only", 420, 580]]
    discs = [[x, y] for _, x, y in names] + [[95, 70], [150, 62]]
    found = call("design_explorer", "besides(names, discs, area, size)", names=names, discs=discs, area=area, size=size)
    boxes = []
    for (text, x, y), (at, base, anchor) in zip(names, found, strict=True):
        wide = 0.56 * size * len(text)
        left = {"start": at, "end": at - wide, "middle": at - wide / 2}[anchor]
        assert area["left"] <= left <= left + wide <= area["right"]
        assert abs(base - y) < 3 * size
        assert left - 20 < x < left + wide + 20
        boxes.append((left, base - 0.85 * size, left + wide, base + 0.25 * size))
    pairs = [(a, b) for n, a in enumerate(boxes) for b in boxes[:n]]
    assert not [1 for a, b in pairs if a[0] < b[2] and a[2] > b[0] and a[1] < b[3] and a[3] > b[1]]


def test_a_design_that_has_no_network_at_the_budget_is_named():
    said = "elsewhere({ design: 'aggregation', budget: 1800 }, row)"
    assert call("design_explorer", said, row={"design": "aggregation"}) == ""
    words = "aggregation has no network of 1,800 parameters; plain 3×3 is shown. "
    assert call("design_explorer", said, row={"design": "plain 3×3"}) == words


@pytest.mark.parametrize("name", ["separable", "adder", "branches"])
def test_the_copied_code_builds_the_network_that_is_shown(name):
    fit, scope = designs.fit_budget(name, 1800), {}
    row = {"design": name, "widths": fit.widths, "params": fit.params}
    exec(call("design_explorer", "torchCode(row, '1×24×24')", row=row), scope)
    assert scope["logits"].shape == (32, 10)
    assert sum(p.numel() for p in scope["net"].parameters()) == fit.params
    assert isinstance(scope["net"], torch.nn.Module)


def test_a_field_of_the_whole_picture_can_be_written_as_json():
    (row,) = DesignExplorer([dataclasses.replace(ROW, receptive_field=float("inf"))]).rows
    assert row["receptive_field"] == 0
    assert row["mean"] == 0.625
    assert row["worst"] == 0.5


@pytest.mark.parametrize(
    ("rows", "state", "says"),
    [
        ([], {}, "needs rows, each with its times"),
        ([dataclasses.replace(ROW, inference_ms=None)], {}, "needs rows, each with its times"),
        ([ROW, dataclasses.replace(ROW, data="other")], {}, "one row per design and budget"),
        ([ROW], {"budget": 3}, "budget must be 100, got 3"),
        ([ROW], {"design": "cubic"}, 'design must be "plain", got .cubic.'),
    ],
)
def test_rows_that_cannot_be_shown_are_refused(rows, state, says):
    with pytest.raises(ValueError, match=says):
        DesignExplorer(rows, **state)


def test_an_axis_that_is_not_there_is_refused_by_the_names_there_are():
    with pytest.raises(
        ValueError,
        match='x must be "macs", "operations", "inference_ms", "step_ms", "step_bytes" or "params", got \'watts\'',
    ):
        DesignExplorer([ROW], x="watts")
    with pytest.raises(ValueError, match='gain must be "mean" or "worst", got \'best\''):
        DesignExplorer([ROW]).gain = "best"


def test_its_words_name_the_front():
    widget = DesignExplorer(some_rows(1), budget=200)
    assert ", ".join(widget.front()) in widget._alt()
    assert repr(widget) == "DesignExplorer(16 rows, mean accuracy against multiply-adds at 200 parameters)"
