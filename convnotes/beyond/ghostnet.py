"""GhostNet: a residual network of ghost modules, two per block, which make half of their channels cheaply::

    y = s(x) + G_2(S(D(G_1(x))))

G_1 widens and G_2 narrows, `GhostConv2d` both, the second without an activation; D, a strided depthwise kernel with
batch norm, stands where the map is halved, and S, squeeze and excitation, in some of the blocks; s is the identity, or
a depthwise and a 1×1 kernel where the shape changes.
Han et al., "GhostNet: more features from cheap operations", CVPR 2020, arXiv:1911.11907 · chapter
beyond/cheap_features.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes import checks
from convnotes.beyond.cheap_features import GhostConv2d
from convnotes.fundamentals.depthwise import DepthwiseConv2d
from convnotes.fundamentals.layer import Block, Classifier, DropoutOptions
from convnotes.geometry import Factory

if TYPE_CHECKING:
    from typing_extensions import Unpack

# Stages of blocks: (kernel, wide channels, output channels, squeeze and excitation, stride). Han et al. 2020, table 1.
_STAGES = (
    ((3, 16, 16, False, 1),),
    ((3, 48, 24, False, 2),),
    ((3, 72, 24, False, 1),),
    ((5, 72, 40, True, 2),),
    ((5, 120, 40, True, 1),),
    ((3, 240, 80, False, 2),),
    (
        (3, 200, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 480, 112, True, 1),
        (3, 672, 112, True, 1),
    ),
    ((5, 672, 160, True, 2),),
    (
        (5, 960, 160, False, 1),
        (5, 960, 160, True, 1),
        (5, 960, 160, False, 1),
        (5, 960, 160, True, 1),
    ),
)


def _by_four(channels: float) -> int:
    """The multiple of 4 that is nearest, at least 4, and no more than a tenth below."""
    near = max(4, int(channels + 2) // 4 * 4)
    return near + 4 if near < 0.9 * channels else near


def _depthwise(channels: int, size: int, stride: int, **kw: Unpack[Factory]) -> nn.Conv2d:
    return DepthwiseConv2d(channels, channels, size, stride, size // 2, groups=channels, bias=False, **kw)


class _SqueezeExcite(nn.Module):
    """Each channel times a number from 0 to 1, which two linear layers make from the means of all channels."""

    def __init__(self, channels: int, **kw: Unpack[Factory]) -> None:
        super().__init__()
        fewer = _by_four(channels / 4)
        self.conv_reduce = nn.Conv2d(channels, fewer, 1, **kw)
        self.conv_expand = nn.Conv2d(fewer, channels, 1, **kw)

    def forward(self, input: Tensor) -> Tensor:
        means = input.mean((2, 3), keepdim=True)
        return input * F.hardsigmoid(self.conv_expand(torch.relu(self.conv_reduce(means))))


class _GhostBottleneck(Block, shown="in_channels out_channels stride"):
    def __init__(self, C: int, wide: int, O: int, size: int, stride: int, squeeze: bool, **kw: Unpack[Factory]) -> None:
        super().__init__(C, O)
        self.stride = stride
        self.ghost1 = GhostConv2d(C, wide, **kw)
        if stride > 1:
            self.conv_dw: nn.Module = _depthwise(wide, size, stride, **kw)
            self.bn_dw: nn.Module = nn.BatchNorm2d(wide, **kw)
        else:
            self.conv_dw, self.bn_dw = nn.Identity(), nn.Identity()
        self.se = _SqueezeExcite(wide, **kw) if squeeze else nn.Identity()
        self.ghost2 = GhostConv2d(wide, O, act_layer=nn.Identity, **kw)
        self.shortcut = nn.Sequential()
        if stride > 1 or C != O:
            first, second = _depthwise(C, size, stride, **kw), nn.Conv2d(C, O, 1, bias=False, **kw)
            self.shortcut = nn.Sequential(first, nn.BatchNorm2d(C, **kw), second, nn.BatchNorm2d(O, **kw))

    def forward(self, input: Tensor) -> Tensor:
        x = self.bn_dw(self.conv_dw(self.ghost1(input)))
        return self.ghost2(self.se(x)) + self.shortcut(input)


class GhostNet(Classifier, shown="num_classes width_multiplier"):
    """Sixteen blocks of ghost modules: `[B, 3, H, W]`, 224×224 in the paper → logits `[B, num_classes]`.

    The names of the parameters are those of the authors' code, so that its published weights load. Han et al. 2020,
    section 3.2 and table 1.

    Args:
        num_classes: number of logits.
        width_multiplier: factor of all channels but the last 1280; each number is rounded to a multiple of 4.
        dropout: probability before the classifier.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> net = GhostNet(num_classes=10, width_multiplier=0.5, device="meta")
        >>> net(torch.empty(2, 3, 64, 64, device="meta")).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width_multiplier: float = 1.0,
        dropout: float = 0.2,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, least=1)
        self.width_multiplier = width = checks.number("width_multiplier", width_multiplier, "(0, inf)")
        self.dropout, kw = checks.number("dropout", dropout, "[0, 1]"), Factory(device=device, dtype=dtype)
        before = _by_four(16 * width)
        self.conv_stem = nn.Conv2d(3, before, 3, 2, 1, bias=False, **kw)
        self.bn1 = nn.BatchNorm2d(before, **kw)
        stages, wide = [], 0
        for rows in _STAGES:
            blocks = []
            for size, middle, channels, squeeze, stride in rows:
                wide, O = _by_four(middle * width), _by_four(channels * width)
                blocks.append(_GhostBottleneck(before, wide, O, size, stride, squeeze, **kw))
                before = O
            stages.append(nn.Sequential(*blocks))
        conv, norm = nn.Conv2d(before, wide, 1, bias=False, **kw), nn.BatchNorm2d(wide, **kw)
        widen = nn.Sequential(OrderedDict(conv=conv, bn1=norm, act1=nn.ReLU(inplace=True)))
        self.blocks = nn.Sequential(*stages, nn.Sequential(widen))
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.conv_head = nn.Conv2d(wide, 1280, 1, **kw)
        self.classifier = nn.Linear(1280, num_classes, **kw)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input, self.conv_stem)
        x = self.blocks(torch.relu(self.bn1(self.conv_stem(input))))
        x = torch.relu(self.conv_head(self.global_pool(x))).flatten(1)
        return self.classifier(F.dropout(x, self.dropout, self.training))


def ghostnet_100(num_classes: int = 1000, **options: Unpack[DropoutOptions]) -> GhostNet:
    """GhostNet of width 1: 5,182,508 parameters for 1000 classes (5.2 M in the paper).

    Args:
        num_classes: number of logits.
        **options: dropout, and device and dtype of the parameters.

    Example:
        >>> sum(p.numel() for p in ghostnet_100(device="meta").parameters())
        5182508
    """
    return GhostNet(num_classes, **options)
