"""Inference engines beside our operators: the same numbers, forwards only, or a line that says why not."""

import sys

import pytest
import torch

from convnotes import bench, checks
from convnotes.bench import engines
from convnotes.bench.parts import Call, Make

SIZES = {"deformable": "1 offset group", "depthwise": "5×5", "plain": "3×3"}


def engine_calls(op, device="cpu"):
    case = next(case for case in bench.cases(op, [(2, 12, 5)]) if case.variant == SIZES[op])
    made = case.build(Make(device))
    return made, {name: call for name, call in made.rivals.items() if name in ("onnxruntime", "OpenVINO")}


@pytest.mark.parametrize("op", SIZES)
def test_an_engine_gives_what_ours_gives(op):
    made, found = engine_calls(op)
    assert [*found] == ["onnxruntime", "OpenVINO"]
    wanted = bench.results(made.ours)
    for name, call in found.items():
        if isinstance(call, Call):
            y, gradients = bench.results(call)
            assert gradients == {}
            assert bench.check_equal(wanted, (y, gradients), name) < 1e-5
        else:
            assert call.endswith('pip install "convnotes[engines]"')


def test_an_engine_has_a_row_for_the_forward_pass_only(measure):
    pytest.importorskip("onnxruntime")
    (case,) = bench.cases("plain", [(2, 12, 5)])
    modes = {(row.mode, row.rival) for row in measure(case, backends=["torch"]) if row.rival != "OpenVINO"}
    conv = {("forward", "conv2d 3×3"), ("forward+backward", "conv2d 3×3")}
    assert modes == conv | {("forward", "onnxruntime")}


def test_an_engine_that_is_missing_or_broken_is_named(monkeypatch):
    monkeypatch.setattr(engines, "obstacle", checks.obstacle.__wrapped__)
    monkeypatch.setitem(sys.modules, "openvino", None)
    _, found = engine_calls("depthwise")
    assert found["OpenVINO"] == 'openvino is not installed: pip install "convnotes[engines]"'
    monkeypatch.setattr(checks.importlib, "import_module", lambda name: 1 / 0)
    assert engines.missing("onnxruntime") == "importing onnx fails (division by zero)"


def test_engines_of_the_cpu_are_no_rivals_on_another_device():
    assert engines.engines("Conv", {"weight": torch.empty(1, device="meta")}, ("x", "weight")) == {}
