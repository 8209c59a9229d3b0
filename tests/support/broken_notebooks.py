"""Copies of a notebook in which a stored number, or a stored word, is another one."""

import copy
import random
import re
from collections.abc import Callable
from fractions import Fraction

import nbformat
from support import measured

VIEW = "application/vnd.jupyter.widget-view+json"


def printed(cell: nbformat.NotebookNode) -> list[tuple[dict, str]]:
    """(holder, key) of each text of a cell that nbval compares and that holds numbers."""
    texts = [(o, "text") for o in cell.outputs if o.output_type == "stream"]
    shown = [(o.data, "text/plain" if VIEW in o.data else "text/html") for o in cell.outputs if "data" in o]
    return texts + [(data, kind) for data, kind in shown if kind in data]


def broken(
    notebook: nbformat.NotebookNode, seed: int = 0, pattern: str = r"\d", change: Callable | None = None
) -> tuple[nbformat.NotebookNode, list[int]]:
    """A copy in which one number (or what `pattern` finds) of every printing cell is another one; these cells.

    A computed number gets another digit, a measured one a value just beyond its tolerance.
    """
    change, other, chosen, draw = change or with_another_number, copy.deepcopy(notebook), [], random.Random(seed)
    code = [cell for cell in other.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code):
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            continue
        found = [(o, k, m.start()) for o, k in printed(cell) for m in re.finditer(pattern, o[k])]
        if found:
            output, key, at = draw.choice(found)
            output[key] = change(output[key], at, cell.metadata.get("tolerance", 0))
            chosen.append(number)
    return other, chosen


def with_another_number(text: str, at: int, tolerance: measured.Tolerance) -> str:
    """`text` with another digit at `at`, or with another number there, if it is one with a tolerance."""
    start = text.rfind("\n", 0, at) + 1
    for found, most in measured.numbers(text[start:].splitlines()[0], tolerance):
        if most and start + found.start() <= at < start + found.end():
            digits = measured.digits(found[0])
            beyond = measured.value(found[0]) + most + Fraction(1, 10**digits)
            return text[: start + found.start()] + f"{float(beyond):.{digits}f}" + text[start + found.end() :]
    return text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :]


def with_another_word(text: str, at: int, tolerance: measured.Tolerance) -> str:
    """`text` with another letter at `at`."""
    return text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :]
