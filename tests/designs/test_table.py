"""The rows of the designs, those that come with the package, and what is made of them."""

import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.designs import NOT_TRAINED, TOO_SMALL

from convnotes import designs
from convnotes.designs import measured
from convnotes.measure.rows import Rows

STORED = Path(designs.__file__).with_name("rows") / "designs.csv"


def test_rows_read_back_as_they_were_written(tmp_path):
    rows = designs.read()
    Rows(designs.Row, random.Random(0).sample(rows, len(rows))).write(tmp_path / "copy.csv")
    assert designs.read(tmp_path / "copy.csv") == rows
    assert (tmp_path / "copy.csv").read_bytes() == STORED.read_bytes()


def test_the_front_holds_what_no_other_row_beats():
    rows = [
        SimpleNamespace(name=name, params=params, accuracy=accuracy)
        for name, params, accuracy in [("a", 1, 0.5), ("b", 2, 0.4), ("c", 3, 0.7), ("d", 3, 0.6), ("e", 3, 0.7)]
    ]
    assert [row.name for row in designs.front(rows, "params")] == ["a", "c", "e"]
    draw = random.Random(1)
    many = [SimpleNamespace(cost=draw.random(), gain=draw.random()) for _ in range(40)]
    kept = designs.front(many, "cost", "gain")
    for row in many:
        beaten = any(o.cost < row.cost and o.gain > row.gain for o in many)
        assert (row in kept) == (not beaten)
    with pytest.raises(ValueError, match="time the rows first"):
        designs.front([SimpleNamespace(step_ms=None, accuracy=1.0)], "step_ms")


def test_the_noise_is_pooled_over_the_designs_before_part_4():
    rows = [
        SimpleNamespace(design=name, accuracies=seeds)
        for name, seeds in [("adder", (0.1, 0.3)), ("plain 3×3", (0.5, 0.6)), ("aggregation", (0.0, 1.0))]
    ]
    assert designs.noise(rows) == pytest.approx(((0.02 + 0.005) / 2) ** 0.5)
    with pytest.raises(ValueError, match="noise needs rows of two seeds at least"):
        designs.noise(rows[2:])
    with pytest.raises(ValueError, match="noise needs rows of two seeds at least"):
        designs.noise([SimpleNamespace(design="adder", accuracies=(0.5,))])


def test_the_stored_table_is_whole():
    rows = designs.read()
    settings = {("scaled_digits", budget) for budget in designs.BUDGETS} | {("cifar10-jpeg", designs.BUDGETS[-1])}
    there = {(row.data, row.budget, row.design) for row in rows}
    assert there == {
        (data, budget, name)
        for data, budget in settings
        for name in designs.DESIGNS
        if (name, budget) not in TOO_SMALL and (data, name) not in NOT_TRAINED
    }
    assert len({row.key for row in rows}) == len(rows)
    for row in rows:
        bundled = (
            row.data == "scaled_digits"
        )  # the same numbers twice on one machine; the others take too long for that
        assert len(row.accuracies) == row.seeds >= (3 if bundled else 2)
        assert row.dtype == ("float64" if bundled else "float32")
        assert row.lr in measured.RATES
        assert all(0 < value <= 1 for value in row.accuracies)
        assert 0 < row.inference_p20 <= row.inference_ms <= row.inference_p80
        assert 0 < row.step_p20 <= row.step_ms <= row.step_p80
        assert all("thread" in where and "torch" in where for where in (row.trained_on, row.timed_on))
