"""The deformable convolution as one operator of torch, and the choice of what computes it.

An eager call goes to `deform_numba` or `deform_triton` where that is chosen (`kernels.backend`), and else to
`deform_plain`, which is differentiable in every way that torch knows. A first derivative has kernels of its own; one
that is to be differentiated again, forward mode and `torch.func` take the plain path. Compiled or exported for the CPU
it is one operator, `convnotes::deform_conv2d`, which chooses when it runs; for other devices the plain path is traced.
Under autocast the operator reads and sums in float32, as positions in half precision would miss their pixel; its result
has autocast's dtype, as that of a convolution has.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

from convnotes.kernels import backend, deform_plain
from convnotes.kernels.flops import flop_formula
from convnotes.kernels.transforms import (
    autocast_dtype,
    differentiable_gradients,
    in_float32_under_autocast,
    joined,
    transformed,
)

_ARGUMENTS = "Tensor input, Tensor offset, Tensor weight, Tensor? mask, int[] stride, int[] padding, int[] dilation"


def deform(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """`[B, O, h, w]`, perhaps channels last: `deform_conv2d` without checks and bias; `padding` is (top, left)."""
    tensors: tuple[Tensor | None, ...] = (input, offset, weight, mask)
    narrow = autocast_dtype(input)
    if input.dtype == torch.float64:
        narrow = None
    if narrow is not None:
        tensors = tuple(None if t is None else t.float() for t in tensors)
    if not _as_one_operator(input.device.type, tensors):
        return deform_plain.forward(input, offset, weight, mask, stride, padding, dilation)
    result = torch.ops.convnotes.deform_conv2d(*tensors, stride, padding, dilation)
    return result if narrow is None else result.to(narrow)


def _as_one_operator(device: str, tensors: tuple[Tensor | None, ...]) -> bool:
    if device == "meta":
        return False
    if torch.compiler.is_compiling():
        return device == "cpu"
    return backend.chosen("deform_conv2d", tensors) != "torch" and not transformed(*tensors)


def _fast(tensors: Sequence[Tensor | None]) -> ModuleType | None:
    """The file of the chosen backend's kernels; None for torch."""
    name = backend.chosen("deform_conv2d", tensors)
    return None if name == "torch" else importlib.import_module(f"convnotes.kernels.deform_{name}")


@torch.library.custom_op("convnotes::deform_conv2d", mutates_args=(), schema=f"({_ARGUMENTS}) -> Tensor")
def _forward(*inputs) -> Tensor:
    fast = _fast(inputs[:4])
    if fast is not None:
        return fast.forward(*inputs, _output_room(*inputs[:3]))
    return _output_room(*inputs[:3]).copy_(deform_plain.forward(*inputs))


@_forward.register_fake
def _(input, offset, weight, mask, stride, padding, dilation):
    return _output_room(input, offset, weight)


def _output_room(input: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
    B, O, (h, w) = input.shape[0], weight.shape[0], offset.shape[2:]
    if input.stride(1) == 1 and not input.is_contiguous():
        return input.new_empty(B, h, w, O).permute(0, 3, 1, 2)
    return input.new_empty(B, O, h, w)


@torch.library.custom_op(
    "convnotes::deform_conv2d_backward",
    mutates_args=(),
    schema=f"(Tensor grad, {_ARGUMENTS}, bool[] needed) -> (Tensor, Tensor, Tensor, Tensor)",
)
def _backward(grad, *inputs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of input, offset, weight and mask; empty tensors for what is not needed."""
    *call, needed = inputs
    fast = _fast((grad, *call[:4]))
    found = deform_plain.backward(grad, *call) if fast is None else fast.backward(grad, *call, needed)
    room = _room(call[:4], needed)  # in the memory formats that are promised
    by_input, by_offset, by_weight, by_mask = (
        r if not wanted else value if value.stride() == r.stride() else r.copy_(value)
        for r, value, wanted in zip(room, found, needed, strict=True)
    )
    return by_input, by_offset, by_weight, by_mask


@_backward.register_fake
def _(grad, input, offset, weight, mask, stride, padding, dilation, needed):
    return _room((input, offset, weight, mask), needed)


def _room(tensors, needed) -> tuple[Tensor, ...]:
    nothing = tensors[0].new_empty
    return tuple(torch.empty_like(t) if n else nothing(0) for t, n in zip(tensors, needed, strict=True))


def _keep(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs[:4])
    ctx.geometry = inputs[4:]
    backend.remember(ctx)


def _pull(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    needed = list(ctx.needs_input_grad[:4])
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # it is to be differentiated again
        found = differentiable_gradients(
            lambda *tensors: deform_plain.forward(*tensors, *ctx.geometry), ctx.saved_tensors, needed, grad
        )
        return *found, None, None, None
    with backend.as_remembered(ctx):
        gradients = torch.ops.convnotes.deform_conv2d_backward(grad, *ctx.saved_tensors, *ctx.geometry, needed)
    return *(t if n else None for t, n in zip(gradients, needed, strict=True)), None, None, None


def _vmap(call, maps: int, info, in_dims, *inputs):
    """The mapped dimension joins the channels: more groups in one call, of which the first `maps` tensors are maps."""
    V, count = info.batch_size, maps + 2
    tensors = [  # the weight [V·O, …], maps [B, V·C, H, W]
        None if value is None else joined(value, dim, 0 if n == maps else 1, V)
        for n, (value, dim) in enumerate(zip(inputs[:count], in_dims[:count], strict=True))
    ]
    result = call(*tensors, *inputs[count:])
    if isinstance(result, Tensor):
        return result.unflatten(1, (V, -1)), 1
    places = [0 if n == 2 else 1 for n in range(4)]
    empty = [t.dim() == 1 for t in result]
    parts = [t if e else t.unflatten(at, (V, -1)) for t, at, e in zip(result, places, empty, strict=True)]
    return tuple(parts), tuple(None if e else at for at, e in zip(places, empty, strict=True))


for _device in ("cpu", "cuda"):
    in_float32_under_autocast("deform_conv2d", _device)
    in_float32_under_autocast("deform_conv2d_backward", _device)
_forward.register_autograd(_pull, setup_context=_keep)
_forward.register_vmap(functools.partial(_vmap, _forward, 2))
_backward.register_vmap(functools.partial(_vmap, _backward, 3))


@flop_formula(torch.ops.convnotes.deform_conv2d)
def _count(input_shape, offset_shape, weight_shape, *_, out_shape=None, **__) -> int:
    return 2 * math.prod(out_shape) * math.prod(weight_shape[1:])


@flop_formula(torch.ops.convnotes.deform_conv2d_backward)
def _count_backward(grad_shape, input_shape, offset_shape, weight_shape, *rest, out_shape=None, **__) -> int:
    by_input, by_offset, by_weight, by_mask = rest[-1]
    products = (by_input or by_offset or by_mask) + by_weight
    return products * 2 * math.prod(grad_shape) * math.prod(weight_shape[1:])
