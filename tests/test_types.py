"""What a type checker and an editor see of the installed package: every public name, and what each of them takes."""

import ast
import importlib
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAZY = {  # module → (name → the module that it comes from), as it loads them at run time
    "convnotes": lambda module: module._MODULE_OF,
    "convnotes.widgets": lambda module: {name: f"{module.__name__}.{home}" for name, home in module._HOME.items()},
}

# What mypy says of each line of a program that uses the package: the type that is revealed, or the code of an error.
PROGRAM = """
import torch
import convnotes
from convnotes import Adder2d, ActiveConv2d, DeformConv2d, adder2d, resnet50
from convnotes.data import digits
from convnotes.kernels import backend
from convnotes.measure import cost, receptive_field
from convnotes.train import fit
from convnotes.widgets import Quiz

x = torch.zeros(2, 3, 8, 8)
layer = Adder2d(3, 8, 3, padding="same", gradient="exact")
reveal_type(layer)  # convnotes.operations.adder.Adder2d
reveal_type(layer.kernel_size)  # tuple[int, int]
reveal_type(layer.bias)  # torch.nn.parameter.Parameter | None
reveal_type(layer.forward(x))  # torch._tensor.Tensor
reveal_type(adder2d(x, layer.weight, stride=(2, 1)))  # torch._tensor.Tensor
reveal_type(DeformConv2d(3, 8, (3, 5)).predict(x))  # tuple[torch._tensor.Tensor, torch._tensor.Tensor | None]
reveal_type(ActiveConv2d(3, 8).reach())  # tuple[tuple[int, int, int], tuple[int, int, int]]
reveal_type(resnet50(10, device="meta", stride_on="1x1"))  # convnotes.compression.residual.ResNet
reveal_type(cost(layer, (1, 3, 8, 8)).params)  # int
reveal_type(receptive_field(layer).stride)  # float | tuple[float, float]
reveal_type(fit(layer, digits(), epochs=1).loss)  # list[float]
reveal_type(digits().train_x)  # torch._tensor.Tensor
reveal_type(Quiz([]).chosen)  # list[int]
reveal_type(convnotes.__version__)  # str
Adder2d("3", 8, 3)  # error: arg-type
Adder2d(3, 8, 3, gradient="nearly")  # error: arg-type
Adder2d(3, 8, 3, padding="full")  # error: arg-type
adder2d(x)  # error: call-arg
resnet50(dropout=0.5)  # error: call-arg
backend.use("cuda")  # error: arg-type
convnotes.Conv3d  # error: attr-defined
"""


def in_the_stub(module: str) -> tuple[dict[str, str], list[str]]:
    """(name → the module that the stub imports it from, its `__all__`)."""
    tree = ast.parse(Path(importlib.import_module(module).__file__).with_suffix(".pyi").read_text())
    homes = {name.name: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names}
    (names,) = (ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
    return homes, names


@pytest.mark.parametrize("module", LAZY)
def test_the_stub_names_what_is_loaded_and_from_where(module):
    lazy = importlib.import_module(module)
    homes, names = in_the_stub(module)
    assert homes == LAZY[module](lazy)
    assert sorted(names) == sorted(lazy.__all__)


def test_whatever_loads_its_names_when_they_are_asked_for_has_a_stub():
    loads = re.compile(r"^def __getattr__", re.M)
    files = [file for file in (ROOT / "convnotes").rglob("*.py") if loads.search(file.read_text())]
    assert {".".join(file.relative_to(ROOT).parent.parts) for file in files} == set(LAZY)
    assert all(file.with_suffix(".pyi").exists() for file in files)


@pytest.mark.parametrize(
    ("begun", "name"), [("import convnotes\nconvnotes.Adder", "Adder2d"), ("from convnotes.widgets import Qu", "Quiz")]
)
def test_jupyter_completes_the_names_and_finds_where_they_are_defined(begun, name):
    """By jedi, which reads the code and runs none of it."""
    jedi = pytest.importorskip("jedi", reason="Jupyter completes by jedi")
    here = jedi.InterpreterEnvironment()
    assert name in [found.name for found in jedi.Script(begun, environment=here).complete()]
    module = begun.split()[1]
    script = jedi.Script(f"from {module} import {name}\n{name}", environment=here)
    (found,) = script.goto(2, 0, follow_imports=True)
    assert found.full_name == getattr(importlib.import_module(module), name).__module__ + "." + name


def test_the_wheel_holds_the_stubs_and_says_that_it_is_typed(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {"convnotes/py.typed", "convnotes/__init__.pyi", "convnotes/widgets/__init__.pyi"} <= held


def test_mypy_sees_the_types_of_the_installed_wheel(wheel, tmp_path):
    """Slow: about 20 s, in which mypy reads torch."""
    pytest.importorskip("mypy", reason="the check needs mypy")
    home, program = tmp_path / "env", tmp_path / "program.py"
    venv.create(home, with_pip=False)
    python = str(home / "bin" / "python")
    (site,) = home.glob("lib/python*/site-packages")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", str(wheel)],
        check=True,
        capture_output=True,
    )
    (site / "lent.pth").write_text(f"{Path(sys.modules['torch'].__file__).parents[1]}\n")
    program.write_text(PROGRAM)
    found = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "--config-file", os.devnull),
            *("--cache-dir", str(tmp_path / "cache"), "--no-pretty", "--no-color-output", program.name),
        ],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")},
        capture_output=True,
        text=True,
    )
    said = {}
    for line in found.stdout.splitlines()[:-1]:
        revealed = re.fullmatch(r'program\.py:(\d+): note: Revealed type is "(.*)"', line)
        wrong = re.fullmatch(r"program\.py:(\d+): (error): .*\[([a-z-]+)\]", line)
        if revealed:
            said[int(revealed[1])] = revealed[2]
        elif wrong:
            said[int(wrong[1])] = f"error: {wrong[3]}"
        else:
            assert ": note: " in line, found.stdout
    wanted = {n: line.split("  # ")[1] for n, line in enumerate(PROGRAM.splitlines(), 1) if "  # " in line}
    assert said == wanted, found.stdout + found.stderr
