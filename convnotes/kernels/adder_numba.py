"""The adder's forward pass and input gradient on the CPU, compiled by numba: sums that stay in registers.

    y[b,n,p] = Σ_{m,t} |s[b, m, p + offset_t] − w[n,m,t]|                               forward
    y[b,n,p] = Σ_{m,t} f(x[b,n,p] − w[n,m,t]) · s[b, m, p + offset_t]                   gradient of the input

Forward, n are the outputs, m the input channels, and s the padded pictures, cut into stride × stride pictures of every
stride-th row and column, so that a tap reads one of them at a fixed offset. For the gradient, n are the input channels,
m the outputs, s the padded gradient, and the pixels p of one remainder by the stride meet the same few taps: a sum for
each remainder. Both are then one loop, in tiles of `width` places over all pictures:

- the places of a tile are copied for some m and all taps into columns `[k, width]`, which fit the first cache;
- 4 rows n at a time, whose 4 × width sums stay in registers while k runs over the columns (`kernels.adder_loops`);
- threads take tiles, a tile sums in one order, and what it holds decides how: the same bits for any number of threads.

A distance comes from 2·max(x, w) − x − w where that keeps its digits, tile by tile, else from |x − w|.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from convnotes.kernels import adder_loops as loops
from convnotes.kernels.adder_tiles import contract_in_tiles, room
from convnotes.kernels.compiled import make_ready
from convnotes.kernels.threads import share

_KINDS = {"distance": loops.DISTANCE, "paper": loops.DISTANCE, "clamp": loops.CLAMP, "sign": loops.SIGN}


def contract(
    input: Tensor,
    weight: Tensor,
    at_output: Tensor | None,
    at_input: Tensor | None,
    at_weight: Tensor | None,
    slot: str,
    slope: str,
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
    negative: bool = False,
) -> Tensor:
    """Arguments and result as for `kernels.adder.contract`; no derivatives. What has no loop here goes to torch.

    That is the gradient of the weight, which is a convolution's, all terms of higher derivatives, and the gradient of
    the input where a weight is not finite: a tap that lies outside the picture must not meet it.
    """
    geometry = (stride, padding, dilation, groups, negative)
    plain = at_input is None and at_weight is None and input.numel() > 0 and weight.numel() > 0
    if plain and slot == "output" and at_output is None and slope in ("distance", "paper"):
        return _forward(input, weight, *geometry)
    sent = at_output is not None and at_output.numel() > 0
    if plain and slot == "input" and sent and slope in ("clamp", "sign") and math.isfinite(weight.sum()):
        return _input_gradient(input, weight, at_output, slope, *geometry)
    return contract_in_tiles(input, weight, at_output, at_input, at_weight, slot, slope, *geometry)


def _forward(input, weight, stride, padding, dilation, groups, negative) -> Tensor:
    result = room(input, weight, "output", stride, padding, dilation)
    if result.numel() == 0:
        return result
    O, _, KH, KW = weight.shape
    (sy, sx), (dy, dx) = stride, dilation
    taps = [(u * dy, v * dx) for u in range(KH) for v in range(KW)]
    if (sy, sx) == (1, 1):
        flat, plane, pitch = _framed(input, *padding)
    else:
        flat, plane, pitch = _parted(input, stride, padding, {(y % sy, x % sx) for y, x in taps})
    part = plane // (sy * sx)
    offsets = tuple((y % sy * sx + x % sx) * part + y // sy * pitch + x // sx for y, x in taps)
    kernel = weight.reshape(groups, O // groups, -1)
    return _summed("distance", flat, plane, pitch, offsets, kernel, None, result, negative)


def _parted(input, stride, padding, remainders) -> tuple[Tensor, int, int]:
    """As `_framed`, each plane cut into stride × stride planes of every stride-th row and column."""
    (B, C, H, W), (sy, sx), (top, bottom, left, right) = input.shape, stride, padding
    rows, columns = -(-(top + H + bottom) // sy), -(-(left + W + right) // sx)
    count = B * C * sy * sx * rows * columns
    flat = input.new_zeros(count + loops.lanes(input.element_size()))
    parts = flat[:count].view(B, C, sy, sx, rows, columns)
    for y, x in remainders:
        i, j = -((y - top) // sy), -((x - left) // sx)  # the first place of this part that lies in the picture
        part = input[:, :, i * sy + y - top :: sy, j * sx + x - left :: sx]
        parts[:, :, y, x, i : i + part.shape[2], j : j + part.shape[3]] = part
    return flat, sy * sx * rows * columns, columns


def _input_gradient(input, weight, sent, slope, stride, padding, dilation, groups, negative) -> Tensor:
    result = room(input, weight, "input", stride, padding, dilation)
    (H, W), (O, _, KH, KW), (OH, OW), G = input.shape[2:], weight.shape, sent.shape[2:], groups
    top, bottom, by_row = _remainders(H, OH, KH, stride[0], dilation[0], padding[0])
    left, right, by_column = _remainders(W, OW, KW, stride[1], dilation[1], padding[2])
    flat, plane, pitch = _framed(sent, top, bottom, left, right)
    kernels = weight.unflatten(0, (G, O // G)).transpose(1, 2)  # [G, C/G, O/G, KH, KW]
    step = [s // math.gcd(s, d) for s, d in zip(stride, dilation, strict=True)]  # between the taps of one remainder
    for y, (rows, missed_rows) in enumerate(by_row):
        for x, (columns, missed_columns) in enumerate(by_column):
            pixels = result[:, :, y :: stride[0], x :: stride[1]]
            if not rows or not columns:
                pixels.zero_()
                continue
            kernel = kernels[:, :, :, rows[0][0] :: step[0], columns[0][0] :: step[1]]
            offsets = tuple((top + i) * pitch + left + j for _, i in rows for _, j in columns)
            own = input[:, :, y :: stride[0], x :: stride[1]].contiguous()
            _summed(slope, flat, plane, pitch, offsets, kernel.flatten(2), own, pixels, negative)
            for m in missed_rows:  # no tap reaches these: they met padding only, which is 0, but 0 · NaN is not
                pixels[:, :, m] = 0
            for m in missed_columns:
                pixels[..., m] = 0
    return result


@functools.lru_cache(1024)
def _remainders(size: int, sent: int, taps: int, stride: int, dilation: int, before: int):
    """Along one axis of `size` pixels, for each remainder r by the stride: which taps meet the pixels m·stride + r.

    Returns the padding that `sent` places of gradient need before and after, and for each r the pairs (tap, offset),
    by which pixel m meets place m + offset, and the pixels m that meet none.
    """
    found, reach = [], [0, sent - 1]
    for r in range(min(stride, size)):
        pixels = range(-(-(size - r) // stride))
        at = [(u, divmod(r + before - u * dilation, stride)) for u in range(taps)]
        met = [(u, offset) for u, (offset, rest) in at if rest == 0]
        reach += [m + offset for _, offset in met for m in (0, pixels[-1])]
        found.append((met, [m for m in pixels if not any(0 <= m + offset < sent for _, offset in met)]))
    return -min(reach), max(reach) - sent + 1, found


def _framed(images: Tensor, top: int, bottom: int, left: int, right: int) -> tuple[Tensor, int, int]:
    """Images in a frame of zeros, flat, with room for one vector more; the elements of a plane, and of a row."""
    (B, C, H, W), lanes = images.shape, loops.lanes(images.element_size())
    rows, columns = top + H + bottom, left + W + right
    flat = images.new_empty(B * C * rows * columns + lanes)
    framed = flat[:-lanes].view(B, C, rows, columns)
    framed[:, :, top : top + H, left : left + W] = images
    frame = (framed[:, :, :top], framed[:, :, top + H :], framed[..., :left], framed[..., left + W :], flat[-lanes:])
    for part in frame:
        if part.numel():
            part.zero_()
    return flat, rows * columns, columns


def _summed(slope, source, plane, pitch, offsets, kernel, own, result, negative) -> Tensor:
    """Fill `result` `[B, G·N, H, W]` by the sums above.

    `source` flat, pictures of G·M planes of `plane` elements with rows `pitch` apart; `offsets` `(T)`; `kernel`
    `[G, N, M·T]`; `own` as `result`, or None.
    """
    (B, _, H, W), (G, N, K), T = result.shape, kernel.shape, len(offsets)
    kind = _KINDS[slope]
    rows = loops.ROWS[kind]
    whole = N - N % rows
    weight = kernel[:, :whole].unflatten(1, (whole // rows, rows)).transpose(2, 3).flatten(1)  # rows beside each other
    if whole < N:
        weight = torch.cat([weight, kernel[:, whole:].flatten(1)], 1)
    weight = weight.contiguous()  # [G, N·K], row n from n·K on
    weight_sums = weight
    if kind == loops.DISTANCE:
        weight_sums = torch.stack((kernel.sum(2), torch.linalg.vector_norm(kernel, 1, 2)), 2)  # [G, N, 2]
    total = result if result.is_contiguous() else torch.empty_like(result, memory_format=torch.contiguous_format)
    if pitch == W:  # rows follow each other without a gap: one long row
        H, W = 1, H * W
    sizes = (B, G, N, K // T, T, H, W, plane, pitch)
    own = total if own is None else own
    source, *rest = [t.detach().view(-1).numpy() for t in (source, weight, weight_sums, own, total)]
    one = source.dtype.type(1)
    arguments = (source, _places_of(offsets, K // T, plane), *rest, one, -one if negative else one, sizes)
    make_ready((loops.sum_tiles, result.dtype), lambda: loops.sum_tiles(kind, 0, 0, *arguments))  # no tile at all
    tiles = G * -(-B * H * W // (loops.VECTORS * loops.lanes(source.itemsize)))
    share(lambda start, stop: loops.sum_tiles(kind, start, stop, *arguments), tiles, torch.get_num_threads())
    return result if total is result else result.copy_(total)


@functools.lru_cache(1024)
def _places_of(offsets: tuple[int, ...], planes: int, plane: int) -> np.ndarray:
    """Where the taps of all planes lie, `[planes·T]`."""
    return np.add.outer(np.arange(planes) * plane, offsets).ravel()
