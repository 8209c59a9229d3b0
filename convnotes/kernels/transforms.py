"""What is at work beside plain torch: transformations that only it can follow, autocast, and what a mapping joins."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode


def transformed(*tensors: Tensor | None) -> bool:
    """Is torch.func or forward-mode differentiation at work, for which a fused kernel has no rules?"""
    return torch._C._are_functorch_transforms_active() or any(
        t is not None and forward_ad.unpack_dual(t).tangent is not None for t in tensors
    )


def watched(*tensors: Tensor | None) -> bool:
    """Is more than autograd's reverse mode at work: a transformation, a dispatch mode, a subclass, the profiler?

    Where not, an operator may be computed without a call through torch's dispatcher.
    """
    if is_in_torch_dispatch_mode() or torch.autograd._profiler_enabled():
        return True
    plain = all(t is None or (type(t) in (Tensor, nn.Parameter) and not t.is_meta) for t in tensors)
    return not plain or transformed(*tensors)


def differentiable_gradients(forward, tensors, needed, grad: Tensor) -> list[Tensor | None]:
    """The gradients of `forward(*tensors)` where `needed`, in a graph that can be differentiated again; else None."""
    wanted = [t for t, n in zip(tensors, needed, strict=True) if n]
    gradients = iter(torch.autograd.grad(forward(*tensors), wanted, grad, create_graph=True))
    return [next(gradients) if n else None for n in needed]


def autocast_dtype(tensor: Tensor) -> torch.dtype | None:
    """What autocast narrows to on the device of `tensor`; None where it is off, or unknown as on meta."""
    device = tensor.device.type
    on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if on else None


def joined(tensor: Tensor, dim: int | None, at: int, size: int) -> Tensor:
    """A tensor whose `dim` is mapped by vmap, `size` times (None: not mapped), with that dimension merged into `at`."""
    if dim is None:
        tensor = tensor.unsqueeze(at).expand(*tensor.shape[:at], size, *tensor.shape[at:])
    else:
        tensor = tensor.movedim(dim, at)
    return tensor.flatten(at, at + 1)
