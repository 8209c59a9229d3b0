"""The chapters and pages of the second edition, and what a reader of them sees of code, print, figures and links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import nbformat

BOOK = Path(__file__).parents[2] / "book"
NOTEBOOKS = sorted(path for path in BOOK.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"

SECOND = [
    "fundamentals/size_and_shape",
    "fundamentals/number_of_kernels",
    "fundamentals/stride_and_padding",
    "fundamentals/initialisation",
    "fundamentals/multi_scale",
    "fundamentals/transfer_learning",
    "fundamentals/algorithms",
    "compression/pointwise",
    "compression/inception",
    "compression/separable",
    "compression/squeezenet",
    "compression/residual",
    "compression/small_kernels",
    "receptive_field/dilated",
    "receptive_field/active",
    "receptive_field/deformable",
    "receptive_field/non_local",
    "operations/shift",
    "operations/adder",
    "beyond/reparameterise",
    "beyond/large_kernels",
    "beyond/dynamic",
    "beyond/deformable_aggregation",
    "beyond/cheap_features",
]

# Pages that are no chapters: without card, definition, verdict and so on, gated by what fits them.
PAGES = [
    "choosing",
    "claims",
    "reference/ledger",
    "reference/speed",
]

TEXTS = ["reference/training", "reference/api", "reference/tools"]  # pages without cells

LINK = re.compile(r"\[([^\]]*)\]\(set:([^)\s]*)\)")
SHOWN = {"text/html", "text/markdown", "image/svg+xml", "image/png", VIEW}


def read(chapter: str) -> nbformat.NotebookNode:
    return nbformat.read(BOOK / f"{chapter}.ipynb", as_version=4)


def unfolded(notebook: nbformat.NotebookNode) -> Iterator[nbformat.NotebookNode]:
    """The cells outside the solutions of exercises."""
    inside = False
    for cell in notebook.cells:
        inside = inside or "solution-start" in cell.source
        if not inside:
            yield cell
        inside = inside and "solution-end" not in cell.source


def tags(cell: nbformat.NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def visible_code(notebook: nbformat.NotebookNode) -> list[str]:
    """The source of each cell that shows it, and each listing of a definition."""
    folded = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
    code = [cell for cell in unfolded(notebook) if cell.cell_type == "code"]
    return [cell.source for cell in code if not tags(cell) & folded] + list(listings(notebook))


def listings(notebook: nbformat.NotebookNode) -> Iterator[str]:
    for data in shown(notebook):
        if "text/markdown" in data:
            yield data["text/plain"]


def shown(notebook: nbformat.NotebookNode) -> Iterator[dict[str, str]]:
    """The data of each output that is not folded; what is printed has the kind text/plain alone."""
    for cell in unfolded(notebook):
        if cell.cell_type == "code" and not tags(cell) & {"hide-output", "hide-cell", "remove-output", "remove-cell"}:
            for output in cell.outputs:
                yield output.get("data", {"text/plain": output.get("text", "")})


def printed_lines(notebook: nbformat.NotebookNode) -> list[str]:
    """What stands on the page as monospaced text."""
    return [line for data in shown(notebook) if not SHOWN & data.keys() for line in data["text/plain"].splitlines()]


def captions(notebook: nbformat.NotebookNode) -> list[str]:
    return [data["text/plain"] for data in shown(notebook) if "cn-caption" in data.get("text/html", "")]


def paragraphs(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """The paragraphs and list items of the text, without formulas and code."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield from portions(re.sub(r"\$\$.*?\$\$|```.*?```", "", cell.source, flags=re.DOTALL))


def portions(text: str) -> Iterator[str]:
    """The paragraphs and list items of a text."""
    return (part for part in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", text) if part.strip())


def links(notebook: nbformat.NotebookNode) -> Iterator[tuple[str, dict[str, object], dict[str, object]]]:
    """(words, the state that they set, the stored state of the widget that they belong to) of each set link.

    It is the nearest widget above that has the first trait, or the first one below, as in anywidget-static.js.
    """
    states = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    found: list[tuple[int, object]] = []
    for n, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            found += [(n, match) for match in LINK.finditer(cell.source)]
        for output in cell.get("outputs", []):
            if VIEW in output.get("data", {}):
                found.append((n, states[output["data"][VIEW]["model_id"]]["state"]))
    widgets = [(n, item) for n, item in found if isinstance(item, dict)]
    for n, item in found:
        if isinstance(item, re.Match):
            state = dict(map(_assigned, item[2].split(";")))
            able = [(at, widget) for at, widget in widgets if next(iter(state)) in widget]
            above = [widget for at, widget in able if at < n]
            yield item[1], state, above[-1] if above else able[0][1] if able else {}


def quiz(notebook: nbformat.NotebookNode) -> list[dict[str, object]]:
    """The questions of the quiz, as its stored state has them."""
    states = notebook.metadata["widgets"][STATE]["state"].values()
    (questions,) = [state["state"]["questions"] for state in states if "questions" in state["state"]]
    return questions


def _assigned(part: str) -> tuple[str, object]:
    name, _, text = unquote(part).partition("=")
    try:
        return name, json.loads(text)
    except json.JSONDecodeError:
        return name, text


WITH_LINKS = [*SECOND, *(name for name in PAGES if any(links(read(name))))]
