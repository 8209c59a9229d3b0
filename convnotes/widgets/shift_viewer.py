"""Move three channels of a photograph, mix them by a 1×1 kernel, and see the convolution that the two make."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import plots
from convnotes.widgets.base import PhotoWidget, panels
from convnotes.widgets.checks import photograph, position, whole

MAPS = ("red", "green", "blue", "lightness")
LIGHTNESS = (0.299, 0.587, 0.114)
REACH = 2  # pixels that an arrow can reach on each axis


class ShiftViewer(PhotoWidget):
    """A photograph `[3, H, W]` with values in [0, 1], three channels made of it that move, and their weighted sum.

    `sources` says what each channel holds: 0 red, 1 green, 2 blue, 3 lightness. `displacements` holds (dy, dx) of each
    channel, whole numbers from −2 to 2; `weight` the three weights of the 1×1 kernel; `probe` is the marked place
    (row, column). It starts as a difference of two shifted copies of the lightness, an edge filter.

    Raises `TypeError` or `ValueError` for what is no photograph and for a state that does not fit.
    """

    module = "shift_viewer"

    sources: traitlets.List[int] = traitlets.List().tag(sync=True)
    displacements: traitlets.List[list[int]] = traitlets.List().tag(sync=True)
    weight: traitlets.List[float] = traitlets.List().tag(sync=True)
    probe: traitlets.List[int] = traitlets.List().tag(sync=True)

    def __init__(self, image: Any, alt: str = "A photograph", **state: Any) -> None:
        pixels = photograph(image, "ShiftViewer")
        height, width = pixels.shape[1:]
        start = {"sources": [3, 3, 0], "displacements": [[0, -1], [0, 1], [0, 0]], "weight": [-1, 1, 0]}
        start |= {"probe": [height // 2, width // 2]} | state
        super().__init__(pixels, alt, **start)

    @traitlets.validate("sources")
    def _check_sources(self, proposal: Any) -> list[int]:
        values = list(proposal["value"])
        if len(values) != 3 or any(not whole(v) or not 0 <= v < len(MAPS) for v in values):
            raise ValueError(f"sources must be three whole numbers from 0 to 3, got {values!r}")
        return values

    @traitlets.validate("displacements")
    def _check_displacements(self, proposal: Any) -> list[list[int]]:
        pairs = [list(pair) for pair in proposal["value"]]
        fits = len(pairs) == 3 and all(len(pair) == 2 for pair in pairs)
        if not fits or any(not whole(d) or abs(d) > REACH for pair in pairs for d in pair):
            raise ValueError(f"displacements must be three pairs of whole numbers from −2 to 2, got {pairs!r}")
        return pairs

    @traitlets.validate("weight")
    def _check_weight(self, proposal: Any) -> list[float]:
        values = list(proposal["value"])
        if len(values) != 3 or not np.isfinite(np.array(values, float)).all():
            raise ValueError(f"weight must be three finite numbers, got {values!r}")
        return values

    @traitlets.validate("probe")
    def _check_probe(self, proposal: Any) -> list[int]:
        return position("probe", proposal["value"], self.height, self.width)

    def output(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The shifted channels `[3, H, W]` and their weighted sum `[H, W]`."""
        pixels = self._pixels()
        lightness = torch.einsum("c,chw->hw", torch.tensor(LIGHTNESS), pixels)
        maps = torch.cat([pixels, lightness[None]])[self.sources]
        kernels = torch.zeros(3, 1, 2 * REACH + 1, 2 * REACH + 1)  # a shift is a depthwise kernel with a single 1
        for channel, (dy, dx) in enumerate(self.displacements):
            kernels[channel, 0, dy + REACH, dx + REACH] = 1
        shifted = torch.nn.functional.conv2d(maps[None], kernels, padding=REACH, groups=3)[0]
        return shifted, torch.einsum("c,chw->hw", torch.tensor(self.weight, dtype=torch.float32), shifted)

    def _names(self) -> list[str]:
        pairs = zip(self.sources, self.displacements, strict=True)
        return [f"{MAPS[source]} ({dy}, {dx})".replace("-", "−") for source, (dy, dx) in pairs]

    def _describe(self) -> str:
        return f"image 3×{self.height}×{self.width}, {', '.join(self._names())}"

    def _alt(self) -> str:
        return (
            f"{self.alt}, as three channels that are moved by whole pixels: {', '.join(self._names())}; beside them "
            "their sum with the weights of a 1×1 kernel. "
            "In the page and in Jupyter every arrow and weight can be changed."
        )

    def _picture(self) -> bytes:
        shifted, mixed = self.output()
        axes = panels(1, 4, (8.4, 1.9))
        for ax, channel, name in zip(axes, shifted, self._names(), strict=False):
            plots.image(channel.clamp(0, 1), ax, name)
        plots.signed(mixed, axes[3], "weighted sum")
        return plots.save(axes[0])
