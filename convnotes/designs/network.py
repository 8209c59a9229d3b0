"""One small network in which only the spatial block is exchanged, and the widths at which it meets a budget::

    stem     3×3, stride 2, 8 channels, norm, ReLU
    stage 1  block 0: 8 → w₁ channels, then 2×2 maximum pooling
    stage 2  block 1: w₁ → w₂, block 2: w₂ → w₃
    head     average over the positions, linear

The budget is a number of parameters. It is the one count that every design has: an adder has hardly any multiply-adds
and a shift none. Of the widths within `TOLERANCE` of the budget the search takes those nearest to 1 : 2 : 2, with
w₂ = w₃ if it can. Where there are none it takes the nearest to the budget, and how far that is off stands in the row.
"""

from __future__ import annotations

import bisect
import functools
import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.designs.blocks import DESIGNS, PLACES, Design

STEM = 8  # channels of the stem
TOLERANCE = 0.02  # a budget is met when the parameters lie within this share of it
RATIOS = (1.5, 2.5)  # least and largest ratio of a later width to the first
_AROUND = 4  # steps of the width to either side that the search looks at

Widths = tuple[int, int, int]


def design_named(name: str) -> Design:
    """The design `name` of `DESIGNS`; raises `ValueError` with the names there are for any other."""
    if name not in DESIGNS:
        raise ValueError(f"there is no design {name!r}; the names are {', '.join(DESIGNS)}")
    return DESIGNS[name]


def block(design: Design, before: int, after: int, place: int, stand_in: bool = False) -> nn.Sequential:
    """The block of `design` at `place`, with the norm and the ReLU that it lacks."""
    make = design.stand_in if stand_in and design.stand_in else design.make
    layers: list[nn.Module] = [make(before, after, place)]
    if design.ends_in != "norm":
        layers.append(nn.BatchNorm2d(after))
    if design.ends_in == "kernel":
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class Network(nn.Module):
    """The frame around the blocks of one design: `[B, C, H, W]`, 4×4 pixels at least → logits `[B, num_classes]`.

    Args:
        design: a name of `DESIGNS`.
        widths: output channels of the three blocks.
        channels: C channels of the input.
        num_classes: number of logits.
        stand_in: whether the blocks are those with the receptive field of the start of learning (`Design.stand_in`).

    Raises:
        ValueError: for an unknown design, and for widths that do not fit it.
        TypeError: for widths that are not ints.

    Example:
        >>> model = convnotes.designs.Network("separable", (12, 23, 23))
        >>> model(torch.rand(2, 1, 24, 24)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self, design: str, widths: Sequence[int], channels: int = 1, num_classes: int = 10, stand_in: bool = False
    ) -> None:
        super().__init__()
        known = design_named(design)
        if len(widths) != PLACES:
            raise ValueError(f"widths must be those of the {PLACES} blocks, got {tuple(widths)}")
        checks.positive(**{f"widths[{n}]": width for n, width in enumerate(widths)}, channels=channels)
        checks.positive(num_classes=num_classes)
        if min(widths) < known.least or any(width % known.step for width in widths):
            raise ValueError(
                f"{design} needs widths of {known.least} at least in multiples of {known.step}, got {tuple(widths)}"
            )
        self.design, self.widths = design, tuple(widths)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, STEM, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(STEM), nn.ReLU()
        )
        blocks = [block(known, *pair, place, stand_in) for place, pair in enumerate(_pairs(widths))]
        self.stage1 = nn.Sequential(blocks[0], nn.MaxPool2d(2))
        self.stage2 = nn.Sequential(*blocks[1:])
        self.head = nn.Sequential(
            OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), linear=nn.Linear(widths[-1], num_classes))
        )

    def forward(self, input: Tensor) -> Tensor:
        return self.head(self.stage2(self.stage1(self.stem(input))))


def _pairs(widths: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(in, out) channels of the blocks."""
    return tuple(itertools.pairwise((STEM, *widths)))


@functools.cache
def _block_parameters(design: Design, before: int, after: int, place: int) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in block(design, before, after, place).parameters())


def parameters(name: str, widths: Widths, channels: int = 1, num_classes: int = 10) -> int:
    """Parameters of the `Network` with these widths, counted without building it whole."""
    around = (9 * channels + 2) * STEM + (widths[-1] + 1) * num_classes
    design = design_named(name)
    return around + sum(_block_parameters(design, *pair, place) for place, pair in enumerate(_pairs(widths)))


class BudgetTooSmall(ValueError):
    """The narrowest network of a design has more parameters than the budget."""


class Fit(NamedTuple):
    """The widths that `fit_budget` found, and how near they come to the budget.

    Args:
        widths: output channels of the three blocks.
        params: parameters of the network.
        off: (params − budget) / budget.

    Example:
        >>> convnotes.designs.Fit((4, 10, 10), 1794, -0.003).met
        True
    """

    widths: Widths
    params: int
    off: float

    @property
    def met(self) -> bool:
        """Whether the parameters lie within `TOLERANCE` of the budget."""
        return abs(self.off) <= TOLERANCE


def fit_budget(name: str, budget: int, channels: int = 1, num_classes: int = 10) -> Fit:
    """The widths at which a design comes nearest to a budget of parameters.

    Of the widths within `TOLERANCE` of the budget these are the nearest to 1 : 2 : 2, with the second equal to the
    third if possible. Where there are none, they are those nearest to the budget.

    Args:
        name: of the design, one of `DESIGNS`.
        budget: parameters of the whole network.
        channels: of the input.
        num_classes: number of logits.

    Raises:
        ValueError: for an unknown design; and `BudgetTooSmall`, a kind of it, for a budget below the narrowest network
            of the design, which it names.

    Example:
        >>> fit = convnotes.designs.fit_budget("plain 3×3", 1800)
        >>> fit.widths, fit.params
        ((4, 10, 10), 1794)
    """
    design = design_named(name)
    checks.positive(budget=budget)
    step, least = design.step, -(-design.least // design.step) * design.step

    def fit(first: int, second: int, third: int) -> Fit:
        widths = (first, second, third)
        params = parameters(name, widths, channels, num_classes)
        return Fit(widths, params, params / budget - 1)

    later = -int(-RATIOS[0] * least // step) * step
    narrowest = fit(least, later, later)
    if narrowest.off > TOLERANCE:
        raise BudgetTooSmall(
            f"{name} has {narrowest.params:,} parameters at its narrowest, more than the budget of {budget:,}"
        )
    wider = range(least + step, budget // (2 * num_classes) + 1, step)  # wider ones have too large a last layer
    first = least + step * bisect.bisect(wider, budget, key=lambda w: fit(w, 2 * w, 2 * w).params)  # at a ratio of 2
    steps = [n * step for n in range(-_AROUND, _AROUND + 1)]
    firsts = [first + n for n in steps if first + n >= least]
    seconds = {w: [2 * w + n for n in steps if RATIOS[0] * w <= 2 * w + n <= RATIOS[1] * w] for w in firsts}
    equal = [fit(w, second, second) for w in firsts for second in seconds[w]]
    if any(one.met for one in equal):
        return min((one for one in equal if one.met), key=_shape)
    apart = [fit(w, second, third) for w in firsts for second in seconds[w] for third in seconds[w]]
    return min((one for one in apart if one.met), key=_shape, default=min(apart, key=lambda one: abs(one.off)))


def _shape(fit: Fit) -> tuple[float, float]:
    """How far the widths are from 1 : 2 : 2, and then the parameters from the budget."""
    first, second, third = fit.widths
    return max(abs(second / first - 2), abs(third / first - 2)), abs(fit.off)
