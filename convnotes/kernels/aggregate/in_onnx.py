"""The deformable aggregation as ONNX's DeformConv, of opset 19 and later: one kernel of ones for each channel."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from convnotes.kernels.aggregate.sampling import Taps
from convnotes.kernels.deform import in_onnx


def forward(input: Tensor, offset: Tensor, mask: Tensor, taps: Taps) -> Any:
    """`[B, C, h, w]`, for `torch.onnx.export`, by either of its two ways."""
    ones = input.new_ones(int(input.shape[1]), 1, *taps.kernel_size)
    return in_onnx.forward(input, offset, ones, mask, taps.sampling)
