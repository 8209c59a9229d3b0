"""Every notebook broken in turn: the comparison of the book catches a number, a word and an exception."""

import copy
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import IPyNbFile
from support import measured
from support.broken_notebooks import broken, with_another_word
from support.editions import BOOK, NOTEBOOKS
from support.nbval_runs import failed_cells

WORD = r"(?<![\w<&/])[A-Za-z](?=[a-z]{3,}\b)(?![^<>]*>)"  # the first letter of a word, outside the tags of HTML
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.relative_to(BOOK)))


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def refused(session: pytest.Session, path: Path, stored: nbformat.NotebookNode) -> list[int]:
    """The cells that nbval's comparison refuses, if the notebook printed today what is stored in the file."""
    file = IPyNbFile.from_parent(session, path=path)
    file.setup_sanitize_files()
    cells, numbers = [cell for cell in stored.cells if cell.cell_type == "code"], []
    for item in file.collect():
        measured.pytest_itemcollected(item)
        if item.options["check"]:
            found, kept = copy.deepcopy(item.cell.outputs), copy.deepcopy(cells[item.cell_num].outputs)
            if not item.compare_outputs(found, kept):
                numbers.append(item.cell_num)
    return numbers


@every_notebook
def test_what_is_stored_agrees_with_itself(path, request):
    assert refused(request.session, path, read(path)) == []


@every_notebook
@pytest.mark.parametrize("seed", range(3))
def test_a_number_beyond_its_tolerance_is_caught(path, seed, request):
    notebook, chosen = broken(read(path), seed)
    assert refused(request.session, path, notebook) == chosen


@every_notebook
def test_another_word_is_caught(path, request):
    notebook, chosen = broken(read(path), 0, WORD, with_another_word)
    assert refused(request.session, path, notebook) == chosen


def test_an_exception_is_caught_in_a_cell_of_each_notebook(tmp_path):
    """One run of nbval: the last code cell of each notebook, its outputs and metadata kept, raises."""
    made = read(NOTEBOOKS[0])
    made.cells = [[cell for cell in read(path).cells if cell.cell_type == "code"][-1] for path in NOTEBOOKS]
    for number, cell in enumerate(made.cells):
        cell.source, cell.id = "raise ValueError('broken')", f"cell-{number}"
    assert failed_cells(tmp_path, made) == list(range(len(NOTEBOOKS)))


@pytest.mark.parametrize("seed", [0, 1])
def test_breaking_any_printed_number_fails_and_nothing_else_does(tmp_path, seed):
    """On a copy of a chapter: one number changed in each cell that prints one, and nbval must name each."""
    notebook, chosen = broken(read(BOOK / "compression" / "pointwise.ipynb"), seed)
    assert len(chosen) >= 12
    (tmp_path / "compression").mkdir()
    assert failed_cells(tmp_path / "compression", notebook) == chosen
