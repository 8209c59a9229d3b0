"""The activation of a block or a network: what makes it, as the argument `act_layer` of timm's."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

ActLayer = Callable[[], nn.Module]


def in_place(act_layer: ActLayer) -> nn.Module:
    """The activation that `act_layer` makes; a ReLU overwrites its input, which is then a norm's result."""
    return nn.ReLU(inplace=True) if act_layer is nn.ReLU else act_layer()
