"""What is missing is asked for in one way: its name, and the extra that brings it."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from convnotes import checks, data, plots, pretrained, train, widgets
from convnotes.train.runtime import bar

ROOT = Path(__file__).parents[1]
THROUGH = {"traitlets": "ipywidgets", "IPython": "ipywidgets", "llvmlite": "numba"}  # come with another package


def test_every_optional_package_is_brought_by_the_extra_that_is_named():
    tomllib = pytest.importorskip("tomllib", reason="reading pyproject.toml needs Python 3.11")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    brought = {canonicalize_name(Requirement(line).name): extra for extra in extras for line in extras[extra]}
    named, installed_here = {}, packages_distributions()
    for package, extra in checks.EXTRA.items():
        installed = installed_here.get(THROUGH.get(package, package))
        if installed is None:
            continue  # triton has no wheel for every system
        named[canonicalize_name(installed[0])] = extra
    wanted = {name: extra for name, extra in brought.items() if extra in set(checks.EXTRA.values())}
    assert set(checks.EXTRA.values()) == {"data", "train", "viz", "fast", "gpu"}
    for name, extra in named.items():
        assert wanted[name] == extra
    assert set(wanted) - set(named) <= {"triton"}


def small_training():
    x, y = torch.randn(4, 1, 2, 2), torch.zeros(4).long()
    train.fit(torch.nn.Flatten(), data.Split(x, y, x, y, ("a", "b", "c", "d")), epochs=1)


def shown_bar():
    with bar(3, progress=True):
        pass


def read_pictures(tmp_path):
    (tmp_path / "pictures" / "train" / "cat").mkdir(parents=True)
    (tmp_path / "pictures" / "train" / "cat" / "1.png").write_bytes(b"")
    _ = data.load("pictures", root=tmp_path)[0]


CALLS = {  # a case → what is missing, and the call that needs it
    "a texture": ("skimage", lambda tmp_path: data.texture("grass")),
    "the digits": ("sklearn.datasets", lambda tmp_path: data.digits()),
    "the cache folder": ("pooch", lambda tmp_path: data.load("MNIST")),
    "published weights": ("pooch", lambda tmp_path: pretrained.load_pretrained("vgg16")),
    "images of a class": ("PIL.Image", read_pictures),
    "training": ("accelerate", lambda tmp_path: small_training()),
    "the progress bar": ("tqdm", lambda tmp_path: shown_bar()),
    "a plot": ("matplotlib", lambda tmp_path: plots.kernel(torch.ones(3, 3))),
    "a plot in a page": ("IPython.display", lambda tmp_path: plots.show(None)),
    "a widget": ("anywidget", lambda tmp_path: widgets.Quiz),
    "what a widget is made of": ("traitlets", lambda tmp_path: widgets.Quiz),
    "a widget's picture": ("matplotlib.figure", lambda tmp_path: widgets.SignalDepth()._repr_mimebundle_()),
}


@pytest.mark.parametrize(("module", "call"), CALLS.values(), ids=CALLS)
def test_a_missing_package_is_named_with_its_extra(module, call, monkeypatch, tmp_path):
    monkeypatch.delenv("CONVNOTES_DATA", raising=False)
    if module in ("anywidget", "traitlets"):
        for name in [name for name in sys.modules if name.startswith("convnotes.widgets.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.delitem(vars(widgets), "Quiz", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    package = module.split(".")[0]
    asked = re.escape(f'{package} is not installed: pip install "convnotes[{checks.EXTRA[package]}]"')
    with pytest.raises(ModuleNotFoundError, match=asked) as raised:
        call(tmp_path)
    assert raised.value.name == module


def test_what_is_no_extra_is_not_asked_for():
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_package'"):
        checks.optional("no_such_package")
    with pytest.raises(ImportError, match="too old"), checks.naming_extras():
        raise ImportError("too old", name="numba")
    with pytest.raises(ModuleNotFoundError, match="convnotes"), checks.naming_extras():
        raise ModuleNotFoundError("No module named 'convnotes.none'", name="convnotes.none")
    assert checks.optional("torch") is torch


def test_every_optional_import_goes_that_way():
    """Inside a function: under `naming_extras`, or in a widget's `_picture`, which its base calls under it."""
    asked = []

    def look(node, named, file):
        if isinstance(node, ast.With):
            named = named or any("naming_extras" in ast.dump(item) for item in node.items)
        if isinstance(node, ast.FunctionDef):
            named = named or (file.parent.name == "widgets" and node.name == "_picture")
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, (ast.Import, ast.ImportFrom)) and not named:
            modules = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            asked.extend((file.name, m) for m in modules if (m or "").split(".")[0] in checks.EXTRA)
        for child in ast.iter_child_nodes(node):
            look(child, named, file)

    for file in (ROOT / "convnotes").rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            if not isinstance(node, (ast.Import, ast.ImportFrom)):  # those at the top: see test_architecture
                look(node, False, file)
    # The commands do without tqdm; a part of numba is looked for where numba is at work already.
    assert sorted(asked) == [("command.py", "tqdm"), ("private.py", "numba.core.ccallback")]
