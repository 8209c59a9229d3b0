"""The two ways to move channels: by slices where the displacements are known, by gathering where they are a tensor.

    y[b,c,i,j] = x[b, c, i + dy_c, j + dx_c],   0 outside the picture

The transpose of moving by (dy, dx) is moving by (−dy, −dx): each gradient is one more pass of the same copies. On the
CPU a compiled loop makes them (`kernels.shift_numba`), where it can. A graph holds the slices as they are; whoever else
watches torch's calls sees the one operator `convnotes::shift`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from convnotes.kernels import backend
from convnotes.kernels.flops import flop_formula
from convnotes.kernels.transforms import has_memory, joined, transformed, watched

Run = tuple[int, int, int, int, int]  # dy, dx, and the channels start:stop:step that move so


def runs(displacements: Sequence[tuple[int, int]]) -> tuple[Run, ...]:
    """The channels that move alike, as slices `start:stop:step`: one copy a slice."""
    alike: dict[tuple[int, int], list[int]] = {}
    for channel, displacement in enumerate(displacements):
        alike.setdefault(displacement, []).append(channel)
    found = []
    for (dy, dx), channels in alike.items():
        first = 0
        while first < len(channels):
            step = channels[first + 1] - channels[first] if first + 1 < len(channels) else 1
            last = first
            while last + 1 < len(channels) and channels[last + 1] == channels[last] + step:
                last += 1
            found.append((dy, dx, channels[first], channels[last] + 1, step))
            first = last + 1
    return tuple(found)


def by_slices(input: Tensor, moves: tuple[Run, ...], sign: int = 1) -> Tensor:
    """Move images [B, C, H, W] by `sign` times the displacements of `moves`."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return _copy(input, moves, sign)  # plain slices, which a compiler fuses and an export can carry
    if watched(input):
        return _Move.apply(input, moves, sign) if transformed(input) else _shift(input, _flat(moves), sign)
    if torch.is_grad_enabled() and input.requires_grad:
        return _MoveAlone.apply(input, moves, sign)
    return _moved(input, moves, sign)


def by_gather(input: Tensor, offsets: Tensor, dim: int) -> Tensor:
    """Move channel c of [B, C, H, W] by `offsets[c]` places along `dim` (2 or 3), 0 from outside; ints `[C]`."""
    if torch.compiler.is_compiling():
        return _gather(input, offsets, dim)
    return _Gather.apply(input, offsets, dim)


def _moved(input: Tensor, moves: tuple[Run, ...], sign: int) -> Tensor:
    if backend.chosen("shift", (input,)) == "numba" and _lies_plain(input):
        from convnotes.kernels.shift_numba import move

        return move(input, moves, sign)
    return _copy(input, moves, sign)


def _lies_plain(input: Tensor) -> bool:
    """Do the numbers lie in memory, one after the other and as they are?"""
    return input.is_contiguous() and not input.is_neg() and has_memory(input)


def _flat(moves: tuple[Run, ...]) -> list[int]:
    return [number for run in moves for number in run]


@torch.library.custom_op("convnotes::shift", mutates_args=(), schema="(Tensor input, int[] moves, int sign) -> Tensor")
def _shift(input, moves, sign) -> Tensor:
    return _moved(input, tuple(zip(*[iter(moves)] * 5, strict=True)), sign)


@_shift.register_fake
def _(input, moves, sign):
    return torch.empty_like(input)


def _keep(ctx, inputs, output) -> None:
    _, ctx.moves, ctx.sign = inputs
    backend.remember(ctx)


def _pull(ctx, grad):
    with backend.as_remembered(ctx):
        return _shift(grad, ctx.moves, -ctx.sign), None, None


_shift.register_autograd(_pull, setup_context=_keep)


@_shift.register_vmap
def _(info, in_dims, input, moves, sign):
    """The mapped dimension joins the pictures."""
    joint = joined(input, in_dims[0], 0, info.batch_size)
    return _shift(joint, moves, sign).unflatten(0, (info.batch_size, -1)), 0


@flop_formula(torch.ops.convnotes.shift)
def _count(*_, **__) -> int:
    return 0


def _kept(size: int, by: int) -> tuple[slice, slice]:
    """Of an axis of `size` places moved by `by`: the places written, and the places read."""
    return slice(max(0, -by), size - max(0, by)), slice(max(0, by), size - max(0, -by))


def _copy(input: Tensor, moves: tuple[Run, ...], sign: int) -> Tensor:
    H, W = input.shape[2:]
    output = torch.zeros_like(input)
    for dy, dx, start, stop, step in moves:
        if abs(dy) < H and abs(dx) < W:
            (rows, from_rows), (columns, from_columns) = _kept(H, sign * dy), _kept(W, sign * dx)
            output[:, start:stop:step, rows, columns] = input[:, start:stop:step, from_rows, from_columns]
    return output


def _gather(input: Tensor, offsets: Tensor, dim: int) -> Tensor:
    size = input.shape[dim]
    places = torch.arange(size, device=input.device) + offsets[:, None]  # [C, size]
    shape = (1, -1, size, 1) if dim == 2 else (1, -1, 1, size)
    index, inside = places.clamp(0, size - 1).view(shape), ((places >= 0) & (places < size)).view(shape)
    return torch.where(inside, input.gather(dim, index.expand_as(input)), 0)


class _Move(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(input, moves, sign):
        return _shift(input, _flat(moves), sign)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _keep(ctx, inputs, output)

    @staticmethod
    def backward(ctx, grad):
        with backend.as_remembered(ctx):
            return by_slices(grad, ctx.moves, -ctx.sign), None, None

    @staticmethod
    def jvp(ctx, tangent, *_):
        return _Move.apply(tangent, ctx.moves, ctx.sign)


class _MoveAlone(torch.autograd.Function):
    """`_Move` where no transformation is under way: without what those need, a call takes half as long."""

    @staticmethod
    def forward(ctx, input, moves, sign):
        _keep(ctx, (input, moves, sign), None)
        return _moved(input, moves, sign)

    @staticmethod
    def backward(ctx, grad):
        with backend.as_remembered(ctx):
            return by_slices(grad, ctx.moves, -ctx.sign), None, None


class _Gather(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(input, offsets, dim):
        return _gather(input, offsets, dim)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, offsets, ctx.dim = inputs
        ctx.save_for_backward(offsets)
        ctx.save_for_forward(offsets)

    @staticmethod
    def backward(ctx, grad):
        (offsets,) = ctx.saved_tensors
        return _Gather.apply(grad, -offsets, ctx.dim), None, None

    @staticmethod
    def jvp(ctx, tangent, *_):
        (offsets,) = ctx.saved_tensors
        return _Gather.apply(tangent, offsets, ctx.dim)
