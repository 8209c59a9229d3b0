"""Inception: several kernel sizes side by side, each after a 1×1 kernel that narrows its input::

    y = concat( f1(x), f3(r3(x)), f5(r5(x)), p(maxpool3(x)) )      f, r, p: convolution, batch norm, ReLU

The 1×1 kernels r3 and r5 make the large kernels affordable; p keeps the pooled channels few.
Szegedy et al., "Going deeper with convolutions", CVPR 2015, arXiv:1409.4842 · chapter compression/inception.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes import checks
from convnotes.compression.factorised import FactorisedConv2d as FactorisedConv2d
from convnotes.fundamentals.activation import ActLayer, activated, plain
from convnotes.fundamentals.layer import Block, Classifier
from convnotes.geometry import Factory
from convnotes.kernels.transforms import watched

if TYPE_CHECKING:
    from typing_extensions import Unpack

_Size = int | tuple[int, int]
_LEAST_SIZE = 15  # pixels: below, the stem's last pooling has nothing to pool


class _Options(Factory, total=False):
    act_layer: ActLayer


class _ConvOptions(Factory, total=False):
    stride: _Size
    padding: _Size


class ConvNormReLU(nn.Module):
    """A convolution without bias, batch norm (ε = 0.001), activation: `[B, C, H, W]` → `[B, O, H_out, W_out]`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Size,
        act_layer: ActLayer = nn.ReLU,
        **options: Unpack[_ConvOptions],
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, bias=False, **options)
        weight = self.conv.weight
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001, device=weight.device, dtype=weight.dtype)
        self.act = plain(act_layer)

    def forward(self, input: Tensor) -> Tensor:
        return activated(self.act, self.bn(self.conv(input)))


@torch.fx.wrap  # it branches on properties of the tensor, which tracing cannot follow
def _max_pool2d(input: Tensor, kernel_size: _Size, stride: _Size, padding: _Size) -> Tensor:
    """On the CPU by way of channels_last: from some sixteen channels on, torch is then at least twice as fast.

    Not where a backward pass would keep the copy.
    """
    kept = torch.is_grad_enabled() and input.requires_grad
    if (
        kept
        or torch.compiler.is_compiling()
        or watched(input)
        or input.device.type != "cpu"
        or not input.is_contiguous()
    ):
        return F.max_pool2d(input, kernel_size, stride, padding)
    last = input.contiguous(memory_format=torch.channels_last)
    return F.max_pool2d(last, kernel_size, stride, padding).contiguous()


class ChannelsLastMaxPool2d(nn.MaxPool2d):
    """`torch.nn.MaxPool2d`, computed by `_max_pool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        return _max_pool2d(input, self.kernel_size, self.stride, self.padding)


class Inception(Block, shown="in_channels out_channels true_5x5"):
    """Four branches, concatenated by channels: `[B, C, H, W]` → `[B, ch1x1 + ch3x3 + ch5x5 + pool_proj, H, W]`.

    The arguments have torchvision's names. Szegedy et al. 2015, figure 2b.

    Args:
        in_channels: C channels of the input.
        ch1x1: output channels of the 1×1 branch.
        ch3x3red: channels of the 1×1 kernel before the 3×3 kernel.
        ch3x3: output channels of the 3×3 branch.
        ch5x5red: channels of the 1×1 kernel before the 5×5 kernel.
        ch5x5: output channels of the 5×5 branch.
        pool_proj: output channels of the branch with the maximum pooling.
        true_5x5: True has the paper's 5×5 kernel, False the 3×3 kernel that torchvision uses instead, so that its
            published weights load.
        device, dtype: of the parameters.
        act_layer: makes each activation.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> Inception(192, 64, 96, 128, 16, 32, 32).eval()(torch.rand(1, 192, 7, 7)).shape
        torch.Size([1, 256, 7, 7])
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        true_5x5: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        checks.flags(true_5x5=true_5x5)
        checks.positive(ch1x1=ch1x1, ch3x3red=ch3x3red, ch3x3=ch3x3)
        checks.positive(ch5x5red=ch5x5red, ch5x5=ch5x5, pool_proj=pool_proj)
        super().__init__(in_channels, ch1x1 + ch3x3 + ch5x5 + pool_proj)
        self.true_5x5, large = true_5x5, (5 if true_5x5 else 3)
        kw = _Options(device=device, dtype=dtype, act_layer=act_layer)
        self.branch1 = ConvNormReLU(in_channels, ch1x1, 1, **kw)
        self.branch2 = nn.Sequential(
            ConvNormReLU(in_channels, ch3x3red, 1, **kw), ConvNormReLU(ch3x3red, ch3x3, 3, padding=1, **kw)
        )
        self.branch3 = nn.Sequential(
            ConvNormReLU(in_channels, ch5x5red, 1, **kw),
            ConvNormReLU(ch5x5red, ch5x5, large, padding=large // 2, **kw),
        )
        self.branch4 = nn.Sequential(
            ChannelsLastMaxPool2d(3, stride=1, padding=1), ConvNormReLU(in_channels, pool_proj, 1, **kw)
        )

    def forward(self, input: Tensor) -> Tensor:
        checks.images("Inception", input, self.branch1.conv.weight, self.in_channels)
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(input) for branch in branches], dim=1)  # one receptive field per branch


class _Auxiliary(nn.Module):
    """The side classifier with which the paper trains: `[B, C, H, W]` → `[B, num_classes]`."""

    def __init__(self, in_channels: int, num_classes: int, act_layer: ActLayer, **kw: Unpack[Factory]) -> None:
        super().__init__()
        self.conv = ConvNormReLU(in_channels, 128, 1, act_layer, **kw)
        self.fc1 = nn.Linear(2048, 1024, **kw)
        self.act = plain(act_layer)
        self.fc2 = nn.Linear(1024, num_classes, **kw)
        self.dropout = nn.Dropout(0.7)

    def forward(self, input: Tensor) -> Tensor:
        y = self.conv(nn.functional.adaptive_avg_pool2d(input, (4, 4)))
        return self.fc2(self.dropout(activated(self.act, self.fc1(y.flatten(1)))))


# Table 1 of the paper: ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj.
_BLOCKS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class GoogLeNet(Classifier, shown="num_classes true_5x5"):
    """Nine inception blocks: `[B, 3, H, W]`, 15×15 pixels at least, 224×224 in the paper → logits `[B, num_classes]`.

    With batch norm, which the paper did not have yet; the pooling before 5a is torchvision's 2×2. Parameters for 1000
    classes without side classifiers: 6,624,904, with the true 5×5 7,005,832.

    Args:
        num_classes: number of logits.
        true_5x5: as in `Inception`.
        aux_logits: add the two side classifiers; in training the output is then (logits, side logits 2, side logits 1),
            as in torchvision.
        transform_input: convert an input normalised with ImageNet's mean and deviation to the range on which
            torchvision's published weights were trained.
        dropout: probability before the classifier.
        device, dtype: of the parameters.
        act_layer: makes each activation.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> sum(p.numel() for p in GoogLeNet(device="meta").parameters())
        6624904
        >>> net = GoogLeNet(num_classes=10, device="meta").eval()
        >>> net(torch.empty(2, 3, 64, 64, device="meta")).shape
        torch.Size([2, 10])
    """

    inception3a: Inception
    inception3b: Inception
    inception4a: Inception
    inception4b: Inception
    inception4c: Inception
    inception4d: Inception
    inception4e: Inception
    inception5a: Inception
    inception5b: Inception

    def __init__(
        self,
        num_classes: int = 1000,
        true_5x5: bool = False,
        aux_logits: bool = False,
        transform_input: bool = False,
        dropout: float = 0.2,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        checks.flags(true_5x5=true_5x5, aux_logits=aux_logits, transform_input=transform_input)
        super().__init__(num_classes, least=_LEAST_SIZE)
        self.true_5x5, self.transform_input = true_5x5, transform_input
        kw = Factory(device=device, dtype=dtype)
        options = _Options(**kw, act_layer=act_layer)
        self.conv1 = ConvNormReLU(3, 64, 7, stride=2, padding=3, **options)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = ConvNormReLU(64, 64, 1, **options)
        self.conv3 = ConvNormReLU(64, 192, 3, padding=1, **options)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        channels = 192
        for name, widths in _BLOCKS.items():
            block = Inception(channels, *widths, true_5x5=true_5x5, **options)
            self.add_module(f"inception{name}", block)
            channels = block.out_channels
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.aux1 = _Auxiliary(512, num_classes, **options) if aux_logits else None
        self.aux2 = _Auxiliary(528, num_classes, **options) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes, **kw)

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        self._check(input, self.conv1.conv)
        x = _to_caffe_range(input) if self.transform_input else input
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(x)))))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        a = self.inception4a(x)
        b = self.inception4d(self.inception4c(self.inception4b(a)))
        x = self.inception5b(self.inception5a(self.maxpool4(self.inception4e(b))))
        logits = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return logits, self.aux2(b), self.aux1(a)
        return logits


def _to_caffe_range(input: Tensor) -> Tensor:
    """From ImageNet's mean and deviation to the range [−1, 1] that the published weights expect."""
    deviation = input.new_tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    mean = input.new_tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    return input * (deviation / 0.5) + (mean - 0.5) / 0.5


googlenet = GoogLeNet  # torchvision's name

if not TYPE_CHECKING:

    def __getattr__(name: str) -> type[nn.Module]:
        """The old name of `ChannelsLastMaxPool2d`, which networks that were pickled whole ask for."""
        if name != "MaxPool2d":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        said = "convnotes.compression.inception.MaxPool2d is now ChannelsLastMaxPool2d; the old name goes with the next"
        warnings.warn(f"{said} release", DeprecationWarning, stacklevel=2)
        return ChannelsLastMaxPool2d
