"""The page of claims: a verdict on each, with a number that a cell prints and that a chapter measured."""

import html
import re
from pathlib import Path

import nbformat
import pytest

from convnotes import page

BOOK = Path(__file__).parents[2] / "book"
VERDICTS = ("Holds", "Holds with a condition", "Misleading")


def sections() -> dict[int, list]:
    """C<n> → the cells of its section."""
    found, current = {}, None
    for cell in nbformat.read(BOOK / "claims.ipynb", as_version=4).cells:
        heading = re.match(r"## (?:C(\d+) · )?", cell.source) if cell.cell_type == "markdown" else None
        if heading:
            current = int(heading[1]) if heading[1] else None
        if current:
            found.setdefault(current, []).append(cell)
    return found


def test_each_claim_has_a_chapter_a_printed_number_and_a_verdict():
    found = sections()
    assert list(found) == list(page.CLAIMS)
    for number, cells in found.items():
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        for link in re.findall(r"\]\((.*?\.ipynb)\)", text):
            assert (BOOK / link).exists()
            assert f"(C{number})" in (BOOK / link).read_text(encoding="utf-8"), f"{link} does not speak of C{number}"
        assert ".ipynb)" in text
        (code,) = [cell for cell in cells if cell.cell_type == "code"]
        assert "printed(" in code.source
        assert "\nassert " in code.source
        (table,) = [output.data["text/plain"] for output in code.outputs]
        assert len(re.findall(r"  +[+−]?\d+(\.\d+)?$", table, flags=re.M)) >= 2
        (verdict,) = re.findall(r"^\*\*(.*?)\.\*\*", text, flags=re.M)
        assert verdict in VERDICTS
        assert "The claim leaves out" in text


@pytest.mark.parametrize(
    ("title", "numbers"),
    [
        ("The claims and their verdicts", page.SOURCE),
        ("The claims of part 4 and their verdicts", [n for n in page.CLAIMS if n not in page.SOURCE]),
    ],
)
def test_a_table_gives_the_verdicts_of_the_sections(title, numbers):
    cells = nbformat.read(BOOK / "claims.ipynb", as_version=4).cells
    tables = [o.data["text/html"] for c in cells for o in c.get("outputs", []) if "text/html" in o.get("data", {})]
    (table,) = [table for table in tables if f">{title}<" in table]
    rows = [
        re.findall(r"<t[hd](?: scope=.row.)?>(.*?)</t[hd]>", row)
        for row in re.findall(r"<tr>(.*?)</tr>", table, flags=re.S)
    ]
    rows = [row for row in rows if len(row) == 3]
    assert len(rows) == len(numbers)
    for number, (claim, verdict, figure) in zip(numbers, rows, strict=True):
        heading, *_, last = sections()[number]
        assert heading.source.startswith(f"## {html.unescape(claim)}\n")
        assert claim.startswith(f"C{number} · ")
        assert last.source.startswith(f"**{verdict}.**")
        assert re.search(r".{10,}: -?\d+(\.\d+)?$", figure)


def test_beside_no_chapters_the_page_says_what_it_needs(tmp_path, monkeypatch):
    cells = nbformat.read(BOOK / "claims.ipynb", as_version=4).cells
    (defines,) = [cell.source for cell in cells if "def printed(" in cell.source]
    scope = {"nbformat": nbformat, "re": re}
    exec(defines, scope)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"chapter\.ipynb is not here; this page reads what the chapters print"):
        scope["printed"]("chapter", "a number")
