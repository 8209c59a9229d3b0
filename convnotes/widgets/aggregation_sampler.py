"""One position of a deformable aggregation on an image: where its nine samples lie, and how much each counts."""

from __future__ import annotations

from typing import Any

import torch
import traitlets

from convnotes import checks, plots
from convnotes.beyond.deformable_aggregation import deform_aggregate2d
from convnotes.widgets.base import PhotoWidget, checking, panels

REACH = 6  # units of the scale; how far a tap is moved
MOST = 8  # of a score
CHOICES = {"masks": ("softmax", "unbounded"), "tap": range(9)}
LIMITS = {"moves": ((9, 2), REACH), "scores": ((9,), MOST)}


class AggregationSampler(PhotoWidget):
    """A grey image, the nine samples of a deformable aggregation at one position of it, and their masks as bars.

    Samples and masks can be changed; beside the image stands what the same offsets and masks give at every position.

    Args:
        image: `[1, H, W]` with values in [0, 1].
        alt: what the image shows, for readers who do not see it.
        **state: `probe`, the output position (row, column); `moves`, the (Δy, Δx) of the nine taps, at most 6 each;
            `scores`, nine numbers from −8 to 8, and `masks`, "softmax" for that of the scores or "unbounded" for the
            scores themselves; `scale`, from ¼ to 4, by which grid and offsets are spread; `tap`, from 0 to 8, the
            chosen one.

    Raises:
        ValueError, TypeError: for anything that does not fit together.

    Example:
        >>> from convnotes.widgets import AggregationSampler
        >>> widget = AggregationSampler(torch.full((1, 7, 9), 0.5), probe=[3, 4])
        >>> f"{widget.output():.3f}"  # a mean of nine samples
        '0.502'
        >>> widget.masks, widget.scores = "unbounded", [0.0, 0, 0, -1, 0, 1, 0, 0, 0]
        >>> widget.output()  # the right sample minus the left one
        0.0
    """

    module = "aggregation_sampler"
    by_hand = "taps and the bars of their masks can be dragged, and the scale of the offsets changed"
    precision = torch.float64

    probe: traitlets.List[int] = traitlets.List().tag(sync=True)
    moves: traitlets.List[list[float]] = traitlets.List([[0.0, 0.0]] * 9).tag(sync=True)
    scores: traitlets.List[float] = traitlets.List([0.0] * 9).tag(sync=True)
    masks = traitlets.Unicode("softmax").tag(sync=True)
    scale = traitlets.Float(1.0).tag(sync=True)
    tap = traitlets.Int(0).tag(sync=True)

    def __init__(self, image: Any, alt: str = "A grey image", **state: Any) -> None:
        grey = checks.picture("image", image, (1, "H", "W"))[0]
        super().__init__(grey, alt, **({"probe": [side // 2 for side in grey.shape]} | state))

    @checking("moves", "scores")
    def _check_numbers(self, name: str, value: Any) -> list[Any]:
        shape, most = LIMITS[name]
        values = checks.numbers(name, value, shape)
        if abs(values).max() > most:
            raise ValueError(f"{name} must lie between -{most} and {most}, got up to {abs(values).max():g}")
        return values.tolist()

    _check_scale = checking("scale")(lambda _, name, value: checks.number(name, value, "[0.25, 4]"))

    _check_choice = checking(*CHOICES)(lambda _, name, value: checks.one_of(name, value, CHOICES[name]))

    def strengths(self) -> torch.Tensor:
        """The nine masks that act, `[9]`."""
        scores = torch.tensor(self.scores, dtype=torch.float64)
        return scores.softmax(0) if self.masks == "softmax" else scores

    def map(self) -> torch.Tensor:
        """What these offsets and masks give at every position, `[H, W]`."""
        size = (self.height, self.width)
        offset = torch.tensor(self.moves, dtype=torch.float64).view(1, 18, 1, 1).expand(1, 18, *size)
        mask = self.strengths().view(1, 9, 1, 1).expand(1, 9, *size)
        pixels = self._pixels()[None, None]
        return deform_aggregate2d(pixels, offset, mask, 3, padding=1, offset_scale=self.scale)[0, 0]

    def output(self) -> float:
        """The output of the chosen position."""
        i, j = self.probe
        return self.map()[i, j].item()

    def places(self) -> torch.Tensor:
        """Where the nine taps read, `[9, 2]` as (y, x) in pixels."""
        k = torch.arange(9)
        grid = torch.stack([k // 3 - 1, k % 3 - 1], 1)
        return torch.tensor(self.probe) + self.scale * (grid + torch.tensor(self.moves, dtype=torch.float64))

    def _describe(self) -> str:
        return f"image {self.height}×{self.width}, {self.masks} masks, scale {self.scale:g}, output {self.output():.3f}"

    def _alt(self) -> str:
        return (
            f"{self.alt}, with nine samples around row {self.probe[0]}, column {self.probe[1]}, their masks "
            f"({self.masks}) from {self.strengths().min():.2f} to {self.strengths().max():.2f}, and the image that the "
            "same offsets and masks give at every position."
        )

    def _picture(self) -> bytes:
        axes = panels(1, 3, (8.6, 2.6))
        result, strength, taps = self.map(), self.strengths(), self.places()
        most = max(result.abs().max().item(), 1e-12)
        signed = result.min() < 0
        plots.image(self._pixels(), axes[0], "input and taps")
        plots.image(0.5 + result / most / 2 if signed else result.clamp(0, 1), axes[1], "output everywhere")
        areas = 20 + 60 * (strength.abs() / strength.abs().max().clamp(min=1e-12))
        colours = [plots.PALETTE["kernel" if m >= 0 else "input"] for m in strength.tolist()]
        axes[0].scatter(taps[:, 1], taps[:, 0], s=areas, c=colours, edgecolors="black")
        axes[0].set(xlim=(-0.5, self.width - 0.5), ylim=(self.height - 0.5, -0.5))
        axes[2].bar(range(1, 10), strength, color=colours)
        axes[2].set(title="masks", xticks=range(1, 10), xlabel="tap")
        return plots.save(axes[0])
