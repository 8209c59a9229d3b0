"""The two ways to move channels: by slices where the displacements are known, by gathering where they are a tensor::

    y[b,c,i,j] = x[b, c, i + dy_c, j + dx_c],   0 outside the image

The transpose of moving by (dy, dx) is moving by (−dy, −dx): each gradient is one more pass of the same copies. On the
CPU a compiled loop makes them (`in_numba`), where it can. A graph holds the slices as they are; whoever else watches
torch's calls sees the operators `convnotes::shift` and `convnotes::gather_shift`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from convnotes.kernels.operator import define
from convnotes.kernels.shift import in_torch
from convnotes.kernels.shift.moves import Moves


def by_slices(input: Tensor, moves: Moves) -> Tensor:
    """Move images [B, C, H, W]."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return in_torch.move(input, moves)  # plain slices, which a compiler fuses and an export can carry
    return _move(input, moves)


def by_gather(input: Tensor, offsets: Tensor, dim: int) -> Tensor:
    """Move channel c of [B, C, H, W] by `offsets[c]` positions along `dim` (2 or 3), 0 from outside; ints `[C]`."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return in_torch.gather(input, offsets, dim)
    return _gather(input, offsets, Axis(dim))


class Axis(NamedTuple):
    dim: int

    def empty(self, input: Tensor, offsets: Tensor) -> Tensor:
        return torch.empty_like(input)


_move = define(
    "shift",
    __package__,
    "Tensor input",
    Moves,
    "move",
    backward=lambda tensors, moves, needed, grad: [by_slices(grad, moves.back())],
    jvp=lambda tensors, moves, tangents: by_slices(tangents[0], moves),
    saved=(),
    join=(0,),
    join_result=lambda moves: 0,
    flops=lambda *_: 0,
)
_gather = define(
    "gather_shift",
    __package__,
    "Tensor input, Tensor offsets",
    Axis,
    lambda input, offsets, axis: in_torch.gather(input, offsets, axis.dim),
    backward=lambda tensors, axis, needed, grad: [by_gather(grad, -tensors[1], axis.dim), None],
    jvp=lambda tensors, axis, tangents: by_gather(tangents[0], tensors[1], axis.dim),
    saved=(1,),
    join=(1, 0),
    flops=lambda *_: 0,
)
