"""The blocks of part 1, parameter compression, as their definitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from convnotes.definitions.plain import (
    Window,
    batch_norm,
    conv2d,
    conv_norm_relu,
    max_pool3,
)
from convnotes.geometry import Padding

if TYPE_CHECKING:
    from typing_extensions import Unpack


def pointwise(
    input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """The 1×1 convolution: one matrix, applied to the channels of every pixel::

        y[b,o,i,j] = bias[o] + Σ_c w[o,c] · x[b,c,i,j]

    `input` `[B, C, H, W]`, `weight` `[O, C]` → `[B, O, H, W]`. Lin, Chen & Yan
    2013, arXiv:1312.4400.
    """
    y = torch.einsum("oc,bcij->boij", weight, input)
    return y if bias is None else y + bias.view(1, -1, 1, 1)


def mlpconv(
    input: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    **window: Unpack[Window],
) -> Tensor:
    """The block of Network in Network: a convolution, then a small perceptron
    on the channels of every pixel::

        z_0 = ReLU(w_0 ∗ x + b_0)
        z_n = ReLU(w_n · z_{n−1} + b_n)   at every pixel

    `weights[0]` is `[O_0, C, KH, KW]`, each later one `[O_n, O_{n−1}, 1, 1]`;
    stride, padding and dilation are the first convolution's. Lin, Chen & Yan
    2013, section 3.1.
    """
    z = torch.relu(conv2d(input, weights[0], biases[0], **window))
    for weight, bias in zip(weights[1:], biases[1:], strict=True):
        z = torch.relu(pointwise(z, weight[:, :, 0, 0], bias))
    return z


def inception(
    input: Tensor,
    weights: Sequence[Tensor],
    norms: Sequence[torch.nn.BatchNorm2d],
) -> Tensor:
    """Four branches side by side; the large kernels and the pooled channels
    stand beside a 1×1 kernel::

        y = concat( f_1(x), f_3(r_3(x)), f_5(r_5(x)), p(maxpool3(x)) )
        f, r, p: convolution, batch norm, ReLU

    `weights` and `norms` are those of f_1, r_3, f_3, r_5, f_5, p in this order.
    Szegedy et al. 2015, figure 2b.
    """
    f1, r3, f3, r5, f5, p = zip(weights, norms, strict=True)
    branches = [
        conv_norm_relu(input, *f1),
        conv_norm_relu(conv_norm_relu(input, *r3), *f3),
        conv_norm_relu(conv_norm_relu(input, *r5), *f5),
        conv_norm_relu(max_pool3(input), *p),
    ]
    return torch.cat(branches, dim=1)


def factorised(
    input: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    bias: Tensor | None = None,
) -> Tensor:
    """An n×1 kernel and then a 1×n kernel, as the one n×n convolution that they
    are (n odd, the size is kept)::

        w[o,c,u,v] = Σ_m h[o,m,v] · a[m,c,u]      a sum of outer products

    `vertical` `[M, C, n, 1]`, `horizontal` `[O, M, 1, n]`. Szegedy et al. 2016,
    section 3.2.
    """
    weight = torch.einsum(
        "omv,mcu->ocuv", horizontal[:, :, 0], vertical[..., 0]
    )
    return conv2d(input, weight, bias, padding=vertical.shape[2] // 2)


def separable(
    input: Tensor,
    depthwise: Tensor,
    pointwise_weight: Tensor,
    bias: Tensor | None = None,
    **window: Unpack[Window],
) -> Tensor:
    """The depthwise separable convolution: m spatial kernels per channel, then
    a matrix on the C·m results::

        z[b,c·m+n,i,j] = Σ_{u,v} a[c,n,u,v] · x[b, c, i·s+u·d−p, j·s+v·d−p]
        y = w · z + β   at every pixel

    `depthwise` `[C·m, 1, KH, KW]`, `pointwise_weight` `[O, C·m]`; stride s,
    padding p and dilation d are the depthwise kernel's. Howard et al. 2017;
    Chollet 2017.
    """
    C = input.shape[1]
    m = depthwise.shape[0] // C
    planes = [
        conv2d(
            input[:, c : c + 1], depthwise[c * m + n : c * m + n + 1], **window
        )
        for c in range(C)
        for n in range(m)
    ]  # one channel through one kernel at a time
    return pointwise(torch.cat(planes, dim=1), pointwise_weight, bias)


def fire(
    input: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> Tensor:
    """Squeeze the channels by a 1×1 kernel, expand them by a 1×1 and a 3×3
    kernel side by side::

        s = ReLU(w_s · x + b_s)   at every pixel
        y = concat( ReLU(w_1 · s + b_1), ReLU(w_3 ∗ s + b_3) )

    `weights` are w_s `[S, C, 1, 1]`, w_1 `[E_1, S, 1, 1]` and w_3 `[E_3, S, 3,
    3]`. Iandola et al. 2016, section 3.2.
    """
    s = torch.relu(pointwise(input, weights[0][:, :, 0, 0], biases[0]))
    narrow = pointwise(s, weights[1][:, :, 0, 0], biases[1])
    wide = conv2d(s, weights[2], biases[2], padding=1)
    return torch.relu(torch.cat([narrow, wide], dim=1))


def kernel_stack(
    input: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    padding: Padding = 0,
    activation: bool = True,
) -> Tensor:
    """Small kernels one after another, each followed by ReLU, instead of one
    large kernel::

        z_0 = x,   z_n = ReLU(w_n ∗ z_{n−1} + b_n),   y = the last z

    `weights[n]` is `[O, O, 3, 3]`, the first `[O, C, 3, 3]`; `activation=False`
    leaves ReLU out. Simonyan & Zisserman 2015, section 2.3.
    """
    z = input
    for weight, bias in zip(weights, biases, strict=True):
        z = conv2d(z, weight, bias, padding=padding)
        z = torch.relu(z) if activation else z
    return z


def bottleneck(
    input: Tensor,
    weights: Sequence[Tensor],
    norms: Sequence[torch.nn.BatchNorm2d],
    stride: tuple[int, int] = (1, 1),
    groups: int = 1,
    shortcut: tuple[Tensor, torch.nn.BatchNorm2d] | None = None,
    dilation: int = 1,
) -> Tensor:
    """The residual bottleneck: 1×1, 3×3 and 1×1 kernels, and what they give is
    added to the input::

        y = ReLU( S(x) + B_3(w_3 · ReLU(B_2(w_2 ∗ ReLU(B_1(w_1 · x))))) )
        B_n: batch norm

    `weights` `[M, C, 1, 1]`, `[M, M/groups, 3, 3]`, `[O, M, 1, 1]`; `stride` is
    the first 1×1 kernel's and the 3×3 kernel's. S is the identity, or the 1×1
    kernel and the norm of `shortcut`. `dilation` is the 3×3 kernel's, which
    keeps its size. He et al. 2016; groups: Xie et al. 2017.
    """
    first, middle = stride
    z = torch.relu(batch_norm(conv2d(input, weights[0], None, first), norms[0]))
    z = torch.relu(
        batch_norm(
            conv2d(z, weights[1], None, middle, dilation, dilation, groups),
            norms[1],
        )
    )
    z = batch_norm(conv2d(z, weights[2]), norms[2])
    s = (
        input
        if shortcut is None
        else batch_norm(
            conv2d(input, shortcut[0], None, first * middle), shortcut[1]
        )
    )
    return torch.relu(s + z)
