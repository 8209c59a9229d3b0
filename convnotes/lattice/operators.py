"""The operators of the book: what each does, where it stands on the map, and its layer in one standard case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

import convnotes
from convnotes.measure import Cost, cost, receptive_field

CHANNELS, SIZE = 64, 56  # the standard case: 64 channels in and out, a map of 56×56 pixels


@dataclass(frozen=True)
class Operator:
    """One operator, and the layer that it is in the standard case.

    Args:
        words: what it does, in one sentence.
        chapter: the page that explains it, below `book/` and without its suffix.
        layer: the layer for 64 channels, in Python, with `nn` and the names of `convnotes` in scope.
        at: its column and row on the map; the rows begin at the most general operators.
        function: the full name of the function whose arguments the inclusions name, "" where they name submodules.
        reach: whether its receptive field is "fixed", has a "bound" that learning stays within, or is "learned" freely.
        made_of: the operators that a block consists of.

    Example:
        >>> from convnotes.lattice import OPERATORS
        >>> OPERATORS["depthwise"].build()
        Conv2d(64, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), groups=64, bias=False)
    """

    words: str
    chapter: str
    layer: str
    at: tuple[int, int]
    function: str = "convnotes.definitions.conv2d"
    reach: Literal["fixed", "bound", "learned"] = "fixed"
    made_of: tuple[str, ...] = ()

    def build(self) -> nn.Module:
        """The layer of the standard case, with new parameters."""
        public = {name: getattr(convnotes, name) for name in convnotes.__all__}
        layer: nn.Module = eval(self.layer, public | {"nn": nn})
        return layer

    def cost(self) -> Cost:
        """What one call of the layer costs in the standard case."""
        return cost(self.build(), (1, CHANNELS, SIZE, SIZE))

    def field(self) -> str:
        """Its receptive field in pixels: "3×3", "≤ 7×7", "the whole input", or "learned"."""
        if self.reach == "learned":
            return "learned"
        return ("≤ " if self.reach == "bound" else "") + receptive_field(self.build()).words


_CONV = "nn.Conv2d(64, 64, 3, padding=1, bias=False)"
_DEFORM = "DeformConv2d(64, 64, 3, padding=1, bias=False"

OPERATORS: dict[str, Operator] = {
    "offset groups": Operator(
        "A deformable convolution with several sets of offsets, each for a share of the channels.",
        "receptive_field/deformable",
        f"{_DEFORM}, offset_groups=2, modulated=False)",
        (0, 0),
        function="convnotes.deform_conv2d",
        reach="learned",
    ),
    "deformable v2": Operator(
        "A deformable convolution that also predicts a weight for each of its samples.",
        "receptive_field/deformable",
        f"{_DEFORM})",
        (1, 0),
        function="convnotes.deform_conv2d",
        reach="learned",
    ),
    "deformable aggregation": Operator(
        "Every position samples where it likes and weighs the samples by what it predicts, without kernel weights.",
        "beyond/deformable_aggregation",
        "DeformableAggregation2d(64)",
        (2, 0),
        function="convnotes.deform_aggregate2d",
        reach="learned",
    ),
    "involution": Operator(
        "Every position has a kernel of its own, made from the pixel there and shared by a group of channels.",
        "beyond/dynamic",
        "Involution2d(64, 7, groups=4)",
        (2, 1),
        function="convnotes.involution2d",
    ),
    "active shift": Operator(
        "Every channel moves by a learned distance, which need not be whole pixels.",
        "operations/shift",
        "ActiveShift2d(64)",
        (0, 1),
        function="convnotes.active_shift2d",
        reach="learned",
    ),
    "deformable v1": Operator(
        "The input decides, at each output position, where the kernel samples.",
        "receptive_field/deformable",
        f"{_DEFORM}, modulated=False)",
        (1, 1),
        function="convnotes.deform_conv2d",
        reach="learned",
    ),
    "embedded non-local": Operator(
        "Every pixel reads all others; learned projections of both decide how much each one counts.",
        "receptive_field/non_local",
        "NonLocal2d(64)",
        (0, 2),
        function="",
    ),
    "active": Operator(
        "The positions of the taps are learned, and are the same at every output position.",
        "receptive_field/active",
        "ActiveConv2d(64, 64, bias=False)",
        (1, 2),
        function="convnotes.active_conv2d",
        reach="bound",
    ),
    "Gaussian non-local": Operator(
        "Every pixel reads all others, and those with similar values count most.",
        "receptive_field/non_local",
        'NonLocal2d(64, mode="gaussian")',
        (0, 3),
    ),
    "dilated": Operator(
        "The taps stand apart, so the kernel sees further with the same number of weights.",
        "receptive_field/dilated",
        "nn.Conv2d(64, 64, 3, padding=2, dilation=2, bias=False)",
        (1, 3),
    ),
    "dynamic": Operator(
        "Every image gets a kernel of its own, mixed from several learned ones.",
        "beyond/dynamic",
        "DynamicConv2d(64, 64, 3, padding=1, bias=False)",
        (2, 3),
        function="convnotes.definitions.mixture_conv2d",
    ),
    "small kernels": Operator(
        "Two 3×3 kernels in a row see as far as one 5×5 kernel.",
        "compression/small_kernels",
        "KernelStack(64, 64, 5, bias=False)",
        (0, 4),
    ),
    "convolution": Operator(
        "Every output channel weighs all input channels of a small window.",
        "fundamentals/size_and_shape",
        _CONV,
        (1, 4),
    ),
    "branches": Operator(
        "3×3 and 1×1 kernels and the identity, each with batch norm, are added in training and fused afterwards.",
        "beyond/reparameterise",
        "RepConv2d(64, 64)",
        (2, 4),
        function="convnotes.definitions.branches",
    ),
    "thin kernels": Operator(
        "A 3×1 and a 1×3 kernel in a row, instead of one 3×3 kernel.",
        "compression/inception",
        "nn.Sequential(nn.Conv2d(64, 64, (3, 1), padding=(1, 0), bias=False), "
        "nn.Conv2d(64, 64, (1, 3), padding=(0, 1), bias=False))",
        (0, 5),
    ),
    "powers of two": Operator(
        "Every weight is plus or minus a power of two, so that a product is a shift of bits.",
        "beyond/cheap_features",
        "PowerOfTwoConv2d(64, 64, 3, padding=1, bias=False)",
        (2, 5),
    ),
    "separable": Operator(
        "One kernel per channel, then a 1×1 convolution that mixes the channels.",
        "compression/separable",
        "SeparableConv2d(64, 64, 3, padding=1, bias=False)",
        (0, 6),
        function="convnotes.definitions.separable",
    ),
    "grouped": Operator(
        "An output channel sees only the input channels of its own group.",
        "compression/residual",
        "nn.Conv2d(64, 64, 3, padding=1, groups=4, bias=False)",
        (1, 6),
    ),
    "partial": Operator(
        "A quarter of the channels is convolved, and the others pass as they are.",
        "beyond/cheap_features",
        "PartialConv2d(64)",
        (2, 6),
    ),
    "shift and 1×1": Operator(
        "Every channel moves by whole pixels, then a 1×1 convolution mixes them.",
        "operations/shift",
        "nn.Sequential(Shift2d(64), nn.Conv2d(64, 64, 1, bias=False))",
        (0, 7),
        function="convnotes.shift2d",
    ),
    "1×1": Operator(
        "It mixes the channels of one pixel and sees no neighbours.",
        "compression/pointwise",
        "nn.Conv2d(64, 64, 1, bias=False)",
        (1, 7),
    ),
    "depthwise": Operator(
        "Every channel is filtered by a kernel of its own and mixes with no other.",
        "compression/separable",
        "nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False)",
        (2, 7),
    ),
    "shift": Operator(
        "Every channel moves by whole pixels; nothing is multiplied.",
        "operations/shift",
        "Shift2d(64)",
        (0, 8),
        function="convnotes.shift2d",
    ),
    "mixed sizes": Operator(
        "Depthwise kernels of 3×3, 5×5 and 7×7, each on its own share of the channels.",
        "fundamentals/multi_scale",
        "MixedConv2d(64, 64, (3, 5, 7), depthwise=True, bias=False)",
        (1, 8),
    ),
    "large kernel": Operator(
        "One kernel of 31×31 per channel, trained beside a small one that is added to it.",
        "beyond/large_kernels",
        "LargeKernelConv2d(64, 31)",
        (2, 8),
        function="convnotes.definitions.branches",
    ),
    "shift-add": Operator(
        "A convolution by powers of two, then an adder: neither of them multiplies.",
        "beyond/cheap_features",
        "ShiftAdd2d(64, 64, 3, padding=1, bias=False)",
        (0, 9),
        function="",
        made_of=("powers of two", "adder"),
    ),
    "adder": Operator(
        "It compares the pixels with a template by sums of differences, and multiplies nothing.",
        "operations/adder",
        "Adder2d(64, 64, 3, padding=1, bias=False)",
        (1, 9),
        function="convnotes.adder2d",
    ),
    "ghost": Operator(
        "A 1×1 convolution makes half of the channels, and one small kernel for each makes the other half.",
        "beyond/cheap_features",
        "GhostConv2d(64, 64)",
        (2, 9),
        made_of=("1×1", "depthwise"),
    ),
    "Inception": Operator(
        "Branches of 1×1, 3×3 and 5×5 kernels and pooling, side by side.",
        "compression/inception",
        "Inception(64, 16, 24, 32, 4, 8, 8)",
        (0, 10),
        made_of=("1×1", "convolution"),
    ),
    "Fire": Operator(
        "A 1×1 convolution squeezes the channels, then 1×1 and 3×3 kernels expand them.",
        "compression/squeezenet",
        "Fire(64, 8, 32, 32)",
        (1, 10),
        made_of=("1×1", "convolution"),
    ),
    "bottleneck": Operator(
        "1×1, 3×3 and 1×1 convolutions, whose result is added to the input of the block.",
        "compression/residual",
        "Bottleneck(64, 16)",
        (2, 10),
        made_of=("1×1", "convolution"),
    ),
}
