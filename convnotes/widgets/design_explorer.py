"""What each design of a kernel costs against what it reaches, at one budget, along an axis of your choice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking

AXES = {
    "macs": "multiply-adds",
    "operations": "operations",  # multiply-adds and half of the additions
    "inference_ms": "inference, ms per batch",
    "step_ms": "training step, ms per batch",
    "step_bytes": "bytes of a training step",
    "params": "parameters",
}
GAINS = {"mean": "mean of the seeds", "worst": "worst seed"}
_COUNTS = ("params", "macs", "adds", "step_bytes")
_TAKEN = ("design", "budget", *_COUNTS, "receptive_field", "field", "inference_ms", "step_ms")


class DesignExplorer(Widget):
    """Accuracy against cost of several designs, with those marked that no other beats.

    Args:
        rows: rows of `convnotes.designs` on one set of images, with times.
        **state: `x`, the axis of costs, one of `AXES`, where "operations" are multiply-adds + additions/2; `gain`, the
            accuracy that counts, "mean" or "worst" of the seeds; `budget`, the number of parameters whose designs are
            shown; `design`, the one whose numbers are written out and whose other budgets are drawn.

    Raises:
        ValueError: for rows without times, several rows of one design and budget, and a state that is not there.

    Example:
        >>> from convnotes.widgets import DesignExplorer
        >>> DesignExplorer(convnotes.designs.read().select(budget=1800))
        DesignExplorer(25 rows, mean accuracy against multiply-adds at 1,800 parameters)
    """

    module = "design_explorer"
    by_hand = "the axis, the budget and the design can be chosen"

    rows: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    x = traitlets.Unicode("macs").tag(sync=True)
    gain = traitlets.Unicode("mean").tag(sync=True)
    budget = traitlets.Int().tag(sync=True)
    design = traitlets.Unicode().tag(sync=True)
    picture = traitlets.Unicode().tag(sync=True)  # channels×height×width, for the copied code
    first = traitlets.Dict().tag(sync=True)  # the state that Reset brings back

    def __init__(self, rows: Sequence[Any], **state: Any) -> None:
        if not rows or any(row.inference_ms is None or row.step_ms is None for row in rows):
            raise ValueError("DesignExplorer needs rows, each with its times")
        if len({(row.design, row.budget) for row in rows}) < len(rows):
            raise ValueError("DesignExplorer needs one row per design and budget: choose one set of images first")
        budgets = sorted({row.budget for row in rows})
        start = {"budget": budgets[len(budgets) // 2], "design": rows[0].design} | state
        super().__init__(rows=[_plain(row) for row in rows], picture=rows[0].picture, **start)
        if not self._at():
            raise ValueError(f"there is no row of {self.design} at a budget of {self.budget}")
        self.first = {name: getattr(self, name) for name in ("x", "gain", "budget", "design")}

    _check_x = checking("x")(lambda _, name, value: checks.one_of(name, value, AXES))

    @checking("budget", "design")
    def _check_row(self, name: str, value: Any) -> Any:
        return checks.one_of(name, value, sorted({row[name] for row in self.rows}))

    _check_gain = checking("gain")(lambda _, name, value: checks.one_of(name, value, GAINS))

    def front(self) -> list[str]:
        """The designs at the present budget that no other beats, in order of cost."""
        at = {row["design"]: (row[self.x], row[self.gain]) for row in self.rows if row["budget"] == self.budget}
        kept = [
            name
            for name, (cost, gain) in at.items()
            if not any(c <= cost and g >= gain and (c, g) != (cost, gain) for c, g in at.values())
        ]
        return sorted(kept, key=lambda name: (at[name][0], -at[name][1]))

    def _at(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["budget"] == self.budget and row["design"] == self.design]

    def _describe(self) -> str:
        return f"{len(self.rows)} rows, {self.gain} accuracy against {AXES[self.x]} at {self.budget:,} parameters"

    def _alt(self) -> str:
        best = ", ".join(self.front())
        return (
            f"Accuracy of each design against its {AXES[self.x]} at {self.budget:,} parameters. No other design beats "
            f"{best}."
        )

    def _picture(self) -> bytes:
        shown = [row for row in self.rows if row["budget"] == self.budget]
        points = {row["design"]: (row[self.x], row["accuracies"]) for row in shown}
        title = f"designs of {self.budget:,} parameters"
        return plots.save(plots.trade(points, self.front(), title=title, label=AXES[self.x]))


def _plain(row: Any) -> dict[str, Any]:
    """A row as the page takes it: JSON has no infinity, so a receptive field of the whole image is 0."""
    values = {name: getattr(row, name) for name in _TAKEN}
    values["receptive_field"] = 0 if math.isinf(row.receptive_field) else row.receptive_field
    accuracies = list(row.accuracies)
    return values | {
        "widths": list(row.widths),
        "accuracies": accuracies,
        "mean": sum(accuracies) / len(accuracies),
        "worst": min(accuracies),
        "operations": row.operations,
    }
