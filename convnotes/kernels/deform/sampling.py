"""Where the taps of a deformable convolution lie before they move, and all its sizes by their names."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from convnotes.geometry import Pair
from convnotes.kernels.transforms import channels_last


class Sizes(NamedTuple):
    """Of input `[B, C, H, W]`, weight `[O, c, KH, KW]` and output `[B, O, h, w]`, with G offset groups."""

    B: int
    C: int
    H: int
    W: int
    O: int
    c: int
    KH: int
    KW: int
    h: int
    w: int
    G: int
    sy: int
    sx: int
    top: int
    left: int
    dy: int
    dx: int

    @property
    def K(self) -> int:
        return self.KH * self.KW

    @property
    def groups(self) -> int:
        return self.C // self.c

    @property
    def places(self) -> int:
        return self.B * self.h * self.w


class Sampling(NamedTuple):
    """The geometry of the plain convolution; `padding` is (top, left)."""

    stride: Pair
    padding: Pair
    dilation: Pair

    def sizes(self, input: Tensor, offset: Tensor, weight: Tensor) -> Sizes:
        G = offset.shape[1] // (2 * weight.shape[2:].numel())
        geometry = (*self.stride, *self.padding, *self.dilation)
        return Sizes._make((*input.shape, *weight.shape, *offset.shape[2:], G, *geometry))

    def empty(self, input: Tensor, offset: Tensor, weight: Tensor, *_: Tensor | None) -> Tensor:
        """An unwritten result, in the memory format of the input."""
        B, O, (h, w) = input.shape[0], weight.shape[0], offset.shape[2:]
        if channels_last(input):
            return input.new_empty(B, h, w, O).permute(0, 3, 1, 2)
        return input.new_empty(B, O, h, w)
