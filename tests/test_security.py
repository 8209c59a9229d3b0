"""Nothing that comes from outside runs as code: not a file that is read, not a text that a page shows."""

import ast
import contextlib
import json
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
import torch
from matplotlib.figure import Figure
from support.resuming import OPTIONS, Stopped, loaders, stopping
from torch import nn

from convnotes import page, pretrained
from convnotes.data import larger
from convnotes.measure import Table
from convnotes.train import checkpoint, fit

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "book").rglob("*.ipynb"))
FILES = [*sorted((ROOT / "convnotes").rglob("*.py")), *sorted((ROOT / "book").rglob("*.py"))]
SCRIPTS = [*sorted((ROOT / "convnotes").rglob("*.js")), *sorted((ROOT / "book" / "assets").glob("*.js"))]
# What runs, unpacks or builds whatever it is given. The value says which argument makes a call harmless, and how.
FORBIDDEN = {
    "eval": None,
    "exec": None,
    "compile": None,
    "os.system": None,
    "os.popen": None,
    "pickle.load": None,
    "pickle.loads": None,
    "marshal.load": None,
    "marshal.loads": None,
    "shelve.open": None,
    "joblib.load": None,
    "yaml.load": None,
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "extractall": ("filter", "data"),
}
OUR_OWN_LINES = {
    ("convnotes/page/card.py", "eval"): "the line of code on the card, written in the chapter",
    ("convnotes/lattice/operators.py", "eval"): "the line of code on the map, written in the same file",
}
WICKED = '<script>alert("x")</script>\'"&</title></svg>\u2028'


def name_of(call: ast.Call) -> str:
    """The name that is called, with its module where it is written: `torch.load`, `extractall`, `eval`."""
    if isinstance(call.func, ast.Name):
        return call.func.id
    if isinstance(call.func, ast.Attribute):
        whole = ast.unparse(call.func)
        return whole if whole in FORBIDDEN else call.func.attr if call.func.attr == "extractall" else whole
    return ""


def dangers(code: str) -> list[str]:
    """The calls of `code` that run or unpack what they are given."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        name, given = name_of(node), {k.arg: k.value for k in node.keywords}
        if name in FORBIDDEN:
            safe = FORBIDDEN[name]
            value = given.get(safe[0]) if safe else None
            if not (isinstance(value, ast.Constant) and value.value == safe[1]):
                found.append(name)
        if "shell" in given and not (isinstance(given["shell"], ast.Constant) and not given["shell"].value):
            found.append(f"{name}(shell=…)")
    return found


def test_the_lint_sees_what_it_looks_for():
    bad = "eval(x); torch.load(f); np.load(f); a.extractall(p); subprocess.run(c, shell=True); yaml.load(f)"
    assert sorted(dangers(bad)) == [
        "eval",
        "extractall",
        "np.load",
        "subprocess.run(shell=…)",
        "torch.load",
        "yaml.load",
    ]
    good = (
        "net.eval(); torch.load(f, weights_only=True); a.extractall(p, filter='data'); yaml.safe_load(f); re.compile(p)"
    )
    assert dangers(good) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_no_file_runs_what_it_reads(file):
    name = file.relative_to(ROOT).as_posix()
    found = [call for call in dangers(file.read_text(encoding="utf-8")) if (name, call) not in OUR_OWN_LINES]
    assert not found


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_no_notebook_runs_what_it_reads(file):
    cells = [cell.source for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "code"]
    assert not [call for source in cells for call in dangers(source)]


class Runs:
    """Pickled, it makes a file when it is read."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_checkpoint_that_somebody_has_changed_runs_nothing(tmp_path, monkeypatch):
    """Each file of a state that torch reads is replaced by one that makes a file when it is unpickled.

    Whoever changes it makes its checksum as well, so none is looked at here.
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


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_no_script_makes_elements_or_code_of_a_text(file):
    """The kit makes elements by `h`, whose texts stay texts."""
    makes = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setHTMLUnsafe"
    assert not re.search(makes, file.read_text(encoding="utf-8").replace(".eval(", ""))


def test_each_download_is_by_https_and_has_a_checksum():
    archives = [pair for known in larger.KNOWN.values() for pair in known.archives.items()]
    weights = [(pretrained._AT + file, digest) for file, digest in pretrained.PUBLISHED.values()]
    for url, digest in archives + weights:
        assert url.startswith("https://"), url
        assert re.fullmatch(r"[0-9a-f]{8,64}", digest), url  # torchvision publishes the first eight digits


class Tags(HTMLParser):
    """The tags of a text, as a browser takes them."""

    def __init__(self, text: str):
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]


@pytest.mark.parametrize("text", [WICKED, "]]>", "<!--"], ids=["script", "cdata", "comment"])
def test_words_of_a_figure_stay_words(text):
    ax = Figure(figsize=(3, 2)).subplots()
    ax.set_title(text.replace("$", ""))
    made = page.figure(ax, f"{text} and six more words of a caption.", f"{text}: a drawing with a title.")
    drawing = ET.fromstring(made.svg())
    assert not [e for e in drawing.iter() if e.tag.rsplit("}")[-1] == "script"]
    assert "script" not in Tags(made.svg()).found


def test_words_of_a_table_and_of_a_card_stay_words():
    table = Table(WICKED, [WICKED, "b"], [[WICKED, "1"]])
    assert "script" not in Tags(table._repr_html_()).found
    ax = Figure(figsize=(3, 2)).subplots()
    card = page.card(
        "nn.Conv2d(64, 64, 1)", what=WICKED, formula=WICKED, beside={WICKED: nn.Conv2d(64, 64, 1)}, use=WICKED,
        avoid=WICKED, paper=WICKED, drawing=ax, alt=WICKED,
    )  # fmt: skip
    assert "script" not in Tags(card._repr_html_()).found
