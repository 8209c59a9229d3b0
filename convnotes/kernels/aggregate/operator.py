"""The deformable aggregation as one operator of torch, and what computes it: see `deform.operator`.

It has no weight, so that samples are summed. What finds, reads and hands back samples is the deformable convolution's.
"""

from __future__ import annotations

from torch import Tensor

from convnotes.kernels.aggregate import in_torch
from convnotes.kernels.aggregate.sampling import Taps
from convnotes.kernels.deform.operator import sampled
from convnotes.kernels.operator import define


def aggregate(input: Tensor, offset: Tensor, mask: Tensor, taps: Taps) -> Tensor:
    """`[B, C, h, w]`, perhaps channels last: `deform_aggregate2d` without checks, offsets in pixels from the taps."""
    return sampled("deform_aggregate2d", _operator, in_torch.forward, (input, offset, mask), taps)


_operator = define(
    "deform_aggregate2d",
    __package__,
    "Tensor input, Tensor offset, Tensor mask",
    Taps,
    "forward",
    gradient="backward",
    in_torch=in_torch.forward,
    join=(1, 1, 1),  # maps [B, V·C, H, W]: the mapped dimension makes more groups
    join_result=lambda taps: 1,
    in_onnx="forward",
    float32_under_autocast=True,
)
