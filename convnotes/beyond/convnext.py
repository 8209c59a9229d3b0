"""ConvNeXt: a residual network of 7×7 depthwise kernels, each followed by two 1×1 kernels::

    y = x + γ · w_2 · GELU(w_1 · LN(w_7×7 ∗ x))

LN is layer norm over the channels of each pixel, γ a factor per channel.
Liu et al., "A ConvNet for the 2020s", CVPR 2022, arXiv:2201.03545 · chapter beyond/large_kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.depthwise import DepthwiseConv2d
from convnotes.fundamentals.layer import Classifier, Composite
from convnotes.geometry import Factory

if TYPE_CHECKING:
    from typing_extensions import Unpack


def drop_path(added: Tensor, probability: float, training: bool) -> Tensor:
    """What a residual block adds, `[B, …]`: in training 0 for some of the images, and more for the others.

    Each image is dropped with `probability`; what is kept is divided by 1 − `probability`. Huang et al., "Deep networks
    with stochastic depth", ECCV 2016, arXiv:1603.09382.

    Args:
        added: what the block adds, a batch.
        probability: of dropping an image, below 1.
        training: whether to drop at all.

    Example:
        >>> from convnotes.beyond.convnext import drop_path
        >>> drop_path(torch.ones(3, 2), 0.5, training=False).sum()
        tensor(6.)
    """
    if not training or probability == 0:
        return added
    kept = added.new_empty(len(added), *[1] * (added.dim() - 1)).bernoulli_(1 - probability)
    return added * kept / (1 - probability)


def drop_rates(layers: Sequence[int], last: float) -> list[list[float]]:
    """The probability of `drop_path` for each block of each stage: from 0 in the first block to `last` in the last."""
    checks.number("drop_path", last, "[0, 1)")
    blocks, done, rates = max(sum(layers) - 1, 1), 0, []
    for count in layers:
        rates.append([last * n / blocks for n in range(done, done + count)])
        done += count
    return rates


def draw_truncated(module: nn.Module) -> None:
    """Draw the weights of a network as ConvNeXt's authors do: normal, deviation 0.02, cut off at ±2; biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Stage(nn.Module):
    """The blocks of a stage, one after the other, as its submodule `blocks`."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, input: Tensor) -> Tensor:
        return self.blocks(input)


class ConvNeXtBlock(Composite, shown="channels kernel_size expansion"):
    """A large depthwise kernel, layer norm, and two 1×1 kernels with GELU, scaled and added to the input.

    `[B, C, H, W]` → `[B, C, H, W]`. The names of the parameters are torchvision's. Liu et al. 2022, figure 4.

    Args:
        channels: C channels of input and output.
        kernel_size: side of the depthwise kernel, odd.
        expansion: the first 1×1 kernel gives `expansion` · C channels.
        layer_scale: first value of the factor per channel that the result is multiplied by.
        drop_path: probability, per image in training, that the block passes on its input alone; what it adds to the
            others is divided by 1 − `drop_path`.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> ConvNeXtBlock(16)(torch.rand(2, 16, 14, 9)).shape
        torch.Size([2, 16, 14, 9])
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 7,
        expansion: int = 4,
        layer_scale: float = 1e-6,
        drop_path: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        checks.positive(channels=channels, expansion=expansion)
        K, kw = checks.whole("kernel_size", kernel_size, 1, odd=True), Factory(device=device, dtype=dtype)
        self.channels, self.kernel_size, self.expansion = channels, K, expansion
        self.start = checks.number("layer_scale", layer_scale, "(-inf, inf)")
        self.drop_path = checks.number("drop_path", drop_path, "[0, 1)")
        self.block = nn.Sequential(
            DepthwiseConv2d(channels, channels, K, padding=K // 2, groups=channels, **kw),
            Permute(0, 2, 3, 1),
            nn.LayerNorm(channels, eps=1e-6, **kw),
            nn.Linear(channels, expansion * channels, **kw),
            nn.GELU(),
            nn.Linear(expansion * channels, channels, **kw),
            Permute(0, 3, 1, 2),
        )
        self.layer_scale = nn.Parameter(torch.full((channels, 1, 1), self.start, **kw))

    def _start(self) -> None:
        nn.init.constant_(self.layer_scale, self.start)

    def forward(self, input: Tensor) -> Tensor:
        checks.images("ConvNeXtBlock", input, self.layer_scale, self.channels, least=1)
        return input + drop_path(self.layer_scale * self.block(input), self.drop_path, self.training)


class Permute(nn.Module):
    """`torch.permute` as a module.

    Args:
        *dims: of the input, in their new order.
    """

    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, input: Tensor) -> Tensor:
        return input.permute(self.dims)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.dims))


class LayerNorm2d(nn.LayerNorm):
    """`nn.LayerNorm` over the channels of each pixel of `[B, C, H, W]`."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXt(Classifier):
    """Four stages of `ConvNeXtBlock`: `[B, 3, H, W]`, 224×224 in the paper → logits `[B, num_classes]`.

    The names of the parameters are torchvision's, so that its published weights load. Liu et al. 2022, section 3.

    Args:
        layers: number of blocks in each of the four stages, (3, 3, 9, 3) in ConvNeXt-T.
        channels: of each of the stages, (96, 192, 384, 768) in ConvNeXt-T.
        num_classes: number of logits.
        kernel_size, layer_scale: as in `ConvNeXtBlock`.
        drop_path: of the last block; it grows from 0 in the first.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> from convnotes.beyond.convnext import ConvNeXt
        >>> net = ConvNeXt((1, 1, 1, 1), (8, 16, 24, 32), num_classes=10, device="meta")
        >>> net(torch.empty(2, 3, 64, 64, device="meta")).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        layers: Sequence[int],
        channels: Sequence[int],
        num_classes: int = 1000,
        kernel_size: int = 7,
        layer_scale: float = 1e-6,
        drop_path: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, least=32)
        counts, widths = checks.wholes("layers", layers, 4), checks.wholes("channels", channels, 4)
        kw = Factory(device=device, dtype=dtype)
        norm = LayerNorm2d(widths[0], eps=1e-6, **kw)
        features: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, widths[0], 4, stride=4, **kw), norm)]
        for stage, (drops, width) in enumerate(zip(drop_rates(counts, drop_path), widths, strict=True)):
            if stage:
                before = widths[stage - 1]
                norm = LayerNorm2d(before, eps=1e-6, **kw)
                features.append(nn.Sequential(norm, nn.Conv2d(before, width, 2, stride=2, **kw)))
            blocks = (ConvNeXtBlock(width, kernel_size, 4, layer_scale, drop, **kw) for drop in drops)
            features.append(nn.Sequential(*blocks))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        head = nn.Linear(widths[-1], num_classes, **kw)
        self.classifier = nn.Sequential(LayerNorm2d(widths[-1], eps=1e-6, **kw), nn.Flatten(1), head)
        self._start()

    def _start(self) -> None:
        draw_truncated(self)

    def forward(self, input: Tensor) -> Tensor:
        checks.images("ConvNeXt", input, self.classifier[2].weight, 3, self.least)
        return self.classifier(self.avgpool(self.features(input)))


def convnext_tiny(num_classes: int = 1000, drop_path: float = 0.1, **options: Unpack[Factory]) -> ConvNeXt:
    """ConvNeXt-T: 28,589,128 parameters for 1000 classes.

    Args:
        num_classes: number of logits.
        drop_path: of the last block, as in `ConvNeXt`.
        **options: device and dtype of the parameters.

    Example:
        >>> sum(p.numel() for p in convnext_tiny(device="meta").parameters())
        28589128
    """
    return ConvNeXt((3, 3, 9, 3), (96, 192, 384, 768), num_classes, drop_path=drop_path, **options)
