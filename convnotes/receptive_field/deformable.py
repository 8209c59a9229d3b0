"""Deformable convolution: every tap of every place reads where it wants to, and as strongly as it wants to.

    y[b,o,i,j] = β[o] + Σ_{c,u,v} w[o,c,u,v] · m · x̃[b, c, i·s + u·d − p + Δy, j·s + v·d − p + Δx]

x̃ is the picture read between its pixels (bilinear, 0 outside). The offsets Δy, Δx in pixels and the mask m (1 in v1)
belong to each tap (u, v) of each place (b, i, j). The samples are gathered into columns, from the four pixels around
each; what is left is one matrix product (`kernels.deform_plain`, `kernels.deform_numba`).
Dai et al., "Deformable Convolutional Networks", ICCV 2017, arXiv:1703.06211, equations 2 to 4; Zhu et al.,
"Deformable ConvNets v2", CVPR 2019, arXiv:1811.11168, equation 1 · chapter receptive_field/deformable.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.geometry import Factory, IntOrPair, Padding, checked_padding, output_size, pair, resolve_padding
from convnotes.kernels.deform.operator import deform
from convnotes.kernels.deform.sampling import Sampling
from convnotes.kernels.transforms import one_node


@one_node
def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """Deformable convolution, v1 without `mask` and v2 with it; arguments and meaning as in `torchvision.ops`.

    - `input` `[B, C, H, W]`.
    - `offset` `[B, 2·K·G, H_out, W_out]` in pixels, for K = KH·KW taps k = u·KW + v: channel g·2K + 2k is Δy, the next
      one Δx. The number G of offset groups follows from the shape; each moves C/G neighbouring channels.
    - `weight` `[O, C/groups, KH, KW]`; the number of groups follows from the shape.
    - `mask` `[B, K·G, H_out, W_out]`: channel g·K + k is m. It is used as it is: the v2 layer puts a sigmoid before it.

    Returns `[B, O, H_out, W_out]`, sizes as in `torch.nn.functional.conv2d`, in the memory format of `input`. `padding`
    may be "same" or "valid".

    A sample is 0 where y ≤ −1, y ≥ H, x ≤ −1 or x ≥ W; between −1 and 0 the border fades in. On pixels, where the
    bilinear surface has a kink, the derivative is that to the right and downwards, as in torchvision: at y = −1 it is
    that of the fading border, at y = H it is 0. An infinite offset reads 0, a NaN makes the
    places that use it NaN. Places are split into whole pixels and fractions of the offset before they are added, so
    that a far place is as exact as a near one, and samples are computed in float32 at least.

    Raises `TypeError` for what is no tensor, `ValueError` for shapes, dtypes and devices that do not fit each other.
    """
    (sy, sx), (dy, dx) = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    _check(input, offset, weight, bias, stride, padding, dilation, mask)
    (top, _), (left, _) = resolve_padding(padding, weight.shape[2:], (dy, dx), (sy, sx))
    out = deform(input, offset, weight, mask, Sampling((sy, sx), (top, left), (dy, dx)))
    if bias is not None:
        out = out + bias.to(out.dtype).view(-1, 1, 1)
    channels_last = input.stride(1) == 1 and not input.is_contiguous()
    return out if channels_last else out.contiguous()


def _check(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: IntOrPair,
    padding: Padding,
    dilation: IntOrPair,
    mask: Tensor | None,
) -> None:
    checks.tensor("input of deform_conv2d", input, "BCHW")
    checks.tensor("weight of deform_conv2d", weight, ("O", "C/groups", "KH", "KW"), input)
    B, C = input.shape[:2]
    O, c, KH, KW = weight.shape
    K = KH * KW
    if C % c or O % (C // c or 1):
        raise ValueError(
            f"deform_conv2d: a weight of shape {tuple(weight.shape)} has {O} outputs and takes {c} channels a group, "
            f"which do not make whole groups of the {C} channels of the input"
        )
    if bias is not None:
        checks.tensor("bias of deform_conv2d", bias, (O,), input)
    checks.fits("deform_conv2d", input, weight, stride, padding, dilation)
    h, w = output_size(input.shape[2:], (KH, KW), stride, padding, dilation)
    checks.tensor("offset of deform_conv2d", offset, (B, f"{2 * K}·G", h, w), input)  # G offset groups
    G = offset.shape[1] // (2 * K)
    if not G or offset.shape[1] != 2 * K * G or C % G:
        raise ValueError(
            f"offset of deform_conv2d must be [{B}, {2 * K}·G, {h}, {w}], two channels for each of {K} taps, with a "
            f"number G of offset groups that divides the {C} channels, got shape {tuple(offset.shape)}"
        )
    if mask is not None:  # a channel for each of K taps in each of G offset groups
        checks.tensor("mask of deform_conv2d", mask, (B, K * G, h, w), input)


class DeformConv2d(nn.Module):
    """A deformable convolution that predicts its own offsets: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    Arguments as in `torch.nn.Conv2d`. `conv_offset`, a plain convolution with the same kernel size, stride, padding
    and dilation, gives from the same input the offsets in pixels and, if `modulated` (v2), the masks before their
    sigmoid. It starts at zero: v1 then *is* the plain convolution and v2, whose masks are ½, half of it before the
    bias. Zhu et al. train it at a tenth of the learning rate: give `conv_offset.parameters()` a group of their own.
    Each of the `offset_groups` moves its own C/offset_groups channels.

    Raises `ValueError` or `TypeError` for bad sizes and for an input whose shape, dtype or device does not fit.
    """

    starts_at_zero = ("conv_offset",)  # parts that `initialise` leaves at 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        offset_groups: int = 1,
        bias: bool = True,
        modulated: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        checks.positive(in_channels=in_channels, out_channels=out_channels)
        checks.divides("groups", groups, in_channels=in_channels, out_channels=out_channels)
        checks.divides("offset_groups", offset_groups, in_channels=in_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.groups, self.offset_groups, self.modulated = groups, offset_groups, modulated
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride, self.dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
        self.padding = checked_padding(padding)
        kw = Factory(device=device, dtype=dtype)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *self.kernel_size, **kw))
        self.bias = nn.Parameter(torch.empty(out_channels, **kw)) if bias else None
        predicted = (3 if modulated else 2) * offset_groups * math.prod(self.kernel_size)
        kw["device"] = self.weight.device  # not None, which skip_init takes for the CPU, whatever the default is
        self.conv_offset = nn.utils.skip_init(  # draws nothing: the weight is then that of a Conv2d of the same seed
            nn.Conv2d, in_channels, predicted, self.kernel_size, self.stride, self.padding, self.dilation, **kw
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias as `torch.nn.Conv2d` does; offsets start at 0 and masks at ½."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)

    def predict(self, input: Tensor) -> tuple[Tensor, Tensor | None]:
        """The offset and the mask (None in v1) that `deform_conv2d` is given for this input."""
        predicted = self.conv_offset(input)
        if not self.modulated:
            return predicted, None
        offsets = 2 * self.offset_groups * math.prod(self.kernel_size)
        return predicted[:, :offsets], predicted[:, offsets:].sigmoid()

    def forward(self, input: Tensor) -> Tensor:
        checks.images("DeformConv2d", input, self.weight, self.in_channels)
        checks.fits("DeformConv2d", input, self.weight, self.stride, self.padding, self.dilation)
        offset, mask = self.predict(input)
        return deform_conv2d(input, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, "
            f"offset_groups={self.offset_groups}, modulated={self.modulated}"
        )
