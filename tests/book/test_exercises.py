"""The notebooks of exercises: no solution stands in them; a check fails before its answer and passes with it."""

import ast
import builtins
import importlib
import re
from pathlib import Path

import nbformat
import pytest

BOOK = Path(__file__).parents[2] / "book"
CHAPTERS = sorted(p for p in BOOK.rglob("*.ipynb") if "{solution-start}" in p.read_text())
WRONG = (AssertionError, AttributeError, TypeError, ValueError)
every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def made():
    """book/exercises.py, imported as `make exercises` runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BOOK))
        yield importlib.import_module("exercises")


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


@every_chapter
def test_each_exercise_has_a_check_that_asks_for_something_and_no_answer_stands_in_the_notebook(made, path):
    found = list(made.exercises(read(path)))
    assert len(found) == path.read_text().count("{solution-start}")
    notebook = made.to_solve(path)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    for exercise in found:
        assert exercise.names, f"the check of {exercise.title!r} uses no name that its solution defines"
        assert "assert" in exercise.check
        assert f"# Check\n{exercise.check}" in code
        assert exercise.solution not in "\n".join(code)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert not re.search(r"solution-|\{[a-z:]+\}`", text)
    assert "pip install" in "\n".join(code)
    assert not any(cell.get("outputs") for cell in notebook.cells)


@every_chapter
def test_a_notebook_holds_the_code_that_its_exercises_need(made, path):
    """Every name is defined in it or by an answer, so that with the answers put in it is a part of the chapter."""
    notebook = read(path)
    defined = set(dir(builtins))
    for exercise in [None, *made.exercises(notebook)]:
        parts = made.setup(notebook) if exercise is None else [exercise.solution, exercise.check]
        statements = [statement for part in parts for statement in ast.parse(part).body]
        assert not made._free(statements) - defined
        defined |= set().union(*map(made._bound, statements))


def trained(code: list[str]) -> bool:
    return any(re.search(r"\btrain\.|\bfit\(", part) for part in code)


@every_chapter
def test_a_check_fails_before_the_answer_and_passes_with_it(made, path):
    """Where training is needed, nbval has run the very statements in the chapter, and only the failure is tried."""
    notebook = read(path)
    above = [code for label, code in made._solutions(notebook) if not label]
    for exercise in made.exercises(notebook):
        light = made.needed(above, exercise.check)
        if not trained(light):
            scope: dict = {}
            for part in [*light, exercise.placeholder()]:
                exec(part, scope)
            with pytest.raises(WRONG):
                exec(exercise.check, scope)
        whole = made.needed(above, exercise.solution + "\n" + exercise.check)
        if not trained([*whole, exercise.solution]):
            scope = {}
            for part in [*whole, exercise.solution, exercise.check]:
                exec(part, scope)
        above.append(exercise.solution)
