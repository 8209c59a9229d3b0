"""One layer, plain or transposed: its sizes, the taps of every position, its cost, and the pixels it never reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets

from convnotes import checks, geometry, plots
from convnotes.widgets.base import Widget, checking, panels

_LIMITS = {
    "size": (1, 16),
    "kernel": (1, 7),
    "stride": (1, 5),
    "padding": (0, 6),
    "dilation": (1, 4),
    "output_padding": (0, 4),
    "channels": (1, 512),
}


class ConvArithmetic(Widget):
    """A convolution layer on one image: its sizes, the taps of each position, its cost, and the pixels it never reads.

    Without arguments it is a 3×3 kernel of stride 2 on 8×8 pixels, which never reads the last row and the last column.
    A layer that torch refuses is a state like others: the page says why.

    Args:
        **state: pairs (height, width) `size` from 1 to 16, `kernel` to 7, `stride` to 5, `padding` from 0 to 6,
            `dilation` to 4 and `output_padding` from 0 to 4, which counts with `transposed=True`, the transposed
            convolution; `channels`, (in, out), and `groups`, to 512; `side`, the grid, "input" or "output", in which
            the chosen position `probe` (row, column) lies; `linked`, whether height and width move together; `numbers`,
            whether the taps on each pixel are counted.

    Raises:
        ValueError: for a number out of range.
        TypeError: for anything but ints.

    Example:
        >>> from convnotes.widgets import ConvArithmetic
        >>> widget = ConvArithmetic(size=(7, 7), padding=(1, 1))
        >>> widget
        ConvArithmetic(kernel 3×3, stride [2, 2], padding [1, 1], input 7×7)
        >>> widget.output_size()
        (4, 4)
    """

    module = "conv_arithmetic"
    by_hand = "every number can be changed"

    size: traitlets.List[int] = traitlets.List().tag(sync=True)
    kernel: traitlets.List[int] = traitlets.List().tag(sync=True)
    stride: traitlets.List[int] = traitlets.List().tag(sync=True)
    padding: traitlets.List[int] = traitlets.List().tag(sync=True)
    dilation: traitlets.List[int] = traitlets.List().tag(sync=True)
    output_padding: traitlets.List[int] = traitlets.List().tag(sync=True)
    channels: traitlets.List[int] = traitlets.List().tag(sync=True)
    groups = traitlets.Int().tag(sync=True)
    transposed = traitlets.Bool(False).tag(sync=True)
    linked = traitlets.Bool(True).tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    side = traitlets.Unicode("output").tag(sync=True)
    probe: traitlets.List[int] = traitlets.List().tag(sync=True)

    def __init__(self, **state: Any) -> None:
        start: dict[str, Any] = {
            "size": [8, 8],
            "kernel": [3, 3],
            "stride": [2, 2],
            "padding": [0, 0],
            "dilation": [1, 1],
        }
        start |= {"output_padding": [0, 0], "channels": [3, 16], "groups": 1, "probe": [1, 1]} | state
        super().__init__(**{name: list(v) if isinstance(v, tuple) else v for name, v in start.items()})

    @checking(*_LIMITS)
    def _check_pair(self, name: str, value: Any) -> list[int]:
        least, most = _LIMITS[name]
        return list(checks.wholes(name, value, 2, least=least, most=most))

    _check_side = checking("side")(lambda _, name, value: checks.one_of(name, value, ("input", "output")))

    _check_groups = checking("groups")(lambda _, name, value: checks.whole(name, value, *_LIMITS["channels"]))

    _check_probe = checking("probe")(lambda _, name, value: list(checks.wholes(name, value, 2, least=0)))

    def output_size(self) -> tuple[int, int] | None:
        """Height and width of the output; None where torch refuses the layer."""
        if any(count % self.groups for count in self.channels):
            return None
        given = self.size, self.kernel, self.stride, self.padding, self.dilation
        if not self.transposed:
            try:
                return geometry.output_size(*given)
            except ValueError:
                return None
        axes = list(zip(*given, self.output_padding, strict=True))
        height, width = ((n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, k, s, p, d, e in axes)
        too_long = any(e >= max(s, d) for _, _, s, _, d, e in axes)
        return None if too_long or min(height, width) < 1 else (height, width)

    def taps(self) -> list[tuple[int, int]]:
        """The positions of the other grid that the chosen one is joined to; some may lie in the padding."""
        out = self.output_size()
        if out is None:
            return []
        size = self.size if self.side == "input" else out
        place = [min(at, n - 1) for at, n in zip(self.probe, size, strict=True)]
        rows, columns = (self._joined(self.side, a, place[a]) for a in (0, 1))
        return [(i, j) for i in rows for j in columns]

    def _joined(self, side: str, a: int, at: int) -> list[int]:
        """Along axis a: the positions of the other grid that position `at` of the grid `side` is joined to."""
        s, p, d = self.stride[a], self.padding[a], self.dilation[a]
        if (side == "output") != self.transposed:
            return [at * s + u * d - p for u in range(self.kernel[a])]
        coarse = (self.size if self.transposed else self.output_size() or (0, 0))[a]
        found = [(at + p - u * d) / s for u in range(self.kernel[a])]
        return [int(place) for place in found if place.is_integer() and 0 <= place < coarse]

    def _describe(self) -> str:
        kind = "transposed " if self.transposed else ""
        kernel, size = "×".join(map(str, self.kernel)), "×".join(map(str, self.size))
        return f"{kind}kernel {kernel}, stride {self.stride}, padding {self.padding}, input {size}"

    def _alt(self) -> str:
        out = self.output_size()
        result = "no output, since torch refuses it" if out is None else f"an output of {out[0]}×{out[1]}"
        return (
            f"the input and the output of the layer as grids, {result}; the taps of one position are marked, and the "
            "pixels that are never read."
        )

    def _picture(self) -> bytes | None:
        out = self.output_size()
        if out is None:
            return None
        from matplotlib.patches import Rectangle

        axes = panels(1, 2, (8, 4.6), width_ratios=[self.size[1] + 1, out[1] + 1])
        reach = max(*self.size, *out)
        for ax, side, (height, width) in zip(axes, ("input", "output"), (self.size, out), strict=True):
            ax.set(title=f"{side} {height}×{width}", aspect="equal", xlim=(-0.6, width - 0.4), ylim=(reach - 0.4, -0.6))
            ax.set_axis_off()
            chosen = [tuple(np.minimum(self.probe, (height - 1, width - 1)))] if side == self.side else []
            marked = set(self.taps()) if side != self.side else set()
            for i, j in np.ndindex(height, width):
                colour = plots.PALETTE["kernel" if (i, j) in marked else side]
                alpha = 0.9 if (i, j) in marked else 0.25
                ax.add_patch(Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, lw=0, fc=colour, alpha=alpha))
                fine = (side == "output") == self.transposed
                if fine and not (self._joined(side, 0, i) and self._joined(side, 1, j)):
                    ax.plot(j, i, "x", ms=8, mew=2, color=plots.PALETTE["accent"])
            for i, j in chosen:
                frame: dict[str, Any] = {"fill": False, "ec": plots.PALETTE["accent"], "lw": 4}
                ax.add_patch(Rectangle((j - 0.42, i - 0.42), 0.84, 0.84, **frame))
        return plots.save(axes[0])
