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
    scale: Callable[[Tensor], object] | None,
    after: Callable[[], None] | None = None,
) -> Handle:
    """Before each step of `optimizer`, `scale` in place the gradients of those of the parameters that it steps.

    `scale` gets them in float32 at least, and without the loss scale of a `GradScaler`: an optimiser with `fused=True`
    divides by it only inside its step, so what it is to divide is multiplied by it again. None scales nothing. `after`
    is called after each step. Raises `ValueError` where none of the parameters is stepped, and in the step where an
    optimiser takes the scaler itself, which leaves no gradient to scale.
    """
    stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    own = [p for p in parameters if id(p) in stepped]
    if not own:
        raise ValueError("the optimizer must step the parameters that are scaled, got one that steps none of them")

    @torch.no_grad()
    def before_step(stepping: torch.optim.Optimizer, _: object, options: dict[str, Any]) -> None:
        if options.get("grad_scaler") is not None:
            raise ValueError(
                f"the steps of {type(stepping).__name__} cannot be scaled: it takes the GradScaler itself and divides "
                f"the gradients by the loss scale where no hook sees it"
            )
        divisor = getattr(stepping, "grad_scale", None)
        scaled = []
        for parameter in own:
            if parameter.grad is not None and scale is not None:
                gradient = parameter.grad.to(torch.promote_types(parameter.grad.dtype, torch.float32), copy=True)
                if divisor is not None:
                    gradient.div_(divisor.to(gradient.device))
                scale(gradient)
                scaled.append((parameter.grad, gradient))
        if divisor is not None:
            divisor = _within_range(stepping, scaled, divisor)
        for gradient, new in scaled:
            gradient.copy_(new if divisor is None else new.mul_(divisor.to(new.device)))

    hooks = [optimizer.register_step_pre_hook(before_step)]
    if after is not None:
        hooks.append(optimizer.register_step_post_hook(lambda *_: after()))
    return Handle(*hooks)


def _within_range(optimizer: torch.optim.Optimizer, scaled: list[tuple[Tensor, Tensor]], divisor: Tensor) -> Tensor:
    """The loss scale by which `optimizer` is to divide: its own, but where float16 cannot hold scaled times it.

    There it becomes a smaller one, by a power of two, and all gradients of the step with it.
    """
    peaks = [new.abs().amax().to(divisor.device) for gradient, new in scaled if gradient.dtype == torch.float16]
    if not peaks:
        return divisor
    room = torch.finfo(torch.float16).max / (torch.stack(peaks).amax() * divisor)
    factor = torch.exp2(room.log2().floor()).clamp(max=1)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.mul_(factor.to(parameter.grad.device))
    divisor = divisor * factor
    vars(optimizer)["grad_scale"] = divisor  # the GradScaler takes it away after the step
    return divisor


def scale_rows(gradient: Tensor) -> None:
    """Bring each vector along the last dimension to length 1, in place; one of length 0 stays 0."""
    scale_to(gradient, 1.0, dim=-1)


def scale_to(gradient: Tensor, wanted: float, dim: int | None = None) -> None:
    """Bring a gradient, or each of its rows along `dim`, to the length `wanted`, in place; a length of 0 stays 0.

    Computed in float32 at least, and first divided by a power of two, which is exact: no square overflows or vanishes.
    """
    wide = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
    sizes = wide.detach().abs()
    peak = sizes.amax() if dim is None else sizes.amax(dim, keepdim=True)
    mantissa, _ = torch.frexp(peak)  # in [0.5, 1)
    wide = wide / torch.where(peak == 0, 1.0, peak / (2 * mantissa))
    length = torch.linalg.vector_norm(wide, dim=dim, keepdim=dim is not None)
    length = torch.where(length == 0, 1.0, length)
    gradient.copy_(wide / length if wanted == 1 else wide * (wanted / length))


def renamed(old: str, new: str) -> None:
    """Say to the caller of a function that its old name goes with the next release."""
    warnings.warn(f"{old} is now {new}; the old name goes with the next release", DeprecationWarning, stacklevel=3)
