"""Weigh designs of one layer against each other: the same input and output, very different budgets."""

from __future__ import annotations

from typing import Any

import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking

# A design is a row of kernels, then branches side by side whose outputs are joined. A kernel is
# [height, width, input channels, output channels, groups] in letters: C and O channels in and out, k the size,
# g groups, m = O/squeeze, h = the groups that fit into m. "A/4" is a quarter of A, one at least. "pool" has no weights.
DESIGNS: dict[str, dict[str, list[Any]]] = {
    "plain": {"row": [["k", "k", "C", "O", "1"]], "side": []},
    "grouped": {"row": [["k", "k", "C", "O", "g"]], "side": []},
    "factorised": {"row": [["k", "1", "C", "O", "1"], ["1", "k", "O", "O", "1"]], "side": []},
    "separable": {"row": [["k", "k", "C", "C", "C"], ["1", "1", "C", "O", "1"]], "side": []},
    "bottleneck": {
        "row": [["1", "1", "C", "m", "1"], ["k", "k", "m", "m", "1"], ["1", "1", "m", "O", "1"]],
        "side": [],
    },
    "grouped bottleneck": {
        "row": [["1", "1", "C", "m", "1"], ["k", "k", "m", "m", "h"], ["1", "1", "m", "O", "1"]],
        "side": [],
    },
    "fire": {
        "row": [["1", "1", "C", "m", "1"]],
        "side": [[["1", "1", "m", "O/2", "1"]], [["k", "k", "m", "O/2", "1"]]],
    },
    "inception": {
        "row": [],
        "side": [
            [["1", "1", "C", "O/4", "1"]],
            [["1", "1", "C", "m", "1"], ["k", "k", "m", "O/2", "1"]],
            [["1", "1", "C", "m/4", "1"], ["k+2", "k+2", "m/4", "O/8", "1"]],
            [["3", "3", "C", "C", "pool"], ["1", "1", "C", "O/8", "1"]],
        ],
    },
}

_CHANNELS = range(32, 513, 32), "a multiple of 32 from 32 to 512"
_STEPS = {  # what each size may be, and that in words
    "in_channels": _CHANNELS,
    "out_channels": _CHANNELS,
    "kernel_size": (range(1, 10, 2), "odd, from 1 to 9"),
    "groups": ((1, 2, 4, 8, 16, 32), "a power of two from 1 to 32"),
    "squeeze": ((1, 2, 4, 8, 16), "a power of two from 1 to 16"),
    "side": (range(7, 57, 7), "a multiple of 7 from 7 to 56"),
}


class BudgetBench(Widget):
    """Designs of one layer, weighed side by side: the same input and output, very different numbers of weights.

    All kernels have stride 1, keep the size of the map and have no bias. Inception has GoogLeNet's proportions: 1×1,
    k×k, (k+2)×(k+2) and pooling give 1/4, 1/2, 1/8 and 1/8 of the output channels, behind 1×1 kernels to m and to m/4
    channels.

    Args:
        designs: the names of those that are shown.
        **state: `in_channels` and `out_channels`, multiples of 32 from 32 to 512; `kernel_size`, the size k of the
            spatial kernel, odd, from 1 to 9; `groups` of the grouped designs, a power of two up to 32; `squeeze`, a
            power of two up to 16, by which bottleneck, fire and inception narrow the channels to m = out_channels /
            squeeze; `side` of the square map, a multiple of 7 from 7 to 56; `highlight`, the design whose formula is
            written out.

    Raises:
        ValueError: for a number that is not among these, and for a design that is not there or not shown.

    Example:
        >>> from convnotes.widgets import BudgetBench
        >>> BudgetBench(("plain", "separable"), in_channels=64, out_channels=64).parameters()
        {'plain': 36864, 'separable': 4672}
    """

    module = "budget_bench"
    by_hand = "every size can be changed"

    in_channels = traitlets.Int(256).tag(sync=True)
    out_channels = traitlets.Int(256).tag(sync=True)
    kernel_size = traitlets.Int(3).tag(sync=True)
    groups = traitlets.Int(32).tag(sync=True)
    squeeze = traitlets.Int(4).tag(sync=True)
    side = traitlets.Int(28).tag(sync=True)
    highlight = traitlets.Unicode("bottleneck").tag(sync=True)
    designs: traitlets.List[dict[str, Any]] = traitlets.List().tag(
        sync=True
    )  # {"name", "row", "side"}, in the order of the table
    first = traitlets.Dict().tag(sync=True)  # the state that Reset brings back

    def __init__(self, designs: tuple[str, ...] = tuple(DESIGNS), **state: Any) -> None:
        unknown = [name for name in designs if name not in DESIGNS]
        if unknown or not designs:
            raise ValueError(f"designs must be some of {', '.join(DESIGNS)}, got {', '.join(unknown) or 'none'}")
        start = {"highlight": "bottleneck" if "bottleneck" in designs else designs[0]} | state
        super().__init__(designs=[{"name": name, **DESIGNS[name]} for name in designs], **start)
        controls = ("in_channels", "out_channels", "kernel_size", "groups", "squeeze", "side", "highlight")
        self.first = {name: getattr(self, name) for name in controls}

    _check_step = checking(*_STEPS)(lambda _, name, value: checks.one_of(name, value, *_STEPS[name]))

    @checking("highlight")
    def _check_highlight(self, name: str, value: Any) -> str:
        names = [design["name"] for design in self.designs]
        return checks.one_of(name, value, names)

    def parameters(self) -> dict[str, int]:
        """The weights of every design that is shown, by name."""
        return {
            design["name"]: sum(self._weights(kernel) for part in (design["row"], *design["side"]) for kernel in part)
            for design in self.designs
        }

    def _weights(self, kernel: list[str]) -> int:
        if kernel[4] == "pool":
            return 0
        height, width, inputs, outputs, groups = map(self._number, kernel)
        return height * width * inputs // groups * outputs

    def _number(self, text: str) -> int:
        middle = self.out_channels // self.squeeze
        letters = {"C": self.in_channels, "O": self.out_channels, "k": self.kernel_size, "g": self.groups, "m": middle}
        # the largest power of two that divides both: groups is itself one
        letters["h"] = min(self.groups, middle & -middle)
        if "/" in text:
            letter, divisor = text.split("/")
            return max(1, letters[letter] // int(divisor))
        if "+" in text:
            letter, more = text.split("+")
            return letters[letter] + int(more)
        return letters[text] if text in letters else int(text)

    def _describe(self) -> str:
        k = self.kernel_size
        return f"{self.in_channels} → {self.out_channels}, {k}×{k}, {self.highlight} highlighted"

    def _alt(self) -> str:
        counted = ", ".join(f"{name} {count:,}" for name, count in self.parameters().items())
        return f"Weights of designs of one layer: {counted}."

    def _picture(self) -> bytes:
        k = self.kernel_size
        title = f"one layer, {self.in_channels} → {self.out_channels} channels, kernel {k}×{k}"
        return plots.save(plots.bars(self.parameters(), title=title, label="parameters (weights)"))
