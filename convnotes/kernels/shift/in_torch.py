"""The move of channels in plain torch: one copy of a slice for the channels that move alike."""

from __future__ import annotations

import torch
from torch import Tensor

from convnotes.kernels.shift.moves import Moves


def move(input: Tensor, moves: Moves) -> Tensor:
    """`[B, C, H, W]`, differentiable any number of times."""
    H, W = input.shape[2:]
    output = torch.zeros_like(input)
    for dy, dx, start, stop, step in moves.runs():
        if abs(dy) < H and abs(dx) < W:
            (rows, from_rows), (columns, from_columns) = _kept(H, moves.sign * dy), _kept(W, moves.sign * dx)
            output[:, start:stop:step, rows, columns] = input[:, start:stop:step, from_rows, from_columns]
    return output


def gather(input: Tensor, offsets: Tensor, dim: int) -> Tensor:
    """Move channel c of [B, C, H, W] by `offsets[c]` positions along `dim` (2 or 3); ints `[C]`."""
    size = input.shape[dim]
    places = torch.arange(size, device=input.device) + offsets[:, None]  # [C, size]
    shape = (1, -1, size, 1) if dim == 2 else (1, -1, 1, size)
    index, inside = places.clamp(0, size - 1).view(shape), ((places >= 0) & (places < size)).view(shape)
    return torch.where(inside, input.gather(dim, index.expand_as(input)), 0)


def _kept(size: int, by: int) -> tuple[slice, slice]:
    """Of an axis of `size` positions moved by `by`: the positions written, and the positions read."""
    return slice(max(0, -by), size - max(0, by)), slice(max(0, by), size - max(0, -by))
