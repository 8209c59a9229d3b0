"""Two networks, a few large kernels or many small ones, and which pixels of a photograph matter to one output."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import PhotoWidget, checking, panels

CHANNELS = (16, 32, 64, 128, 256, 512)
HELD = 0.95  # the share of the influence that the square holds
POSITIONS = 56 * 56  # of the map that multiply-adds are counted for
NAMES = ("A", "B")
_LIMITS: dict[str, dict[str, Any]] = {
    "kernel_sizes": {"least": 3, "most": 51, "odd": True},
    "depths": {"most": 72},
    "dilations": {"most": 15},
}
_DIM = 0.2  # how bright a pixel without influence stays


class EffectiveField(PhotoWidget):
    """A photograph, each pixel as bright as its influence on one output, for two networks A and B side by side.

    A network has n layers, each of a depthwise kernel of K×K and a 1×1 kernel. The influence is the expected square of
    the gradient for independent random weights of mean 0, without nonlinearities. A layer with a shortcut adds its
    input, and what it adds has the variance of that input.

    Args:
        image: a photograph `[3, H, W]` with values in [0, 1].
        alt: what the photograph shows, for readers who do not see it.
        **state: of A and of B: `kernel_sizes`, odd, 3 to 51; `depths`, the number of layers, 1 to 72; `dilations`, 1 to
            15. Of both: `channels`, 16, 32, 64, 128, 256 or 512, for the costs; `residual`, whether there are
            shortcuts; `probe`, the pixel (row, column) at which the output lies.

    Raises:
        ValueError, TypeError: for anything else than a photograph, such networks and a pixel of the photograph.

    Example:
        >>> from convnotes.widgets import EffectiveField
        >>> widget = EffectiveField(torch.rand(3, 40, 40), kernel_sizes=[31, 3], depths=[1, 15])
        >>> [widget.receptive_field(n) for n in (0, 1)], [widget.square(n) for n in (0, 1)]
        ([31, 31], [31, 15])
    """

    module = "effective_field"
    by_hand = "sizes, layers, dilations and shortcuts can be changed, and the output can be moved"
    precision = torch.float64

    kernel_sizes: traitlets.List[int] = traitlets.List([31, 3]).tag(sync=True)
    depths: traitlets.List[int] = traitlets.List([1, 15]).tag(sync=True)
    dilations: traitlets.List[int] = traitlets.List([1, 1]).tag(sync=True)
    channels = traitlets.Int(64).tag(sync=True)
    residual = traitlets.Bool(False).tag(sync=True)
    probe: traitlets.List[int] = traitlets.List().tag(sync=True)

    def __init__(self, image: Any, alt: str = "A photograph", **state: Any) -> None:
        colours = checks.picture("image", image, (3, "H", "W"))
        height, width = colours.shape[1:]
        super().__init__(colours, alt, **({"probe": [height // 2, width // 2]} | state))

    @checking(*_LIMITS)
    def _check_sizes(self, name: str, value: Any) -> list[int]:
        return list(checks.wholes(name, value, 2, **_LIMITS[name]))

    _check_channels = checking("channels")(lambda _, name, value: checks.one_of(name, value, CHANNELS))

    def receptive_field(self, which: int) -> int:
        """The side of the receptive field of network A (0) or B (1) in pixels."""
        return 1 + self.depths[which] * (self.kernel_sizes[which] - 1) * self.dilations[which]

    def influence(self, which: int) -> np.ndarray:
        """The influence of each pixel of the photograph on the output, float64 `[H, W]`.

        That of all pixels of a plane without borders adds to 1.
        """
        row, column = self.probe
        total: np.ndarray = np.zeros((self.height, self.width))
        for share, line in self._parts(which):
            down, across = (_window(line, at, side) for at, side in ((row, self.height), (column, self.width)))
            total += share * np.outer(down, across)
        return total

    def square(self, which: int) -> int:
        """The side of the smallest square around the output that holds 95% of the influence."""
        reach = self.receptive_field(which) // 2
        held = np.zeros(reach + 1)
        for share, line in self._parts(which):
            middle = len(line) // 2
            rings = line[middle:] + line[middle::-1]
            rings[0] /= 2
            inside = np.ones(reach + 1)
            inside[: middle + 1] = rings.cumsum()
            held += share * inside**2
        return 2 * int(np.argmax(held >= HELD - 1e-9)) + 1

    def parameters(self, which: int) -> int:
        """The weights of network A (0) or B (1)."""
        return self.depths[which] * self.channels * (self.kernel_sizes[which] ** 2 + self.channels)

    def macs(self, which: int) -> int:
        """The multiply-adds of network A (0) or B (1) on a map of 56×56 positions."""
        return POSITIONS * self.parameters(which)

    def _parts(self, which: int) -> Iterator[tuple[float, np.ndarray]]:
        """(share, influence along an axis) of the paths through m kernels: all m with shortcuts, else m = n alone."""
        K, n, d = self.kernel_sizes[which], self.depths[which], self.dilations[which]
        line = np.ones(1)
        for m in range(n + 1):
            if m:
                longer = np.zeros(len(line) + (K - 1) * d)
                for tap in range(K):
                    longer[tap * d : tap * d + len(line)] += line / K
                line = longer
            if self.residual or m == n:
                yield math.comb(n, m) / 2**n if self.residual else 1.0, line

    def _words(self, which: int) -> str:
        K, n, d = self.kernel_sizes[which], self.depths[which], self.dilations[which]
        return f"{n} layer{'s' * (n > 1)} of {K}×{K}{f' of dilation {d}' if d > 1 else ''}"

    def _describe(self) -> str:
        added = ", with shortcuts" if self.residual else ""
        return f"image {self.height}×{self.width}, A {self._words(0)}, B {self._words(1)}{added}"

    def _alt(self) -> str:
        held = (
            f"of {NAMES[n]}, {self._words(n)}, {self.square(n)}×{self.square(n)} pixels of a receptive field of "
            f"{self.receptive_field(n)}×{self.receptive_field(n)}"
            for n in (0, 1)
        )
        return f"{self.alt}, lit by the influence on one output; 95% of it lies {'; '.join(held)}."

    def _picture(self) -> bytes:
        axes = panels(1, 2, (8.6, 3.1))
        row, column = self.probe
        for which, ax in enumerate(axes):
            map_ = self.influence(which)
            others = map_.copy()
            others[row, column] = 0  # with shortcuts far more than all others: it does not set the scale
            plots.image(self._pixels().numpy() * (_DIM + (1 - _DIM) * (map_ / (others.max() or 1)).clip(0, 1)), ax)
            ax.set_title(f"{NAMES[which]}: {self._words(which)}")
            sides = ((self.receptive_field(which), "input", "-"), (self.square(which), "kernel", "--"))
            for side, colour, line in sides:
                low, high = -side / 2, side / 2
                xs, ys = np.array([low, high, high, low, low]), np.array([low, low, high, high, low])
                ax.plot(column + xs, row + ys, line, color=plots.INK["dark"][colour], lw=2)
            ax.set(xlim=(-0.5, self.width - 0.5), ylim=(self.height - 0.5, -0.5))
        return plots.save(axes[0])


def _window(line: np.ndarray, at: int, side: int) -> np.ndarray:
    """The values of a line, whose middle lies at `at`, for the pixels from 0 to `side` − 1; 0 beyond its ends."""
    place = np.arange(side) - at + len(line) // 2
    inside = (place >= 0) & (place < len(line))
    found: np.ndarray = np.where(inside, line[place.clip(0, len(line) - 1)], 0)
    return found
