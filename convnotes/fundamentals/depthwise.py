"""Depthwise convolution as a layer: `torch.nn.Conv2d`, trained fast on the CPU::

    y[b,c,i,j] = Σ_{u,v} w[c,u,v] · x[b, c, i·s − p + u·d, j·s − p + v·d]

s is the stride, p the padding, d the dilation.
"""

from __future__ import annotations

from torch import Tensor, nn

from convnotes.geometry import Reach, kernel_reach
from convnotes.kernels.depthwise.operator import depthwise_conv2d


class DepthwiseConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` with as many groups as input channels, and `depthwise_conv2d` behind it."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return depthwise_conv2d(input, weight, bias, self.stride, self.padding, self.dilation)

    def reach(self) -> Reach:
        """(before, after, stride) of each axis, for `convnotes.measure.receptive_field`."""
        return kernel_reach(self.kernel_size, self.stride, self.padding, self.dilation)
