"""Depthwise separable convolution: one spatial kernel a channel, then a 1×1 kernel that mixes the channels.

    z[b,c·m+n,i,j] = Σ_{u,v} d[c,n,u,v] · x[b, c, i·s+u·r−p, j·s+v·r−p]      depthwise, m kernels a channel
    y[b,o,i,j]     = β[o] + Σ_k w[o,k] · z[b,k,i,j]                          pointwise

k²·C·m + C·m·O weights in the place of k²·C·O: about k² times fewer where O is large.
Howard et al., "MobileNets", 2017, arXiv:1704.04861; Chollet, "Xception", CVPR 2017, arXiv:1610.02357 ·
chapter compression/separable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.depthwise import DepthwiseConv2d
from convnotes.fundamentals.initialisation import Composite
from convnotes.geometry import Factory, IntOrPair, Padding, checked_padding, pair

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SeparableConv2d(Composite):
    """A depthwise and a pointwise convolution: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    Arguments as in `torch.nn.Conv2d`; stride, padding and dilation are the depthwise kernel's, the bias is the
    pointwise kernel's. `depth_multiplier` is the number of spatial kernels a channel. `between` is a module put between
    the two on `C·depth_multiplier` channels: MobileNet has batch norm and ReLU there, Xception nothing.

    Raises `ValueError` or `TypeError` for bad sizes and for an input whose shape, dtype or device does not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        dilation: IntOrPair = 1,
        depth_multiplier: int = 1,
        bias: bool = True,
        between: nn.Module | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        checks.positive(in_channels=in_channels, out_channels=out_channels, depth_multiplier=depth_multiplier)
        self.in_channels, self.out_channels, self.depth_multiplier = in_channels, out_channels, depth_multiplier
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride, self.dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
        self.padding = checked_padding(padding)
        middle, kw = in_channels * depth_multiplier, Factory(device=device, dtype=dtype)
        self.depthwise = DepthwiseConv2d(
            in_channels, middle, self.kernel_size, self.stride, self.padding, self.dilation,
            groups=in_channels, bias=False, **kw,
        )  # fmt: skip
        self.between = nn.Identity() if between is None else between
        self.pointwise = nn.Conv2d(middle, out_channels, 1, bias=bias, **kw)

    def forward(self, input: Tensor) -> Tensor:
        checks.images("SeparableConv2d", input, self.depthwise.weight, self.in_channels)
        checks.fits("SeparableConv2d", input, self.depthwise.weight, self.stride, self.padding, self.dilation)
        return self.pointwise(self.between(self.depthwise(input)))  # [B, C·m, H_out, W_out] → [B, O, …]

    def full_weight(self) -> Tensor:
        """The weight `[O, C, KH, KW]` of the one convolution that this layer equals (without `between`).

        For every input channel its kernels, over all outputs, have at most rank `depth_multiplier`.
        """
        d = self.depthwise.weight.unflatten(0, (self.in_channels, self.depth_multiplier))[:, :, 0]  # [C, m, KH, KW]
        w = self.pointwise.weight[:, :, 0, 0].unflatten(1, (self.in_channels, self.depth_multiplier))  # [O, C, m]
        return torch.einsum("cmuv,ocm->ocuv", d, w)

    @classmethod
    def nearest(cls, conv: nn.Conv2d, depth_multiplier: int = 1) -> SeparableConv2d:
        """The separable layer whose full weight has the least squared distance to that of `conv`; its bias is kept.

        Each input channel's kernels, as a matrix [O, KH·KW], keep their first `depth_multiplier` singular parts; the
        root of a singular value goes to either kernel. It equals `conv` from min(O, KH·KW) kernels a channel on.
        Guo et al., "Network decoupling", BMVC 2018, arXiv:1808.05517.

        Raises `TypeError` for what is no `nn.Conv2d`, `ValueError` for groups and for padding other than by zeros.
        """
        checks.instance("conv", conv, nn.Conv2d, "a torch.nn.Conv2d")
        if conv.groups != 1 or conv.padding_mode != "zeros":
            raise ValueError(
                f'nearest needs groups=1 and padding_mode="zeros", got {conv.groups} and "{conv.padding_mode}"'
            )
        layer = cls(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, checked_padding(conv.padding),
            conv.dilation, depth_multiplier, conv.bias is not None,
            device=conv.weight.device, dtype=conv.weight.dtype,
        )  # fmt: skip
        with torch.no_grad():
            parts = torch.linalg.svd(conv.weight.double().transpose(0, 1).flatten(2), full_matrices=False)
            roots = parts.S[:, :depth_multiplier].sqrt()  # [C, r]
            d = layer.depthwise.weight.new_zeros(conv.in_channels, depth_multiplier, *conv.kernel_size)
            w = d.new_zeros(conv.out_channels, conv.in_channels, depth_multiplier)
            r = roots.shape[1]  # fewer than depth_multiplier where there are no more singular parts
            d[:, :r] = (roots[:, :, None] * parts.Vh[:, :r]).unflatten(2, conv.kernel_size).to(d)
            w[:, :, :r] = (parts.U[:, :, :r] * roots[:, None]).transpose(0, 1).to(w)
            layer.depthwise.weight.copy_(d.flatten(0, 1)[:, None])
            layer.pointwise.weight.copy_(w.flatten(1)[:, :, None, None])
            if conv.bias is not None and layer.pointwise.bias is not None:
                layer.pointwise.bias.copy_(conv.bias)
        return layer

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, depth_multiplier={self.depth_multiplier}"
        )


def _norm_relu(channels: int, **kw: Unpack[Factory]) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels, **kw), nn.ReLU(inplace=True))


class MobileNetV1(Composite):
    """Thirteen separable convolutions: `[B, 3, H, W]`, 224×224 in the paper → logits `[B, num_classes]`.

    `width_multiplier` scales every width, as the paper's α. Parameters at 1.0 for 1000 classes: 4,231,976.
    Padding is 1 on every side; TensorFlow's "SAME" pads a strided layer on the far side only. Howard et al. 2017,
    table 1 (the stride of the last separable layer is 1, as in the authors' code).
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
    ) -> None:
        super().__init__()
        checks.positive(num_classes=num_classes)
        checks.number("width_multiplier", width_multiplier, "(0, inf)")
        self.num_classes, self.width_multiplier = num_classes, width_multiplier
        kw = Factory(device=device, dtype=dtype)

        def width(full: int) -> int:
            return max(1, round(full * width_multiplier))

        channels = width(32)
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False, **kw), _norm_relu(channels, **kw)
        )
        blocks = []
        for full, stride in self.WIDTHS_AND_STRIDES:
            out = width(full)
            between = _norm_relu(channels, **kw)
            separable = SeparableConv2d(channels, out, 3, stride, padding=1, bias=False, between=between, **kw)
            blocks.append(nn.Sequential(separable, _norm_relu(out, **kw)))
            channels = out
        self.blocks = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes, **kw)

    def forward(self, input: Tensor) -> Tensor:
        checks.images("MobileNetV1", input, self.stem[0].weight, 3)
        x = self.avgpool(self.blocks(self.stem(input)))
        return self.fc(self.dropout(x.flatten(1)))

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, width_multiplier={self.width_multiplier}"


class _XceptionBlock(nn.Module):
    """Separable convolutions beside a shortcut: `[B, C, H, W]` → `[B, O, H/stride, W/stride]`.

    Every separable convolution is preceded by ReLU (but for the very first of the network) and followed by batch norm.
    """

    def __init__(self, widths: tuple[int, ...], stride: int, first_relu: bool, **kw: Unpack[Factory]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n in range(len(widths) - 1):
            if n or first_relu:
                layers.append(nn.ReLU())
            layers.append(SeparableConv2d(widths[n], widths[n + 1], 3, padding=1, bias=False, **kw))
            layers.append(nn.BatchNorm2d(widths[n + 1], **kw))
        if stride > 1:
            layers.append(nn.MaxPool2d(3, stride, padding=1))
        self.body = nn.Sequential(*layers)
        if stride == 1 and widths[0] == widths[-1]:
            self.shortcut: nn.Module = nn.Identity()
        else:
            conv = nn.Conv2d(widths[0], widths[-1], 1, stride, bias=False, **kw)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(widths[-1], **kw))

    def forward(self, input: Tensor) -> Tensor:
        return self.body(input) + self.shortcut(input)


class Xception(Composite):
    """Separable convolutions with shortcuts: `[B, 3, H, W]`, 7×7 pixels at least, 299×299 in the paper → logits.

    Parameters for 1000 classes: 22,855,952. Chollet 2017, figure 5.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        checks.positive(num_classes=num_classes)
        self.num_classes, kw = num_classes, Factory(device=device, dtype=dtype)
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 3, stride=2, bias=False, **kw), _norm_relu(32, **kw),
            nn.Conv2d(32, 64, 3, bias=False, **kw), _norm_relu(64, **kw),
        )  # fmt: skip
        self.blocks = nn.Sequential(
            _XceptionBlock((64, 128, 128), 2, first_relu=False, **kw),
            _XceptionBlock((128, 256, 256), 2, first_relu=True, **kw),
            _XceptionBlock((256, 728, 728), 2, first_relu=True, **kw),
            *[_XceptionBlock((728,) * 4, 1, first_relu=True, **kw) for _ in range(8)],
            _XceptionBlock((728, 728, 1024), 2, first_relu=True, **kw),
        )
        self.tail = nn.Sequential(
            SeparableConv2d(1024, 1536, 3, padding=1, bias=False, **kw), _norm_relu(1536, **kw),
            SeparableConv2d(1536, 2048, 3, padding=1, bias=False, **kw), _norm_relu(2048, **kw),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes, **kw)

    def forward(self, input: Tensor) -> Tensor:
        checks.images("Xception", input, self.stem[0].weight, 3, least=7)
        x = self.avgpool(self.tail(self.blocks(self.stem(input))))
        return self.fc(self.dropout(x.flatten(1)))

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}"


class XceptionOptions(Factory, total=False):
    """The other arguments of `Xception`."""

    dropout: float


class MobileNetV1Options(Factory, total=False):
    """The other arguments of `MobileNetV1`."""

    width_multiplier: float
    dropout: float


def mobilenet_v1(num_classes: int = 1000, **options: Unpack[MobileNetV1Options]) -> MobileNetV1:
    """`MobileNetV1` of full width."""
    return MobileNetV1(num_classes, **options)


def xception(num_classes: int = 1000, **options: Unpack[XceptionOptions]) -> Xception:
    """`Xception` as published."""
    return Xception(num_classes, **options)
