"""Initialisation: what the kernels are before the first step.

Here so far: `reset_all`, with which every network draws its weights anew.
"""

from __future__ import annotations

from torch import nn


def reset_all(module: nn.Module) -> None:
    """Call `reset_parameters` of everything inside `module` that has one, in the order of its making.

    A part that resets its own parts is asked once and not gone into.
    """
    for child in module.children():
        if callable(getattr(child, "reset_parameters", None)):
            child.reset_parameters()
        else:
            reset_all(child)
