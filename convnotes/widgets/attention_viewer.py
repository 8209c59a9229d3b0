"""See what a place of an image attends to, by the weights of a trained non-local block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking, panels


class AttentionViewer(Widget):
    """What a place of an image attends to, by the weights of a trained non-local block.

    The weight of place j for the marked place i is softmax over j of factor · scale · q_i·k_j.

    Args:
        images: `[P, 1 or 3, H, W]` with values in [0, 1].
        query, key: maps `[P, D, rows, columns]` of each image; H and W are whole multiples of rows and columns.
        captions: one text per image.
        scale: the one that the block was trained with.
        **state: `picture`, the number of the image that is shown; `factor` in [0, 4], which changes the scale;
            `window`, the odd side, in places, of the neighbourhood whose share is told; `probe`, the marked place (row,
            column).

    Raises:
        ValueError: for arguments that do not fit together, and for a state out of range.
        TypeError: for a state of another kind.

    Example:
        >>> from convnotes.widgets import AttentionViewer
        >>> maps = torch.zeros(1, 2, 5, 5)
        >>> widget = AttentionViewer(torch.rand(1, 3, 10, 10), maps, maps, ["noise"], window=1)
        >>> round(widget.share(), 2)  # all 25 places have the same weight
        0.04
    """

    module = "attention_viewer"
    by_hand = "every place can be chosen"

    image = traitlets.Bytes().tag(sync=True)
    channels = traitlets.Int().tag(sync=True)
    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    query = traitlets.Bytes().tag(sync=True)
    key = traitlets.Bytes().tag(sync=True)
    depth = traitlets.Int().tag(sync=True)
    rows = traitlets.Int().tag(sync=True)
    columns = traitlets.Int().tag(sync=True)
    captions = traitlets.List(traitlets.Unicode()).tag(sync=True)
    first = traitlets.Dict().tag(sync=True)
    picture = traitlets.Int(0).tag(sync=True)
    scale = traitlets.Float(1.0).tag(sync=True)
    factor = traitlets.Float(1.0).tag(sync=True)
    window = traitlets.Int(5).tag(sync=True)
    probe: traitlets.List[int] = traitlets.List().tag(sync=True)

    def __init__(
        self, images: Any, query: Any, key: Any, captions: Sequence[str], scale: float = 1.0, **state: Any
    ) -> None:
        pixels = checks.picture("images", images, ("P", (1, 3), "H", "W"))
        q, k = (checks.numbers(name, maps, "PDHW", floats=True) for name, maps in (("query", query), ("key", key)))
        if q.shape != k.shape or len(q) != len(pixels) or len(captions) != len(pixels):
            raise ValueError(
                "query and key must have one shape and one map per image, as captions one text, "
                f"got {pixels.shape}, {q.shape}, {k.shape} and {len(captions)} captions"
            )
        (_, channels, height, width), (_, depth, rows, columns) = pixels.shape, q.shape
        if height % rows or width % columns:
            raise ValueError(f"{height}×{width} pixels must be whole multiples of {rows}×{columns} places")
        start = {"picture": 0, "factor": 1.0, "window": 5, "probe": [rows // 2, columns // 2]} | state
        super().__init__(
            image=pixels.tobytes(),
            channels=channels, height=height, width=width,
            query=q.astype("<f4").tobytes(), key=k.astype("<f4").tobytes(),
            depth=depth, rows=rows, columns=columns, captions=list(captions), first=start, scale=scale, **start,
        )  # fmt: skip

    _check_picture = checking("picture")(lambda self, name, value: checks.whole(name, value, 0, len(self.captions) - 1))

    _check_factor = checking("factor")(lambda _, name, value: checks.number(name, value, "[0, 4]"))

    _check_window = checking("window")(lambda _, name, value: checks.whole(name, value, odd=True))

    _check_probe = checking("probe")(lambda self, name, value: checks.position(name, value, self.rows, self.columns))

    def weights(self) -> torch.Tensor:
        """What the marked place attends to: `[rows, columns]`, sum 1, in float64."""
        shape = (len(self.captions), self.depth, self.rows, self.columns)
        q, k = (
            torch.frombuffer(bytearray(data), dtype=torch.float32).view(shape)[self.picture].double()
            for data in (self.query, self.key)
        )
        row, column = self.probe
        products = torch.einsum("d,dhw->hw", q[:, row, column], k)
        return torch.softmax(self.factor * self.scale * products.flatten(), 0).view(self.rows, self.columns)

    def share(self) -> float:
        """How much of the weight lies in the neighbourhood of `window`×`window` places."""
        reach = self.window // 2
        row, column = self.probe
        inside = self.weights()[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
        return inside.sum().item()

    def _describe(self) -> str:
        return f"{len(self.captions)} pictures {self.height}×{self.width}, {self.rows}×{self.columns} places"

    def _alt(self) -> str:
        row, column = self.probe
        return (
            f"{self.captions[self.picture]}. The place in row {row}, column {column} puts {self.share():.1f} of its "
            f"attention inside the {self.window}×{self.window} places around it."
        )

    def _picture(self) -> bytes:
        shape = (len(self.captions), self.channels, self.height, self.width)
        pixels = torch.frombuffer(bytearray(self.image), dtype=torch.uint8).view(shape)[self.picture] / 255
        tall = 6 * self.height / self.width
        top, bottom = panels(2, 1, (7, 2 * tall + 1))
        row, column = self.probe
        plots.image(pixels, top, self.captions[self.picture])
        side = self.height / self.rows
        top.plot((column + 0.5) * side - 0.5, (row + 0.5) * side - 0.5, "o", ms=12, mfc="none", mec="white", mew=3)
        plots.heat(self.weights(), bottom, "what the marked place attends to", "weight")
        return plots.save(bottom)
