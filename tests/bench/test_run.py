"""Timing: the same things are compared, rows hold what was timed, and they name the code that ran."""

import os

import pytest
import torch
import torch.nn.functional as F

import convnotes
from convnotes import bench
from convnotes.bench import engines, rivals
from convnotes.bench.parts import Call, Make
from convnotes.kernels import backend

TINY = (2, 12, 5)


def test_the_share_of_the_peak_is_work_over_time(measure):
    (case,) = bench.cases("adder", (TINY,))
    forward, both = measure(case, backends=["torch"])
    assert forward.macs == 2 * 25 * 12 * 12 * 9
    assert forward.of_peak == pytest.approx(forward.macs / (forward.ms / 1e3) / 1e9 / 10.0, abs=1e-4)
    assert both.of_peak == pytest.approx(3 * both.macs / (both.ms / 1e3) / 1e9 / 10.0, abs=1e-4)
    assert both.rival_bytes > forward.rival_bytes > 4 * forward.macs


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


def test_a_rival_that_computes_something_else_is_never_timed(measure, run, monkeypatch, capsys):
    monkeypatch.setattr(rivals, "adder2d", lambda x, weight: -F.conv2d(x, weight, padding=1))
    (case,) = bench.cases("adder", (TINY,))
    with pytest.raises(bench.Unequal, match=r"adder 3×3 2×12×5×5 by torch, unfold and broadcast: the result differs"):
        measure(case, backends=["torch"])
    assert run("--op", "adder") == 1
    assert "stopped: adder 3×3" in capsys.readouterr().err


def test_a_rival_that_is_not_installed_is_skipped_in_one_line(measure, monkeypatch):
    said = []
    monkeypatch.setattr(rivals, "no_torchvision", lambda: "torchvision is not installed")
    monkeypatch.setattr(engines, "missing", lambda engine: "it is not here")
    case = bench.cases("deformable", (TINY,))[0]
    rows = measure(case, backends=["torch"], say=said.append)
    assert said == [
        f"{case.name}: torchvision.ops.deform_conv2d is skipped, torchvision is not installed",
        f"{case.name}: onnxruntime is skipped, it is not here",
        f"{case.name}: OpenVINO is skipped, it is not here",
    ]
    assert {row.rival for row in rows} == {"conv2d 3×3"}, "the yardstick is left"
    assert all(row.difference is None for row in rows)


def test_rivals_are_timed_as_torch_compile_makes_them_where_a_compiler_is(measure, monkeypatch):
    said, made = [], []
    monkeypatch.setattr(torch, "compile", lambda run, dynamic: made.append(run) or run)
    monkeypatch.setenv("CXX", "python3")
    (case,) = bench.cases("adder", (TINY,))
    rows = measure(case, backends=["torch"], compile=True, say=said.append)
    assert {row.rival for row in rows} == {"unfold and broadcast", "unfold and broadcast, torch.compile"}
    assert made == [rivals.adder2d]
    assert said == []
    monkeypatch.setenv("CXX", "no such compiler")
    rows = measure(case, backends=["torch"], compile=True, say=said.append)
    assert {row.rival for row in rows} == {"unfold and broadcast"}
    assert said == [f"{case.name}: torch.compile is skipped, there is no C++ compiler"]


def test_the_backend_that_ran_is_named(measure):
    pytest.importorskip("numba")
    (case,) = bench.cases("adder", (TINY,))
    rows = measure(case, backends=["torch", "auto", "numba"])
    assert [row.backend for row in rows] == ["torch", "numba", "torch", "numba"]
    (shift,) = bench.cases("shift", (TINY,))
    rows = measure(shift, backends=["torch", "auto"])
    assert {row.backend for row in rows} == {"torch", "numba"}
    (pointwise,) = bench.cases("pointwise", (TINY,))
    rows = measure(pointwise, backends=["torch", "auto"])
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
