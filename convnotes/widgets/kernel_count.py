"""A photograph rebuilt from its N strongest patch components: what a layer of N kernels can hold at best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import PhotoWidget, checking, panels


class KernelCount(PhotoWidget):
    """The lightness (mean of the channels) of a photograph, encoded by `count` kernels and decoded by the same kernels.

    The kernels are the principal components of all patches of the photograph, the strongest first. The mean of the
    patches is not taken away: the first component holds it. They are computed once for each of `sizes`.

    Args:
        image: a photograph `[3, H, W]` with values in [0, 1].
        size: side of the kernels, one of `sizes`.
        count: number of kernels.
        sizes: the sides that can be chosen, from 2 to 7.
        alt: what the photograph shows, for readers who do not see it.
        **state: `overlap`, whether a patch lies at every pixel, not side by side; `shown`, the number of the kernel
            that is drawn with its values, from 1.

    Raises:
        ValueError: for anything else than a photograph, and for numbers out of range.
        TypeError: for anything but ints.

    Example:
        >>> from convnotes.widgets import KernelCount
        >>> widget = KernelCount(torch.rand(3, 12, 12), size=3, count=9)
        >>> widget, round(widget.share(), 3)  # nine kernels of 3×3 hold everything
        (KernelCount(image 12×12, 9 kernels of 3×3), 1.0)
    """

    module = "kernel_count"
    by_hand = "the number and the size can be changed"
    precision = torch.float64

    sizes: traitlets.List[int] = traitlets.List().tag(sync=True)
    components = traitlets.Bytes().tag(sync=True)
    powers = traitlets.Bytes().tag(sync=True)
    first: traitlets.List[int] = traitlets.List().tag(sync=True)
    size = traitlets.Int().tag(sync=True)
    count = traitlets.Int().tag(sync=True)
    shown = traitlets.Int(1).tag(sync=True)
    overlap = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        image: Any,
        size: int = 5,
        count: int = 4,
        sizes: Sequence[int] = (3, 5, 7),
        alt: str = "A photograph",
        **state: Any,
    ) -> None:
        colours = checks.picture("image", image, (3, "H", "W"))
        checks.wholes("sizes", sizes, least=2, most=min(7, *colours.shape[1:]))
        grey = torch.from_numpy(colours).double().mean(0).round()
        found = [patch_components(grey / 255, k) for k in sizes]
        super().__init__(
            grey.to(torch.uint8).numpy(),
            alt,
            sizes=list(sizes),
            components=b"".join(kernels.numpy().astype("<f4").tobytes() for kernels, _ in found),
            powers=b"".join(powers.numpy().astype("<f4").tobytes() for _, powers in found),
            first=[size, count],
            size=size,
            count=count,
            **state,
        )

    _check_size = checking("size")(lambda self, name, value: checks.one_of(name, value, self.sizes))

    @checking("count", "shown")
    def _check_number(self, name: str, value: Any) -> int:
        return checks.whole(name, value, most=max(self.sizes) ** 2)

    def kernels(self) -> torch.Tensor:
        """The kernels that are used, `[N, 1, K, K]`."""
        n = self.sizes.index(self.size)
        begin, taps = sum(k**4 for k in self.sizes[:n]), self.size**2
        every = torch.from_numpy(np.frombuffer(self.components, "<f4").copy()).double()
        return every[begin : begin + taps * taps].view(taps, 1, self.size, self.size)[: self.count]

    def rebuilt(self) -> torch.Tensor:
        """The photograph encoded and decoded, `[H, W]`."""
        kernels, k = self.kernels(), self.size
        stride = 1 if self.overlap else k
        more = [(k - side) % stride for side in (self.height, self.width)]
        x = torch.nn.functional.pad(self._pixels()[None, None], (0, more[1], 0, more[0]), mode="replicate")
        code = torch.nn.functional.conv2d(x, kernels, stride=stride)
        once = torch.ones_like(code[:, :1]), torch.ones_like(kernels[:1])
        decode = torch.nn.functional.conv_transpose2d
        y = decode(code, kernels, stride=stride) / decode(*once, stride=stride)
        return y[0, 0, : self.height, : self.width]

    def share(self) -> float:
        """The share of the photograph's variance that is rebuilt."""
        x = self._pixels()
        return (1 - (x - self.rebuilt()).square().sum() / (x - x.mean()).square().sum()).item()

    def _describe(self) -> str:
        return f"image {self.height}×{self.width}, {len(self.kernels())} kernels of {self.size}×{self.size}"

    def _alt(self) -> str:
        n, k = len(self.kernels()), self.size
        return f"{self.alt} in grey, and rebuilt from {n} kernels of {k}×{k} taps: {self.share():.1%} of its variance."

    def _picture(self) -> bytes:
        kernels = self.kernels()
        shown = min(4, len(kernels))
        axes = panels(1, 2 + shown, (5 + 0.9 * shown, 1.8), width_ratios=(2.2, 2.2, *[1] * shown))
        plots.image(self._pixels(), axes[0], "photograph")
        plots.image(self.rebuilt().clamp(0, 1), axes[1], f"{len(kernels)} kernels: {self.share():.1%}")
        for n, (ax, kernel) in enumerate(zip(axes[2:], kernels, strict=False), 1):
            reach = kernel.abs().max()
            ax.imshow(kernel[0].numpy(), cmap=plots.signed_scale(), vmin=-reach, vmax=reach)
            ax.set(title=f"kernel {n}", xticks=[], yticks=[])
        return plots.save(axes[0])


def patch_components(image: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The principal components of all k×k patches of an image: kernels `[k², k²]` and mean squares `[k²]`.

    A row is a kernel; the one with the largest mean square comes first. The sign of a kernel is that of the sum of its
    taps, or of its first tap where they add to nearly 0.

    Args:
        image: `[H, W]`.
        k: side of the patches.

    Example:
        >>> from convnotes.widgets.kernel_count import patch_components
        >>> kernels, powers = patch_components(torch.ones(4, 4), 2)
        >>> kernels[0], powers[0]
        (tensor([0.5000, 0.5000, 0.5000, 0.5000]), tensor(4.))
    """
    patches = torch.nn.functional.unfold(image[None, None], k)[0]  # [k², places]
    powers, vectors = torch.linalg.eigh(patches @ patches.T / patches.shape[1])
    kernels = vectors.T.flip(0)
    sums = kernels.sum(1)
    sign = torch.where(sums.abs() > 1e-3, sums, kernels[:, 0]).sign()
    return kernels * sign[:, None], powers.flip(0).clamp(min=0)
