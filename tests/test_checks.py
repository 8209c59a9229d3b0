"""Every refusal says what is needed and what came; what is missing is asked for by its name and its extra."""

import ast
import math
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
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
    assert set(checks.EXTRA.values()) == {"data", "train", "viz", "fast", "gpu", "engines"}
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


X, WEIGHT = torch.zeros(2, 3, 8, 7), torch.zeros(4, 3, 1, 1)
RAGGED = [[1.0, 2.0], [3.0]]

REFUSED = {  # what came → the check, the error, what it says
    "a float as an int": (lambda: checks.whole("n", 3.0), TypeError, "n must be an int, got 3.0"),
    "a bool as an int": (lambda: checks.whole("n", True), TypeError, "n must be an int, got True"),
    "too small": (lambda: checks.whole("n", 0), ValueError, "n must be at least 1, got 0"),
    "out of range": (lambda: checks.whole("n", 8, 2, 7), ValueError, "n must be from 2 to 7, got 8"),
    "even": (lambda: checks.whole("n", 4, odd=True), ValueError, "n must be odd and at least 1, got 4"),
    "one of several": (lambda: checks.positive(a=3, b=-1), ValueError, "b must be at least 1, got -1"),
    "no sequence": (lambda: checks.wholes("n", 3), TypeError, "n must be a sequence of ints, got 3"),
    "a text": (lambda: checks.wholes("n", "35", odd=True), TypeError, "n must be a sequence of odd ints, got '35'"),
    "too few": (lambda: checks.wholes("n", [1], at_least=2), ValueError, "n must hold at least 2, got (1,)"),
    "not as many": (lambda: checks.wholes("n", [1, 2], 3), ValueError, "n must hold 3 ints, got (1, 2)"),
    "the second": (lambda: checks.wholes("n", [1, 9], most=8), ValueError, "n[1] must be from 1 to 8, got 9"),
    "none": (lambda: checks.some("seeds", (), "seed"), ValueError, "seeds must hold at least one seed, got none"),
    "a text as a number": (lambda: checks.number("p", "1", "[0, 1]"), TypeError, "p must be a number, got '1'"),
    "NaN": (lambda: checks.number("p", math.nan, "[0, 1]"), ValueError, "p must lie in [0, 1], got nan"),
    "an open end": (lambda: checks.number("p", 1, "[0, 1)"), ValueError, "p must lie in [0, 1), got 1"),
    "an open start": (lambda: checks.number("p", 0.0, "(0, inf)"), ValueError, "p must lie in (0, inf), got 0.0"),
    "infinity": (lambda: checks.number("p", math.inf, "(0, inf)"), ValueError, "p must lie in (0, inf), got inf"),
    "no such name": (
        lambda: checks.one_of("mode", "d", {"a": 1, "b": 2, "c": 3}),
        ValueError,
        """mode must be "a", "b" or "c", got 'd'""",
    ),
    "not the only one": (lambda: checks.one_of("k", 4, (3,)), ValueError, "k must be 3, got 4"),
    "not in a range": (lambda: checks.one_of("k", 9, range(9)), ValueError, "k must be 0 to 8, got 9"),
    "in words": (lambda: checks.one_of("k", 4, (3,), "odd"), ValueError, "k must be odd, got 4"),
    "no module": (lambda: checks.module("model", len), TypeError, "model must be a torch.nn.Module, got builtin"),
    "no tensor": (lambda: checks.tensor("w", [1], "OCK"), TypeError, "w must be a tensor [O, C, K], got list"),
    "a wrong side": (lambda: checks.tensor("w", X[0, 0], ("O", 2)), ValueError, "w must be [O, 2], got shape (8, 7)"),
    "another device": (
        lambda: checks.tensor("b", X.to("meta"), "BCHW", X),
        ValueError,
        "b must be on cpu like the rest, got a tensor on meta",
    ),
    "another dtype": (
        lambda: checks.tensor("b", X.double(), "BCHW", X),
        ValueError,
        "b must be of torch.float32 like the rest, got torch.float64",
    ),
    "no images": (
        lambda: checks.images("Layer", [1], WEIGHT, 3),
        TypeError,
        "input of Layer must be a tensor [B, 3, H, W], got list",
    ),
    "one image": (
        lambda: checks.images("Layer", X[0], WEIGHT, 3),
        ValueError,
        "input of Layer must be [B, 3, H, W], got shape (3, 8, 7)",
    ),
    "other channels": (
        lambda: checks.images("Layer", X[:, :1], WEIGHT, 3),
        ValueError,
        "input of Layer must be [B, 3, H, W], got shape (2, 1, 8, 7)",
    ),
    "images elsewhere": (
        lambda: checks.images("Layer", X.to("meta"), WEIGHT, 3),
        ValueError,
        "input of Layer must be on cpu like the rest, got a tensor on meta",
    ),
    "finer images": (
        lambda: checks.images("Layer", X.double(), WEIGHT, 3),
        ValueError,
        "input of Layer must be of torch.float32 like the rest, got torch.float64",
    ),
    "small images": (
        lambda: checks.images("Layer", X, WEIGHT, 3, least=(8, 9)),
        ValueError,
        "input of Layer must have at least 8×9 pixels, got 8×7",
    ),
    "a large kernel": (
        lambda: checks.fits("Layer", X, torch.zeros(4, 3, 9, 1), 1, 0, 1),
        ValueError,
        "Layer: a kernel of 9×1 with dilation (1, 1) spans 9×1 pixels and does not fit",
    ),
    "other groups": (
        lambda: checks.divides("groups", 2, in_channels=4, out_channels=5),
        ValueError,
        "groups must divide in_channels=4 and out_channels=5, got 2",
    ),
    "ragged lists": (
        lambda: checks.numbers("w", RAGGED, (range(1, 5), 2)),
        ValueError,
        "w must hold finite numbers of shape [1 to 4, 2], got [[1.0, 2.0], [3.0]]",
    ),
    "another shape": (
        lambda: checks.numbers("w", [1, 2], ((1, 3),)),
        ValueError,
        "w must hold finite numbers of shape [1 or 3], got shape (2,)",
    ),
    "nothing": (
        lambda: checks.numbers("w", np.zeros((0, 2)), "KN"),
        ValueError,
        "w must hold finite numbers of shape [K, N], got shape (0, 2)",
    ),
    "not finite": (
        lambda: checks.numbers("w", torch.tensor([math.inf]), (1,)),
        ValueError,
        "w must hold finite numbers of shape [1], got torch.float32 (1,)",
    ),
    "no floats": (
        lambda: checks.numbers("w", torch.tensor([1]), (1,), floats=True),
        ValueError,
        "w must hold finite floats of shape [1], got torch.int64 (1,)",
    ),
    "too bright": (
        lambda: checks.picture("image", np.array([[0.5, 1.5]]), "HW"),
        ValueError,
        "image must lie in [0, 1], got 0.5 to 1.5",
    ),
    "no place": (
        lambda: checks.position("probe", (8, 0), 8, 7),
        ValueError,
        "probe must be a row and a column inside 8×7, got [8, 0]",
    ),
}


@pytest.mark.parametrize(("check", "kind", "says"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_says_what_is_needed_and_what_came(check, kind, says):
    with pytest.raises(kind, match="^" + re.escape(says)):
        check()


def test_what_fits_comes_back():
    assert checks.whole("n", 7, 2, 7, odd=True) == 7
    assert checks.wholes("n", [3, 0], 2, least=0) == (3, 0)
    assert checks.number("p", np.float32(0.5), "(0, 1)") == 0.5
    assert checks.one_of("mode", "b", "ab") == "b"
    assert checks.numbers("w", [[1], [2]], ("K", 1)).tolist() == [[1.0], [2.0]]
    assert checks.picture("image", torch.tensor([[0.0, 1.0]]), "HW").tolist() == [[0, 255]]
    assert checks.position("probe", (7, 6), 8, 7) == [7, 6]
    checks.images("Layer", X, WEIGHT, 3, least=7)
    checks.fits("Layer", X, torch.zeros(4, 3, 8, 7), 1, 0, 1)
    checks.divides("groups", 2, channels=4)


def test_under_autocast_the_dtype_is_left_to_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        checks.images("Layer", X.bfloat16(), WEIGHT, 3)
