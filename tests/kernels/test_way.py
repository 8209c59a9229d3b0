"""The way of a call: from the function that a user calls to its loop, it enters each file of the package once."""

import itertools
import sys
from pathlib import Path

import pytest
import torch

import convnotes
from convnotes import adder2d, deform_aggregate2d, deform_conv2d, shift2d

pytest.importorskip("numba", reason="the loops need numba")
from convnotes.kernels.cpu import jobs

PACKAGE = Path(convnotes.__file__).parent
CALLS = {
    "adder2d": lambda x: adder2d(x, torch.ones(4, 3, 3, 3)),
    "deform_aggregate2d": lambda x: deform_aggregate2d(x, torch.zeros(2, 18, 5, 4), torch.ones(2, 9, 5, 4), 3),
    "deform_conv2d": lambda x: deform_conv2d(x, torch.zeros(2, 18, 5, 4), torch.ones(4, 3, 3, 3)),
    "shift2d": lambda x: shift2d(x, [(0, 1), (1, 0), (0, 0)]),
}
WAYS = {
    "adder2d": ["operations/adder", "kernels/operator", "kernels/adder/in_numba"],
    "deform_aggregate2d": [
        *("beyond/deformable_aggregation", "kernels/aggregate/operator", "kernels/deform/operator"),
        *("kernels/operator", "kernels/aggregate/in_numba"),
    ],
    "deform_conv2d": [
        *("receptive_field/deformable", "kernels/deform/operator", "kernels/operator", "kernels/deform/in_numba"),
    ],
    "shift2d": ["operations/shift", "kernels/shift/operator", "kernels/operator", "kernels/shift/in_numba"],
}


def files_above(frame):
    """The files of the package on the stack, from the outermost on, each stay in one once."""
    found = []
    while frame is not None:
        found.append(frame.f_code.co_filename)
        frame = frame.f_back
    inside = [Path(name).relative_to(PACKAGE) for name in reversed(found) if Path(name).is_relative_to(PACKAGE)]
    return [file.with_suffix("").as_posix() for file, _ in itertools.groupby(inside)]


@pytest.mark.parametrize("recorded", [False, True], ids=["without gradient", "with gradient"])
@pytest.mark.parametrize("name", CALLS)
def test_a_call_enters_each_file_once_on_its_way_to_the_loop(name, recorded, monkeypatch):
    ways, together = [], jobs.together

    def watched(*given):
        ways.append(files_above(sys._getframe(1)))
        together(*given)

    monkeypatch.setattr(jobs, "together", watched)
    CALLS[name](torch.randn(2, 3, 7, 6, requires_grad=recorded))
    assert ways
    for way in ways:
        assert way == ["kernels/transforms", *WAYS[name], "kernels/cpu/jobs"]
