"""Deformable convolution on the CPU, compiled by numba: sampled columns of a few places at a time, and matrix products.

    s[p,k,c] = m[p,k] · x̃[c, place of tap k of p]            y[p,o] = Σ_{k,c} s[p,k,c] · w[k,c,o]

The picture is copied into a table with channels last and a frame of zeros, so that a sample is four runs of channels.
A chunk of places p is taken at a time (over all pictures; `_BYTES` of columns s, which stay in the cache), its columns
are filled, places shared among threads, and one product with the weight makes its outputs.

Backwards, chunk by chunk in one buffer: g wᵀ is the gradient of the columns; then each column is sampled again in the
place of its gradient, which on the way gives the gradients of offset and mask, from its products with the four pixels;
then sᵀ g is added to the gradient of the weight. The gradient of the picture is scattered before that, as long as the
columns hold gradients: threads take channels, and a pixel's sum runs in one order. So all of it has the same bits on
any number of threads, as far as the matrix products have.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convnotes.kernels import deform_loops
from convnotes.kernels.compiled import make_ready
from convnotes.kernels.threads import share

_BYTES = 2**20  # of columns at a time
_PLACES = 32  # of a chunk that a thread takes at a time, at least


def forward(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """`[B, O, h, w]`, channels last in memory; `padding` is (top, left). No derivatives, and no bias."""
    work = _Work(input, offset, weight, mask, stride, padding, dilation)
    y = input.new_empty(work.places, weight.shape[0])
    for start, stop in work.chunks():
        work.run(deform_loops.sample, start, stop)
        columns = work.columns[: stop - start]
        if work.groups == 1:
            torch.mm(columns, work.kernel[0], out=y[start:stop])
        else:
            product = torch.bmm(work.by_group(columns), work.kernel)
            y[start:stop].unflatten(1, (work.groups, -1)).copy_(product.transpose(0, 1))
    return work.as_map(y)


def backward(
    grad: Tensor,
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    needed: list[bool],
) -> tuple[Tensor | None, Tensor, Tensor, Tensor | None]:
    """The gradients of input, offset, weight and mask; those of input and weight are right only where `needed`."""
    work = _Work(input, offset, weight, mask, stride, padding, dilation)
    G = work.groups
    g = grad.permute(0, 2, 3, 1).reshape(work.places, -1)
    by_offset, by_weight = torch.empty_like(work.offset), torch.zeros_like(work.kernel)
    by_mask = torch.empty_like(work.mask)
    by_table = torch.zeros_like(work.table) if needed[0] else None
    transposed = work.kernel.transpose(1, 2)
    for start, stop in work.chunks():
        columns, sent = work.columns[: stop - start], g[start:stop]
        if G == 1:
            torch.mm(sent, transposed[0], out=columns)
        else:
            product = torch.bmm(sent.unflatten(1, (G, -1)).transpose(0, 1), transposed)  # [G, P, K·C/G]
            columns.view(-1, work.K, G, product.shape[2] // work.K).copy_(
                product.unflatten(2, (work.K, -1)).permute(1, 2, 0, 3)
            )
        work.run(deform_loops.locate, start, stop)
        if by_table is not None:
            work.scatter(start, stop, by_table)
        work.run(deform_loops.compare, start, stop, by_offset, by_mask)
        if needed[2]:
            if G == 1:
                by_weight[0].addmm_(columns.t(), sent)
            else:
                by_weight.baddbmm_(work.by_group(columns).transpose(1, 2), sent.unflatten(1, (G, -1)).transpose(0, 1))
    return (
        None if by_table is None else by_table[:, 1:-1, 1:-1].permute(0, 3, 1, 2),
        by_offset,
        by_weight.unflatten(1, (work.K, -1)).permute(0, 3, 2, 1).reshape(weight.shape),
        None if mask is None else by_mask,
    )


class _Work:
    """What one call works on: the table of framed pixels, the weight as matrices, and room for a chunk of places."""

    def __init__(self, input, offset, weight, mask, stride, padding, dilation) -> None:
        (B, C, H, W), (O, c, KH, KW), (h, w) = input.shape, weight.shape, offset.shape[2:]
        self.K, self.groups, self.places = KH * KW, C // c, B * h * w
        self.size = (B, O, h, w)
        self.table = input.new_zeros(B, H + 2, W + 2, C)
        self.table[:, 1:-1, 1:-1] = input.permute(0, 2, 3, 1)
        kernel = weight.reshape(self.groups, O // self.groups, c, self.K).permute(0, 3, 2, 1)
        self.kernel = kernel.reshape(self.groups, self.K * c, O // self.groups)  # [groups, K·C/groups, O/groups]
        self.offset = offset.contiguous()
        self.mask = input.new_empty(0) if mask is None else mask.contiguous()
        self.offset_groups = G = offset.shape[1] // (2 * self.K)
        a_chunk = max(1, _BYTES // max(1, self.K * C * input.element_size()))
        pieces = max(1, -(-self.places // a_chunk))
        self.chunk = max(1, -(-self.places // pieces))  # all of about one size
        self.columns = input.new_empty(self.chunk, self.K * C)
        self.first = np.empty(G * self.K * self.chunk, np.int64)
        self.y, self.x, self.m = input.new_empty(3, len(self.first))
        self.sizes = (B, C, H, W, h, w, G, KH, KW, *stride, *padding, *dilation)
        self.threads = torch.get_num_threads()

    def chunks(self):
        return [(n, min(n + self.chunk, self.places)) for n in range(0, self.places, self.chunk)]

    def by_group(self, columns: Tensor) -> Tensor:
        """`[P, K·C]` → `[groups, P, K·C/groups]`."""
        return (
            columns.view(-1, self.K, self.groups, columns.shape[1] // (self.K * self.groups))
            .permute(2, 0, 1, 3)
            .flatten(2)
        )

    def as_map(self, y: Tensor) -> Tensor:
        B, O, h, w = self.size
        return y.view(B, h, w, O).permute(0, 3, 1, 2)

    def arguments(self, *tensors: Tensor):
        own = (self.table, self.offset, self.mask, self.columns, self.y, self.x, self.m)
        flat = [t.view(-1).numpy() for t in (*own, *tensors)]
        return (*flat[:4], self.first, *flat[4:7], self.sizes, *flat[7:])

    def run(self, function, start: int, stop: int, *tensors: Tensor) -> None:
        arguments = self.arguments(*tensors)
        make_ready((function, self.columns.dtype), lambda: function(0, 0, start, *arguments))
        jobs = -(-(stop - start) // _PLACES)

        def work(one: int, end: int) -> None:
            function(start + one * _PLACES, min(start + end * _PLACES, stop), start, *arguments)

        share(work, jobs, self.threads)

    def scatter(self, start: int, stop: int, by_table: Tensor) -> None:
        arguments = self.arguments(by_table)
        make_ready(
            (deform_loops.collect, self.columns.dtype), lambda: deform_loops.collect(0, 0, start, start, 1, *arguments)
        )
        C = self.table.shape[3] // self.offset_groups
        lanes = deform_loops.lanes(self.table.element_size())
        block = -(-C // (lanes * self.threads)) * lanes
        jobs = self.offset_groups * -(-C // block)
        share(lambda one, end: deform_loops.collect(one, end, start, stop, block, *arguments), jobs, self.threads)
