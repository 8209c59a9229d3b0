"""The one sum behind the adder, its gradients and the gradients of those::

    T = ± Σ_{b,o,i,j,c,u,v} f(x[b,c,i',j'] − w[o,c,u,v]) · g[b,o,i,j] · t[b,c,i',j'] · r[o,c,u,v]
    i' = i·s + u·d − p,   j' = j·s + v·d − p,   x = t = 0 outside the image

`contract` gives ∂T/∂g ("output"), ∂T/∂t ("input") or ∂T/∂r ("weight"), the factors that are left out being 1. With
f = |·| the open output is the L1 distance of every patch; with the minus, `negative`, it is the adder's score. All
derivatives of such a sum are such sums: by g, t and r of another slot, by x and w with f′ instead of f. So one
kernel, and one table of slopes, serve every order.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convnotes.kernels.operator import define
from convnotes.kernels.transforms import empty_like_format

Factor = Tensor | None
SLOTS = ("output", "input", "weight")
# f → its derivative as x feels it, and as w does; None: 0 except at single points. "paper" is |·| with AdderNet's
# gradients, a clipped difference for x and the full one for w.
SLOPES: dict[str, tuple[str, str] | None] = {
    "distance": ("sign", "sign"),
    "sign": None,
    "paper": ("clamp", "difference"),
    "clamp": ("inside", "inside"),
    "inside": None,
    "difference": ("one", "one"),
    "one": None,
}


class Contraction(NamedTuple):
    """Which sum it is: the slot that is left open, f, and the geometry; `padding` is (top, bottom, left, right)."""

    slot: str
    slope: str
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int
    negative: bool = False

    def places(self, input: Tensor, weight: Tensor) -> tuple[int, int]:
        """Height and width of the output."""
        height, width = (
            (input.shape[2 + axis] + sum(self.padding[2 * axis : 2 * axis + 2]) - self.dilation[axis] * (k - 1) - 1)
            // self.stride[axis]
            + 1
            for axis, k in enumerate(weight.shape[2:])
        )
        return height, width

    def empty(self, input: Tensor, weight: Tensor, *_: Tensor | None) -> Tensor:
        """An unwritten result, in the memory format of what it goes with."""
        if self.slot == "weight":
            return weight.new_empty(weight.shape)
        if self.slot == "input":
            return empty_like_format(input, input.shape)
        return empty_like_format(input, (input.shape[0], weight.shape[0], *self.places(input, weight)))


def _backward(tensors: Any, contraction: Contraction, needed: Sequence[bool], grad: Tensor) -> list[Tensor | None]:
    input, weight, *factors = tensors
    factor = dict(zip(SLOTS, factors, strict=True)) | {contraction.slot: grad}  # T with its open slot closed by grad

    def opened(slot: str, slope: str, negative: bool = contraction.negative) -> Tensor:
        rest = [None if name == slot else factor[name] for name in SLOTS]
        return contract(input, weight, *rest, contraction._replace(slot=slot, slope=slope, negative=negative))

    def by_difference(axis: int, slot: str, tensor: Tensor) -> Tensor:
        derived = SLOPES[contraction.slope]
        if derived is None:
            return torch.zeros_like(tensor)
        slopes, closed_by = opened(slot, derived[axis], contraction.negative != (slot == "weight")), factor[slot]
        return slopes if closed_by is None else slopes * closed_by  # the sign is that of d(x − w)/dw

    by_input = by_difference(0, "input", input) if needed[0] else None
    by_weight = by_difference(1, "weight", weight) if needed[1] else None
    rest = [opened(slot, contraction.slope) if n else None for slot, n in zip(SLOTS, needed[2:], strict=True)]
    return [by_input, by_weight, *rest]


def _tangent(tensors: Any, contraction: Contraction, tangents: Any) -> Tensor:
    input, weight, *factors = tensors

    def closed(slope: str, n: int | None = None, factor: Tensor | None = None) -> Tensor:
        used = [factor if m == n else f for m, f in enumerate(factors)]
        return contract(input, weight, *used, contraction._replace(slope=slope))

    parts = [closed(contraction.slope, n, t) for n, t in enumerate(tangents[2:]) if t is not None]
    slopes = SLOPES[contraction.slope] or (None, None)
    for n, slope, tangent in ((1, slopes[0], tangents[0]), (2, slopes[1], tangents[1])):
        if slope is None or tangent is None:
            continue
        if SLOTS[n] == contraction.slot:
            part = closed(slope) * tangent
        else:
            part = closed(slope, n, tangent if factors[n] is None else tangent * factors[n])
        parts.append(part if n == 1 else -part)
    return functools.reduce(torch.add, parts) if parts else contraction.empty(input, weight).zero_()


contract = define(
    "adder",
    __package__,
    "Tensor input, Tensor weight, Tensor? at_output, Tensor? at_input, Tensor? at_weight",
    Contraction,
    "contract",
    backward=_backward,
    jvp=_tangent,
    in_onnx="contract",
    join=(1, 0, 1, 1, 0),  # maps [B, V·C, H, W], weights [V·O, …]: the mapped dimension joins the groups
    joined_options=lambda contraction, size: contraction._replace(groups=size * contraction.groups),
    join_result=lambda contraction: 0 if contraction.slot == "weight" else 1,
)
