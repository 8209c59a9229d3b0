"""The benchmark: it compares the same things, its rows are what was timed, and it says what it cannot do."""

import builtins
import dataclasses
import os
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import convnotes
from convnotes import bench
from convnotes.bench import __main__ as command
from convnotes.bench import memory, operators, rivals
from convnotes.bench.parts import Call, Make
from convnotes.bench.table import KEY
from convnotes.kernels import backend

TINY = (2, 12, 5)
STORED = Path(__file__).parents[1] / "book" / "measurements" / "bench.csv"
QUICK = {"peak": 10.0, "rounds": 1, "min_seconds": 0.0}


@pytest.fixture
def quick(monkeypatch):
    """The command without its matrix products."""
    monkeypatch.setattr(command, "machine_peak", lambda device: 10.0)


def run(*words: str) -> int:
    return command.main(["--shape", "2x12x5", "--rounds", "1", "--backend", "torch", *words])


@pytest.mark.parametrize("op", bench.OPS)
def test_every_operator_equals_its_rivals_and_gives_rows(op):
    said = []
    for case in bench.cases(op, (TINY,)):
        rows = bench.measure(case, backends=["torch"], say=said.append, **QUICK)
        assert {row.mode for row in rows} == ({"forward", "forward+backward"} if rows else set())
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


def test_the_share_of_the_peak_is_work_over_time():
    (case,) = bench.cases("adder", (TINY,))
    forward, both = bench.measure(case, backends=["torch"], **QUICK)
    assert forward.macs == 2 * 25 * 12 * 12 * 9
    assert forward.of_peak == pytest.approx(forward.macs / (forward.ms / 1e3) / 1e9 / 10.0, abs=1e-4)
    assert both.of_peak == pytest.approx(3 * both.macs / (both.ms / 1e3) / 1e9 / 10.0, abs=1e-4)
    assert both.rival_bytes > forward.rival_bytes > 4 * forward.macs


def test_the_layers_of_part_1_carry_their_multiply_adds():
    (case,) = bench.cases("separable", (TINY,))
    row = bench.measure(case, backends=["torch"], **QUICK)[0]
    assert row.macs / row.conv_macs == pytest.approx((9 * 12 + 12 * 12) / (9 * 12 * 12))
    assert row.rival == row.conv == "conv2d 3×3"


def test_a_wrong_rival_is_refused_and_the_place_is_named():
    make = Make()
    x, weight = make(1, 4, 5, 5), make(4, 4, 3, 3)

    def right(x, weight):
        return F.conv2d(x, weight, padding=1)

    def call(run, **other):
        return bench.results(Call(run, {"x": x, "weight": weight} | other))

    ours = call(right)
    assert bench.check_equal(ours, call(lambda x, weight: right(x, weight) * (1 + 1e-6)), "near") < 1e-5
    with pytest.raises(bench.Unequal, match=r"scaled: the result differs by 0\.01 of its largest value"):
        bench.check_equal(ours, call(lambda x, weight: right(x, weight) * 0.99), "scaled")
    with pytest.raises(bench.Unequal, match="stopped: the gradient of weight differs"):
        bench.check_equal(
            ours, call(lambda x, weight: right(x, weight.detach()) + 0 * weight.sum() + right(x, weight) * 0), "stopped"
        )
    with pytest.raises(bench.Unequal, match=r"smaller gives \(1, 4, 3, 3\), ours \(1, 4, 5, 5\)"):
        bench.check_equal(ours, call(F.conv2d), "smaller")
    with pytest.raises(bench.Unequal, match="differs by nan"):
        bench.check_equal(ours, call(lambda x, weight: right(x, weight) * float("nan")), "nan")


def test_a_rival_that_computes_something_else_is_never_timed(quick, monkeypatch, capsys):
    monkeypatch.setattr(rivals, "adder2d", lambda x, weight: -F.conv2d(x, weight, padding=1))
    (case,) = bench.cases("adder", (TINY,))
    with pytest.raises(bench.Unequal, match=r"adder 3×3 2×12×5×5 by torch, unfold and broadcast: the result differs"):
        bench.measure(case, backends=["torch"], **QUICK)
    assert run("--op", "adder") == 1
    assert "stopped: adder 3×3" in capsys.readouterr().err


def test_a_rival_that_is_not_installed_is_skipped_in_one_line(monkeypatch):
    said = []
    monkeypatch.setattr(rivals, "no_torchvision", lambda: "torchvision is not installed")
    case = bench.cases("deformable", (TINY,))[0]
    rows = bench.measure(case, backends=["torch"], say=said.append, **QUICK)
    assert said == [f"{case.name}: torchvision.ops.deform_conv2d is skipped, torchvision is not installed"]
    assert {row.rival for row in rows} == {"conv2d 3×3"}, "the yardstick is left"
    assert all(row.difference is None for row in rows)


def test_torchvision_is_looked_for_and_its_absence_explained(monkeypatch):
    rivals.no_torchvision.cache_clear()
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert rivals.no_torchvision() == "torchvision is not installed"
    rivals.no_torchvision.cache_clear()


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


def test_the_backend_that_ran_is_named():
    pytest.importorskip("numba")
    (case,) = bench.cases("adder", (TINY,))
    rows = bench.measure(case, backends=["torch", "auto", "numba"], **QUICK)
    assert [row.backend for row in rows] == ["torch", "numba", "torch", "numba"]
    (shift,) = bench.cases("shift", (TINY,))
    rows = bench.measure(shift, backends=["torch", "auto"], **QUICK)
    assert {row.backend for row in rows} == {"torch", "numba"}
    (pointwise,) = bench.cases("pointwise", (TINY,))
    rows = bench.measure(pointwise, backends=["torch", "auto"], **QUICK)
    assert {row.backend for row in rows} == {"torch"}, "it has no other kernel"


def test_the_backward_runs_by_the_backend_that_the_row_names(monkeypatch):
    monkeypatch.setenv(backend.VARIABLE, "auto")
    asked, chosen = [], backend.chosen

    def watched(op, tensors):
        asked.append(chosen(op, tensors))
        return asked[-1]

    monkeypatch.setattr(backend, "chosen", watched)
    make = Make()
    inputs = {"x": make(1, 2, 5, 5), "weight": make(2, 2, 3, 3)}
    Call(convnotes.adder2d, {"input": inputs["x"], "weight": inputs["weight"]}, "torch").gradients(
        torch.ones(1, 2, 3, 3)
    )
    assert len(asked) >= 3, "forward, and the gradients of input and weight"
    assert set(asked) == {"torch"}
    assert os.environ[backend.VARIABLE] == "auto"


def test_the_peak_of_the_machine_is_a_rate():
    assert 0.01 < bench.machine_peak(rounds=2) < 1e5


def test_rows_are_written_as_they_come_and_not_measured_again(quick, tmp_path, monkeypatch, capsys):
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
    assert "pointwise 2×12×5×5: there already" in capsys.readouterr().out
    assert len({row.key for row in kept}) == len(kept)


def test_a_row_in_words_holds_what_was_asked():
    row = bench.read(STORED)[0]
    text = str(row)
    for word in (row.mode, row.backend, row.rival, row.conv, "MiB against", "× as fast as"):
        assert word in text


def test_without_tqdm_the_progress_is_text(quick, monkeypatch, capsys):
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


def test_the_allocator_is_named_and_can_be_chosen(quick, monkeypatch):
    for name in (*memory.STEADY, "LD_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("glibc", "2.36"))
    assert memory.allocator() == "glibc's default"
    started = []
    monkeypatch.setattr(memory.os, "execve", lambda *given: started.append(given))
    memory.start_again("default", ["--op", "adder"])
    assert not started, "it is so already"
    memory.start_again("steady", ["--op", "adder"])
    program, words, variables = started.pop()
    assert (program, words[1:]) == (sys.executable, ["-m", "convnotes.bench", "--op", "adder"])
    for name, value in memory.STEADY.items():
        assert variables[name] == value
        monkeypatch.setenv(name, value)
    assert memory.allocator() == "steady"
    memory.start_again("default", [])
    assert not set(memory.STEADY) & set(started.pop()[2])
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libjemalloc.so.2")
    assert memory.allocator() == "preloaded libjemalloc.so.2"
    with pytest.raises(ValueError, match=r"with glibc alone, and this is preloaded libjemalloc\.so\.2"):
        memory.start_again("steady", [])
    monkeypatch.delenv("LD_PRELOAD")
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    assert memory.allocator() == "the system's"


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
def test_what_cannot_be_run_is_refused_in_words(words, message, capsys):
    with pytest.raises(SystemExit):
        run(*words)
    assert message in capsys.readouterr().err


def test_a_backend_or_a_device_that_is_not_there_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(backend, "_obstacle", lambda name: f"{name} is not installed")
    with pytest.raises(SystemExit):
        run("--backend", "numba")
    assert "the backend 'numba' cannot run: numba is not installed; what can: torch" in capsys.readouterr().err
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit):
            run("--device", "cuda")
        assert "torch finds no CUDA device here" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no operator 'conv'; the names are adder, deformable"):
        bench.cases("conv")


def test_another_file_is_not_taken_for_a_table_of_times(tmp_path, capsys):
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit):
        run("--csv", str(file))
    assert "is no table of times: it lacks the columns op, variant" in capsys.readouterr().err
    assert file.read_text() == "a,b\n1,2\n"


def test_the_stored_table_is_whole_and_reads_back_as_it_was_written(tmp_path):
    rows = bench.read(STORED)
    bench.write(tmp_path / "copy.csv", rows)
    assert (tmp_path / "copy.csv").read_bytes() == STORED.read_bytes()
    assert len({row.key for row in rows}) == len(rows)
    assert set(KEY) <= {field.name for field in dataclasses.fields(bench.Row)}
    for row in rows:
        assert row.op in bench.OPS
        assert 0 < row.p20 <= row.ms <= row.p80
        assert 0 < row.rival_p20 <= row.rival_ms <= row.rival_p80
        assert row.faster == pytest.approx(row.rival_ms / row.ms, rel=0.01, abs=1e-3)
        assert row.rounds >= 3
        assert row.allocator in ("steady", "glibc's default")
        assert "thread" in row.machine
        assert row.difference is None or row.difference < 1e-4


def test_rows_are_picked_by_their_fields():
    rows = bench.read(STORED)
    adders = bench.select(rows, op="adder", mode="forward")
    assert adders
    assert adders == [row for row in rows if (row.op, row.mode) == ("adder", "forward")]
    with pytest.raises(TypeError, match="rows have no colour; their fields are op, variant"):
        bench.select(rows, op="adder", colour="red")
    with pytest.raises(ValueError, match="no row has op='adder', threads=99"):
        bench.select(rows, op="adder", threads=99)


def test_rows_are_paired_by_all_but_the_mode():
    rows = bench.read(STORED)
    found = bench.pairs(reversed(rows))
    assert 2 * len(found) == len(rows)
    for forward, both in found:
        assert (forward.mode, both.mode) == ("forward", "forward+backward")
        assert dataclasses.replace(forward, mode=both.mode).key == both.key
    with pytest.raises(ValueError, match=rf"no pair: {' '.join(map(str, rows[0].key[:3]))} forward\+backward"):
        bench.pairs(rows[1:])
