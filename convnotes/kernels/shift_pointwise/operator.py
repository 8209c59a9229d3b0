"""Shift and the 1×1 convolution after it as one operator, for the devices on which that saves time::

    y[b,o,i,j] = Σ_c w[o,c] · x[b, c, i·s + dy_c, j·s + dx_c]

Take the scalar T(x, w, g) = Σ g[b,o,i,j] · w[o,c] · x[b, c, …], linear in each of its three factors: y is ∂T/∂g, the
gradients are the other two derivatives, and the gradients of those are the same three again. So three kernels serve
every order of derivative.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convnotes.kernels import backend, private, rules
from convnotes.kernels.operator import define, factors_gradients, factors_tangent
from convnotes.kernels.transforms import Tensors, autocast_dtype, empty_like_format, transformed


def fuses(input: Tensor, shift: nn.Module, conv: nn.Conv2d) -> bool:
    """Does `shift_pointwise` serve these two modules, and pay? Never in a graph that is captured or transformed.

    Modules with hooks are called one by one, so that their hooks see the maps.
    """
    if not isinstance(input, Tensor) or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    weight, displacements = conv.weight, shift.displacements
    if private.hooked(shift, conv) or transformed(input, weight) or displacements.device != input.device:
        return False
    moved, mixed = _as_autocast(input, weight)
    call = rules.Mixing(moved, mixed, functools.partial(backend.chosen, "shift_pointwise", (moved, mixed)))
    return rules.SHIFT_POINTWISE.first(call).way != rules.APART


def shift_pointwise(input: Tensor, weight: Tensor, displacements: Tensor, stride: int) -> Tensor:
    """Move channel c of `input` `[B, C, H, W]` by `displacements[c]`, `[C, 2]`, and mix by `weight` `[O, C, 1, 1]`.

    Returns `[B, O, ⌈H/stride⌉, ⌈W/stride⌉]`. Differentiable any number of times in reverse mode; under autocast in its
    dtype.
    """
    input, weight = _as_autocast(input, weight)
    height, width = input.shape[2:]
    return _operator(input, weight.flatten(1), None, displacements, Mixing((height, width), stride))


def _as_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    narrow = autocast_dtype(tensors[0])
    return tensors if narrow is None else tuple(t.to(narrow) for t in tensors)


class Mixing(NamedTuple):
    """Height and width of the input, and the stride of the 1×1 convolution."""

    size: tuple[int, int]
    stride: int

    @property
    def places(self) -> tuple[int, int]:
        """Height and width of the output."""
        return -(-self.size[0] // self.stride), -(-self.size[1] // self.stride)

    def empty(self, input: Tensor | None, weight: Tensor | None, sent: Tensor | None, _: Tensor) -> Tensor:
        """An unwritten result: the derivative of T by the factor that is None."""
        if input is not None and weight is not None:
            return empty_like_format(input, (input.shape[0], weight.shape[0], *self.places))
        if weight is not None and sent is not None:
            return empty_like_format(sent, (sent.shape[0], weight.shape[1], *self.size))
        assert input is not None, "one of the three factors is left out"
        assert sent is not None, "one of the three factors is left out"
        return input.new_empty(sent.shape[1], input.shape[1])


def _backward(tensors: Tensors, mixing: Mixing, needed: Sequence[bool], grad: Tensor) -> list[Tensor | None]:
    *factors, displacements = tensors
    return [*factors_gradients(lambda *f: _operator(*f, displacements, mixing), factors, needed[:3], grad), None]


def _tangent(tensors: Tensors, mixing: Mixing, tangents: Tensors) -> Tensor:
    *factors, displacements = tensors
    return factors_tangent(lambda *f: _operator(*f, displacements, mixing), factors, tangents[:3])


def _count(shapes: Sequence[Any], mixing: Mixing, result: Sequence[int]) -> int:
    _, weight, sent, _ = shapes
    outputs = result if sent is None else sent  # [B, O, h, w], each of which reads C channels
    return 2 * math.prod(outputs) * int((result if weight is None else weight)[1])


_operator = define(
    "shift_pointwise",
    __package__,
    "Tensor? input, Tensor? weight, Tensor? sent, Tensor displacements",
    Mixing,
    "derivative",
    backward=_backward,
    jvp=_tangent,
    flops=_count,
)
