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

import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from convnotes.geometry import IntOrPair, resolve_padding
from convnotes.kernels import backend, rules
from convnotes.kernels.depthwise import in_torch
from convnotes.kernels.depthwise.plane import Plane
from convnotes.kernels.operator import define
from convnotes.kernels.transforms import one_node


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
    chosen = functools.partial(backend.chosen, "depthwise_conv2d", (input, weight))
    call = rules.Depthwise(input, weight, chosen, stride, padding, dilation)
    if rules.DEPTHWISE.first(call).way == "torch":
        return in_torch.convolve(input, weight, bias, stride, padding, dilation)
    vertical, horizontal = resolve_padding(padding, weight.shape[2:], dilation, stride)
    return _operator(input, weight, bias, Plane((*vertical, *horizontal), (dilation[0], dilation[1])))


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
