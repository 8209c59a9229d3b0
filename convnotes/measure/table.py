"""Rows of text under heads: one table for a page, Jupyter and a terminal."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

# A number as it stands in a cell: 1,000, −0.52, 12%, ≥ 25, 1/32, 3·10⁻²⁰, 0.3 to 0.9 ms, 25.0 M.
_NUMBER = re.compile(r"(?=.*\d)(?:[\d.,+−%/≤≥·⁰¹²³⁴⁵⁶⁷⁸⁹⁻– -]|to|ms|M|G)+")


class Table:
    """Rows of text under heads, with a caption: aligned text where it is printed, scrollable HTML on the page.

    Args:
        caption: said above the table on a page.
        heads: one for each column.
        rows: cells, as text.
        total: whether the last row is the sum of the others.

    Example:
        >>> from convnotes.measure import Table
        >>> Table("Squares", ["n", "n²"], [["2", "4"], ["3", "9"]])
        n  n²
        2   4
        3   9
    """

    def __init__(
        self, caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, total: bool = False
    ) -> None:
        self.caption, self.heads, self.rows, self.total = caption, list(heads), [list(row) for row in rows], total

    def _numbers(self) -> list[bool]:
        """Which columns hold numbers, in most of the cells that say something: these stand to the right."""
        columns = [[cell for cell in column if cell not in ("", "–")] for column in zip(*self.rows, strict=True)]
        numbers = [sum(map(bool, map(_NUMBER.fullmatch, column))) > len(column) / 2 for column in columns]
        return [False, *numbers[1:]] if self.rows else [False for _ in self.heads]

    def __repr__(self) -> str:
        lines = [self.heads, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        put = [str.rjust if right else str.ljust for right in self._numbers()]
        return "\n".join(
            "  ".join(side(cell, width) for side, cell, width in zip(put, line, widths, strict=True)).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        number = [" class='n'" if right else "" for right in self._numbers()]
        heads = "".join(
            f"<th scope='col'{side}>{html.escape(head)}</th>" for head, side in zip(self.heads, number, strict=True)
        )
        lines = []
        for row in self.rows:
            first, *rest = map(html.escape, row)
            cells = "".join(f"<td{side}>{cell}</td>" for cell, side in zip(rest, number[1:], strict=True))
            lines.append(f"<th scope='row'>{first}</th>{cells}</tr>")
        caption = html.escape(self.caption, quote=True)
        foot = f"<tfoot><tr class='total'>{lines.pop()}</tfoot>" if self.total else ""
        return (
            f"<p class='cn-title'>{caption}</p><div class='cn-scroll' tabindex='0'>"
            f"<table class='cn-cost{'' if any(self._numbers()) else ' cn-words'}' aria-label='{caption}'>"
            f"<thead><tr>{heads}</tr></thead>"
            f"<tbody>{''.join(f'<tr>{line}' for line in lines)}</tbody>{foot}</table></div>"
        )
