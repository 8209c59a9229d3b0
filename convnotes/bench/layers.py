"""Designs of the book, each beside the plain layer that it stands in for.

They are not the same function: the question is what they save, in time beside multiply-adds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convnotes.bench.parts import Call, Calls, Make, Shape
from convnotes.beyond.cheap_features import GhostConv2d, PartialConv2d
from convnotes.beyond.dynamic import CondConv2d, DynamicConv2d
from convnotes.beyond.involution import Involution2d
from convnotes.beyond.large_kernels import LargeKernelConv2d
from convnotes.beyond.reparameterise import RepConv2d
from convnotes.beyond.shift_add import PowerOfTwoConv2d
from convnotes.compression.inception import FactorisedConv2d, Inception
from convnotes.compression.residual import Bottleneck
from convnotes.compression.separable import SeparableConv2d
from convnotes.compression.small_kernels import KernelStack
from convnotes.compression.squeezenet import Fire
from convnotes.fundamentals.multi_scale import MixedConv2d
from convnotes.measure import cost
from convnotes.receptive_field.active import ActiveConv2d

Layer = Callable[[int], nn.Module]  # from as many channels to as many


class Pair(NamedTuple):
    own: Layer
    plain: Layer
    plain_name: str
    memory_format: torch.memory_format = torch.contiguous_format


def _against_plain(own: Layer, size: int = 3) -> Pair:
    return Pair(own, lambda c: nn.Conv2d(c, c, size, padding=size // 2), f"conv2d {size}×{size}")


def _inception(channels: int) -> Inception:
    """In the proportions of GoogLeNet's block 3a."""
    f1, f3, f5 = channels // 4, channels // 2, channels // 8
    narrowed = 3 * channels // 8, max(1, channels // 16)
    return Inception(channels, f1, narrowed[0], f3, narrowed[1], f5, channels - f1 - f3 - f5)


def _conv(size: int | tuple[int, int], stride: int = 1, padding: int | str = "same") -> Layer:
    if stride > 1 and isinstance(size, int):
        padding = size // 2
    return lambda c: nn.Conv2d(c, c, size, stride, padding, bias=False)


def _dilated(rate: int, depthwise: bool = False) -> Layer:
    return lambda c: nn.Conv2d(c, c, 3, padding=rate, dilation=rate, groups=c if depthwise else 1, bias=False)


def _mixed(*sizes: int) -> Layer:
    return lambda c: MixedConv2d(c, c, sizes, depthwise=True, bias=False)


def _active(reach: int) -> Layer:
    return lambda c: ActiveConv2d(c, c, 9, max_reach=reach)


def _large(size: int) -> Layer:
    return lambda c: LargeKernelConv2d(c, size)


def _in_turn(*layers: Layer) -> Layer:
    return lambda c: nn.Sequential(*(layer(c) for layer in layers))


def _size(own: Layer) -> Pair:
    return Pair(own, _conv(3), "conv2d 3×3")


def _halving(own: Layer) -> Pair:
    return Pair(own, _conv(3, stride=2), "conv2d 3×3 of stride 2")


# name → variant → the layer and the plain one instead of it
LAYERS: dict[str, dict[str, Pair]] = {
    "pointwise": {"": _against_plain(lambda c: nn.Conv2d(c, c, 1))},
    "inception": {"": _against_plain(_inception)},
    "separable": {"": _against_plain(lambda c: SeparableConv2d(c, c, 3, padding=1))},
    "grouped": {"": _against_plain(lambda c: nn.Conv2d(c, c, 3, padding=1, groups=4))},
    "bottleneck": {"": _against_plain(lambda c: Bottleneck(c, c // 4))},
    "fire": {"": _against_plain(lambda c: Fire(c, c // 8, c // 2, c // 2))},
    "factorised": {"": _against_plain(lambda c: FactorisedConv2d(c, c, 3))},
    "stack of two": {"": _against_plain(lambda c: KernelStack(c, c, 5), 5)},
    "stack of three": {"": _against_plain(lambda c: KernelStack(c, c, 7), 7)},
    "active": {f"reach {reach}": _against_plain(_active(reach)) for reach in (1, 2, 3)},
    "width": {"3×3": Pair(_conv(3), _conv(1), "conv2d 1×1")},
    "size": {
        "1×1": _size(_conv(1)),
        "5×5": _size(_conv(5)),
        "7×7": _size(_conv(7)),
        "3×3, three times": _size(_in_turn(_conv(3), _conv(3), _conv(3))),
        "7×1 and 1×7": _size(_in_turn(_conv((7, 1)), _conv((1, 7)))),
    },
    "halving": {
        "stride 1, max pool": _halving(_in_turn(_conv(3), lambda c: nn.MaxPool2d(2))),
        "stride 1, stride 2": _halving(_in_turn(_conv(3), _conv(3, stride=2))),
        "stride 1, no padding": _halving(_conv(3, padding=0)),
    },
    "mixed": {
        f"depthwise {', '.join(map(str, sizes))}": Pair(_mixed(*sizes), _mixed(3), "depthwise 3×3", torch.channels_last)
        for sizes in ((5,), (7,), (3, 5, 7))
    },
    "dilated": {f"dense, rate {rate}": Pair(_dilated(rate), _dilated(1), "conv2d 3×3 of rate 1") for rate in (2, 8, 18)}
    | {
        f"depthwise, channels_last, rate {rate}": Pair(
            _dilated(rate, True), _dilated(1, True), "depthwise 3×3 of rate 1", torch.channels_last
        )
        for rate in (2, 8, 18)
    },
    "branches": {"3×3, 1×1, identity": _against_plain(lambda c: RepConv2d(c, c))},
    "large kernel": {f"{size}×{size} and 5×5": _against_plain(_large(size)) for size in (7, 13, 31)},
    "mixture": {
        "8 kernels, sigmoid": _against_plain(lambda c: CondConv2d(c, c, 3, padding=1)),
        "4 kernels, softmax": _against_plain(lambda c: DynamicConv2d(c, c, 3, padding=1)),
    },
    "involution": {"7×7": _against_plain(lambda c: Involution2d(c, 7, groups=max(1, c // 16)))},
    "ghost": {"3×3": _against_plain(lambda c: GhostConv2d(c, c, 3))},
    "partial": {"3×3": _against_plain(lambda c: PartialConv2d(c, 3))},
    "power of two": {"3×3": _against_plain(lambda c: PowerOfTwoConv2d(c, c, 3, padding=1))},
}


def build_layer(pair: Pair, make: Make, shape: Shape) -> Calls:
    """The layer and its plain one, on one input `[batch, channels, side, side]`."""
    batch, channels, side = shape
    x = make.leaf(make(batch, channels, side, side).detach().to(memory_format=pair.memory_format))
    (ours, macs), (conv, conv_macs) = (
        _call(layer(channels), x, make.device, pair.memory_format) for layer in (pair.own, pair.plain)
    )
    return Calls(ours, macs, {}, pair.plain_name, conv, conv_macs, same=False)


def _call(layer: Any, x: Tensor, device: str, memory_format: torch.memory_format) -> tuple[Call, int]:
    layer = layer.to(device, memory_format=memory_format).eval()  # which torch leaves out of the types of a module
    macs = cost(layer, tuple(x.shape)).macs

    def run(x: Tensor, **parameters: Tensor) -> Tensor:
        return layer(x)

    return Call(run, {"x": x, **dict(layer.named_parameters())}), macs
