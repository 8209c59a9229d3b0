"""The blocks of part 4, after the source, as their definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from convnotes.definitions.plain import batch_norm, conv2d
from convnotes.definitions.receptive_field import hat
from convnotes.geometry import (
    Factory,
    IntOrPair,
    Padding,
    pair,
    resolve_padding,
)


def branches(
    input: Tensor,
    weights: Sequence[Tensor | None],
    norms: Sequence[torch.nn.BatchNorm2d],
    stride: int = 1,
    groups: int = 1,
) -> Tensor:
    """Branches that are added, each with its batch norm::

        y = Σ_n BN_n(w_n ∗ x)

    Each weight is `[O, C/groups, KH, KW]` of odd sides and padded by half of
    them; None is the identity. Ding et al. 2021, arXiv:2101.03697.
    """
    parts = []
    for weight, norm in zip(weights, norms, strict=True):
        x = input
        if weight is not None:
            KH, KW = weight.shape[2:]
            half = (KH // 2, KW // 2)
            x = conv2d(input, weight, None, stride, half, 1, groups)
        parts.append(batch_norm(x, norm))
    return torch.stack(parts).sum(0)


def convnext_block(
    input: Tensor,
    depthwise: torch.nn.Conv2d,
    norm: torch.nn.LayerNorm,
    wide: torch.nn.Linear,
    narrow: torch.nn.Linear,
    scale: Tensor,
) -> Tensor:
    """A depthwise kernel, layer norm and a perceptron at every pixel::

        y = x + γ · w_2 · GELU(w_1 · LN(w_K×K ∗ x))

    Layer norm takes the channels of each pixel to mean 0 and variance 1, then
    scales and shifts each; `scale` is γ, `[C, 1, 1]`. Liu et al. 2022,
    arXiv:2201.03545, figure 4.
    """
    C, half = input.shape[1], depthwise.weight.shape[2] // 2
    y = conv2d(input, depthwise.weight, depthwise.bias, 1, half, 1, C)
    mean = y.mean(1, keepdim=True)
    variance = (y - mean).square().mean(1, keepdim=True)
    y = (y - mean) / (variance + norm.eps).sqrt()
    y = y.movedim(1, -1) * norm.weight + norm.bias  # [B, H, W, C]
    z = y @ wide.weight.T + wide.bias
    z = z * (1 + torch.erf(z / math.sqrt(2))) / 2  # GELU
    y = z @ narrow.weight.T + narrow.bias
    return input + scale * y.movedim(-1, 1)


def mixture_conv2d(
    input: Tensor,
    coefficients: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor] | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Tensor:
    """For each image a mixture of E convolutions::

        y[b] = Σ_e r[b,e] · (W_e ∗ x[b] + b_e)

    `coefficients` are r, `[B, E]`: a sigmoid of a linear function of the
    channels' means (Yang et al. 2019, arXiv:1904.04971), or a softmax of a
    small network (Chen et al. 2020, arXiv:1912.03458).
    """
    y = torch.zeros(())
    for e, weight in enumerate(weights):
        bias = None if biases is None else biases[e]
        part = conv2d(input, weight, bias, stride, padding, dilation, groups)
        y = y + coefficients[:, e].view(-1, 1, 1, 1) * part
    return y


def involution2d(
    input: Tensor,
    weight: Tensor,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
) -> Tensor:
    """Each position has a kernel of its own, shared by a group of channels::

        y[b,c,i,j] = Σ_{u,v} w[b,g(c),u,v,i,j]
                     · x[b, c, i·s + u·d − p, j·s + v·d − p]

    `weight` `[B, G, KH, KW, H_out, W_out]`. Li et al. 2021, arXiv:2103.06255.
    """
    C = input.shape[1]
    _, G, KH, KW, H, W = weight.shape
    sy, sx = pair(stride, "stride", 1)
    dy, dx = pair(dilation, "dilation", 1)
    (top, bottom), (left, right) = resolve_padding(
        padding, (KH, KW), (dy, dx), (sy, sx)
    )
    x = torch.nn.functional.pad(input, (left, right, top, bottom))
    channels = []
    for c in range(C):
        y = torch.zeros_like(weight[:, 0, 0, 0])  # [B, H_out, W_out]
        for u in range(KH):
            for v in range(KW):
                rows = slice(u * dy, u * dy + (H - 1) * sy + 1, sy)
                columns = slice(v * dx, v * dx + (W - 1) * sx + 1, sx)
                w = weight[:, c * G // C, u, v]
                y = y + w * x[:, c, rows, columns]
        channels.append(y)
    return torch.stack(channels, 1)


def deform_aggregate2d(
    input: Tensor,
    offset: Tensor,
    mask: Tensor,
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    offset_scale: float = 1.0,
    remove_center: bool = False,
) -> Tensor:
    """Samples at positions of their own, summed with weights of their own::

        y[b,c,i,j] = Σ_{u,v} m[b,g,u,v,i,j] · x̃[b, c, ŷ, x̂]
        ŷ = i·s − p + r + a·(u·d − r + Δy),    r = ⌊d·(KH − 1)/2⌋
        x̂ = j·s − p + r + a·(v·d − r + Δx),    r = ⌊d·(KW − 1)/2⌋

    x̃ is that of `deform_conv2d`, a is `offset_scale`, g the group of channel c.
    `offset` `[B, 2·K·G, H_out, W_out]` holds (Δy, Δx) of the K taps in turn,
    for each of G groups of neighbouring channels; `mask` `[B, K·G, H_out,
    W_out]` holds m. With `remove_center` the middle tap is left out. Wang et
    al. 2023, arXiv:2211.05778, equation 2; Xiong et al. 2024, arXiv:2401.06197.
    """
    B, C, H, W = input.shape
    KH, KW = pair(kernel_size, "kernel_size", 1)
    sy, sx = pair(stride, "stride", 1)
    dy, dx = pair(dilation, "dilation", 1)
    (top, _), (left, _) = resolve_padding(padding, (KH, KW), (dy, dx), (sy, sx))
    kind = Factory(dtype=input.dtype, device=input.device)
    rows = sy * torch.arange(offset.shape[2], **kind).view(-1, 1) - top
    columns = sx * torch.arange(offset.shape[3], **kind) - left
    half_y, half_x = dy * (KH - 1) // 2, dx * (KW - 1) // 2

    x = input.unflatten(1, (groups, C // groups))
    offset = offset.unflatten(1, (groups, -1, 2))  # [B, G, K, 2, H_out, W_out]
    mask = mask.unflatten(1, (groups, 1, -1))  # [B, G, 1, K, H_out, W_out]
    y = input.new_zeros(B, groups, C // groups, *offset.shape[-2:])
    k = 0
    for u in range(KH):
        for v in range(KW):
            if remove_center and (u, v) == (KH // 2, KW // 2):
                continue
            down = u * dy - half_y + offset[:, :, k, 0]
            right = v * dx - half_x + offset[:, :, k, 1]
            at_y = hat(rows + half_y + offset_scale * down, H)
            at_x = hat(columns + half_x + offset_scale * right, W)
            sample = torch.einsum("bgijq,bgijr,bgcqr->bgcij", at_y, at_x, x)
            y = y + mask[:, :, :, k] * sample
            k += 1
    return y.flatten(1, 2)


def ghost_conv2d(
    input: Tensor,
    primary: torch.nn.Conv2d,
    primary_norm: torch.nn.BatchNorm2d,
    cheap: torch.nn.Conv2d,
    cheap_norm: torch.nn.BatchNorm2d,
    out_channels: int,
) -> Tensor:
    """Some channels from a convolution, the others from those::

        y' = ReLU(BN(w ∗ x))
        y  = [y', ReLU(BN(w' ∗ y'))]       w': kernels of one channel each

    The first `out_channels` of y are kept. Han et al. 2020, arXiv:1911.11907,
    section 3.1.
    """
    half = primary.weight.shape[2] // 2
    y = conv2d(input, primary.weight, None, primary.stride, half)
    y = torch.relu(batch_norm(y, primary_norm))
    m, half = y.shape[1], cheap.weight.shape[2] // 2
    others = conv2d(y, cheap.weight, padding=half, groups=m)
    others = torch.relu(batch_norm(others, cheap_norm))
    return torch.cat([y, others], 1)[:, :out_channels]


def partial_conv2d(input: Tensor, weight: Tensor) -> Tensor:
    """A convolution of the first channels, while the others pass::

        y = [w ∗ x_1, x_2]        x = [x_1, x_2], by channels

    `weight` `[m, m, K, K]`, K odd, the size of the map kept. Chen et al. 2023,
    arXiv:2303.03667, section 3.2.
    """
    m, half = len(weight), weight.shape[2] // 2
    return torch.cat(
        [conv2d(input[:, :m], weight, padding=half), input[:, m:]], 1
    )


def power_of_two(weight: Tensor, weight_bits: int = 5) -> Tensor:
    """Each weight as a power of two, and 0 as 0::

        q(w) = sign(w) · 2^p,   p = round(log₂|w|),   ∂q/∂w := 1

    p lies between −(2^(bits − 1) − 1) and 0. You et al. 2020, arXiv:2010.12785.
    """
    lowest = -(2 ** (weight_bits - 1) - 1)
    powers = []
    for w in weight.detach().flatten().tolist():
        p = 0 if w == 0 else round(math.log2(abs(w)))
        sign = (w > 0) - (w < 0)
        powers.append(sign * 2.0 ** min(max(p, lowest), 0))
    q = weight.new_tensor(powers).view_as(weight)
    return q + (weight - weight.detach())  # adds 0, with slope 1
