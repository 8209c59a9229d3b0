"""The adder's forward pass and input gradient on the CPU, compiled by numba: sums that stay in registers::

    y[b,n,p] = Σ_{m,t} |s[b, m, p + offset_t] − w[n,m,t]|                               forward
    y[b,n,p] = Σ_{m,t} f(x[b,n,p] − w[n,m,t]) · s[b, m, p + offset_t]                   gradient of the input

Forward, n are the outputs, m the input channels, and s the images, cut into stride × stride images of every
stride-th row and column, so that a tap reads one of them at a fixed offset. For the gradient, n are the input channels,
m the outputs, s the gradient, and the pixels p of one remainder by the stride meet the same few taps: a sum for each
remainder. Both are then one loop, in tiles of `width` positions over all images:

- the positions of a tile are copied for some m and all taps into columns `[k, width]`, which fit the first cache, with
  zeros where a tap lies outside the image: no padded copy is made;
- 4 rows n at a time, whose 4 × width sums stay in registers while k runs over the columns (`loops`);
- threads take tiles, a tile sums in one order, and what it holds decides how: the same bits for any number of threads.

A distance comes from 2·max(x, w) − x − w where that keeps its digits, tile by tile, else from |x − w|.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from convnotes.geometry import Pair
from convnotes.kernels.adder import in_torch, loops
from convnotes.kernels.adder.operator import Contraction, Factor
from convnotes.kernels.cpu.jobs import run
from convnotes.kernels.cpu.vectors import lanes

Taps = tuple[tuple[int, int, int], ...]
_KINDS = {"distance": loops.DISTANCE, "paper": loops.DISTANCE, "clamp": loops.CLAMP, "sign": loops.SIGN}


def contract(
    input: Tensor, weight: Tensor, at_output: Factor, at_input: Factor, at_weight: Factor, contraction: Contraction
) -> Tensor:
    """The sum of `adder.operator`, without derivatives. What has no loop here goes to torch.

    That is the gradient of the weight, which is a convolution's, all terms of higher derivatives, and the gradient of
    the input where a weight is not finite: a tap that lies outside the image must not meet it.
    """
    slot, slope = contraction[:2]
    plain = at_input is None and at_weight is None and input.numel() > 0 and weight.numel() > 0
    if plain and slot == "output" and at_output is None and slope in ("distance", "paper"):
        return _forward(input, weight, contraction)
    sent = None if at_output is None or at_output.numel() == 0 else at_output
    sloped = plain and slot == "input" and slope in ("clamp", "sign")
    if sloped and sent is not None and math.isfinite(weight.sum()):
        return _input_gradient(input, weight, sent, contraction)
    return in_torch.contract(input, weight, at_output, at_input, at_weight, contraction)


def _forward(input: Tensor, weight: Tensor, contraction: Contraction) -> Tensor:
    result = contraction.empty(input, weight)
    if result.numel() == 0:
        return result
    O, _, KH, KW = weight.shape
    _, _, stride, (top, _, left, _), dilation, groups, negative = contraction
    parts, taps = tap_places((KH, KW), stride, dilation, (top, left))
    kernel = weight.reshape(groups, O // groups, -1)
    return _summed("distance", parted(input, stride, parts), taps, kernel, None, result, negative)


@functools.lru_cache(1024)
def tap_places(kernel: Pair, stride: Pair, dilation: Pair, before: Pair) -> tuple[list[Pair], Taps]:
    """The remainders by the stride at which taps read, and for each tap (which of them, rows below, columns right)."""
    (KH, KW), (sy, sx), (dy, dx), (top, left) = kernel, stride, dilation, before
    places = [(u * dy - top, v * dx - left) for u in range(KH) for v in range(KW)]
    parts = sorted({(y % sy, x % sx) for y, x in places})
    return parts, tuple((parts.index((y % sy, x % sx)), y // sy, x // sx) for y, x in places)


def parted(input: Tensor, stride: Pair, parts: list[Pair]) -> Tensor:
    """Images `[B, C, parts, rows, columns]` of every stride-th row and column, by the remainders `parts`."""
    if stride == (1, 1):
        return input.contiguous().unsqueeze(2)
    (sy, sx), (B, C, H, W) = stride, input.shape
    source = input.new_zeros(B, C, len(parts), -(-H // sy), -(-W // sx))
    for n, (y, x) in enumerate(parts):
        part = input[:, :, y::sy, x::sx]
        source[:, :, n, : part.shape[2], : part.shape[3]] = part
    return source


def _input_gradient(input: Tensor, weight: Tensor, sent: Tensor, contraction: Contraction) -> Tensor:
    result = contraction.empty(input, weight)
    _, slope, stride, padding, dilation, G, negative = contraction
    (H, W), (O, _, KH, KW), (OH, OW) = input.shape[2:], weight.shape, sent.shape[2:]
    by_row = _remainders(H, OH, KH, stride[0], dilation[0], padding[0])
    by_column = _remainders(W, OW, KW, stride[1], dilation[1], padding[2])
    sent = sent.contiguous().unsqueeze(2)
    kernels = weight.unflatten(0, (G, O // G)).transpose(1, 2)  # [G, C/G, O/G, KH, KW]
    step = [s // math.gcd(s, d) for s, d in zip(stride, dilation, strict=True)]  # between the taps of one remainder
    for y, (rows, missed_rows) in enumerate(by_row):
        for x, (columns, missed_columns) in enumerate(by_column):
            pixels = result[:, :, y :: stride[0], x :: stride[1]]
            if not rows or not columns:
                pixels.zero_()
                continue
            kernel = kernels[:, :, :, rows[0][0] :: step[0], columns[0][0] :: step[1]]
            taps = tuple((0, i, j) for _, i in rows for _, j in columns)
            own = input[:, :, y :: stride[0], x :: stride[1]].contiguous()
            _summed(slope, sent, taps, kernel.flatten(2), own, pixels, negative)
            for m in missed_rows:  # no tap reaches these: they met padding only, which is 0, but 0 · NaN is not
                pixels[:, :, m] = 0
            for m in missed_columns:
                pixels[..., m] = 0
    return result


@functools.lru_cache(1024)
def _remainders(
    size: int, sent: int, taps: int, stride: int, dilation: int, before: int
) -> list[tuple[list[tuple[int, int]], list[int]]]:
    """Along one axis of `size` pixels, for each remainder r by the stride: which taps meet the pixels m·stride + r.

    Returns for each r the pairs (tap, offset), by which pixel m meets position m + offset, and the pixels m without.
    """
    found = []
    for r in range(min(stride, size)):
        at = [(u, divmod(r + before - u * dilation, stride)) for u in range(taps)]
        met = [(u, offset) for u, (offset, rest) in at if rest == 0]
        pixels = range(-(-(size - r) // stride))
        found.append((met, [m for m in pixels if not any(0 <= m + offset < sent for _, offset in met)]))
    return found


def _summed(
    slope: str, source: Tensor, taps: Taps, kernel: Tensor, own: Tensor | None, result: Tensor, negative: bool
) -> Tensor:
    """Fill `result` `[B, G·N, H, W]` by the sums above.

    `source` `[B, G·M, parts, rows, columns]`; a tap (part, i, j) sees from a position the one i rows below, j columns
    to the right of it in this part; `kernel` `[G, N, M·T]`; `own` as `result`, or None.
    """
    (B, _, H, W), (G, N, K), T = result.shape, kernel.shape, len(taps)
    parts, rows_there, pitch = source.shape[2:]
    kind = _KINDS[slope]
    rows = loops.ROWS[kind]
    whole = N - N % rows
    weight = kernel[:, :whole].unflatten(1, (whole // rows, rows)).transpose(2, 3).flatten(1)  # rows beside each other
    if whole < N:
        weight = torch.cat([weight, kernel[:, whole:].flatten(1)], 1)
    weight = weight.contiguous()  # [G, N·K], row n from n·K on
    weight_sums = weight
    if kind == loops.DISTANCE and N >= loops.FROM:
        weight_sums = torch.stack((kernel.sum(2), torch.linalg.vector_norm(kernel, 1, 2)), 2)  # [G, N, 2]
    total = result if result.is_contiguous() else torch.empty_like(result, memory_format=torch.contiguous_format)
    sizes = loops.Tiles(B, G, N, K // T, T, H, W, parts * rows_there * pitch, rows_there, pitch)
    own = total if own is None else own
    given = (kind, source, _starts(taps, rows_there * pitch), weight, weight_sums, own, total)
    tiles = G * -(-B * H * W // (loops.VECTORS * lanes(source.element_size())))
    run(loops.sum_tiles, result.dtype, tiles, torch.get_num_threads(), *given, 1, -1 if negative else 1, sizes)
    return result if total is result else result.copy_(total)


@functools.lru_cache(1024)
def _starts(taps: Taps, part: int) -> Tensor:
    """For each tap, where its part begins in a plane, and how many rows and columns from the position it lies."""
    return torch.tensor(taps) * torch.tensor([part, 1, 1])
