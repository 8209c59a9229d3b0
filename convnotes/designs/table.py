"""The rows that were measured, which of them no other beats, and a table to look at."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from convnotes.designs.blocks import DESIGNS
from convnotes.measure import Timing
from convnotes.measure.rows import Measured, Rows
from convnotes.measure.table import Table

TIMES = ("inference_ms", "inference_p20", "inference_p80", "step_ms", "step_p20", "step_p80", "timed_on")


@dataclass(frozen=True)
class Row(Measured):
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
    """

    TABLE = "table of designs"
    FILE = "designs.csv"
    KEY = ("data", "budget", "design", "seeds", "epochs", "batch", "dtype", "device")

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
    def place(self) -> tuple[Any, ...]:
        return self.data, self.budget, [*DESIGNS, self.design].index(self.design), str(self.key)

    @property
    def accuracy(self) -> float:
        """Mean test accuracy over the seeds."""
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def operations(self) -> float:
        """Multiply-adds and half of the adds: a tap of an adder takes two, a difference and a sum."""
        return self.macs + self.adds / 2

    def timed(self, inference: Timing, step: Timing, timed_on: str) -> Row:
        """The same row with these times."""
        times: dict[str, Any] = dict(zip(TIMES, [*inference.ms, *step.ms, timed_on], strict=True))
        return dataclasses.replace(self, **times)


def read(file: str | os.PathLike[str] | None = None) -> Rows[Row]:
    """The rows of `file`, or those that come with the package; see `Rows.read`."""
    return Rows.read(Row, file)


def front(rows: Iterable[Row], cost: str, gain: str = "accuracy") -> list[Row]:
    """The rows that no other beats: none has at most their `cost` and at least their `gain`, and one of them better.

    `cost` and `gain` name a number of the row. Ordered by cost.
    """
    at = [(getattr(row, cost), getattr(row, gain), row) for row in rows]
    if any(c is None or g is None for c, g, _ in at):
        raise ValueError(f"front needs {cost} and {gain} of every row: time the rows first")
    kept = [(c, -g, row) for c, g, row in at if not any(a <= c and b >= g and (a, b) != (c, g) for a, b, _ in at)]
    return [row for _, _, row in sorted(kept, key=lambda point: point[:2])]


def overview(rows: Iterable[Row], caption: str = "Designs") -> Table:
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
