"""RepLKNet: a residual network of large depthwise kernels between 1×1 kernels::

    y = x + BN(w_2 · ReLU(L(ReLU(BN(w_1 · BN(x))))))         L: `LargeKernelConv2d`
    z = y + BN(w_4 · GELU(BN(w_3 · BN(y))))

Ding et al., "Scaling up your kernels to 31×31", CVPR 2022, arXiv:2203.06717 · chapter beyond/large_kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.beyond.convnext import Stage, drop_path, drop_rates
from convnotes.beyond.large_kernels import LargeKernelConv2d
from convnotes.beyond.reparameterise import conv_norm
from convnotes.fundamentals.layer import Block, Classifier
from convnotes.geometry import Factory

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _LargeKernelBlock(Block, shown="in_channels kernel_size"):
    def __init__(self, channels: int, kernel_size: int, small_kernel: int | None, drop: float, **kw: Unpack[Factory]):
        super().__init__(channels, channels)
        self.kernel_size, self.drop = kernel_size, drop
        self.prelkb_bn = nn.BatchNorm2d(channels, **kw)
        self.pw1 = conv_norm(channels, channels, 1, **kw)
        self.large_kernel = LargeKernelConv2d(channels, kernel_size, small_kernel, **kw)
        self.pw2 = conv_norm(channels, channels, 1, **kw)

    def forward(self, input: Tensor) -> Tensor:
        x = torch.relu(self.pw1(self.prelkb_bn(input)))
        return input + drop_path(self.pw2(torch.relu(self.large_kernel(x))), self.drop, self.training)


class _FeedForward(Block, shown="in_channels"):
    def __init__(self, channels: int, expansion: int, drop: float, **kw: Unpack[Factory]):
        super().__init__(channels, channels)
        self.drop = drop
        self.preffn_bn = nn.BatchNorm2d(channels, **kw)
        self.pw1 = conv_norm(channels, expansion * channels, 1, **kw)
        self.pw2 = conv_norm(expansion * channels, channels, 1, **kw)

    def forward(self, input: Tensor) -> Tensor:
        x = nn.functional.gelu(self.pw1(self.preffn_bn(input)))
        return input + drop_path(self.pw2(x), self.drop, self.training)


class RepLKNet(Classifier):
    """Four stages of large kernels: `[B, 3, H, W]`, 224×224 in the paper → logits `[B, num_classes]`.

    `fuse_branches` merges each small kernel into the large one beside it. The names of the parameters are those of the
    authors' code. Ding et al. 2022, section 4.1.

    Args:
        kernel_sizes: side of the large kernel in each of the four stages, (31, 29, 27, 13) in the paper.
        layers: number of blocks in each, (2, 2, 18, 2) in the paper.
        channels: of each stage, (128, 256, 512, 1024) in RepLKNet-31B.
        num_classes: number of logits.
        small_kernel: side of the small kernel; None leaves it out.
        drop_path: of the last block; it grows from 0 in the first.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> from convnotes.beyond.replknet import RepLKNet
        >>> net = RepLKNet((9, 7, 7, 5), (1, 1, 1, 1), (8, 16, 24, 32), num_classes=10, device="meta")
        >>> net(torch.empty(2, 3, 64, 64, device="meta")).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        kernel_sizes: Sequence[int],
        layers: Sequence[int],
        channels: Sequence[int],
        num_classes: int = 1000,
        small_kernel: int | None = 5,
        drop_path: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, least=1)
        sizes, counts = checks.wholes("kernel_sizes", kernel_sizes, 4), checks.wholes("layers", layers, 4)
        widths, kw = checks.wholes("channels", channels, 4), Factory(device=device, dtype=dtype)
        first = widths[0]
        self.stem = nn.ModuleList(
            [
                conv_norm(3, first, 3, 2, 1, **kw),
                conv_norm(first, first, 3, 1, 1, first, **kw),
                conv_norm(first, first, 1, **kw),
                conv_norm(first, first, 3, 2, 1, first, **kw),
            ]
        )
        stages = []
        for size, drops, width in zip(sizes, drop_rates(counts, drop_path), widths, strict=True):
            blocks: list[nn.Module] = []
            for drop in drops:
                blocks += [_LargeKernelBlock(width, size, small_kernel, drop, **kw), _FeedForward(width, 4, drop, **kw)]
            stages.append(Stage(blocks))
        transitions = [
            nn.ModuleList([conv_norm(before, width, 1, **kw), conv_norm(width, width, 3, 2, 1, width, **kw)])
            for before, width in pairwise(widths)
        ]
        self.stages, self.transitions = nn.ModuleList(stages), nn.ModuleList(transitions)
        self.norm, self.avgpool = nn.BatchNorm2d(widths[-1], **kw), nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(widths[-1], num_classes, **kw)

    def forward(self, input: Tensor) -> Tensor:
        checks.images("RepLKNet", input, self.head.weight, 3, self.least)
        x = input
        for conv in self.stem:
            x = torch.relu(conv(x))
        for n, stage in enumerate(self.stages):
            if n:
                one, halve = self.transitions[n - 1].children()
                x = torch.relu(halve(torch.relu(one(x))))
            x = stage(x)
        return self.head(self.avgpool(self.norm(x)).flatten(1))


def replknet31_b(num_classes: int = 1000, drop_path: float = 0.3, **options: Unpack[Factory]) -> RepLKNet:
    """RepLKNet-31B: for 1000 classes 79,864,168 parameters in training (79 M in the paper).

    Args:
        num_classes: number of logits.
        drop_path: of the last block, as in `RepLKNet`.
        **options: device and dtype of the parameters.

    Example:
        >>> sum(p.numel() for p in replknet31_b(device="meta").parameters())
        79864168
    """
    sizes, layers, channels = (31, 29, 27, 13), (2, 2, 18, 2), (128, 256, 512, 1024)
    return RepLKNet(sizes, layers, channels, num_classes, drop_path=drop_path, **options)
