"""The operators of the book, and which of them contains which.

An operator contains another one when some value of its arguments makes it that other one, in its output and in its
gradients. `INCLUSIONS` says which value; `tests/contract/test_lattice.py` proves each line, and the page "The map of
operators" draws them. `OPERATORS` also builds each operator for one standard case, so that costs can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Inclusion:
    """`special` is what `general` becomes with these values of its arguments.

    Args:
        special, general: names in `OPERATORS`.
        set: argument of the general operator → its value, in words or code.

    Example:
        >>> from convnotes.lattice import INCLUSIONS
        >>> [one.special for one in INCLUSIONS if one.general == "dilated"]
        ['convolution']
    """

    special: str
    general: str
    set: Mapping[str, str] = field(default_factory=dict)


_CONV = "nn.Conv2d(64, 64, 3, padding=1, bias=False)"
_DEFORM = "DeformConv2d(64, 64, 3, padding=1, bias=False"

OPERATORS: dict[str, Operator] = {
    "embedded non-local": Operator(
        "Every pixel reads all others; learned projections of both decide how much each one counts.",
        "receptive_field/non_local",
        "NonLocal2d(64)",
        (0, 0),
        function="",
    ),
    "deformable v2": Operator(
        "A deformable convolution that also predicts a weight for each of its samples.",
        "receptive_field/deformable",
        f"{_DEFORM})",
        (1, 0),
        function="convnotes.deform_conv2d",
        reach="learned",
    ),
    "offset groups": Operator(
        "A deformable convolution with several sets of offsets, each for a share of the channels.",
        "receptive_field/deformable",
        f"{_DEFORM}, offset_groups=2, modulated=False)",
        (2, 0),
        function="convnotes.deform_conv2d",
        reach="learned",
    ),
    "Gaussian non-local": Operator(
        "Every pixel reads all others, and those with similar values count most.",
        "receptive_field/non_local",
        'NonLocal2d(64, mode="gaussian")',
        (0, 1),
    ),
    "deformable v1": Operator(
        "The input decides, at each output position, where the kernel samples.",
        "receptive_field/deformable",
        f"{_DEFORM}, modulated=False)",
        (1, 1),
        function="convnotes.deform_conv2d",
        reach="learned",
    ),
    "adder": Operator(
        "It compares the pixels with a template by sums of differences, and multiplies nothing.",
        "operations/adder",
        "Adder2d(64, 64, 3, padding=1, bias=False)",
        (0, 2),
        function="convnotes.adder2d",
    ),
    "active": Operator(
        "The positions of the taps are learned, and are the same at every output position.",
        "receptive_field/active",
        "ActiveConv2d(64, 64, bias=False)",
        (1, 2),
        function="convnotes.active_conv2d",
        reach="bound",
    ),
    "active shift": Operator(
        "Every channel moves by a learned distance, which need not be whole pixels.",
        "operations/shift",
        "ActiveShift2d(64)",
        (2, 2),
        function="convnotes.active_shift2d",
        reach="learned",
    ),
    "dilated": Operator(
        "The taps stand apart, so the kernel sees further with the same number of weights.",
        "receptive_field/dilated",
        "nn.Conv2d(64, 64, 3, padding=2, dilation=2, bias=False)",
        (1, 3),
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
    "thin kernels": Operator(
        "A 3×1 and a 1×3 kernel in a row, instead of one 3×3 kernel.",
        "compression/inception",
        "nn.Sequential(nn.Conv2d(64, 64, (3, 1), padding=(1, 0), bias=False), "
        "nn.Conv2d(64, 64, (1, 3), padding=(0, 1), bias=False))",
        (0, 5),
    ),
    "separable": Operator(
        "One kernel per channel, then a 1×1 convolution that mixes the channels.",
        "compression/separable",
        "SeparableConv2d(64, 64, 3, padding=1, bias=False)",
        (1, 5),
        function="convnotes.definitions.separable",
    ),
    "grouped": Operator(
        "An output channel sees only the input channels of its own group.",
        "compression/residual",
        "nn.Conv2d(64, 64, 3, padding=1, groups=4, bias=False)",
        (2, 5),
    ),
    "1×1": Operator(
        "It mixes the channels of one pixel and sees no neighbours.",
        "compression/pointwise",
        "nn.Conv2d(64, 64, 1, bias=False)",
        (0, 6),
    ),
    "shift and 1×1": Operator(
        "Every channel moves by whole pixels, then a 1×1 convolution mixes them.",
        "operations/shift",
        "nn.Sequential(Shift2d(64), nn.Conv2d(64, 64, 1, bias=False))",
        (1, 6),
        function="convnotes.shift2d",
    ),
    "depthwise": Operator(
        "Every channel is filtered by a kernel of its own and mixes with no other.",
        "compression/separable",
        "nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False)",
        (2, 6),
    ),
    "mixed sizes": Operator(
        "Depthwise kernels of 3×3, 5×5 and 7×7, each on its own share of the channels.",
        "fundamentals/multi_scale",
        "MixedConv2d(64, 64, (3, 5, 7), depthwise=True, bias=False)",
        (1, 7),
    ),
    "shift": Operator(
        "Every channel moves by whole pixels; nothing is multiplied.",
        "operations/shift",
        "Shift2d(64)",
        (2, 7),
        function="convnotes.shift2d",
    ),
    "Inception": Operator(
        "Branches of 1×1, 3×3 and 5×5 kernels and pooling, side by side.",
        "compression/inception",
        "Inception(64, 16, 24, 32, 4, 8, 8)",
        (0, 8),
        made_of=("1×1", "convolution"),
    ),
    "Fire": Operator(
        "A 1×1 convolution squeezes the channels, then 1×1 and 3×3 kernels expand them.",
        "compression/squeezenet",
        "Fire(64, 8, 32, 32)",
        (1, 8),
        made_of=("1×1", "convolution"),
    ),
    "bottleneck": Operator(
        "1×1, 3×3 and 1×1 convolutions, whose result is added to the input of the block.",
        "compression/residual",
        "Bottleneck(64, 16)",
        (2, 8),
        made_of=("1×1", "convolution"),
    ),
}

INCLUSIONS: tuple[Inclusion, ...] = (
    Inclusion("convolution", "dilated", {"dilation": "1"}),
    Inclusion("dilated", "active", {"positions": "those of a grid, dilation pixels apart"}),
    Inclusion("active", "deformable v1", {"offset": "the learned positions, the same at every output position"}),
    Inclusion("convolution", "deformable v1", {"offset": "0"}),
    Inclusion("deformable v1", "deformable v2", {"mask": "1"}),
    Inclusion("deformable v1", "offset groups", {"offset": "the same for both groups"}),
    Inclusion("active shift", "offset groups", {"offset": "one for each channel", "weight": "1, depthwise 1×1"}),
    Inclusion("1×1", "convolution", {"weight": "0 except at the centre tap"}),
    Inclusion(
        "small kernels",
        "convolution",
        {"weight": "the two small kernels convolved with each other, if no ReLU stands between them"},
    ),
    Inclusion("thin kernels", "convolution", {"weight": "the outer products of column and row"}),
    Inclusion("separable", "convolution", {"weight": "the depthwise kernel times the 1×1 weight"}),
    Inclusion("grouped", "convolution", {"weight": "0 between channels of different groups"}),
    Inclusion("depthwise", "grouped", {"weight": "0 between the channels of a group"}),
    Inclusion("mixed sizes", "depthwise", {"weight": "a border of 0 around the smaller kernels"}),
    Inclusion("shift", "depthwise", {"weight": "1 at one tap, 0 at the others"}),
    Inclusion("shift", "active shift", {"displacements": "whole pixels"}),
    Inclusion("1×1", "shift and 1×1", {"displacements": "0"}),
    Inclusion("shift and 1×1", "separable", {"depthwise": "1 at one tap, 0 at the others"}),
    Inclusion("shift and 1×1", "convolution", {"weight": "0 except at one tap per input channel"}),
    Inclusion("Gaussian non-local", "embedded non-local", {"theta": "the identity", "phi": "the identity"}),
)
