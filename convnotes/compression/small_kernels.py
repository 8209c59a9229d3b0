"""Small kernels: a stack of 3×3 convolutions instead of one large kernel::

    (k − 1)/2 kernels of size 3 see k×k pixels, with 9·(k − 1)/2 weights per pair of channels instead of k²

Cireşan et al., "Flexible, high performance convolutional neural networks for image classification", IJCAI 2011;
Simonyan & Zisserman, "Very deep convolutional networks", ICLR 2015, arXiv:1409.1556 ·
chapter compression/small_kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.layer import Classifier, Composite, DropoutOptions
from convnotes.geometry import Factory
from convnotes.kernels.transforms import one_image

if TYPE_CHECKING:
    from typing_extensions import Unpack


class KernelStack(Composite, nn.Sequential):
    """3×3 convolutions, each with ReLU, that see what one large kernel sees: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    There are (kernel_size − 1)/2 convolutions, the first from C to O channels, the others from O to O.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        kernel_size: side of the kernel that the stack stands for; odd, 3 at least.
        padding: "same" keeps the size; "valid" takes (kernel_size − 1)/2 pixels off each side.
        bias: whether each convolution has one.
        activation: False leaves the ReLUs out; the stack is then one linear convolution.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> stack = KernelStack(8, 16, kernel_size=7, padding="valid", activation=False)
        >>> len(stack), stack(torch.rand(1, 8, 7, 7)).shape
        (3, torch.Size([1, 16, 1, 1]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        padding: Literal["same", "valid"] = "same",
        bias: bool = True,
        activation: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        checks.flags(bias=bias, activation=activation)
        checks.positive(in_channels=in_channels, out_channels=out_channels)
        checks.whole("kernel_size", kernel_size, 3, odd=True)
        checks.one_of("padding", padding, ("same", "valid"))
        layers: list[nn.Module] = []
        for n in range((kernel_size - 1) // 2):
            before = out_channels if n else in_channels
            pad = 1 if padding == "same" else 0
            layers.append(nn.Conv2d(before, out_channels, 3, padding=pad, bias=bias, device=device, dtype=dtype))
            if activation:
                layers.append(nn.ReLU())
        super().__init__(*layers)
        self.in_channels, self.out_channels, self.padding = in_channels, out_channels, padding
        self.stands_for = kernel_size

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        least = self.stands_for if self.padding == "valid" else 1
        checks.images("KernelStack", input, self[0].weight, self.in_channels, least)
        for layer in self:
            input = layer(input)
        return input

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.stands_for}, padding={self.padding!r}"


class VGG(Classifier):
    """Kernel stacks with pooling between them, then three linear layers: `[B, 3, H, W]` → logits `[B, num_classes]`.

    Maps are averaged to 7×7 before the linear layers, so that any size from 2^(number of stages) pixels on works;
    224×224 in the paper. The names of the parameters are torchvision's.

    Args:
        stacks: (channels, kernel size that the stack stands for) of each stage.
        num_classes: number of logits.
        dropout: probability after each of the first two linear layers.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> from convnotes.compression.small_kernels import VGG
        >>> net = VGG([(8, 5), (16, 7)], num_classes=10, device="meta").eval()
        >>> net(torch.empty(2, 3, 32, 32, device="meta")).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        stacks: Sequence[tuple[int, int]],
        num_classes: int = 1000,
        dropout: float = 0.5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, least=2 ** len(stacks))
        kw = Factory(device=device, dtype=dtype)
        layers, channels = [], 3
        for width, kernel_size in stacks:
            layers += [*KernelStack(channels, width, kernel_size, **kw), nn.MaxPool2d(2, stride=2)]
            channels = width
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(channels * 49, 4096, **kw), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, 4096, **kw), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, num_classes, **kw),
        )  # fmt: skip
        self._start()

    def _start(self) -> None:
        """He's normal on the fan-out, linear layers normal with deviation 0.01, biases 0."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.01)
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input, self.features[0])
        return self.classifier(self.avgpool(self.features(input)).flatten(1))


def vgg16(num_classes: int = 1000, **options: Unpack[DropoutOptions]) -> VGG:
    """VGG-16 (configuration D): two stacks that stand for 5×5, three for 7×7. 138,357,544 parameters.

    Args:
        num_classes: number of logits.
        **options: the other arguments of `VGG`, except `stacks`.

    Example:
        >>> sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in vgg16(device="meta").modules())
        16
    """
    return VGG([(64, 5), (128, 5), (256, 7), (512, 7), (512, 7)], num_classes, **options)
