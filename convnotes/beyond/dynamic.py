"""Kernels mixed for each image: a small network looks at the image and weighs E kernels, before the convolution::

    y = (Σ_e r_e(x) · W_e) ∗ x + Σ_e r_e(x) · b_e  =  Σ_e r_e(x) · (W_e ∗ x + b_e)
    CondConv               r = σ(R · mean(x) + c)                               σ: sigmoid
    dynamic convolution    r = softmax((V · ReLU(U · mean(x) + c) + d) / T)      T: temperature

The left side costs one convolution per image, the right side E.
Yang et al., "CondConv", NeurIPS 2019, arXiv:1904.04971; Chen et al., "Dynamic convolution: attention over convolution
kernels", CVPR 2020, arXiv:1912.03458 · chapter beyond/dynamic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.layer import ConvBlock
from convnotes.geometry import Factory, IntOrPair, Padding, PaddingMode, Pair
from convnotes.kernels import private
from convnotes.kernels.transforms import channels_last, one_image, one_node

_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # torch 2.6 cannot tell the two apart


@one_node
def mixture_conv2d(
    input: Tensor,
    coefficients: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor] | None,
    stride: Pair,
    padding: Pair | PaddingMode,
    dilation: Pair,
    groups: int,
) -> Tensor:
    """Convolve each image with a mixture of its own: `[B, C, H, W]`, `[B, E]`, E of `[O, C/groups, KH, KW]` → maps.

    The mixtures are one grouped convolution over the batch. ONNX has no number of groups that depends on the batch: an
    exported program mixes the maps of the E kernels, and so does an empty batch.
    """
    B, C, H, W = input.shape
    kernels = torch.stack(list(weights))  # [E, O, C/groups, KH, KW]
    E, O = kernels.shape[:2]
    added = None if biases is None else coefficients @ torch.stack(list(biases))  # [B, O]
    if torch.jit.is_tracing() or _exporting() or B == 0:
        by_group = kernels.unflatten(1, (groups, O // groups)).transpose(0, 1)  # [groups, E, O/groups, …]
        maps = F.conv2d(input, by_group.flatten(0, 2), None, stride, padding, dilation, groups)
        maps = maps.unflatten(1, (groups, E, O // groups))
        y = (coefficients[:, None, :, None, None, None] * maps).sum(2).flatten(1, 2)
    else:
        mixed = (coefficients @ kernels.flatten(1)).view(B * O, *kernels.shape[2:])
        maps = F.conv2d(input.reshape(1, B * C, H, W), mixed, None, stride, padding, dilation, B * groups)
        y = maps.view(B, O, *maps.shape[2:])
    y = y if added is None else y + added[:, :, None, None]
    return in_format_of(input, y)


def in_format_of(input: Tensor, output: Tensor) -> Tensor:
    """The output, channels last where the input is; as it comes inside `torch.vmap`, which knows one format only."""
    if not torch.compiler.is_compiling() and private.transforming():
        return output
    return output.contiguous(memory_format=torch.channels_last if channels_last(input) else torch.contiguous_format)


class _Mixture(ConvBlock, shown="groups num_experts"):
    """E convolutions of the same sizes, of which each image gets a mixture by `coefficients`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair,
        padding: Padding,
        dilation: IntOrPair,
        groups: int,
        bias: bool,
        num_experts: int,
        kw: Factory,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        checks.flags(bias=bias)
        checks.positive(num_experts=num_experts)
        self.num_experts = num_experts
        sizes = (in_channels, out_channels, self.kernel_size, self.stride, self.padding, self.dilation, groups, bias)
        self.experts = nn.ModuleList(nn.Conv2d(*sizes, **kw) for _ in range(num_experts))

    def coefficients(self, input: Tensor) -> Tensor:
        """The weights `[B, E]` of the kernels for each image of `[B, C, H, W]`."""
        raise NotImplementedError

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        experts: list[Any] = list(self.experts)
        weights = [expert.weight for expert in experts]
        self._check(input, weights[0])
        checks.images(type(self).__name__, input, weights[0], self.in_channels, least=1)
        biases = None if experts[0].bias is None else [expert.bias for expert in experts]
        sizes = (self.stride, self.padding, self.dilation, self.groups)
        return mixture_conv2d(input, self.coefficients(input), weights, biases, *sizes)


class CondConv2d(_Mixture):
    """A convolution whose kernel is a mixture of E kernels, for each image another: `[B, C, H, W]` → `[B, O, …]`.

    A sigmoid per kernel, of a linear function of the mean of the map, gives the mixture: the numbers need not add up to
    1. `coefficients(input)` returns them, `[B, E]`. It has E times the parameters of a convolution and little more work
    per image. `experts` holds the E kernels. Yang et al. 2019, section 3.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        kernel_size, stride, padding, dilation, groups: as in `torch.nn.Conv2d`.
        bias: whether each kernel comes with a learned number per output channel, mixed as the kernels are.
        num_experts: E, number of kernels.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer = CondConv2d(8, 16, kernel_size=3, padding=1, num_experts=4)
        >>> x = torch.rand(5, 8, 9, 7)
        >>> layer(x).shape, layer.coefficients(x).shape
        (torch.Size([5, 16, 9, 7]), torch.Size([5, 4]))
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
        num_experts: int = 8,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        kw, sizes = Factory(device=device, dtype=dtype), (kernel_size, stride, padding, dilation, groups)
        super().__init__(in_channels, out_channels, *sizes, bias, num_experts, kw)
        self.routing_fn = nn.Linear(in_channels, num_experts, **kw)

    def coefficients(self, input: Tensor) -> Tensor:
        return torch.sigmoid(self.routing_fn(input.mean((2, 3))))


class DynamicConv2d(_Mixture, shown="groups num_experts temperature"):
    """A convolution with attention over E kernels, for each image another: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    Two linear layers on the mean of the map, with ReLU between them, and a softmax give the mixture, whose numbers add
    up to 1; `coefficients(input)` returns them, `[B, E]`. A high temperature makes them equal, so that all kernels are
    trained: the paper lowers it from 30 to 1 in the first epochs. `layer.temperature = 30` sets it; a state dict does
    not keep it. Chen et al. 2020, section 3.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        kernel_size, stride, padding, dilation, groups: as in `torch.nn.Conv2d`.
        bias: whether each kernel comes with a learned number per output channel, mixed as the kernels are.
        num_experts: E, number of kernels.
        temperature: T, what the softmax's input is divided by.
        reduction: the first linear layer gives C/`reduction` channels, at least 1.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer = DynamicConv2d(8, 16, kernel_size=3, padding=1)
        >>> layer.temperature = 1e9
        >>> layer.coefficients(torch.rand(1, 8, 9, 7)).detach()
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
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
        num_experts: int = 4,
        temperature: float = 1.0,
        reduction: int = 4,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        kw, sizes = Factory(device=device, dtype=dtype), (kernel_size, stride, padding, dilation, groups)
        super().__init__(in_channels, out_channels, *sizes, bias, num_experts, kw)
        checks.positive(reduction=reduction)
        self.temperature = temperature
        hidden = max(1, in_channels // reduction)
        self.fc1 = nn.Linear(in_channels, hidden, **kw)
        self.fc2 = nn.Linear(hidden, num_experts, **kw)

    @property
    def temperature(self) -> float:
        """T, a number above 0."""
        return self._temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        self._temperature = checks.number("temperature", value, "(0, inf)")

    def coefficients(self, input: Tensor) -> Tensor:
        scores = self.fc2(torch.relu(self.fc1(input.mean((2, 3)))))
        return torch.softmax(scores / self._temperature, dim=1)
