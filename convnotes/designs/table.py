"""The rows that were measured: as a file of comma-separated values, and as a table to look at."""

from __future__ import annotations

import dataclasses
import html
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from convnotes.designs.blocks import DESIGNS
from convnotes.measure import Timing
from convnotes.measure.rows import columns, read_rows, write_rows

KEY = ("data", "budget", "design", "seeds", "epochs", "batch", "dtype", "device")  # rows equal in these are one row
TIMES = ("inference_ms", "inference_p20", "inference_p80", "step_ms", "step_p20", "step_p80", "timed_on")


@dataclass(frozen=True)
class Row:
    """One design at one budget on one set of pictures.

        data, picture        name of the set, and the size of its pictures, channels×height×width
        budget, params, off  parameters wanted, parameters there, and the difference as a share of the budget
        macs, adds, …_bytes  of one picture, as `convnotes.measure.cost` counts them
        step_bytes           most bytes of tensors alive in a training step of one batch
        receptive_field      pixels, of the map that is averaged
        field                what that means: "fixed", a "bound" of learning, or where learning has its "start"
        lr, accuracies       the learning rate that was chosen, and the test accuracy of each seed, from 0
        …_ms, …_p20, …_p80   milliseconds of a batch: median, 20th and 80th percentile; None: not timed yet
        trained_on, timed_on where and when

    `read` and `write` keep rows in a file.
    """

    data: str
    budget: int
    design: str
    seeds: int
    epochs: int
    batch: int
    dtype: str
    device: str
    picture: str
    widths: tuple[int, ...]
    params: int
    off: float
    macs: int
    adds: int
    activation_bytes: int
    moved_bytes: int
    step_bytes: int
    receptive_field: float
    field: str
    lr: float
    accuracies: tuple[float, ...]
    trained_on: str
    inference_ms: float | None = None
    inference_p20: float | None = None
    inference_p80: float | None = None
    step_ms: float | None = None
    step_p20: float | None = None
    step_p80: float | None = None
    timed_on: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in KEY)

    @property
    def group(self) -> tuple[Any, ...]:
        """What rows that are timed in turn have in common: all of the key but the design."""
        return tuple(getattr(self, name) for name in KEY if name != "design")

    @property
    def accuracy(self) -> float:
        """Mean test accuracy over the seeds."""
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def operations(self) -> float:
        """Multiply-adds and half of the adds: a tap of an adder takes two, a difference and a sum."""
        return self.macs + self.adds / 2

    def timed(self, inference: Timing, step: Timing, timed_on: str) -> Row:
        """The same row with these times, in milliseconds to a tenth of a microsecond."""
        numbers = [round(1e3 * t, 4) for one in (inference, step) for t in (one.median, one.p20, one.p80)]
        times: dict[str, Any] = dict(zip(TIMES, [*numbers, timed_on], strict=True))
        return dataclasses.replace(self, **times)


COLUMNS = columns(Row)


def read(file: str | os.PathLike[str]) -> list[Row]:
    """The rows of `file`. Raises `ValueError` for another file than `write` makes, naming the line."""
    return read_rows(file, Row, "table of designs")


def write(file: str | os.PathLike[str], rows: Iterable[Row]) -> None:
    """Write `rows` in order of data, budget and design. What was there is replaced as a whole, or not at all."""
    places = {name: place for place, name in enumerate(DESIGNS)}
    ordered = sorted(rows, key=lambda row: (row.data, row.budget, places.get(row.design, len(places)), str(row.key)))
    write_rows(file, Row, ordered)


def front(rows: Sequence[Row], cost: str, gain: str = "accuracy") -> list[Row]:
    """The rows that no other beats: none has at most their `cost` and at least their `gain`, and one of them better.

    `cost` and `gain` name a number of the row. Ordered by cost.
    """
    at = [(getattr(row, cost), getattr(row, gain)) for row in rows]
    if any(value is None for point in at for value in point):
        raise ValueError(f"front needs {cost} and {gain} of every row: time the rows first")
    kept = [
        row
        for row, (c, g) in zip(rows, at, strict=True)
        if not any(a <= c and b >= g and (a, b) != (c, g) for a, b in at)
    ]
    return sorted(kept, key=lambda row: (getattr(row, cost), -getattr(row, gain)))


class Table:
    """Rows of text under heads, with a caption: aligned text where it is printed, scrollable HTML on the page."""

    def __init__(self, caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        self.caption, self.heads, self.rows = caption, list(heads), [list(row) for row in rows]

    def _numbers(self) -> list[bool]:
        """Which columns hold numbers: these stand to the right."""
        first = (self.rows or [self.heads])[0]
        return [n > 0 and not re.sub(r"[\d.,≤≥– -]|to|ms", "", cell) for n, cell in enumerate(first)]

    def __repr__(self) -> str:
        lines = [self.heads, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        put = [str.rjust if right else str.ljust for right in self._numbers()]
        return "\n".join(
            "  ".join(side(cell, width) for side, cell, width in zip(put, line, widths, strict=True)).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str]) -> str:
            first, *rest = map(html.escape, cells)
            return f"<tr><th scope='row'>{first}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>"

        heads = "".join(f"<th scope='col'>{html.escape(head)}</th>" for head in self.heads)
        return (
            f"<div class='cn-scroll' tabindex='0'><table class='cn-cost{'' if any(self._numbers()) else ' cn-words'}'>"
            f"<caption>{html.escape(self.caption)}</caption>"
            f"<thead><tr>{heads}</tr></thead><tbody>{''.join(map(line, self.rows))}</tbody></table></div>"
        )


def overview(rows: Sequence[Row], caption: str = "Designs") -> Table:
    """The rows as a `Table`: what each design reaches and what it costs."""
    heads = ["design", "accuracy", "least to most", "multiply-adds", "adds", "MB a step", "field", "inference", "step"]
    return Table(caption, [*heads, "parameters", "widths"], map(_cells, rows))


def _cells(row: Row) -> list[str]:
    field = {"fixed": "", "bound": "≤ ", "start": "≥ "}[row.field]
    return [
        row.design,
        f"{row.accuracy:.3f}",
        f"{min(row.accuracies):.2f} to {max(row.accuracies):.2f}",
        f"{row.macs:,}",
        f"{row.adds:,}" if row.adds else "–",
        f"{row.step_bytes / 1e6:.2f}",
        "all" if row.receptive_field == float("inf") else f"{field}{row.receptive_field:g}",
        *("" if ms is None else f"{ms:.1f} ms" for ms in (row.inference_ms, row.step_ms)),
        f"{row.params:,}",
        "-".join(map(str, row.widths)),
    ]
