"""Numbers in the text of a notebook that nothing beside the text gives: no cell, no formula, no citation."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

import nbformat
from support.editions import portions

from convnotes import designs

SMALL = 12  # whole numbers up to here are counted in words as well, and need no cell
NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?!\w|\.\d|,\d)")
CODE = re.compile(r"`[^`]*`|\$[^$]*\$", flags=re.DOTALL)
NOT_TEXT = re.compile(
    r"\$\$.*?\$\$|```.*?```|`[^`]*`|\$[^$]*\$|\]\([^)]*\)|https?://\S+|<[^>]*>"
    r"|arXiv:[\d.]+|Sections? \d\.\d(?: and \d\.\d)*",
    flags=re.DOTALL,
)
DRAWN = re.compile(r"<figcaption.*?</figcaption>|<[^>]*>", flags=re.DOTALL)


def orphans(notebook: nbformat.NotebookNode) -> Iterator[tuple[str, str]]:
    """(number, where it stands) for each number in prose, captions and alt texts that nothing gives.

    What gives one: the code and the output of any cell, rounded to the digits of the text, a percentage of it too, and
    within 5 % after "about"; formulas and code in the text; a citation in the same paragraph; and in one that links to
    the comparison of designs, its stored rows. Angles and the numbers of sections and preprints need nothing.
    """
    given = " ".join(_given(notebook))
    known = {_value(number) for number in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", given)}
    for paragraph in _paragraphs(notebook):
        here = known | _stored() if "](../choosing.ipynb)" in paragraph else known
        text = NOT_TEXT.sub(" ", paragraph)
        for found in NUMBER.finditer(text):
            digits = len(found[0].partition(".")[2])
            value, whole = _value(found[0]), digits == 0
            scales = (1, 100) if text[found.end() :].lstrip().startswith("%") else (1,)
            if (whole and value <= SMALL) or "{cite" in paragraph or text[found.end() :].startswith("°"):
                continue
            about = text[: found.start()].rstrip().endswith("about")
            near = max(0.5001 * 10**-digits, 0.05 * value if about else 0)
            if not any(abs(scale * number - value) <= near for number in here for scale in scales):
                yield found[0], text[max(0, found.start() - 60) : found.end() + 30].replace("\n", " ")


@functools.cache
def _stored() -> set[float]:
    """Budgets and mean accuracies of the comparison of designs."""
    return {value for row in designs.read() for value in (row.budget, row.accuracy)}


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def _paragraphs(notebook: nbformat.NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield from portions(cell.source)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "cn-caption" in data.get("text/html", ""):
                yield data["text/plain"]
                yield from re.findall(r'(?:alt|aria-label)="([^"]*)"', data["text/html"])


def _given(notebook: nbformat.NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield from CODE.findall(cell.source)
            continue
        yield cell.source
        for output in cell.outputs:
            data = output.get("data", {})
            html = data.get("text/html", "")
            yield output.get("text", "")
            yield DRAWN.sub(" ", html)
            if "cn-caption" not in html:
                yield data.get("text/plain", "")
