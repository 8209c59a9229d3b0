"""Stack layers of any kernel size, stride and dilation, and watch the receptive field grow with its taps and holes."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking

GRID = [[3, 1, 2], [3, 1, 2], [3, 1, 2]]  # rates 2, 2, 2: the receptive field is full of holes
_LIMITS = (("kernel size", 7), ("stride", 2), ("dilation", 8))


class FieldGrower(Widget):
    """The receptive field of one output pixel of one to four layers, drawn on the input.

    It shows how many paths lead to each pixel of the receptive field, and the pixels that none leads to.

    Args:
        layers: `[kernel size, stride, dilation]` of each, the first of them at the input; kernel sizes go to 7, strides
            to 2, dilations to 8.
        **state: nothing else.

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
    by_hand = "every layer can be changed"

    layers: traitlets.List[list[int]] = traitlets.List().tag(sync=True)

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

    def paths(self) -> np.ndarray:
        """The number of paths from each pixel of the receptive field to the output: int64 `[F, F]`, 0 in a hole."""
        line, stride = np.ones(1, np.int64), 1
        for kernel_size, own_stride, dilation in self.layers:
            comb = np.zeros((kernel_size - 1) * dilation * stride + 1, np.int64)
            comb[:: dilation * stride] = 1
            line, stride = np.convolve(line, comb), stride * own_stride
        return np.outer(line, line)

    def _describe(self) -> str:
        return "layers " + ", ".join(f"{k}×{k} stride {s} dilation {d}" for k, s, d in self.layers)

    def _alt(self) -> str:
        paths = self.paths()
        size, holes = len(paths), int((paths == 0).sum())
        return (
            f"the receptive field of one output place, {size}×{size} pixels with {holes} holes, drawn on the input "
            "with the number of paths to each pixel."
        )

    def _picture(self) -> bytes:
        paths = self.paths()
        size, holes = len(paths), np.argwhere(paths == 0)
        ax = plots.heat(paths, title=f"field of {size}×{size} pixels, {len(holes)} holes", label="paths")
        ax.plot(holes[:, 1], holes[:, 0], "x", color="white", ms=min(5, 80 / size), ls="none")
        return plots.save(ax)
