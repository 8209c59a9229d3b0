"""torch's transformations: whether one is under way that only plain torch can follow, and what a mapping joins."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad


def transformed(*tensors: Tensor | None) -> bool:
    """Is torch.func or forward-mode differentiation at work, for which a fused kernel has no rules?"""
    return torch._C._are_functorch_transforms_active() or any(
        t is not None and forward_ad.unpack_dual(t).tangent is not None for t in tensors
    )


def joined(tensor: Tensor, dim: int | None, at: int, size: int) -> Tensor:
    """A tensor whose `dim` is mapped by vmap, `size` times (None: not mapped), with that dimension merged into `at`."""
    if dim is None:
        tensor = tensor.unsqueeze(at).expand(*tensor.shape[:at], size, *tensor.shape[at:])
    else:
        tensor = tensor.movedim(dim, at)
    return tensor.flatten(at, at + 1)
