"""The deformable convolution as ONNX's own operator, DeformConv, of opset 19 and later."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from convnotes.kernels.deform.sampling import Sampling


def forward(input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, sampling: Sampling) -> Any:
    """`[B, O, h, w]`, for `torch.onnx.export`, by either of its two ways."""
    (sy, sx), (top, left), (dy, dx) = sampling
    KH, KW = map(int, weight.shape[2:])
    attributes: dict[str, Any] = dict(
        strides=[sy, sx],
        pads=[top, left, top, left],
        dilations=[dy, dx],
        kernel_shape=[KH, KW],
        group=int(input.shape[1]) // int(weight.shape[1]),
        offset_group=int(offset.shape[1]) // (2 * KH * KW),
    )
    if torch.jit.is_tracing():
        return _Node.apply(input, offset, weight, mask, sampling, attributes, weight.new_zeros(int(weight.shape[0])))
    shape = (input.shape[0], weight.shape[0], *offset.shape[2:])
    inputs = (input, weight, offset, None, mask)  # without bias
    return torch.onnx.ops.symbolic("DeformConv", inputs, attributes, dtype=input.dtype, shape=shape, version=19)


class _Node(torch.autograd.Function):
    """The node of a traced graph, with its values for the trace."""

    @staticmethod
    def forward(ctx, input, offset, weight, mask, sampling, attributes, bias):
        return torch.ops.convnotes.deform_conv2d(input, offset, weight, mask, *sampling)

    @staticmethod
    def symbolic(g, input, offset, weight, mask, sampling, attributes, bias):
        inputs = (input, weight, offset, bias) if mask is None else (input, weight, offset, bias, mask)
        return g.op("DeformConv", *inputs, **{f"{name}_i": value for name, value in attributes.items()})
