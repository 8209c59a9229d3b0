"""The depthwise separable convolution as a layer, and the one nearest to a given convolution.

`compression.separable` has its equation and the networks that are made of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.depthwise import DepthwiseConv2d
from convnotes.fundamentals.layer import ConvBlock
from convnotes.geometry import Factory, IntOrPair, Padding, checked_padding
from convnotes.kernels.transforms import one_image


class SeparableConv2d(ConvBlock, shown="depth_multiplier"):
    """A depthwise and a pointwise convolution: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        kernel_size, stride, padding, dilation: of the depthwise kernel, as in `torch.nn.Conv2d`.
        depth_multiplier: m, number of spatial kernels per channel.
        bias: of the pointwise kernel; the depthwise one has none.
        between: a module that is applied between the two, to C·m channels. MobileNet has batch norm and ReLU there,
            Xception nothing.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer = SeparableConv2d(64, 128, kernel_size=3, padding=1, bias=False)
        >>> sum(p.numel() for p in layer.parameters()), nn.Conv2d(64, 128, 3, bias=False).weight.numel()
        (8768, 73728)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        dilation: IntOrPair = 1,
        depth_multiplier: int = 1,
        bias: bool = True,
        between: nn.Module | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        checks.flags(bias=bias)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation)
        checks.positive(depth_multiplier=depth_multiplier)
        self.depth_multiplier = depth_multiplier
        middle, kw = in_channels * depth_multiplier, Factory(device=device, dtype=dtype)
        self.depthwise = DepthwiseConv2d(
            in_channels, middle, self.kernel_size, self.stride, self.padding, self.dilation,
            groups=in_channels, bias=False, **kw,
        )  # fmt: skip
        if between is not None:
            checks.module("between", between)
        self.between = nn.Identity() if between is None else between
        self.pointwise = nn.Conv2d(middle, out_channels, 1, bias=bias, **kw)

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        self._check(input, self.depthwise.weight)
        return self.pointwise(self.between(self.depthwise(input)))  # [B, C·m, H_out, W_out] → [B, O, …]

    def full_weight(self) -> Tensor:
        """The weight `[O, C, KH, KW]` of the one convolution that this layer equals (without `between`).

        For every input channel its kernels, over all outputs, have at most rank `depth_multiplier`.
        """
        d = self.depthwise.weight.unflatten(0, (self.in_channels, self.depth_multiplier))[:, :, 0]  # [C, m, KH, KW]
        w = self.pointwise.weight[:, :, 0, 0].unflatten(1, (self.in_channels, self.depth_multiplier))  # [O, C, m]
        return torch.einsum("cmuv,ocm->ocuv", d, w)

    @classmethod
    def nearest(cls, conv: nn.Conv2d, depth_multiplier: int = 1) -> SeparableConv2d:
        """The separable layer whose full weight has the least squared distance to that of `conv`; its bias is kept.

        Each input channel's kernels, as a matrix [O, KH·KW], keep their first `depth_multiplier` singular components;
        the root of a singular value goes to either kernel. From min(O, KH·KW) kernels per channel on it equals `conv`.
        Guo et al., "Network decoupling", BMVC 2018, arXiv:1808.05517.

        Raises `TypeError` for anything but an `nn.Conv2d`, `ValueError` for groups and for padding other than by zeros.
        """
        checks.instance("conv", conv, nn.Conv2d, "a torch.nn.Conv2d")
        if conv.groups != 1 or conv.padding_mode != "zeros":
            raise ValueError(
                f'nearest needs groups=1 and padding_mode="zeros", got {conv.groups} and "{conv.padding_mode}"'
            )
        layer = cls(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, checked_padding(conv.padding),
            conv.dilation, depth_multiplier, conv.bias is not None,
            device=conv.weight.device, dtype=conv.weight.dtype,
        )  # fmt: skip
        with torch.no_grad():
            parts = torch.linalg.svd(conv.weight.double().transpose(0, 1).flatten(2), full_matrices=False)
            roots = parts.S[:, :depth_multiplier].sqrt()  # [C, r]
            d = layer.depthwise.weight.new_zeros(conv.in_channels, depth_multiplier, *conv.kernel_size)
            w = d.new_zeros(conv.out_channels, conv.in_channels, depth_multiplier)
            r = roots.shape[1]  # fewer than depth_multiplier where there are no more singular parts
            d[:, :r] = (roots[:, :, None] * parts.Vh[:, :r]).unflatten(2, conv.kernel_size).to(d)
            w[:, :, :r] = (parts.U[:, :, :r] * roots[:, None]).transpose(0, 1).to(w)
            layer.depthwise.weight.copy_(d.flatten(0, 1)[:, None])
            layer.pointwise.weight.copy_(w.flatten(1)[:, :, None, None])
            if conv.bias is not None and layer.pointwise.bias is not None:
                layer.pointwise.bias.copy_(conv.bias)
        return layer
