"""Shift and the 1×1 convolution after it as one operator, for the devices on which that saves time.

    y[b,o,i,j] = Σ_c w[o,c] · x[b, c, i·s + dy_c, j·s + dx_c]

Take the scalar T(x, w, g) = Σ g[b,o,i,j] · w[o,c] · x[b, c, …], linear in each of its three factors: y is ∂T/∂g, the
gradients are the other two derivatives, and the gradients of those are the same three again. So three kernels serve
every order of derivative.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn

from convnotes.kernels import backend, private
from convnotes.kernels.flops import flop_formula
from convnotes.kernels.shift import by_gather
from convnotes.kernels.transforms import autocast_dtype, transformed, watched

# Outputs up to which the fused product is taken: one tile of it. Each further tile reads all channels again, and finds
# their places again, which costs more instructions than the product itself. Compiled for an H100 they are 1,560 a warp
# for 32 channels × 128 places in bfloat16 and 1,040 for 16 × 64 in float32, by which one tile takes some three quarters
# of the time of shift and convolution one after the other, and two take more than all of it. Reckoned, never measured.
_PAYS_UP_TO = 64


def fuses(input: Tensor, shift: nn.Module, conv: nn.Conv2d) -> bool:
    """Does `shift_pointwise` serve these two modules, and pay? Never in a graph that is captured or transformed.

    Modules with hooks are called one by one, so that whoever looks at them sees them.
    """
    if not isinstance(input, Tensor) or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    weight, displacements = conv.weight, shift.displacements
    if "triton" not in backend.KERNELS["shift_pointwise"] or input.device.type != backend.DEVICE["triton"]:
        return False
    if private.hooked(shift, conv) or transformed(input, weight):
        return False
    factors = _as_autocast(input, weight)
    return (
        conv.out_channels <= _PAYS_UP_TO
        and displacements.device == input.device
        and backend.chosen("shift_pointwise", factors) == "triton"
    )


def shift_pointwise(input: Tensor, weight: Tensor, displacements: Tensor, stride: int) -> Tensor:
    """Move channel c of `input` `[B, C, H, W]` by `displacements[c]`, `[C, 2]`, and mix by `weight` `[O, C, 1, 1]`.

    Returns `[B, O, ⌈H/stride⌉, ⌈W/stride⌉]`. Differentiable any number of times in reverse mode; under autocast in its
    dtype.
    """
    input, weight = _as_autocast(input, weight)
    call = _trilinear if watched(input, weight) else _Plain.apply
    return call(input, weight.flatten(1), None, displacements, tuple(input.shape[2:]), stride)


def _as_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    narrow = autocast_dtype(tensors[0])
    return tensors if narrow is None else tuple(t.to(narrow) for t in tensors)


def _computed(input, weight, sent, displacements, size, stride) -> Tensor:
    """The derivative of T by the one of (input, weight, sent) that is None, at the other two."""
    if backend.chosen("shift_pointwise", (input, weight, sent)) == "triton":
        from convnotes.kernels import shift_triton

        ways: Any = shift_triton
    else:
        ways = _InTorch
    if sent is None:
        return ways.output(input, weight, displacements, stride)
    if input is None:
        return ways.by_input(weight, sent, displacements, size, stride)
    return ways.by_weight(input, sent, displacements, stride)


class _InTorch:
    """The three derivatives in plain torch, where an exported graph or a test runs on another device."""

    @staticmethod
    def output(input: Tensor, weight: Tensor, displacements: Tensor, stride: int) -> Tensor:
        found = torch.einsum("oc,bchw->bohw", weight, _moved(input, displacements)[..., ::stride, ::stride])
        return room(input, tuple(found.shape)).copy_(found)

    @staticmethod
    def by_input(weight: Tensor, sent: Tensor, displacements: Tensor, size: tuple[int, int], stride: int) -> Tensor:
        spread = sent.new_zeros(len(sent), weight.shape[1], *size)
        spread[..., ::stride, ::stride] = torch.einsum("oc,bohw->bchw", weight, sent)
        return room(sent, tuple(spread.shape)).copy_(_moved(spread, -displacements))

    @staticmethod
    def by_weight(input: Tensor, sent: Tensor, displacements: Tensor, stride: int) -> Tensor:
        moved = _moved(input, displacements)[..., ::stride, ::stride]
        return torch.einsum("bohw,bchw->oc", sent, moved).contiguous()


def _moved(input: Tensor, displacements: Tensor) -> Tensor:
    return by_gather(by_gather(input, displacements[:, 0], 2), displacements[:, 1], 3)


def room(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """An unwritten tensor of `shape`, channels last where `like` is."""
    last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)


_trilinear = torch.library.custom_op(
    "convnotes::shift_pointwise",
    _computed,
    mutates_args=(),
    schema="(Tensor? input, Tensor? weight, Tensor? sent, Tensor displacements, int[] size, int stride) -> Tensor",
)


@_trilinear.register_fake
def _(input, weight, sent, displacements, size, stride):
    if sent is None:
        return room(input, (len(input), len(weight), *(-(-n // stride) for n in size)))
    if input is None:
        return room(sent, (len(sent), weight.shape[1], *size))
    return input.new_empty(sent.shape[1], input.shape[1])


def _keep(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs[:4])
    ctx.size, ctx.stride = inputs[4:]
    backend.remember(ctx)


def _backward(call, ctx, cotangent: Tensor) -> tuple[Tensor | None, ...]:
    *factors, displacements = ctx.saved_tensors
    filled = [cotangent if factor is None else factor for factor in factors]
    rest = (displacements, ctx.size, ctx.stride)
    with backend.as_remembered(ctx):
        gradients = [
            call(*filled[:n], None, *filled[n + 1 :], *rest)
            if factors[n] is not None and ctx.needs_input_grad[n]
            else None
            for n in range(3)
        ]
    return *gradients, None, None, None


_trilinear.register_autograd(functools.partial(_backward, _trilinear), setup_context=_keep)


@_trilinear.register_vmap
def _(info, in_dims, *inputs):
    """One call after the other: weights or displacements of their own make products of their own."""
    tensors, rest = inputs[:4], inputs[4:]
    each = [
        _trilinear(
            *(t if dim is None else t.select(dim, n) for t, dim in zip(tensors, in_dims[:4], strict=True)), *rest
        )
        for n in range(info.batch_size)
    ]
    return torch.stack(each), 0


@flop_formula(torch.ops.convnotes.shift_pointwise)
def _count(input_shape, weight_shape, sent_shape, *_, out_shape=None, **__) -> int:
    places = out_shape if sent_shape is None else sent_shape  # [B, O, h, w], each of which reads C channels
    return 2 * math.prod(places) * (out_shape if weight_shape is None else weight_shape)[1]


class _Plain(torch.autograd.Function):
    """The operator in reverse mode, for eager use where nobody watches."""

    @staticmethod
    def forward(ctx, *inputs):
        _keep(ctx, inputs, None)
        return _computed(*inputs)

    @staticmethod
    def backward(ctx, cotangent):
        return _backward(_Plain.apply, ctx, cotangent)
