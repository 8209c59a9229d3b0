"""A depthwise convolution in plain torch, and its gradients for stride 1.

With a wide kernel torch is many times as fast with channels last as with planes: there the image is copied, and the
result copied back. The gradient of the input is one more forward convolution, by the kernel turned round. That of the
weight is taken a few columns of the kernel at a time, or tap by tap where the kernel is dilated.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

from convnotes.geometry import IntOrPair
from convnotes.kernels import rules
from convnotes.kernels.depthwise.plane import WIDEST, Plane

_WIDTH = 3  # of a kernel whose gradient oneDNN takes on its fast path, however high it is


def forward(input: Tensor, weight: Tensor, bias: Tensor | None, plane: Plane) -> Tensor:
    """`[B, C, h, w]`, differentiable any number of times."""
    (top, bottom, left, right), dilation = plane
    if top != bottom or left != right:
        input, top, left = F.pad(input, (left, right, top, bottom)), 0, 0
    return convolve(input, weight, bias, 1, (top, left), dilation)


def convolve(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: IntOrPair | str,
    dilation: Sequence[int],
) -> Tensor:
    """torch's convolution, by way of channels last where that is many times as fast as with planes."""
    wide = weight.shape[3] > WIDEST and max(dilation) == 1
    planes = input.device.type == "cpu" and input.dtype == torch.float32 and input.dim() == 4 and input.is_contiguous()
    if wide and planes and not torch.is_autocast_enabled("cpu"):
        last = input.to(memory_format=torch.channels_last)
        return F.conv2d(last, weight, bias, stride, padding, dilation, input.shape[1]).contiguous()
    return F.conv2d(input, weight, bias, stride, padding, dilation, input.shape[-3])


def backward(
    grad: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None, plane: Plane, needed: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of input, weight and bias."""
    by_input = by_weight = None
    if needed[0]:
        by_input = forward(grad, weight.flip(2, 3), None, plane.turned(weight))
    if needed[1]:
        weight_gradient = _weight_by_columns if rules.dense_and_many(grad, plane.dilation) else _weight_by_taps
        by_weight = weight_gradient(grad, input, weight, plane)
    return by_input, by_weight, grad.sum((0, 2, 3)) if needed[2] else None


def _weight_by_columns(grad: Tensor, input: Tensor, weight: Tensor, plane: Plane) -> Tensor:
    """The gradient of the weight as that of narrow kernels side by side, each of its own window of the image."""
    by_weight, (KH, KW), (top, bottom, before, after) = torch.empty_like(weight), weight.shape[2:], plane.padding
    grad = grad.flatten(0, 1)[None]  # each image has kernels of its own: [1, B·C, h, w]
    for left in range(0, KW, _WIDTH):
        right = min(left + _WIDTH, KW)
        first, last = before - left, after - (KW - right)  # columns to add; < 0 cuts some off, of the padding too
        window = F.pad(input, (max(0, first), max(0, last), top, bottom))
        window = window.narrow(3, max(0, -first), input.shape[3] + first + last).flatten(0, 1)[None]
        size = (len(window[0]), 1, KH, right - left)
        found = conv2d_weight(window, size, grad, groups=size[0])
        by_weight[..., left:right] = found.unflatten(0, (-1, len(weight))).sum(0)
    return by_weight


def _weight_by_taps(grad: Tensor, input: Tensor, weight: Tensor, plane: Plane) -> Tensor:
    (top, bottom, left, right), (dy, dx) = plane
    padded = F.pad(input, (left, right, top, bottom))
    by_weight, (KH, KW), (h, w) = torch.zeros_like(weight), weight.shape[2:], grad.shape[2:]
    product = grad.new_empty(grad.shape[1:])  # of one image: it stays in the cache
    for b in range(len(grad)):
        for u in range(KH):
            for v in range(KW):
                torch.mul(padded[b, :, u * dy : u * dy + h, v * dx : v * dx + w], grad[b], out=product)
                by_weight[:, 0, u, v] += product.sum((1, 2))
    return by_weight
