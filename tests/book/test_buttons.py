"""A small book with the configuration of this one: buttons to a repository where one is named, and none elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[2]
LINKS = {
    "repository": 'href="{url}"',
    "report": 'href="{url}/issues/new',
    "Binder": 'href="https://mybinder.org/v2/gh/someone/notes/main?urlpath=lab/tree/book/page.ipynb"',
    "Colab": 'href="https://colab.research.google.com/github/someone/notes/blob/main/book/page.ipynb"',
}


def built(folder: Path, url: str) -> str:
    """The page of a notebook, from a book of two pages whose `_config.yml` is ours but for the repository."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert set(config["repository"]) == {"url", "branch", "path_to_book"}
    config["repository"]["url"] = url
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nchapters:\n- file: book/page\n")
    (folder / "book").mkdir()
    for name in ("_ext", "assets", "references.bib"):
        (folder / "book" / name).symlink_to(ROOT / "book" / name)
    (folder / "book" / "intro.md").write_text("# A book\n\nIt has two pages.\n")
    cells = [nbformat.v4.new_markdown_cell("# A page\n\nIt is a notebook."), nbformat.v4.new_code_cell("1 + 1")]
    metadata = {"language_info": {"name": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), folder / "book" / "page.ipynb")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder, "-W", "--keep-going"]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "ignore"})
    assert run.returncode == 0, run.stderr[-3000:]
    return (folder / "_build" / "html" / "book" / "page.html").read_text(encoding="utf-8")


def test_the_configuration_names_no_place_that_is_not_there():
    url = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    assert url == "" or re.match(r"https://[\w.-]+/[\w.-]+/[\w.-]+$", url)


def test_without_a_repository_there_is_no_button_and_no_placeholder(tmp_path):
    html = built(tmp_path, "")
    for words in ("mybinder", "colab", "/issues/new", "source-repository", "github.com", "gitlab.com"):
        assert words not in html, words


@pytest.mark.parametrize(
    ("url", "shown"),
    [("https://github.com/someone/notes", set(LINKS)), ("https://gitlab.com/someone/notes", {"repository"})],
)
def test_a_repository_has_its_buttons_on_every_page(tmp_path, url, shown):
    html = built(tmp_path, url)
    for name in shown:
        assert LINKS[name].format(url=url) in html, name
    assert ("colab" in html) == (url.startswith("https://github.com"))
    assert "/issues/new" in html
    assert "mybinder.org" in html


def test_no_text_holds_a_placeholder():
    texts = [*(ROOT / "book").rglob("*.md"), *(ROOT / "book").rglob("*.ipynb"), ROOT / "README.md", ROOT / "_toc.yml"]
    for path in texts:
        found = re.search(
            r"<(?:this|your|the)[ -][\w -]+>|\bTODO\b|\bTBD\b|lorem ipsum", path.read_text(encoding="utf-8")
        )
        assert not found, f"{path.name}: {found[0]}"
