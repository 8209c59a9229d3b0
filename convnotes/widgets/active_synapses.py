"""The synapses of an active convolution, moved by hand, and the ordinary kernel that they make."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import PhotoWidget, checking, panels

REACH = 3  # pixels on every side, as the layer's default max_reach
# The image and its relief: the weights add to 1, and nine pixels are touched, no more than by a 3×3 kernel.
RELIEF = ([1, 1, -1], [[0, 0], [0.75, 1.5], [-0.75, -1.5]])


class ActiveSynapses(PhotoWidget):
    """A photograph filtered by synapses that lie between its pixels, and the ordinary kernel that they make.

    Every colour channel gets the same kernel.

    Args:
        image: a photograph `[3, H, W]` with values in [0, 1].
        alt: what the photograph shows, for readers who do not see it.
        **state: `weights`, one number for each of 1 to 16 synapses; `positions`, the (y, x) of each in pixels, within 3
            on every side and the first at (0, 0); `bias`, which is added to the output; `chosen`, the synapse in the
            formula.

    Raises:
        ValueError: for anything else than a photograph, and for numbers that do not fit.
        TypeError: for a `chosen` that is not an int.

    Example:
        >>> from convnotes.widgets import ActiveSynapses
        >>> ActiveSynapses(torch.zeros(3, 8, 8), weights=[1.0], positions=[[0, 0]])
        ActiveSynapses(image 3×8×8, 1 synapses)
    """

    module = "active_synapses"
    by_hand = "every synapse can be moved"

    weights: traitlets.List[float] = traitlets.List().tag(sync=True)
    positions: traitlets.List[list[float]] = traitlets.List().tag(sync=True)
    bias = traitlets.Float(0.0).tag(sync=True)
    chosen = traitlets.Int(0).tag(sync=True)

    def __init__(self, image: Any, alt: str = "A photograph", **state: Any) -> None:
        pixels = checks.picture("image", image, (3, "H", "W"))
        start: dict[str, Any] = {"weights": RELIEF[0], "positions": RELIEF[1]} | state
        if len(start["weights"]) != len(start["positions"]):
            raise ValueError(
                f"each synapse has one weight and one position, got {len(start['weights'])} and "
                f"{len(start['positions'])}"
            )
        start.setdefault("chosen", 1 if len(start["weights"]) > 1 else 0)
        super().__init__(pixels, alt, **start)

    @checking("weights", "positions")
    def _check_numbers(self, name: str, rows: Any) -> list[Any]:
        values = checks.numbers(name, rows, (range(1, 17), 2) if name == "positions" else (range(1, 17),))
        if name == "positions" and (values[0].any() or np.abs(values).max() > REACH):
            raise ValueError(f"positions must lie within {REACH} pixels, the first at (0, 0), got {rows!r}")
        return values.tolist()

    _check_chosen = checking("chosen")(lambda _, name, value: checks.whole(name, value, 0, 15))

    def kernel(self) -> torch.Tensor:
        """The ordinary kernel `[7, 7]` that the synapses make."""
        total = torch.zeros(2 * REACH + 1, 2 * REACH + 1, dtype=torch.float64)
        pixels = torch.arange(-REACH, REACH + 1, dtype=torch.float64)
        for weight, (y, x) in zip(self.weights, self.positions, strict=True):
            rows, columns = ((1 - (pixels - at).abs()).clamp(min=0) for at in (y, x))
            total += weight * torch.outer(rows, columns)
        return total

    def output(self) -> torch.Tensor:
        """What the synapses make of the photograph, `[3, H, W]`, each colour by itself."""
        kernel = self.kernel().float()[None, None]
        return torch.nn.functional.conv2d(self._pixels()[:, None], kernel, padding=REACH)[:, 0] + self.bias

    def _describe(self) -> str:
        return f"image 3×{self.height}×{self.width}, {len(self.weights)} synapses"

    def _alt(self) -> str:
        return (
            f"{self.alt}, filtered by a kernel of {len(self.weights)} synapses, and the 7×7 grid on which each synapse "
            "shares its weight among the four pixels around it."
        )

    def _picture(self) -> bytes:
        axes = panels(1, 3, (8.6, 3.2), width_ratios=(1.25, 1, 1))
        grid = plots.kernel(self.kernel().round(decimals=2), axes[0], "kernel and synapses")
        y, x = np.array(self.positions).T + REACH
        grid.plot(x, y, "o", ms=16, mfc="none", mec=plots.INK["light"]["accent"], mew=2)
        plots.image(self._pixels(), axes[1], "input")
        plots.image(self.output().clamp(0, 1), axes[2], "output")
        return plots.save(axes[0])
