"""What a reader can take along: the book as a zip that opens from the disk, and notebooks that run by themselves."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from support.editions import BOOK, NOTEBOOKS
from support.visits import Visit, browser_test

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(built, tmp_path_factory) -> Path:
    """What `make zip` packs of the built book, in a folder with nothing else."""
    folder = tmp_path_factory.mktemp("zip")
    packed = folder / "book.zip"
    settings = [f"PY={sys.executable}", f"HTML={built}", f"ZIP={packed}"]
    command = ["make", "zip", "--assume-old=book", *settings]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"unpack {packed} anywhere and open html/index.html" in said
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder / "alone")
    packed.unlink()
    return folder / "alone" / "html"


@browser_test
def test_the_unpacked_book_opens_and_moves_without_a_network(chromium, unpacked):
    base = unpacked.as_uri() + "/"
    with Visit(chromium, base, "index.html") as visit:
        page = visit.page
        page.wait_for_url("**/book/intro.html")
        page.locator("nav a", has_text="Deformable convolution").click()
        page.wait_for_url("**/receptive_field/deformable.html")
        visit.settle()
        figure = page.locator('[data-widget="deform-sampler"]')
        before = figure.locator("[data-shown=apart]").text_content()
        page.locator("a.cn-set", has_text="the learned offsets").click()
        assert figure.locator("[data-shown=apart]").text_content() != before
        assert not [w for w in visit.wrong if not w.startswith("failed")]  # what was under way when a page was left
        page.goto(f"{base}search.html?q=bottleneck")
        page.wait_for_selector("#search-results li a")
        assert not [w for w in visit.wrong if w.startswith("outside")]


@pytest.mark.parametrize("name", ["prerequisites.ipynb", "parts/compression.ipynb"])
def test_a_notebook_runs_in_an_empty_folder(tmp_path, monkeypatch, name):
    shutil.copy(BOOK / name, tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(tmp_path / Path(name).name, as_version=4)
    expected = [cell.get("outputs") for cell in notebook.cells]
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    for cell, outputs in zip(notebook.cells, expected, strict=True):
        printed = [o.get("text") for o in cell.get("outputs", []) if o.output_type == "stream"]
        assert printed == [o.get("text") for o in outputs or [] if o.output_type == "stream"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_notebook_reads_a_file_of_the_repository(path):
    """What it needs comes from the package, which also says where larger data may lie."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            for reading in ("open(", "Path(", "read_text", "read_csv", "torch.load(", "imread(", "from tests", "../"):
                assert reading not in cell.source, f"{reading} in: {cell.source}"
