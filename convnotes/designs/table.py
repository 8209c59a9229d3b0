"""The rows that were measured, which of them no other beats, and a table to look at."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

from convnotes.designs.blocks import DESIGNS, LATER
from convnotes.measure import Timing
from convnotes.measure.rows import Measured, Rows
from convnotes.measure.table import Table

TIMES = ("inference_ms", "inference_p20", "inference_p80", "step_ms", "step_p20", "step_p80", "timed_on")


@dataclass(frozen=True)
class Counts:
    """What can be counted of one design at one budget.

    Args:
        widths: output channels of the three blocks.
        params: parameters of the network.
        off: (params − budget) / budget.
        macs, adds, activation_bytes, moved_bytes: of one image, as `convnotes.measure.cost` counts them.
        step_bytes: most bytes of tensors that live at once in a training step of a batch, without what one
            operation takes and gives back inside itself.
        receptive_field: in pixels, of the map that is averaged.
        field: what that means: see `Design`.

    Example:
        >>> row = convnotes.designs.read().select(data="scaled_digits", budget=1800, design="plain 3×3")[0]
        >>> row.params, row.macs, row.receptive_field, row.field  # a row holds the counts too
        (1794, 97300, 25.0, 'fixed')
    """

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


@dataclass(frozen=True)
class _Run(Measured):
    """What a row is of."""

    data: str
    budget: int
    design: str
    seeds: int
    epochs: int
    batch: int
    dtype: str
    device: str
    picture: str


@dataclass(frozen=True)
class Row(Counts, _Run):
    """One design at one budget on one set of images.

    Times are in milliseconds per batch: median, 20th and 80th percentile; None: not timed yet.

    Args:
        data: name of the data set.
        budget: parameters that were wanted.
        design: a name of `DESIGNS`.
        seeds, epochs, batch, dtype, device: how it was trained.
        picture: size of the images, channels×height×width.
        widths: output channels of the three blocks.
        params: parameters of the network.
        off: (params − budget) / budget.
        macs, adds, activation_bytes, moved_bytes: of one image, as `convnotes.measure.cost` counts them.
        step_bytes: most bytes of tensors alive in a training step of one batch.
        receptive_field: in pixels, of the map that is averaged.
        field: what that means: "fixed", a "bound" of learning, or where learning has its "start".
        lr: the learning rate that was chosen.
        accuracies: test accuracy of each seed, from 0.
        trained_on: where and when.
        inference_ms, inference_p20, inference_p80: time of inference.
        step_ms, step_p20, step_p80: time of a training step.
        timed_on: where and when.

    Example:
        >>> row = convnotes.designs.read().select(budget=1800, design="adder")[0]
        >>> row.widths, row.macs, row.adds
        ((4, 10, 10), 10468, 173664)
    """

    TABLE = "table of designs"
    FILE = "designs.csv"
    KEY = ("data", "budget", "design", "seeds", "epochs", "batch", "dtype", "device")

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
        """Multiply-adds and half of the adds, because a tap of an adder takes two, a difference and a sum."""
        return self.macs + self.adds / 2

    def timed(self, inference: Timing, step: Timing, timed_on: str) -> Row:
        """The same row with these times."""
        times: dict[str, Any] = dict(zip(TIMES, [*inference.ms, *step.ms, timed_on], strict=True))
        return dataclasses.replace(self, **times)


def read(file: str | os.PathLike[str] | None = None) -> Rows[Row]:
    """The measured designs, as rows that `where` and `select` choose from by field.

    Args:
        file: one that `python -m convnotes.designs --csv` wrote; None: the rows that come with the package. Another
            kind of file raises `ValueError`, which names the line.

    Example:
        >>> sorted({row.budget for row in convnotes.designs.read()})
        [1800, 5000, 14000]
    """
    return Rows.read(Row, file)


def front(rows: Iterable[Row], cost: str, gain: str = "accuracy") -> list[Row]:
    """The rows that no other row beats, in order of cost.

    A row is beaten by another one that costs no more and gains no less, and is better in one of the two.

    Args:
        rows: those that are compared.
        cost: the field that should be small.
        gain: the field or property that should be large.

    Raises:
        ValueError: for rows that were not timed, where times are asked for.

    Example:
        >>> rows = convnotes.designs.read().select(budget=1800)
        >>> best = convnotes.designs.front(rows, cost="macs")
        >>> best[-1].accuracy == max(row.accuracy for row in rows)
        True
    """
    at = [(getattr(row, cost), getattr(row, gain), row) for row in rows]
    if any(c is None or g is None for c, g, _ in at):
        raise ValueError(f"front needs {cost} and {gain} of every row: time the rows first")
    kept = [(c, -g, row) for c, g, row in at if not any(a <= c and b >= g and (a, b) != (c, g) for a, b, _ in at)]
    return [row for _, _, row in sorted(kept, key=lambda point: point[:2])]


def noise(rows: Iterable[Row]) -> float:
    """The standard deviation of one seed around the mean of its design, pooled over designs.

    The designs of part 4 take no part: some of them vary far more than the others. The difference of two means of n
    seeds each has the standard deviation noise · √(2/n).

    Args:
        rows: designs of one budget on one set of images, each with two seeds at least.

    Raises:
        ValueError: for rows of part 4 alone, and for a row of one seed.

    Example:
        >>> round(convnotes.designs.noise(convnotes.designs.read().select(budget=1800)), 3)
        0.045
    """
    pooled = [row.accuracies for row in rows if row.design not in LATER]
    if not pooled or min(map(len, pooled)) < 2:
        raise ValueError("noise needs rows of two seeds at least, of designs that are not of part 4")
    return fmean(map(variance, pooled)) ** 0.5


def overview(rows: Iterable[Row], caption: str = "Designs") -> Table:
    """The rows as a `Table`: what each design reaches and what it costs.

    Args:
        rows: one line each.
        caption: above the table, on a page.

    Example:
        >>> convnotes.designs.overview(convnotes.designs.read().select(budget=1800, design="plain 3×3"))
        design     accuracy  least to most ...
        plain 3×3     0.497   0.45 to 0.53 ...
    """
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
