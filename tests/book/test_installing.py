"""What a notebook says where `convnotes` is missing."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from support.editions import BOOK, NOTEBOOKS
from support.scripts import script

ROOT = Path(__file__).parents[2]
HERE = '# Not found? In the folder of the book: pip install -e ".[book]"'


@pytest.fixture(scope="module")
def execute():
    return script("execute")


def first_import(path: Path) -> tuple[str, int]:
    """The cell that imports convnotes first, and the line of it."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            for number, line in enumerate(cell.source.splitlines()):
                if re.match(r"(from|import) convnotes\b", line):
                    return cell.source, number
    raise AssertionError("it imports nothing from convnotes")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_line_before_the_first_import_of_convnotes_says_how_to_install_it(execute, path):
    source, number = first_import(path)
    assert source.splitlines()[number - 1] == execute.installing()


def test_python_shows_that_line_where_the_package_is_missing():
    source, _ = first_import(BOOK / "prerequisites.ipynb")
    program = f"""
import sys
sys.modules["convnotes"] = None  # importing it raises ModuleNotFoundError
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance().run_cell({source!r})
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    said = re.sub(r"\x1b\[[0-9;]*m", "", run.stdout)
    assert "ModuleNotFoundError" in said
    assert re.search(r"pip install .*\[book\]", said)


def test_the_extra_that_it_names_is_there():
    assert re.search(r"^book = \[$", (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)


def test_where_a_repository_is_named_the_line_installs_from_it_and_replaces_the_other(execute, monkeypatch, tmp_path):
    (tmp_path / "_config.yml").write_text("repository: {url: https://example.org/notes}\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import torch\nfrom convnotes import data")])
    monkeypatch.setattr(execute, "ROOT", tmp_path)
    execute.say_how_to_install(notebook)
    there = '# Not found? %pip install "convnotes[book] @ git+https://example.org/notes"'
    assert notebook.cells[0].source == f"import torch\n\n{there}\nfrom convnotes import data"
    (tmp_path / "_config.yml").write_text('repository: {url: ""}\n')
    execute.say_how_to_install(notebook)
    assert notebook.cells[0].source == f"import torch\n\n{HERE}\nfrom convnotes import data"
    execute.say_how_to_install(notebook)
    assert notebook.cells[0].source.count("Not found?") == 1
