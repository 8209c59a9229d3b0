"""The taps of a deformable aggregation, and its sizes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from convnotes.geometry import Pair
from convnotes.kernels.deform.sampling import Sampling, Sizes


class Taps(NamedTuple):
    """The geometry of the plain convolution; `padding` is (top, left)."""

    kernel_size: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.stride, self.padding, self.dilation)

    def sizes(self, input: Tensor, offset: Tensor) -> Sizes:
        """As those of a convolution from all channels to one."""
        G = offset.shape[1] // (2 * self.kernel_size[0] * self.kernel_size[1])
        one = (1, input.shape[1], *self.kernel_size)
        geometry = (*self.stride, *self.padding, *self.dilation)
        return Sizes._make((*input.shape, *one, *offset.shape[2:], G, *geometry))

    def empty(self, input: Tensor, offset: Tensor, *_: Tensor) -> Tensor:
        """An unwritten result, in the memory format of the input."""
        (B, C), (h, w) = input.shape[:2], offset.shape[2:]
        if input.stride(1) == 1 and not input.is_contiguous():
            return input.new_empty(B, h, w, C).permute(0, 3, 1, 2)
        return input.new_empty(B, C, h, w)
