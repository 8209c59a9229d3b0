"""The move of channels on the CPU, compiled by numba: one pass over the memory, and one call for all planes.

Numbers are bytes that move, so every dtype has the same loop.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from convnotes.kernels.cpu.jobs import run
from convnotes.kernels.shift import in_torch, loops
from convnotes.kernels.shift.moves import Moves
from convnotes.kernels.transforms import has_memory

_GRAIN = 2**17  # bytes that are worth a thread, measured
_FAR = 2**40  # pixels, beyond any image


def move(input: Tensor, moves: Moves) -> Tensor:
    """`[B, C, H, W]`, without derivatives. What does not lie in memory number after number goes to torch."""
    if not input.is_contiguous() or input.is_neg() or not has_memory(input):
        return in_torch.move(input, moves)
    output = torch.empty_like(input)
    if output.numel() == 0:
        return output
    (B, C, H, W), size = input.shape, input.element_size()
    threads = min(torch.get_num_threads(), -(-B * C * H * W * size // _GRAIN))
    given = (output.data_ptr(), input.data_ptr(), _displacements(moves), loops.Planes(C, H, W, size, moves.sign))
    run(loops.move_planes, torch.float32, B * C, threads, *given)
    return output


@functools.lru_cache(256)
def _displacements(moves: Moves) -> Tensor:
    """(dy, dx) of each channel, `[C, 2]`."""
    runs = moves.runs()
    found = torch.empty(max(stop for _, _, _, stop, _ in runs), 2, dtype=torch.int64)
    for dy, dx, start, stop, step in runs:
        found[start:stop:step] = torch.tensor([max(-_FAR, min(by, _FAR)) for by in (dy, dx)])
    return found
