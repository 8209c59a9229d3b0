r"""Two kinds of printed number: computed ones are compared to the digit, measured ones within a stated tolerance.

A cell whose output depends on a training, or on anything else that iterates, says so in its metadata:

    "tolerance": 0.02                                 for every decimal fraction that the cell prints
    "tolerance": [["\\(", 0.05], ["accuracy", 0.02]]    for those whose line, up to the number, matches the expression
    "reason": "…"                                     where the tolerance comes from

Of several expressions the first that matches counts. A tolerance is absolute: at least three times the largest
difference seen between processors, instruction sets and numbers of threads, and about the standard deviation over sets
of seeds. Words, whole numbers, and all other decimal fractions must be equal: a whole number is a count.
`book/conftest.py` gives the hook to pytest, and nbval runs the cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import zip_longest

import pytest
from nbval.plugin import IPyNbCell

DECIMAL = re.compile(r"[+−-]?\d[\d,]*\.\d+(?!\d|\.\d)")
Tolerance = float | list[tuple[str, float]]


def rows(tolerance: Tolerance) -> list[tuple[str, float]]:
    """A tolerance as (expression, number); the empty expression matches everywhere."""
    return tolerance if isinstance(tolerance, list) else [("", tolerance)]


def numbers(text: str, tolerance: Tolerance) -> Iterator[tuple[re.Match[str], Fraction]]:
    """Each decimal fraction of one line with its tolerance, 0 where none is stated for it."""
    for number in DECIMAL.finditer(text):
        before = text[: number.start()]
        yield number, Fraction(str(next((most for words, most in rows(tolerance) if re.search(words, before)), 0)))


def value(number: str) -> Fraction:
    return Fraction(number.replace("−", "-").replace(",", ""))


def digits(number: str) -> int:
    """After the decimal point."""
    return len(number.partition(".")[2])


def agree(stored: str, found: str, tolerance: Tolerance) -> bool:
    """Do the two texts differ in nothing but decimal fractions that lie within their tolerance?

    A number may become wider or lose its sign, so runs of spaces count as one.
    """
    pairs = list(zip_longest(stored.splitlines(), found.splitlines()))
    return all(old is not None and new is not None and _agree(old, new, tolerance) for old, new in pairs)


def _agree(stored: str, found: str, tolerance: Tolerance) -> bool:
    if [piece.split() for piece in DECIMAL.split(stored)] != [piece.split() for piece in DECIMAL.split(found)]:
        return stored == found
    pairs = zip(numbers(stored, tolerance), DECIMAL.findall(found), strict=True)
    return all(digits(old[0]) == digits(new) and abs(value(old[0]) - value(new)) <= most for (old, most), new in pairs)


def unsupported(text: str, tolerance: Tolerance) -> list[str]:
    """Decimal fractions of `text` whose last digit is worth less than a tenth of their tolerance."""
    found = (pair for line in text.splitlines() for pair in numbers(line, tolerance))
    return [number[0] for number, most in found if Fraction(10) ** -digits(number[0]) < most / 10]


def without_shapes(html: str) -> str:
    """HTML whose drawings are left with their words: shapes, positions and numbers follow the processor's rounding."""

    def words(drawing: re.Match[str]) -> str:
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", drawing[0])
        return "<svg>" + " | ".join(text for text in texts if re.search(r"[^\W\d_]", text)) + "</svg>"

    return re.sub(r"<svg.*?</svg>", words, html, flags=re.DOTALL)


class BookCell(IPyNbCell):
    """A cell whose figures are compared by their words, and by their number, captions and alt texts.

    nbval compares no picture of pixels either: what a figure shows is also asserted, or printed in a table.
    """

    def compare_outputs(self, test, ref, skip_compare=None):
        for new, old in zip(test, ref, strict=False):
            found, stored = new.get("data", {}), old.get("data", {})
            kind = "image/svg+xml"
            if kind in found.keys() & stored.keys() and without_shapes(found[kind]) == without_shapes(stored[kind]):
                found[kind] = stored[kind]
        return super().compare_outputs(test, ref, skip_compare)


class MeasuredCell(BookCell):
    """A cell with a tolerance: what agrees within it counts as equal, and nbval compares the rest as always."""

    def compare_outputs(self, test, ref, skip_compare=None):
        for new, old in zip(test, ref, strict=False):
            for found, stored in ((new, old), (new.get("data", {}), old.get("data", {}))):
                for kind in {"text", "text/plain", "text/html"} & found.keys() & stored.keys():
                    if agree(stored[kind], found[kind], self.cell.metadata["tolerance"]):
                        found[kind] = stored[kind]
        return super().compare_outputs(test, ref, skip_compare)


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, IPyNbCell):
        item.__class__ = MeasuredCell if "tolerance" in item.cell.metadata else BookCell
