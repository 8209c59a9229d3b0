"""The designs of part 1, each beside the plain convolution that it stands in for.

They are not the same function: the question is what they save, in time beside multiply-adds.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from convnotes.bench.parts import Call, Calls, Make, Shape
from convnotes.compression.inception import FactorisedConv2d
from convnotes.compression.residual import Bottleneck
from convnotes.compression.separable import SeparableConv2d
from convnotes.compression.small_kernels import KernelStack
from convnotes.compression.squeezenet import Fire
from convnotes.measure import cost

# name → (the layer from C channels to C, the size of the plain kernel in its place)
LAYERS: dict[str, tuple[Callable[[int], nn.Module], int]] = {
    "pointwise": (lambda c: nn.Conv2d(c, c, 1), 3),
    "separable": (lambda c: SeparableConv2d(c, c, 3, padding=1), 3),
    "grouped": (lambda c: nn.Conv2d(c, c, 3, padding=1, groups=4), 3),
    "bottleneck": (lambda c: Bottleneck(c, c // 4), 3),
    "fire": (lambda c: Fire(c, c // 8, c // 2, c // 2), 3),
    "factorised": (lambda c: FactorisedConv2d(c, c, 3), 3),
    "stack of two": (lambda c: KernelStack(c, c, 5), 5),
    "stack of three": (lambda c: KernelStack(c, c, 7), 7),
}


def build_layer(name: str, make: Make, shape: Shape) -> Calls:
    """The layer `name` and its plain convolution, on one input `[batch, channels, side, side]`."""
    batch, channels, side = shape
    own, size = LAYERS[name]
    x = make(batch, channels, side, side)
    plain = nn.Conv2d(channels, channels, size, padding=size // 2)
    (ours, macs), (conv, conv_macs) = (_call(layer, x, make.device) for layer in (own(channels), plain))
    return Calls(ours, macs, {}, f"conv2d {size}×{size}", conv, conv_macs, same=False)


def _call(layer: nn.Module, x: Tensor, device: str) -> tuple[Call, int]:
    layer = layer.to(device).eval()
    macs = cost(layer, tuple(x.shape)).macs

    def run(x: Tensor, **parameters: Tensor) -> Tensor:
        return layer(x)

    return Call(run, {"x": x, **dict(layer.named_parameters())}), macs
