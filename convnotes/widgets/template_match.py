"""A template of nine pixels, looked for along a row of a photograph, by inner product and by L1 distance."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import PhotoWidget, checking, panels

TAPS = 9
_REACH = TAPS // 2  # pixels on either side of the centre


class TemplateMatch(PhotoWidget):
    """Nine pixels cut out of a row of a grey photograph, and looked for along that row under another light.

    The convolution scores a window by its inner product with the template, the adder by the negative L1 distance. Light
    is added to the row after the template was cut out, and the values are not clipped.

    Args:
        image: a photograph `[H, W]` with values in [0, 1], 15×15 pixels at least.
        place: the pixel (row, column) at the template's centre, four columns or more from the left and right border.
        alt: what the photograph shows, for readers who do not see it.
        **state: `window`, the column at the centre of the window that is compared, at first that of the template;
            `light`, which is added to the row, in [−0.4, 0.4]; `centred`, whether the convolution's template loses its
            mean.

    Raises:
        ValueError: for anything else than a photograph, and for numbers out of range.
        TypeError: for numbers of another kind.

    Example:
        >>> from convnotes.widgets import TemplateMatch
        >>> TemplateMatch(torch.rand(20, 20), (9, 9)).misses()[1]  # the distance finds the position
        0
    """

    module = "template_match"
    by_hand = "template, window and light can be changed"
    precision = torch.float64

    place: traitlets.List[int] = traitlets.List().tag(sync=True)
    window = traitlets.Int().tag(sync=True)
    light = traitlets.Float(0.0).tag(sync=True)
    centred = traitlets.Bool(False).tag(sync=True)

    def __init__(self, image: Any, place: Any, alt: str = "A photograph", **state: Any) -> None:
        pixels = checks.picture("image", image, "HW")
        if min(pixels.shape) < 15:
            raise ValueError(f"image must have at least 15×15 pixels, got shape {pixels.shape}")
        at = _middle("place", place, *pixels.shape)  # before `window`, which follows it
        super().__init__(pixels, alt, place=at, **{"window": at[1], **state})

    @checking("place")
    def _check_place(self, name: str, value: Any) -> list[int]:
        return _middle(name, value, self.height, self.width)

    _check_window = checking("window")(lambda widget, name, value: _centre(name, value, widget.width))

    _check_light = checking("light")(lambda _, name, value: checks.number(name, value, "[-0.4, 0.4]"))

    def template(self) -> torch.Tensor:
        """The nine values that were cut out, `[9]`."""
        row, column = self.place
        return self._pixels()[row, column - _REACH : column + _REACH + 1]

    def responses(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(inner product, negative L1 distance) of the template with every window of the row: `[W−8]` each."""
        template = self.template()
        windows = (self._pixels()[self.place[0]] + self.light).unfold(0, TAPS, 1)  # [W−8, 9]
        kernel = template - template.mean() if self.centred else template
        return windows @ kernel, -(windows - template).abs().sum(1)

    def misses(self) -> tuple[int, int]:
        """How many pixels the best match of each operator lies from where the template was cut out."""
        home = self.place[1] - _REACH
        product, distance = (abs(int(scores.argmax()) - home) for scores in self.responses())
        return product, distance

    def _describe(self) -> str:
        return f"photograph {self.height}×{self.width}, template at {self.place}"

    def _alt(self) -> str:
        product, distance = self.misses()
        return (
            f"{self.alt}. A template of nine pixels from one of its rows lies over a window of that row; the gaps "
            "between them, the products of both, and the scores of all windows are drawn. The best match by inner "
            f"product lies {product} pixels from where the template was cut out, by L1 distance {distance} pixels."
        )

    def _picture(self) -> bytes:
        axes = panels(1, 3, (8.6, 2.8))
        ink = plots.INK["light"]
        line = self._pixels()[self.place[0]].numpy() + self.light
        template, taps = self.template().numpy(), np.arange(TAPS)
        window = line[self.window - _REACH : self.window + _REACH + 1]
        axes[0].fill_between(taps, template, window, step="mid", color=plots.PALETTE["accent"], alpha=0.35, lw=0)
        axes[0].step(taps, template, where="mid", color=ink["kernel"], label="template")
        axes[0].step(taps, window, where="mid", color=ink["input"], ls="--", label="window")
        axes[0].set(title="window on template", xlabel="pixel")
        axes[0].legend()
        for ax, scores, name in zip(axes[1:], self.responses(), ("inner product", "−L1 distance"), strict=True):
            ax.plot(np.arange(len(scores)) + _REACH, scores.numpy(), color=ink["output"])
            ax.axvline(self.place[1], color=ink["kernel"], ls="--", lw=1)
            ax.plot(int(scores.argmax()) + _REACH, scores.max().item(), "o", color=ink["accent"])
            ax.set(title=f"{name}: its best match", xlabel="pixel of the row")
        return plots.save(axes[0])


def _middle(name: str, value: Any, height: int, width: int) -> list[int]:
    """The row and column of a pixel around which there are nine along its row."""
    row, column = checks.position(name, value, height, width)
    return [row, _centre(f"the column of {name}", column, width)]


def _centre(name: str, column: Any, width: int) -> int:
    """A column around which there are nine pixels."""
    return checks.whole(name, column, _REACH, width - 1 - _REACH)
