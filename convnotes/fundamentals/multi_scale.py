"""Mixed convolution: kernels of several sizes in one layer, each on its own part of the channels::

    y[b,o,i,j] = β[o] + Σ_{c ∈ P_m, u, v} w_m[o,c,u,v] · x[b, c, i·s + u·d − p_m, j·s + v·d − p_m]    for o ∈ Q_m
    p_m = d·(k_m − 1)/2

The input channels are cut into parts P_m and the output channels into parts Q_m, one of each for every kernel size
k_m. All sizes give maps of the same size, which are concatenated by channels.
Tan & Le, "MixConv: mixed depthwise convolutional kernels", BMVC 2019, arXiv:1907.09595 · chapter
fundamentals/multi_scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.depthwise import DepthwiseConv2d
from convnotes.fundamentals.initialisation import Composite
from convnotes.geometry import IntOrPair, pair
from convnotes.kernels.transforms import one_image


def split_channels(channels: int, parts: int) -> list[int]:
    """Cut a number of channels into equal parts; the remainder goes to the first.

    Args:
        channels: how many to cut.
        parts: number of parts, `channels` at most.

    Raises:
        TypeError: for anything but ints.
        ValueError: for a number below 1, and for fewer channels than parts.

    Example:
        >>> from convnotes.fundamentals.multi_scale import split_channels
        >>> split_channels(8, 3)
        [4, 2, 2]
    """
    checks.positive(channels=channels, parts=parts)
    if channels < parts:
        raise ValueError(f"{channels} channels cannot be cut into {parts} parts: each needs one at least")
    return [channels // parts + channels % parts, *[channels // parts] * (parts - 1)]


class MixedConv2d(Composite):
    """Kernels of several sizes side by side: `[B, C, H, W]` → `[B, O, ⌈H/s⌉, ⌈W/s⌉]`.

    Every kernel size works on its own part of the channels, all parts equal (`split_channels`). No part sees the
    channels of another: follow the layer with a 1×1 kernel. Padding is dilation·(k − 1)/2 on every side. The kernels
    are the modules "0", "1", …, with the names of timm's `MixedConv2d`; its padding is the same for strides 1 and 2.
    Tan & Le 2019, section 3.1.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        kernel_sizes: an odd side per part of the channels. A size may occur several times: (3, 3, 5, 7) gives half of
            the channels to 3×3.
        stride: s, one number or (vertical, horizontal).
        dilation: distance between the taps of every kernel.
        depthwise: True gives every channel kernels of its own; with False each part mixes its channels.
        bias: whether to add a learned number per output channel.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, such as an even size, fewer channels than parts, or a depthwise part
            whose outputs are no multiple of its inputs; and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer = MixedConv2d(6, 12, kernel_sizes=(3, 5, 7), depthwise=True)
        >>> layer(torch.rand(1, 6, 9, 9)).shape
        torch.Size([1, 12, 9, 9])
        >>> [tuple(conv.weight.shape) for conv in layer.children()]
        [(4, 1, 3, 3), (4, 1, 5, 5), (4, 1, 7, 7)]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_sizes: Sequence[int] = (3, 5, 7),
        stride: IntOrPair = 1,
        dilation: IntOrPair = 1,
        depthwise: bool = False,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        checks.positive(in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels, self.depthwise = in_channels, out_channels, depthwise
        self.kernel_sizes = checks.wholes("kernel_sizes", kernel_sizes, odd=True)  # so that all give one size
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels < len(self.kernel_sizes):
                raise ValueError(
                    f"{name} must be at least {len(self.kernel_sizes)}, one for each of the kernel sizes "
                    f"{self.kernel_sizes}, got {channels}"
                )
        self.stride, self.dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
        self.in_splits = split_channels(in_channels, len(self.kernel_sizes))
        self.out_splits = split_channels(out_channels, len(self.kernel_sizes))
        for n, (size, C, O) in enumerate(zip(self.kernel_sizes, self.in_splits, self.out_splits, strict=True)):
            if depthwise and O % C:
                raise ValueError(
                    f"depthwise needs a whole number of kernels a channel, got {O} outputs for {C} inputs in part {n} "
                    f"of {self.in_splits} → {self.out_splits}"
                )
            padding = (self.dilation[0] * (size // 2), self.dilation[1] * (size // 2))
            conv = (DepthwiseConv2d if depthwise else nn.Conv2d)(
                C, O, size, self.stride, padding, self.dilation,
                groups=C if depthwise else 1, bias=bias, device=device, dtype=dtype,
            )  # fmt: skip
            self.add_module(str(n), conv)

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        convs = list(self.children())
        checks.images("MixedConv2d", input, convs[0].weight, self.in_channels, least=1)
        parts = input.split(self.in_splits, dim=1)
        return torch.cat([conv(parts[n]) for n, conv in enumerate(convs)], dim=1)  # [B, O_m, H_out, W_out] each

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_sizes={self.kernel_sizes}, stride={self.stride}, "
            f"dilation={self.dilation}, depthwise={self.depthwise}"
        )
