"""Four neighbours in a table, read, compared and added to in vector instructions: the inner steps of `in_numba`.

A table is flat; its rows of channels lie `C` apart, `C` = `right` to the next pixel and `below` to the next line, so a
sample between four pixels is at i, i + right, i + below and i + below + right. `n` vectors of channels are taken; what
does not fill a vector is the caller's. The intrinsics work inside `numba.njit` only and check nothing. Each element is
the same sum in the same order whatever its neighbours are, NaN and infinity among them.
"""

from __future__ import annotations

import contextlib

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convnotes.kernels.cpu.compile import loop
from convnotes.kernels.cpu.product import Matrices, multiply_rows
from convnotes.kernels.cpu.vectors import Vectors, lanes, pointer

_I64 = types.int64


class _Neighbours:
    """The arguments of an intrinsic below: an array from t on, `n` vectors, a table at four pixels, their weights."""

    def __init__(self, context, builder, signature, args) -> None:
        self.vectors = Vectors(context, builder, signature.args[0].dtype)
        self.array, self.table = (pointer(context, builder, signature.args[k], args[k]) for k in (0, 3))
        _, self.t, self.n, _, i, right, below, *weights = args
        under = builder.add(i, below)
        self.pixels = [i, builder.add(i, right), under, builder.add(under, right)]
        self.weights = [self.vectors.splat(w) for w in weights]

    @contextlib.contextmanager
    def each_vector(self):
        """A loop: where in the array the vector is, and where in the table at each of the four pixels."""
        builder = self.vectors.builder
        with cgutils.for_range(builder, self.n) as loop:
            e = builder.mul(loop.index, ir.Constant(ir.IntType(64), self.vectors.lanes))
            yield builder.add(self.t, e), [builder.add(pixel, e) for pixel in self.pixels]

    def blended(self, values):
        total = self.vectors.builder.fmul(self.weights[0], values[0])
        for weight, value in zip(self.weights[1:], values[1:], strict=True):
            total = self.vectors.call("fma", weight, value, total)
        return total


def _total(vectors: Vectors, vector):
    """The sum of the elements, in halves."""
    builder, i32 = vectors.builder, ir.IntType(32)
    width, anything = vectors.lanes, ir.Constant(vectors.type, ir.Undefined)
    while width > 1:
        width //= 2
        moved = [min(n + width, vectors.lanes - 1) for n in range(vectors.lanes)]
        mask = ir.Constant(ir.VectorType(i32, vectors.lanes), moved)
        vector = builder.fadd(vector, builder.shuffle_vector(vector, anything, mask))
    return builder.extract_element(vector, ir.Constant(i32, 0))


@intrinsic
def _blend(typingctx, target, t, n, table, i, right, below, a, b, c, d):
    """target[t + e] = a·table[i + e] + b·table[right of it] + c·table[below it] + d·table[below and right]"""

    def generate(context, builder, signature, args):
        four = _Neighbours(context, builder, signature, args)
        with four.each_vector() as (at, pixels):
            values = [four.vectors.load(four.table, pixel) for pixel in pixels]
            four.vectors.store(four.blended(values), four.array, at)
        return context.get_dummy_value()

    f = target.dtype
    return types.void(target, _I64, _I64, table, _I64, _I64, _I64, f, f, f, f), generate


@intrinsic
def _blend_and_compare(typingctx, columns, t, n, table, i, right, below, a, b, c, d):
    """Write what `blend` writes over a gradient, and return the sums of its products with the four pixels."""

    def generate(context, builder, signature, args):
        four = _Neighbours(context, builder, signature, args)
        vectors = four.vectors
        sums = [cgutils.alloca_once_value(builder, vectors.constant(0.0)) for _ in four.pixels]
        with four.each_vector() as (at, pixels):
            gradient = vectors.load(four.array, at)
            values = [vectors.load(four.table, pixel) for pixel in pixels]
            for total, value in zip(sums, values, strict=True):
                builder.store(vectors.call("fma", gradient, value, builder.load(total)), total)
            vectors.store(four.blended(values), four.array, at)
        totals = [_total(vectors, builder.load(total)) for total in sums]
        return context.make_tuple(builder, signature.return_type, totals)

    f = columns.dtype
    return types.UniTuple(f, 4)(columns, _I64, _I64, table, _I64, _I64, _I64, f, f, f, f), generate


@intrinsic
def _scatter(typingctx, columns, t, n, table, i, right, below, a, b, c, d):
    """The transpose of `blend`: a·columns[t + e] is added to table[i + e], and so on for the other three."""

    def generate(context, builder, signature, args):
        four = _Neighbours(context, builder, signature, args)
        vectors = four.vectors
        with four.each_vector() as (at, pixels):
            gradient = vectors.load(four.array, at)
            for pixel, weight in zip(pixels, four.weights, strict=True):
                total = vectors.call("fma", weight, gradient, vectors.load(four.table, pixel))
                vectors.store(total, four.table, pixel)
        return context.get_dummy_value()

    f = columns.dtype
    return types.void(columns, _I64, _I64, table, _I64, _I64, _I64, f, f, f, f), generate


@loop
def locate(start, stop, chunk, table, offset, mask, columns, first, y, x, m, sizes, derived):
    """Where the samples of the positions start to stop lie: the first pixel in the table, the two fractions, the mask.

    A position is held as whole pixel and fraction, which are never added. One that lies outside altogether, or is NaN,
    reads from the last column of one line of the frame and the first of the next: zeros, whatever the fractions are.
    At −1 exactly a sample reads no pixel, but it is `derived` as a position further in.
    """
    _, C, H, W, _, _, KH, KW, h, w, G, sy, sx, top, left, dy, dx = sizes
    real = y.dtype.type
    K, zero, one, least, most = KH * KW, real(0), real(1), real(np.finfo(y.dtype).min), real(np.finfo(y.dtype).max)
    P, line, bottom, end = len(first) // (G * K), (W + 2) * C, real(H), real(W)
    done = start
    while done < stop:
        row, j0 = divmod(done, w)
        b, i = divmod(row, h)
        count = min(w - j0, stop - done)
        for g in range(G):
            corner = b * (H + 2) * line + line + C + g * (C // G)
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
                    pixel_y = pixel_y if inside else -one
                    pixel_x = pixel_x if inside else end
                    firsts[j] = corner + np.int64(pixel_y) * line + np.int64(pixel_x) * C
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
    C, W, G, K, one = sizes.C, sizes.W, sizes.G, sizes.KH * sizes.KW, y.dtype.type(1)
    n = C // G
    P, below, lane = len(first) // (G * K), (W + 2) * C, lanes(table.itemsize)
    vectors = n // lane
    for place in range(start - chunk, stop - chunk):
        for k in range(K):
            for g in range(G):
                s = (g * K + k) * P + place
                i, right = first[s], x[s]
                down = y[s] * m[s]
                up, left = (one - y[s]) * m[s], one - right
                q00, q01, q10, q11 = up * left, up * right, down * left, down * right
                t = (place * K + k) * C + g * n
                _blend(columns, t, vectors, table, i, C, below, q00, q01, q10, q11)
                for e in range(vectors * lane, n):
                    upper = q00 * table[i + e] + q01 * table[i + C + e]
                    columns[t + e] = upper + q10 * table[i + below + e] + q11 * table[i + below + C + e]


@loop
def compare(start, stop, chunk, table, offset, mask, columns, first, y, x, m, sizes, by_offset, by_mask):
    """Write samples over their gradients in the columns, and write the gradients of offset and mask."""
    C, W, h, w, G, K = sizes.C, sizes.W, sizes.h, sizes.w, sizes.G, sizes.KH * sizes.KW
    n, one, zero = C // G, y.dtype.type(1), y.dtype.type(0)
    P, below, lane = len(first) // (G * K), (W + 2) * C, lanes(table.itemsize)
    vectors = n // lane
    for place in range(start - chunk, stop - chunk):
        b, p = divmod(chunk + place, h * w)
        for k in range(K):
            for g in range(G):
                s = (g * K + k) * P + place
                i, right, lower = first[s], x[s], y[s]
                upper, left = one - lower, one - right
                up, down = upper * m[s], lower * m[s]
                q00, q01, q10, q11 = up * left, up * right, down * left, down * right
                t = (place * K + k) * C + g * n
                d00, d01, d10, d11 = _blend_and_compare(columns, t, vectors, table, i, C, below, q00, q01, q10, q11)
                for e in range(vectors * lane, n):
                    v00, v01, v10, v11 = table[i + e], table[i + C + e], table[i + below + e], table[i + below + C + e]
                    gradient = columns[t + e]
                    d00, d01 = d00 + gradient * v00, d01 + gradient * v01
                    d10, d11 = d10 + gradient * v10, d11 + gradient * v11
                    columns[t + e] = q00 * v00 + q01 * v01 + q10 * v10 + q11 * v11
                above, under = d00 * left + d01 * right, d10 * left + d11 * right
                at = ((b * G + g) * K + k) * h * w + p
                if len(mask):
                    by_mask[at] = upper * above + lower * under
                at += ((b * G + g) * K + k) * h * w
                # an infinite offset is cut to the largest number, and a cut has no slope
                by_offset[at] = m[s] * (under - above) if np.isfinite(offset[at]) else zero
                at += h * w
                by_offset[at] = up * (d01 - d00) + down * (d11 - d10) if np.isfinite(offset[at]) else zero


@loop
def collect(job, end_job, chunk, stop, block, table, offset, mask, columns, first, y, x, m, sizes, by_table):
    """Add the gradients of the columns of a chunk to the pixels they come from: jobs are blocks of channels."""
    C, W, G, K, one = sizes.C, sizes.W, sizes.G, sizes.KH * sizes.KW, y.dtype.type(1)
    n = C // G
    P, below, lane = len(first) // (G * K), (W + 2) * C, lanes(table.itemsize)
    blocks = -(-n // block)
    while job < end_job:
        g, c = divmod(job, blocks)
        c *= block
        channels = min(block, n - c)
        vectors = channels // lane
        for place in range(stop - chunk):
            for k in range(K):
                s = (g * K + k) * P + place
                i, right = first[s] + c, x[s]
                down = y[s] * m[s]
                up, left = (one - y[s]) * m[s], one - right
                q00, q01, q10, q11 = up * left, up * right, down * left, down * right
                t = (place * K + k) * C + g * n + c
                _scatter(columns, t, vectors, by_table, i, C, below, q00, q01, q10, q11)
                for e in range(vectors * lane, channels):
                    gradient = columns[t + e]
                    by_table[i + e] += q00 * gradient
                    by_table[i + C + e] += q01 * gradient
                    by_table[i + below + e] += q10 * gradient
                    by_table[i + below + C + e] += q11 * gradient
        job += 1


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
