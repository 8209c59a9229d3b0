"""Cheap features: a convolution computes some of the channels, and the others are derived from them or passed on::

    ghost module           y' = ReLU(BN(w ∗ x)),   y = [y', ReLU(BN(w' ∗ y'))]     w': one small kernel per channel
    partial convolution    y = [w ∗ x_1, x_2]                                      x = [x_1, x_2], by channels

Han et al., "GhostNet: more features from cheap operations", CVPR 2020, arXiv:1911.11907; Chen et al., "Run, don't walk:
chasing higher FLOPS for faster neural networks" (FasterNet), CVPR 2023, arXiv:2303.03667 · chapter
beyond/cheap_features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.activation import ActLayer, in_place
from convnotes.fundamentals.depthwise import DepthwiseConv2d
from convnotes.fundamentals.layer import Block, Composite
from convnotes.geometry import Factory, Reach, kernel_reach
from convnotes.kernels.transforms import one_image


class GhostConv2d(Block, shown="in_channels out_channels kernel_size stride ratio cheap_kernel_size"):
    """A convolution to some of the channels, and cheap kernels that make the others: `[B, C, H, W]` → `[B, O, …]`.

    The convolution gives ⌈O/ratio⌉ channels, and `ratio` − 1 depthwise kernels for each of them make the others. Batch
    norm and an activation follow both. What is more than O channels is cut off. The output is ⌈H/stride⌉×⌈W/stride⌉.
    The names of the parameters are those of the authors' code, where the layer is `GhostModule`. Han et al. 2020,
    section 3.1.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        kernel_size: side of the convolution's kernel, odd.
        stride: step of the convolution in pixels.
        ratio: one in so many channels comes from the convolution.
        cheap_kernel_size: side of the depthwise kernels, odd.
        device, dtype: of the parameters.
        act_layer: makes both activations; `torch.nn.Identity` for none.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer = GhostConv2d(64, 128)
        >>> conv = nn.Conv2d(64, 128, 1, bias=False)
        >>> [sum(p.numel() for p in m.parameters() if p.dim() == 4) for m in (layer, conv)]
        [4672, 8192]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        ratio: int = 2,
        cheap_kernel_size: int = 3,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        super().__init__(in_channels, out_channels)
        checks.positive(stride=stride)
        checks.whole("ratio", ratio, 2)
        k, d = (
            checks.whole("kernel_size", kernel_size, odd=True),
            checks.whole("cheap_kernel_size", cheap_kernel_size, odd=True),
        )
        self.kernel_size, self.stride, self.ratio, self.cheap_kernel_size = k, stride, ratio, d
        kw, first = Factory(device=device, dtype=dtype), -(-out_channels // ratio)
        others = first * (ratio - 1)
        self.primary_conv = nn.Sequential(
            nn.Conv2d(in_channels, first, k, stride, k // 2, bias=False, **kw),
            nn.BatchNorm2d(first, **kw),
            in_place(act_layer),
        )
        self.cheap_operation = nn.Sequential(
            DepthwiseConv2d(first, others, d, padding=d // 2, groups=first, bias=False, **kw),
            nn.BatchNorm2d(others, **kw),
            in_place(act_layer),
        )

    def forward(self, input: Tensor) -> Tensor:
        conv: Any = self.primary_conv[0]
        checks.images("GhostConv2d", input, conv.weight, self.in_channels, least=1)
        x = self.primary_conv(input)
        cheap = self.cheap_operation(x)
        return torch.cat([x, cheap[:, : self.out_channels - conv.out_channels]], dim=1)


class PartialConv2d(Composite, shown="channels kernel_size n_div"):
    """A convolution of the first C/n channels; the others pass as they are: `[B, C, H, W]` → `[B, C, H, W]`.

    It does 1/n² of the work of a convolution of all channels, and reads and writes fewer of them. A 1×1 kernel after it
    brings the channels together. The name of the parameter is that of the authors' code. Chen et al. 2023, section 3.2.
    The convolution of images with holes, "Image inpainting for irregular holes using partial convolutions" (Liu et al.,
    ECCV 2018), has the same name and is something else.

    Args:
        channels: C channels of input and output.
        kernel_size: side of the kernel, odd; the padding keeps the size.
        n_div: n; ⌊C/n⌋ channels are convolved.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer, x = PartialConv2d(16), torch.rand(1, 16, 9, 7)
        >>> bool((layer(x)[:, 4:] == x[:, 4:]).all())
        True
        >>> layer.partial_conv3
        Conv2d(4, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        n_div: int = 4,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        checks.positive(channels=channels)
        k = checks.whole("kernel_size", kernel_size, odd=True)
        checks.whole("n_div", n_div, 1, channels)
        self.channels, self.kernel_size, self.n_div = channels, k, n_div
        part = channels // n_div
        self.partial_conv3 = nn.Conv2d(part, part, k, padding=k // 2, bias=False, device=device, dtype=dtype)

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        conv = self.partial_conv3
        checks.images("PartialConv2d", input, conv.weight, self.channels, least=1)
        part = conv.in_channels
        return torch.cat([conv(input[:, :part]), input[:, part:]], dim=1)

    def reach(self) -> Reach:
        """(before, after, stride) of each axis, for `convnotes.measure.receptive_field`."""
        conv = self.partial_conv3
        k = (self.kernel_size, self.kernel_size)
        return kernel_reach(k, conv.stride, (k[0] // 2, k[1] // 2), conv.dilation)
