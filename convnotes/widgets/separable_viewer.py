"""A depthwise and a pointwise kernel that are edited by hand, beside a full kernel that they are to make."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import PhotoWidget, checking, panels

# Three edge filters of the lightness. Of the pairs with one kernel per channel the diagonal one comes nearest, to 60 %.
_ACROSS = np.array([[-0.5, 0, 0.5], [-1, 0, 1], [-0.5, 0, 0.5]])
_LIGHTNESS = np.array([0.299, 0.587, 0.114])
EDGES = (np.stack([_ACROSS, _ACROSS.T, (_ACROSS + _ACROSS.T) / 2])[:, None] * _LIGHTNESS[:, None, None]).tolist()
NEAREST = ([[[-1, -1, 0], [-1, 0, 1], [0, 1, 1]]] * 3, [[0.1495, 0.2935, 0.057]] * 3)


class SeparableViewer(PhotoWidget):
    """A photograph through a separable pair of kernels, and through the full kernel that the pair is compared with.

    Args:
        image: a photograph `[3, H, W]` with values in [0, 1].
        alt: what the photograph shows, for readers who do not see it.
        **state: `depthwise` `[3, 3, 3]`, a 3×3 kernel for each colour channel; `pointwise` `[3, 3]`, a row of weights
            for each output; `target` `[3, 3, 3, 3]`, the full kernel (output, input, row, column); `bias`, one number
            for each output of both; `channel`, the input channel, 0 to 2, whose kernels are shown.

    Raises:
        ValueError: for anything else than a photograph and kernels.
        TypeError: for a `channel` that is not an int.

    Example:
        >>> from convnotes.widgets import SeparableViewer
        >>> SeparableViewer(torch.rand(3, 8, 8))
        SeparableViewer(image 3×8×8, 60.0 % of the target made)
    """

    module = "separable_viewer"
    by_hand = "every tap and weight of the pair can be changed"

    target: traitlets.List[list[list[list[float]]]] = traitlets.List().tag(sync=True)
    bias: traitlets.List[float] = traitlets.List().tag(sync=True)
    depthwise: traitlets.List[list[list[float]]] = traitlets.List().tag(sync=True)
    pointwise: traitlets.List[list[float]] = traitlets.List().tag(sync=True)
    channel = traitlets.Int(0).tag(sync=True)

    def __init__(self, image: Any, alt: str = "A photograph", **state: Any) -> None:
        start = {"target": EDGES, "bias": [0.5] * 3, "depthwise": NEAREST[0], "pointwise": NEAREST[1]} | state
        super().__init__(checks.picture("image", image, (3, "H", "W")), alt, **start)

    @checking("target", "bias", "depthwise", "pointwise")
    def _check_numbers(self, name: str, value: Any) -> list[Any]:
        shape = {"target": (3, 3, 3, 3), "bias": (3,), "depthwise": (3, 3, 3), "pointwise": (3, 3)}[name]
        values = checks.numbers(name, value, shape)
        if name == "target" and not values.any():
            raise ValueError("target must have a tap that is not 0: no share of nothing can be made")
        return values.tolist()

    _check_channel = checking("channel")(lambda _, name, value: checks.whole(name, value, 0, 2))

    def output(self) -> torch.Tensor:
        """What the pair gives, `[3, H, W]`."""
        return self._through(self._full())

    def share(self) -> float:
        """1 − ‖W − T‖² / ‖T‖²: the share of the target that is in the full kernel W of the pair; 1 is all of it."""
        target = torch.tensor(self.target, dtype=torch.float64)
        return 1 - ((self._full() - target).square().sum() / target.square().sum()).item()

    def _full(self) -> torch.Tensor:
        depthwise, pointwise = (torch.tensor(v, dtype=torch.float64) for v in (self.depthwise, self.pointwise))
        return pointwise[:, :, None, None] * depthwise  # [O, C, 3, 3]

    def _through(self, weight: torch.Tensor) -> torch.Tensor:
        bias = torch.tensor(self.bias, dtype=torch.float32)
        return torch.nn.functional.conv2d(self._pixels()[None], weight.float(), bias, padding=1)[0]

    def _describe(self) -> str:
        return f"image 3×{self.height}×{self.width}, {100 * self.share():.1f} % of the target made"

    def _alt(self) -> str:
        return f"{self.alt}, beside the outputs of a pair of kernels, depthwise 3×3 and pointwise, and of a full one."

    def _picture(self) -> bytes:
        axes = panels(1, 3, (6.6, 1.7))
        plots.image(self._pixels(), axes[0], "input")
        plots.image(self.output().clamp(0, 1), axes[1], "output of the pair")
        plots.image(self._through(torch.tensor(self.target)).clamp(0, 1), axes[2], "output of the target")
        return plots.save(axes[0])
