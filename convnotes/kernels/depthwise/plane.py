"""The geometry of a depthwise convolution of stride 1, and its sizes by their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from convnotes.kernels.transforms import empty_like_format

WIDEST = 13  # columns from the first tap to the last for which oneDNN has fast code, with AVX2 and with AVX-512


class Plane(NamedTuple):
    """`padding` is (top, bottom, left, right)."""

    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]

    def empty(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """An unwritten result."""
        (top, bottom, left, right), (dy, dx), (KH, KW) = self.padding, self.dilation, weight.shape[2:]
        height, width = input.shape[2] + top + bottom - dy * (KH - 1), input.shape[3] + left + right - dx * (KW - 1)
        return empty_like_format(input, (*input.shape[:2], height, width))

    def turned(self, weight: Tensor) -> Plane:
        """That of the gradient of the input, a convolution of the output's by the kernel turned round."""
        (top, bottom, left, right), (dy, dx), (KH, KW) = self.padding, self.dilation, weight.shape[2:]
        tall, wide = dy * (KH - 1), dx * (KW - 1)
        return self._replace(padding=(tall - top, tall - bottom, wide - left, wide - right))


def wide_and_dilated(kernel: Sequence[int], dilation: Sequence[int]) -> bool:
    """Is it a kernel that torch computes slowly on the CPU in either memory format?"""
    return max(dilation) > 1 and dilation[1] * (kernel[1] - 1) + 1 > WIDEST


class Sizes(NamedTuple):
    """Of input `[B, C, H, W]`, weight `[C, 1, KH, KW]` and output `[B, C, h, w]`."""

    B: int
    C: int
    H: int
    W: int
    h: int
    w: int
    KH: int
    KW: int
    top: int
    bottom: int
    left: int
    right: int
    dy: int
    dx: int
