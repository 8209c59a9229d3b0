"""Files that somebody has changed run nothing, and no script makes elements of a text (see also `test_safety.py`)."""

import contextlib
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from support.resuming import OPTIONS, Stopped, loaders, stopping

from convnotes import pretrained
from convnotes.train import checkpoint, fit

ROOT = Path(__file__).parents[1]
SCRIPTS = [*sorted((ROOT / "convnotes").rglob("*.js")), *sorted((ROOT / "book" / "assets").glob("*.js"))]


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
