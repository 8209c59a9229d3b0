"""The loop behind `in_numba`, whose sums never leave the registers of the processor.

`sum_tiles` takes tiles of `WIDTH` positions. It gathers the taps of some source planes into columns `[k, WIDTH]`,
which fit the first cache, and then for a few rows r at a time ::

    sums[r,p] += Σ_k |columns[k,p] − w[k,r]|                  distance
    sums[r,p] += Σ_k f(own[r,p] − w[k,r]) · columns[k,p]      clamp: f(d) = clamp(d, −1, 1);  sign: f = sign

with the rows × WIDTH sums in registers while k runs. That needs vector instructions, which numba intrinsics write here:
a compiler that vectorises a loop of scalars keeps the sums in memory, and is up to twice as slow on small maps.

A distance is first tried as 2 Σ max(x, w) − Σ x − Σ w, two operations per tap instead of three. Its rounding errors
grow with Σ|x| + Σ|w|, so it is kept where it is at least a quarter of that, as for values that have little to do with
each other; a tile with a closer match in it, or with NaN or infinity, is summed again as Σ |x − w|.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable

from convnotes.kernels.cpu.compile import loop
from convnotes.kernels.cpu.vectors import RANGE, WIDE, Vectors, copy, copy_some, inside, lanes, pointer

VECTORS = 4 if WIDE else 2  # of positions in a tile
_ROWS = 4  # of sums in the registers at a time
_SLOPE_ROWS = 4 if WIDE else 2  # where the rows' own values take as many registers as the sums
_COLUMNS = 72  # of a tile at a time: 8 planes and 3×3 taps take 23 KiB
FROM = 8  # rows from which on the maxima pay
_CLOSE = 0.25  # a distance below this share of Σ|x| + Σ|w| is not taken from the maxima
_INDEX = ir.IntType(64)
DISTANCE, MAXIMUM, CLAMP, SIGN = range(4)  # what can be summed
ROWS = (_ROWS, _ROWS, _SLOPE_ROWS, _SLOPE_ROWS)  # rows of it at a time, whose weights lie beside each other


class Tiles(NamedTuple):
    """Sizes: `source` is `[B, G·M, plane]`, whose parts have `rows` of `pitch` columns; the result `[B, G·N, H, W]`."""

    B: int
    G: int
    N: int
    M: int
    T: int  # taps
    H: int
    W: int
    plane: int
    rows: int
    pitch: int


def _block(slope: str, rows: int):
    """The intrinsic `(sums, columns, taps, weight, w0, own, r0, one)` of the sum above, or of max(columns, w).

    For "seen" there are two rows, the sums of the columns and of their sizes, and the weights do not count.

    All arrays are flat: `sums` and `own` `[…, WIDTH]` from row r0 on, `columns` `[taps, WIDTH + lanes]`, `weight`
    `[taps, rows]` from element w0 on. `one` is a 1 of which the compiler does not know: by it a sum or a difference
    becomes a fused multiply-add of the same bits, which runs beside the other half on pipes of its own.
    """
    clamps = slope == "clamp" and RANGE

    @intrinsic
    def sum_taps(typingctx, sums, columns, taps, weight, w0, own, r0, one):
        def generate(context, builder, signature, args):
            vectors = Vectors(context, builder, sums.dtype)
            S, C, W, X = (pointer(context, builder, signature.args[n], args[n]) for n in (0, 1, 3, 5))
            count, first_weight, first_row, one = args[2], args[4], args[6], vectors.splat(args[7])
            width = VECTORS * vectors.lanes
            places = range(0, width, vectors.lanes)
            index = functools.partial(ir.Constant, _INDEX)
            start = builder.mul(first_row, index(width))
            cells = [(r, builder.add(start, index(r * width + p))) for r in range(rows) for p in places]
            x = [vectors.load(X, cell) for _, cell in cells] if slope in ("clamp", "sign") else []

            def body(k, totals):
                at_tap = builder.mul(k, index(width + vectors.lanes))
                column = [vectors.load(C, builder.add(at_tap, index(p))) for p in places]
                at_weight = builder.add(first_weight, builder.mul(k, index(rows)))
                scalars = [builder.load(builder.gep(W, [builder.add(at_weight, index(r))])) for r in range(rows)]
                sums_now = []
                for n, (r, _) in enumerate(cells):
                    w, c = vectors.splat(scalars[r]), column[n % len(column)]
                    if slope == "seen":
                        term, factor = vectors.call("fabs", c) if r else c, one
                    elif slope == "distance":
                        term, factor = vectors.call("fabs", builder.fsub(c, w)), one
                    elif slope == "maximum":
                        term, factor = vectors.where("<", w, c, c, w), one
                    else:  # half of the differences on either kind of pipe: 1.15 times as fast on Zen 5
                        d = vectors.call("fma", x[n], one, builder.fneg(w)) if n % 2 else builder.fsub(x[n], w)
                        bounds = vectors.constant(1.0)
                        term, factor = vectors.nearer_to_zero(d, bounds) if clamps else _bounded(vectors, d, slope), c
                    sums_now.append(vectors.call("fma", term, factor, totals[n]))
                return sums_now

            totals = vectors.summed(len(cells), count)(body)
            for n, ((_, cell), total) in enumerate(zip(cells, totals, strict=True)):
                total = builder.fadd(vectors.load(S, cell), total)
                if clamps:
                    total = builder.select(builder.fcmp_unordered("uno", x[n], x[n]), x[n], total)  # NaN stays
                vectors.store(total, S, cell)
            return context.get_dummy_value()

        i = types.int64
        return types.void(sums, columns, i, weight, i, own, i, sums.dtype), generate

    return sum_taps


@intrinsic
def _distance(typingctx, sums, first, seen, ours, size, count):
    """A row of Σ max(x, w) becomes Σ |x − w|; whether its first `count` positions kept their digits and are finite."""

    def generate(context, builder, signature, args):
        vectors = Vectors(context, builder, sums.dtype)
        S, X = (pointer(context, builder, signature.args[n], args[n]) for n in (0, 2))
        ours, size, count = (vectors.splat(args[n]) for n in (3, 4, 5))
        close, infinite, width = vectors.constant(_CLOSE), vectors.constant(float("inf")), VECTORS * vectors.lanes
        good = []
        for p in range(0, width, vectors.lanes):
            at, beside = builder.add(args[1], ir.Constant(_INDEX, p)), ir.Constant(_INDEX, width + p)
            maxima, columns = vectors.load(S, at), vectors.load(X, ir.Constant(_INDEX, p))
            distance = builder.fadd(builder.fsub(builder.fsub(maxima, columns), ours), maxima)
            vectors.store(distance, S, at)
            least = builder.fmul(close, builder.fadd(vectors.load(X, beside), size))
            far = builder.fcmp_ordered(">=", distance, least)
            far = builder.and_(far, builder.fcmp_ordered("<", distance, infinite))
            good.append(builder.or_(far, builder.icmp_signed(">=", vectors.numbers(p), count)))
        good = functools.reduce(builder.and_, good)
        bits = ir.IntType(vectors.lanes)
        return builder.icmp_unsigned("==", builder.bitcast(good, bits), ir.Constant(bits, -1))

    return types.boolean(sums, types.int64, seen, sums.dtype, sums.dtype, types.int64), generate


def _bounded(vectors: Vectors, d, slope: str):
    """clamp(d, −1, 1), where a NaN stays one, or the sign of d, 0 for a NaN: both as in torch."""
    one, minus_one, zero = (vectors.constant(value) for value in (1.0, -1.0, 0.0))
    if slope == "sign":
        return vectors.where(">", d, zero, one, vectors.where("<", d, zero, minus_one, zero))
    d = vectors.where(">", d, one, one, d)
    return vectors.where("<", d, minus_one, minus_one, d)


def _sum_rows(slope: str, many: int):
    """The sum for rows r0 to r1, `many` at a time; row r's weights are at w0 + r·`row`, and from m on among them."""
    block, single = _block(slope, many), _block(slope, 1)

    @register_jitable
    def sum_rows(sums, r0, r1, columns, taps, weight, w0, row, m, x, one):
        left = (r1 - r0) % many
        for r in range(r0, r1 - left, many):
            block(sums, columns, taps, weight, w0 + r * row + m * many, x, r, one)
        for r in range(r1 - left, r1):
            single(sums, columns, taps, weight, w0 + r * row + m, x, r, one)

    return sum_rows


_distances, _maxima = _sum_rows("distance", _ROWS), _sum_rows("maximum", _ROWS)
_clamps, _signs = _sum_rows("clamp", _SLOPE_ROWS), _sum_rows("sign", _SLOPE_ROWS)
_seen = _block("seen", 2)


_borrowing = register_jitable(_nrt=False)  # functions that own no array, and count none that they pass on


@register_jitable
def _room(count, like):
    """Zeros from the beginning of a line of the cache on, so that no vector straddles two."""
    room = np.zeros(count + 64, like.dtype)
    return room[-room.ctypes.data % 64 // room.itemsize :][:count]


@loop
def sum_tiles(start, stop, kind, source, taps, weight, weight_sums, own, target, one, sign, sizes):
    """Tiles start to stop of G times all positions of all images; arguments as in `in_numba._summed`, flat."""
    N, M, T, size = sizes.N, sizes.M, sizes.T, source.itemsize
    tile, one, sign = VECTORS * lanes(size), source.dtype.type(one), source.dtype.type(sign)
    some = min(M, max(1, _COLUMNS // T))  # planes at a time
    columns, sums = _room(some * T * (tile + lanes(size)), source), _room(N * tile, source)
    x, seen = _room(1 if kind == DISTANCE else N * tile, source), _room(2 * tile, source)
    runs = np.empty((tile, 3), np.int64)  # of positions that follow each other in source: the first, where, how many
    rows_of, columns_of = np.zeros(2 * tile, np.int32), np.zeros(2 * tile, np.int32)
    within = np.empty(T, np.int64)  # for each tap a bit per position: whether it sees the image from there
    scratch = (columns, sums, x, seen, runs, rows_of, columns_of, within)
    for job in range(start, stop):
        _sum_tile(job, kind, some, scratch, source, taps, weight, weight_sums, own, target, one, sign, sizes)


@_borrowing
def _sum_tile(job, kind, some, scratch, source, taps, weight, weight_sums, own, target, one, sign, sizes):
    B, G, N, M, T, H, W, plane, rows, pitch = sizes
    columns, sums, x, seen, runs, rows_of, columns_of, within = scratch
    vector = lanes(source.itemsize)
    tile = VECTORS * vector
    tiles = -(-B * H * W // tile)
    group, first = job // tiles, job % tiles * tile
    count = min(tile, B * H * W - first)
    n_runs = done = 0
    while done < count:
        row, j = divmod(first + done, W)
        b, i = divmod(row, H)
        length = min(W - j if pitch != W else (H - i) * W - j, count - done)
        runs[n_runs] = done, (b * G + group) * M * plane + i * pitch + j, length
        n_runs += 1
        for place in range(done, done + length):
            rows_of[place], columns_of[place] = i, j
            j += 1
            if j == W:
                i, j = i + 1, 0
        done += length
    for t in range(T):
        y, x_ = taps[3 * t + 1], taps[3 * t + 2]
        within[t] = 0
        for p in range(0, tile, vector):
            bits = inside(source, rows_of, p, y, rows) & inside(source, columns_of, p, x_, pitch)
            within[t] |= bits << p
    if kind != DISTANCE:
        _move(x, own, True, group, first, count, tile, sizes)
    elif N >= FROM:
        kind = MAXIMUM
    weights = group * N * M * T
    while True:
        sums[:] = 0
        seen[:] = 0
        for m in range(0, M, some):
            planes = min(some, M - m)
            for run in range(n_runs):
                _gather(columns, runs[run], source, m * plane, planes, taps, within, sizes)
            k, at = planes * T, m * T
            if kind == DISTANCE:
                _distances(sums, 0, N, columns, k, weight, weights, M * T, at, x, one)
            elif kind == MAXIMUM:
                _maxima(sums, 0, N, columns, k, weight, weights, M * T, at, x, one)
                _seen(seen, columns, k, weight, 0, x, 0, one)
            elif kind == CLAMP:
                _clamps(sums, 0, N, columns, k, weight, weights, M * T, at, x, one)
            else:
                _signs(sums, 0, N, columns, k, weight, weights, M * T, at, x, one)
        if kind != MAXIMUM:
            break
        far = True
        for n in range(N):
            ours, size = weight_sums[2 * (group * N + n)], weight_sums[2 * (group * N + n) + 1]
            far &= _distance(sums, n * tile, seen, ours, size, count)
        if far:
            break
        kind = DISTANCE
    for n in range(N * tile):
        sums[n] *= sign
    _move(sums, target, False, group, first, count, tile, sizes)


@_borrowing
def _gather(columns, run, source, first, planes, taps, within, sizes):
    """What the taps of some planes see from a run of positions, zeros outside the image.

    Whole vectors are written, also past the end of the run; the next run, if there is one, overwrites that.
    """
    place, at, length = run
    T, plane, pitch = sizes.T, sizes.plane, sizes.pitch
    vector = lanes(source.itemsize)
    width = VECTORS * vector + vector  # of the columns: what is written past the last run lies in the gap
    for t in range(T):
        start = at + first + taps[3 * t] + taps[3 * t + 1] * pitch + taps[3 * t + 2]
        for step in range(0, length, vector):
            seen = within[t] >> (place + step) & (1 << min(vector, length - step)) - 1
            to, from_ = t * width + place + step, start + step
            if seen == (1 << vector) - 1:
                for m in range(planes):
                    copy(columns, to + m * T * width, source, from_ + m * plane)
            else:
                for m in range(planes):
                    copy_some(columns, to + m * T * width, source, from_ + m * plane, seen)


@_borrowing
def _move(tile, maps, inwards, group, first, count, width, sizes):
    """Copy `[N, width]` from, or to, the positions `first` to `first` + `count` of maps `[B, G, N, H·W]`."""
    G, N, H, W = sizes.G, sizes.N, sizes.H, sizes.W
    to, source = (tile, maps) if inwards else (maps, tile)
    vector, done = lanes(tile.itemsize), 0
    while done < count:
        b, place = divmod(first + done, H * W)
        length = min(H * W - place, count - done)
        whole = length - length % vector
        for n in range(N):
            here, there = n * width + done, ((b * G + group) * N + n) * H * W + place
            i, j = (here, there) if inwards else (there, here)
            for step in range(0, whole, vector):
                copy(to, i + step, source, j + step)
            for step in range(whole, length):
                to[i + step] = source[j + step]
        done += length
