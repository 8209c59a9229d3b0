"""See what a position of an image attends to, by the weights of a non-local operation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking, panels

SHARPEST = 4096  # the largest factor
DEEPEST = 16  # times the equal weight 1/N: the deepest colour


class AttentionViewer(Widget):
    """What a position of an image attends to, by the weights of a non-local operation.

    The weight of position j for the marked position i is softmax over j of factor · scale · q_i·k_j.

    Args:
        images: `[P, 1 or 3, H, W]` with values in [0, 1].
        query, key: maps `[P, D, rows, columns]` of each image; H and W are whole multiples of rows and columns.
        captions: one text per image.
        scale: the one that the operation has.
        **state: `picture`, the number of the image that is shown; `factor` in [0, 4096], which changes the scale;
            `window`, the odd side, in positions, of the neighbourhood whose share is told; `probe`, the marked position
            (row, column); `links`.

    Raises:
        ValueError: for arguments that do not fit together, and for a state out of range.
        TypeError: for a state of another kind.

    Example:
        >>> from convnotes.widgets import AttentionViewer
        >>> maps = torch.zeros(1, 2, 5, 5)
        >>> widget = AttentionViewer(torch.rand(1, 3, 10, 10), maps, maps, ["noise"], window=1)
        >>> round(widget.share(), 2)  # all 25 positions have the same weight
        0.04
    """

    module = "attention_viewer"
    by_hand = "every position can be chosen"

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
            raise ValueError(f"{height}×{width} pixels must be whole multiples of {rows}×{columns} positions")
        links = state.pop("links", {})
        start = {"picture": 0, "factor": 1.0, "window": 5, "probe": [rows // 2, columns // 2]} | state
        super().__init__(
            image=pixels.tobytes(),
            channels=channels, height=height, width=width,
            query=q.astype("<f4").tobytes(), key=k.astype("<f4").tobytes(),
            depth=depth, rows=rows, columns=columns, captions=list(captions), first=start, scale=scale,
            links=links, **start,
        )  # fmt: skip

    _check_picture = checking("picture")(lambda self, name, value: checks.whole(name, value, 0, len(self.captions) - 1))

    _check_factor = checking("factor")(lambda _, name, value: checks.number(name, value, f"[0, {SHARPEST}]"))

    _check_window = checking("window")(lambda _, name, value: checks.whole(name, value, odd=True))

    _check_probe = checking("probe")(lambda self, name, value: checks.position(name, value, self.rows, self.columns))

    def weights(self) -> torch.Tensor:
        """The weight of each position for the marked one: `[rows, columns]`, sum 1, in float64."""
        shape = (len(self.captions), self.depth, self.rows, self.columns)
        q, k = (
            torch.frombuffer(bytearray(data), dtype=torch.float32).view(shape)[self.picture].double()
            for data in (self.query, self.key)
        )
        row, column = self.probe
        products = torch.einsum("d,dhw->hw", q[:, row, column], k)
        return torch.softmax(self.factor * self.scale * products.flatten(), 0).view(self.rows, self.columns)

    def share(self) -> float:
        """How much of the weight lies in the neighbourhood of `window`×`window` positions."""
        reach = self.window // 2
        row, column = self.probe
        inside = self.weights()[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
        return inside.sum().item()

    def strongest(self, count: int = 5) -> list[tuple[int, int]]:
        """Row and column of the largest weights, the largest first; those of 1/N and less do not stand out."""
        weights = self.weights().flatten()
        found = weights.topk(min(count, len(weights)))
        standing_out = found.indices[found.values * len(weights) > 1 + 1e-6]
        return [divmod(n, self.columns) for n in standing_out.tolist()]

    def _describe(self) -> str:
        count = len(self.captions)
        images = f"{count} image{'s'[: count - 1]}"
        return f"{images} {self.height}×{self.width}, {self.rows}×{self.columns} positions"

    def _alt(self) -> str:
        row, column = self.probe
        return (
            f"{self.captions[self.picture]}. The position in row {row}, column {column} puts {self.share():.1f} of its "
            f"weight inside the {self.window}×{self.window} positions around it."
        )

    def _picture(self) -> bytes:
        shape = (len(self.captions), self.channels, self.height, self.width)
        pixels = torch.frombuffer(bytearray(self.image), dtype=torch.uint8).view(shape)[self.picture] / 255
        wide = self.columns > 2 * self.rows
        tall = (6 if wide else 3) * self.height / self.width + 0.4
        left, right = panels(2 if wide else 1, 1 if wide else 2, (6.5, 2 * tall if wide else tall))
        row, column = self.probe
        side = self.height / self.rows
        plots.image(pixels, left, self.captions[self.picture])

        def middle(at: int) -> float:
            return (at + 0.5) * side - 0.5

        for i, j in self.strongest():
            left.plot([middle(column), middle(j)], [middle(row), middle(i)], "o-", color="black", lw=4, ms=7)
            left.plot([middle(column), middle(j)], [middle(row), middle(i)], "o-", color="#E69F00", lw=2, ms=5)
        left.plot(middle(column), middle(row), "o", ms=12, mfc="none", mec="black", mew=5)
        left.plot(middle(column), middle(row), "o", ms=12, mfc="none", mec="white", mew=2.5)
        times = self.weights() * self.rows * self.columns
        scaled = (times.log() / math.log(DEEPEST)).clamp(-1, 1)
        right.imshow(scaled, cmap=plots.signed_scale(), vmin=-1, vmax=1)
        right.set(xticks=[], yticks=[], title="weights: orange above 1/N, blue below")
        return plots.save(left)
