"""The scripts beside the book replace a notebook as a whole: on a full disk the old one is kept."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from support.scripts import script


@pytest.fixture
def notebook(tmp_path):
    path = tmp_path / "one.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 + 1", id="one-0")]), path)
    return path


def half(made, path, *_):
    path.write_text("{")
    raise OSError(28, "No space left on device")


def test_renewing_the_widgets_keeps_the_old_notebook(notebook, monkeypatch):
    execute, before = script("execute"), notebook.read_bytes()
    execute.renew_widgets(notebook)
    assert nbformat.read(notebook, as_version=4).cells[0].source == "1 + 1"
    notebook.write_bytes(before)
    monkeypatch.setattr(execute.nbformat, "write", half)
    with pytest.raises(OSError, match=r"one\.ipynb could not be written .*, and what was there is kept"):
        execute.renew_widgets(notebook)
    assert notebook.read_bytes() == before
    assert [path.name for path in notebook.parent.iterdir()] == ["one.ipynb"]


def test_so_does_running_it(notebook, monkeypatch):
    execute, before = script("execute"), notebook.read_bytes()
    monkeypatch.setattr(execute.NotebookClient, "execute", lambda self, **_: None)
    monkeypatch.setattr(execute.nbformat, "write", half)
    with pytest.raises(OSError, match=r"one\.ipynb could not be written .*, and what was there is kept"):
        execute.execute(notebook)
    assert notebook.read_bytes() == before
    assert [path.name for path in notebook.parent.iterdir()] == ["one.ipynb"]
