"""RedNet: ResNet with an involution instead of each 3×3 convolution::

    y = ReLU( x + B3(w3 · ReLU(B2(I(ReLU(B1(w1 · x)))))) )      I: `Involution2d` of 7×7; B: batch norm

Li et al., "Involution: inverting the inherence of convolution for visual recognition", CVPR 2021, arXiv:2103.06255 ·
chapter beyond/dynamic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.beyond.involution import Involution2d
from convnotes.beyond.reparameterise import conv_norm
from convnotes.compression.residual import shortcut
from convnotes.fundamentals.layer import Block, Classifier
from convnotes.geometry import Factory

if TYPE_CHECKING:
    from typing_extensions import Unpack

_GROUP = 16  # channels of a group, which share their kernels


def _involution(channels: int, kernel_size: int, stride: int, **kw: Unpack[Factory]) -> Involution2d:
    return Involution2d(channels, kernel_size, stride, groups=max(1, channels // _GROUP), **kw)


class _Bottleneck(Block, shown="in_channels out_channels stride"):
    """1×1, involution, 1×1 beside a shortcut: `[B, C, H, W]` → `[B, 4·channels, ⌈H/stride⌉, ⌈W/stride⌉]`."""

    def __init__(self, in_channels: int, channels: int, stride: int, kernel_size: int, **kw: Unpack[Factory]) -> None:
        super().__init__(in_channels, 4 * channels)
        self.stride = stride
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False, **kw)
        self.bn1 = nn.BatchNorm2d(channels, **kw)
        self.conv2 = _involution(channels, kernel_size, stride, **kw)
        self.bn2 = nn.BatchNorm2d(channels, **kw)
        self.conv3 = nn.Conv2d(channels, self.out_channels, 1, bias=False, **kw)
        self.bn3 = nn.BatchNorm2d(self.out_channels, **kw)
        self.downsample = shortcut(in_channels, self.out_channels, stride, **kw)

    def forward(self, input: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(input)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (input if self.downsample is None else self.downsample(input)))


class RedNet(Classifier, shown="num_classes kernel_size"):
    """Four stages of bottlenecks with involutions: `[B, 3, H, W]`, 224×224 in the paper → logits `[B, num_classes]`.

    Sixteen channels share their kernels. The stem has two 3×3 convolutions with a 3×3 involution between them. The
    names of the parameters are those of the authors' code, where the body is called `backbone` and the classifier
    `head`. Li et al. 2021.

    Args:
        layers: number of blocks in each of the four stages, (3, 4, 6, 3) for 50 layers.
        channels: of the involutions of each, (64, 128, 256, 512) in the paper, in ⌊channels/16⌋ groups, at least one.
            The stem has as many as the first stage.
        num_classes: number of logits.
        kernel_size: side of the involutions of the stages, odd.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> from convnotes.beyond.rednet import RedNet
        >>> net = RedNet((1, 1, 1, 1), (16, 16, 32, 32), num_classes=10, device="meta")
        >>> net(torch.empty(2, 3, 64, 64, device="meta")).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        layers: Sequence[int],
        channels: Sequence[int],
        num_classes: int = 1000,
        kernel_size: int = 7,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, least=1)
        counts, widths = checks.wholes("layers", layers, 4), checks.wholes("channels", channels, 4, least=2)
        self.kernel_size = checks.whole("kernel_size", kernel_size, odd=True)
        kw, first = Factory(device=device, dtype=dtype), widths[0]
        self.stem = nn.Sequential(
            conv_norm(3, first // 2, 3, 2, 1, **kw),
            _involution(first // 2, 3, 1, **kw),
            nn.BatchNorm2d(first // 2, **kw),
            nn.ReLU(inplace=True),
            conv_norm(first // 2, first, 3, 1, 1, **kw),
        )
        self.maxpool, before = nn.MaxPool2d(3, stride=2, padding=1), first
        for stage, (count, width) in enumerate(zip(counts, widths, strict=True)):
            blocks = []
            for n in range(count):
                blocks.append(_Bottleneck(before, width, 2 if stage and not n else 1, kernel_size, **kw))
                before = blocks[-1].out_channels
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(before, num_classes, **kw)
        self._start()

    def _start(self) -> None:
        """He's normal on the fan-out for convolutions, and residual blocks that begin as their shortcuts."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            if isinstance(layer, _Bottleneck):
                nn.init.zeros_(layer.bn3.weight)

    def forward(self, input: Tensor) -> Tensor:
        checks.images("RedNet", input, self.fc.weight, 3, self.least)
        convolve, involve, norm, act, widen = self.stem
        x = act(norm(involve(torch.relu(convolve(input)))))
        x = self.maxpool(torch.relu(widen(x)))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(self.avgpool(x).flatten(1))


def rednet50(num_classes: int = 1000, **options: Unpack[Factory]) -> RedNet:
    """RedNet-50: 15,540,806 parameters for 1000 classes (15.54 M in the authors' table).

    Args:
        num_classes: number of logits.
        **options: device and dtype of the parameters.

    Example:
        >>> sum(p.numel() for p in rednet50(device="meta").parameters())
        15540806
    """
    return RedNet((3, 4, 6, 3), (64, 128, 256, 512), num_classes, **options)
