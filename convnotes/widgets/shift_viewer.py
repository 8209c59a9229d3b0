"""Move three channels of a photograph, mix them by a 1×1 kernel, and see the convolution that the two make."""

from __future__ import annotations

from typing import Any

import torch
import traitlets

from convnotes import checks, plots
from convnotes.operations.shift import shift2d
from convnotes.widgets.base import PhotoWidget, checking, panels

MAPS = ("red", "green", "blue", "lightness")
LIGHTNESS = (0.299, 0.587, 0.114)
REACH = 2  # pixels that an arrow can reach on each axis


class ShiftViewer(PhotoWidget):
    """A photograph, three channels made of it that are shifted, and their weighted sum.

    It starts as a difference of two shifted copies of the lightness, an edge filter.

    Args:
        image: a photograph `[3, H, W]` with values in [0, 1].
        alt: what the photograph shows, for readers who do not see it.
        **state: `sources`, what each channel holds: 0 red, 1 green, 2 blue, 3 lightness; `displacements`, (dy, dx) of
            each channel, whole numbers from −2 to 2; `weight`, the three weights of the 1×1 kernel; `probe`, the marked
            pixel (row, column).

    Raises:
        ValueError: for anything else than a photograph, and for numbers that do not fit.
        TypeError: for `sources` and `displacements` that are not ints.

    Example:
        >>> from convnotes.widgets import ShiftViewer
        >>> ShiftViewer(torch.rand(3, 8, 8))
        ShiftViewer(image 3×8×8, lightness (0, −1), lightness (0, 1), red (0, 0))
    """

    module = "shift_viewer"
    by_hand = "every arrow and weight can be changed"

    sources: traitlets.List[int] = traitlets.List().tag(sync=True)
    displacements: traitlets.List[list[int]] = traitlets.List().tag(sync=True)
    weight: traitlets.List[float] = traitlets.List().tag(sync=True)
    probe: traitlets.List[int] = traitlets.List().tag(sync=True)

    def __init__(self, image: Any, alt: str = "A photograph", **state: Any) -> None:
        pixels = checks.picture("image", image, (3, "H", "W"))
        height, width = pixels.shape[1:]
        start = {"sources": [3, 3, 0], "displacements": [[0, -1], [0, 1], [0, 0]], "weight": [-1, 1, 0]}
        start |= {"probe": [height // 2, width // 2]} | state
        super().__init__(pixels, alt, **start)

    @checking("sources")
    def _check_sources(self, name: str, value: Any) -> list[int]:
        return list(checks.wholes(name, value, 3, least=0, most=len(MAPS) - 1))

    @checking("displacements")
    def _check_displacements(self, name: str, pairs: Any) -> list[list[int]]:
        if len(pairs) != 3:
            raise ValueError(f"displacements must hold 3 pairs, got {pairs!r}")
        named = ((f"displacements[{n}]", pair) for n, pair in enumerate(pairs))
        return [list(checks.wholes(name, pair, 2, least=-REACH, most=REACH)) for name, pair in named]

    @checking("weight")
    def _check_weight(self, name: str, value: Any) -> list[float]:
        checks.numbers(name, value, (3,))
        return list(value)

    def output(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The shifted channels `[3, H, W]` and their weighted sum `[H, W]`."""
        pixels = self._pixels()
        lightness = torch.einsum("c,chw->hw", torch.tensor(LIGHTNESS), pixels)
        maps = torch.cat([pixels, lightness[None]])[self.sources]
        shifted = shift2d(maps[None], self.displacements)[0]
        return shifted, torch.einsum("c,chw->hw", torch.tensor(self.weight, dtype=torch.float32), shifted)

    def _names(self) -> list[str]:
        pairs = zip(self.sources, self.displacements, strict=True)
        return [f"{MAPS[source]} ({dy}, {dx})".replace("-", "−") for source, (dy, dx) in pairs]

    def _describe(self) -> str:
        return f"image 3×{self.height}×{self.width}, {', '.join(self._names())}"

    def _alt(self) -> str:
        return (
            f"{self.alt}, as three channels that are moved by whole pixels: {', '.join(self._names())}; beside them "
            "their sum with the weights of a 1×1 kernel."
        )

    def _picture(self) -> bytes:
        shifted, mixed = self.output()
        axes = panels(1, 4, (8.4, 1.9))
        for ax, channel, name in zip(axes, shifted, self._names(), strict=False):
            plots.image(channel.clamp(0, 1), ax, name)
        plots.signed(mixed, axes[3], "weighted sum")
        return plots.save(axes[0])
