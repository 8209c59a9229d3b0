"""Pointwise convolution: a kernel of size 1×1 mixes the channels of each pixel, and looks at no other pixel::

    y[b,o,i,j] = bias[o] + Σ_c w[o,c] · x[b,c,i,j]

The layer itself is `torch.nn.Conv2d(C, O, 1)`. This module has what Network in Network made of it: a block that applies
a perceptron to every pixel's channels after a convolution, and the network of such blocks.
Lin, Chen & Yan, "Network in Network", ICLR 2014, arXiv:1312.4400 · chapter compression/pointwise.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.layer import Classifier, ConvBlock
from convnotes.geometry import Factory, IntOrPair, Padding
from convnotes.kernels.transforms import one_image

_LEAST_SIZE = {"cifar10": 4, "imagenet": 39}  # pixels: below, the last pooling has nothing to pool


class MLPConv(ConvBlock):
    """A convolution followed by 1×1 convolutions, each with ReLU: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    The 1×1 convolutions are a perceptron that is applied to the channels of every pixel. The default has one k×k
    convolution and two 1×1, as in the paper. Lin, Chen & Yan 2013, section 3.1.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        kernel_size, stride, padding, dilation: of the k×k convolution, as in `torch.nn.Conv2d`; in pixels.
        hidden_channels: widths before the last layer: the first is that of the k×k convolution, the others are those of
            1×1 layers. None is `(out_channels, out_channels)`.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer = MLPConv(3, 16, kernel_size=5, padding=2, hidden_channels=(8, 12))
        >>> layer(torch.rand(2, 3, 9, 9)).shape
        torch.Size([2, 16, 9, 9])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        dilation: IntOrPair = 1,
        hidden_channels: Sequence[int] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation)
        hidden = (out_channels, out_channels) if hidden_channels is None else hidden_channels
        self.hidden_channels = checks.wholes("hidden_channels", hidden)
        widths = (*self.hidden_channels, out_channels)
        self.conv = nn.Conv2d(
            in_channels, widths[0], self.kernel_size, self.stride, self.padding, self.dilation,
            device=device, dtype=dtype,
        )  # fmt: skip
        self.mlp = nn.ModuleList(
            nn.Conv2d(before, after, 1, device=device, dtype=dtype) for before, after in itertools.pairwise(widths)
        )

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        self._check(input, self.conv.weight)
        z = torch.relu(self.conv(input))  # [B, hidden[0], H_out, W_out]
        for layer in self.mlp:
            z = torch.relu(layer(z))  # pixel by pixel
        return z

    def extra_repr(self) -> str:
        widths = " → ".join(str(n) for n in (self.in_channels, *self.hidden_channels, self.out_channels))
        return f"{widths}, kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class NIN(Classifier, shown="num_classes variant"):
    """Network in Network: blocks of `MLPConv`, then the mean of each map: `[B, in_channels, H, W]` → logits `[B,
    num_classes]`.

    The last block has one channel per class, so no linear layer is needed. Pooling rounds sizes up, as in the authors'
    Caffe. Lin, Chen & Yan 2013, section 3.3 and figure 2.

    Args:
        num_classes: None is 10 for "cifar10" and 1000 for "imagenet".
        variant: "cifar10" is made for 32×32 pixels (4×4 at least), 966,986 parameters for 10 classes. "imagenet" is
            made for 224×224 (39×39 at least), 7,595,176 parameters for 1000 classes.
        in_channels: channels of the images.
        dropout: probability, in [0, 1).
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> NIN().eval()(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int | None = None,
        variant: Literal["cifar10", "imagenet"] = "cifar10",
        in_channels: int = 3,
        dropout: float = 0.5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        checks.one_of("variant", variant, _LEAST_SIZE)
        if num_classes is None:
            num_classes = 10 if variant == "cifar10" else 1000
        super().__init__(num_classes, least=_LEAST_SIZE[variant])
        checks.positive(in_channels=in_channels)
        checks.number("dropout", dropout, "[0, 1)")
        self.in_channels, self.variant = in_channels, variant
        kw = Factory(device=device, dtype=dtype)
        if variant == "cifar10":
            self.features = nn.Sequential(
                MLPConv(in_channels, 96, 5, padding=2, hidden_channels=(192, 160), **kw),
                nn.MaxPool2d(3, 2, ceil_mode=True),
                nn.Dropout(dropout),
                MLPConv(96, 192, 5, padding=2, **kw),
                nn.AvgPool2d(3, 2, ceil_mode=True),
                nn.Dropout(dropout),
                MLPConv(192, num_classes, 3, padding=1, hidden_channels=(192, 192), **kw),
            )
        else:
            self.features = nn.Sequential(
                MLPConv(in_channels, 96, 11, stride=4, **kw),
                nn.MaxPool2d(3, 2, ceil_mode=True),
                MLPConv(96, 256, 5, padding=2, **kw),
                nn.MaxPool2d(3, 2, ceil_mode=True),
                MLPConv(256, 384, 3, padding=1, **kw),
                nn.MaxPool2d(3, 2, ceil_mode=True),
                nn.Dropout(dropout),
                MLPConv(384, num_classes, 3, padding=1, hidden_channels=(1024, 1024), **kw),
            )

    def forward(self, input: Tensor) -> Tensor:
        first: Any = self.features[0]
        self._check(input, first.conv)
        return self.features(input).mean(dim=(2, 3))  # [B, num_classes, H', W'] → [B, num_classes]
