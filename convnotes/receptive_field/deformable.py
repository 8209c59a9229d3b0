"""Deformable convolution: every tap reads at an offset of its own, which is predicted from the image::

    y[b,o,i,j] = β[o] + Σ_{c,u,v} w[o,c,u,v] · m · x̃[b, c, i·s + u·d − p + Δy, j·s + v·d − p + Δx]

x̃ is the image interpolated bilinearly, 0 outside. The offsets Δy, Δx in pixels and the mask m (1 in v1) belong to each
tap (u, v) of each output pixel (b, i, j). The samples are gathered into columns, from the four pixels around each; what
is left is one matrix product (`kernels.deform`).
Dai et al., "Deformable Convolutional Networks", ICCV 2017, arXiv:1703.06211, equations 2 to 4; Zhu et al.,
"Deformable ConvNets v2", CVPR 2019, arXiv:1811.11168, equation 1 · chapter receptive_field/deformable.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.layer import ConvBlock, draw_as_conv
from convnotes.geometry import Factory, IntOrPair, Padding, pair, resolve_padding
from convnotes.kernels.deform.operator import deform
from convnotes.kernels.deform.sampling import Sampling
from convnotes.kernels.transforms import channels_last, not_given, one_image, one_node


@one_node
@one_image("input", "offset", "mask")
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
    """Deformable convolution, v1 without a mask and v2 with it: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    Arguments and meaning are those of `torchvision.ops.deform_conv2d`, sizes those of `torch.nn.functional.conv2d`. The
    memory format is that of `input`. Under autocast the result has autocast's dtype, as that of every convolution of
    torch, so that the next layer does not narrow it again; torchvision's has the dtype of `input`. With K = KH·KW, tap
    (u, v) has the number k = u·KW + v.

    A sample is 0 where y ≤ −1, y ≥ H, x ≤ −1 or x ≥ W; between −1 and 0 the border fades in. On pixels, where the
    bilinear surface has a kink, the derivative is that to the right and downwards, as in torchvision: at y = −1 it is
    that of the fading border, at y = H it is 0. An infinite offset reads 0; a NaN makes the output pixels that use it
    NaN. Coordinates are split into whole pixels and fractions of the offset before they are added, so that precision
    does not depend on where in the image they lie. Samples are computed in float32 at least.

    Args:
        input: images `[B, C, H, W]`, or one, `[C, H, W]`; offset and mask then have no batch either.
        offset: `[B, 2·K·G, H_out, W_out]` in pixels: channel g·2K + 2k is Δy, the next one Δx. The number G of offset
            groups follows from the shape; each moves C/G neighbouring channels.
        weight: `[O, C/groups, KH, KW]`; the number of groups follows from the shape.
        bias: `[O]` or None.
        stride, padding, dilation: in pixels, as in `torch.nn.Conv2d`; `padding` may be "same" or "valid".
        mask: `[B, K·G, H_out, W_out]`: channel g·K + k is m. It is used as it is: `DeformConv2d` applies a sigmoid
            first.

    Raises:
        TypeError: for anything but a tensor.
        ValueError: for shapes, dtypes and devices that do not fit each other.

    Example:
        >>> x = torch.arange(4.0).view(1, 1, 1, 4)
        >>> offset = torch.zeros(1, 2, 1, 4)
        >>> offset[:, 1] = 0.5
        >>> deform_conv2d(x, offset, torch.ones(1, 1, 1, 1))
        tensor([[[[0.5000, 1.5000, 2.5000, 1.5000]]]])
    """
    (sy, sx), (dy, dx) = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    _check(input, offset, weight, bias, stride, padding, dilation, mask)
    (top, _), (left, _) = resolve_padding(padding, weight.shape[2:], (dy, dx), (sy, sx))
    out = deform(input, offset, weight, mask, Sampling((sy, sx), (top, left), (dy, dx)))
    if bias is not None:
        out = out + bias.to(out.dtype).view(-1, 1, 1)
    return out if channels_last(input) else out.contiguous()


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
            f"deform_conv2d: a weight of shape {tuple(weight.shape)} has {O} outputs and takes {c} channels per group, "
            f"which do not make whole groups of the {C} channels of the input"
        )
    if bias is not None:
        checks.tensor("bias of deform_conv2d", bias, (O,), input)
    h, w = checks.size_after("deform_conv2d", input, weight, stride, padding, dilation)
    checks.tensor("offset of deform_conv2d", offset, (B, f"{2 * K}·G", h, w), input)  # G offset groups
    G = offset.shape[1] // (2 * K)
    if not G or offset.shape[1] != 2 * K * G or C % G:
        raise ValueError(
            f"offset of deform_conv2d must be [{B}, {2 * K}·G, {h}, {w}], two channels for each of {K} taps, with a "
            f"number G of offset groups that divides the {C} channels, got shape {tuple(offset.shape)}"
        )
    if mask is not None:  # one channel for each of K taps in each of G offset groups
        checks.tensor("mask of deform_conv2d", mask, (B, K * G, h, w), input)


class DeformConv2d(ConvBlock, shown="groups offset_groups modulated"):
    """A deformable convolution that predicts its own offsets: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    `conv_offset`, a plain convolution with the same kernel size, stride, padding and dilation, predicts the offsets in
    pixels from the same input and, in v2, the masks before their sigmoid. It starts at zero: v1 is then exactly the
    plain convolution, and v2, whose masks are ½, half of it before the bias. Zhu et al. train `conv_offset` at a tenth
    of the learning rate: give `conv_offset.parameters()` a group of their own in the optimiser.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        kernel_size, stride, padding, dilation, groups: as in `torch.nn.Conv2d`.
        offset_groups: number of groups of C/offset_groups neighbouring channels, each with its own offsets.
        bias: whether to add a learned number per output channel.
        modulated: True is v2, with masks; False is v1.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer, x = DeformConv2d(4, 8, 3, padding=1, modulated=False), torch.rand(2, 4, 9, 9)
        >>> plain = torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
        >>> torch.allclose(layer(x), plain, atol=1e-5)
        True
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
        checks.flags(bias=bias, modulated=modulated)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        checks.divides("offset_groups", offset_groups, in_channels=in_channels)
        self.offset_groups, self.modulated = offset_groups, modulated
        kw = Factory(device=device, dtype=dtype)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *self.kernel_size, **kw))
        self.bias = nn.Parameter(torch.empty(out_channels, **kw)) if bias else None
        predicted = (3 if modulated else 2) * offset_groups * math.prod(self.kernel_size)
        kw["device"] = self.weight.device  # not None, which skip_init takes for the CPU, whatever the default is
        self.conv_offset = nn.utils.skip_init(  # draws nothing: the weight is then that of a Conv2d of the same seed
            nn.Conv2d, in_channels, predicted, self.kernel_size, self.stride, self.padding, self.dilation, **kw
        )
        self.register_load_state_dict_pre_hook(_without_prediction)  # type: ignore[no-untyped-call]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias as `torch.nn.Conv2d` does; offsets start at 0 and masks at ½."""
        draw_as_conv(self.weight, self.bias)
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)

    def predict(self, input: Tensor) -> tuple[Tensor, Tensor | None]:
        """The offset and the mask (None in v1) that `deform_conv2d` is given for this input."""
        predicted = self.conv_offset(input)
        if not self.modulated:
            return predicted, None
        offsets = 2 * self.offset_groups * math.prod(self.kernel_size)
        return predicted[..., :offsets, :, :], predicted[..., offsets:, :, :].sigmoid()

    @one_image("input", "offset", "mask")
    def forward(self, input: Tensor, offset: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """The layer of its own prediction, or, as torchvision's layer, of the offset and the mask that are given."""
        self._check(input, self.weight)
        if offset is None or not_given(offset):
            if mask is not None and not not_given(mask):
                raise ValueError("DeformConv2d needs an offset beside the mask, got a mask alone")
            offset, mask = self.predict(input)
        return deform_conv2d(input, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask)


def _without_prediction(layer: DeformConv2d, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """The state of torchvision's layer, which has no `conv_offset`, leaves that as it is."""
    own = {f"{prefix}conv_offset.{name}": value for name, value in layer.conv_offset.state_dict().items()}
    if f"{prefix}weight" in state and not own.keys() & state.keys():
        state.update(own)
