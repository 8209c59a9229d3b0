"""The adder's forward pass and input gradient for CUDA, in Triton: tiles of outputs × positions, no column in memory::

    y[b,o,i,j]  = Σ_{c,u,v} |x[b, c, i·s + u·d − p, j·s + v·d − p] − w[o,c,u,v]|          forward
    dx[b,c,k,l] = Σ_{o,u,v} f(x[b,c,k,l] − w[o,c,u,v]) · g[b,o,i,j]                       gradient of the input
                  over the (i, u) with i·s + u·d − p = k, and (j, v) alike;  f = clamp(·, −1, 1) or sign

A program keeps the sums of a tile [rows, places] in registers, rows being outputs or, for the gradient, input channels,
and walks over the taps; a step loads a number per position and one per row. There is no product of matrices in it: the
tensor cores have nothing to do, and two additions a tap are the limit (the absolute value is part of the second).
For the gradient, the pixels of one remainder by the stride meet the same taps: each remainder has its own programs, and
no tap is visited in vain. Half and bfloat16 are summed in float32. A position outside the image is 0 and costs |w|;
without any position nothing is added, whatever the weight is, NaN among them.

A warp has 16 rows × 128 positions, a thread 16 × 4: Triton lays all rows of a position of such a tile in one thread, so
a tap costs it 20 loads, those of the weight the same for the whole warp, and 64 sums. Compiled for an H100, 58 % of the
instructions of the forward loop are its additions; never run on one.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from convnotes.kernels.adder import in_torch
from convnotes.kernels.adder.operator import Contraction, Factor
from convnotes.kernels.gpu.launch import (
    block,
    ceil_div,
    launch,
    places_a_tile,
    places_of,
    rows_of,
    strides,
    sum_type,
    wide,
)

_ROWS, _PLACES = 16, 128  # of a warp


def contract(
    input: Tensor, weight: Tensor, at_output: Factor, at_input: Factor, at_weight: Factor, contraction: Contraction
) -> Tensor:
    """The sum of `adder.operator`, without derivatives. What has no kernel here goes to torch.

    That is the gradient of the weight, the paper's being a convolution's, and all terms of higher derivatives.
    """
    slot, slope = contraction[:2]
    plain = at_input is None and at_weight is None and input.numel() > 0 and weight.numel() > 0
    if plain and slot == "output" and at_output is None and slope in ("distance", "paper"):
        return _forward(input, weight, contraction)
    if plain and slot == "input" and at_output is not None and slope in ("clamp", "sign"):
        return _input_gradient(input, weight, at_output, contraction)
    return in_torch.contract(input, weight, at_output, at_input, at_weight, contraction)


def _sizes(input: Tensor, weight: Tensor, contraction: Contraction) -> dict[str, int]:
    (H, W), (O, C, KH, KW), groups = input.shape[2:], weight.shape, contraction.groups
    OH, OW = contraction.places(input, weight)
    (sy, sx), (top, _, left, _), (dy, dx) = contraction.stride, contraction.padding, contraction.dilation
    return dict(
        **dict(C=C, O=O // groups, groups=groups, H=H, W=W, KH=KH, KW=KW, OH=OH, OW=OW),
        **dict(sy=sy, sx=sx, top=top, left=left, dy=dy, dx=dx),
    )


def _forward(input: Tensor, weight: Tensor, contraction: Contraction) -> Tensor:
    result, sizes = contraction.empty(input, weight), _sizes(input, weight, contraction)
    rows = block(sizes["O"], _ROWS)
    row_tiles, places = ceil_div(sizes["O"], rows), len(input) * sizes["OH"] * sizes["OW"]
    others = row_tiles * contraction.groups
    tile, warps = _tile(places, others)
    launch(
        *(_sum_distances, ceil_div(places, tile) * others, input),
        *(input, weight.permute(1, 2, 3, 0).contiguous(), result),
        **sizes | strides(input=input, result=result) | dict(places=places, row_tiles=row_tiles),
        **dict(ROWS=rows, PLACES=tile, SUM=sum_type(input.dtype), WIDE=wide(places), num_warps=warps),
        NEGATIVE=contraction.negative,
    )
    return result


def _input_gradient(input: Tensor, weight: Tensor, sent: Tensor, contraction: Contraction) -> Tensor:
    result, sizes = contraction.empty(input, weight), _sizes(input, weight, contraction)
    (B, C, H, W), groups, stride = input.shape, contraction.groups, contraction.stride
    remainders = (min(stride[0], H), min(stride[1], W))
    size = (ceil_div(H, stride[0]), ceil_div(W, stride[1]))  # of the image of one remainder, at most
    rows = block(C // groups, _ROWS)
    row_tiles, places = ceil_div(C // groups, rows), B * size[0] * size[1]
    others = row_tiles * groups * remainders[0] * remainders[1]
    tile, warps = _tile(places, others)
    finite = weight.isfinite().all().to(torch.int32)
    launch(
        *(_sum_slopes, ceil_div(places, tile) * others, input),
        *(input, weight.permute(0, 2, 3, 1).contiguous(), finite, sent, result),
        **sizes | strides(input=input, sent=sent, result=result) | dict(places=places, row_tiles=row_tiles),
        **dict(RH=size[0], RW=size[1], ry_count=remainders[0], rx_count=remainders[1]),
        **dict(ROWS=rows, PLACES=tile, SUM=sum_type(input.dtype), WIDE=wide(places), num_warps=warps),
        **dict(CLAMP=contraction.slope == "clamp", NEGATIVE=contraction.negative),
    )
    return result


def _tile(places: int, others: int) -> tuple[int, int]:
    """Positions per tile, and warps: two warps, which share what they read, where there are enough positions."""
    size = places_a_tile(places, others, 2 * _PLACES, 32)
    return size, max(1, size // _PLACES)


@triton.jit
def _sum_distances(
    input, weight, result,
    C, O, groups, H, W, KH, KW, OH, OW, places, row_tiles,
    sy, sx, top, left, dy, dx, input_b, input_c, input_h, input_w, result_b, result_c, result_h, result_w,
    ROWS: tl.constexpr, PLACES: tl.constexpr, SUM: tl.constexpr, WIDE: tl.constexpr, NEGATIVE: tl.constexpr,
):  # fmt: skip
    """One tile of outputs; `weight` `[C, KH, KW, groups·O]`."""
    row, is_row, group, tile = rows_of(row_tiles, groups, O, ROWS)
    p, b, i, j = places_of(tile.to(tl.int64) * PLACES, OH, OW, PLACES, WIDE)
    is_place = p < places
    origin = b.to(tl.int64) * input_b + group.to(tl.int64) * C * input_c
    sums = tl.zeros([ROWS, PLACES], SUM)
    for u in range(KH):
        y = i * sy + (u * dy - top)
        for v in range(KW):
            x = j * sx + (v * dx - left)
            inside = is_place & (y >= 0) & (y < H) & (x >= 0) & (x < W)
            pixel = origin + y.to(tl.int64) * input_h + x.to(tl.int64) * input_w
            tap = weight + (u * KW + v) * O * groups
            for _ in range(C):
                read = tl.load(input + pixel, mask=inside, other=0.0).to(SUM)
                own = tl.load(tap + row, mask=is_row, other=0.0).to(SUM)
                sums += tl.abs(read[None, :] - own[:, None])
                pixel += input_c
                tap += KH * KW * O * groups
    place = b.to(tl.int64) * result_b + i.to(tl.int64) * result_h + j.to(tl.int64) * result_w
    at = row[:, None] * result_c + place[None, :]
    tl.store(result + at, -sums if NEGATIVE else sums, mask=is_row[:, None] & is_place[None, :])


@triton.jit
def _sum_slopes(
    input, weight, finite, sent, result,
    C, O, groups, H, W, KH, KW, OH, OW, RH, RW, places, row_tiles, ry_count, rx_count,
    sy, sx, top, left, dy, dx, input_b, input_c, input_h, input_w,
    sent_b, sent_c, sent_h, sent_w, result_b, result_c, result_h, result_w,
    ROWS: tl.constexpr, PLACES: tl.constexpr, CLAMP: tl.constexpr, SUM: tl.constexpr, WIDE: tl.constexpr,
    NEGATIVE: tl.constexpr,
):  # fmt: skip
    """One tile of channels × pixels of one remainder by the stride; `weight` `[groups·O, KH, KW, C]`."""
    program = tl.program_id(0)
    block, rest = program % row_tiles, program // row_tiles
    group, rest = rest % groups, rest // groups
    rx, rest = rest % rx_count, rest // rx_count
    ry, tile = rest % ry_count, rest // ry_count
    n = block * ROWS + tl.arange(0, ROWS)
    row, is_row = group.to(tl.int64) * C + n, n < C
    p, b, k, l = places_of(tile.to(tl.int64) * PLACES, RH, RW, PLACES, WIDE)
    y, x = k * sy + ry, l * sx + rx
    is_place = (p < places) & (y < H) & (x < W)
    is_pixel = is_row[:, None] & is_place[None, :]
    pixel = b.to(tl.int64) * input_b + y.to(tl.int64) * input_h + x.to(tl.int64) * input_w
    at = row[:, None] * input_c + pixel[None, :]
    own = tl.load(input + at, mask=is_pixel, other=0.0).to(SUM)
    origin = b.to(tl.int64) * sent_b + group.to(tl.int64) * O * sent_c
    all_finite = tl.load(finite) != 0
    met = p < 0  # none so far; the interpreter of Triton 3.2 makes no zeros of that type
    sums = tl.zeros([ROWS, PLACES], SUM)
    for u in range(KH):
        up = ry + top - u * dy
        for v in range(KW):
            across = rx + left - v * dx
            if (up % sy == 0) & (across % sx == 0):
                i, j = k + up // sy, l + across // sx
                inside = is_place & (i >= 0) & (i < OH) & (j >= 0) & (j < OW)
                met |= inside
                place = origin + i.to(tl.int64) * sent_h + j.to(tl.int64) * sent_w
                tap = weight + (group.to(tl.int64) * O * KH * KW + u * KW + v) * C
                if all_finite:
                    for _ in range(O):
                        g = tl.load(sent + place, mask=inside, other=0.0).to(SUM)
                        sums += _slope(own, tl.load(tap + n, mask=is_row, other=0.0).to(SUM), CLAMP) * g[None, :]
                        place += sent_c
                        tap += KH * KW * C
                else:
                    for _ in range(O):
                        g = tl.load(sent + place, mask=inside, other=0.0).to(SUM)
                        part = _slope(own, tl.load(tap + n, mask=is_row, other=0.0).to(SUM), CLAMP) * g[None, :]
                        sums += tl.where(inside[None, :], part, 0.0)
                        place += sent_c
                        tap += KH * KW * C
    sums = tl.where(met[None, :], sums, 0.0)  # a pixel that no tap meets has the gradient 0, even where it is NaN
    pixel = b.to(tl.int64) * result_b + y.to(tl.int64) * result_h + x.to(tl.int64) * result_w
    at = row[:, None] * result_c + pixel[None, :]
    tl.store(result + at, -sums if NEGATIVE else sums, mask=is_pixel)


@triton.jit
def _slope(own, weight, CLAMP: tl.constexpr):
    """f(own − weight), `[rows, places]` and `[rows]`; NaN stays NaN under clamp and is 0 under sign, as in torch."""
    d = own - weight[:, None]
    if CLAMP:
        return tl.clamp(d, -1.0, 1.0, propagate_nan=tl.PropagateNan.ALL)
    else:
        return tl.where(d > 0, 1.0, tl.where(d < 0, -1.0, 0.0)).to(d.dtype)
