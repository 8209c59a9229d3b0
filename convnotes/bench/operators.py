"""What is timed: each operator of this package, what one would use instead, and the plain convolution as the yardstick.

All calls of a case get the same numbers. Where a rival computes the same function, equal results are asserted before
anything is timed; so offsets keep away from whole pixels and sums from the kink of a ReLU, where the last bit of
float32 would choose between two derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes.bench import rivals
from convnotes.bench.engines import engines
from convnotes.bench.layers import LAYERS, build_layer
from convnotes.bench.memory import too_large
from convnotes.bench.parts import Build, Call, Calls, Make, Shape, off_the_kink
from convnotes.beyond.deformable_aggregation import deform_aggregate2d
from convnotes.kernels.depthwise.operator import depthwise_conv2d
from convnotes.kernels.shift_pointwise.operator import fuses, shift_pointwise
from convnotes.operations.adder import Adder2d, adder2d
from convnotes.operations.quantized_adder import quantize_adders
from convnotes.operations.shift import Shift2d
from convnotes.receptive_field.deformable import deform_conv2d
from convnotes.receptive_field.non_local import Mode, non_local2d


@dataclass(frozen=True)
class Case:
    """One operator with its options on one shape (batch, channels, side)."""

    op: str
    variant: str
    shape: Shape

    def build(self, make: Make) -> Calls:
        """Draw the tensors; gives the calls on them."""
        return OPS[self.op][self.variant](make, self.shape)

    @property
    def kernel(self) -> str:
        """The operator's name among the backends."""
        return KERNELS.get(self.op, self.op)

    @property
    def name(self) -> str:
        return f"{self.op} {self.variant} {self.shape_text}".replace("  ", " ")

    @property
    def shape_text(self) -> str:
        return "×".join(map(str, _images(self.shape)))


def conv(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, padding=1)


def yardstick(make: Make, shape: Shape, x: Tensor) -> tuple[str, Call, int]:
    """The plain 3×3 convolution of `x` from C channels to C: its name, the call and its multiply-adds."""
    batch, channels, side = shape
    weight = make(channels, channels, 3, 3, scale=1 / (3 * math.sqrt(channels)))
    return "conv2d 3×3", Call(conv, {"x": x, "weight": weight}), batch * side**2 * 9 * channels**2


def adder(make: Make, shape: Shape) -> Calls:
    batch, channels, side = shape
    inputs = {"x": make(*_images(shape)), "weight": make(channels, channels, 3, 3)}
    numbers = 9 * channels**2 * side**2 * batch  # one for every tap: all are there three times in training
    obstacle = too_large(3 * 4 * numbers, make.device)
    ours = Call(lambda x, weight: adder2d(x, weight, padding=1), inputs)
    rival = obstacle or Call(rivals.adder2d, inputs)
    return Calls(ours, numbers, {"unfold and broadcast": rival}, *yardstick(make, shape, inputs["x"]))


def adder_in_eight_bits(make: Make, shape: Shape) -> Calls:
    """The quantised adder, which does not train. It rounds, so it has no rival that computes the same."""
    batch, channels, side = shape
    x, weight = make(*_images(shape)), make(channels, channels, 3, 3)
    layer = Adder2d(channels, channels, 3, padding=1, device=make.device)
    with torch.no_grad():
        layer.weight.copy_(weight)
    quantised = quantize_adders(layer, x)
    numbers = 9 * channels**2 * side**2 * batch
    return Calls(Call(quantised, {"input": x}, trains=False), numbers, {}, *yardstick(make, shape, x), same=False)


def deformable(make: Make, shape: Shape, groups: int) -> Calls:
    batch, channels, side = shape
    taps = 9 * groups
    x = make(*_images(shape))
    inputs = {
        "x": x,
        "offset": make.between_pixels(batch, 2 * taps, side, side),
        "mask": make(batch, taps, side, side).detach().sigmoid().requires_grad_(),
        "weight": make(channels, channels, 3, 3, scale=1 / (3 * math.sqrt(channels))),
    }
    ours = Call(lambda x, offset, mask, weight: deform_conv2d(x, offset, weight, padding=1, mask=mask), inputs)
    rival = rivals.no_torchvision() or Call(rivals.deform_conv2d, inputs)
    macs = 9 * channels**2 * side**2 * batch
    placed = dict(strides=[1, 1], pads=[1] * 4, dilations=[1, 1], offset_group=groups)
    theirs = engines("DeformConv", inputs, ("x", "weight", "offset", "", "mask"), **placed)
    return Calls(ours, macs, {"torchvision.ops.deform_conv2d": rival} | theirs, *yardstick(make, shape, x))


def aggregation(make: Make, shape: Shape, width: int) -> Calls:
    """Ours has its channels last, the rival each format; `width` channels share their offsets and masks."""
    batch, channels, side = shape
    taps = 9 * max(1, channels // width)
    x = make(*_images(shape))
    inputs = {
        "x": make.last(x),
        "offset": make.between_pixels(batch, 2 * taps, side, side),
        "mask": make(batch, taps, side, side),
    }
    ours = Call(lambda x, offset, mask: deform_aggregate2d(x, offset, mask, 3, padding=1, groups=taps // 9), inputs)
    them = {
        "grid_sample": Call(rivals.deform_aggregate2d, inputs | {"x": x}),
        "grid_sample, channels_last": Call(rivals.deform_aggregate2d, inputs),
    }
    return Calls(ours, 9 * channels * side**2 * batch, them, *yardstick(make, shape, x))


def non_local(make: Make, shape: Shape, mode: Mode) -> Calls:
    batch, channels, side = shape
    places = side**2
    inputs = {name: make(*_images(shape), scale=0.5) for name in ("query", "key", "value")}
    if mode == "concat":
        inputs["relation"] = make(2 * channels)
        off_the_kink(inputs)
    pairs = 4 * batch * places**2  # bytes

    def ours(query: Tensor, key: Tensor, value: Tensor, relation: Tensor | None = None) -> Tensor:
        return non_local2d(query, key, value, mode, relation=relation)

    published: dict[str, dict[str, tuple[Callable[..., Tensor], int]]] = {  # and how often all pairs are there
        "gaussian": {"all pairs": (rivals.non_local_gaussian, 4)},
        "dot": {"all pairs": (rivals.non_local_dot, 4)},
        "concat": {  # the last: [2·C, N, N], its gradient, and a copy of either in blocks
            "all pairs, ReLU(a + b)": (rivals.non_local_concat, 5),
            "all pairs, cat and 1×1": (rivals.non_local_concat_1x1, 12 * channels),
        },
    }
    them = {
        name: too_large(tensors * pairs, make.device) or Call(run, inputs)
        for name, (run, tensors) in published[mode].items()
    }
    macs = {"gaussian": 2 * batch * places**2 * channels, "dot": 2 * batch * places * channels**2, "concat": None}
    return Calls(Call(ours, inputs), macs[mode], them, *yardstick(make, shape, inputs["query"]))


def shift(make: Make, shape: Shape) -> Calls:
    """The depthwise rival gets the kernels that shift: then both are the same function."""
    batch, channels, side = shape
    x, pointwise = make(*_images(shape)), make(channels, channels, 1, 1, scale=channels**-0.5)
    layer = Shift2d(channels)
    depthwise = torch.zeros(channels, 1, 3, 3)
    for channel, (dy, dx) in enumerate(layer.displacements.tolist()):
        depthwise[channel, 0, 1 + dy, 1 + dx] = 1.0
    theirs = {"x": x, "pointwise": pointwise, "depthwise": make.leaf(depthwise)}
    last = {name: make.last(t) for name, t in theirs.items()}
    ours = Call(lambda x, pointwise: F.conv2d(layer(x), pointwise), {"x": x, "pointwise": pointwise})
    them = {
        "depthwise 3×3 and 1×1": Call(rivals.depthwise_separable, theirs),
        "depthwise 3×3 and 1×1, channels_last": Call(rivals.depthwise_separable, last),
    }
    return Calls(ours, batch * side**2 * channels**2, them, *yardstick(make, shape, x))


def shift_last(make: Make, shape: Shape) -> Calls:
    """Shift and 1×1 as `ShiftBlock` computes them in channels_last; the yardstick is the 1×1 convolution alone."""
    batch, channels, side = shape
    shift, conv = Shift2d(channels).to(make.device), nn.Conv2d(channels, channels, 1, bias=False).to(make.device)
    conv.weight = nn.Parameter(make.last(make(channels, channels, 1, 1, scale=channels**-0.5)).detach())
    depthwise = torch.zeros(channels, 1, 3, 3)
    rows, columns = 1 + shift.displacements.cpu().t()
    depthwise[torch.arange(channels), 0, rows, columns] = 1.0
    inputs = {"x": make.last(make(*_images(shape))), "pointwise": conv.weight}

    def ours(x: Tensor, pointwise: Tensor) -> Tensor:
        if fuses(x, shift, conv):
            return shift_pointwise(x, pointwise, shift.displacements, 1)
        return F.conv2d(shift(x), pointwise)

    theirs = Call(rivals.depthwise_separable, inputs | {"depthwise": make.last(depthwise)})
    macs = batch * side**2 * channels**2
    alone = Call(lambda x, pointwise: F.conv2d(x, pointwise), inputs)
    rival = {"depthwise 3×3 and 1×1, channels_last": theirs}
    return Calls(Call(ours, inputs), macs, rival, "conv2d 1×1, channels_last", alone, macs)


def depthwise(make: Make, shape: Shape, size: int, dilation: int = 1) -> Calls:
    batch, channels, side = shape
    padding, rates = (dilation * (size // 2),) * 2, (dilation, dilation)
    inputs = {"x": make(*_images(shape)), "weight": make(channels, 1, size, size, scale=1 / size)}
    ours = Call(lambda x, weight: depthwise_conv2d(x, weight, None, (1, 1), padding, rates), inputs)
    theirs = partial(rivals.depthwise, dilation=dilation)
    last = {name: make.last(t) for name, t in inputs.items()}
    them: dict[str, Call | str] = {
        "torch's depthwise": Call(theirs, inputs),
        "torch's depthwise, channels_last": Call(theirs, last),
    }
    placed = dict(strides=[1, 1], pads=[*padding, *padding], dilations=[*rates], group=channels)
    them |= engines("Conv", inputs, ("x", "weight"), **placed)
    return Calls(ours, batch * side**2 * channels * size**2, them, *yardstick(make, shape, inputs["x"]))


def plain(make: Make, shape: Shape) -> Calls:
    """The yardstick itself, torch's, beside the engines: how far it is from the best there is."""
    x = make(*_images(shape))
    name, call, macs = yardstick(make, shape, x)
    theirs = engines("Conv", call.inputs, ("x", "weight"), strides=[1, 1], pads=[1] * 4, dilations=[1, 1])
    return Calls(call, macs, theirs, name, call, macs)


def _images(shape: Shape) -> tuple[int, int, int, int]:
    return (*shape, shape[-1])


_MODES: tuple[Mode, ...] = ("gaussian", "dot", "concat")

# operator → variant → builder
OPS: dict[str, dict[str, Build]] = {
    "adder": {"3×3": adder},
    "quantized adder": {"3×3": adder_in_eight_bits},
    "deformable": {"1 offset group": partial(deformable, groups=1), "4 offset groups": partial(deformable, groups=4)},
    "aggregation": {
        "16 channels per group": partial(aggregation, width=16),
        "64 channels per group": partial(aggregation, width=64),
    },
    "non-local": {mode: partial(non_local, mode=mode) for mode in _MODES},
    "shift": {"and 1×1": shift},
    "shift in channels_last": {"and 1×1": shift_last},
    "depthwise": {
        "3×3, dilation 2": partial(depthwise, size=3, dilation=2),
        "5×5": partial(depthwise, size=5),
        "7×7": partial(depthwise, size=7),
        "31×31": partial(depthwise, size=31),
    },
    "plain": {"3×3": plain},
    **{op: {variant: partial(build_layer, pair) for variant, pair in pairs.items()} for op, pairs in LAYERS.items()},
}
KERNELS = {  # what is named otherwise among the backends
    "quantized adder": "adder",
    "aggregation": "deform_aggregate2d",
    "deformable": "deform_conv2d",
    "depthwise": "depthwise_conv2d",
    "shift in channels_last": "shift_pointwise",
}

_LARGE_TO_SMALL: tuple[Shape, ...] = ((8, 64, 56), (32, 16, 32), (32, 64, 8), (2, 256, 14))
_STAGES: tuple[Shape, ...] = ((32, 16, 32), (32, 32, 16), (32, 64, 8), (2, 64, 56))  # of a ResNet-20; a larger map
_SHIFTED: tuple[Shape, ...] = ((8, 64, 56), (32, 64, 16), (8, 256, 14))
SHAPES: dict[str, tuple[Shape, ...]] = dict.fromkeys(LAYERS, _LARGE_TO_SMALL) | {
    "adder": _STAGES,
    "quantized adder": _STAGES,
    "plain": ((2, 64, 56), (8, 128, 28), (1, 256, 64)),
    "deformable": ((2, 64, 56), (8, 128, 28), (1, 256, 64)),
    "aggregation": ((2, 64, 56), (8, 128, 28), (1, 256, 64)),
    "non-local": ((1, 32, 32), (1, 32, 64), (1, 32, 128)),
    "shift": _SHIFTED,
    "shift in channels_last": _SHIFTED,
    "depthwise": ((8, 96, 56),),
    "width": tuple((1, width, 32) for width in (16, 32, 64, 128)),
    "size": ((1, 64, 28), (8, 64, 28)),
    "halving": ((1, 64, 56), (8, 64, 56)),
    "mixed": ((2, 96, 28), (8, 96, 56)),
    "active": ((2, 64, 56), (8, 128, 28)),
    "dilated": ((2, 64, 56), (8, 128, 28)),
}


def cases(op: str, shapes: tuple[Shape, ...] | None = None) -> list[Case]:
    """The cases of an operator: each of its variants on each shape.

    Args:
        op: a name of `OPS`.
        shapes: (batch, channels, side) of each input; None: those of `SHAPES`.

    Raises:
        ValueError: for an unknown operator.

    Example:
        >>> case = convnotes.bench.cases("adder", [(2, 16, 8)])[0]
        >>> case.name
        'adder 3×3 2×16×8×8'
    """
    if op not in OPS:
        raise ValueError(f"there is no operator {op!r}; the names are {', '.join(OPS)}")
    return [Case(op, variant, shape) for shape in shapes or SHAPES[op] for variant in OPS[op]]
