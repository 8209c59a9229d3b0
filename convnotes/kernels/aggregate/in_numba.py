"""Deformable aggregation on the CPU, compiled by numba: samples are summed as they are read, no columns in memory::

    y[p,c] = Σ_k m[p,k] · x̃[c, place of tap k of p]

Images whose channels are last are read where they are; others are copied into such a table, a few at a time, and half
precision into one of float32. Threads share the positions.

Backwards, the gradient of a position is handed back to the pixels of all its taps, threads taking channels; and its
products with the four pixels of each sample, threads taking positions, give the gradients of offset and mask. Samples
are located in each pass, a few positions at a time. All sums run in one order, on any number of threads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from convnotes.kernels.aggregate import loops
from convnotes.kernels.aggregate.sampling import Taps
from convnotes.kernels.cpu.jobs import run
from convnotes.kernels.deform.in_numba import Samples, blocks, room, write

_LOCATED = 2**16  # bytes of what is known of the samples of a thread at a time


def forward(input: Tensor, offset: Tensor, mask: Tensor, taps: Taps) -> Tensor:
    """`[B, C, h, w]`, without derivatives."""
    out = taps.empty(input, offset)
    for b in blocks(input, offset):
        last, work = out[b].permute(0, 2, 3, 1), _work(input[b], offset[b], mask[b], taps)
        y, tile = room(last, work.table.dtype), _tile(work)
        given = (tile, work.table, work.offset, work.mask, y, work.sizes)
        run(loops.aggregate, y.dtype, work.places, work.threads, *given, grain=tile)
        write(y, last)
    return out


def backward(grad: Tensor, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of input, offset and mask; right only where `needed`."""
    input, offset, mask, taps, needed = inputs
    by_offset, by_mask = offset.new_empty(offset.shape), mask.new_empty(mask.shape)
    by_input = torch.empty_like(input) if needed[0] else input.new_empty(0)
    for b in blocks(input, offset):
        work = _work(input[b], offset[b], mask[b], taps)
        exact, tile = work.table.dtype, _tile(work)
        sent = grad[b].permute(0, 2, 3, 1).reshape(work.places, -1).to(exact).contiguous()
        given = (work.table, work.offset, work.mask, sent)
        if needed[0]:
            last = by_input[b].permute(0, 2, 3, 1)
            by_table = room(last, exact).zero_()
            block, jobs = work.channels()
            each = (tile, block, *given, by_table, work.sizes)
            run(loops.scatter, exact, jobs, work.threads, *each, grain=-(-jobs // work.threads))
            write(by_table, last)
        if needed[1] or needed[2]:
            found = [room(t, exact) for t in (by_offset[b], by_mask[b])]
            run(loops.compare, exact, work.places, work.threads, tile, *given, work.sizes, *found, grain=tile)
            for made, wanted in zip(found, (by_offset[b], by_mask[b]), strict=True):
                write(made, wanted)
    return by_input, by_offset, by_mask


def _tile(work: Samples) -> int:
    """Positions that a thread looks at together: rows of the output, or equal parts of one: rows are read at once."""
    size = work.sizes.G * work.sizes.K * (8 + 3 * work.table.element_size())
    most, w = max(8, min(64, _LOCATED // max(1, size))), max(1, work.sizes.w)
    return -(-w // -(-w // most)) if w > most else w * (most // w)


def _work(input: Tensor, offset: Tensor, mask: Tensor, taps: Taps) -> Samples:
    return Samples(input, offset, mask, taps.sizes(input, offset))
