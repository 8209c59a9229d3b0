"""Dilated (atrous) convolution: the taps of a kernel are spread, so that it sees further with the same weights::

    y[b,o,i,j] = Σ_{c,u,v} w[o,c,u,v] · x[b, c, i·s + u·d − p, j·s + v·d − p]      d: the dilation

The layer itself is `torch.nn.Conv2d(dilation=d)`. This module has what is built of it: rates side by side (`ASPP`),
rates one after another (`AtrousCascade`), and the segmentation network that uses `ASPP`. What a stack of rates leaves
out is computed in `receptive_field.gridding`.
Yu & Koltun, "Multi-scale context aggregation by dilated convolutions", ICLR 2016, arXiv:1511.07122; Chen et al.,
"Rethinking atrous convolution for semantic image segmentation" (DeepLabv3), 2017, arXiv:1706.05587 ·
chapter receptive_field/dilated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes import checks
from convnotes.compression.residual import Bottleneck, ResNet
from convnotes.fundamentals.activation import ActLayer, in_place
from convnotes.fundamentals.layer import Block, Classifier
from convnotes.geometry import Factory
from convnotes.receptive_field.gridding import coverage as coverage
from convnotes.receptive_field.gridding import gridding_holes as gridding_holes
from convnotes.receptive_field.gridding import hdc_distance as hdc_distance

if TYPE_CHECKING:
    from typing_extensions import Unpack

OutputStride = Literal[8, 16]
_DILATE = {8: (False, True, True), 16: (False, False, True)}  # output stride → which stages keep their size
_RATES = {8: (12, 24, 36), 16: (6, 12, 18)}


class _Options(Factory, total=False):
    act_layer: ActLayer


def _conv_norm_relu(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    rate: int = 1,
    act_layer: ActLayer = nn.ReLU,
    **kw: Unpack[Factory],
) -> list[nn.Module]:
    padding = rate * (kernel_size // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=rate, bias=False, **kw)
    return [conv, nn.BatchNorm2d(out_channels, **kw), in_place(act_layer)]


class _ImagePooling(nn.Sequential):
    """The mean of the image, through a 1×1 kernel, at every pixel: `[B, C, H, W]` → `[B, O, H, W]`."""

    def forward(self, input: Tensor) -> Tensor:
        mean = input
        for layer in self:
            mean = layer(mean)
        return mean.expand(-1, -1, input.shape[2], input.shape[3])


class ASPP(Block, shown="in_channels out_channels rates image_pooling"):
    """Atrous spatial pyramid pooling, rates in parallel: `[B, C, H, W]` → `[B, out_channels, H, W]`, as ::

        y = D( f( concat( f_1(x), f_{r₁}(x), …, f_{r_n}(x), f_p(mean x) ) ) )      f: convolution, batch norm, ReLU

    f_1, f_p and the projection f have 1×1 kernels, f_r a 3×3 kernel of rate r; D is dropout. The mean of the image is
    repeated at every pixel. Where r is as large as the map, only the middle tap is inside. The names of the parameters
    are torchvision's. Chen et al. 2017, section 3.3.

    With image pooling an output pixel sees the whole image, which `measure.receptive_field` gives as `math.inf`;
    without, it is 2·max r + 1.

    Args:
        in_channels: C channels of the input.
        out_channels: channels of every branch and of the output.
        rates: r₁ … r_n.
        image_pooling: False leaves the branch of the mean out, as in DeepLabv2. With it batch norm gets one value per
            channel and image, so in training the batch must hold at least two images.
        dropout: probability, in [0, 1).
        device, dtype: of the parameters.
        act_layer: makes each activation.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> ASPP(16, 8, rates=(2, 4)).eval()(torch.rand(1, 16, 9, 9)).shape
        torch.Size([1, 8, 9, 9])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        rates: Sequence[int] = (12, 24, 36),
        image_pooling: bool = True,
        dropout: float = 0.5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        checks.flags(image_pooling=image_pooling)
        super().__init__(in_channels, out_channels)
        checks.number("dropout", dropout, "[0, 1)")
        self.rates = checks.wholes("rates", rates)
        self.image_pooling, kw = image_pooling, _Options(device=device, dtype=dtype, act_layer=act_layer)
        branches = [nn.Sequential(*_conv_norm_relu(in_channels, out_channels, **kw))]
        branches += [nn.Sequential(*_conv_norm_relu(in_channels, out_channels, 3, rate, **kw)) for rate in self.rates]
        if image_pooling:
            pooled = _conv_norm_relu(in_channels, out_channels, **kw)
            branches.append(_ImagePooling(nn.AdaptiveAvgPool2d(1), *pooled))
        self.convs = nn.ModuleList(branches)
        self.project = nn.Sequential(
            *_conv_norm_relu(len(branches) * out_channels, out_channels, **kw), nn.Dropout(dropout)
        )

    def forward(self, input: Tensor) -> Tensor:
        first: Any = self.convs[0]
        checks.images("ASPP", input, first[0].weight, self.in_channels)
        pooled = self.convs[-1].modules() if self.image_pooling else ()
        if any(isinstance(norm, nn.BatchNorm2d) and norm.training for norm in pooled) and input.shape[0] == 1:
            raise ValueError(
                "ASPP in training needs a batch of at least 2, got 1: image pooling leaves batch norm one value per "
                "channel and image"
            )
        return self.project(torch.cat([branch(input) for branch in self.convs], dim=1))


class AtrousCascade(Block, shown="in_channels out_channels rates"):
    """Rates in series, blocks of bottlenecks without stride: `[B, C, H, W]` → `[B, 4·channels, H, W]`.

    If a ResNet continued, each block would halve the map; here block n (from 0) keeps the size and doubles the rate
    instead. Bottleneck m of block n has the rate ::

        r[n, m] = 32/output_stride · 2^n · multi_grid[m]

    The first block is block4 of the paper, the others its copies. Chen et al. 2017, section 3.2.

    Args:
        in_channels: C channels of the input.
        channels: as in `Bottleneck`; the output has four times as many.
        blocks: number of blocks.
        multi_grid: relative rates inside a block, one per bottleneck.
        output_stride: 16 or 8, how many pixels of the image lie between two neighbouring pixels of the input.
        device, dtype: of the parameters.
        act_layer: as in `Bottleneck`.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> net = AtrousCascade(64, 16, blocks=2)
        >>> net.rates, net(torch.rand(2, 64, 9, 9)).shape
        (((2, 4, 2), (4, 8, 4)), torch.Size([2, 64, 9, 9]))
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        blocks: int = 4,
        multi_grid: Sequence[int] = (1, 2, 1),
        output_stride: OutputStride = 16,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        checks.positive(channels=channels, blocks=blocks)
        super().__init__(in_channels, channels * Bottleneck.expansion)
        grid = checks.wholes("multi_grid", multi_grid)
        checks.one_of("output_stride", output_stride, _DILATE)
        self.rates = tuple(tuple(32 // output_stride * 2**n * unit for unit in grid) for n in range(blocks))
        stack, kw = [], _Options(device=device, dtype=dtype, act_layer=act_layer)
        for rates in self.rates:
            block = []
            for rate in rates:
                block.append(Bottleneck(in_channels, channels, dilation=rate, **kw))
                in_channels = self.out_channels
            stack.append(nn.Sequential(*block))
        self.blocks = nn.Sequential(*stack)

    def forward(self, input: Tensor) -> Tensor:
        first: Any = self.blocks[0]
        checks.images("AtrousCascade", input, first[0].conv1.weight, self.in_channels)
        return self.blocks(input)


class _Backbone(ResNet):
    """A ResNet without its classifier: `[B, 3, H, W]` → the maps of its third and of its fourth stage."""

    # Two maps where a ResNet has one; only DeepLabV3 calls it.
    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        x = self.maxpool(self.relu(self.bn1(self.conv1(input))))
        third = self.layer3(self.layer2(self.layer1(x)))
        return third, self.layer4(third)


class DeepLabV3(Classifier, shown="num_classes output_stride"):
    """A dilated ResNet, `ASPP`, a classifier per pixel: `[B, 3, H, W]` → logits `[B, num_classes, H, W]`.

    The map of logits, one pixel per `output_stride` pixels of the image, is enlarged bilinearly to the size of the
    input. The names of the parameters are torchvision's, so that its published weights load; torchvision's dictionary
    {"out": …} is here the tensor itself. Parameters for 50 layers and 21 classes: 39,638,869, with `aux_loss`
    42,004,074. Chen et al. 2017, section 3.

    Args:
        layers: number of blocks per stage of the `ResNet`.
        num_classes: number of logits per pixel.
        output_stride: 8 or 16.
        rates: of `ASPP`; None is the paper's (6, 12, 18) at stride 16 and twice that at 8.
        aspp_channels: `out_channels` of `ASPP`.
        aux_loss: add a classifier on the third stage; in training the output is then (logits, side logits).
        dropout: of `ASPP`.
        device, dtype: of the parameters.
        act_layer: makes each activation.

    Raises:
        TypeError, ValueError: for a bad argument, for an input that does not fit, and in training for a batch of one
            (see `ASPP`).

    Example:
        >>> net = DeepLabV3((1, 1, 1, 1), num_classes=5, device="meta").eval()
        >>> net(torch.empty(1, 3, 65, 65, device="meta")).shape
        torch.Size([1, 5, 65, 65])
    """

    def __init__(
        self,
        layers: Sequence[int] = (3, 4, 6, 3),
        num_classes: int = 21,
        output_stride: OutputStride = 8,
        rates: Sequence[int] | None = None,
        aspp_channels: int = 256,
        aux_loss: bool = False,
        dropout: float = 0.5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        checks.flags(aux_loss=aux_loss)
        super().__init__(num_classes)
        checks.one_of("output_stride", output_stride, _DILATE)
        self.output_stride, kw = output_stride, Factory(device=device, dtype=dtype)
        options = _Options(**kw, act_layer=act_layer)
        rates, n = _RATES[output_stride] if rates is None else rates, aspp_channels
        dilate = _DILATE[output_stride]
        self.backbone = _Backbone(layers, num_classes=None, replace_stride_with_dilation=dilate, **options)
        self.classifier = nn.Sequential(
            ASPP(2048, n, rates, dropout=dropout, **options),
            *_conv_norm_relu(n, n, 3, **options),
            nn.Conv2d(n, num_classes, 1, **kw),
        )
        self.aux_classifier = None
        if aux_loss:
            side = _conv_norm_relu(1024, 256, 3, **options)
            self.aux_classifier = nn.Sequential(*side, nn.Dropout(0.1), nn.Conv2d(256, num_classes, 1, **kw))

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        self._check(input, self.backbone.conv1)
        third, fourth = self.backbone(input)
        logits = self._enlarged(self.classifier(fourth), input)
        if self.training and self.aux_classifier is not None:
            return logits, self._enlarged(self.aux_classifier(third), input)
        return logits

    @staticmethod
    def _enlarged(logits: Tensor, input: Tensor) -> Tensor:
        size = (input.shape[2], input.shape[3])
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


class DeepLabV3Options(Factory, total=False):
    """The other arguments of `DeepLabV3`."""

    output_stride: OutputStride
    rates: Sequence[int] | None
    aspp_channels: int
    aux_loss: bool
    dropout: float
    act_layer: ActLayer


def deeplabv3_resnet50(num_classes: int = 21, **options: Unpack[DeepLabV3Options]) -> DeepLabV3:
    """`DeepLabV3` on ResNet-50 as in torchvision: 39,638,869 parameters, output stride 8.

    Args:
        num_classes: number of logits per pixel.
        **options: the other arguments of `DeepLabV3`, except `layers`.

    Example:
        >>> sum(p.numel() for p in deeplabv3_resnet50(device="meta").parameters())
        39638869
    """
    return DeepLabV3((3, 4, 6, 3), num_classes, **options)
