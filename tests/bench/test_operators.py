"""What is timed: every operator beside its rivals, on numbers that favour nobody, and no rival that cannot run."""

import sys

import pytest
import torch

from convnotes import bench, checks
from convnotes.bench import memory, operators, rivals
from convnotes.bench.parts import Make

TINY = (2, 12, 5)


@pytest.mark.parametrize("op", bench.OPS)
def test_every_operator_equals_its_rivals_and_gives_rows(measure, op):
    said = []
    for case in bench.cases(op, (TINY,)):
        rows = measure(case, backends=["torch"], say=said.append)
        modes = {"forward"} if op == "quantized adder" else {"forward", "forward+backward"}
        assert {row.mode for row in rows} == (modes if rows else set())
        assert rows or "skipped" in said[-1]
        for row in rows:
            assert (row.op, row.variant, row.shape, row.backend) == (op, case.variant, "2×12×5×5", "torch")
            assert row.p20 <= row.ms <= row.p80
            assert row.faster == pytest.approx(row.rival_ms / row.ms, rel=0.02, abs=1e-3)
            assert row.of_conv == pytest.approx(row.ms / row.conv_ms, rel=0.02, abs=1e-3)
            assert row.bytes > 0
            assert row.difference is None or row.difference < 1e-4
            assert (row.difference is None) == (row.rival == row.conv)
            assert torch.__version__ in row.machine


def test_the_layers_of_part_1_carry_their_multiply_adds(measure):
    (case,) = bench.cases("separable", (TINY,))
    row = measure(case, backends=["torch"])[0]
    assert row.macs / row.conv_macs == pytest.approx((9 * 12 + 12 * 12) / (9 * 12 * 12))
    assert row.rival == row.conv == "conv2d 3×3"


def test_torchvision_is_looked_for_and_its_absence_explained(monkeypatch):
    checks.obstacle.cache_clear()
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert rivals.no_torchvision() == "torchvision is not installed"
    checks.obstacle.cache_clear()


def test_a_rival_that_would_not_fit_is_skipped_with_its_size(monkeypatch):
    monkeypatch.setattr(memory, "_free", lambda device: 2 * 2**30)
    assert memory.too_large(2**30, "cpu") is None
    assert memory.too_large(2**30 + 1, "cpu") == "it takes about 1.0 GiB, and 2.0 GiB are free"
    monkeypatch.setattr(memory, "_free", lambda device: 0)
    made = operators.non_local(Make(), TINY, "concat")
    assert all("are free" in rival for rival in made.rivals.values())


def test_offsets_keep_away_from_whole_pixels_and_sums_from_the_kink():
    offsets = Make().between_pixels(100)
    assert ((offsets - offsets.floor()) >= 0.0999).all()
    assert ((offsets.ceil() - offsets) >= 0.0999).all()
    inputs = operators.non_local(Make(), (1, 8, 12), "concat").ours.inputs
    halves = inputs["relation"].chunk(2)
    a, b = (h @ inputs[n].flatten(2)[0] for n, h in zip(("query", "key"), halves, strict=True))
    assert (a[:, None] + b).abs().min() > 2**-13
