"""Four neighbours in a table, read, compared and added to in vector instructions: the inner steps of `in_numba`.

A table `[B, H, W, C]` is flat. The first of the four pixels of a sample is given as 16·i + those of the four that lie
in the image, as bits: i, i + right, i + below and i + below + right, where `right` is C and `below` a line. What is no
pixel of the image is read from the `frame`, zeros, or added to it, for nothing: so nothing lies around the table. The
intrinsics work inside `numba.njit` only and check nothing. Each element is the same sum in the same order whatever its
neighbours are, NaN and infinity among them.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convnotes.kernels.cpu.compile import loop
from convnotes.kernels.cpu.vectors import Vectors, pointer
from convnotes.kernels.deform.product import Matrices, multiply_rows

_I64 = types.int64


class _Neighbours:
    """The arguments of an intrinsic below: an array from t on, `n` channels of four pixels, the weights of these."""

    def __init__(self, context, builder, signature, args) -> None:
        self.builder, dtype = builder, signature.args[0].dtype
        self.vectors, self.single = Vectors(context, builder, dtype), Vectors(context, builder, dtype, single=True)
        self.array, table, frame = (pointer(context, builder, signature.args[k], args[k]) for k in (0, 3, 4))
        _, self.t, self.n, _, _, first, right, below, *self.weights = args
        self.pixels = []
        for n, way in enumerate((_number(0), right, below, builder.add(below, right))):
            pixel = builder.gep(table, [builder.add(builder.ashr(first, _number(4)), way)])
            is_there = builder.icmp_signed("!=", builder.and_(first, _number(1 << n)), _number(0))
            self.pixels.append(builder.select(is_there, pixel, frame))

    def each(self, body) -> None:
        """Write `body(vectors, weights, place in the array, channel)` for all whole vectors, then for the rest."""
        whole = self.builder.and_(self.n, _number(-self.vectors.lanes))
        for vectors, start, stop in ((self.vectors, _number(0), whole), (self.single, whole, self.n)):
            weights = [vectors.splat(weight) for weight in self.weights]
            with cgutils.for_range_slice(self.builder, start, stop, _number(vectors.lanes)) as (channel, _):
                body(vectors, weights, self.builder.add(self.t, channel), channel)


def _number(value: int) -> ir.Constant:
    return ir.Constant(ir.IntType(64), value)


def _blended(vectors: Vectors, weights, values):
    total = vectors.builder.fmul(weights[0], values[0])
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = vectors.call("fma", weight, value, total)
    return total


def _totals(vectors: Vectors, four):
    """The sum of the elements of each of four vectors, in halves, all four at once."""
    builder, i32, n = vectors.builder, ir.IntType(32), vectors.lanes
    if n == 1:
        return [builder.extract_element(one, ir.Constant(i32, 0)) for one in four]

    def mixed(a, b, places):
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(i32, n), places))

    def halves(a, b, width):  # sums of neighbouring runs of `width`, those of a, then those of b
        even = [start + e for start in range(0, 2 * n, 2 * width) for e in range(width)]
        return builder.fadd(mixed(a, b, even), mixed(a, b, [place + width for place in even]))

    sums = halves(halves(four[0], four[1], n // 2), halves(four[2], four[3], n // 2), n // 4)
    width = n // 4  # of each sum
    while width > 1:
        width //= 2
        sums = builder.fadd(sums, mixed(sums, sums, [min(e + width, n - 1) for e in range(n)]))
    return [builder.extract_element(sums, ir.Constant(i32, e)) for e in range(0, n, n // 4)]


@intrinsic
def _blend(typingctx, target, t, n, table, frame, first, right, below, a, b, c, d):
    """target[t + e] = a·(first pixel)[e] + b·(the one right of it)[e] + c·(below it)[e] + d·(below and right)[e]"""

    def generate(context, builder, signature, args):
        four = _Neighbours(context, builder, signature, args)

        def body(vectors, weights, at, channel):
            values = [vectors.load(pixel, channel) for pixel in four.pixels]
            vectors.store(_blended(vectors, weights, values), four.array, at)

        four.each(body)
        return context.get_dummy_value()

    f = target.dtype
    return types.void(target, _I64, _I64, table, frame, _I64, _I64, _I64, f, f, f, f), generate


@intrinsic
def _blend_and_compare(typingctx, columns, t, n, table, frame, first, right, below, a, b, c, d):
    """Write what `blend` writes over a gradient, and return the sums of its products with the four pixels."""

    def generate(context, builder, signature, args):
        four = _Neighbours(context, builder, signature, args)
        sums = {
            vectors: [cgutils.alloca_once_value(builder, vectors.constant(0.0)) for _ in four.pixels]
            for vectors in (four.vectors, four.single)
        }

        def body(vectors, weights, at, channel):
            gradient = vectors.load(four.array, at)
            values = [vectors.load(pixel, channel) for pixel in four.pixels]
            for total, value in zip(sums[vectors], values, strict=True):
                builder.store(vectors.call("fma", gradient, value, builder.load(total)), total)
            vectors.store(_blended(vectors, weights, values), four.array, at)

        four.each(body)
        parts = [_totals(vectors, [builder.load(total) for total in own]) for vectors, own in sums.items()]
        totals = [builder.fadd(whole, rest) for whole, rest in zip(*parts, strict=True)]
        return context.make_tuple(builder, signature.return_type, totals)

    f = columns.dtype
    return types.UniTuple(f, 4)(columns, _I64, _I64, table, frame, _I64, _I64, _I64, f, f, f, f), generate


@intrinsic
def _scatter(typingctx, columns, t, n, table, frame, first, right, below, a, b, c, d):
    """The transpose of `blend`: a·columns[t + e] is added to (first pixel)[e], and so on for the other three."""

    def generate(context, builder, signature, args):
        four = _Neighbours(context, builder, signature, args)

        def body(vectors, weights, at, channel):
            gradient = vectors.load(four.array, at)
            for pixel, weight in zip(four.pixels, weights, strict=True):
                vectors.store(vectors.call("fma", weight, gradient, vectors.load(pixel, channel)), pixel, channel)

        four.each(body)
        return context.get_dummy_value()

    f = columns.dtype
    return types.void(columns, _I64, _I64, table, frame, _I64, _I64, _I64, f, f, f, f), generate


@loop
def locate(start, stop, chunk, table, offset, mask, columns, first, y, x, m, sizes, derived):
    """Where the samples of the positions start to stop lie: the first pixel as above, the two fractions, the mask.

    A position is held as whole pixel and fraction, which are never added. One that lies outside altogether, or is NaN,
    reads no pixel. So does one at −1 exactly, but it is `derived` as a position further in.
    """
    _, C, H, W, _, _, KH, KW, h, w, G, sy, sx, top, left, dy, dx = sizes
    real = y.dtype.type
    K, zero, one, least, most = KH * KW, real(0), real(1), real(np.finfo(y.dtype).min), real(np.finfo(y.dtype).max)
    P, line, bottom, end = len(first) // (G * K), W * C, real(H), real(W)
    done = start
    while done < stop:
        row, j0 = divmod(done, w)
        b, i = divmod(row, h)
        count = min(w - j0, stop - done)
        for g in range(G):
            corner = b * H * line + g * (C // G)
            for k in range(K):
                u, v = divmod(k, KW)
                at = (((b * G + g) * K + k) * 2 * h + i) * w + j0
                move_y, move_x = offset[at : at + count], offset[at + h * w : at + h * w + count]
                to = (g * K + k) * P + done - chunk
                ys, xs, firsts = y[to : to + count], x[to : to + count], first[to : to + count]
                row_0, column_0 = real(i * sy - top + u * dy), j0 * sx - left + v * dx
                for j in range(count):
                    away_y, away_x = move_y[j], move_x[j]
                    away_y = least if away_y < least else most if away_y > most else away_y
                    away_x = least if away_x < least else most if away_x > most else away_x
                    pixel_y, pixel_x = np.floor(away_y), np.floor(away_x)
                    fraction_y, fraction_x = away_y - pixel_y, away_x - pixel_x
                    pixel_y += row_0
                    pixel_x += real(column_0 + j * sx)
                    inside = (pixel_y >= -one) & (pixel_y < bottom) & (pixel_x >= -one) & (pixel_x < end)
                    if not derived:
                        inside &= ((pixel_y >= zero) | (fraction_y > zero)) & ((pixel_x >= zero) | (fraction_x > zero))
                    whole_y, whole_x = np.int64(pixel_y if inside else -one), np.int64(pixel_x if inside else -one)
                    lines = (1 if whole_y >= 0 else 0) | (4 if whole_y < H - 1 else 0)
                    pairs = (1 if whole_x >= 0 else 0) | (2 if whole_x < W - 1 else 0)
                    firsts[j] = (corner + whole_y * line + whole_x * C) * 16 + (lines * pairs if inside else 0)
                    ys[j], xs[j] = fraction_y, fraction_x
                if len(mask):
                    at = (((b * G + g) * K + k) * h + i) * w + j0
                    m[to : to + count] = mask[at : at + count]
                else:
                    m[to : to + count] = one
        done += count


@loop
def sample(start, stop, chunk, table, offset, mask, columns, first, y, x, m, sizes):
    """Fill the columns of the positions start to stop."""
    locate(start, stop, chunk, table, offset, mask, columns, first, y, x, m, sizes, False)
    C, G, K, one = sizes.C, sizes.G, sizes.KH * sizes.KW, y.dtype.type(1)
    n, P, below = C // G, len(first) // (G * K), sizes.W * C
    frame = np.zeros(n, columns.dtype)
    for place in range(start - chunk, stop - chunk):
        for k in range(K):
            for g in range(G):
                s, t = (g * K + k) * P + place, (place * K + k) * C + g * n
                down, right = y[s] * m[s], x[s]
                up, left = (one - y[s]) * m[s], one - right
                q00, q01, q10, q11 = up * left, up * right, down * left, down * right
                _blend(columns, t, n, table, frame, first[s], C, below, q00, q01, q10, q11)


@loop
def compare(start, stop, chunk, table, offset, mask, columns, first, y, x, m, sizes, by_offset, by_mask):
    """Write samples over their gradients in the columns, and write the gradients of offset and mask."""
    C, h, w, G, K, one = sizes.C, sizes.h, sizes.w, sizes.G, sizes.KH * sizes.KW, y.dtype.type(1)
    n, P, below, many, zero = C // G, len(first) // (G * K), sizes.W * C, stop - start, y.dtype.type(0)
    frame = np.zeros(n, columns.dtype)
    products = np.empty((4, G * K * many), columns.dtype)
    for place in range(many):
        for k in range(K):
            for g in range(G):
                s, t = (g * K + k) * P + start - chunk + place, ((start - chunk + place) * K + k) * C + g * n
                right, left = x[s], one - x[s]
                up, down = (one - y[s]) * m[s], y[s] * m[s]
                q00, q01, q10, q11 = up * left, up * right, down * left, down * right
                found = _blend_and_compare(columns, t, n, table, frame, first[s], C, below, q00, q01, q10, q11)
                s = (g * K + k) * many + place
                products[0, s], products[1, s], products[2, s], products[3, s] = found
    done = start
    while done < stop:
        b, p = divmod(done, h * w)
        count = min(h * w - p, stop - done)
        for g in range(G):
            for k in range(K):
                for j in range(count):
                    s, r = (g * K + k) * P + done - chunk + j, (g * K + k) * many + done - start + j
                    d00, d01, d10, d11 = products[0, r], products[1, r], products[2, r], products[3, r]
                    lower, right = y[s], x[s]
                    upper, left = one - lower, one - right
                    above, under = d00 * left + d01 * right, d10 * left + d11 * right
                    at = ((b * G + g) * K + k) * h * w + p + j
                    if len(mask):
                        by_mask[at] = upper * above + lower * under
                    at += ((b * G + g) * K + k) * h * w
                    # an infinite offset is cut to the largest number, and a cut has no slope
                    by_offset[at] = m[s] * (under - above) if np.isfinite(offset[at]) else zero
                    at += h * w
                    along = upper * m[s] * (d01 - d00) + lower * m[s] * (d11 - d10)
                    by_offset[at] = along if np.isfinite(offset[at]) else zero
        done += count


@loop
def collect(job, end_job, chunk, stop, block, table, offset, mask, columns, first, y, x, m, sizes, by_table):
    """Add the gradients of the columns of a chunk to the pixels they come from: jobs are blocks of channels."""
    C, G, K, one = sizes.C, sizes.G, sizes.KH * sizes.KW, y.dtype.type(1)
    n, P, below = C // G, len(first) // (G * K), sizes.W * C
    frame = np.zeros(n, columns.dtype)
    first_g, first_c = divmod(job, -(-n // block))
    for place in range(stop - chunk):
        for k in range(K):
            g, c = first_g, first_c * block
            for _ in range(job, end_job):
                s, t = (g * K + k) * P + place, (place * K + k) * C + g * n + c
                down, right = y[s] * m[s], x[s]
                up, left = (one - y[s]) * m[s], one - right
                q00, q01, q10, q11 = up * left, up * right, down * left, down * right
                channels = min(block, n - c)
                _scatter(columns, t, channels, by_table, frame, first[s] + 16 * c, C, below, q00, q01, q10, q11)
                c += block
                if c >= n:
                    g, c = g + 1, 0


@loop
def sample_and_multiply(start, stop, tile, table, offset, mask, kernel, out, by_place, sizes):
    """The outputs of the positions start to stop of a deformable convolution, some at a time; kernel packed.

    `out` is `[P, O]` where `by_place`, else `[B, O, h·w]`.
    """
    C, h, w, G, K = sizes.C, sizes.h, sizes.w, sizes.G, sizes.KH * sizes.KW
    columns, first = np.empty(tile * K * C, out.dtype), np.empty(G * K * tile, np.int64)
    down, right, m = np.empty(len(first), out.dtype), np.empty(len(first), out.dtype), np.empty(len(first), out.dtype)
    O = len(kernel) // (K * C)
    outputs = np.empty(0 if by_place else tile * O, out.dtype)
    for place in range(start, stop, tile):
        end = min(place + tile, stop)
        sample(place, end, place, table, offset, mask, columns, first, down, right, m, sizes)
        shape = Matrices(K * C, O, K * C, 1)
        if by_place:
            multiply_rows(0, end - place, columns, kernel, out[place * O : end * O], shape, False)
            continue
        multiply_rows(0, end - place, columns, kernel, outputs, shape, False)
        done = place
        while done < end:
            b, p = divmod(done, h * w)
            many = min(h * w - p, end - done)
            for o in range(O):
                to, at = (b * O + o) * h * w + p, (done - place) * O + o
                for n in range(many):
                    out[to + n] = outputs[at + n * O]
            done += many
