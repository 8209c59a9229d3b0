"""Depthwise convolution with a backward of its own, where torch on the CPU leaves its fast path::

    y[b,c,i,j] = Σ_{u,v} w[c,u,v] · x[b, c, i − p + u·d, j − p + v·d]

The forward pass is torch's, in the memory format in which it is fast. For a dilated kernel that reaches over more than
13 columns it is fast in none, and loops of our own take over (`in_numba`): 4 to 14 times as fast with planes, 1.5 to 15
times with channels last. Torch's backward on the CPU is several times as slow from dilation 2 or a kernel side of 5 on,
with channels last from 81 taps on. There the gradient of the input is taken as one more forward convolution, and that
of the weight by loops of our own, or in plain torch (`in_torch`). Second derivatives and `torch.func` are torch's own.
Padding is a zero like any other: it meets a weight or a gradient that is infinite, and makes NaN of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from convnotes.geometry import IntOrPair, resolve_padding
from convnotes.kernels import backend
from convnotes.kernels.depthwise import in_torch
from convnotes.kernels.depthwise.plane import Plane, wide_and_dilated
from convnotes.kernels.operator import define
from convnotes.kernels.transforms import one_node, transformed

# Numbers of a map from which the backward in plain torch beats torch's own, measured on 1 and 2 threads: of one image
# tap by tap, of all by columns. On smaller ones the calls take longer than what they save. Compiled loops pay on all.
_TAPS_PAY_FROM, _COLUMNS_PAY_FROM = 2**15, 2**16
# Taps of a kernel: with fewer, torch is fast by itself in that format. The second is for wide and dilated kernels.
_CHANNELS_LAST_PAYS_FROM = 81, 25


@one_node
def depthwise_conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: IntOrPair | str,
    dilation: Sequence[int],
) -> Tensor:
    """`torch.nn.functional.conv2d` with a group for each input channel; `input` `[B, C, H, W]`."""
    captured = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if captured:
        return F.conv2d(input, weight, bias, stride, padding, dilation, input.shape[-3])
    if not _is_faster(input, weight, stride, padding, dilation):
        return in_torch.convolve(input, weight, bias, stride, padding, dilation)
    vertical, horizontal = resolve_padding(padding, weight.shape[2:], dilation, stride)
    return _operator(input, weight, bias, Plane((*vertical, *horizontal), (dilation[0], dilation[1])))


def off_the_fast_path(kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> bool:
    """Is it a kernel whose backward torch computes slowly on the CPU, and which has one here?"""
    return (max(dilation) >= 2 or max(kernel) >= 5) and max(stride) == 1


def _is_faster(
    input: Tensor, weight: Tensor, stride: Sequence[int], padding: IntOrPair | str, dilation: Sequence[int]
) -> bool:
    """On the CPU, as measured: see the head of this file."""
    kernel = weight.shape[2:]
    slow = wide_and_dilated(kernel, dilation)
    if not slow and not (torch.is_grad_enabled() and (input.requires_grad or weight.requires_grad)):
        return False
    if not off_the_fast_path(kernel, stride, dilation) or input.device.type != "cpu" or input.dim() != 4:
        return False
    if input.dtype not in (torch.float32, torch.float64) or input.dtype != weight.dtype:
        return False
    channels_last = input.stride(1) == 1 and not input.is_contiguous()
    if len(weight) != input.shape[1] or (channels_last and weight[0].numel() < _CHANNELS_LAST_PAYS_FROM[slow]):
        return False
    if torch.is_autocast_enabled("cpu") or transformed(input, weight):
        return False
    compiled = backend.chosen("depthwise_conv2d", (input, weight)) == "numba"
    if in_torch.dense_and_many(input, (dilation[0], dilation[1])):
        pays = input.numel() >= _COLUMNS_PAY_FROM
    else:
        pays = input.shape[1:].numel() >= _TAPS_PAY_FROM
    if not (compiled or pays):
        return False
    pads = resolve_padding(padding, kernel, dilation, stride)
    return all(max(pad) <= d * (k - 1) for pad, k, d in zip(pads, kernel, dilation, strict=True))


_operator = define(
    "depthwise_conv2d",
    __package__,
    "Tensor input, Tensor weight, Tensor? bias",
    Plane,
    "forward",
    gradient="backward",
    in_torch=in_torch.forward,
    products=lambda needed: sum(needed[:2]),
    join=(1, 0, 0),  # the mapped dimension joins the channels
    flops=lambda shapes, _, result: 2 * math.prod(result) * math.prod(shapes[1][2:]),
)
