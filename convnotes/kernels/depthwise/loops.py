"""The loop behind `in_numba`, whose sums stay in the registers of the processor.

Planes are flat, with their padding, rows `pitch` apart: for each tap all the positions of a plane are one long run of
memory. Between the rows lie positions that are not read, or zeros.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from convnotes.kernels.cpu.compile import loop
from convnotes.kernels.cpu.vectors import Vectors, lanes, pointer

_I64 = types.int64
_VECTORS = 4  # of positions at a time


@intrinsic
def _sum_taps(typingctx, target, t, source, s, taps, offsets, weight, w0):
    """target[t + e] = Σ_k weight[w0 + k] · source[s + offsets[k] + e], for `_VECTORS` vectors e."""

    def generate(context, builder, signature, args):
        vectors = Vectors(context, builder, target.dtype)
        T, S, O, W = (pointer(context, builder, signature.args[n], args[n]) for n in (0, 2, 5, 6))
        places = [ir.Constant(ir.IntType(64), n * vectors.lanes) for n in range(_VECTORS)]

        def body(k, sums):
            at = builder.add(args[3], builder.load(builder.gep(O, [k])))
            w = vectors.splat(builder.load(builder.gep(W, [builder.add(args[7], k)])))
            return [
                vectors.call("fma", w, vectors.load(S, builder.add(at, place)), total)
                for place, total in zip(places, sums, strict=True)
            ]

        totals = vectors.summed(_VECTORS, args[4])(body)
        for place, total in zip(places, totals, strict=True):
            vectors.store(total, T, builder.add(args[1], place))
        return context.get_dummy_value()

    return types.void(target, _I64, source, _I64, _I64, offsets, weight, _I64), generate


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
def channels(start, stop, grad, input, weight, by_input, by_weight, sizes, for_input, for_weight):
    """The gradients of the channels start to stop; all arrays flat, arguments as in `in_numba.backward`."""
    B, C, H, W, h, w, KH, KW, top, bottom, left, right, dy, dx = sizes
    K, tall, wide, lane = KH * KW, (KH - 1) * dy, (KW - 1) * dx, lanes(grad.itemsize)
    width, pitch = W + wide, W + left + right
    slack = wide + _VECTORS * lane  # read past the end, and multiplied by zeros or written where it is not read
    sent = np.zeros((H + tall) * width + slack, grad.dtype)  # g where the input's gradient looks for it
    total = np.empty(H * width + slack, grad.dtype)
    padded = np.zeros((H + top + bottom) * pitch + slack, grad.dtype)
    spread = np.zeros(h * pitch + slack, grad.dtype)  # g in rows as long as those of padded, zeros after it
    sums = np.empty(K * lane, grad.dtype)
    of_sent, of_padded = np.empty(K, np.int64), np.empty(K, np.int64)
    for k in range(K):
        u, v = divmod(k, KW)
        of_sent[k] = (tall - u * dy) * width + wide - v * dx
        of_padded[k] = u * dy * pitch + v * dx
    for c in range(start, stop):
        sums[:] = 0
        for b in range(B):
            place = (b * C + c) * h * w
            for i in range(h):
                row = grad[place + i * w : place + (i + 1) * w]
                at = (tall - top + i) * width + wide - left
                sent[at : at + w] = row
                spread[i * pitch : i * pitch + w] = row
            place = (b * C + c) * H * W
            if for_input:
                for at in range(0, H * width, _VECTORS * lane):
                    _sum_taps(total, at, sent, at, K, of_sent, weight, c * K)
                for i in range(H):
                    by_input[place + i * W : place + (i + 1) * W] = total[i * width : i * width + W]
            if for_weight:
                for i in range(H):
                    at = (top + i) * pitch + left
                    padded[at : at + W] = input[place + i * W : place + (i + 1) * W]
                vectors = -(-h * pitch // lane)
                k = 0
                while k < K:
                    if K - k >= 9:
                        _add_9_products(sums, k, spread, padded, of_padded, vectors)
                        k += 9
                    elif K - k >= 3:
                        _add_3_products(sums, k, spread, padded, of_padded, vectors)
                        k += 3
                    else:
                        _add_1_product(sums, k, spread, padded, of_padded, vectors)
                        k += 1
        for k in range(K):
            by_weight[c * K + k] = sums[k * lane : (k + 1) * lane].sum()
