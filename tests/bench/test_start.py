"""What a start costs: each figure is that of a program which runs, and the rows are kept beside the table of times."""

from pathlib import Path

import pytest
import torch

from convnotes import bench
from convnotes.bench import __main__ as command
from convnotes.bench import start
from convnotes.bench.start import Start
from convnotes.kernels import backend
from convnotes.measure.rows import Rows

STORED = Path(start.__file__).with_name("rows") / Start.FILE
PLACES = [(what, "") for what in start.IMPORTS] + [
    (what, op) for op in start.CALLS for what in ("first call", "next process")
]


@pytest.fixture
def quick(monkeypatch):
    """No process is started: a program takes as many seconds as it has been asked for."""
    asked = []
    monkeypatch.setattr(start, "_seconds", lambda code, settings: asked.append((code, settings)) or len(asked))
    monkeypatch.setattr(command, "machine_peak", lambda device: 10.0)
    return asked


@pytest.mark.parametrize("what", start.IMPORTS)
def test_the_programs_of_the_imports_print_a_time(what):
    assert start._seconds(start.program(what), {}) > 0


@pytest.mark.parametrize("op", start.CALLS)
def test_the_programs_of_the_calls_run_by_numba_and_print_a_time(op, monkeypatch, capsys):
    pytest.importorskip("numba")
    monkeypatch.setenv(backend.VARIABLE, "numba")
    chosen = backend.chosen
    ran = []
    monkeypatch.setattr(backend, "chosen", lambda *given: ran.append(chosen(*given)) or ran[-1])
    exec(start.program("first call", op), {})
    assert float(capsys.readouterr().out) >= 0
    assert set(ran) == {"numba"}


def test_a_program_that_fails_is_reported_by_its_last_line():
    with pytest.raises(RuntimeError, match="a fresh process failed: ValueError: no"):
        start._seconds("raise ValueError('no')", {})


def test_a_row_is_the_median_of_fresh_processes_and_a_cache_belongs_to_one_pair(quick):
    pytest.importorskip("numba")
    rows = list(start.measure_start(3, "shared"))
    assert [(row.what, row.op) for row in rows] == PLACES
    imported, first, later = rows[0], rows[2], rows[3]
    assert (imported.seconds, imported.p20, imported.p80) == pytest.approx((2, 1.4, 2.6))
    assert (first.seconds, later.seconds) == (9, 10), "the calls 7, 9, 11 and 8, 10, 12"
    assert {row.rounds for row in rows} == {3}
    assert all(torch.__version__ in row.machine and row.note == "shared" for row in rows)
    folders = [settings["NUMBA_CACHE_DIR"] for _, settings in quick[6:]]
    assert folders[::2] == folders[1::2]
    assert len(set(folders)) == 3 * len(start.CALLS)
    assert not any(Path(folder).exists() for folder in folders)


def test_without_numba_the_first_calls_are_skipped_in_one_line(quick, monkeypatch):
    said = []
    monkeypatch.setattr(backend, "available", lambda: ("torch",))
    rows = list(start.measure_start(1, say=said.append))
    assert [row.what for row in rows] == list(start.IMPORTS)
    assert said == ['the first calls are skipped: numba is not installed: pip install "convnotes[fast]"']


def test_the_command_keeps_the_rows_beside_the_table_and_does_not_measure_them_again(quick, tmp_path, capsys):
    pytest.importorskip("numba")
    words = ["--op", "start", "--rounds", "1", "--csv", str(tmp_path / "bench.csv"), "--note", "shared"]
    assert command.main(words) == 0
    rows = Rows.read(Start, tmp_path / Start.FILE)
    assert [(row.what, row.op) for row in rows] == PLACES
    assert str(rows[0]) in capsys.readouterr().out
    assert not (tmp_path / "bench.csv").exists()
    before = len(quick)
    assert command.main(words) == 0
    assert len(quick) == before
    Rows(Start, (row for row in rows if row.op != "adder")).write(tmp_path / Start.FILE)
    assert command.main(words) == 0
    assert len(quick) == before + 2
    assert {(row.what, row.op) for row in Rows.read(Start, tmp_path / Start.FILE)} == set(PLACES)


def test_the_rows_of_another_processor_stay_and_are_no_reason_not_to_measure(quick, tmp_path):
    pytest.importorskip("numba")
    file = tmp_path / Start.FILE
    there = Start("first call", "adder", 5.25, 5.0, 5.5, 3, "Another, 2 threads, torch 2, 2026-01-01", "")
    Rows(Start, [there]).write(file)
    assert command.main(["--op", "start", "--rounds", "1", "--csv", str(tmp_path / "bench.csv")]) == 0
    rows = Rows.read(Start, file)
    assert rows[0] == there
    assert [(row.what, row.op) for row in rows[1:]] == PLACES


def test_it_is_part_of_what_the_command_does_by_itself():
    assert command._options().parse_args([]).op == [*bench.OPS, "start"]


def test_a_row_in_words():
    row = Start("first call", "adder", 5.25, 5.0, 5.5, 3, "here", "")
    assert str(row) == "first call adder         5.25 s (5 to 5.5)"
    assert "12 ms (11 to 13)" in str(Start("import convnotes", "", 0.012, 0.011, 0.013, 3, "here", ""))


def test_the_stored_table_is_whole_and_reads_back_as_it_was_written(tmp_path):
    rows = Rows.read(Start)
    rows.write(tmp_path / Start.FILE)
    assert (tmp_path / Start.FILE).read_bytes() == STORED.read_bytes()
    processors = list(dict.fromkeys(row.processor for row in rows))
    assert [name[:5] for name in processors] == ["Intel", "AMD E"]
    assert [(row.processor, row.what, row.op) for row in rows] == [
        (name, *place) for name in processors for place in PLACES
    ]
    for row in rows:
        assert 0 < row.p20 <= row.seconds <= row.p80
        assert row.rounds == 3
        assert "thread" in row.machine
