"""What is at work beside plain torch: transformations that only it can follow, autocast, and what a mapping joins."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from convnotes.kernels import private

_library = torch.library.Library("convnotes", "FRAGMENT")


def transformed(*tensors: Tensor | None) -> bool:
    """Is torch.func or forward-mode differentiation at work, for which a fused kernel has no rules?"""
    return private.transforming() or any(
        t is not None and forward_ad.unpack_dual(t).tangent is not None for t in tensors
    )


def watched(*tensors: Tensor | None) -> bool:
    """Is more than autograd's reverse mode at work: a transformation, a dispatch mode, a subclass, the profiler?

    Where not, an operator may be computed without a call through torch's dispatcher.
    """
    if private.dispatching() or private.profiling():
        return True
    plain = all(t is None or (type(t) in (Tensor, nn.Parameter) and not t.is_meta) for t in tensors)
    return not plain or transformed(*tensors)


def differentiable_gradients(forward, tensors, needed, grad: Tensor) -> list[Tensor | None]:
    """The gradients of `forward(*tensors)` where `needed`, in a graph that can be differentiated again; else None."""
    tensors = [None if t is None else t.view_as(t) for t in tensors]  # none comes from another, as an offset may
    wanted = [t for t, n in zip(tensors, needed, strict=True) if n]
    gradients = iter(torch.autograd.grad(forward(*tensors), wanted, grad, create_graph=True))
    return [next(gradients) if n else None for n in needed]


def has_memory(tensor: Tensor) -> bool:
    """Do its numbers lie in memory? Those of a mapped tensor, or of one left over from a transformation, do not."""
    try:
        return tensor.data_ptr() != 0  # 0 of one that is known to hold zeros, or nothing
    except RuntimeError:
        return False


def autocast_dtype(tensor: Tensor) -> torch.dtype | None:
    """What autocast narrows to on the device of `tensor`; None where it is off, or unknown as on meta."""
    device = tensor.device.type
    known = device in ("cpu", "cuda") or torch.amp.is_autocast_available(device)  # torch 2.6 compiles no such question
    on = known and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if on else None


def in_float32_under_autocast(name: str, device: str) -> None:
    """Make autocast on `device` call `convnotes::name` with its 16-bit tensors in float32, and itself off meanwhile."""
    if hasattr(torch.library, "register_autocast"):
        torch.library.register_autocast(f"convnotes::{name}", device, torch.float32)
        return
    operator = getattr(torch.ops.convnotes, name)

    def widened(value):
        return value.float() if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16) else value

    def call(*args):  # what `register_autocast` registers, for torch 2.6, which lacks it
        with torch.autocast(device, enabled=False):
            return operator(*map(widened, args))

    _library.impl(name, call, f"Autocast{device.upper()}")


def joined(tensor: Tensor, dim: int | None, at: int, size: int) -> Tensor:
    """A tensor whose `dim` is mapped by vmap, `size` times (None: not mapped), with that dimension merged into `at`."""
    if dim is None:
        tensor = tensor.unsqueeze(at).expand(*tensor.shape[:at], size, *tensor.shape[at:])
    else:
        tensor = tensor.movedim(dim, at)
    return tensor.flatten(at, at + 1)
