"""The plain convolution, and the small steps that blocks are made of, as their
definitions.
"""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor

from convnotes.geometry import (
    IntOrPair,
    Padding,
    output_size,
    pair,
    resolve_padding,
)


class Window(TypedDict, total=False):
    """How the kernel of a convolution moves, as in `conv2d`."""

    stride: IntOrPair
    padding: Padding
    dilation: IntOrPair


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Tensor:
    """The plain convolution of deep learning (a cross-correlation: the kernel
    is not flipped)::

        y[b,o,i,j] = bias[o] + Σ_{c,u,v} w[o,c,u,v]
                     · x[b, c, i·s + u·d − p, j·s + v·d − p]

    `input` `[B, C, H, W]`, `weight` `[O, C/groups, KH, KW]` → `[B, O, H_out,
    W_out]`; positions outside the image are 0, and an output channel sees only
    the input channels of its group. Dumoulin & Visin 2016.
    """
    B, C = input.shape[:2]
    O, _, KH, KW = weight.shape
    sy, sx = pair(stride, "stride", 1)
    dy, dx = pair(dilation, "dilation", 1)
    (top, bottom), (left, right) = resolve_padding(
        padding, (KH, KW), (dy, dx), (sy, sx)
    )
    H, W = output_size(input.shape[2:], (KH, KW), (sy, sx), padding, (dy, dx))

    x = torch.nn.functional.pad(input, (left, right, top, bottom)).unflatten(
        1, (groups, C // groups)
    )
    w = weight.unflatten(0, (groups, O // groups))  # [G, O/G, C/G, KH, KW]
    y = input.new_zeros(B, groups, O // groups, H, W)
    for u in range(KH):
        for v in range(KW):
            rows = slice(u * dy, u * dy + (H - 1) * sy + 1, sy)
            columns = slice(v * dx, v * dx + (W - 1) * sx + 1, sx)
            y = y + torch.einsum(
                "bgcij,goc->bgoij", x[..., rows, columns], w[..., u, v]
            )
    y = y.flatten(1, 2)
    return y if bias is None else y + bias.view(1, O, 1, 1)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    output_padding: IntOrPair = 0,
    groups: int = 1,
    dilation: IntOrPair = 1,
) -> Tensor:
    """The transposed convolution: every input pixel spreads the kernel, times
    its value, over the output::

        y[b, o, i·s + u·d − p, j·s + v·d − p] ← bias[o]
            + the sum over all i, j, c, u, v of w[c,o,u,v] · x[b,c,i,j]

    `input` `[B, C, H, W]`, `weight` `[C, O/groups, KH, KW]` → `[B, O, H_out,
    W_out]` with H_out = (H − 1)·s − 2·p + d·(KH − 1) + output_padding + 1. The
    padding is cut off the output; what `output_padding` adds below and at the
    right may get only the bias. It is the gradient of `conv2d` with respect to
    its input. Dumoulin & Visin 2016, section 4.
    """
    B, C, H, W = input.shape
    _, share, KH, KW = weight.shape
    sy, sx = pair(stride, "stride", 1)
    py, px = pair(padding, "padding")
    ey, ex = pair(output_padding, "output_padding")
    dy, dx = pair(dilation, "dilation", 1)
    height = (H - 1) * sy + (KH - 1) * dy + 1 + ey
    width = (W - 1) * sx + (KW - 1) * dx + 1 + ex
    if height <= 2 * py or width <= 2 * px:
        raise ValueError(
            f"the padding {(py, px)} cuts off all of an output of "
            f"{height}×{width}"
        )

    x = input.unflatten(1, (groups, C // groups))
    w = weight.unflatten(0, (groups, C // groups))  # [G, C/G, O/G, KH, KW]
    y = input.new_zeros(B, groups, share, height, width)
    for u in range(KH):
        for v in range(KW):
            rows = slice(u * dy, u * dy + (H - 1) * sy + 1, sy)
            columns = slice(v * dx, v * dx + (W - 1) * sx + 1, sx)
            y[..., rows, columns] += torch.einsum(
                "bgcij,gco->bgoij", x, w[..., u, v]
            )
    y = y.flatten(1, 2)[..., py : height - py, px : width - px]
    return y if bias is None else y + bias.view(1, -1, 1, 1)


def batch_norm(input: Tensor, norm: torch.nn.BatchNorm2d) -> Tensor:
    """Batch norm in inference, with the averages that training has kept::

        y[b,c,i,j] = (x[b,c,i,j] − mean[c]) / √(variance[c] + ε) · γ[c] + β[c]

    Ioffe & Szegedy 2015.
    """
    shape = (1, -1, 1, 1)
    assert norm.running_mean is not None, "the norm keeps no running statistics"
    assert norm.running_var is not None, "the norm keeps no running statistics"
    mean, variance = norm.running_mean.view(shape), norm.running_var.view(shape)
    return (input - mean) / torch.sqrt(variance + norm.eps) * norm.weight.view(
        shape
    ) + norm.bias.view(shape)


def batch_norm_in_training(
    input: Tensor, norm: torch.nn.BatchNorm2d
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch norm in training, with the mean and the variance of this batch::

        mean[c]     = 1/N · Σ_{b,i,j} x[b,c,i,j]                N = B·H·W
        variance[c] = 1/N · Σ_{b,i,j} (x[b,c,i,j] − mean[c])²
        y[b,c,i,j]  = (x[b,c,i,j] − mean[c]) / √(variance[c] + ε) · γ[c] + β[c]

    Gives y and the running averages after this batch. The norm stays as it is.
    Ioffe & Szegedy 2015.
    """
    shape = (1, -1, 1, 1)
    mean = input.mean((0, 2, 3))
    variance = (input - mean.view(shape)).square().mean((0, 2, 3))
    y = (input - mean.view(shape)) / torch.sqrt(variance.view(shape) + norm.eps)
    y = y * norm.weight.view(shape) + norm.bias.view(shape)

    assert norm.running_mean is not None, "the norm keeps no running statistics"
    assert norm.running_var is not None, "the norm keeps no running statistics"
    assert norm.momentum is not None, "the norm keeps a mean over all batches"
    N, m = input[:, 0].numel(), norm.momentum
    running_mean = (1 - m) * norm.running_mean + m * mean
    running_var = (1 - m) * norm.running_var + m * variance * N / (N - 1)
    return y, running_mean, running_var


def conv_norm_relu(
    input: Tensor, weight: Tensor, norm: torch.nn.BatchNorm2d
) -> Tensor:
    """A size-keeping convolution without bias (kernel sides odd), batch norm in
    inference, ReLU.
    """
    padding = (weight.shape[2] // 2, weight.shape[3] // 2)
    return torch.relu(batch_norm(conv2d(input, weight, padding=padding), norm))


def max_pool3(input: Tensor) -> Tensor:
    """The largest of the 3×3 pixels around each pixel, as far as they lie in
    the image: `[B, C, H, W]` → same.
    """
    H, W = input.shape[2:]
    x = torch.nn.functional.pad(input, (1, 1, 1, 1), value=-torch.inf)
    return torch.stack(
        [x[:, :, u : u + H, v : v + W] for u in range(3) for v in range(3)]
    ).amax(0)
