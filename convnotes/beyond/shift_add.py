"""Shift and add: a convolution by powers of two, which are shifts of bits, and an adder after it::

    q(w) = sign(w) · 2^p,   p = round(log₂|w|), from −(2^{n−1} − 1) to 0       n: bits of a weight
    z = q(w) ∗ x,           ∂q/∂w := 1
    y[b,o,i,j] = − Σ_{c,u,v} | z[b, c, i+u−p, j+v−p] − a[o,c,u,v] |

Neither of them multiplies in hardware. The gradient goes straight through the rounding.
You et al., "ShiftAddNet", NeurIPS 2020, arXiv:2010.12785; Elhoushi et al., "DeepShift", arXiv:1905.13298 · chapter
beyond/cheap_features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.layer import Block, ConvBlock, draw_as_conv
from convnotes.geometry import Factory, IntOrPair, Padding, Reach, kernel_reach, pair
from convnotes.kernels.transforms import one_image
from convnotes.operations.adder import Adder2d, Gradient


def power_of_two(weight: Tensor, weight_bits: int = 5) -> Tensor:
    """The power of two that is nearest to each weight by its logarithm, with the weight's sign; 0 stays 0.

    The exponents are whole numbers from −(2^(weight_bits − 1) − 1) to 0. The gradient is that of the weight itself
    (straight-through). You et al. 2020, section 3.

    Args:
        weight: real numbers of any shape.
        weight_bits: one is the sign, the others are the exponent.

    Raises:
        TypeError, ValueError: for a number of bits that is not an int of at least 2.

    Example:
        >>> from convnotes.beyond.shift_add import power_of_two
        >>> power_of_two(torch.tensor([0.3, -0.4, 5.0, 1e-9, 0.0]), weight_bits=3)
        tensor([ 0.2500, -0.5000,  1.0000,  0.1250,  0.0000])
    """
    lowest = 1 - 2 ** (checks.whole("weight_bits", weight_bits, 2, 8) - 1)
    constant = weight.detach()
    exponent = constant.abs().log2().round().clamp(lowest, 0)
    power = 2.0**exponent if torch.jit.is_tracing() else torch.exp2(exponent)  # ONNX by tracing has no exp2
    return power * constant.sign() + (weight - constant)  # the second part is 0, with slope 1


class PowerOfTwoConv2d(ConvBlock, shown="groups weight_bits"):
    """A convolution by ± powers of two, which are learned as real numbers: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    Sizes are those of `torch.nn.Conv2d`. Weights start as its weights do, and each call rounds them by `power_of_two`,
    with the gradient straight through. The authors' code also rounds input and bias to 16 bits behind the point, and
    keeps the real weights in the range of the powers; this layer does neither. The time on a CPU or GPU is that of a
    convolution: what the powers save is a multiplier in hardware. You et al. 2020, section 3.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        kernel_size, stride, padding, dilation, groups: as in `torch.nn.Conv2d`.
        bias: whether to add a learned number per output channel, which is not rounded.
        weight_bits: of a weight, from 2 to 8; with 5 the powers go from 2⁻¹⁵ to 1.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer = PowerOfTwoConv2d(3, 16, kernel_size=3, padding=1)
        >>> layer(torch.rand(2, 3, 9, 7)).shape
        torch.Size([2, 16, 9, 7])
        >>> exponents = layer.rounded_weight().abs().log2()
        >>> bool((exponents == exponents.round()).all())
        True
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        weight_bits: int = 5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        checks.flags(bias=bias)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.weight_bits = checks.whole("weight_bits", weight_bits, 2, 8)
        shape, kw = (out_channels, in_channels // groups, *self.kernel_size), Factory(device=device, dtype=dtype)
        self.weight = nn.Parameter(torch.empty(shape, **kw))
        self.bias = nn.Parameter(torch.empty(out_channels, **kw)) if bias else None
        self._start()

    def _start(self) -> None:
        draw_as_conv(self.weight, self.bias)

    def rounded_weight(self) -> Tensor:
        """The powers of two in use, `[O, C/groups, KH, KW]`."""
        return power_of_two(self.weight, self.weight_bits)

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        self._check(input, self.weight)
        weight = self.rounded_weight()
        return F.conv2d(input, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def reach(self) -> Reach:
        """(before, after, stride) of each axis, for `convnotes.measure.receptive_field`."""
        return kernel_reach(self.kernel_size, self.stride, self.padding, self.dilation)


class ShiftAdd2d(Block, shown="in_channels out_channels kernel_size stride padding weight_bits gradient"):
    """A `PowerOfTwoConv2d`, then an `Adder2d` with a kernel of the same size: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    The adder has O channels in and out, stride 1 and a padding that keeps the size. Scores grow with the fan-in: follow
    the layer with a norm, and train it with `scale_adder_steps`. You et al. 2020, section 3.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        kernel_size: sides of both kernels, odd.
        stride, padding: of the convolution, as in `torch.nn.Conv2d`.
        bias: whether to add a learned number per output channel, after the adder.
        weight_bits: as in `PowerOfTwoConv2d`.
        gradient: as in `adder2d`.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer = ShiftAdd2d(3, 16, kernel_size=3, stride=2, padding=1)
        >>> layer(torch.rand(2, 3, 9, 7)).shape
        torch.Size([2, 16, 5, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        bias: bool = True,
        weight_bits: int = 5,
        gradient: Gradient = "paper",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels)
        self.kernel_size = KH, KW = pair(kernel_size, "kernel_size", 1)
        if not KH % 2 or not KW % 2:
            raise ValueError(f"kernel_size must be odd, got {kernel_size!r}")
        kw = Factory(device=device, dtype=dtype)
        self.shift = PowerOfTwoConv2d(
            in_channels, out_channels, self.kernel_size, stride, padding, bias=False, weight_bits=weight_bits, **kw
        )
        self.add = Adder2d(
            out_channels, out_channels, self.kernel_size, padding=(KH // 2, KW // 2), bias=bias, gradient=gradient, **kw
        )
        self.stride, self.padding, self.weight_bits = self.shift.stride, self.shift.padding, weight_bits
        self.gradient = gradient

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        checks.images("ShiftAdd2d", input, self.shift.weight, self.in_channels)
        return self.add(self.shift(input))
