"""Parameters that are treated specially in training: they learn at a rate of their own, or their steps are scaled::

    optimizer = SGD(active_groups(model, lr=0.1), momentum=0.9)      *_groups: groups of parameters for an optimiser
    handle = scale_active_steps(model, optimizer)                    scale_*_steps: until handle.remove()

The modules of the layers define these functions: `ActiveConv2d`, `ActiveShift2d` and `Adder2d`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class Handle:
    """What `scale_*_steps` returns: `remove()` ends the scaling."""

    def __init__(self, *hooks: RemovableHandle) -> None:
        self._hooks = hooks

    def remove(self) -> None:
        """Let the optimiser step as it did before."""
        for hook in self._hooks:
            hook.remove()

    def __iter__(self) -> Iterator[RemovableHandle]:
        renamed("iterating over the handles of scale_adder_steps", "its handle's remove()")
        return iter(self._hooks)


def named(model: nn.Module, kind: type[nn.Module], name: str) -> list[nn.Parameter]:
    """The parameter `name` of every `kind` in `model`, each once. Raises `ValueError` where there is none."""
    found = {id(p): p for layer in model.modules() if isinstance(layer, kind) for p in [getattr(layer, name)]}
    if not found:
        raise ValueError(f"{type(model).__name__} holds no {kind.__name__}")
    return list(found.values())


def groups(
    model: nn.Module, apart: list[nn.Parameter], lr: float, factor: float, weight_decay: float | None
) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: those `apart` at `factor · lr` without decay, the others at `lr`.

    `weight_decay` is that of the others; None leaves it to the optimiser.
    """
    slow = {id(p) for p in apart}
    others: dict[str, Any] = {"params": [p for p in model.parameters() if id(p) not in slow], "lr": lr}
    if weight_decay is not None:
        others["weight_decay"] = weight_decay
    both = (others, {"params": apart, "lr": factor * lr, "weight_decay": 0.0})
    return [group for group in both if group["params"]]


def scale_steps(
    optimizer: torch.optim.Optimizer,
    parameters: list[nn.Parameter],
    scale: Callable[[Tensor], object],
    after: Callable[[], None] | None = None,
) -> Handle:
    """Before each step of `optimizer`, `scale` in place the gradients of those of the parameters that it steps.

    `after` is called after each step. Raises `ValueError` where none of the parameters is stepped.
    """
    stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    own = [p for p in parameters if id(p) in stepped]
    if not own:
        raise ValueError("the optimizer must step the parameters that are scaled, got one that steps none of them")

    @torch.no_grad()
    def before_step(*_: object) -> None:
        for parameter in own:
            if parameter.grad is not None:
                scale(parameter.grad)

    hooks = [optimizer.register_step_pre_hook(before_step)]
    if after is not None:
        hooks.append(optimizer.register_step_post_hook(lambda *_: after()))
    return Handle(*hooks)


def scale_rows(gradient: Tensor) -> None:
    """Bring each row to length 1, in place; one of length 0 stays 0."""
    length = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    gradient.div_(torch.where(length == 0, 1.0, length))


def renamed(old: str, new: str) -> None:
    """Say to the caller of a function that its old name goes with the next release."""
    warnings.warn(f"{old} is now {new}; the old name goes with the next release", DeprecationWarning, stacklevel=3)
