"""Depthwise convolution as a layer: a plain `torch.nn.Conv2d`, trained fast on the CPU::

    y[b,c,i,j] = Σ_{u,v} w[c,u,v] · x[b, c, i·s − p + u·d, j·s − p + v·d]

s is the stride, p the padding, d the dilation.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.fx
from torch import Tensor, nn

from convnotes.kernels import private, rules
from convnotes.kernels.depthwise.operator import depthwise_conv2d


class DepthwiseConv2d(nn.Conv2d):
    """Makes a `torch.nn.Conv2d` with as many groups as input channels, and a fast backward where torch has none.

    What it makes is of that exact class, in training as in eval mode: tools that fuse, quantise, count or replace
    convolutions look for the class itself. Where torch is fast the layer is torch's own and nothing more; elsewhere it
    carries `depthwise_conv2d` as an attribute of its own.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> nn.Conv2d:  # type: ignore[misc]
        conv = nn.Conv2d(*args, **kwargs)
        if rules.off_the_fast_path(conv.kernel_size, conv.stride, conv.dilation):
            private.convolve_by(conv, _depthwise)
        return conv


def _depthwise(conv: nn.Conv2d, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    """None in a trace by torch.fx, and where the layer has become another: its attributes may be set at any time."""
    if isinstance(input, torch.fx.Proxy) or conv.padding_mode != "zeros" or conv.groups != conv.in_channels:
        return None
    return depthwise_conv2d(input, weight, bias, conv.stride, conv.padding, conv.dilation)
