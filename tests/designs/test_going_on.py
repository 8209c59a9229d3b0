"""`python -m convnotes.designs` on a folder of images: seed after seed, and on from where it was stopped."""

import dataclasses

import pytest
import torch

from convnotes import designs
from convnotes.designs import __main__ as command
from convnotes.designs import measured, table
from convnotes.train.checkpoint import Checkpoints

WORDS = ["--data", "pets", "--budget", "1800", "--epochs", "2", "--rounds", "1", "--design", "1×1 only", "adder"]


@pytest.fixture(autouse=True)
def pets(tmp_path, monkeypatch):
    """A set of 80 coloured images in folders, of two classes that differ in their brightness."""
    image = pytest.importorskip("PIL.Image")
    generator = torch.Generator().manual_seed(0)
    for split, number in (("train", 30), ("test", 10)):
        for label, kind in enumerate(("cat", "dog")):
            folder = tmp_path / "images" / "pets" / split / kind
            folder.mkdir(parents=True)
            for n in range(number):
                pixels = torch.randint(40 * label, 160 + 40 * label, (8, 8, 3), generator=generator, dtype=torch.uint8)
                image.fromarray(pixels.numpy()).save(folder / f"{n}.png")
    monkeypatch.setenv("CONVNOTES_DATA", str(tmp_path / "images"))


@pytest.fixture
def asked(monkeypatch):
    """The trainings that were begun: (design, seed, rate)."""
    begun, train = [], measured.train_design

    def told(design, widths, split, **how):
        begun.append((design, how["seed"], how["lr"]))
        return train(design, widths, split, **how)

    monkeypatch.setattr(measured, "train_design", told)
    return begun


def run(file, *more):
    assert command.main([*WORDS, "--csv", str(file), *more]) == 0
    return designs.read(file)


def untimed(rows):
    return [dataclasses.replace(row, **dict.fromkeys((*table.TIMES, "trained_on"), "")) for row in rows]


def test_seed_0_of_all_designs_comes_first(tmp_path, asked):
    first, second = run(tmp_path / "rows.csv", "--seeds", "3")
    assert [(design, seed) for design, seed, _ in asked] == [
        ("1×1 only", 0), ("1×1 only", 0), ("adder", 0), ("adder", 0),
        ("1×1 only", 1), ("adder", 1), ("1×1 only", 2), ("adder", 2),
    ]  # fmt: skip
    assert [rate for _, _, rate in asked] == [*measured.RATES, *measured.RATES, *[first.lr, second.lr] * 2]
    assert (first.data, first.dtype, first.picture, len(first.accuracies)) == ("pets", "float32", "3×8×8", 3)
    assert [path.name for path in tmp_path.iterdir() if path.name != "images"] == ["rows.csv"], "no states are left"


def test_more_seeds_go_on_from_the_row_of_fewer(tmp_path, asked):
    whole = run(tmp_path / "whole.csv", "--seeds", "2")
    few = run(tmp_path / "rows.csv", "--seeds", "1")
    asked.clear()
    more = run(tmp_path / "rows.csv", "--seeds", "2")
    assert [(design, seed) for design, seed, _ in asked] == [("1×1 only", 1), ("adder", 1)]
    assert untimed(more) == untimed(whole)
    assert [row.accuracies[:1] for row in more] == [row.accuracies for row in few]
    assert all(row.timed_on for row in more)


@pytest.mark.parametrize("saves", [1, 2, 3, 9, 11])
def test_a_run_that_is_stopped_at_any_epoch_ends_as_if_it_had_not_been(saves, tmp_path, asked, monkeypatch):
    whole = run(tmp_path / "whole.csv", "--seeds", "2")
    asked.clear()
    save, done = Checkpoints.save, []

    def stopped(*given):
        save(*given)
        done.append(given)
        if len(done) == saves:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "rows.csv", "--seeds", "2")
    counted = []
    monkeypatch.setattr(Checkpoints, "save", lambda *given: counted.append(given) or save(*given))
    assert untimed(run(tmp_path / "rows.csv", "--seeds", "2")) == untimed(whole)
    assert saves + len(counted) == 12, "2 designs, 3 trainings each, 2 epochs: no epoch is trained twice"


def test_rows_say_nothing_of_where_the_images_lay(tmp_path):
    run(tmp_path / "rows.csv", "--seeds", "1")
    assert str(tmp_path) not in (tmp_path / "rows.csv").read_text(encoding="utf-8")
