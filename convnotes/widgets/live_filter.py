"""A kernel whose taps are edited by hand, what it makes of a photograph, and which waves it lets through."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import PhotoWidget, panels

SOBEL_X = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
_LIGHTNESS = torch.tensor([0.299, 0.587, 0.114])
_MOST = 99  # a tap's largest size


class LiveFilter(PhotoWidget):
    """The lightness of a photograph, filtered by a kernel with zero padding.

    Args:
        image: a photograph `[3, H, W]` with values in [0, 1].
        alt: what the photograph shows, for readers who do not see it.
        **state: `kernel`, 1, 3, 5 or 7 rows of 1, 3, 5 or 7 taps; `normalise`, whether they are divided by the sum of
            their absolute values; `absolute`, whether the output is shown without its sign; `probe`, the pixel (row,
            column) whose sum is written out.

    Raises:
        ValueError: for anything else than a photograph, such a kernel and a pixel of the photograph.

    Example:
        >>> from convnotes.widgets import LiveFilter
        >>> widget = LiveFilter(torch.rand(3, 8, 8), kernel=[[1, 2, 1]])
        >>> widget.taps()
        tensor([[0.2500, 0.5000, 0.2500]], dtype=torch.float64)
    """

    module = "live_filter"
    by_hand = "every tap can be changed"
    precision = torch.float64

    kernel: traitlets.List[list[float]] = traitlets.List().tag(sync=True)
    normalise = traitlets.Bool(True).tag(sync=True)
    absolute = traitlets.Bool(False).tag(sync=True)
    start: traitlets.List[int] = traitlets.List().tag(sync=True)
    probe: traitlets.List[int] = traitlets.List().tag(sync=True)

    def __init__(self, image: Any, alt: str = "A photograph", **state: Any) -> None:
        colours = checks.picture("image", image, (3, "H", "W"))
        height, width = colours.shape[1:]
        grey = (_LIGHTNESS @ torch.from_numpy(colours).view(3, -1).float()).round().to(torch.uint8)
        place = state.pop("probe", [height // 2, width // 2])
        start = {"kernel": SOBEL_X, "start": list(place), "probe": list(place)} | state
        super().__init__(grey.view(height, width).numpy(), alt, **start)

    @traitlets.validate("kernel")
    def _check_kernel(self, proposal: Any) -> list[list[float]]:
        rows, sides = proposal["value"], (1, 3, 5, 7)
        if not np.abs(checks.numbers("kernel", rows, (sides, sides))).max() <= _MOST:
            raise ValueError(f"the taps of kernel must lie in [−{_MOST}, {_MOST}], got {rows!r}")
        return [list(row) for row in rows]

    def taps(self) -> torch.Tensor:
        """The kernel that is used, `[KH, KW]`, normalised if that is asked for."""
        kernel = torch.tensor(self.kernel, dtype=torch.float64)
        size = kernel.abs().sum()
        return kernel / size if self.normalise and size > 0 else kernel

    def output(self) -> torch.Tensor:
        """What the kernel makes of the lightness, `[H, W]`."""
        kernel = self.taps()
        padding = [side // 2 for side in kernel.shape]
        y = torch.nn.functional.conv2d(self._pixels()[None, None], kernel[None, None], padding=padding)[0, 0]
        return y.abs() if self.absolute else y

    def spectrum(self, n: int = 64) -> torch.Tensor:
        """The absolute value of ŵ at n×n frequencies from −1/2 to 1/2 cycles per pixel, `[n, n]`; 0 lies at n/2."""
        return torch.fft.fftshift(torch.fft.fft2(self.taps(), s=(n, n)).abs())

    def _size(self) -> str:
        return f"{len(self.kernel)}×{len(self.kernel[0])}"

    def _describe(self) -> str:
        return f"image {self.height}×{self.width}, kernel {self._size()}"

    def _alt(self) -> str:
        return f"{self.alt} in grey, what a kernel of {self._size()} taps makes of it, and the kernel's spectrum."

    def _picture(self) -> bytes:
        axes = panels(1, 4, (11, 2.9), width_ratios=(1, 1.5, 1.7, 1.2))
        plots.kernel(torch.tensor(self.kernel), axes[0], "kernel")
        plots.image(self._pixels(), axes[1], "input")
        plots.signed(self.output(), axes[2], "output")
        gains = self.spectrum()
        logarithm = torch.log10((gains / gains.max().clamp(min=1e-12)).clamp(min=1e-2))
        plots.heat(logarithm, axes[3], "spectrum", label="log₁₀ of |ŵ| / largest")
        return plots.save(axes[0])
