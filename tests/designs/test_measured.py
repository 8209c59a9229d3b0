"""What is measured of a design: its counts are those that are stored, and its trainings follow its paper."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch

from convnotes import designs
from convnotes.designs import measured


def test_steps_follow_the_papers_that_change_them():
    torch.manual_seed(0)
    adder = designs.Network("adder", (4, 8, 8))
    step = measured.stepper(adder, "adder", lr=0.5)
    weight = adder.stage2[0][0].weight
    before = weight.detach().clone()
    adder(torch.randn(4, 1, 16, 16)).square().sum().backward()
    step.step()
    length = 0.5 * 1.9 * 0.2 * math.sqrt(weight.numel())  # lr · (1 + momentum of Nesterov) · η · √k
    assert (weight.detach() - before).norm().item() == pytest.approx(length, rel=1e-4)
    for name in ("active", "active shift"):
        slow = measured.stepper(designs.Network(name, (9, 18, 18)), name, lr=0.5).param_groups[1]
        assert slow["lr"] < 0.05, name
    assert designs.DESIGNS["plain 3×3"].groups is None


def test_bundled_pictures_are_trained_on_in_float64_on_the_cpu_and_all_else_in_float32():
    assert measured.precision("digits", "cpu") is torch.float64
    assert measured.precision("digits", "cuda") is torch.float32
    assert measured.precision("cifar10", "cpu") is torch.float32


def test_larger_sets_come_from_the_folder_of_the_user(tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    from PIL import Image

    for split, kind in ((s, k) for s in ("train", "test") for k in ("cat", "dog")):
        folder = tmp_path / "pets" / split / kind
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8), (255, 0, 0)).save(folder / "one.png")
    monkeypatch.setenv("CONVNOTES_DATA", str(tmp_path))
    split = designs.pictures("pets")
    assert split.classes == ("cat", "dog")
    assert split.train_x.shape == (2, 3, 8, 8)


def test_the_rate_is_that_of_the_least_training_loss_and_the_test_takes_no_part(tiny, monkeypatch):
    asked = []

    def trained(design, widths, split, *, seed, lr, epochs, device, checkpoint):
        asked.append((seed, lr))
        return SimpleNamespace(loss=[9.0, 0.2 if lr == 0.1 else 0.3], test_accuracy=[0.5, seed + lr])

    monkeypatch.setattr(measured, "train_design", trained)
    result = designs.train_all("plain 3×3", (4, 8, 8), tiny, seeds=3)
    assert asked == [(0, 0.1), (0, 0.3), (1, 0.1), (2, 0.1)]
    assert result == measured.Trained(0.1, (0.1, 1.1, 2.1))


def test_a_rate_that_diverges_is_not_chosen_and_a_design_that_diverges_is_said(
    tiny, run, monkeypatch, tmp_path, capsys
):
    def trained(design, widths, split, *, seed, lr, epochs, device, checkpoint):
        if lr == 0.1 or design == "shift":
            raise FloatingPointError("the loss became nan")
        return SimpleNamespace(loss=[0.5], test_accuracy=[0.75])

    monkeypatch.setattr(measured, "train_design", trained)
    assert designs.train_all("plain 3×3", (4, 8, 8), tiny, seeds=2) == measured.Trained(0.3, (0.75, 0.75))
    assert run("--design", "shift", "1×1 only", "--csv", str(tmp_path / "rows.csv")) == 0
    assert "shift: left out, shift with widths" in capsys.readouterr().out
    assert [row.design for row in designs.read(tmp_path / "rows.csv")] == ["1×1 only"]


@pytest.mark.parametrize("name", designs.DESIGNS)
def test_the_stored_counts_are_what_the_code_counts_today(name):
    digits = designs.pictures("scaled_digits")
    for row in (row for row in designs.read() if row.design == name):
        blank = torch.zeros(10, *map(int, row.picture.split("×")))  # only the size of an image counts
        split = digits._replace(train_x=blank, test_x=blank)
        counted = dataclasses.asdict(designs.count(name, row.budget, split))
        if torch.__version__.split("+")[0] not in row.trained_on:
            del counted["step_bytes"]  # how torch cuts a step into operations is its own affair
        for column, value in counted.items():
            assert getattr(row, column) == value, column
