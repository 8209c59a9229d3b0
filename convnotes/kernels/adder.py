"""The one sum behind the adder, its gradients and the gradients of those, in tiles that stay in the cache.

    T = ± Σ_{b,o,i,j,c,u,v} f(x[b,c,i',j'] − w[o,c,u,v]) · g[b,o,i,j] · t[b,c,i',j'] · r[o,c,u,v]
    i' = i·s + u·d − p,   j' = j·s + v·d − p,   x = t = 0 outside the picture

`contract` gives ∂T/∂g ("output"), ∂T/∂t ("input") or ∂T/∂r ("weight"), the factors that are left out being 1. With
f = |·| the open output is the L1 distance of every patch; with the minus, `negative`, it is the adder's score. All
derivatives of such a sum are such sums: by g, t and r of another slot, by x and w with f′ in the place of f. So one
kernel, and one table of slopes, serve every order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from convnotes.kernels import backend
from convnotes.kernels.adder_tiles import contract_in_tiles, room
from convnotes.kernels.transforms import joined, watched

SLOTS = ("output", "input", "weight")
# f → its derivative as x feels it, and as w does; None: 0 but for single points. "paper" is |·| with AdderNet's
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
_ARGUMENTS = "Tensor input, Tensor weight, Tensor? at_output, Tensor? at_input, Tensor? at_weight, str slot, str slope"
_GEOMETRY = "int[] stride, int[] padding, int[] dilation, int groups, bool negative"


def contract(
    input: Tensor,
    weight: Tensor,
    at_output: Tensor | None,
    at_input: Tensor | None,
    at_weight: Tensor | None,
    slot: str,
    slope: str,
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
    negative: bool = False,
) -> Tensor:
    """The sum above with `slot` left open and f = `slope`; `padding` is (top, bottom, left, right).

    Differentiable any number of times, forwards and backwards, and mapped by vmap.
    """
    tensors = (input, weight, at_output, at_input, at_weight)
    call: Callable[..., Tensor]
    if torch.compiler.is_compiling():
        call = torch.ops.convnotes.adder
    elif watched(*tensors):
        call = _Contract.apply
    else:  # each of the ways around takes 0.05 ms or more
        recorded = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
        call = _Plain.apply if recorded else _computed
    return call(*tensors, slot, slope, stride, padding, dilation, groups, negative)


def _computed(*inputs) -> Tensor:
    name = backend.chosen("adder", inputs[:5])
    if name == "numba":
        from convnotes.kernels.adder_numba import contract as compiled
    elif name == "triton":
        from convnotes.kernels.adder_triton import contract as compiled
    else:
        compiled = contract_in_tiles
    return compiled(*inputs)


_adder = torch.library.custom_op(
    "convnotes::adder", _computed, mutates_args=(), schema=f"({_ARGUMENTS}, {_GEOMETRY}) -> Tensor"
)


@_adder.register_fake
def _(input, weight, at_output, at_input, at_weight, slot, slope, stride, padding, dilation, groups, negative):
    return room(input, weight, slot, stride, padding, dilation)


def _keep(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.slot, ctx.slope, ctx.geometry = inputs[5], inputs[6], inputs[7:]
    backend.remember(ctx)


def _backward(call, ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    with backend.as_remembered(ctx):
        return _gradients(call, ctx, grad)


def _gradients(call, ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    input, weight, *factors = ctx.saved_tensors
    factor = dict(zip(SLOTS, factors, strict=True)) | {ctx.slot: grad}  # T with its open slot closed by grad

    *geometry, negative = ctx.geometry

    def opened(slot: str, slope: str, negative: bool = negative) -> Tensor:
        rest = [None if name == slot else factor[name] for name in SLOTS]
        return call(input, weight, *rest, slot, slope, *geometry, negative)

    def by_difference(axis: int, slot: str, tensor: Tensor) -> Tensor:
        derived = SLOPES[ctx.slope]
        if derived is None:
            return torch.zeros_like(tensor)
        slopes = opened(slot, derived[axis], negative != (slot == "weight"))  # d(x − w)/dw = −1
        return slopes if factor[slot] is None else slopes * factor[slot]

    needed = ctx.needs_input_grad
    by_input = by_difference(0, "input", input) if needed[0] else None
    by_weight = by_difference(1, "weight", weight) if needed[1] else None
    by_factors = [opened(name, ctx.slope) if needed[2 + n] else None for n, name in enumerate(SLOTS)]
    return by_input, by_weight, *by_factors, *[None] * 7


def _vmap(call, info, in_dims, *inputs):
    """The mapped dimension joins the groups: one call, whatever is mapped."""
    slot, slope, stride, padding, dilation, groups, negative = inputs[5:]
    places = (1, 0, 1, 1, 0)  # weights [V·O, …], maps [B, V·C, H, W]
    tensors = [
        None if tensor is None else joined(tensor, dim, at, info.batch_size)
        for tensor, dim, at in zip(inputs[:5], in_dims[:5], places, strict=True)
    ]
    result = call(*tensors, slot, slope, stride, padding, dilation, info.batch_size * groups, negative)
    at = 0 if slot == "weight" else 1
    return result.unflatten(at, (info.batch_size, -1)), at


class _Plain(torch.autograd.Function):
    """The operator in reverse mode, for eager use where nobody watches."""

    @staticmethod
    def forward(ctx, *inputs):
        _keep(ctx, inputs, None)
        return _computed(*inputs)

    @staticmethod
    def backward(ctx, grad):
        return _backward(contract, ctx, grad)


class _Contract(torch.autograd.Function):
    """The operator with forward mode and vmap, seen by whoever watches torch's operators, for eager use."""

    @staticmethod
    def forward(*inputs):
        return torch.ops.convnotes.adder(*inputs)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _keep(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:5])

    @staticmethod
    def backward(ctx, grad):
        return _backward(contract, ctx, grad)

    @staticmethod
    def jvp(ctx, *tangents):
        input, weight, *factors = ctx.saved_tensors
        parts = []

        def closed(slope: str, n: int | None = None, factor: Tensor | None = None) -> Tensor:
            used = [factor if m == n else f for m, f in enumerate(factors)]
            return _Contract.apply(input, weight, *used, ctx.slot, slope, *ctx.geometry)

        for n, tangent in enumerate(tangents[2:5]):
            if tangent is not None:
                parts.append(closed(ctx.slope, n, tangent))
        slopes = SLOPES[ctx.slope] or (None, None)
        for n, slope, tangent in ((1, slopes[0], tangents[0]), (2, slopes[1], tangents[1])):
            if slope is None or tangent is None:
                continue
            if SLOTS[n] == ctx.slot:
                part = closed(slope) * tangent
            else:
                part = closed(slope, n, tangent if factors[n] is None else tangent * factors[n])
            parts.append(part if n == 1 else -part)
        return sum(parts) if parts else room(input, weight, ctx.slot, *ctx.geometry[:3]).zero_()

    @staticmethod
    def vmap(info, in_dims, *inputs):
        return _vmap(_Contract.apply, info, in_dims, *inputs)


_adder.register_autograd(functools.partial(_backward, _adder), setup_context=_keep)
_adder.register_vmap(functools.partial(_vmap, _adder))
