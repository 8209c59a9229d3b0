"""Deformable convolution on the CPU, compiled by numba: sampled columns of a few positions at a time, matrix products::

    s[p,k,c] = m[p,k] · x̃[c, place of tap k of p]            y[p,o] = Σ_{k,c} s[p,k,c] · w[k,c,o]

Images whose channels are last are read where they are: a sample is four runs of channels. Others are copied into such a
table, a few at a time, and half precision into one of float32. A chunk of positions p is taken at a time, `_COLUMNS`
bytes of columns s that stay in the cache: the columns are filled, positions shared among threads, and one product with
the weight makes the outputs.

Backwards, chunk by chunk in one buffer: g wᵀ is the gradient of the columns, which is scattered to the table of the
image's gradient, threads taking channels; then each column is sampled again over its gradient, which on
the way gives the gradients of offset and mask, from its products with the four pixels; then sᵀ g is added to the
gradient of the weight. All sums run in one order: they have the same bits on any number of threads. The products are
`product`'s; with groups in the weight and in half precision they are torch's, and the loops stay in one thread.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from convnotes.kernels.cpu.jobs import run
from convnotes.kernels.cpu.product import packed, product
from convnotes.kernels.cpu.vectors import lanes
from convnotes.kernels.deform import loops
from convnotes.kernels.deform.sampling import Sampling, Sizes

_COLUMNS = 2 * 2**20  # bytes of them at a time
_PICTURES = 2 * 2**20  # bytes of them at a time
_TILE = 48  # positions whose columns a thread samples before it multiplies them


def forward(input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, sampling: Sampling) -> Tensor:
    """`[B, O, h, w]`, without derivatives."""
    out = sampling.empty(input, offset, weight)
    kernel = _matrices(weight, input.shape[1])
    strips = packed(kernel[0]) if _own_product(weight, input.shape[1]) else kernel
    for b in blocks(input, offset):
        work = _Work(input[b], offset[b], weight, None if mask is None else mask[b], sampling)
        last = out[b].permute(0, 2, 3, 1)
        if work.own_product:
            by_place = last.is_contiguous()
            work.outputs(strips, last if by_place else out[b], by_place)
            continue
        y = room(last, out.dtype)
        for start, stop in work.chunks():
            work.run(loops.sample, start, stop)
            outputs = torch.bmm(work.by_group(work.columns[: stop - start]), kernel)
            y.view(work.places, work.groups, -1)[start:stop].copy_(outputs.transpose(0, 1))
        write(y, last)
    return out


def backward(grad: Tensor, *inputs: Any) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The gradients of input, offset, weight and mask; those of input and weight are right only where `needed`."""
    input, offset, weight, mask, sampling, needed = inputs
    exact = torch.promote_types(input.dtype, torch.float32)
    kernel = _matrices(weight, input.shape[1])
    transposed, groups = kernel.transpose(1, 2).contiguous(), len(kernel)
    strips = packed(transposed[0]) if _own_product(weight, input.shape[1]) else kernel
    by_kernel, by_offset = torch.zeros_like(kernel, dtype=exact), offset.new_empty(offset.shape)
    by_mask = offset.new_empty(0) if mask is None else mask.new_empty(mask.shape)
    by_input = torch.empty_like(input) if needed[0] else input.new_empty(0)
    for b in blocks(input, offset):
        m, by_m = (None, by_mask) if mask is None else (mask[b], by_mask[b])
        work = _Work(input[b], offset[b], weight, m, sampling)
        g = grad[b].permute(0, 2, 3, 1).reshape(work.places, -1).contiguous()
        last = by_input[b].permute(0, 2, 3, 1) if needed[0] else by_input
        by_table = room(last, exact).zero_()
        found = [room(t, exact) for t in (by_offset[b], by_m)]
        for start, stop in work.chunks():
            columns, sent = work.columns[: stop - start], g[start:stop]
            by_group = sent.unflatten(1, (groups, -1)).transpose(0, 1)
            if work.own_product:
                product(sent, strips, columns, work.threads)
            else:
                parts = torch.bmm(by_group, transposed).unflatten(2, (work.K, -1))  # [groups, P, K, C/groups]
                columns.view(-1, work.K, groups, parts.shape[3]).copy_(parts.permute(1, 2, 0, 3))
            work.run(loops.locate, start, stop, True, 0, work.sizes.G)
            if needed[0]:
                work.scatter(start, stop, by_table)
            work.run(loops.compare, start, stop, *found)
            if needed[2] and work.own_product:
                product(columns.t(), packed(sent), by_kernel[0], work.threads, add=True)
            elif needed[2]:
                by_kernel += torch.bmm(work.by_group(columns).transpose(1, 2), by_group)
        for made, wanted in zip((by_table, *found), (last, by_offset[b], by_m), strict=True):
            write(made, wanted)
    by_weight = by_kernel.unflatten(1, (-1, weight.shape[1])).permute(0, 3, 2, 1).reshape(weight.shape)
    return by_input, by_offset, by_weight.to(weight.dtype), None if mask is None else by_mask


def room(result: Tensor, dtype: torch.dtype) -> Tensor:
    """Where a result is computed: it itself, or where it has another dtype or order, room for it."""
    if result.dtype == dtype and result.is_contiguous():
        return result
    return torch.empty(result.shape, dtype=dtype)


def write(found: Tensor, result: Tensor) -> None:
    """Into the result, if it does not lie there already."""
    if found.data_ptr() != result.data_ptr():
        result.copy_(found)


def blocks(*tensors: Tensor) -> list[slice]:
    """Images at a time, so that what is kept beside them does not grow with the batch."""
    size = max(1, _PICTURES // max(1, *(t[:1].numel() * t.element_size() for t in tensors)))
    return [slice(b, b + size) for b in range(0, len(tensors[0]), size)]


def _own_product(weight: Tensor, channels: int) -> bool:
    """Is it `product`? Torch's takes all groups at once, and bfloat16 in half of the time of `product` in float32."""
    return weight.shape[1] == channels and weight.dtype in (torch.float32, torch.float64)


def _matrices(weight: Tensor, channels: int) -> Tensor:
    """`[O, C/groups, KH, KW]` → `[groups, K·C/groups, O/groups]`."""
    groups = channels // weight.shape[1]
    return weight.unflatten(0, (groups, -1)).flatten(3).permute(0, 3, 2, 1).flatten(1, 2).contiguous()


class Samples:
    """What a block of images is sampled by: the table of its pixels, offsets and masks."""

    def __init__(self, input: Tensor, offset: Tensor, mask: Tensor | None, sizes: Sizes) -> None:
        self.sizes, self.places, self.threads = sizes, sizes.places, torch.get_num_threads()
        dtype = torch.promote_types(input.dtype, torch.float32)
        self.table = input.permute(0, 2, 3, 1).to(dtype).contiguous()
        self.offset = offset.to(dtype).contiguous()
        self.mask = self.table.new_empty(0) if mask is None else mask.to(dtype).contiguous()

    def channels(self) -> tuple[int, int]:
        """How many channels a thread hands gradients back to at a time, and how many such blocks there are."""
        C, width = self.table.shape[3] // self.sizes.G, lanes(self.table.element_size())
        block = -(-C // (width * self.threads)) * width  # whole vectors, which no two threads write to
        return block, self.sizes.G * -(-C // block)


class _Work(Samples):
    """And room for a chunk of positions, their columns and where their samples lie."""

    def __init__(self, input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, sampling: Sampling) -> None:
        super().__init__(input, offset, mask, sampling.sizes(input, offset, weight))
        self.K, self.groups, C, G = self.sizes.K, self.sizes.groups, self.sizes.C, self.sizes.G
        pieces = max(1, -(-self.places * self.K * C * self.table.element_size() // _COLUMNS))
        self.chunk = max(1, -(-self.places // pieces))  # all of about one size
        self.columns = self.table.new_empty(self.chunk, self.K * C)
        self.first = torch.empty(G * self.K * self.chunk, dtype=torch.int64)
        self.located = self.table.new_empty(3, len(self.first))
        self.own_product, self.dtype = _own_product(weight, C), weight.dtype
        if not self.own_product:  # torch's products spin on after themselves, and keep helpers from the processor
            self.threads = 1

    def chunks(self) -> list[tuple[int, int]]:
        return [(n, min(n + self.chunk, self.places)) for n in range(0, self.places, self.chunk)]

    def by_group(self, columns: Tensor) -> Tensor:
        """`[P, K·C]` → `[groups, P, K·C/groups]`, in the dtype of the weight."""
        if self.groups == 1:
            return columns[None].to(self.dtype)
        return columns.unflatten(1, (self.K, self.groups, -1)).permute(2, 0, 1, 3).to(self.dtype).flatten(2)

    def arguments(self) -> tuple[Any, ...]:
        return (self.table, self.offset, self.mask, self.columns, self.first, *self.located, self.sizes)

    def run(self, function: Any, start: int, stop: int, *more: Any) -> None:
        """Call a loop of `loops` for the positions of a chunk."""
        run(function, self.columns.dtype, stop - start, self.threads, start, *self.arguments(), *more, first=start)

    def outputs(self, kernel: Tensor, out: Tensor, by_place: bool) -> None:
        """All at once: a thread samples the columns of a few positions and multiplies them; none waits for another."""
        given = (_TILE, self.table, self.offset, self.mask, kernel, out, by_place, self.sizes)
        run(loops.sample_and_multiply, out.dtype, self.places, self.threads, *given, grain=_TILE)

    def scatter(self, start: int, stop: int, by_table: Tensor) -> None:
        """Add the gradients of the columns of a chunk to those of the pixels, channels shared among threads."""
        block, jobs = self.channels()
        given = (start, stop, block, *self.arguments(), by_table)
        run(loops.collect, by_table.dtype, jobs, self.threads, *given, grain=-(-jobs // self.threads))
