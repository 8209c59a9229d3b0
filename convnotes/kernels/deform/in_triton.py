"""Deformable convolution for CUDA, in Triton: samples are gathered where the matrix product wants them::

    y[b,o,p]  = Σ_{c,k} w[o,c,k] · m[b,k,p] · x̃[b, c, place of tap k of p]          forward
    q[b,c,k,p] = Σ_o w[o,c,k] · g[b,o,p]                                            gradient of a sample

Forward, a program makes a tile of outputs × positions: for each tap and each run of channels that one offset moves, it
finds the four pixels around each position once, then gathers and multiplies 16 or 32 channels at a time. Backward, a
program has one tap of one offset group and some positions: it makes q, compares it with the pixels for the gradients of
offset and mask, and hands it back to the pixels. That is added atomically, in float32, in no fixed order; where torch
is asked for deterministic algorithms, q is written out instead and collected pixel by pixel (`rows`), which
takes memory for all samples. The gradient of the weight samples again, and sums parts of the positions apart and
then together, always in the same order.

Whole pixels and fractions of an offset are kept apart, and are float32; so are all sums. What is outside reads 0, an
infinite offset too, and a NaN one makes its positions NaN. Tiles are chosen by what compiles for an
H100 without spilling much, never measured.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from convnotes.kernels.deform import tiles
from convnotes.kernels.deform.rows import table_gradient
from convnotes.kernels.deform.sampling import Sampling
from convnotes.kernels.gpu.launch import (
    block,
    ceil_div,
    launch,
    operand_type,
    places_a_tile,
    precision,
    product_tile,
    splits,
    strides,
    wide,
)

_LEAST = 16


def forward(input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, sampling: Sampling) -> Tensor:
    """`[B, O, h, w]`, without derivatives."""
    work = Work(input, offset, weight, mask, sampling)
    result = sampling.empty(input, offset, weight)
    rows = block(work.O, 64, _LEAST)
    row_tiles = ceil_div(work.O, rows)
    tile = places_a_tile(work.places, row_tiles * work.groups, product_tile(input)[0])
    launch(
        *(tiles.forward, ceil_div(work.places, tile) * row_tiles * work.groups, input),
        *(input, *work.moves, work.kernel(2, 1, 0), result),
        **work.numbers | strides(result=result) | dict(row_tiles=row_tiles, ROWS=rows, PLACES=tile),
    )
    return result


def backward(grad: Tensor, *inputs: Any) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of input, offset, weight and mask; those of the input and the weight only if they are `needed`."""
    *given, needed = inputs
    work = Work(*given)
    by_input = by_offset = by_mask = by_weight = None
    if needed[0] or needed[1] or needed[3]:
        by_input, by_offset, by_mask = work.by_samples(grad, needed[0])
    if needed[2]:
        by_weight = work.by_weight(grad)
    return by_input, by_offset, by_weight, by_mask


class Work:
    """What all kernels are given: sizes, strides and the ways of multiplying."""

    def __init__(self, input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, sampling: Sampling) -> None:
        self.input, self.offset, self.weight, self.mask = input, offset, weight, mask
        sizes = sampling.sizes(input, offset, weight)
        self.K, self.groups, self.places, self.c, self.G = sizes.K, sizes.groups, sizes.places, sizes.c, sizes.G
        self.O = sizes.O // sizes.groups
        self.run = math.gcd(sizes.c, sizes.C // sizes.G)  # channels of one group that one offset moves
        self.moves = (offset, offset if mask is None else mask)
        self.step = product_tile(input)[1]
        numbers = sizes._asdict() | dict(O=self.O, groups=self.groups, run=self.run, places=self.places)
        del numbers["B"]
        self.numbers: dict[str, Any] = dict(
            **numbers,
            **strides(input=input, offset=self.moves[0], mask=self.moves[1]),
            STEP=block(self.run, self.step, _LEAST),
            MASKED=mask is not None,
            WIDE=wide(self.places),
            FACTOR=operand_type(input),
            PRECISION=precision(convolution=False),
            num_warps=4,
        )

    def kernel(self, *order: int) -> Tensor:
        """`[O, C/groups, K]` in another order, in one piece."""
        return self.weight.flatten(2).permute(order).contiguous()

    def by_samples(
        self, grad: Tensor, pixels: bool, summed: bool = False
    ) -> tuple[Tensor | None, Tensor, Tensor | None]:
        """The gradients of the input, if `pixels`, of offset and mask; samples may be `summed` without a weight."""
        input, (B, C, H, W) = self.input, self.input.shape
        by_offset = torch.empty_like(self.offset, memory_format=torch.contiguous_format)
        by_mask = None if self.mask is None else torch.empty_like(self.mask, memory_format=torch.contiguous_format)
        collected = pixels and torch.are_deterministic_algorithms_enabled()
        samples = self.places * self.K * self.G
        nothing = input.new_empty(0, dtype=torch.float32)
        total = input.new_zeros(B, C, H, W, dtype=torch.float32) if pixels and not collected else nothing
        columns, weights, index = nothing, nothing, nothing.long()
        if collected:  # each sample's q, and the pixels of a framed image, channels last, that it was made of
            columns = input.new_empty(samples, C // self.G, dtype=torch.float32)
            weights = columns.new_empty(samples, 4)
            index = weights.new_empty(samples, 4, dtype=torch.int64)
        tile = places_a_tile(self.places, self.K * self.G, 64)
        launch(
            *(tiles.by_samples, ceil_div(self.places, tile) * self.K * self.G, input),
            *(grad, input, *self.moves, input if summed else self.kernel(2, 0, 1)),
            *(by_offset, by_offset if by_mask is None else by_mask, total, columns, weights, index),
            **self.numbers | strides(grad=grad) | dict(PLACES=tile, OUTPUTS=block(self.O, self.step, _LEAST)),
            **dict(COLLECTED=collected, ATOMIC=pixels and not collected, SUMMED=summed),
        )
        if collected:
            rows = B * (H + 2) * (W + 2) * self.G
            table = table_gradient(weights, columns, index, rows).view(B, H + 2, W + 2, C)
            total = table[:, 1:-1, 1:-1].permute(0, 3, 1, 2)
        return total.to(input.dtype) if pixels else None, by_offset, by_mask

    def by_weight(self, grad: Tensor) -> Tensor:
        rows = block(self.O, 64, _LEAST)
        row_tiles, runs = ceil_div(self.O, rows), self.c // self.run
        steps = ceil_div(self.run, self.numbers["STEP"])
        count = row_tiles * self.groups * self.K * runs * steps
        parts = splits(self.places, count)
        part = ceil_div(ceil_div(self.places, parts), self.step) * self.step
        sums = self.input.new_empty(parts, *self.weight.shape, dtype=torch.float32)
        launch(
            *(tiles.by_weight, parts * count, self.input),
            *(grad, self.input, *self.moves, sums),
            **self.numbers | strides(grad=grad) | dict(part=part, row_tiles=row_tiles, steps=steps, tiles=count),
            **dict(ROWS=rows, PLACES=self.step),
        )
        return sums.sum(0).to(self.weight.dtype)
