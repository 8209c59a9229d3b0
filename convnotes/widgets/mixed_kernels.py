"""Kernels of three sizes on one image that is enlarged: which of them answers, and what a layer of them costs."""

from __future__ import annotations

from typing import Any

import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking, panels

SIZES = (3, 5, 7)
WINDOW = 33  # side of the middle of the enlarged image, which is shown
LARGEST = 129  # side of the image at its largest
MOST = 4  # parts of one size
STEP = 4  # from one side to the next
DEEPEST = 0.3  # the response of the deepest colour; a white square on black gives 1
SIDES = tuple(range(WINDOW, LARGEST + 1, STEP))


def centre_surround(size: int) -> torch.Tensor:
    """The mean of the inner (k − 2)×(k − 2) taps minus the mean of the ring around them, as a kernel `[k, k]`."""
    kernel = torch.full((size, size), -1 / (4 * (size - 1)), dtype=torch.float64)
    kernel[1:-1, 1:-1] = 1 / (size - 2) ** 2
    return kernel


class MixedKernels(Widget):
    """A grey photograph that is enlarged, under centre-surround kernels of 3×3, 5×5 and 7×7.

    The middle 33×33 pixels are shown.

    Args:
        image: `[S, S]` with values in [0, 1], S odd.
        alt: what the photograph shows, for readers who do not see it.
        channels: of the layer whose cost is counted, at least 12.
        **state: `side`, to which the photograph is resized, odd, from 33 to 129; `probe`, one of the pixels that are
            shown (row, column); `parts`, how many of the layer's equal parts have kernels of 3, 5 and 7: 0 to 4 each,
            not all 0; `depthwise`, as in `MixedConv2d`; `links`.

    Raises:
        ValueError: for anything else than such a photograph, and for numbers out of range.
        TypeError: for anything but ints.

    Example:
        >>> from convnotes.widgets import MixedKernels
        >>> MixedKernels(torch.rand(33, 33), parts=[1, 0, 2])
        MixedKernels(photograph 33×33 as 33×33, kernel sizes (3, 7, 7))
    """

    module = "mixed_kernels"
    by_hand = "the image can be enlarged, the marked pixel moved and the channels shared out among the sizes"

    image = traitlets.Bytes().tag(sync=True)
    size = traitlets.Int().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    channels = traitlets.Int(24).tag(sync=True)
    first = traitlets.Dict().tag(sync=True)
    side = traitlets.Int(WINDOW).tag(sync=True)
    probe: traitlets.List[int] = traitlets.List().tag(sync=True)
    parts: traitlets.List[int] = traitlets.List().tag(sync=True)
    depthwise = traitlets.Bool(True).tag(sync=True)

    def __init__(self, image: Any, alt: str = "A photograph", channels: int = 24, **state: Any) -> None:
        pixels = checks.picture("image", image, "SS")
        if pixels.shape[0] != pixels.shape[1] or len(pixels) % 2 == 0:
            raise ValueError(f"image must be a square [S, S], S odd, got shape {pixels.shape}")
        checks.whole("channels", channels, len(SIZES) * MOST)  # one for each part
        links = state.pop("links", {})
        start = {"side": WINDOW, "probe": [WINDOW // 2, WINDOW // 2], "parts": [1, 1, 1], "depthwise": True} | state
        super().__init__(
            image=pixels.tobytes(), size=len(pixels), alt=alt, channels=channels, first=start, links=links, **start
        )

    _check_side = checking("side")(lambda _, name, value: checks.whole(name, value, WINDOW, LARGEST, odd=True))

    _check_probe = checking("probe")(lambda _, name, value: checks.position(name, value, WINDOW, WINDOW))

    @checking("parts")
    def _check_parts(self, name: str, value: Any) -> list[int]:
        parts = list(checks.wholes(name, value, len(SIZES), least=0, most=MOST))
        if not any(parts):
            raise ValueError(f"parts must not all be 0, got {parts!r}")
        return parts

    def kernel_sizes(self) -> tuple[int, ...]:
        """The argument of `MixedConv2d`."""
        return tuple(size for size, count in zip(SIZES, self.parts, strict=True) for _ in range(count))

    def responses(self) -> torch.Tensor:
        """What the three kernels give on the window, `[3, 33, 33]`."""
        return self._responses(self.side)

    def curves(self) -> torch.Tensor:
        """What the three kernels give at the probe while the image is enlarged, `[3, number of SIDES]`."""
        row, column = self.probe
        return torch.stack([self._responses(side)[:, row, column] for side in SIDES], 1)

    def window(self) -> torch.Tensor:
        """The pixels that are shown, `[33, 33]`."""
        edge = (self.side - WINDOW) // 2
        return self._resized(self.side)[edge : edge + WINDOW, edge : edge + WINDOW].clamp(0, 1)

    def strongest(self) -> int:
        """The size, of those in the layer, whose kernel answers most strongly at the probe."""
        values = self.responses()[:, self.probe[0], self.probe[1]].abs()
        return max((s for s, count in zip(SIZES, self.parts, strict=True) if count), key=lambda s: values[s // 2 - 1])

    def _responses(self, side: int) -> torch.Tensor:
        image, edge = self._resized(side), (side - WINDOW) // 2
        maps = [
            torch.nn.functional.conv2d(image[None, None], centre_surround(k)[None, None], padding=k // 2)[0, 0]
            for k in SIZES
        ]
        return torch.stack(maps)[:, edge : edge + WINDOW, edge : edge + WINDOW]

    def _resized(self, side: int) -> torch.Tensor:
        data = torch.frombuffer(bytearray(self.image), dtype=torch.uint8).double().view(self.size, self.size) / 255
        return torch.nn.functional.interpolate(data[None, None], (side, side), mode="bilinear", antialias=True)[0, 0]

    def _describe(self) -> str:
        return f"photograph {self.size}×{self.size} as {self.side}×{self.side}, kernel sizes {self.kernel_sizes()}"

    def _alt(self) -> str:
        return (
            f"{self.alt}, and what centre-surround kernels of 3×3, 5×5 and 7×7 make of it: at the marked position "
            f"{self.strongest()}×{self.strongest()} answers most strongly."
        )

    def _picture(self) -> bytes:
        from matplotlib.patches import Rectangle

        (row, column), best = self.probe, self.strongest()
        axes = panels(1, 5, (8.6, 2.3), width_ratios=(1, 1.8, 1, 1, 1))
        plots.image(self.window(), axes[0], "image")
        corner = (column - best / 2, row - best / 2)
        axes[0].add_patch(Rectangle(corner, best, best, fill=False, ec="#6CC0F0", lw=2.5))
        for size, curve in zip(SIZES, self.curves(), strict=True):
            ink = plots.INK["light"]["accent" if size == best else "grey"]
            axes[1].plot(SIDES, curve, color=ink, lw=2.5 if size == best else 1.5)
            axes[1].text(SIDES[-1], curve[-1], f" {size}×{size}", color=ink, va="center")
        axes[1].axvline(self.side, ls="--", lw=1, color=plots.INK["light"]["text"])
        axes[1].set(title="response at the marked pixel", xlabel="side of the image", xlim=(SIDES[0], 1.25 * SIDES[-1]))
        for ax, size, values in zip(axes[2:], SIZES, self.responses(), strict=True):
            ax.imshow(values.numpy(), cmap=plots.signed_scale(), vmin=-DEEPEST, vmax=DEEPEST)
            at = plots.number(round(values[row, column].item(), 3))
            ax.set(title=f"{size}×{size}: {at}{' ◆' if size == best else ''}", xticks=[], yticks=[])
        for ax in (axes[0], *axes[2:]):
            ax.plot(column, row, "o", ms=9, mfc="none", mec="black", mew=4)
            ax.plot(column, row, "o", ms=9, mfc="none", mec="white", mew=2)
        return plots.save(axes[0])
