"""How many multiplications five ways to compute one convolution take, and how many numbers they store."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking, panels

WAYS = ("direct sum", "matrix product", "FFT", "Winograd 2×2", "Winograd 4×4")
_TILES = {"Winograd 2×2": 2, "Winograd 4×4": 4}
_WIDEST = 8  # pixels of a Winograd tile of the input; wider ones lose too many digits of float32
_SIZE, _KERNEL = (4, 224), (1, 15)
_POWERS = {"channels": 512, "images": 64}


class Count(NamedTuple):
    """Multiplications of real numbers, and numbers stored beside input, weights and output."""

    multiplications: int
    memory: int


class ConvAlgorithms(Widget):
    """Multiplications and memory of a k×k convolution of stride 1 that keeps its size, computed in five ways.

    The direct sum, one matrix product of all patches (im2col), the Fourier transform, and Winograd's tiles of 2×2 and
    4×4 outputs. An FFT of N real numbers is counted as N·log2(N) multiplications on a side that is a power of two, a
    complex product as four, and the transforms of a Winograd tile as products of matrices without zeros.

    Args:
        **state: `kernel`, k, odd, 1 to 15; `size`, pixels per side, 4 to 224; `channels`, of input and output, a power
            of two up to 512; `images`, a power of two up to 64; `prepared`, whether the kernels are transformed
            beforehand, as in a trained network, so that it does not count.

    Raises:
        ValueError, TypeError: for anything else.

    Example:
        >>> from convnotes.widgets import ConvAlgorithms
        >>> counts = ConvAlgorithms(kernel=3, size=4, channels=1, images=1).counts()
        >>> counts["direct sum"].multiplications, counts["matrix product"].memory
        (144, 144)
    """

    module = "conv_algorithms"
    by_hand = "kernel, map, channels and images can be changed"

    kernel = traitlets.Int(3).tag(sync=True)
    size = traitlets.Int(56).tag(sync=True)
    channels = traitlets.Int(64).tag(sync=True)
    images = traitlets.Int(1).tag(sync=True)
    prepared = traitlets.Bool(True).tag(sync=True)

    _check_kernel = checking("kernel")(lambda _, name, value: checks.whole(name, value, *_KERNEL, odd=True))
    _check_size = checking("size")(lambda _, name, value: checks.whole(name, value, *_SIZE))

    @checking("channels", "images")
    def _check_power(self, name: str, value: Any) -> int:
        checks.whole(name, value, 1, _POWERS[name])
        if value & (value - 1):
            raise ValueError(f"{name} must be a power of two, got {value}")
        return int(value)

    def counts(self) -> dict[str, Count | None]:
        """The count of each way; None for a Winograd tile of the input wider than 8 pixels."""
        k, n, C, B = self.kernel, self.size, self.channels, self.images
        direct = B * C * C * k**2 * n**2
        side = 2 ** math.ceil(math.log2(n + k - 1))  # of the padded image
        half = side * (side // 2 + 1)  # complex numbers of a real transform
        transforms = 2 * B * C + (0 if self.prepared else C * C)
        found: dict[str, Count | None] = {
            "direct sum": Count(direct, 0),
            "matrix product": Count(direct, 0 if k == 1 else B * C * k**2 * n**2),  # 1×1: the image is the matrix
            "FFT": Count(
                transforms * 2 * side**2 * int(math.log2(side)) + 4 * B * C * C * half,
                2 * half * (2 * B * C + C * C),
            ),
        }
        for name, m in _TILES.items():
            t, tiles = m + k - 1, B * math.ceil(n / m) ** 2
            kernels = 0 if self.prepared else C * C * (t * k * k + t * t * k)
            multiplications = C * C * tiles * t**2 + C * tiles * (2 * t**3 + m * t**2 + m**2 * t) + kernels
            stored = t**2 * (2 * C * tiles + C * C)
            found[name] = Count(multiplications, stored) if t <= _WIDEST else None
        return found

    def _describe(self) -> str:
        k, n = self.kernel, self.size
        return f"{k}×{k} kernel, {n}×{n} pixels, {self.channels} channels, {self.images} images"

    def _alt(self) -> str:
        parts = [
            f"{name} {count.multiplications:,} multiplications, {count.memory:,} numbers stored" if count else ""
            for name, count in self.counts().items()
        ]
        return "; ".join(filter(None, parts)) + "."

    def _picture(self) -> bytes:
        axes = panels(1, 2, (8.6, 2.6))
        counts = {name: count for name, count in self.counts().items() if count}
        least = min(count.multiplications for count in counts.values())
        for ax, field in zip(axes, Count._fields, strict=True):
            values = [getattr(count, field) / 1e6 for count in counts.values()]
            colours = [
                plots.PALETTE["kernel"] if count.multiplications == least else plots.PALETTE["grey"]
                for count in counts.values()
            ]
            ax.barh(list(counts), values, color=colours)
            ax.invert_yaxis()
            ax.set(xlabel=f"{'multiplications' if field == 'multiplications' else 'numbers stored'}, M")
        return plots.save(axes[0])
