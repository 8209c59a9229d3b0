"""The operators of the book as a diagram: which one contains which, and what each one costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking, panels


class OperatorMap(Widget):
    """A map of operators: an upper one becomes a lower one when its arguments are set as the map says.

    Args:
        operators: name → an operator of `convnotes.lattice`.
        inclusions: those of `convnotes.lattice`, between these operators.
        **state: `chosen`, the operator whose costs and neighbours are written out, the first one by default.

    Raises:
        ValueError: for no operators, an inclusion of an operator that is not on the map, and a choice that is not.

    Example:
        >>> from convnotes.lattice import INCLUSIONS, OPERATORS
        >>> from convnotes.widgets import OperatorMap
        >>> OperatorMap(OPERATORS, INCLUSIONS, chosen="convolution")
        OperatorMap(31 operators, 29 inclusions, convolution chosen)
    """

    module = "operator_map"
    by_hand = "an operator can be chosen, and opens its chapter"

    operators: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    inclusions: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)
    first = traitlets.Dict().tag(sync=True)  # the state that Reset brings back

    def __init__(self, operators: Mapping[str, Any], inclusions: Sequence[Any], **state: Any) -> None:
        checks.some("operators", operators, "operator")
        for one in inclusions:
            for name in (one.special, one.general):
                checks.one_of("an operator of an inclusion", name, operators)
        super().__init__(
            operators=[_plain(name, operator) for name, operator in operators.items()],
            inclusions=[
                {"special": one.special, "general": one.general, "set": dict(one.set), "drawn": one in drawn}
                for drawn in [direct(inclusions)]
                for one in inclusions
            ],
            **({"chosen": next(iter(operators))} | state),
        )
        self.first = {"chosen": self.chosen}

    @checking("chosen")
    def _check_chosen(self, name: str, value: Any) -> str:
        return checks.one_of(name, value, [one["name"] for one in self.operators])

    def _describe(self) -> str:
        return f"{len(self.operators)} operators, {len(self.inclusions)} inclusions, {self.chosen} chosen"

    def _alt(self) -> str:
        lines = [f"{one['general']} above {one['special']}" for one in self.inclusions if one["drawn"]]
        return (
            f"A diagram of operators in boxes. An arrow leads from each one to those it contains: {', '.join(lines)}."
        )

    def _picture(self) -> bytes:
        at = {one["name"]: one["at"] for one in self.operators}
        rows = 1 + max(row for _, row in at.values())
        ax = panels(1, 1, (6.4, 0.62 * rows))
        ax.set(xlim=(-0.75, 2.75), ylim=(rows - 0.5, -0.5))
        ax.axis("off")
        ink = plots.INK["light"]
        boxes = {}
        for one in self.operators:
            frame = {
                "fc": "white",
                "ec": ink["grey"],
                "ls": ":" if one["made_of"] else "-",
                "boxstyle": "round,pad=0.45",
            }
            text = ax.text(
                *one["at"], one["name"], ha="center", va="center", fontsize=11, color=ink["text"], bbox=frame
            )
            boxes[one["name"]] = text.get_bbox_patch()
        for one in self.inclusions:
            if one["drawn"]:
                (x, y), (a, b) = at[one["special"]], at[one["general"]]
                aside = x == a and any([x, row] in at.values() for row in range(b + 1, y))
                ends = {"patchA": boxes[one["general"]], "patchB": boxes[one["special"]]}
                style = {"arrowstyle": "-|>", "color": ink["grey"], "shrinkA": 0, "shrinkB": 0, "zorder": 3}
                start = (a, b)
                if aside:  # round by the nearer side
                    out = a - 0.6 if a == 0 else a + 0.6
                    ax.plot([a, out, out], [b, b, y], color=ink["grey"], lw=1, zorder=0)
                    start = (out, y)
                    del ends["patchA"]
                ax.annotate("", (x, y), start, arrowprops=style | ends)
        return plots.save(ax)


def direct(inclusions: Sequence[Any]) -> list[Any]:
    """Those that do not follow from two or more of the others."""
    above: dict[str, set[str]] = {}
    for one in inclusions:
        above.setdefault(one.special, set()).add(one.general)

    def contains(general: str, special: str) -> bool:
        return any(name == general or contains(general, name) for name in above.get(special, ()))

    return [
        one for one in inclusions if not any(contains(one.general, name) for name in above[one.special] - {one.general})
    ]


def _plain(name: str, operator: Any) -> dict[str, Any]:
    """An operator as the page takes it, with what its layer costs."""
    cost = operator.cost()
    counts = {key: getattr(cost, key) for key in ("params", "macs", "adds", "moved_bytes")}
    taken = {key: getattr(operator, key) for key in ("words", "chapter", "layer")}
    lists = {"at": list(operator.at), "made_of": list(operator.made_of)}
    return {"name": name, **taken, **lists, **counts, "field": operator.field()}
