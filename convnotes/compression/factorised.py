"""The factorised kernel: 1×n after n×1 has the receptive field of n×n with 2n weights instead of n².

Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016, arXiv:1512.00567 ·
chapter compression/inception.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.layer import Block
from convnotes.geometry import Factory
from convnotes.kernels.transforms import one_image


class FactorisedConv2d(Block, shown="in_channels out_channels kernel_size"):
    """An n×1 kernel, then a 1×n kernel: `[B, C, H, W]` → `[B, O, H, W]`.

    There is no nonlinearity between the two. Together they are an n×n convolution in which every kernel is a sum of at
    most `hidden_channels` outer products. Szegedy et al. 2016, section 3.2.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        kernel_size: n, odd, so that padding n // 2 keeps the size.
        hidden_channels: channels between the two kernels; None is `out_channels`.
        bias: of the second kernel; the first has none.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> from convnotes.compression.inception import FactorisedConv2d
        >>> layer = FactorisedConv2d(8, 16, kernel_size=7, bias=False)
        >>> [tuple(p.shape) for p in layer.parameters()]
        [(16, 8, 7, 1), (16, 16, 1, 7)]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        hidden_channels: int | None = None,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        checks.flags(bias=bias)
        super().__init__(in_channels, out_channels)
        hidden = out_channels if hidden_channels is None else hidden_channels
        checks.positive(hidden_channels=hidden)
        checks.whole("kernel_size", kernel_size, odd=True)  # so that the size is kept
        self.kernel_size = n = kernel_size
        kw = Factory(device=device, dtype=dtype)
        self.vertical = nn.Conv2d(in_channels, hidden, (n, 1), padding=(n // 2, 0), bias=False, **kw)
        self.horizontal = nn.Conv2d(hidden, out_channels, (1, n), padding=(0, n // 2), bias=bias, **kw)

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        checks.images("FactorisedConv2d", input, self.vertical.weight, self.in_channels)
        return self.horizontal(self.vertical(input))
