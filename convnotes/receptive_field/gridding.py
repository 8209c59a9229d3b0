"""What a stack of dilated convolutions leaves out: the holes between the pixels that its taps reach.

Wang et al., "Understanding convolution for semantic segmentation", WACV 2018, arXiv:1702.08502 ·
chapter receptive_field/dilated.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from convnotes import checks


def coverage(rates: Sequence[int], kernel_size: int = 3) -> Tensor:
    """How many paths lead from each input pixel to one output pixel through a stack of dilated kernels.

    The result is int64 `[F, F]` with F = 1 + (k − 1)·Σ r, the receptive field. A pixel with 0 is a hole: with rates 2,
    2 the stack never looks at every other row and column (gridding).

    Args:
        rates: one dilation per layer; their order does not matter.
        kernel_size: k, side of every kernel.

    Raises:
        TypeError, ValueError: for a bad argument, and where the number of paths does not fit into an int64.

    Example:
        >>> from convnotes.receptive_field.dilated import coverage
        >>> coverage([2])
        tensor([[1, 0, 1, 0, 1],
                [0, 0, 0, 0, 0],
                [1, 0, 1, 0, 1],
                [0, 0, 0, 0, 0],
                [1, 0, 1, 0, 1]])
    """
    rates = checks.wholes("rates", rates)
    checks.positive(kernel_size=kernel_size)
    if kernel_size ** (2 * len(rates)) >= 2**63:
        raise ValueError(f"{len(rates)} layers of {kernel_size}×{kernel_size} have more paths than an int64 can count")
    line = torch.ones(1, dtype=torch.int64)  # both axes alike: a path is a vertical and a horizontal one
    for rate in rates:
        longer = line.new_zeros(len(line) + rate * (kernel_size - 1))
        for u in range(kernel_size):
            longer[u * rate : u * rate + len(line)] += line
        line = longer
    return torch.outer(line, line)


def gridding_holes(rates: Sequence[int], kernel_size: int = 3) -> int:
    """How many of the F² pixels of the receptive field no path reaches.

    Args:
        rates, kernel_size: as in `coverage`.

    Raises:
        TypeError, ValueError: as `coverage`.

    Example:
        >>> from convnotes.receptive_field.dilated import gridding_holes
        >>> gridding_holes([1, 2, 5]), gridding_holes([2, 2, 2])
        (0, 120)
    """
    return int((coverage(rates, kernel_size) == 0).sum())


def hdc_distance(rates: Sequence[int]) -> int:
    """M₂, the distance by which hybrid dilated convolution judges rates, section 3.2 of Wang et al. 2018::

        M_n = r_n,   M_l = max( M_{l+1} − 2·r_l, 2·r_l − M_{l+1}, r_l )

    The paper asks for M₂ ≤ k. With r₁ = 1 this leaves no holes; with another r₁ it does not decide (2, 2, 2 passes and
    is full of holes), and some stacks without holes fail it (1, 1, 8 with k = 5). `gridding_holes` is exact.

    Args:
        rates: r₁ … r_n in the order of the layers, two at least.

    Raises:
        TypeError, ValueError: for a bad argument.

    Example:
        >>> from convnotes.receptive_field.dilated import hdc_distance
        >>> hdc_distance([1, 2, 5])
        2
    """
    rates = checks.wholes("rates", rates, at_least=2)
    distance = rates[-1]
    for rate in reversed(rates[1:-1]):
        distance = max(distance - 2 * rate, 2 * rate - distance, rate)
    return distance
