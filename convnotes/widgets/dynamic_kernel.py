"""A kernel that is mixed from a few others: always alike, by what the whole image is like, or at each position."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from torch import Tensor

from convnotes import checks, plots
from convnotes.widgets.base import PhotoWidget, checking, panels

MODES = ("fixed", "image", "position")
NOISIEST = 0.2  # the largest standard deviation of the noise
HOTTEST = 30  # the largest temperature
SLOPES, STARTS = (-120.0, 0.0, 60.0), (5.0, 0.0, -6.0)  # of the router, by kernel
EDGE = 0.03  # the slope per pixel at which half of a kernel is round and half runs along the edge
_LIGHTNESS = torch.tensor([0.299, 0.587, 0.114])
_REACH = 2  # taps on either side of the middle


def _bell(along: float, across: float | None = None, angle: float = 0.0) -> Tensor:
    """A blur `[5, 5]`, a bell of these standard deviations along the angle (0: along a row) and at right angles."""
    t = torch.arange(-_REACH, _REACH + 1, dtype=torch.float64)
    y, x = torch.meshgrid(t, t, indexing="ij")
    c, s = np.cos(angle), np.sin(angle)
    k = (-(((x * c + y * s) / along) ** 2 + ((y * c - x * s) / (across or along)) ** 2) / 2).exp()
    return k / k.sum()


def _still() -> Tensor:
    k = torch.zeros(5, 5, dtype=torch.float64)
    k[_REACH, _REACH] = 1
    return k


EXPERTS = torch.stack([_still(), _bell(0.7), _bell(1.6)])  # "keep", "narrow", "wide"
PARTS = torch.stack(  # "round", then along the column, along the row, up to the right, down to the right
    [_bell(1.6), *(_bell(1.2, 0.4, angle) for angle in (np.pi / 2, 0.0, -np.pi / 4, np.pi / 4))]
)


class DynamicKernel(PhotoWidget):
    """Noisy photographs under a 5×5 kernel that is fixed, chosen for each image, or made at each position.

    The fixed kernel is the mean of three: one that keeps the image, a narrow blur and a wide one. Per image the three
    are mixed as in `convnotes.DynamicConv2d`, by how rough the image is on average. Per position a round blur and four
    blurs along an edge are mixed as in `convnotes.Involution2d`, by what an earlier layer found there. All weights are
    made by hand. Outside the photograph the nearest pixel of its border is read.

    Args:
        images: photographs `[P, 3, H, W]` with values in [0, 1], of which the lightness is shown.
        captions: one text per photograph.
        **state: `mode`, "fixed", "image" or "position"; `picture`, the number of the photograph; `noise`, the standard
            deviation of what is added to it, in [0, 0.2]; `temperature` of the softmax per image, in [1, 30]; `probe`,
            the pixel (row, column) whose kernel is shown; `links`.

    Raises:
        ValueError, TypeError: for anything else than photographs with their captions, and for a state out of range.

    Example:
        >>> from convnotes.widgets import DynamicKernel
        >>> widget = DynamicKernel(torch.rand(1, 3, 8, 8), ["noise"], mode="fixed")
        >>> widget.shares().flatten()
        tensor([0.3333, 0.3333, 0.3333], dtype=torch.float64)
    """

    module = "dynamic_kernel"
    by_hand = "the noise, the image, the kind of kernel and the marked position can be changed"
    precision = torch.float64

    captions = traitlets.List(traitlets.Unicode()).tag(sync=True)
    mode = traitlets.Unicode("fixed").tag(sync=True)
    picture = traitlets.Int(0).tag(sync=True)
    noise = traitlets.Float(0.1).tag(sync=True)
    temperature = traitlets.Float(1.0).tag(sync=True)
    probe: traitlets.List[int] = traitlets.List().tag(sync=True)

    def __init__(self, images: Any, captions: Sequence[str], **state: Any) -> None:
        colours = checks.picture("images", images, ("P", 3, "H", "W"))
        if len(captions) != len(colours):
            raise ValueError(f"captions must name each of the {len(colours)} images, got {len(captions)}")
        height, width = colours.shape[2:]
        grey = torch.einsum("c,pchw->phw", _LIGHTNESS, torch.from_numpy(colours).float()).round().to(torch.uint8)
        start = {"probe": [height // 2, width // 2]} | state
        super().__init__(grey.numpy(), captions[0], captions=list(captions), **start)

    _check_mode = checking("mode")(lambda _, name, value: checks.one_of(name, value, MODES))

    _check_picture = checking("picture")(lambda self, name, value: checks.whole(name, value, 0, len(self.captions) - 1))

    _check_noise = checking("noise")(lambda _, name, value: checks.number(name, value, f"[0, {NOISIEST}]"))

    _check_temperature = checking("temperature")(lambda _, name, value: checks.number(name, value, f"[1, {HOTTEST}]"))

    def photo(self) -> Tensor:
        """The photograph without noise, `[H, W]`."""
        return self._pixels().view(-1, self.height, self.width)[self.picture]

    def seen(self) -> Tensor:
        """The photograph with noise, `[H, W]`."""
        return self.photo() + self.noise * _noise(self.height * self.width).view(self.height, self.width)

    def channels(self) -> Tensor:
        """What an earlier layer found, `[5, H, W]`: the roughness, and the shares of edges in four directions.

        The roughness of a pixel is its distance from the mean of its four neighbours.
        """
        x = self.seen()
        cross = torch.tensor([[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]], dtype=torch.float64)
        slope = torch.tensor([[0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]], dtype=torch.float64)
        smooth = _filtered(x, _bell(1.2))
        across, down = _filtered(smooth, slope), _filtered(smooth, slope.T)
        falling, rising = (across + down) / 2**0.5, (across - down) / 2**0.5  # slopes
        gx, gy, gf, gr = across.abs(), down.abs(), falling.abs(), rising.abs()
        leads = torch.stack([gx - gy, gy - gx, gf - gr, gr - gf]).clamp(min=0)
        total = leads.sum(0)
        square = gx.square() + gy.square()
        edges = leads / torch.where(total > 0, total, 1.0) * square / (square + EDGE**2)
        return torch.cat([(x - _filtered(x, cross)).abs()[None], edges])

    def kernels(self) -> Tensor:
        """The kernels that are mixed, `[E, 5, 5]`."""
        return PARTS if self.mode == "position" else EXPERTS

    def shares(self) -> Tensor:
        """The share of each kernel: `[E, 1, 1]`, the same everywhere, or `[E, H, W]`."""
        rough, *edges = self.channels()
        if self.mode == "position":
            along = torch.stack(edges)
            return torch.cat([1 - along.sum(0, keepdim=True), along])
        if self.mode == "fixed":
            return torch.full((len(EXPERTS), 1, 1), 1 / len(EXPERTS), dtype=torch.float64)
        scores = torch.tensor(SLOPES, dtype=torch.float64) * rough.mean() + torch.tensor(STARTS, dtype=torch.float64)
        return torch.softmax(scores / self.temperature, 0)[:, None, None]

    def kernel(self) -> Tensor:
        """The mixture at the marked position, `[5, 5]`."""
        row, column = self.probe
        shares = self.shares().expand(-1, self.height, self.width)
        return torch.einsum("e,euv->uv", shares[:, row, column], self.kernels())

    def output(self) -> Tensor:
        """What the mixed kernels give, `[H, W]`."""
        x = self.seen()
        return (self.shares() * torch.stack([_filtered(x, k) for k in self.kernels()])).sum(0)

    def error(self) -> float:
        """The root of the mean squared difference between the output and the photograph without noise."""
        return (self.output() - self.photo()).square().mean().sqrt().item()

    def _describe(self) -> str:
        kind = {"fixed": "a fixed kernel", "image": "a kernel per image", "position": "a kernel per position"}
        return f"{kind[self.mode]}, noise {self.noise:g}"

    def _alt(self) -> str:
        kind = {"fixed": "a fixed kernel", "image": "a kernel for this image", "position": "a kernel per position"}
        return (
            f"{self.captions[self.picture]} in grey, with noise of standard deviation {self.noise:g}, and what "
            f"{kind[self.mode]} makes of it: an error of {self.error():.3f} is left."
        )

    def _picture(self) -> bytes:
        axes = panels(1, 3, (8.6, 2.6), width_ratios=(1.5, 1.5, 1))
        for ax, pixels, title in zip(axes, (self.seen(), self.output()), ("input", "output"), strict=False):
            plots.image(pixels.clamp(0, 1), ax, title)
            ax.plot(self.probe[1], self.probe[0], "o", ms=9, mfc="none", mec=plots.PALETTE["kernel"], mew=2)
        plots.kernel(self.kernel().round(decimals=2), axes[2], "kernel at the ring")
        return plots.save(axes[0])


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """The kernel on `[H, W]`; outside it the nearest value is read."""
    padded = F.pad(x[None, None], [kernel.shape[0] // 2] * 4, mode="replicate")
    return F.conv2d(padded, kernel[None, None])[0, 0]


@functools.cache
def _noise(count: int) -> Tensor:
    """Noise of mean 0 and standard deviation 1, each a sum of three random numbers: those of `kit/numbers.js`."""
    state, drawn = 1, []
    for _ in range(3 * count):
        state = (state * 1664525 + 1013904223) % 2**32
        drawn.append(state / 2**32)
    return 2 * (torch.tensor(drawn, dtype=torch.float64).view(count, 3).sum(1) - 1.5)
