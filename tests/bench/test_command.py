"""`python -m convnotes.bench`: rows are kept as they come, and what it cannot do is said."""

import builtins
import re
import sys

import pytest
import torch

from convnotes import bench
from convnotes.bench import __main__ as command
from convnotes.kernels import backend


def test_rows_are_written_as_they_come_and_not_measured_again(run, tmp_path, monkeypatch, capsys):
    file = tmp_path / "rows.csv"
    assert run("--op", "pointwise", "--csv", str(file), "--note", "on battery") == 0
    first = bench.read(file)
    assert [row.mode for row in first] == ["forward", "forward+backward"]
    assert {row.note for row in first} == {"on battery"}
    measure = command.measure

    def broken(case, **options):
        if case.op == "shift":
            raise KeyboardInterrupt
        return measure(case, **options)

    monkeypatch.setattr(command, "measure", broken)
    with pytest.raises(KeyboardInterrupt):
        run("--op", "pointwise", "adder", "shift", "--csv", str(file))
    kept = bench.read(file)
    assert kept[:2] == first
    assert [row.op for row in kept[2:]] == ["adder", "adder"]
    said = capsys.readouterr().out
    assert "pointwise 2×12×5×5: there already" in said
    assert re.search(
        r"^operator +pass +by +ms +beside +ms +times as fast\npointwise 2×12×5×5 +forward", said, flags=re.M
    )
    assert len({row.key for row in kept}) == len(kept)


def test_without_tqdm_the_progress_is_text(run, monkeypatch, capsys):
    real = builtins.__import__

    def without(name, *rest):
        if name == "tqdm":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert run("--op", "pointwise") == 0
    said = capsys.readouterr()
    assert "[1/1] pointwise 2×12×5×5 …" in said.err
    assert "× as fast as conv2d 3×3" in said.out
    assert "allocator:" in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--op", "cubic"], "invalid choice: 'cubic'"),
        (["--rounds", "0"], "a whole number of 1 at least is needed, got '0'"),
        (["--shape", "2x3"], "batch, channels and side are needed, such as 8x64x56, got '2x3'"),
        (["--csv", "no/folder/rows.csv"], "there is no folder no/folder"),
        (["--backend", "cuda"], "invalid choice: 'cuda'"),
    ],
)
def test_what_cannot_be_run_is_refused_in_words(run, words, message, capsys):
    with pytest.raises(SystemExit):
        run(*words)
    assert message in capsys.readouterr().err


def test_a_backend_or_a_device_that_is_not_there_is_refused(run, monkeypatch, capsys):
    monkeypatch.setattr(backend, "_obstacle", lambda name: f"{name} is not installed")
    with pytest.raises(SystemExit):
        run("--backend", "numba")
    assert "the backend 'numba' cannot run: numba is not installed; what can: torch" in capsys.readouterr().err
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit):
            run("--device", "cuda")
        assert "torch finds no CUDA device here" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no operator 'conv'; the names are adder, quantized adder"):
        bench.cases("conv")


def test_another_file_is_not_taken_for_a_table_of_times(run, tmp_path, capsys):
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit):
        run("--csv", str(file))
    assert "is no table of times: it lacks the columns op, variant" in capsys.readouterr().err
    assert file.read_text() == "a,b\n1,2\n"


def test_a_full_disk_stops_it_in_words_and_the_rows_before_are_kept(run, tmp_path, monkeypatch, capsys):
    file = tmp_path / "rows.csv"
    assert run("--op", "pointwise", "--csv", str(file)) == 0
    before = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert run("--op", "shift", "--csv", str(file)) == 1
    said = capsys.readouterr().err
    assert (
        f"stopped: [Errno 28] {file} could not be written (No space left on device), and what was there is kept" in said
    )
    assert file.read_bytes() == before
    (tmp_path / "folder").mkdir()
    with pytest.raises(SystemExit):
        run("--csv", str(tmp_path / "folder"))
    assert "Is a directory" in capsys.readouterr().err
