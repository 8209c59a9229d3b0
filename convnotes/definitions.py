"""Every operator as its definition: tap by tap, slow and obvious.

This page is what the book shows and what the tests compare with. Nothing else imports it, and nothing here is
optimised: each function is its equation, so that it can be checked by reading. Gradients come from autograd.

Letters: b picture of the batch · c, o input and output channel · i, j output row and column · u, v kernel row and
column · s stride · p padding · d dilation · g group.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from convnotes.geometry import IntOrPair, Padding, output_size, pair, resolve_padding


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Tensor:
    """The plain convolution of deep learning (a cross-correlation: the kernel is not flipped).

        y[b,o,i,j] = bias[o] + Σ_{c,u,v} w[o,c,u,v] · x[b, c, i·s + u·d − p, j·s + v·d − p]

    `input` `[B, C, H, W]`, `weight` `[O, C/groups, KH, KW]` → `[B, O, H_out, W_out]`; places outside the picture
    are 0, and an output channel sees only the input channels of its group. Dumoulin & Visin 2016.
    """
    B, C = input.shape[:2]
    O, _, KH, KW = weight.shape
    (sy, sx), (dy, dx) = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    (top, bottom), (left, right) = resolve_padding(padding, (KH, KW), (dy, dx), (sy, sx))
    H, W = output_size(input.shape[2:], (KH, KW), (sy, sx), padding, (dy, dx))

    x = torch.nn.functional.pad(input, (left, right, top, bottom)).unflatten(1, (groups, C // groups))
    w = weight.unflatten(0, (groups, O // groups))  # [G, O/G, C/G, KH, KW]
    y = input.new_zeros(B, groups, O // groups, H, W)
    for u in range(KH):
        for v in range(KW):
            rows = slice(u * dy, u * dy + (H - 1) * sy + 1, sy)
            columns = slice(v * dx, v * dx + (W - 1) * sx + 1, sx)
            y = y + torch.einsum("bgcij,goc->bgoij", x[..., rows, columns], w[..., u, v])
    y = y.flatten(1, 2)
    return y if bias is None else y + bias.view(1, O, 1, 1)


def pointwise(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The 1×1 convolution: one matrix, applied to the channels of every pixel.

        y[b,o,i,j] = bias[o] + Σ_c w[o,c] · x[b,c,i,j]

    `input` `[B, C, H, W]`, `weight` `[O, C]` → `[B, O, H, W]`. Lin, Chen & Yan 2013, arXiv:1312.4400.
    """
    y = torch.einsum("oc,bcij->boij", weight, input)
    return y if bias is None else y + bias.view(1, -1, 1, 1)


def mlpconv(
    input: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
) -> Tensor:
    """The block of Network in Network: a convolution, then a small perceptron on the channels of every pixel.

        z_0 = ReLU(w_0 ∗ x + b_0),   z_n = ReLU(w_n · z_{n−1} + b_n)   at every pixel

    `weights[0]` is `[O_0, C, KH, KW]`, each later one `[O_n, O_{n−1}, 1, 1]`. Lin, Chen & Yan 2013, section 3.1.
    """
    z = torch.relu(conv2d(input, weights[0], biases[0], stride, padding, dilation))
    for weight, bias in zip(weights[1:], biases[1:], strict=True):
        z = torch.relu(pointwise(z, weight[:, :, 0, 0], bias))
    return z
