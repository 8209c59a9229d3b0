"""The derivatives of T in plain torch, where an exported graph or a test runs on another device."""

from __future__ import annotations

import torch
from torch import Tensor

from convnotes.kernels.shift.operator import by_gather
from convnotes.kernels.shift_pointwise.operator import Mixing


def derivative(
    input: Tensor | None, weight: Tensor | None, sent: Tensor | None, displacements: Tensor, mixing: Mixing
) -> Tensor:
    """That by the factor which is None, at the other two."""
    result, stride = mixing.empty(input, weight, sent, displacements), mixing.stride
    if input is None:
        spread = result.new_zeros(result.shape)
        spread[..., ::stride, ::stride] = torch.einsum("oc,bohw->bchw", weight, sent)
        return result.copy_(_moved(spread, -displacements))
    moved = _moved(input, displacements)[..., ::stride, ::stride]
    if weight is None:
        return result.copy_(torch.einsum("bohw,bchw->oc", sent, moved))
    return result.copy_(torch.einsum("oc,bchw->bohw", weight, moved))


def _moved(input: Tensor, displacements: Tensor) -> Tensor:
    return by_gather(by_gather(input, displacements[:, 0], 2), displacements[:, 1], 3)
