"""Mixed convolution: kernels of several sizes in one layer, each on its own part of the channels.

    y[b,o,i,j] = β[o] + Σ_{c ∈ P_m, u, v} w_m[o,c,u,v] · x[b, c, i·s + u·d − p_m, j·s + v·d − p_m]    for o ∈ Q_m
    p_m = d·(k_m − 1)/2

The input channels are cut into parts P_m and the output channels into parts Q_m, one of each for every kernel size
k_m. All sizes give maps of the same size, which stand side by side.
Tan & Le, "MixConv: mixed depthwise convolutional kernels", BMVC 2019, arXiv:1907.09595 · chapter
fundamentals/multi_scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from convnotes.fundamentals.depthwise import DepthwiseConv2d
from convnotes.fundamentals.initialisation import reset_all
from convnotes.geometry import IntOrPair, check_channels, check_images, check_least_size, pair, weight_of


def split_channels(channels: int, parts: int) -> list[int]:
    """`channels` in `parts` equal parts; what is left over goes to the first: 8 in 3 parts are 4, 2, 2."""
    check_channels(channels=channels, parts=parts)
    if channels < parts:
        raise ValueError(f"{channels} channels cannot be cut into {parts} parts: each needs one at least")
    return [channels // parts + channels % parts, *[channels // parts] * (parts - 1)]


class MixedConv2d(nn.Module):
    """Kernels of several sizes side by side: `[B, C, H, W]` → `[B, O, ⌈H/s⌉, ⌈W/s⌉]`.

    `kernel_sizes` holds an odd side for each part of the channels, all parts equal (`split_channels`); a size may stand
    there several times, so (3, 3, 5, 7) gives half of the channels to 3×3. Padding is dilation·(k − 1)/2 on every side.
    `depthwise=True` gives every channel kernels of its own, `False` lets each part mix its channels; in neither case
    does a part see the channels of another: follow the layer with a 1×1 kernel. The kernels are the modules "0", "1",
    …, with the names of timm's `MixedConv2d`; its padding is the same for strides 1 and 2.

    Raises `ValueError` or `TypeError` for sizes that are not odd, for fewer channels than parts, for a depthwise part
    whose outputs are no multiple of its inputs, and for an input whose shape, dtype or device does not fit. Tan & Le
    2019, section 3.1.
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
        check_channels(in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels, self.depthwise = in_channels, out_channels, depthwise
        self.kernel_sizes = _odd_sizes(kernel_sizes)
        self.stride, self.dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels < len(self.kernel_sizes):
                raise ValueError(
                    f"{name} must be at least {len(self.kernel_sizes)}, one for each of the kernel sizes "
                    f"{self.kernel_sizes}, got {channels}"
                )
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

    def reset_parameters(self) -> None:
        """Draw all weights anew, as `torch.nn.Conv2d` does."""
        reset_all(self)

    def forward(self, input: Tensor) -> Tensor:
        convs = list(self.children())
        check_images(input, weight_of(convs[0]), self.in_channels, "MixedConv2d")
        check_least_size(input, 1, "MixedConv2d")
        parts = input.split(self.in_splits, dim=1)
        return torch.cat([conv(parts[n]) for n, conv in enumerate(convs)], dim=1)  # [B, O_m, H_out, W_out] each

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_sizes={self.kernel_sizes}, stride={self.stride}, "
            f"dilation={self.dilation}, depthwise={self.depthwise}"
        )


def _odd_sizes(kernel_sizes: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(kernel_sizes, Sequence) or isinstance(kernel_sizes, str):
        raise TypeError(f"kernel_sizes must be a sequence of odd ints, such as (3, 5, 7), got {kernel_sizes!r}")
    sizes = tuple(kernel_sizes)
    if not sizes:
        raise ValueError("kernel_sizes must hold one size at least, got none")
    check_channels(**{f"kernel_sizes[{n}]": size for n, size in enumerate(sizes)})
    if any(size % 2 == 0 for size in sizes):
        raise ValueError(f"kernel_sizes must be odd, so that all sizes keep the same places, got {sizes}")
    return sizes
