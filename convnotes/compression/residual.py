"""Residual bottlenecks: a 3×3 convolution on few channels between two 1×1 kernels, added to its own input::

    y = ReLU( x + B3(w3 · ReLU(B2(w2 ∗ ReLU(B1(w1 · x))))) )      B: batch norm; ResNeXt: w2 in groups

He, Zhang, Ren & Sun, "Deep residual learning", CVPR 2016, arXiv:1512.03385; Xie et al., "Aggregated residual
transformations" (ResNeXt), CVPR 2017, arXiv:1611.05431 · chapter compression/residual.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.activation import ActLayer, activated, in_place, plain
from convnotes.fundamentals.layer import Block, Composite
from convnotes.geometry import Factory

if TYPE_CHECKING:
    from typing_extensions import Unpack

Make = Callable[..., nn.Module]
StrideOn = Literal["3x3", "1x1"]


class Bottleneck(Block):
    """1×1, 3×3, 1×1 beside a shortcut: `[B, C, H, W]` → `[B, 4·channels, ⌈H/stride⌉, ⌈W/stride⌉]`.

    Each convolution is followed by batch norm. The shortcut is a strided 1×1 convolution with batch norm where the
    shape changes, else the input itself.

    Args:
        in_channels: C channels of the input.
        channels: the 3×3 kernel works on `channels · width_per_group/64 · groups` channels.
        stride: step in pixels.
        groups: groups of the 3×3 kernel.
        width_per_group: channels per group of the 3×3 kernel in a block with `channels=64`.
        stride_on: which kernel has the stride: "1x1" is the paper's, which looks at one pixel in four; "3x3" is
            torchvision's ("v1.5").
        dilation: of the 3×3 kernel; its padding is the same number.
        device, dtype: of the parameters.
        act_layer: makes each of the three activations.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> Bottleneck(64, 32, stride=2)(torch.rand(2, 64, 9, 9)).shape
        torch.Size([2, 128, 5, 5])
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        groups: int = 1,
        width_per_group: int = 64,
        stride_on: StrideOn = "3x3",
        dilation: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        checks.positive(channels=channels, stride=stride, groups=groups)
        checks.positive(width_per_group=width_per_group, dilation=dilation)
        checks.one_of("stride_on", stride_on, get_args(StrideOn))
        super().__init__(in_channels, channels * self.expansion)
        self.stride, self.groups, self.stride_on, self.dilation = stride, groups, stride_on, dilation
        kw = Factory(device=device, dtype=dtype)
        width = channels * width_per_group // 64 * groups
        if width < groups:
            raise ValueError(f"channels={channels} with width_per_group={width_per_group} leaves a group no channel")
        first, middle = (stride, 1) if stride_on == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, width, 1, first, bias=False, **kw)
        self.bn1 = nn.BatchNorm2d(width, **kw)
        self.act1 = plain(act_layer)
        self.conv2 = nn.Conv2d(width, width, 3, middle, dilation, dilation, groups, bias=False, **kw)
        self.bn2 = nn.BatchNorm2d(width, **kw)
        self.act2 = plain(act_layer)
        self.conv3 = nn.Conv2d(width, self.out_channels, 1, bias=False, **kw)
        self.bn3 = nn.BatchNorm2d(self.out_channels, **kw)
        self.act3 = plain(act_layer)
        self.downsample = shortcut(in_channels, self.out_channels, stride, **kw)

    def forward(self, input: Tensor) -> Tensor:
        checks.images("Bottleneck", input, self.conv1.weight, self.in_channels)
        y = activated(self.act1, self.bn1(self.conv1(input)))
        y = activated(self.act2, self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return activated(self.act3, y + (input if self.downsample is None else self.downsample(input)))

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels} → {self.conv2.out_channels} → {self.out_channels}, stride={self.stride} "
            f"on the {self.stride_on}, groups={self.groups}, dilation={self.dilation}"
        )


def shortcut(
    in_channels: int, out_channels: int, stride: int, conv: Make = nn.Conv2d, **kw: Unpack[Factory]
) -> nn.Sequential | None:
    """A strided 1×1 kernel and batch norm where a block changes the shape, None where it does not."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        conv(in_channels, out_channels, 1, stride, bias=False, **kw), nn.BatchNorm2d(out_channels, **kw)
    )


class ResNet(Composite, shown="num_classes replace_stride_with_dilation"):
    """Four stages of bottlenecks: `[B, 3, H, W]`, 224×224 in the paper → logits `[B, num_classes]`.

    With `groups` and `width_per_group` it is a ResNeXt. The names of the parameters are torchvision's, so that its
    published weights load. Parameters for 1000 classes: ResNet-50 25,557,032, ResNeXt-50 32×4d 25,028,904.

    Args:
        layers: number of blocks in each of the four stages, (3, 4, 6, 3) for 50 layers.
        groups, width_per_group, stride_on: as in `Bottleneck`.
        num_classes: None leaves the classifier out and returns the last map, `[B, 2048, ⌈H/32⌉, ⌈W/32⌉]` with all
            strides.
        replace_stride_with_dilation: for each of the stages 2, 3 and 4, whether to keep the size of the map: instead of
            the stride, the kernels after it double their dilation. At the pixels that the stride would have kept, the
            map is the same.
        device, dtype: of the parameters.
        act_layer: makes each activation.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> dilate = (False, False, True)
        >>> net = ResNet((1, 1, 1, 1), num_classes=None, replace_stride_with_dilation=dilate, device="meta")
        >>> net(torch.empty(1, 3, 64, 64, device="meta")).shape
        torch.Size([1, 2048, 4, 4])
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(
        self,
        layers: Sequence[int],
        groups: int = 1,
        width_per_group: int = 64,
        stride_on: StrideOn = "3x3",
        num_classes: int | None = 1000,
        replace_stride_with_dilation: Sequence[bool] = (False, False, False),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        super().__init__()
        if num_classes is not None:
            checks.positive(num_classes=num_classes)
        checks.wholes("layers", layers, 4)
        dilate = (False, *replace_stride_with_dilation)
        if len(dilate) != 4 or not all(isinstance(d, bool) for d in dilate):
            raise ValueError(f"replace_stride_with_dilation must hold three bools, for stages 2 to 4, got {dilate[1:]}")
        self.num_classes, self.replace_stride_with_dilation = num_classes, dilate[1:]
        kw = Factory(device=device, dtype=dtype)
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False, **kw)
        self.bn1 = nn.BatchNorm2d(64, **kw)
        self.relu = in_place(act_layer)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels, dilation = 64, 1
        for stage, count in enumerate(layers):
            stride, before = (2 if stage > 0 else 1), dilation
            if dilate[stage]:
                stride, dilation = 1, 2 * dilation
            if stride_on == "1x1":
                before = dilation  # the first 3×3 kernel already comes after the stride
            blocks = []
            for n in range(count):
                s, d = (stride, before) if n == 0 else (1, dilation)
                options = (s, groups, width_per_group, stride_on, d)
                blocks.append(Bottleneck(channels, 64 * 2**stage, *options, **kw, act_layer=act_layer))
                channels = blocks[-1].out_channels
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        if num_classes is not None:
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(channels, num_classes, **kw)
        self._start()

    def _start(self) -> None:
        """He's normal on the fan-out for convolutions."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, input: Tensor) -> Tensor:
        checks.images("ResNet", input, self.conv1.weight, 3)
        x = self.maxpool(self.relu(self.bn1(self.conv1(input))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x if self.num_classes is None else self.fc(self.avgpool(x).flatten(1))


class ResNeXtOptions(Factory, total=False):
    """The arguments of `ResNet` except layers, classes and groups."""

    stride_on: StrideOn
    replace_stride_with_dilation: Sequence[bool]
    act_layer: ActLayer


class ResNetOptions(ResNeXtOptions, total=False):
    """The arguments of `ResNet` except layers and classes."""

    groups: int
    width_per_group: int


def resnet50(num_classes: int | None = 1000, **options: Unpack[ResNetOptions]) -> ResNet:
    """ResNet-50: 25,557,032 parameters. `stride_on` is "3x3" by default, as in torchvision.

    Args:
        num_classes: number of logits; None leaves the classifier out.
        **options: the other arguments of `ResNet`, except `layers`.

    Example:
        >>> sum(p.numel() for p in resnet50(device="meta").parameters())
        25557032
    """
    return ResNet((3, 4, 6, 3), num_classes=num_classes, **options)


def resnext50_32x4d(num_classes: int | None = 1000, **options: Unpack[ResNeXtOptions]) -> ResNet:
    """ResNeXt-50 with 32 groups of width 4: 25,028,904 parameters.

    Args:
        num_classes: number of logits; None leaves the classifier out.
        **options: the other arguments of `ResNet`, except `layers`, `groups` and `width_per_group`.

    Example:
        >>> net = resnext50_32x4d(device="meta")
        >>> net.layer1[0].conv2.groups, tuple(net.layer1[0].conv2.weight.shape)
        (32, (128, 4, 3, 3))
    """
    return ResNet((3, 4, 6, 3), groups=32, width_per_group=4, num_classes=num_classes, **options)
