"""The deformable convolution as one operator of torch, and what computes it.

An eager call goes to `in_numba` or `in_triton` where that is chosen (`kernels.backend`), and else to `in_torch`, which
is differentiable in every way that torch knows. A first derivative has kernels of its own; one that is to be
differentiated again, forward mode and `torch.func` take the plain path. Compiled or exported for the CPU it is one
operator, `convnotes::deform_conv2d`, which chooses when it runs; for other devices the plain path is traced. Under
autocast the operator reads and sums in float32, as positions in half precision would miss their pixel; its result has
autocast's dtype, as that of a convolution has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from convnotes.kernels import backend
from convnotes.kernels.deform import in_torch
from convnotes.kernels.deform.sampling import Sampling
from convnotes.kernels.operator import define
from convnotes.kernels.transforms import autocast_dtype, transformed


def deform(input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, sampling: Sampling) -> Tensor:
    """`[B, O, h, w]`, perhaps channels last: `deform_conv2d` without checks and bias."""
    return sampled("deform_conv2d", _operator, in_torch.forward, (input, offset, weight, mask), sampling)


def sampled(
    name: str,
    operator: Callable[..., Tensor],
    plain: Callable[..., Tensor],
    tensors: tuple[Tensor | None, ...],
    options: NamedTuple,
) -> Tensor:
    """What an operator that samples gives, in autocast's dtype under autocast; by the `plain` path where it must."""
    given, input = tensors, tensors[0]
    assert input is not None
    narrow = None if input.dtype == torch.float64 else autocast_dtype(input)
    if narrow is not None:
        tensors = tuple(None if t is None else t.float() for t in tensors)
    one = _as_one_operator(input.device.type, tensors, name)
    result = operator(*tensors, options) if one else plain(*given, options)
    return result if narrow is None else result.to(narrow)


def _as_one_operator(device: str, tensors: tuple[Tensor | None, ...], name: str) -> bool:
    if device == "meta":
        return False
    if torch.compiler.is_compiling():
        return device == "cpu" or torch.onnx.is_in_onnx_export()
    if torch.jit.is_tracing():
        return True
    return backend.chosen(name, tensors) != "torch" and not transformed(*tensors)


_operator = define(
    "deform_conv2d",
    __package__,
    "Tensor input, Tensor offset, Tensor weight, Tensor? mask",
    Sampling,
    "forward",
    gradient="backward",
    in_torch=in_torch.forward,
    products=lambda needed: (needed[0] or needed[1] or needed[3]) + needed[2],
    join=(1, 1, 0, 1),  # maps [B, V·C, H, W], the weight [V·O, …]: the mapped dimension makes more groups
    in_onnx="forward",
    flops=lambda shapes, _, result: 2 * math.prod(result) * math.prod(shapes[2][1:]),
    float32_under_autocast=True,
)
