"""Nothing that comes from outside runs as code: by the syntax tree of every file, and by files that were changed."""

import ast
import contextlib
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from support.editions import NOTEBOOKS
from support.resuming import OPTIONS, Stopped, loaders, stopping

from convnotes import pretrained
from convnotes.train import checkpoint, fit

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted([*(ROOT / "convnotes").rglob("*.py"), *(ROOT / "book").rglob("*.py")])
JAVASCRIPT = [*sorted((ROOT / "convnotes").rglob("*.js")), *sorted((ROOT / "book" / "assets").glob("*.js"))]

MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
CALLS = {"eval", "exec", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "tempfile.mktemp"}
# A call that is safe only with this argument, and the value of it.
NEEDED = {
    "torch.load": ("weights_only", True),
    "extractall": ("filter", "data"),
    "extract": ("filter", "data"),
}
# Where a rule is broken on purpose, and why that is safe.
ALLOWED = {
    ("convnotes/data/larger.py", "pickle"): "CIFAR is published so; a reader that makes numpy arrays only",
    ("convnotes/page/card.py", "eval"): "a line of code that the author of a page wrote, shown beside its result",
    ("convnotes/lattice/operators.py", "eval"): "a line of code of the package's own table",
}


def faults(code: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").split(".")[0]} & MODULES
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            last = name.rsplit(".", 1)[-1]
            found |= {name} & CALLS
            for call, (word, value) in NEEDED.items():
                if call in (name, last) and given.get(word) != value:
                    found.add(call)
            if given.get("shell"):
                found.add("shell=True")
            if given.get("allow_pickle"):  # numpy's own default is False
                found.add("allow_pickle=True")
    return found


def cells(path: Path) -> str:
    """The code of a notebook, without the lines that are IPython's own."""
    lines = []
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            lines += "".join(cell["source"]).splitlines()
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in lines)


def test_nothing_runs_what_comes_from_outside():
    assert SCRIPTS
    assert NOTEBOOKS
    found = set()
    for path in (*SCRIPTS, *NOTEBOOKS):
        code = cells(path) if path.suffix == ".ipynb" else path.read_text()
        found |= {(path.relative_to(ROOT).as_posix(), fault) for fault in faults(code)}
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import pickle", "pickle"),
        ("from joblib import load", "joblib"),
        ("eval(x)", "eval"),
        ("torch.load(x)", "torch.load"),
        ("torch.load(x, weights_only=False)", "torch.load"),
        ("np.load(x, allow_pickle=True)", "allow_pickle=True"),
        ("archive.extractall(x)", "extractall"),
        ("subprocess.run(x, shell=True)", "shell=True"),
        ("yaml.load(x)", "yaml.load"),
    ],
)
def test_the_rules_see_what_they_forbid(code, fault):
    assert faults(code) == {fault}


def test_the_rules_let_pass_what_is_safe():
    code = (
        "torch.load(x, weights_only=True); a.extractall(x, filter='data'); np.load(x); model.eval(); yaml.safe_load(x)"
    )
    assert faults(code) == set()


class Runs:
    """Pickled, it makes a file when it is read."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_checkpoint_that_somebody_has_changed_runs_nothing(tmp_path, monkeypatch):
    """Each file of a state that torch reads is replaced by one that makes a file when it is unpickled.

    Somebody who changes a file can change its checksum too, so checksums are not compared here.
    """
    monkeypatch.setattr(checkpoint, "_read", lambda state: json.loads((state / "run.json").read_text()))
    mark, folder = tmp_path / "mark", tmp_path / "run"
    with pytest.raises(Stopped):
        fit(stopping(12), loaders("torch"), checkpoint=folder, checkpoint_every=4, **OPTIONS)
    torch.save({"state": Runs(mark)}, tmp_path / "control")
    torch.load(tmp_path / "control", weights_only=False)
    assert mark.exists(), "read as a pickle it makes the file"
    mark.unlink()
    pickled = [file for file in folder.rglob("*") if file.suffix in (".pkl", ".bin", ".pt")]
    assert pickled
    for file in pickled:
        copy = tmp_path / f"with-{file.name}"
        shutil.copytree(folder, copy)
        torch.save({"state": Runs(mark)}, copy / file.relative_to(folder))
        with contextlib.suppress(ValueError):  # accelerate goes on without the generators that it cannot read
            fit(stopping(), loaders("torch"), checkpoint=copy, checkpoint_every=4, **OPTIONS)
        assert not mark.exists(), file.name


def test_weights_that_somebody_has_changed_are_not_read(tmp_path):
    name, (file, _) = next(iter(pretrained.PUBLISHED.items()))
    (tmp_path / name).mkdir()
    torch.save({"weight": Runs(tmp_path / "mark")}, tmp_path / name / file)
    with pytest.raises(ValueError, match="is not what was published"):
        pretrained.load_pretrained(name, root=tmp_path)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("file", JAVASCRIPT, ids=lambda file: file.name)
def test_no_script_makes_elements_or_code_of_a_text(file):
    """The kit makes elements by `h`, whose texts stay texts."""
    makes = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setHTMLUnsafe"
    assert not re.search(makes, file.read_text(encoding="utf-8").replace(".eval(", ""))
