"""Dilated (atrous) convolution: the taps of a kernel are spread, so that it sees further for the same weights.

    y[b,o,i,j] = Σ_{c,u,v} w[o,c,u,v] · x[b, c, i·s + u·r − p, j·s + v·r − p]      r: the rate (torch: dilation)

The layer itself is `torch.nn.Conv2d(dilation=r)`. Here is what is built of it: rates side by side (`ASPP`), rates one
after another (`AtrousCascade`), the segmentation network of the first, and what a stack of rates leaves out.
Yu & Koltun, "Multi-scale context aggregation by dilated convolutions", ICLR 2016, arXiv:1511.07122; Chen et al.,
"Rethinking atrous convolution for semantic image segmentation" (DeepLabv3), 2017, arXiv:1706.05587; Wang et al.,
"Understanding convolution for semantic segmentation", WACV 2018, arXiv:1702.08502 · chapter receptive_field/dilated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes import checks
from convnotes.compression.residual import Bottleneck, ResNet
from convnotes.fundamentals.initialisation import Composite
from convnotes.geometry import Factory

if TYPE_CHECKING:
    from typing_extensions import Unpack

OutputStride = Literal[8, 16]
_DILATE = {8: (False, True, True), 16: (False, False, True)}  # output stride → which stages keep their size
_RATES = {8: (12, 24, 36), 16: (6, 12, 18)}


def coverage(rates: Sequence[int], kernel_size: int = 3) -> Tensor:
    """How many paths lead from each input place to one output place through a stack of dilated kernels.

    int64 `[F, F]` with F = 1 + (k − 1)·Σ r, the receptive field. A place with 0 is a hole: with rates 2, 2 the stack
    never looks at every other row and column (gridding). `rates` are in the order of the layers, which does not
    matter. Raises `ValueError` where the number of paths does not fit into an int64.
    """
    rates = checks.wholes("rates", rates)
    checks.positive(kernel_size=kernel_size)
    if kernel_size ** (2 * len(rates)) >= 2**63:
        raise ValueError(f"{len(rates)} layers of {kernel_size}×{kernel_size} have more paths than an int64 can count")
    line = torch.ones(1, dtype=torch.int64)  # both axes alike: a path is a vertical and a horizontal one
    for rate in rates:
        longer = line.new_zeros(len(line) + rate * (kernel_size - 1))
        for u in range(kernel_size):
            longer[u * rate : u * rate + len(line)] += line
        line = longer
    return torch.outer(line, line)


def gridding_holes(rates: Sequence[int], kernel_size: int = 3) -> int:
    """How many of the F² places of the receptive field no path reaches. Rates 1, 2, 5 have none, 2, 2, 2 have 120."""
    return int((coverage(rates, kernel_size) == 0).sum())


def hdc_distance(rates: Sequence[int]) -> int:
    """M₂, the distance by which hybrid dilated convolution judges `rates`, two at least. Wang et al. 2018, section 3.2.

        M_n = r_n,   M_l = max( M_{l+1} − 2·r_l, 2·r_l − M_{l+1}, r_l )

    The paper asks for M₂ ≤ k. With r₁ = 1 that leaves no holes; with another r₁ it does not tell (2, 2, 2 passes and
    is full of holes), and some stacks without holes fail it (1, 1, 8 with k = 5): `gridding_holes` is exact.
    """
    rates = checks.wholes("rates", rates, at_least=2)
    distance = rates[-1]
    for rate in reversed(rates[1:-1]):
        distance = max(distance - 2 * rate, 2 * rate - distance, rate)
    return distance


def _conv_norm_relu(
    in_channels: int, out_channels: int, kernel_size: int = 1, rate: int = 1, **kw: Unpack[Factory]
) -> list[nn.Module]:
    padding = rate * (kernel_size // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=rate, bias=False, **kw)
    return [conv, nn.BatchNorm2d(out_channels, **kw), nn.ReLU(inplace=True)]


class _ImagePooling(nn.Sequential):
    """The mean of the picture, through a 1×1 kernel, at every place: `[B, C, H, W]` → `[B, O, H, W]`."""

    def forward(self, input: Tensor) -> Tensor:
        mean = input
        for layer in self:
            mean = layer(mean)
        return mean.expand(-1, -1, input.shape[2], input.shape[3])


class ASPP(Composite):
    """Atrous spatial pyramid pooling, rates in parallel: `[B, C, H, W]` → `[B, out_channels, H, W]`.

        y = D( f( concat( f_1(x), f_{r₁}(x), …, f_{r_n}(x), f_p(mean x) ) ) )      f: convolution, batch norm, ReLU

    f_1, f_p and the projection f have 1×1 kernels, f_r a 3×3 kernel of rate r; D is dropout, and the mean of the
    picture stands at every place (`image_pooling=False` leaves it out, as in DeepLabv2). Names of the parameters are
    torchvision's. Where r is as large as the map only the middle tap is left inside. Chen et al. 2017, section 3.3.

    With image pooling an output place sees the whole picture, which `measure.receptive_field` gives as `math.inf`;
    without, it is 2·max r + 1. Image pooling gives batch norm one value a channel and picture: in training
    the batch must hold two pictures.

    Raises `ValueError` or `TypeError` for bad arguments and for an input whose shape, dtype or device does not fit.
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
    ) -> None:
        super().__init__()
        checks.positive(in_channels=in_channels, out_channels=out_channels)
        checks.number("dropout", dropout, "[0, 1)")
        self.in_channels, self.out_channels, self.rates = in_channels, out_channels, checks.wholes("rates", rates)
        self.image_pooling, kw = image_pooling, Factory(device=device, dtype=dtype)
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
        if self.training and self.image_pooling and input.shape[0] == 1:
            raise ValueError(
                "ASPP in training needs a batch of at least 2, got 1: image pooling leaves batch norm one value a "
                "channel and picture"
            )
        return self.project(torch.cat([branch(input) for branch in self.convs], dim=1))

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, rates={self.rates}, image_pooling={self.image_pooling}"


class AtrousCascade(Composite):
    """Rates in series, blocks of bottlenecks without stride: `[B, C, H, W]` → `[B, 4·channels, H, W]`.

    A ResNet that went on would halve the map with each block; here block n (from 0) keeps it and doubles the rate
    instead. `output_stride`, 16 or 8, is how many pixels of the picture lie between two places of the input. Within a
    block the rates follow `multi_grid`, one bottleneck each:

        r[n, m] = 32/output_stride · 2^n · multi_grid[m]

    The first block is block4 of the paper, the others its copies. Chen et al. 2017, section 3.2.

    Raises `ValueError` or `TypeError` for bad arguments and for an input whose shape, dtype or device does not fit.
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
    ) -> None:
        super().__init__()
        checks.positive(in_channels=in_channels, channels=channels, blocks=blocks)
        grid = checks.wholes("multi_grid", multi_grid)
        checks.one_of("output_stride", output_stride, _DILATE)
        self.in_channels, self.out_channels = in_channels, channels * Bottleneck.expansion
        self.rates = tuple(tuple(32 // output_stride * 2**n * unit for unit in grid) for n in range(blocks))
        stack = []
        for rates in self.rates:
            block = []
            for rate in rates:
                block.append(Bottleneck(in_channels, channels, dilation=rate, device=device, dtype=dtype))
                in_channels = self.out_channels
            stack.append(nn.Sequential(*block))
        self.blocks = nn.Sequential(*stack)

    def forward(self, input: Tensor) -> Tensor:
        first: Any = self.blocks[0]
        checks.images("AtrousCascade", input, first[0].conv1.weight, self.in_channels)
        return self.blocks(input)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, rates={self.rates}"


class _Backbone(ResNet):
    """A ResNet without its classifier: `[B, 3, H, W]` → the maps of its third and of its fourth stage."""

    # Two maps where a ResNet has one: nothing but DeepLabV3 calls it.
    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        x = self.maxpool(self.relu(self.bn1(self.conv1(input))))
        third = self.layer3(self.layer2(self.layer1(x)))
        return third, self.layer4(third)


class DeepLabV3(Composite):
    """A dilated ResNet, `ASPP`, a classifier of places: `[B, 3, H, W]` → logits `[B, num_classes, H, W]`.

    The map of logits, a place every `output_stride` (8 or 16) pixels, is enlarged bilinearly to the size of the input.
    `layers` and the names of the parameters are those of torchvision's network, so that its published weights load;
    its dictionary {"out": …} is here the tensor itself. `aux_loss=True` adds the classifier on the third stage: then a
    pair (logits, side logits) comes out in training. `rates` are by default the paper's, (6, 12, 18) at stride 16 and
    twice that at 8. Parameters for 50 layers and 21 classes: 39,638,869, with `aux_loss` 42,004,074.

    Raises `ValueError` or `TypeError` for bad arguments, for an input that does not fit, and in training for a batch
    of one (see `ASPP`). Chen et al. 2017, section 3.
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
    ) -> None:
        super().__init__()
        checks.positive(num_classes=num_classes)
        checks.one_of("output_stride", output_stride, _DILATE)
        self.num_classes, self.output_stride, kw = num_classes, output_stride, Factory(device=device, dtype=dtype)
        rates, n = _RATES[output_stride] if rates is None else rates, aspp_channels
        dilate = _DILATE[output_stride]
        self.backbone = _Backbone(layers, num_classes=None, replace_stride_with_dilation=dilate, **kw)
        self.classifier = nn.Sequential(
            ASPP(2048, n, rates, dropout=dropout, **kw),
            *_conv_norm_relu(n, n, 3, **kw),
            nn.Conv2d(n, num_classes, 1, **kw),
        )
        self.aux_classifier = None
        if aux_loss:
            side = _conv_norm_relu(1024, 256, 3, **kw)
            self.aux_classifier = nn.Sequential(*side, nn.Dropout(0.1), nn.Conv2d(256, num_classes, 1, **kw))

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        checks.images("DeepLabV3", input, self.backbone.conv1.weight, 3)
        third, fourth = self.backbone(input)
        logits = self._enlarged(self.classifier(fourth), input)
        if self.training and self.aux_classifier is not None:
            return logits, self._enlarged(self.aux_classifier(third), input)
        return logits

    @staticmethod
    def _enlarged(logits: Tensor, input: Tensor) -> Tensor:
        size = (input.shape[2], input.shape[3])
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, output_stride={self.output_stride}"


class DeepLabV3Options(Factory, total=False):
    """The other arguments of `DeepLabV3`."""

    output_stride: OutputStride
    rates: Sequence[int] | None
    aspp_channels: int
    aux_loss: bool
    dropout: float


def deeplabv3_resnet50(num_classes: int = 21, **options: Unpack[DeepLabV3Options]) -> DeepLabV3:
    """`DeepLabV3` on ResNet-50 as in torchvision: 39,638,869 parameters, a place every 8 pixels."""
    return DeepLabV3((3, 4, 6, 3), num_classes, **options)
