"""Depthwise separable convolution: one spatial kernel per channel, then a 1×1 kernel that mixes the channels::

    z[b,c·m+n,i,j] = Σ_{u,v} a[c,n,u,v] · x[b, c, i·s+u·d−p, j·s+v·d−p]      depthwise, m kernels per channel
    y[b,o,i,j]     = β[o] + Σ_k w[o,k] · z[b,k,i,j]                          pointwise

k²·C·m + C·m·O weights instead of k²·C·O: for m = 1 and large O about k² times fewer.
Howard et al., "MobileNets", 2017, arXiv:1704.04861; Chollet, "Xception", CVPR 2017, arXiv:1610.02357 ·
chapter compression/separable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.compression.separable_conv import SeparableConv2d as SeparableConv2d
from convnotes.fundamentals.activation import ActLayer, activation, in_place
from convnotes.fundamentals.layer import Classifier
from convnotes.geometry import Factory

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Options(Factory, total=False):
    act_layer: ActLayer


def _norm_relu(channels: int, act_layer: ActLayer = nn.ReLU, **kw: Unpack[Factory]) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels, **kw), in_place(act_layer))


class MobileNetV1(Classifier, shown="num_classes width_multiplier"):
    """Thirteen separable convolutions: `[B, 3, H, W]`, 224×224 in the paper → logits `[B, num_classes]`.

    Padding is 1 on every side; TensorFlow's "SAME" pads a strided layer at the bottom and on the right only. Howard et
    al. 2017, table 1 (the stride of the last separable layer is 1, as in the authors' code). Parameters for 1000
    classes: 4,231,976.

    Args:
        num_classes: number of logits.
        width_multiplier: factor of every width, the paper's α.
        dropout: probability before the classifier.
        device, dtype: of the parameters.
        act_layer: makes each activation; timm's mobilenetv1_100 has `nn.ReLU6`.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> MobileNetV1(10, width_multiplier=0.25).eval()(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    WIDTHS_AND_STRIDES = (
        (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
        (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
    )  # fmt: skip

    def __init__(
        self,
        num_classes: int = 1000,
        width_multiplier: float = 1.0,
        dropout: float = 0.001,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        super().__init__(num_classes)
        checks.number("width_multiplier", width_multiplier, "(0, inf)")
        self.width_multiplier = width_multiplier
        kw = Factory(device=device, dtype=dtype)

        def width(full: int) -> int:
            return max(1, round(full * width_multiplier))

        channels = width(32)
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False, **kw), _norm_relu(channels, act_layer, **kw)
        )
        blocks = []
        for full, stride in self.WIDTHS_AND_STRIDES:
            out = width(full)
            between = _norm_relu(channels, act_layer, **kw)
            separable = SeparableConv2d(channels, out, 3, stride, padding=1, bias=False, between=between, **kw)
            blocks.append(nn.Sequential(separable, _norm_relu(out, act_layer, **kw)))
            channels = out
        self.blocks = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes, **kw)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input, self.stem[0])
        x = self.avgpool(self.blocks(self.stem(input)))
        return self.fc(self.dropout(x.flatten(1)))


class _XceptionBlock(nn.Module):
    """Separable convolutions beside a shortcut: `[B, C, H, W]` → `[B, O, H/stride, W/stride]`.

    Every separable convolution is preceded by the activation (except the very first of the network) and followed by
    batch norm.
    """

    def __init__(
        self, widths: tuple[int, ...], stride: int, first_act: bool, act_layer: ActLayer, **kw: Unpack[Factory]
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n in range(len(widths) - 1):
            if n or first_act:
                layers.append(activation(act_layer))
            layers.append(SeparableConv2d(widths[n], widths[n + 1], 3, padding=1, bias=False, **kw))
            layers.append(nn.BatchNorm2d(widths[n + 1], **kw))
        if stride > 1:
            layers.append(nn.MaxPool2d(3, stride, padding=1))
        if first_act and getattr(layers[0], "inplace", False):
            layers[0].inplace = False  # type: ignore[assignment]  # the shortcut reads what it would overwrite
        self.body = nn.Sequential(*layers)
        if stride == 1 and widths[0] == widths[-1]:
            self.shortcut: nn.Module = nn.Identity()
        else:
            conv = nn.Conv2d(widths[0], widths[-1], 1, stride, bias=False, **kw)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(widths[-1], **kw))

    def forward(self, input: Tensor) -> Tensor:
        return self.body(input) + self.shortcut(input)


class Xception(Classifier):
    """Separable convolutions with shortcuts: `[B, 3, H, W]`, 7×7 pixels at least, 299×299 in the paper → logits.

    Parameters for 1000 classes: 22,855,952. Chollet 2017, figure 5.

    Args:
        num_classes, dropout: as in `MobileNetV1`.
        device, dtype: of the parameters.
        act_layer: makes each activation.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> Xception(10, device="meta").eval()(torch.empty(2, 3, 71, 71, device="meta")).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        super().__init__(num_classes, least=7)
        kw = Factory(device=device, dtype=dtype)
        options = _Options(**kw, act_layer=act_layer)
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 3, stride=2, bias=False, **kw), _norm_relu(32, **options),
            nn.Conv2d(32, 64, 3, bias=False, **kw), _norm_relu(64, **options),
        )  # fmt: skip
        self.blocks = nn.Sequential(
            _XceptionBlock((64, 128, 128), 2, first_act=False, **options),
            _XceptionBlock((128, 256, 256), 2, first_act=True, **options),
            _XceptionBlock((256, 728, 728), 2, first_act=True, **options),
            *[_XceptionBlock((728,) * 4, 1, first_act=True, **options) for _ in range(8)],
            _XceptionBlock((728, 728, 1024), 2, first_act=True, **options),
        )
        self.tail = nn.Sequential(
            SeparableConv2d(1024, 1536, 3, padding=1, bias=False, **kw), _norm_relu(1536, **options),
            SeparableConv2d(1536, 2048, 3, padding=1, bias=False, **kw), _norm_relu(2048, **options),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes, **kw)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input, self.stem[0])
        x = self.avgpool(self.tail(self.blocks(self.stem(input))))
        return self.fc(self.dropout(x.flatten(1)))


mobilenet_v1, xception = MobileNetV1, Xception  # the names that timm and torchvision would give them
