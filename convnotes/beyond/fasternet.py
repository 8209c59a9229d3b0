"""FasterNet: a residual network of partial convolutions, each followed by two 1×1 kernels::

    y = x + w_2 · GELU(BN(w_1 · P(x)))          P: `PartialConv2d`

Chen et al., "Run, don't walk: chasing higher FLOPS for faster neural networks", CVPR 2023, arXiv:2303.03667 · chapter
beyond/cheap_features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.beyond.cheap_features import PartialConv2d
from convnotes.beyond.convnext import Stage, draw_truncated, drop_path, drop_rates
from convnotes.fundamentals.activation import ActLayer, made
from convnotes.fundamentals.layer import Block, Classifier
from convnotes.geometry import Factory

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Block(Block, shown="in_channels"):
    def __init__(
        self, channels: int, expansion: int, n_div: int, drop: float, act_layer: ActLayer, **kw: Unpack[Factory]
    ) -> None:
        super().__init__(channels, channels)
        self.drop, wide = drop, expansion * channels
        self.spatial_mixing = PartialConv2d(channels, n_div=n_div, **kw)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False, **kw),
            nn.BatchNorm2d(wide, **kw),
            made(act_layer),
            nn.Conv2d(wide, channels, 1, bias=False, **kw),
        )

    def forward(self, input: Tensor) -> Tensor:
        return input + drop_path(self.mlp(self.spatial_mixing(input)), self.drop, self.training)


class _Patches(nn.Module):
    """A convolution of patches that touch, under a name of its own, and batch norm."""

    def __init__(self, name: str, in_channels: int, out_channels: int, size: int, **kw: Unpack[Factory]) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, nn.Conv2d(in_channels, out_channels, size, stride=size, bias=False, **kw))
        self.norm = nn.BatchNorm2d(out_channels, **kw)

    def forward(self, input: Tensor) -> Tensor:
        return self.norm(self.get_submodule(self.name)(input))


class FasterNet(Classifier):
    """Four stages of partial convolutions: `[B, 3, H, W]`, 224×224 in the paper → logits `[B, num_classes]`.

    The names of the parameters are those of the authors' code, so that its published weights load. Chen et al. 2023,
    section 3.4.

    Args:
        layers: number of blocks in each of the four stages, (1, 2, 8, 2) in FasterNet-T0.
        channels: of the first stage, at least `n_div`; each further stage doubles them.
        num_classes: number of logits.
        expansion: the first 1×1 kernel of a block gives `expansion` times its channels.
        n_div: as in `PartialConv2d`.
        feature_channels: channels of the 1×1 kernel before the classifier.
        drop_path: of the last block; it grows from 0 in the first.
        device, dtype: of the parameters.
        act_layer: makes each activation; in the paper GELU in T0 and T1, ReLU in the larger networks.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> from convnotes.beyond.fasternet import FasterNet
        >>> net = FasterNet((1, 1, 1, 1), 8, num_classes=10, device="meta")
        >>> net(torch.empty(2, 3, 64, 64, device="meta")).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        layers: Sequence[int],
        channels: int,
        num_classes: int = 1000,
        expansion: int = 2,
        n_div: int = 4,
        feature_channels: int = 1280,
        drop_path: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.GELU,
    ) -> None:
        super().__init__(num_classes, least=32)
        counts = checks.wholes("layers", layers, 4)
        checks.positive(channels=channels, expansion=expansion, feature_channels=feature_channels)
        kw = Factory(device=device, dtype=dtype)
        self.patch_embed = _Patches("proj", 3, channels, 4, **kw)
        stages: list[nn.Module] = []
        for stage, drops in enumerate(drop_rates(counts, drop_path)):
            width = channels * 2**stage
            if stage:
                stages.append(_Patches("reduction", width // 2, width, 2, **kw))
            stages.append(Stage([_Block(width, expansion, n_div, drop, act_layer, **kw) for drop in drops]))
        self.stages = nn.Sequential(*stages)
        features = nn.Conv2d(channels * 8, feature_channels, 1, bias=False, **kw)
        self.avgpool_pre_head = nn.Sequential(nn.AdaptiveAvgPool2d(1), features, made(act_layer))
        self.head = nn.Linear(feature_channels, num_classes, **kw)
        self._start()

    def _start(self) -> None:
        draw_truncated(self)

    def forward(self, input: Tensor) -> Tensor:
        checks.images("FasterNet", input, self.head.weight, 3, self.least)
        return self.head(self.avgpool_pre_head(self.stages(self.patch_embed(input))).flatten(1))


def fasternet_t0(num_classes: int = 1000, drop_path: float = 0.0, **options: Unpack[Factory]) -> FasterNet:
    """FasterNet-T0: 3,905,500 parameters for 1000 classes (3.9 M in the paper).

    Args:
        num_classes: number of logits.
        drop_path: of the last block, as in `FasterNet`.
        **options: device and dtype of the parameters.

    Example:
        >>> sum(p.numel() for p in fasternet_t0(device="meta").parameters())
        3905500
    """
    return FasterNet((1, 2, 8, 2), 40, num_classes, drop_path=drop_path, **options)
