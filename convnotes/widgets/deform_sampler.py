"""A deformable 3×3 kernel on an image: where a trained layer looks from each position, or where the reader says."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.geometry import output_size
from convnotes.widgets.base import PhotoWidget, panels

STEP = 1 / 256  # pixels; offsets are stored as whole numbers of it, in two bytes each
REACH = 8  # pixels; how far a tap is moved by hand
SOURCES = ("learned", "grid", "outwards", "hand")


class DeformSampler(PhotoWidget):
    """A grey image, and the nine taps of a deformable 3×3 kernel on it (v1, one input channel).

    Args:
        image: `[1, H, W]` with values in [0, 1].
        offsets: what a trained layer predicts, `[18, H_out, W_out]` in pixels, in the order of
            `convnotes.deform_conv2d`.
        weight: the layer's kernel `[3, 3]` from the image to one output.
        alt: what the image shows, for readers who do not see it.
        **state: `bias` of the output; `stride`, `padding` and `dilation` in whole pixels; `place`, the output position
            (row, column) that is looked from; `tap`, the chosen one of the nine, from 0; `source`, which offsets act:
            "learned", "grid" (0), "outwards" (each tap one more `dilation` away from the middle) or "hand", the nine
            (Δy, Δx) in `moves`, at most 8 pixels each, the same at every position.

    Raises:
        ValueError, TypeError: for anything that does not fit together.

    Example:
        >>> from convnotes.widgets import DeformSampler
        >>> widget = DeformSampler(torch.rand(1, 6, 6), torch.zeros(18, 6, 6), torch.ones(3, 3), source="outwards")
        >>> f"{widget.distance():.3f}"  # the middle tap stays, four move by 1 pixel, four by √2
        '1.073'
    """

    module = "deform_sampler"
    by_hand = "the place and the nine offsets can be changed"

    offsets = traitlets.Bytes().tag(sync=True)
    rows = traitlets.Int().tag(sync=True)
    columns = traitlets.Int().tag(sync=True)
    stride = traitlets.Int(1).tag(sync=True)
    padding = traitlets.Int(1).tag(sync=True)
    dilation = traitlets.Int(1).tag(sync=True)
    weight: traitlets.List[list[float]] = traitlets.List().tag(sync=True)
    bias = traitlets.Float(0.0).tag(sync=True)
    source = traitlets.Unicode("learned").tag(sync=True)
    moves: traitlets.List[list[float]] = traitlets.List().tag(sync=True)
    place: traitlets.List[int] = traitlets.List().tag(sync=True)
    tap = traitlets.Int(0).tag(sync=True)

    def __init__(self, image: Any, offsets: Any, weight: Any, alt: str = "A grey picture", **state: Any) -> None:
        grey = checks.picture("image", image, (1, "H", "W"))[0]
        kernel = checks.as_array(weight)
        rows, columns = output_size(grey.shape, 3, *(state.get(name, 1) for name in ("stride", "padding", "dilation")))
        shifts = checks.numbers("offsets", offsets, (18, rows, columns))
        if not np.abs(shifts).max() < 2**15 * STEP:
            raise ValueError(f"offsets must be less than {2**15 * STEP:g} pixels, got up to {np.abs(shifts).max():g}")
        super().__init__(
            grey,
            alt,
            offsets=np.round(shifts / STEP).astype("<i2").tobytes(),
            rows=rows,
            columns=columns,
            weight=kernel.tolist(),
            **({"moves": [[0.0, 0.0]] * 9, "place": [rows // 2, columns // 2]} | state),
        )

    @traitlets.validate("weight", "moves")
    def _check_numbers(self, proposal: Any) -> list[Any]:
        name = proposal["trait"].name
        shape = {"weight": (3, 3), "moves": (9, 2)}[name]
        values = checks.numbers(name, proposal["value"], shape)
        if name == "moves" and np.abs(values).max() > REACH:
            raise ValueError(f"moves must be at most {REACH} pixels, got up to {np.abs(values).max():g}")
        return values.tolist()

    @traitlets.validate("place")
    def _check_place(self, proposal: Any) -> list[int]:
        return checks.position("place", proposal["value"], self.rows, self.columns)

    @traitlets.validate("source", "tap")
    def _check_choice(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        return checks.one_of(name, value, SOURCES if name == "source" else range(9))

    def offset(self) -> torch.Tensor:
        """The offsets that act, `[18, H_out, W_out]` in pixels, as `deform_conv2d` takes them."""
        if self.source == "learned":
            stored = np.frombuffer(self.offsets, "<i2").astype(np.float64)
            return torch.from_numpy(stored).view(18, self.rows, self.columns) * STEP
        moves = torch.tensor(self.moves, dtype=torch.float64)
        if self.source != "hand":
            moves = self._taps() - self._taps()[4] if self.source == "outwards" else torch.zeros_like(moves)
        return moves.view(18, 1, 1).expand(18, self.rows, self.columns)

    def places(self) -> torch.Tensor:
        """Where the nine taps lie from `place`, `[9, 2]` as (y, x) in pixels of the image."""
        i, j = self.place
        return torch.tensor(self.place) * self.stride + self._taps() + self.offset()[:, i, j].view(9, 2)

    def _taps(self) -> torch.Tensor:
        """The plain kernel's taps from the output position (0, 0), `[9, 2]`."""
        k = torch.arange(9, dtype=torch.float64)
        return torch.stack([k // 3, k % 3], 1) * self.dilation - self.padding

    def distance(self) -> float:
        """Mean distance in pixels of the nine taps from the plain grid, at `place`."""
        i, j = self.place
        return self.offset()[:, i, j].view(9, 2).norm(dim=1).mean().item()

    def _describe(self) -> str:
        i, j = self.place
        return (
            f"picture {self.height}×{self.width}, {self.source} offsets, {self.distance():.1f} px from place ({i}, {j})"
        )

    def _alt(self) -> str:
        return (
            f"{self.alt}, with the nine places that a deformable 3×3 kernel reads for one output place, on average "
            f"{self.distance():.1f} pixels away from the plain grid."
        )

    def _picture(self) -> bytes:
        ax = panels(1, 1, (3.2 * self.width / self.height, 3.4))
        plots.image(self._pixels(), ax, "plain grid (squares) and taps (circles)")
        plain = (torch.tensor(self.place) * self.stride + self._taps()).T
        taps = self.places().T
        ax.plot(plain[1], plain[0], "s", ms=6, mfc="none", mec="white", mew=1.5)
        ax.plot(taps[1], taps[0], "o", ms=7, color=plots.PALETTE["kernel"], mec="black")
        ax.set(xlim=(-0.5, self.width - 0.5), ylim=(self.height - 0.5, -0.5))
        return plots.save(ax)
