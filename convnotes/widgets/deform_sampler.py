"""A deformable 3×3 kernel at two positions of an image: where a trained layer reads, or where the reader says."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.geometry import output_size
from convnotes.widgets.base import PhotoWidget, checking, panels

STEP = 1 / 256  # pixels; offsets are stored as whole numbers of it, in two bytes each
REACH = 12  # pixels; how far a tap is moved by hand
CHOICES = {
    "source": ("learned", "outwards", "hand"),
    "where": ("digits", "background"),
    "spot": range(2),
    "tap": range(9),
}


class DeformSampler(PhotoWidget):
    """A grey image, and the nine taps of a deformable 3×3 kernel on it at two positions (v1, one input channel).

    The taps move from the plain grid to their offsets; the nine values that they read are shown as an image of 3×3.

    Args:
        image: `[1, H, W]` with values in [0, 1].
        offsets: what a trained layer predicts, `[18, H_out, W_out]` in pixels, in the order of
            `convnotes.deform_conv2d`.
        weight: the layer's kernel `[3, 3]` from the image to one output.
        alt: what the image shows, for readers who do not see it.
        **state: `bias` of the output; `stride`, `padding` and `dilation` in whole pixels; `digits`, two output
            positions (row, column), on a small and on a large object; `background`, two off the objects; `where`,
            "digits" or "background"; `share`, from 0 (the plain grid) to 1, of the offsets; `source`, whose offsets
            act, "learned", "outwards" (each tap one more `dilation` away from the middle) or "hand", the nine
            (Δy, Δx) of both positions in `moves`, at most 12 pixels each; `spot`, 0 or 1, and `tap`, from 0 to
            8, the chosen one.

    Raises:
        ValueError, TypeError: for anything that does not fit together.

    Example:
        >>> from convnotes.widgets import DeformSampler
        >>> widget = DeformSampler(torch.rand(1, 6, 6), torch.zeros(18, 6, 6), torch.ones(3, 3), source="outwards")
        >>> widget.distances()  # all taps on the plain grid
        (0.0, 0.0)
        >>> widget.share = 1.0  # the middle tap stays, four move by 1 pixel, four by √2
        >>> f"{widget.distances()[0]:.3f}"
        '1.073'
    """

    module = "deform_sampler"
    by_hand = "the taps can be moved from the plain grid to the learned offsets, and by hand"
    precision = torch.float64

    offsets = traitlets.Bytes().tag(sync=True)
    rows = traitlets.Int().tag(sync=True)
    columns = traitlets.Int().tag(sync=True)
    stride = traitlets.Int(1).tag(sync=True)
    padding = traitlets.Int(1).tag(sync=True)
    dilation = traitlets.Int(1).tag(sync=True)
    weight: traitlets.List[list[float]] = traitlets.List().tag(sync=True)
    bias = traitlets.Float(0.0).tag(sync=True)
    digits: traitlets.List[list[int]] = traitlets.List().tag(sync=True)
    background: traitlets.List[list[int]] = traitlets.List().tag(sync=True)
    where = traitlets.Unicode("digits").tag(sync=True)
    source = traitlets.Unicode("learned").tag(sync=True)
    share = traitlets.Float(0.0).tag(sync=True)
    moves: traitlets.List[list[list[float]]] = traitlets.List().tag(sync=True)
    spot = traitlets.Int(0).tag(sync=True)
    tap = traitlets.Int(0).tag(sync=True)

    def __init__(self, image: Any, offsets: Any, weight: Any, alt: str = "A grey image", **state: Any) -> None:
        grey = checks.picture("image", image, (1, "H", "W"))[0]
        kernel = checks.as_array(weight)
        rows, columns = output_size(grey.shape, 3, *(state.get(name, 1) for name in ("stride", "padding", "dilation")))
        shifts = checks.numbers("offsets", offsets, (18, rows, columns))
        if not np.abs(shifts).max() < 2**15 * STEP:
            raise ValueError(f"offsets must be less than {2**15 * STEP:g} pixels, got up to {np.abs(shifts).max():g}")
        corners, middles = [[0, 0], [rows - 1, columns - 1]], [[rows // 3, columns // 3], [rows // 2, columns // 2]]
        super().__init__(
            grey,
            alt,
            offsets=np.round(shifts / STEP).astype("<i2").tobytes(),
            rows=rows,
            columns=columns,
            weight=kernel.tolist(),
            **({"moves": [[[0.0, 0.0]] * 9] * 2, "digits": middles, "background": corners} | state),
        )

    @checking("weight", "moves")
    def _check_numbers(self, name: str, value: Any) -> list[Any]:
        shape = {"weight": (3, 3), "moves": (2, 9, 2)}[name]
        values = checks.numbers(name, value, shape)
        if name == "moves" and np.abs(values).max() > REACH:
            raise ValueError(f"moves must be at most {REACH} pixels, got up to {np.abs(values).max():g}")
        return values.tolist()

    @checking("digits", "background")
    def _check_positions(self, name: str, positions: Any) -> list[list[int]]:
        if len(positions) != 2:
            raise ValueError(f"{name} must hold 2 positions, got {positions!r}")
        return [checks.position(f"{name}[{n}]", at, self.rows, self.columns) for n, at in enumerate(positions)]

    _check_share = checking("share")(lambda _, name, value: checks.number(name, value, "[0, 1]"))

    _check_choice = checking(*CHOICES)(lambda _, name, value: checks.one_of(name, value, CHOICES[name]))

    def spots(self) -> list[list[int]]:
        """The two output positions (row, column) that are shown."""
        return self.digits if self.where == "digits" else self.background

    def offset(self) -> torch.Tensor:
        """The offsets that act, `[18, H_out, W_out]` in pixels, as `deform_conv2d` takes them.

        Those of "hand" act at the two positions alone.
        """
        offset = torch.zeros(18, self.rows, self.columns, dtype=torch.float64)
        if self.source == "learned":
            stored = np.frombuffer(self.offsets, "<i2").astype(np.float64)
            offset += torch.from_numpy(stored).view_as(offset) * STEP
        elif self.source == "outwards":
            offset += (self._taps() - self._taps()[4]).view(18, 1, 1)
        else:
            for (i, j), moves in zip(self.spots(), self.moves, strict=True):
                offset[:, i, j] = torch.tensor(moves, dtype=torch.float64).flatten()
        return offset * self.share

    def places(self) -> torch.Tensor:
        """Where the nine taps of the two positions lie, `[2, 9, 2]` as (y, x) in pixels of the image."""
        return torch.tensor(self.spots())[:, None] * self.stride + self._taps() + self._shifts()

    def readings(self) -> torch.Tensor:
        """What the nine taps of the two positions read, `[2, 9]`; outside the image 0."""
        sides = torch.tensor([self.height, self.width])
        at = (2 * self.places() + 1) / sides - 1
        pixels = self._pixels()[None, None]
        return torch.nn.functional.grid_sample(pixels, at.flip(-1)[None], align_corners=False)[0, 0]

    def distances(self) -> tuple[float, float]:
        """Mean distance in pixels of the nine taps from the plain grid, at the two positions."""
        first, second = self._shifts().norm(dim=2).mean(1).tolist()
        return first, second

    def _shifts(self) -> torch.Tensor:
        """The offsets of the two positions, `[2, 9, 2]`."""
        return torch.stack([self.offset()[:, i, j].view(9, 2) for i, j in self.spots()])

    def _taps(self) -> torch.Tensor:
        """The plain kernel's taps from the output position (0, 0), `[9, 2]`."""
        k = torch.arange(9, dtype=torch.float64)
        return torch.stack([k // 3, k % 3], 1) * self.dilation - self.padding

    def _far(self) -> str:
        return " and ".join(f"{distance:.1f}" for distance in self.distances())

    def _describe(self) -> str:
        return f"image {self.height}×{self.width}, {self.source} offsets × {self.share:g}, {self._far()} px"

    def _alt(self) -> str:
        return (
            f"{self.alt}, with the nine taps of a deformable 3×3 kernel at two positions, on average {self._far()} "
            "pixels away from the plain grid, and the nine values that they read as images of 3×3 pixels."
        )

    def _picture(self) -> bytes:
        axes = panels(1, 4, (8.6, 2.7), width_ratios=(2, 1, 2, 1))
        plain = torch.tensor(self.spots())[:, None] * self.stride + self._taps()
        for n, (taps, squares, values) in enumerate(zip(self.places(), plain, self.readings(), strict=True)):
            ax, thumbnail = axes[2 * n], axes[2 * n + 1]
            plots.image(self._pixels(), ax, "plain grid (squares)\nand taps (rings)")
            ax.plot(squares[:, 1], squares[:, 0], "s", ms=6, mfc="none", mec=plots.INK["dark"]["input"], mew=1.5)
            ax.plot(taps[:, 1], taps[:, 0], "o", ms=7, mfc="none", mec=plots.PALETTE["kernel"], mew=2)
            ax.set(xlim=(-0.5, self.width - 0.5), ylim=(self.height - 0.5, -0.5))
            plots.image(values.view(1, 3, 3).clamp(0, 1), thumbnail, "nine readings")
        return plots.save(axes[0])
