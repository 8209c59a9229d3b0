"""The blocks of part 4, after the source, as their definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from convnotes.definitions.plain import batch_norm, conv2d


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
