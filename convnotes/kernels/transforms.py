"""Whether a derivative or a mapping is under way that only plain torch can follow."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad


def transformed(*tensors: Tensor | None) -> bool:
    """Is torch.func or forward-mode differentiation at work, for which a fused kernel has no rules?"""
    return torch._C._are_functorch_transforms_active() or any(
        t is not None and forward_ad.unpack_dual(t).tangent is not None for t in tensors
    )
