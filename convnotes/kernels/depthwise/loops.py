"""The loops behind `in_numba`, whose sums stay in the registers of the processor.

Images are flat, with their padding: a tap is an offset, the same for all positions. Outputs are summed a few rows by a
few vectors at a time. For the gradient of the weight all the positions of an image are one long run of memory; between
its rows lie zeros.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from convnotes.kernels.cpu.compile import loop
from convnotes.kernels.cpu.vectors import Vectors, lanes, pointer

_I64 = types.int64
_SUMS = 8  # vectors of positions that stay in the registers while the taps run, in one row or in several


def _taps(rows: int, many: int):
    @intrinsic
    def sum_taps(typingctx, target, t, pitch, source, s, below, taps, offsets, weight, w0, start):
        """target[t + r·pitch + e] = start + Σ_k weight[w0 + k] · source[s + r·below + offsets[k] + e].

        For `rows` rows r and `many` vectors e; `start` is a bias.
        """

        def generate(context, builder, signature, args):
            vectors, i64 = Vectors(context, builder, target.dtype), ir.IntType(64)
            T, S, O, W = (pointer(context, builder, signature.args[n], args[n]) for n in (0, 3, 7, 8))
            _, t, pitch, _, s, below, taps, _, _, w0, start = args

            def tile(first, apart):
                lines = [builder.add(first, builder.mul(apart, ir.Constant(i64, r))) for r in range(rows)]
                ends = [ir.Constant(i64, n * vectors.lanes) for n in range(many)]
                return [builder.add(line, end) for line in lines for end in ends]

            read = tile(s, below)

            def body(k, sums):
                at = builder.load(builder.gep(O, [k]))
                w = vectors.splat(builder.load(builder.gep(W, [builder.add(w0, k)])))
                return [
                    vectors.call("fma", w, vectors.load(S, builder.add(at, place)), total)
                    for place, total in zip(read, sums, strict=True)
                ]

            totals, start = vectors.summed(rows * many, taps)(body), vectors.splat(start)
            for place, total in zip(tile(t, pitch), totals, strict=True):
                vectors.store(builder.fadd(total, start), T, place)
            return context.get_dummy_value()

        i, array = _I64, target
        return types.void(array, i, i, source, i, i, i, offsets, weight, i, target.dtype), generate

    return sum_taps


_taps_2_4, _taps_4_2, _taps_8_1 = _taps(2, 4), _taps(4, 2), _taps(8, 1)
_taps_1_4, _taps_1_2, _taps_1_1 = _taps(1, 4), _taps(1, 2), _taps(1, 1)


@loop
def plane(source, below, target, h, w, taps, offsets, weight, w0, start):
    """The outputs `[h, w]` of one channel from its padded image, whose rows lie `below` apart, into whole vectors."""
    lane = lanes(target.itemsize)
    width = -(-w // lane) * lane  # of a row of target
    j = 0
    while j < width:
        many = 4 if width - j >= 4 * lane else 2 if width - j >= 2 * lane else 1
        rows, i = _SUMS // many, 0
        while i < h:
            t, s, all = i * width + j, i * below + j, h - i >= rows
            if many == 4 and all:
                _taps_2_4(target, t, width, source, s, below, taps, offsets, weight, w0, start)
            elif many == 4:
                _taps_1_4(target, t, width, source, s, below, taps, offsets, weight, w0, start)
            elif many == 2 and all:
                _taps_4_2(target, t, width, source, s, below, taps, offsets, weight, w0, start)
            elif many == 2:
                _taps_1_2(target, t, width, source, s, below, taps, offsets, weight, w0, start)
            elif all:
                _taps_8_1(target, t, width, source, s, below, taps, offsets, weight, w0, start)
            else:
                _taps_1_1(target, t, width, source, s, below, taps, offsets, weight, w0, start)
            i += rows if all else 1
        j += many * lane


@loop
def outputs(start, stop, input, weight, bias, out, sizes):
    """The planes start to stop of the output, those of all channels of the first image first; all arrays flat."""
    _, C, H, W, h, w, KH, KW, top, bottom, left, right, dy, dx = sizes
    K, below, lane = KH * KW, W + left + right, lanes(out.itemsize)
    width = -(-w // lane) * lane
    padded = np.zeros((H + top + bottom) * below + width, out.dtype)
    total, offsets = np.empty(h * width, out.dtype), np.empty(K, np.int64)
    for k in range(K):
        u, v = divmod(k, KW)
        offsets[k] = u * dy * below + v * dx
    for n in range(start, stop):
        for i in range(H):
            at, row = (top + i) * below + left, (n * H + i) * W
            padded[at : at + W] = input[row : row + W]
        c = n % C
        added = bias[c] if len(bias) else out.dtype.type(0)
        plane(padded, below, total, h, w, K, offsets, weight, c * K, added)
        for i in range(h):
            out[(n * h + i) * w : (n * h + i + 1) * w] = total[i * width : i * width + w]


def _products(taps: int):
    @intrinsic
    def add_products(typingctx, sums, k0, a, b, offsets, n):
        """sums[k, e] += Σ_m a[m, e] · b[offsets[k] + m, e] for `taps` k from k0 on; m counts n vectors e."""

        def generate(context, builder, signature, args):
            vectors = Vectors(context, builder, sums.dtype)
            S, A, B, O = (pointer(context, builder, signature.args[m], args[m]) for m in (0, 2, 3, 4))
            lane = ir.Constant(ir.IntType(64), vectors.lanes)
            tap = [builder.add(args[1], ir.Constant(ir.IntType(64), k)) for k in range(taps)]
            starts = [builder.load(builder.gep(O, [k])) for k in tap]

            def body(m, totals):
                at = builder.mul(m, lane)
                value = vectors.load(A, at)
                return [
                    vectors.call("fma", value, vectors.load(B, builder.add(start, at)), total)
                    for start, total in zip(starts, totals, strict=True)
                ]

            totals = vectors.summed(taps, args[5])(body)
            for k, total in zip(tap, totals, strict=True):
                at = builder.mul(k, lane)
                vectors.store(builder.fadd(vectors.load(S, at), total), S, at)
            return context.get_dummy_value()

        return types.void(sums, _I64, a, b, offsets, _I64), generate

    return add_products


_add_9_products, _add_3_products, _add_1_product = _products(9), _products(3), _products(1)


@loop
def by_weight(start, stop, grad, input, found, sizes):
    """The gradient of the kernels of the channels start to stop; all arrays flat."""
    B, C, H, W, h, w, KH, KW, top, bottom, left, right, dy, dx = sizes
    K, pitch, lane = KH * KW, W + left + right, lanes(grad.itemsize)
    slack = (KW - 1) * dx + lane  # read past the end, and multiplied by zeros
    padded = np.zeros((H + top + bottom) * pitch + slack, grad.dtype)
    spread = np.zeros(h * pitch + slack, grad.dtype)  # g in rows as long as those of padded, zeros after it
    sums, offsets = np.empty(K * lane, grad.dtype), np.empty(K, np.int64)
    for k in range(K):
        u, v = divmod(k, KW)
        offsets[k] = u * dy * pitch + v * dx
    for c in range(start, stop):
        sums[:] = 0
        for b in range(B):
            for i in range(h):
                row = ((b * C + c) * h + i) * w
                spread[i * pitch : i * pitch + w] = grad[row : row + w]
            for i in range(H):
                at, row = (top + i) * pitch + left, ((b * C + c) * H + i) * W
                padded[at : at + W] = input[row : row + W]
            vectors = -(-h * pitch // lane)
            k = 0
            while k < K:
                if K - k >= 9:
                    _add_9_products(sums, k, spread, padded, offsets, vectors)
                    k += 9
                elif K - k >= 3:
                    _add_3_products(sums, k, spread, padded, offsets, vectors)
                    k += 3
                else:
                    _add_1_product(sums, k, spread, padded, offsets, vectors)
                    k += 1
        for k in range(K):
            found[c * K + k] = sums[k * lane : (k + 1) * lane].sum()
