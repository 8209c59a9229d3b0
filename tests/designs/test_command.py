"""`python -m convnotes.designs`: rows that can be trusted, and a run that goes on where it stopped."""

import csv
import dataclasses
from pathlib import Path

import pytest
import torch

from convnotes import designs
from convnotes.designs import __main__ as command
from convnotes.designs import table
from convnotes.designs.table import Row
from convnotes.measure.rows import Rows


def lines(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_row_is_trained_counted_timed_and_written(tiny, run, tmp_path, capsys):
    file = tmp_path / "rows.csv"
    assert run("--design", "shift", "plain 3×3", "--csv", str(file)) == 0
    first, second = lines(file)
    assert [first["design"], second["design"]] == ["plain 3×3", "shift"], "in the order of DESIGNS"
    assert tuple(first) == Row.columns()
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


def test_what_the_file_holds_is_not_measured_again(run, tmp_path, monkeypatch, capsys):
    file, measure = tmp_path / "rows.csv", command.measure
    run("--design", "1×1 only", "--csv", str(file))
    first = lines(file)[0]
    measured_now = []
    monkeypatch.setattr(command, "measure", lambda *given: measured_now.append(given[2]) or measure(*given))
    run("--design", "1×1 only", "--csv", str(file))
    assert lines(file) == [first]
    assert "there already" in capsys.readouterr().out
    run("--design", "1×1 only", "plain 3×3", "--csv", str(file))
    assert measured_now == ["plain 3×3"]
    again = lines(file)[1]
    assert {k for k in first if first[k] != again[k]} <= set(table.TIMES), "a budget is timed together"
    run("--design", "1×1 only", "--seeds", "1", "--csv", str(file))
    assert len(lines(file)) == 3, "another number of seeds is another row"


def test_a_run_that_is_broken_off_keeps_its_rows_and_goes_on(run, tmp_path, monkeypatch):
    file, measure = tmp_path / "rows.csv", command.measure

    def broken(*given):
        if given[2] == "shift":
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
    assert (kept.seeds, rows[0].seeds) == (1, 2), "seed 0 of all designs comes first"
    assert rows[0].accuracies[:1] == kept.accuracies


def test_retime_renews_the_times_and_nothing_else(run, tmp_path, monkeypatch):
    file = tmp_path / "rows.csv"
    run("--design", "1×1 only", "--csv", str(file))
    (row,) = designs.read(file)
    Rows(Row, [dataclasses.replace(row, inference_ms=1e6, timed_on="long ago")]).write(file)
    monkeypatch.setattr(command, "measure", None)
    assert run("--retime", "--csv", str(file)) == 0
    (again,) = designs.read(file)
    assert again.inference_ms < 1e5
    assert again.timed_on != "long ago"
    assert {c for c in Row.columns() if getattr(again, c) != getattr(row, c)} <= set(table.TIMES)


def test_a_write_that_fails_leaves_the_old_file(run, tmp_path, monkeypatch):
    file = tmp_path / "rows.csv"
    run("--design", "1×1 only", "--csv", str(file))
    before = file.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        Rows(Row).write(file)
    assert file.read_bytes() == before


def test_a_budget_that_a_design_cannot_go_down_to_is_said_and_not_hidden(run, capsys):
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
def test_what_cannot_be_run_is_refused_in_words(words, message, run, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CONVNOTES_DATA", str(tmp_path))
    with pytest.raises(SystemExit):
        run(*words)
    assert message in capsys.readouterr().err


def test_a_device_that_is_not_there_is_refused(run, capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(SystemExit):
        run("--device", "cuda")
    assert "torch finds no CUDA device here" in capsys.readouterr().err


def test_another_file_is_not_taken_for_a_table(run, tmp_path, capsys):
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no table of designs: it lacks the columns data, budget"):
        designs.read(file)
    with pytest.raises(SystemExit):
        run("--csv", str(file))
    assert file.read_text() == "a,b\n1,2\n"
    assert "no table of designs" in capsys.readouterr().err
    file.write_text(",".join(Row.columns()) + "\n" + "x," * (len(Row.columns()) - 1) + "x\n")
    with pytest.raises(ValueError, match=r"line 2 of .* is no row of a table of designs"):
        designs.read(file)


def test_a_full_disk_stops_it_in_words_and_the_same_command_goes_on(run, tmp_path, monkeypatch, capsys):
    file = tmp_path / "rows.csv"
    run("--design", "1×1 only", "--csv", str(file))
    before = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(SystemExit):
            run("--design", "1×1 only", "shift", "--csv", str(file))
    said = capsys.readouterr().err
    assert "could not be written (No space left on device), and no state is there: make room on the disk" in said
    assert file.read_bytes() == before
    run("--design", "1×1 only", "shift", "--csv", str(file))
    assert [row.design for row in designs.read(file)] == ["1×1 only", "shift"]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
