"""No code of the package or the book runs what comes from outside, read from the syntax tree of every file."""

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted([*(ROOT / "convnotes").rglob("*.py"), *(ROOT / "book").rglob("*.py")])
NOTEBOOKS = sorted(path for path in (ROOT / "book").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)

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
