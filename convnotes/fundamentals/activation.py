"""The activation of a block or a network: what makes it, as the argument `act_layer` of timm's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

ActLayer = Callable[[], nn.Module]


def activation(act_layer: ActLayer) -> nn.Module:
    """The activation that `act_layer` makes. Raises `TypeError` for what makes none."""
    if not callable(act_layer):
        raise TypeError(f"act_layer must be a class or function that makes a module, got {act_layer!r}")
    return act_layer()


def plain(act_layer: ActLayer) -> nn.Module | None:
    """None for a ReLU, which `activated` computes without a module: no further output is counted or shown."""
    return None if act_layer is nn.ReLU else activation(act_layer)


def activated(activation: nn.Module | None, input: Tensor) -> Tensor:
    """What an activation made by `plain` gives."""
    return torch.relu(input) if activation is None else activation(input)


def in_place(act_layer: ActLayer) -> nn.Module:
    """The activation that `act_layer` makes; a ReLU overwrites its input, which is then a norm's result."""
    return nn.ReLU(inplace=True) if act_layer is nn.ReLU else activation(act_layer)
