"""The shift fused into the 1×1 convolution that follows it, for CUDA, in Triton: the shifted tensor is never written::

    y[b,o,i,j]                     = Σ_c w[o,c] · x[b, c, i·s + dy_c, j·s + dx_c]                output
    dx[b, c, i·s + dy_c, j·s+dx_c] = Σ_o w[o,c] · g[b,o,i,j]                                     input
    dw[o,c]                        = Σ_{b,i,j} g[b,o,i,j] · x[b, c, i·s + dy_c, j·s + dx_c]      weight

x = 0 outside the image. All three are matrix products in tiles, with sums in float32, that load, or in the second
store, each channel at its own displaced position. No two positions of a channel go to one pixel, so nothing is added
atomically; pixels to which none goes are 0. The third is a long sum: parts of it are summed apart and then together,
always in the same order. Factors of float32 are multiplied as float32, or as TF32 where torch lets convolutions do so.

Tiles of 64 × 128 with 4 warps and 32 terms per step, in float32 64 × 64 and 16: chosen by what compiles for an H100
without spilling registers in its loop, never measured.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from convnotes.kernels.gpu.launch import (
    block,
    ceil_div,
    launch,
    operand_type,
    places_a_tile,
    places_of,
    precision,
    product_tile,
    splits,
    strides,
    wide,
)
from convnotes.kernels.shift_pointwise.operator import Mixing

_LEAST = 16  # a side of a matrix product


def derivative(
    input: Tensor | None, weight: Tensor | None, sent: Tensor | None, displacements: Tensor, mixing: Mixing
) -> Tensor:
    """That by the factor which is None, at the other two."""
    result = mixing.empty(input, weight, sent, displacements)
    if input is not None and weight is not None:
        return _tiles(_output, input, weight, displacements, result, mixing)
    if weight is not None and sent is not None:
        return _tiles(_by_input, sent, weight, displacements, result.zero_(), mixing)
    return _sums(input, sent, displacements, result, mixing)


def _sizes(channels: int, outputs: int, mixing: Mixing) -> dict[str, int]:
    (H, W), (OH, OW) = mixing.size, mixing.places
    return dict(C=channels, O=outputs, H=H, W=W, OH=OH, OW=OW, stride=mixing.stride)


def _tiles(kernel, map: Tensor, weight: Tensor, displacements: Tensor, result: Tensor, mixing: Mixing) -> Tensor:
    """Products of the weight with a map, in tiles of rows, channels of the result, × positions of the output."""
    O, C = weight.shape
    rows, places = block(result.shape[1], 64, _LEAST), len(map) * mixing.places[0] * mixing.places[1]
    row_tiles = ceil_div(result.shape[1], rows)
    tile = places_a_tile(places, row_tiles, product_tile(map)[0])
    factor, name = (weight.t(), "input") if kernel is _output else (weight, "sent")
    launch(
        *(kernel, ceil_div(places, tile) * row_tiles, map),
        *(map, factor.contiguous(), displacements, result),
        **_sizes(C, O, mixing) | strides(**{name: map}, result=result) | _options(map, places),
        **dict(places=places, row_tiles=row_tiles, ROWS=rows, PLACES=tile),
    )
    return result


def _sums(input: Any, sent: Any, displacements: Tensor, result: Tensor, mixing: Mixing) -> Tensor:
    """The gradient of the weight."""
    (O, C), places = result.shape, len(sent) * mixing.places[0] * mixing.places[1]
    rows, columns = block(O, 64, _LEAST), block(C, 64, _LEAST)
    row_tiles, tiles = ceil_div(O, rows), ceil_div(O, rows) * ceil_div(C, columns)
    parts = splits(places, tiles)
    step = product_tile(input)[1]
    part = ceil_div(ceil_div(places, parts), step) * step  # positions of a part: whole steps
    sums = input.new_empty(parts, O, C, dtype=torch.float32)
    launch(
        *(_by_weight, parts * tiles, input),
        *(input, sent, displacements, sums),
        **_sizes(C, O, mixing) | strides(input=input, sent=sent) | _options(input, places),
        **dict(places=places, part=part, row_tiles=row_tiles, tiles=tiles, ROWS=rows, COLUMNS=columns),
    )
    return result.copy_(sums.sum(0))


def _options(tensor: Tensor, places: int) -> dict[str, Any]:
    return dict(
        STEP=product_tile(tensor)[1],
        WIDE=wide(places),
        FACTOR=operand_type(tensor),
        PRECISION=precision(convolution=True),
        num_warps=4,
    )


@triton.jit
def _output(
    input, weight, displacements, result,
    C, O, H, W, OH, OW, places, row_tiles, stride,
    input_b, input_c, input_h, input_w, result_b, result_c, result_h, result_w,
    ROWS: tl.constexpr, PLACES: tl.constexpr, STEP: tl.constexpr, WIDE: tl.constexpr,
    FACTOR: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One tile of outputs; `weight` `[C, O]`."""
    program = tl.program_id(0)
    row = (program % row_tiles).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    p, b, i, j = places_of((program // row_tiles).to(tl.int64) * PLACES, OH, OW, PLACES, WIDE)
    is_row, is_place = row < O, p < places
    i, j = i * stride, j * stride
    pixel = b.to(tl.int64) * input_b + i.to(tl.int64) * input_h + j.to(tl.int64) * input_w
    sums = tl.zeros([ROWS, PLACES], tl.float32)
    for first in range(0, C, STEP):
        c = first + tl.arange(0, STEP)
        is_channel = c < C
        dy = tl.load(displacements + 2 * c, mask=is_channel, other=0)
        dx = tl.load(displacements + 2 * c + 1, mask=is_channel, other=0)
        y, x = i[None, :] + dy.to(tl.int32)[:, None], j[None, :] + dx.to(tl.int32)[:, None]
        inside = is_channel[:, None] & is_place[None, :] & (y >= 0) & (y < H) & (x >= 0) & (x < W)
        at = pixel[None, :] + (c.to(tl.int64) * input_c + dy * input_h + dx * input_w)[:, None]
        read = tl.load(input + at, mask=inside, other=0.0).to(FACTOR)
        at = c.to(tl.int64)[None, :] * O + row[:, None]
        factor = tl.load(weight + at, mask=is_row[:, None] & is_channel[None, :], other=0.0).to(FACTOR)
        sums = tl.dot(factor, read, sums, input_precision=PRECISION)
    i, j = i // stride, j // stride
    place = b.to(tl.int64) * result_b + i.to(tl.int64) * result_h + j.to(tl.int64) * result_w
    tl.store(result + row[:, None] * result_c + place[None, :], sums, mask=is_row[:, None] & is_place[None, :])


@triton.jit
def _by_input(
    sent, weight, displacements, result,
    C, O, H, W, OH, OW, places, row_tiles, stride,
    sent_b, sent_c, sent_h, sent_w, result_b, result_c, result_h, result_w,
    ROWS: tl.constexpr, PLACES: tl.constexpr, STEP: tl.constexpr, WIDE: tl.constexpr,
    FACTOR: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One tile of channels × output positions, stored at the displaced pixels; `weight` `[O, C]`."""
    program = tl.program_id(0)
    row = (program % row_tiles).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    p, b, i, j = places_of((program // row_tiles).to(tl.int64) * PLACES, OH, OW, PLACES, WIDE)
    is_row, is_place = row < C, p < places
    place = b.to(tl.int64) * sent_b + i.to(tl.int64) * sent_h + j.to(tl.int64) * sent_w
    sums = tl.zeros([ROWS, PLACES], tl.float32)
    for first in range(0, O, STEP):
        o = first + tl.arange(0, STEP)
        is_output = o < O
        at = o.to(tl.int64)[:, None] * sent_c + place[None, :]
        g = tl.load(sent + at, mask=is_output[:, None] & is_place[None, :], other=0.0).to(FACTOR)
        at = o.to(tl.int64)[None, :] * C + row[:, None]
        factor = tl.load(weight + at, mask=is_row[:, None] & is_output[None, :], other=0.0).to(FACTOR)
        sums = tl.dot(factor, g, sums, input_precision=PRECISION)
    dy = tl.load(displacements + 2 * row, mask=is_row, other=0)
    dx = tl.load(displacements + 2 * row + 1, mask=is_row, other=0)
    i, j = i * stride, j * stride
    y, x = i[None, :] + dy.to(tl.int32)[:, None], j[None, :] + dx.to(tl.int32)[:, None]
    inside = is_row[:, None] & is_place[None, :] & (y >= 0) & (y < H) & (x >= 0) & (x < W)
    pixel = b.to(tl.int64) * result_b + i.to(tl.int64) * result_h + j.to(tl.int64) * result_w
    at = pixel[None, :] + (row * result_c + dy * result_h + dx * result_w)[:, None]
    tl.store(result + at, sums, mask=inside)


@triton.jit
def _by_weight(
    input, sent, displacements, partial,
    C, O, H, W, OH, OW, places, part, row_tiles, tiles, stride,
    input_b, input_c, input_h, input_w, sent_b, sent_c, sent_h, sent_w,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, STEP: tl.constexpr, WIDE: tl.constexpr,
    FACTOR: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One tile of outputs × channels, summed over one part of the positions; `partial` `[parts, O, C]`."""
    program = tl.program_id(0)
    tile, which = program % tiles, program // tiles
    o = (tile % row_tiles).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = (tile // row_tiles).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)
    is_output, is_channel = o < O, c < C
    dy = tl.load(displacements + 2 * c, mask=is_channel, other=0)
    dx = tl.load(displacements + 2 * c + 1, mask=is_channel, other=0)
    channel = c * input_c + dy * input_h + dx * input_w
    dy, dx = dy.to(tl.int32), dx.to(tl.int32)
    sums = tl.zeros([ROWS, COLUMNS], tl.float32)
    for first in range(0, part, STEP):
        p, b, i, j = places_of(which.to(tl.int64) * part + first, OH, OW, STEP, WIDE)
        is_place = p < places
        place = b.to(tl.int64) * sent_b + i.to(tl.int64) * sent_h + j.to(tl.int64) * sent_w
        at = o[:, None] * sent_c + place[None, :]
        g = tl.load(sent + at, mask=is_output[:, None] & is_place[None, :], other=0.0).to(FACTOR)
        i, j = i * stride, j * stride
        y, x = i[:, None] + dy[None, :], j[:, None] + dx[None, :]
        inside = is_channel[None, :] & is_place[:, None] & (y >= 0) & (y < H) & (x >= 0) & (x < W)
        pixel = b.to(tl.int64) * input_b + i.to(tl.int64) * input_h + j.to(tl.int64) * input_w
        read = tl.load(input + pixel[:, None] + channel[None, :], mask=inside, other=0.0).to(FACTOR)
        sums = tl.dot(g, read, sums, input_precision=PRECISION)
    at = (which.to(tl.int64) * O + o)[:, None] * C + c[None, :]
    tl.store(partial + at, sums, mask=is_output[:, None] & is_channel[None, :])
