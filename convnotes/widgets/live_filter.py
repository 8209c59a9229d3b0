"""A kernel whose size, shape and taps are changed, what it makes of a photograph, and which waves it passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import PhotoWidget, checking, panels

KINDS = ("blur", "derivative", "centre-surround", "hand")
SHAPES = ("square", "row", "column")
SOBEL_X = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
_LIGHTNESS = torch.tensor([0.299, 0.587, 0.114])
_LEAST, _LARGEST = 3, 15  # the size of a kernel, odd
_MOST = 99  # a tap's largest size


class LiveFilter(PhotoWidget):
    """The lightness of a photograph, filtered by a kernel of a chosen size, shape and kind.

    The kernels grow with their size: a blur is a bell, a derivative a slope under one, a centre-surround kernel a
    narrow bell less a wide one. Outside the photograph the nearest pixel of its border is read.

    Args:
        image: a photograph `[3, H, W]` with values in [0, 1].
        alt: what the photograph shows, for readers who do not see it.
        **state: `kind`, "blur", "derivative", "centre-surround" or "hand"; `size`, odd, 3 to 15; `shape`, "square",
            "row" (one row of taps) or "column", whose derivative runs down; `kernel`, the taps of "hand", 1, 3, 5 or 7
            rows of 1, 3, 5 or 7; `probe`, the pixel (row, column) whose sum is written out.

    Raises:
        ValueError, TypeError: for anything else than a photograph, such a kernel and a pixel of the photograph.

    Example:
        >>> from convnotes.widgets import LiveFilter
        >>> widget = LiveFilter(torch.rand(3, 8, 8), kind="derivative", size=3, shape="row")
        >>> widget.taps()
        tensor([[-0.5000,  0.0000,  0.5000]], dtype=torch.float64)
    """

    module = "live_filter"
    by_hand = "kind, size and shape can be chosen and every tap can be changed"
    precision = torch.float64

    kind = traitlets.Unicode("derivative").tag(sync=True)
    size = traitlets.Int(3).tag(sync=True)
    shape = traitlets.Unicode("square").tag(sync=True)
    kernel: traitlets.List[list[float]] = traitlets.List().tag(sync=True)
    probe: traitlets.List[int] = traitlets.List().tag(sync=True)

    def __init__(self, image: Any, alt: str = "A photograph", **state: Any) -> None:
        colours = checks.picture("image", image, (3, "H", "W"))
        height, width = colours.shape[1:]
        grey = (_LIGHTNESS @ torch.from_numpy(colours).view(3, -1).float()).round().to(torch.uint8)
        start = {"kernel": SOBEL_X, "probe": [height // 2, width // 2]} | state
        super().__init__(grey.view(height, width).numpy(), alt, **start)

    @checking("kind", "shape")
    def _check_choice(self, name: str, value: Any) -> str:
        return checks.one_of(name, value, KINDS if name == "kind" else SHAPES)

    _check_size = checking("size")(lambda _, name, value: checks.whole(name, value, _LEAST, _LARGEST, odd=True))

    @checking("kernel")
    def _check_kernel(self, name: str, rows: Any) -> list[list[float]]:
        sides = (1, 3, 5, 7)
        if not np.abs(checks.numbers(name, rows, (sides, sides))).max() <= _MOST:
            raise ValueError(f"the taps of kernel must lie in [−{_MOST}, {_MOST}], got {rows!r}")
        return [list(row) for row in rows]

    def taps(self) -> torch.Tensor:
        """The kernel that is used, `[KH, KW]`."""
        if self.kind == "hand":
            return torch.tensor(self.kernel, dtype=torch.float64)
        t = torch.arange(self.size, dtype=torch.float64) - self.size // 2
        small, wide = (bell / bell.sum() for bell in (torch.exp(-((t / (self.size / n)) ** 2) / 2) for n in (9, 4)))
        slope = t * wide / (t.abs() * wide).sum()
        if self.kind == "blur":
            return self._shaped(wide, wide)
        if self.kind == "derivative":
            return self._shaped(wide, slope)
        return self._shaped(small, small) - self._shaped(wide, wide)

    def _shaped(self, other: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
        """One line of taps along the shape, or as many as it has taps, weighted by `other`."""
        if self.shape == "square":
            return torch.outer(other, along)
        return along[None] if self.shape == "row" else along[:, None]

    def output(self) -> torch.Tensor:
        """What the kernel makes of the lightness, `[H, W]`."""
        kernel = self.taps()
        down, across = (side // 2 for side in kernel.shape)
        x = torch.nn.functional.pad(self._pixels()[None, None], (across, across, down, down), mode="replicate")
        return torch.nn.functional.conv2d(x, kernel[None, None])[0, 0]

    def gain(self, wavelength: float, down: bool = False) -> float:
        """The factor by which the kernel multiplies a wave of so many pixels that runs across, or `down`."""
        line = self.taps().sum(1 if down else 0)
        phase = torch.arange(len(line), dtype=torch.float64) * (
            2 * torch.pi / checks.number("wavelength", wavelength, "[2, inf]")
        )
        return torch.complex((line * phase.cos()).sum(), (line * phase.sin()).sum()).abs().item()

    def _size(self) -> str:
        return "×".join(map(str, self.taps().shape))

    def _describe(self) -> str:
        return f"image {self.height}×{self.width}, {self.kind} kernel {self._size()}"

    def _alt(self) -> str:
        return (
            f"{self.alt} in grey, what a {self.kind} kernel of {self._size()} taps makes of it, and how much of each "
            "wave the kernel passes."
        )

    def _picture(self) -> bytes:
        axes = panels(1, 4, (8.6, 2.6), width_ratios=(1.3, 1.5, 1.7, 1.4))
        plots.kernel(self.taps().round(decimals=2), axes[0], "kernel")
        plots.image(self._pixels(), axes[1], "input")
        plots.signed(self.output(), axes[2], "output")
        waves = np.geomspace(2, 64, 121)
        axes[3].semilogx(waves, [self.gain(wave) for wave in waves], base=2, color=plots.INK["light"]["kernel"])
        axes[3].set(title="spectrum", xlabel="wavelength in pixels", ylabel="gain of waves across")
        return plots.save(axes[0])
