"""The one way to make an operator of torch: `define`.

An operator is a function of tensors and of options, a named tuple of numbers, strings and tuples of numbers. Given are
what computes it, the shape of its result and its derivative; `define` registers it as `convnotes::name` for
torch.compile, torch.export, autograd, torch.func.vmap and the counter of operations, and returns the function that
layers call, which goes past the dispatcher of torch where nothing but autograd has to see the call: a call through it
takes 0.05 ms or more.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import torch
from torch import Tensor

from convnotes.kernels import backend
from convnotes.kernels.flops import flop_formula
from convnotes.kernels.transforms import (
    Tensors,
    autocast_dtype,
    differentiable_gradients,
    in_float32_under_autocast,
    joined,
    one_by_one,
    transformed,
    watched,
)

_KINDS = {int: "int", bool: "bool", str: "str"}  # of options in a schema; all others are "int[]"


def define(
    name: str,
    package: str,
    tensors: str,
    options: Any,
    compute: str | Callable[..., Tensor],
    *,
    backward: Any = None,
    jvp: Any = None,
    gradient: str | None = None,
    in_torch: Any = None,
    saved: Sequence[int] | None = None,
    products: Callable[[Sequence[bool]], int] = sum,
    join: Sequence[int] | None = None,
    joined_options: Callable[[Any, int], Any] = lambda options, size: options,
    join_result: Callable[[Any], int] = lambda options: 1,
    flops: Callable[..., int] | None = None,
    in_onnx: str = "",
    float32_under_autocast: bool = False,
) -> Callable[..., Tensor]:
    """Register an operator, and return it as a function of `*tensors` and `options`.

    - `tensors`: their part of the schema, as "Tensor input, Tensor? bias".
    - `options`: the class of the named tuple, whose method `empty(*tensors)` makes an unwritten result.
    - `compute(*tensors, options)`: the result, without derivatives. A string names a function of the files `in_torch`,
      `in_numba` and `in_triton` of `package`, of which `backend.chosen(name, tensors)` takes one.

    The derivative is given in one of two ways:

    - by operators: `backward(tensors, options, needed, grad)` returns a gradient for each tensor (None where it is not
      `needed`) and `jvp(tensors, options, tangents)` the tangent, both from calls that can be differentiated again;
    - by a kernel: `gradient` names the function `(grad, *tensors, options, needed)` that returns all gradients, and
      becomes the operator `name_backward`. `in_torch` is then the same function of plain torch operations, which
      takes over for forward mode, torch.func and second derivatives. The count of a backward pass is that of
      `products(needed)` forward passes.

    `saved` are the numbers of the tensors that a derivative by operators needs, all by default; the others are None.
    Under vmap the mapped dimension of the n-th tensor is merged into its dimension `join[n]`, and the result's parted
    from `join_result(options)`, with `joined_options(options, size)`; without `join` the calls follow each other.
    `in_onnx` names a function of the file `in_onnx`, of operators that ONNX has. `flops(shapes, options, result_shape)`
    counts two for each multiply-add. With `float32_under_autocast` the operator is called in float32 there.
    """
    count = tensors.count("Tensor")
    kept = range(count) if saved is None else saved
    fields = ", ".join(f"{_KINDS.get(kind, 'int[]')} {field}" for field, kind in get_type_hints(options).items())
    computed = _by_backend(name, package, compute, count) if isinstance(compute, str) else compute

    def parted(inputs: Sequence[Any]) -> tuple[Sequence[Tensor | None], Any]:
        """The tensors, and the options, which torch gives one by one, with lists instead of tuples."""
        return inputs[:count], options(*(tuple(v) if isinstance(v, list) else v for v in inputs[count:]))

    def opaque(*inputs):
        given, chosen = parted(inputs)
        return _as(chosen.empty(*given), computed(*given, chosen))

    def empty(*inputs):
        given, chosen = parted(inputs)
        return chosen.empty(*given)

    schema = f"({tensors}, {fields}) -> Tensor"
    count_flops = flops and (lambda *shapes, out_shape, **_: flops(*parted(shapes), out_shape))
    op, packet = _registered(name, schema, opaque, empty, count_flops, float32_under_autocast)

    def call(*inputs):
        given, chosen = inputs[:-1], inputs[-1]
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            if in_onnx and torch.onnx.is_in_onnx_export():
                return getattr(_file(package, "onnx"), in_onnx)(*inputs)
            return packet(*given, *chosen)
        if float32_under_autocast and autocast_dtype(given[0]) is not None:
            return packet(*given, *chosen)
        if watched(*given):
            if not transformed(*given):
                return packet(*given, *chosen)
            return Transformed.apply(*given, *chosen) if in_torch is None else in_torch(*given, chosen)
        if torch.is_grad_enabled():
            for t in given:
                if t is not None and t.requires_grad:
                    return Recorded.apply(*inputs)
        return computed(*inputs)

    def keep(ctx, given, chosen) -> None:
        if kept:
            ctx.save_for_backward(*(given[n] for n in kept))
        ctx.options = chosen
        backend.remember(ctx)

    def restored(ctx) -> list[Tensor | None]:
        found: list[Tensor | None] = [None] * count
        for n, tensor in zip(kept, ctx.saved_tensors, strict=True):
            found[n] = tensor
        return found

    def pull(ctx, grad):
        needed = ctx.needs_input_grad[:count]
        if gradient is None:
            return backend.as_remembered(ctx, backward, restored(ctx), ctx.options, needed, grad)
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # it is to be differentiated again
            return differentiable_gradients(lambda *t: in_torch(*t, ctx.options), ctx.saved_tensors, needed, grad)
        found = backend.as_remembered(ctx, gradients, grad, *ctx.saved_tensors, ctx.options, needed)
        return [t if n else None for t, n in zip(found, needed, strict=True)]

    class Recorded(torch.autograd.Function):
        """Reverse mode, past the dispatcher."""

        @staticmethod
        def forward(ctx, *inputs):
            keep(ctx, inputs[:-1], inputs[-1])
            return computed(*inputs)

        @staticmethod
        def backward(ctx, grad):
            return *pull(ctx, grad), None

    class Transformed(torch.autograd.Function):
        """The operator for torch.func and forward mode; options one by one, as torch.func looks into tuples."""

        @staticmethod
        def forward(*inputs):
            return packet(*inputs)

        @staticmethod
        def setup_context(ctx, inputs, output):
            given, chosen = parted(inputs)
            keep(ctx, given, chosen)
            ctx.save_for_forward(*(given[n] for n in kept))

        @staticmethod
        def backward(ctx, grad):
            return *pull(ctx, grad), *[None] * len(ctx.options)

        @staticmethod
        def jvp(ctx, *tangents):
            return jvp(restored(ctx), ctx.options, tangents[:count])

        @staticmethod
        def vmap(info, in_dims, *inputs):
            return mapped(Transformed.apply, info, in_dims, *inputs)

    def mapped(apply, info, in_dims, *inputs):
        given, chosen = parted(inputs)
        if join is None:
            return one_by_one(lambda *t: apply(*t, *chosen), given, in_dims, info.batch_size)
        size, at = info.batch_size, join_result(chosen)
        result = apply(*joined(given, in_dims, join, size), *joined_options(chosen, size))
        return result.unflatten(at, (size, -1)), at

    op.register_autograd(
        lambda ctx, grad: (*pull(ctx, grad), *[None] * len(ctx.options)),
        setup_context=lambda ctx, inputs, output: keep(ctx, *parted(inputs)),
    )
    op.register_vmap(functools.partial(mapped, op))
    if gradient is not None:
        gradients = _define_gradient(
            name, package, gradient, tensors, fields, parted, join, join_result, flops, products, float32_under_autocast
        )
    return call


def _define_gradient(
    name, package, function, tensors, fields, parted, join, join_result, flops, products, float32_under_autocast
):
    """The operator `name_backward` of `grad`, the tensors, the options and `needed`, which has no derivative."""
    count = tensors.count("Tensor")
    compute = _by_backend(name, package, function, count + 1)
    results = ", ".join(["Tensor"] * count)
    schema = f"(Tensor grad, {tensors}, {fields}, bool[] needed) -> ({results})"

    def empty(given, needed):
        nothing = given[0].new_empty
        return tuple(torch.empty_like(t) if n else nothing(0) for t, n in zip(given, needed, strict=True))

    def computed(grad, *inputs):
        """Empty tensors for what is not needed."""
        given, needed = inputs[:count], inputs[-1]
        found = zip(empty(given, needed), compute(grad, *inputs), needed, strict=True)
        return tuple(_as(promised, value) if n else promised for promised, value, n in found)

    def opaque(grad, *inputs):
        given, chosen = parted(inputs[:-1])
        return computed(grad, *given, chosen, tuple(inputs[-1]))

    count_flops = flops and (lambda grad, *shapes, **_: products(shapes[-1]) * flops(*parted(shapes[:-1]), grad))
    op, packet = _registered(
        f"{name}_backward",
        schema,
        opaque,
        lambda grad, *inputs: empty(inputs[:count], inputs[-1]),
        count_flops,
        float32_under_autocast,
    )

    def call(grad, *inputs):
        *given, chosen, needed = inputs
        narrowed = float32_under_autocast and autocast_dtype(grad) is not None
        if torch.compiler.is_compiling() or narrowed or watched(grad, *given):
            return packet(grad, *given, *chosen, needed)
        return computed(grad, *inputs)

    @op.register_vmap
    def _(info, in_dims, *inputs):
        size, needed, chosen = info.batch_size, inputs[-1], parted(inputs[1:-1])[1]
        given = joined(inputs[: count + 1], in_dims, (join_result(chosen), *join), size)
        found = zip(op(*given, *inputs[count + 1 :]), join, needed, strict=True)
        parts = [t.unflatten(at, (size, -1)) if n else t for t, at, n in found]
        return tuple(parts), tuple(at if n else None for at, n in zip(join, needed, strict=True))

    return call


def _registered(name, schema, compute, empty, count_flops, float32_under_autocast) -> tuple[Any, Any]:
    """The operator `convnotes::name` of torch, and what calls it."""
    op = torch.library.custom_op(f"convnotes::{name}", compute, mutates_args=(), schema=schema)
    packet = getattr(torch.ops.convnotes, name)
    op.register_fake(empty)
    if count_flops is not None:
        flop_formula(packet)(count_flops)
    if float32_under_autocast:
        in_float32_under_autocast(name)
    return op, packet


def _by_backend(name: str, package: str, function: str, count: int) -> Callable[..., Any]:
    """`function` of the file `in_<backend>` that is chosen for the first `count` arguments, tensors."""

    def computed(*inputs):
        return getattr(_file(package, backend.chosen(name, inputs[:count])), function)(*inputs)

    return computed


@functools.cache
def _file(package: str, name: str) -> Any:
    return importlib.import_module(f"{package}.in_{name}")


def _as(promised: Tensor, found: Tensor) -> Tensor:
    """What was found, in the memory format that was promised."""
    return found if found.stride() == promised.stride() else promised.copy_(found)


# Multilinear functions: the derivative by each factor is the function again, with another factor left out


def factors_gradients(call, factors: Tensors, needed: Sequence[bool], grad: Tensor) -> list[Tensor | None]:
    """The gradients of `call(*factors)`, one of which is None: the derivative of a product of all by that one."""
    filled = [grad if f is None else f for f in factors]
    return [
        call(*filled[:n], None, *filled[n + 1 :]) if f is not None and needed[n] else None
        for n, f in enumerate(factors)
    ]


def factors_tangent(call, factors: Tensors, tangents: Tensors) -> Tensor:
    """The tangent of `call(*factors)`: the sum over the factors, each replaced by its tangent."""
    parts = [call(*factors[:n], t, *factors[n + 1 :]) for n, t in enumerate(tangents) if t is not None]
    return functools.reduce(torch.add, parts)
