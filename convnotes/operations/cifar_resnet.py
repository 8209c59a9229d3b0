"""The residual network for images of 32×32 pixels, with any block inside: shift and adder networks are made of it::

    y = ReLU( x + B2(w2 ∗ ReLU(B1(w1 ∗ x))) )      two 3×3 kernels beside a shortcut; B: batch norm

6n + 2 layers: a 3×3 convolution, three stages of n blocks with 16, 32 and 64 channels, the mean, a linear classifier.
He, Zhang, Ren & Sun, "Deep residual learning", CVPR 2016, section 4.2, arXiv:1512.03385 · chapters operations/shift
and operations/adder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.compression.residual import Make, shortcut
from convnotes.fundamentals.activation import ActLayer, activated, plain
from convnotes.fundamentals.layer import Block, Classifier
from convnotes.geometry import Factory

if TYPE_CHECKING:
    from typing_extensions import Unpack


class BasicBlock(Block, shown="in_channels out_channels stride"):
    """Two 3×3 kernels beside a shortcut: `[B, C, H, W]` → `[B, out_channels, ⌈H/stride⌉, ⌈W/stride⌉]`.

    Where the shape changes the shortcut is a strided 1×1 kernel and batch norm (option B of the paper), else the input
    itself.

    Args:
        in_channels: C channels of the input.
        out_channels: number of output channels.
        stride: step of the first kernel in pixels.
        conv: makes the kernels; it takes the arguments of `torch.nn.Conv2d`.
        device, dtype: of the parameters.
        act_layer: makes both activations.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> from convnotes.operations.cifar_resnet import BasicBlock
        >>> BasicBlock(16, 32, stride=2, conv=Adder2d)(torch.rand(2, 16, 9, 9)).shape
        torch.Size([2, 32, 5, 5])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        conv: Make = nn.Conv2d,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        super().__init__(in_channels, out_channels)
        checks.positive(stride=stride)
        self.stride, kw = stride, Factory(device=device, dtype=dtype)
        self.conv1 = conv(in_channels, out_channels, 3, stride, padding=1, bias=False, **kw)
        self.bn1 = nn.BatchNorm2d(out_channels, **kw)
        self.act1 = plain(act_layer)
        self.conv2 = conv(out_channels, out_channels, 3, padding=1, bias=False, **kw)
        self.bn2 = nn.BatchNorm2d(out_channels, **kw)
        self.act2 = plain(act_layer)
        self.downsample = shortcut(in_channels, out_channels, stride, conv, **kw)

    def forward(self, input: Tensor) -> Tensor:
        like = next(p for p in self.parameters() if p.is_floating_point())  # a kernel may be quantised
        checks.images("BasicBlock", input, like, self.in_channels)
        y = activated(self.act1, self.bn1(self.conv1(input)))
        y = self.bn2(self.conv2(y))
        return activated(self.act2, y + (input if self.downsample is None else self.downsample(input)))


class CifarResNet(Classifier, shown="depth num_classes"):
    """Three stages of residual blocks: `[B, 3, H, W]`, 32×32 in the paper → logits `[B, num_classes]`.

    The first block of the second and of the third stage has stride 2. Depth 20 with `BasicBlock` has 272,474 parameters
    for 10 classes.

    Args:
        depth: 6n + 2.
        num_classes: number of logits.
        block: `block(in_channels, out_channels, stride, device=, dtype=)` makes each of the 3n blocks.
        device, dtype: of the parameters.
        act_layer: makes each activation; `block` is given it too, unless it is `torch.nn.ReLU`.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> from convnotes.operations.cifar_resnet import CifarResNet
        >>> CifarResNet(depth=8, block=ShiftBlock)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential

    def __init__(
        self,
        depth: int = 20,
        num_classes: int = 10,
        block: Make = BasicBlock,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        super().__init__(num_classes)
        checks.positive(depth=depth)
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"depth must be 6n + 2 with n at least 1 (8, 14, 20, …), got {depth}")
        self.depth, kw = depth, Factory(device=device, dtype=dtype)
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False, **kw)
        self.bn1 = nn.BatchNorm2d(16, **kw)
        self.act1 = plain(act_layer)
        options = {} if act_layer is nn.ReLU else {"act_layer": act_layer}
        channels = 16
        for stage in range(3):
            blocks = []
            for n in range(depth // 6):
                blocks.append(block(channels, 16 * 2**stage, 2 if stage and not n else 1, **kw, **options))
                channels = 16 * 2**stage
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes, **kw)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input, self.conv1)
        x = activated(self.act1, self.bn1(self.conv1(input)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


class CifarResNetOptions(Factory, total=False):
    """What networks made of `CifarResNet` take of its arguments."""

    act_layer: ActLayer


def resnet20(num_classes: int = 10, **options: Unpack[CifarResNetOptions]) -> CifarResNet:
    """The plain residual network of 20 layers, with which shifts and adders are compared: 272,474 parameters.

    Args:
        num_classes: number of logits.
        **options: `device`, `dtype` and `act_layer` of `CifarResNet`.

    Example:
        >>> from convnotes.operations.cifar_resnet import resnet20
        >>> sum(p.numel() for p in resnet20().parameters())
        272474
    """
    return CifarResNet(20, num_classes, **options)
