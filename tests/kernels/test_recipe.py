"""The recipe at the head of `convnotes.kernels`, followed in a copy: an operator is one folder and two lines."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="the toy has a loop")

ROOT = Path(__file__).parents[2]
FILES = {
    "__init__.py": "",
    "options.py": """
from typing import NamedTuple
import torch

class Factor(NamedTuple):
    factor: int

    def empty(self, input, weight):
        return torch.empty_like(input)

class Sizes(NamedTuple):
    factor: int
""",
    "operator.py": """
from convnotes.kernels.operator import define
from convnotes.kernels.toy.options import Factor

toy = define(
    "toy",
    __package__,
    "Tensor input, Tensor weight",
    Factor,
    "multiply",
    backward=lambda tensors, options, needed, grad: [
        toy(grad, other, options) if n else None for other, n in zip(reversed(tensors), needed)
    ],
    jvp=lambda tensors, options, tangents: sum(
        toy(t, other, options) for t, other in zip(tangents, reversed(tensors)) if t is not None
    ),
    join=(0, 0),
    join_result=lambda options: 0,
)
""",
    "in_torch.py": '''
def multiply(input, weight, options):
    """factor · x · w"""
    return options.factor * input * weight
''',
    "loops.py": """
from convnotes.kernels.cpu.compile import loop

@loop
def multiply(start, stop, input, weight, output, sizes):
    for n in range(start, stop):
        output[n] = sizes.factor * input[n] * weight[n]
""",
    "in_numba.py": """
import torch
from convnotes.kernels.cpu.jobs import run
from convnotes.kernels.toy import loops
from convnotes.kernels.toy.options import Sizes

def multiply(input, weight, options):
    output = torch.empty(input.shape, dtype=input.dtype)
    given = (input.contiguous(), weight.contiguous(), output, Sizes(options.factor))
    run(loops.multiply, input.dtype, input.numel(), torch.get_num_threads(), *given)
    return output
""",
}
# file → (where its table begins, the line)
LINES = {
    "convnotes/kernels/backend.py": ("tuple[torch.dtype, ...]]] = {\n", '    "toy": {"numba": (torch.float64,)},\n'),
    "tests/kernels/cases.py": (
        "CASES = {\n",
        '    "toy": ("toy", "toy", lambda at: (leaf(4, 3), leaf(4, 3), at.Factor(3))),\n',
    ),
}


def test_a_toy_operator_takes_one_folder_and_two_lines(tmp_path):
    for folder in ("convnotes", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    toy = tmp_path / "convnotes/kernels/toy"
    toy.mkdir()
    for name, text in FILES.items():
        (toy / name).write_text(text, encoding="utf-8")
    for file, (before, line) in LINES.items():
        text = (tmp_path / file).read_text(encoding="utf-8")
        assert text.count(before) == 1
        (tmp_path / file).write_text(text.replace(before, before + line), encoding="utf-8")
    options = ("-q", "-n0", "-p", "no:cacheprovider", "-k", "toy")
    command = [sys.executable, "-m", "pytest", *options, "tests/kernels/test_cases.py"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert "9 passed" in run.stdout, run.stdout + run.stderr
