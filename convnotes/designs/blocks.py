"""The kernel designs of the book, each as the spatial block of one network.

A block takes `[B, C, H, W]` to `[B, O, H, W]`. What its paper does not end in, the frame adds: batch norm and ReLU
after a bare kernel, batch norm alone after a block that ends in a ReLU, nothing after one that has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from convnotes.beyond.cheap_features import GhostConv2d, PartialConv2d
from convnotes.beyond.dcn import DCNv3
from convnotes.beyond.dynamic import CondConv2d, DynamicConv2d
from convnotes.beyond.involution import Involution2d
from convnotes.beyond.large_kernels import LargeKernelConv2d
from convnotes.beyond.reparameterise import RepConv2d
from convnotes.beyond.shift_add import ShiftAdd2d
from convnotes.compression.inception import Inception
from convnotes.compression.residual import Bottleneck
from convnotes.compression.separable import SeparableConv2d
from convnotes.compression.small_kernels import KernelStack
from convnotes.compression.squeezenet import Fire
from convnotes.fundamentals.multi_scale import MixedConv2d
from convnotes.operations.active_shift import ActiveShift2d, active_shift_groups, scale_active_shift_steps
from convnotes.operations.adder import Adder2d, scale_adder_steps
from convnotes.operations.shift import ShiftBlock
from convnotes.receptive_field.active import ActiveConv2d, active_groups, scale_active_steps
from convnotes.receptive_field.deformable import DeformConv2d
from convnotes.receptive_field.non_local import NonLocal2d

PLACES = 3  # blocks of the network, numbered from 0
RATES = (2, 1, 2)  # of the dilated design, one per place: they leave no hole in the receptive field
Make = Callable[[int, int, int], nn.Module]  # (in_channels, out_channels, place) → block
Steer = Callable[[nn.Module, torch.optim.Optimizer], object]


@dataclass(frozen=True)
class Design:
    """One way to make the spatial block of the network.

    A line in `DESIGNS` adds one to the command, the table and the tests.

    Args:
        make: (in_channels, out_channels, place) → block; `place` is 0, 1 or 2.
        ends_in: what the block brings itself: "kernel" nothing, "relu" all but the norm, "norm" all.
        step: the width is a multiple of it.
        least: the least width at which the block is what it is called.
        field: what the receptive field means: "fixed", a "bound" of learning, or where learning has its "start".
        stand_in: makes the block that has the receptive field of the start, where learning may widen it.
        groups: (model, lr, weight_decay) → parameter groups, where the paper lets some parameters learn apart.
        steer: called once with the model and its optimiser, where the paper changes the step.

    Example:
        >>> convnotes.designs.DESIGNS["plain 3×3"].make(8, 16, 0)
        Conv2d(8, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
    """

    make: Make
    ends_in: Literal["kernel", "relu", "norm"] = "kernel"
    step: int = 1
    least: int = 2
    field: Literal["fixed", "bound", "start"] = "fixed"
    stand_in: Make | None = None
    groups: Callable[[nn.Module, float, float], list[dict[str, Any]]] | None = None
    steer: Steer | None = None


def conv(kernel_size: int) -> Make:
    def make(before: int, after: int, place: int) -> nn.Module:
        return nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2, bias=False)

    return make


def _inception(before: int, after: int, place: int) -> nn.Module:
    """The proportions of block 3a of GoogLeNet: 64, 96 → 128, 16 → 32 and 32 of 256 channels."""
    small, large = after // 4, max(1, after // 8)
    narrowed = max(1, 3 * after // 8), max(1, after // 16)
    return Inception(before, small, narrowed[0], after - small - 2 * large, narrowed[1], large, large)


def _separable(before: int, after: int, place: int) -> nn.Module:
    between = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU())
    return SeparableConv2d(before, after, 3, padding=1, bias=False, between=between)


def _mixed(before: int, after: int, place: int) -> nn.Module:
    """As in MixNet: depthwise kernels of three sizes instead of the separable convolution's 3×3."""
    depthwise = MixedConv2d(before, before, (3, 5, 7), depthwise=True, bias=False)
    return nn.Sequential(depthwise, nn.BatchNorm2d(before), nn.ReLU(), nn.Conv2d(before, after, 1, bias=False))


def _fire(before: int, after: int, place: int) -> nn.Module:
    """The proportions of the first Fire of SqueezeNet: 16 squeezed, 64 and 64 of 128 channels."""
    return Fire(before, max(1, after // 8), after // 2, after - after // 2)


def _grouped(before: int, after: int, place: int) -> nn.Module:
    """As in ResNeXt half of the width is grouped, here in 4 groups: 4·⌊O/8⌋ channels."""
    return Bottleneck(before, after // 4, groups=4, width_per_group=32)


def _dilated(before: int, after: int, place: int) -> nn.Module:
    rate = RATES[place]
    return nn.Conv2d(before, after, 3, padding=rate, dilation=rate, bias=False)


def _last(layer: Make) -> Make:
    """`layer` at the last place, where the papers put it, and a plain 3×3 kernel before."""
    return lambda before, after, place: (layer if place == PLACES - 1 else conv(3))(before, after, place)


def _deformable(before: int, after: int, place: int) -> nn.Module:
    return DeformConv2d(before, after, 3, padding=1, bias=False, modulated=False)


def _non_local(before: int, after: int, place: int) -> nn.Module:
    """A plain kernel, its norm and ReLU, and a non-local block behind."""
    plain = [conv(3)(before, after, place), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*plain, NonLocal2d(after)) if place == PLACES - 1 else nn.Sequential(*plain)


def _active_shift(before: int, after: int, place: int) -> nn.Module:
    """The block of the shift design with displacements that are learned."""
    block = ShiftBlock(before, after)
    block.shift = ActiveShift2d(after)
    return block


def _branches(before: int, after: int, place: int) -> nn.Module:
    return nn.Sequential(RepConv2d(before, after), nn.ReLU())


def _large_kernel(before: int, after: int, place: int) -> nn.Module:
    """As separable, with a kernel that reaches over a map of 6×6 and a small one beside it instead of the 3×3."""
    return nn.Sequential(LargeKernelConv2d(before, 11), nn.ReLU(), nn.Conv2d(before, after, 1, bias=False))


def _mixed_first(layer: Callable[[int], nn.Module]) -> Make:
    """A layer that keeps the channels, after a 1×1 kernel that mixes them."""
    return lambda before, after, place: nn.Sequential(
        nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(), layer(after)
    )


def _partial(before: int, after: int, place: int) -> nn.Module:
    return nn.Sequential(PartialConv2d(before), nn.Conv2d(before, after, 1, bias=False))


# What came after the source of the book. `noise` was fixed before these were trained.
LATER: dict[str, Design] = {
    "branches": Design(_branches, "norm"),
    "large kernel": Design(_large_kernel),
    "CondConv": Design(lambda i, o, place: CondConv2d(i, o, 3, padding=1, bias=False, num_experts=4)),
    "dynamic": Design(lambda i, o, place: DynamicConv2d(i, o, 3, padding=1, bias=False)),
    "involution": Design(_mixed_first(lambda channels: Involution2d(channels, 7))),
    "aggregation": Design(_mixed_first(DCNv3), step=4, least=4, field="start", stand_in=conv(3)),
    "ghost": Design(lambda i, o, place: GhostConv2d(i, o, 3), "norm"),
    "partial": Design(_partial, least=4),
    "shift-add": Design(lambda i, o, place: ShiftAdd2d(i, o, 3, padding=1, bias=False), steer=scale_adder_steps),
}

DESIGNS: dict[str, Design] = {
    "plain 3×3": Design(conv(3)),
    "plain 5×5": Design(conv(5)),
    "plain 7×7": Design(conv(7)),
    "1×1 only": Design(conv(1)),
    "Inception": Design(_inception, "norm", least=8),
    "separable": Design(_separable),
    "mixed": Design(_mixed, least=3),
    "Fire": Design(_fire, "relu", least=8),
    "bottleneck": Design(lambda i, o, place: Bottleneck(i, o // 4), "norm", step=4, least=8),
    "grouped bottleneck": Design(_grouped, "norm", step=4, least=8),
    "kernel stack": Design(lambda i, o, place: KernelStack(i, o, 5), "relu"),
    "dilated": Design(_dilated),
    "active": Design(
        lambda i, o, place: ActiveConv2d(i, o, bias=False, max_reach=2),
        field="bound",
        groups=lambda model, lr, decay: active_groups(model, lr, 1 / 60, decay),
        steer=scale_active_steps,
    ),
    "deformable": Design(_last(_deformable), field="start", stand_in=conv(3)),
    "non-local": Design(_non_local, "norm"),
    "shift": Design(lambda i, o, place: ShiftBlock(i, o), "norm", least=9),
    "active shift": Design(
        _active_shift,
        "norm",
        field="start",
        stand_in=conv(3),
        groups=lambda model, lr, decay: active_shift_groups(model, lr, 0.02),
        steer=scale_active_shift_steps,
    ),
    "adder": Design(lambda i, o, place: Adder2d(i, o, 3, padding=1, bias=False), steer=scale_adder_steps),
    **LATER,
}
