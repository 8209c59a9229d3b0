"""The layer of the fundamentals that is more than a plain convolution, as its
definition.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from convnotes.definitions.plain import conv2d
from convnotes.geometry import IntOrPair, pair


def mixed_conv2d(
    input: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor] | None = None,
    stride: IntOrPair = 1,
    dilation: IntOrPair = 1,
) -> Tensor:
    """The mixed convolution: kernels of M sizes, the m-th on the m-th of M
    equal parts of the channels::

        y = concat_m( w_m ∗ x[:, P_m] + b_m )
        with d·(k_m − 1)/2 pixels of padding on each side: all have one size

    `weights[m]` `[O_m, C_m, k_m, k_m]`, or `[O_m, 1, k_m, k_m]` for kernels
    that see one channel each. For an even
    kernel the odd pixel is at the bottom and on the right. The first part has
    also the channels that M does not divide. Tan & Le 2019, section 3.1.
    """
    C, M = input.shape[1], len(weights)
    first, dilation = C // M + C % M, pair(dilation, "dilation", 1)
    results = []
    for m, weight in enumerate(weights):
        begin = 0 if m == 0 else first + (m - 1) * (C // M)
        x = input[:, begin : first + m * (C // M)]
        down, across = (d * (weight.shape[2] - 1) for d in dilation)
        x = torch.nn.functional.pad(
            x, (across // 2, across - across // 2, down // 2, down - down // 2)
        )
        groups = x.shape[1] // weight.shape[1]
        bias = None if biases is None else biases[m]
        results.append(conv2d(x, weight, bias, stride, 0, dilation, groups))
    return torch.cat(results, dim=1)
