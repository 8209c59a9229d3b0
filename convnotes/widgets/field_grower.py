"""Stack layers of any kernel size, stride and dilation, and see which pixels an output position reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking, panels

GRID = [[3, 1, 2], [3, 1, 2], [3, 1, 2]]  # dilations 2, 2, 2: the receptive field is full of holes
REACH = 2  # output positions on either side of the middle one
_LIMITS = (("kernel size", 7), ("stride", 2), ("dilation", 8))


class FieldGrower(Widget):
    """The receptive field of one output position of one to four layers, drawn on an input that holds a line.

    It shows how many paths lead to each pixel of the receptive field, the pixels that none leads to, and which of 25
    output positions read the line, which is one pixel wide.

    Args:
        layers: `[kernel size, stride, dilation]` of each, the first of them at the input; kernel sizes go to 7, strides
            to 2, dilations to 8.
        **state: `position`, how many output positions (down, right) the marked one lies from the middle, at most 2
            either way.

    Raises:
        ValueError: for numbers out of range, and for anything else than such a list.
        TypeError: for anything but ints.

    Example:
        >>> from convnotes.widgets import FieldGrower
        >>> widget = FieldGrower([[3, 1, 1], [3, 1, 2]])
        >>> widget
        FieldGrower(layers 3×3 stride 1 dilation 1, 3×3 stride 1 dilation 2)
        >>> widget.paths()[0].tolist()  # of the first row
        [1, 1, 2, 1, 2, 1, 1]
    """

    module = "field_grower"
    by_hand = "every layer can be changed, and the output position moved"

    layers: traitlets.List[list[int]] = traitlets.List().tag(sync=True)
    position: traitlets.List[int] = traitlets.List([0, 0]).tag(sync=True)

    def __init__(self, layers: Any = GRID, **state: Any) -> None:
        super().__init__(layers=[list(layer) for layer in layers], **state)

    @checking("layers")
    def _check_layers(self, name: str, layers: Any) -> list[list[int]]:
        if not 1 <= len(layers) <= 4 or any(len(layer) != 3 for layer in layers):
            raise ValueError(f"layers must be 1 to 4 of [kernel size, stride, dilation], got {layers!r}")
        for number, layer in enumerate(layers, 1):
            for value, (name, most) in zip(layer, _LIMITS, strict=True):
                checks.whole(f"the {name} of layer {number}", value, most=most)
        return [list(layer) for layer in layers]

    @checking("position")
    def _check_position(self, name: str, position: Any) -> list[int]:
        return list(checks.wholes(name, position, 2, least=-REACH, most=REACH))

    def paths(self) -> np.ndarray:
        """The number of paths from each pixel of the receptive field to the output: int64 `[F, F]`, 0 in a hole."""
        line, stride = np.ones(1, np.int64), 1
        for kernel_size, own_stride, dilation in self.layers:
            comb = np.zeros((kernel_size - 1) * dilation * stride + 1, np.int64)
            comb[:: dilation * stride] = 1
            line, stride = np.convolve(line, comb), stride * own_stride
        return np.outer(line, line)

    def on_line(self) -> np.ndarray:
        """The share of the paths that end on the line: float64 `[5]`, one per column of output positions.

        It is what kernels of equal weights, which add to 1, answer on an image that is 1 on the line and 0 elsewhere.
        """
        paths = self.paths()[0]
        stride = int(np.prod([layer[1] for layer in self.layers]))
        at = (len(paths) - 1) // 2 - stride * np.arange(-REACH, REACH + 1)
        inside = (at >= 0) & (at < len(paths))
        shares: np.ndarray = np.where(inside, paths[at.clip(0, len(paths) - 1)], 0) / paths.sum()
        return shares

    def _describe(self) -> str:
        return "layers " + ", ".join(f"{k}×{k} stride {s} dilation {d}" for k, s, d in self.layers)

    def _alt(self) -> str:
        paths = self.paths()
        size, holes = len(paths), int((paths == 0).sum())
        seeing = int((self.on_line() > 0).sum())
        return (
            f"the receptive field of one output position, {size}×{size} pixels with {holes} holes, drawn on the input "
            f"with the number of paths to each pixel; of five neighbouring output positions in a row {seeing} read a "
            "line that is one pixel wide."
        )

    def _picture(self) -> bytes:
        paths = self.paths()
        size, holes = len(paths), np.argwhere(paths == 0)
        left, right = panels(1, 2, (7.6, 3.6))
        plots.heat(paths, left, f"{size}×{size} pixels, {len(holes)} holes", label="paths")
        left.plot(holes[:, 1], holes[:, 0], "x", color="white", ms=min(5, 80 / size), ls="none")
        shares = np.tile(self.on_line(), (2 * REACH + 1, 1))
        plots.heat(shares, right, "what 25 outputs read of a line", label="share of the paths")
        return plots.save(left)
