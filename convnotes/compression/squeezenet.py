"""SqueezeNet: squeeze the channels by 1×1 kernels, then expand them by 1×1 and 3×3 kernels side by side::

    s = ReLU(w_s · x + b_s) at every pixel,   y = concat( ReLU(w_1 · s + b_1), ReLU(w_3 ∗ s + b_3) )

Only the few squeezed channels meet a 3×3 kernel.
Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016, arXiv:1602.07360 ·
chapter compression/squeezenet.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.activation import ActLayer, activated, activation, plain
from convnotes.fundamentals.layer import Block, Classifier, DropoutOptions
from convnotes.geometry import Factory

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Fire(Block):
    """Squeeze and expand: `[B, C, H, W]` → `[B, expand1x1_channels + expand3x3_channels, H, W]`.

    A 1×1 kernel reduces the channels; a 1×1 and a 3×3 kernel side by side expand them. Iandola et al. 2016, figure 1.

    Args:
        in_channels: C channels of the input.
        squeeze_channels: output channels of the first 1×1 kernel.
        expand1x1_channels: output channels of the second 1×1 kernel.
        expand3x3_channels: output channels of the 3×3 kernel.
        device, dtype: of the parameters.
        act_layer: makes both activations.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> Fire(96, 16, 64, 64)(torch.rand(2, 96, 9, 9)).shape
        torch.Size([2, 128, 9, 9])
    """

    def __init__(
        self,
        in_channels: int,
        squeeze_channels: int,
        expand1x1_channels: int,
        expand3x3_channels: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        checks.positive(squeeze_channels=squeeze_channels)
        checks.positive(expand1x1_channels=expand1x1_channels, expand3x3_channels=expand3x3_channels)
        super().__init__(in_channels, expand1x1_channels + expand3x3_channels)
        kw = Factory(device=device, dtype=dtype)
        self.squeeze = nn.Conv2d(in_channels, squeeze_channels, 1, **kw)
        self.act1 = plain(act_layer)
        self.expand1x1 = nn.Conv2d(squeeze_channels, expand1x1_channels, 1, **kw)
        self.expand3x3 = nn.Conv2d(squeeze_channels, expand3x3_channels, 3, padding=1, **kw)
        self.act2 = plain(act_layer)

    def forward(self, input: Tensor) -> Tensor:
        checks.images("Fire", input, self.squeeze.weight, self.in_channels)
        s = activated(self.act1, self.squeeze(input))  # [B, squeeze, H, W]
        return activated(self.act2, torch.cat([self.expand1x1(s), self.expand3x3(s)], dim=1))

    def extra_repr(self) -> str:
        return f"{self.in_channels} → {self.squeeze.out_channels} → {self.out_channels}"


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


class SqueezeNet(Classifier, shown="version num_classes"):
    """Eight fire blocks and a 1×1 classifier averaged over the image: `[B, 3, H, W]` → logits `[B, num_classes]`.

    The names of the parameters are torchvision's. Made for 224×224 pixels; 21×21 at least for version 1_0, 17×17 for
    1_1. Parameters for 1000 classes: 1,248,424 and 1,235,496.

    Args:
        version: "1_0" is the paper's; "1_1" is the authors' later one with 2.4 times fewer multiply-adds.
        num_classes: number of logits.
        dropout: probability before the classifier.
        device, dtype: of the parameters.
        act_layer: makes each activation.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> SqueezeNet("1_1", num_classes=10).eval()(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        version: Literal["1_0", "1_1"] = "1_0",
        num_classes: int = 1000,
        dropout: float = 0.5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        checks.one_of("version", version, ("1_0", "1_1"))
        super().__init__(num_classes, least=21 if version == "1_0" else 17)
        self.version, kw = version, Factory(device=device, dtype=dtype)
        fire = functools.partial(Fire, act_layer=act_layer, **kw)
        if version == "1_0":
            layers = [
                nn.Conv2d(3, 96, 7, stride=2, **kw), activation(act_layer), _pool(),
                fire(96, 16, 64, 64), fire(128, 16, 64, 64), fire(128, 32, 128, 128), _pool(),
                fire(256, 32, 128, 128), fire(256, 48, 192, 192), fire(384, 48, 192, 192),
                fire(384, 64, 256, 256), _pool(),
                fire(512, 64, 256, 256),
            ]  # fmt: skip
        else:
            layers = [
                nn.Conv2d(3, 64, 3, stride=2, **kw), activation(act_layer), _pool(),
                fire(64, 16, 64, 64), fire(128, 16, 64, 64), _pool(),
                fire(128, 32, 128, 128), fire(256, 32, 128, 128), _pool(),
                fire(256, 48, 192, 192), fire(384, 48, 192, 192),
                fire(384, 64, 256, 256), fire(512, 64, 256, 256),
            ]  # fmt: skip
        self.features = nn.Sequential(*layers)
        last = nn.Conv2d(512, num_classes, 1, **kw)
        self.classifier = nn.Sequential(nn.Dropout(dropout), last, activation(act_layer), nn.AdaptiveAvgPool2d(1))
        self._start()

    def _start(self) -> None:
        """He's uniform, the classifier normal with deviation 0.01, biases 0."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                if layer is self.classifier[1]:
                    nn.init.normal_(layer.weight, std=0.01)
                else:
                    nn.init.kaiming_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input, self.features[0])
        return self.classifier(self.features(input)).flatten(1)


class SqueezeNetOptions(DropoutOptions, total=False):
    """The other arguments of `SqueezeNet`."""

    act_layer: ActLayer


def squeezenet1_0(num_classes: int = 1000, **options: Unpack[SqueezeNetOptions]) -> SqueezeNet:
    """`SqueezeNet` as in the paper: 1,248,424 parameters.

    Args:
        num_classes: number of logits.
        **options: the other arguments of `SqueezeNet`, except `version`.

    Example:
        >>> sum(p.numel() for p in squeezenet1_0(device="meta").parameters())
        1248424
    """
    return SqueezeNet("1_0", num_classes, **options)


def squeezenet1_1(num_classes: int = 1000, **options: Unpack[SqueezeNetOptions]) -> SqueezeNet:
    """`SqueezeNet` of the authors' later release: 1,235,496 parameters, 2.4 times fewer multiply-adds than the first.

    Args:
        num_classes: number of logits.
        **options: the other arguments of `SqueezeNet`, except `version`.

    Example:
        >>> from convnotes.measure import cost
        >>> nets = squeezenet1_0(device="meta"), squeezenet1_1(device="meta")
        >>> [cost(net, (1, 3, 224, 224)).macs for net in nets]
        [818924576, 349151936]
    """
    return SqueezeNet("1_1", num_classes, **options)
