"""The geometry of a depthwise convolution of stride 1, and its sizes by their names."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from convnotes.kernels.transforms import empty_like_format


class Plane(NamedTuple):
    """`padding` is (top, bottom, left, right)."""

    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]

    def empty(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """An unwritten result."""
        (top, bottom, left, right), (dy, dx), (KH, KW) = self.padding, self.dilation, weight.shape[2:]
        height, width = input.shape[2] + top + bottom - dy * (KH - 1), input.shape[3] + left + right - dx * (KW - 1)
        return empty_like_format(input, (*input.shape[:2], height, width))


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
