"""Which operator is a special case of which, and by what values of its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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


INCLUSIONS: tuple[Inclusion, ...] = (
    Inclusion("convolution", "dilated", {"dilation": "1"}),
    Inclusion("dilated", "active", {"positions": "those of a grid, dilation pixels apart"}),
    Inclusion("active", "deformable v1", {"offset": "the learned positions, the same at every output position"}),
    Inclusion("convolution", "deformable v1", {"offset": "0"}),
    Inclusion("convolution", "dynamic", {"weights": "the same for all kernels of the mixture"}),
    Inclusion("deformable v1", "deformable v2", {"mask": "1"}),
    Inclusion("involution", "deformable aggregation", {"offset": "0", "mask": "the kernels of the positions"}),
    Inclusion(
        "deformable aggregation",
        "deformable v2",
        {"offset": "a set per group", "mask": "the predicted weights", "weight": "1 at every tap, depthwise"},
    ),
    Inclusion("deformable v1", "offset groups", {"offset": "the same for both groups"}),
    Inclusion("active shift", "offset groups", {"offset": "one for each channel", "weight": "1, depthwise 1×1"}),
    Inclusion("1×1", "convolution", {"weight": "0 except at the centre tap"}),
    Inclusion(
        "small kernels",
        "convolution",
        {"weight": "the two small kernels convolved with each other, if no ReLU stands between them"},
    ),
    Inclusion(
        "branches",
        "convolution",
        {"weight": "the sum of the kernels with their norms, in inference", "bias": "what the norms add"},
    ),
    Inclusion("powers of two", "convolution", {"weight": "rounded to plus or minus a power of two"}),
    Inclusion("thin kernels", "convolution", {"weight": "the outer products of column and row"}),
    Inclusion("separable", "convolution", {"weight": "the depthwise kernel times the 1×1 weight"}),
    Inclusion("grouped", "convolution", {"weight": "0 between channels of different groups"}),
    Inclusion("depthwise", "grouped", {"weight": "0 between the channels of a group"}),
    Inclusion("partial", "grouped", {"weight": "in all groups but the first, 1 at the centre tap of each channel"}),
    Inclusion("depthwise", "involution", {"weight": "the same at every position, with a group per channel"}),
    Inclusion(
        "large kernel",
        "depthwise",
        {"weight": "the sum of both kernels with their norms, in inference", "bias": "what the norms add"},
    ),
    Inclusion("mixed sizes", "depthwise", {"weight": "a border of 0 around the smaller kernels"}),
    Inclusion("shift", "depthwise", {"weight": "1 at one tap, 0 at the others"}),
    Inclusion("shift", "active shift", {"displacements": "whole pixels"}),
    Inclusion("1×1", "shift and 1×1", {"displacements": "0"}),
    Inclusion("shift and 1×1", "separable", {"depthwise": "1 at one tap, 0 at the others"}),
    Inclusion("shift and 1×1", "convolution", {"weight": "0 except at one tap per input channel"}),
    Inclusion("adder", "shift-add", {"shift": "1 at the centre tap from a channel to itself"}),
    Inclusion("Gaussian non-local", "embedded non-local", {"theta": "the identity", "phi": "the identity"}),
)
