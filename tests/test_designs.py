"""Every design in one frame: equal budgets, rows that can be trusted, and a command that goes on where it stopped."""

import csv
import dataclasses
import math
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from convnotes import data, designs
from convnotes.designs import __main__ as command
from convnotes.designs import measured, table
from convnotes.designs.network import STEM, block, parameters
from convnotes.measure import cost

STORED = Path(__file__).parents[1] / "book" / "measurements" / "designs.csv"
MISSED = {("grouped bottleneck", 1800): 0.03}  # what its widths, multiples of 4, cannot meet
every_design = pytest.mark.parametrize("name", designs.DESIGNS)


@pytest.fixture
def tiny(monkeypatch):
    """A set of 64 digits of two classes, known to the command as "tiny"."""
    whole = data.digits()
    kept, tested = whole.train_y < 2, whole.test_y < 2
    split = data.Split(
        whole.train_x[kept][:64], whole.train_y[kept][:64], whole.test_x[tested], whole.test_y[tested], ("0", "1")
    )
    monkeypatch.setitem(measured.BUNDLED, "tiny", lambda: split)
    return split


def run(*words: str) -> int:
    return command.main(
        ["--data", "tiny", "--epochs", "1", "--rounds", "1", "--seeds", "2", "--budget", "1800", *words]
    )


def lines(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@every_design
def test_a_block_keeps_the_size_and_gives_the_channels_that_it_is_asked_for(name):
    x = torch.randn(2, STEM, 11, 7)
    for place in range(3):
        assert block(designs.DESIGNS[name], STEM, 12, place)(x).shape == (2, 12, 11, 7)


@every_design
def test_only_the_blocks_differ_between_two_networks(name):
    widths = (12, 24, 24)
    ours, plain = designs.Network(name, widths), designs.Network("plain 3×3", widths)
    assert str(ours.stem) == str(plain.stem)
    assert str(ours.head) == str(plain.head)
    assert isinstance(ours.stage1[1], nn.MaxPool2d)
    assert ours(torch.randn(3, 1, 24, 24)).shape == (3, 10)
    assert parameters(name, widths) == sum(p.numel() for p in ours.parameters())


@every_design
@pytest.mark.parametrize("budget", designs.BUDGETS)
def test_the_budget_is_met_within_the_tolerance_and_what_misses_it_is_known(name, budget):
    fit = designs.fit_budget(name, budget)
    assert fit.params == parameters(name, fit.widths)
    assert fit.off == pytest.approx(fit.params / budget - 1)
    if (name, budget) in MISSED:
        assert abs(fit.off) == pytest.approx(MISSED[name, budget], abs=1e-3)
        assert not fit.met
    else:
        assert fit.met
        assert abs(fit.off) <= designs.TOLERANCE
    first, second, third = fit.widths
    assert 1.5 <= min(second, third) / first <= max(second, third) / first <= 2.5


def test_a_budget_is_met_for_colour_pictures_and_for_large_networks():
    for name in ("separable", "deformable", "grouped bottleneck"):
        fit = designs.fit_budget(name, 200_000, channels=3, num_classes=100)
        assert fit.met
        made = designs.Network(name, fit.widths, channels=3, num_classes=100)
        assert cost(made, (1, 3, 32, 32)).params == fit.params


def test_a_design_that_is_exchanged_under_its_name_is_counted_anew(monkeypatch):
    monkeypatch.setitem(designs.DESIGNS, "own", designs.DESIGNS["plain 3×3"])
    assert parameters("own", (8, 16, 16)) == parameters("plain 3×3", (8, 16, 16))
    monkeypatch.setitem(designs.DESIGNS, "own", designs.DESIGNS["plain 5×5"])
    assert parameters("own", (8, 16, 16)) == parameters("plain 5×5", (8, 16, 16))


def test_the_frame_refuses_what_it_cannot_build():
    with pytest.raises(ValueError, match=r"no design 'cubic'; the names are plain 3×3, plain 5×5"):
        designs.Network("cubic", (8, 16, 16))
    with pytest.raises(ValueError, match=r"shift needs widths of 9 at least in multiples of 1, got \(8, 16, 16\)"):
        designs.Network("shift", (8, 16, 16))
    with pytest.raises(ValueError, match=r"multiples of 4, got \(8, 16, 18\)"):
        designs.Network("bottleneck", (8, 16, 18))
    with pytest.raises(ValueError, match=r"those of the 3 blocks, got \(8, 16\)"):
        designs.Network("plain 3×3", (8, 16))
    with pytest.raises(
        ValueError, match="plain 7×7 has 1,663 parameters at its narrowest, more than the budget of 900"
    ):
        designs.fit_budget("plain 7×7", 900)
    with pytest.raises(ValueError, match="budget must be"):
        designs.fit_budget("plain 7×7", 0)


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

    def trained(design, widths, split, *, seed, lr, epochs, device):
        asked.append((seed, lr))
        return SimpleNamespace(loss=[9.0, 0.2 if lr == 0.1 else 0.3], test_accuracy=[0.5, seed + lr])

    monkeypatch.setattr(measured, "train_design", trained)
    result = designs.train_all("plain 3×3", (4, 8, 8), tiny, seeds=3)
    assert asked == [(0, 0.1), (0, 0.3), (1, 0.1), (2, 0.1)]
    assert result == measured.Trained(0.1, (0.1, 1.1, 2.1))


def test_a_rate_that_diverges_is_not_chosen_and_a_design_that_diverges_is_said(tiny, monkeypatch, tmp_path, capsys):
    def trained(design, widths, split, *, seed, lr, epochs, device):
        if lr == 0.1 or design == "shift":
            raise FloatingPointError("the loss became nan")
        return SimpleNamespace(loss=[0.5], test_accuracy=[0.75])

    monkeypatch.setattr(measured, "train_design", trained)
    assert designs.train_all("plain 3×3", (4, 8, 8), tiny, seeds=2) == measured.Trained(0.3, (0.75, 0.75))
    assert run("--design", "shift", "1×1 only", "--csv", str(tmp_path / "rows.csv")) == 0
    assert "shift: left out, shift with widths" in capsys.readouterr().out
    assert [row.design for row in designs.read(tmp_path / "rows.csv")] == ["1×1 only"]


def test_a_row_is_trained_counted_timed_and_written(tiny, tmp_path, capsys):
    file = tmp_path / "rows.csv"
    assert run("--design", "shift", "plain 3×3", "--csv", str(file)) == 0
    first, second = lines(file)
    assert [first["design"], second["design"]] == ["plain 3×3", "shift"], "in the order of DESIGNS"
    assert tuple(first) == table.COLUMNS
    shift = designs.read(file)[1]
    counts = designs.count("shift", 1800, tiny)
    for name, value in dataclasses.asdict(counts).items():
        assert getattr(shift, name) == value, name
    assert (shift.seeds, len(shift.accuracies), shift.dtype, shift.picture) == (2, 2, "float64", "1×8×8")
    history = designs.train_design("shift", shift.widths, tiny.to(dtype=torch.float64), seed=1, lr=shift.lr, epochs=1)
    assert history.test_accuracy[-1] == shift.accuracies[1]
    assert shift.inference_p20 <= shift.inference_ms <= shift.inference_p80 < shift.step_p80
    assert torch.__version__ in shift.trained_on
    assert torch.__version__ in shift.timed_on
    said = capsys.readouterr().out
    assert "[1/2] tiny, 1,800 parameters, shift:" in said
    assert "timing 2 designs of tiny, 1,800 parameters, in turn" in said


def test_what_the_file_holds_is_not_measured_again(tiny, tmp_path, monkeypatch, capsys):
    file, measure = tmp_path / "rows.csv", command.measure
    run("--design", "1×1 only", "--csv", str(file))
    first = lines(file)[0]
    measured_now = []
    monkeypatch.setattr(command, "measure", lambda *given: measured_now.append(given[3]) or measure(*given))
    run("--design", "1×1 only", "--csv", str(file))
    assert lines(file) == [first]
    assert "there already" in capsys.readouterr().out
    run("--design", "1×1 only", "plain 3×3", "--csv", str(file))
    assert measured_now == ["plain 3×3"]
    again = lines(file)[1]
    assert {k for k in first if first[k] != again[k]} <= set(table.TIMES), "a budget is timed together"
    run("--design", "1×1 only", "--seeds", "1", "--csv", str(file))
    assert len(lines(file)) == 3, "another number of seeds is another row"


def test_a_run_that_is_broken_off_keeps_its_rows_and_goes_on(tiny, tmp_path, monkeypatch):
    file, measure = tmp_path / "rows.csv", command.measure

    def broken(*given):
        if given[3] == "shift":
            raise KeyboardInterrupt
        return measure(*given)

    monkeypatch.setattr(command, "measure", broken)
    with pytest.raises(KeyboardInterrupt):
        run("--design", "1×1 only", "shift", "--csv", str(file))
    (kept,) = designs.read(file)
    assert kept.design == "1×1 only"
    assert kept.inference_ms is None
    monkeypatch.setattr(command, "measure", measure)
    run("--design", "1×1 only", "shift", "--csv", str(file))
    rows = designs.read(file)
    assert all(row.timed_on for row in rows)
    assert rows[0].accuracies == kept.accuracies


def test_retime_renews_the_times_and_nothing_else(tiny, tmp_path, monkeypatch):
    file = tmp_path / "rows.csv"
    run("--design", "1×1 only", "--csv", str(file))
    (row,) = designs.read(file)
    designs.write(file, [dataclasses.replace(row, inference_ms=1e6, timed_on="long ago")])
    monkeypatch.setattr(command, "measure", None)
    assert run("--retime", "--csv", str(file)) == 0
    (again,) = designs.read(file)
    assert again.inference_ms < 1e5
    assert again.timed_on != "long ago"
    assert {c for c in table.COLUMNS if getattr(again, c) != getattr(row, c)} <= set(table.TIMES)


def test_a_write_that_fails_leaves_the_old_file(tiny, tmp_path, monkeypatch):
    file = tmp_path / "rows.csv"
    run("--design", "1×1 only", "--csv", str(file))
    before = file.read_bytes()
    monkeypatch.setattr(table.os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        designs.write(file, [])
    assert file.read_bytes() == before


def test_a_budget_that_a_design_cannot_go_down_to_is_said_and_not_hidden(tiny, capsys):
    assert run("--budget", "900", "--design", "plain 7×7", "1×1 only") == 0
    said = capsys.readouterr().out
    assert "plain 7×7: left out, plain 7×7 has" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--design", "cubic"], "invalid choice: 'cubic'"),
        (["--budget", "none"], "a whole number of 1 at least is needed, got 'none'"),
        (["--seeds", "0"], "a whole number of 1 at least is needed, got '0'"),
        (["--data", "tiny", "nothing"], "nothing has no train images"),
        (["--csv", "no/folder/rows.csv"], "there is no folder no/folder"),
        (["--retime"], "--retime needs the rows of an earlier run"),
    ],
)
def test_what_cannot_be_run_is_refused_in_words(words, message, tiny, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CONVNOTES_DATA", str(tmp_path))
    with pytest.raises(SystemExit):
        run(*words)
    assert message in capsys.readouterr().err


def test_a_device_that_is_not_there_is_refused(capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(SystemExit):
        run("--device", "cuda")
    assert "torch finds no CUDA device here" in capsys.readouterr().err


def test_another_file_is_not_taken_for_a_table(tiny, tmp_path, capsys):
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no table of designs: it lacks the columns data, budget"):
        designs.read(file)
    with pytest.raises(SystemExit):
        run("--csv", str(file))
    assert file.read_text() == "a,b\n1,2\n"
    assert "no table of designs" in capsys.readouterr().err
    file.write_text(",".join(table.COLUMNS) + "\n" + "x," * (len(table.COLUMNS) - 1) + "x\n")
    with pytest.raises(ValueError, match=r"line 2 of .* is no row of a table of designs"):
        designs.read(file)


def test_rows_read_back_as_they_were_written(tmp_path):
    rows = designs.read(STORED)
    designs.write(tmp_path / "copy.csv", random.Random(0).sample(rows, len(rows)))
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


def test_a_table_says_the_same_as_text_and_as_html():
    shown = designs.overview(designs.read(STORED)[:2], "Two <rows>")
    assert "plain 3×3" in repr(shown)
    markup = shown._repr_html_()
    assert "<caption>Two &lt;rows&gt;</caption>" in markup
    assert markup.count("<tr>") == 3
    assert "cn-words" not in markup
    assert "cn-words" in designs.Table("in words", ["limit", "because"], [["time", "3 times"]])._repr_html_()
    assert repr(designs.Table("", ["a", "n"], [["b", "7.5 ms"], ["c", "12 ms"]])).splitlines()[2] == "c   12 ms"


def test_the_stored_table_is_whole():
    rows = designs.read(STORED)
    there = {(row.budget, row.design) for row in rows if row.data == "scaled_digits"}
    assert there == {(budget, name) for budget in designs.BUDGETS for name in designs.DESIGNS}
    assert len({row.key for row in rows}) == len(rows)
    for row in rows:
        assert len(row.accuracies) == row.seeds >= 3
        assert row.dtype == "float64"
        assert row.lr in measured.RATES
        assert all(0 < value <= 1 for value in row.accuracies)
        assert 0 < row.inference_p20 <= row.inference_ms <= row.inference_p80
        assert 0 < row.step_p20 <= row.step_ms <= row.step_p80
        assert all("thread" in where and "torch" in where for where in (row.trained_on, row.timed_on))


@every_design
def test_the_stored_counts_are_what_the_code_counts_today(name):
    split = designs.pictures("scaled_digits")
    for row in (row for row in designs.read(STORED) if row.design == name):
        counted = dataclasses.asdict(designs.count(name, row.budget, split))
        if torch.__version__.split("+")[0] not in row.trained_on:
            del counted["step_bytes"]  # how torch cuts a step into operations is its own affair
        for column, value in counted.items():
            assert getattr(row, column) == value, column
