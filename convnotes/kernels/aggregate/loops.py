"""The compiled loops behind `in_numba`: samples are summed and compared where they are read, without columns."""

import numpy as np

from convnotes.kernels.cpu import neighbours
from convnotes.kernels.cpu.compile import loop
from convnotes.kernels.cpu.neighbours import blend_more
from convnotes.kernels.deform.loops import locate, slopes


@loop
def aggregate(start, stop, tile, table, offset, mask, out, sizes):
    """The sums of the samples of the positions start to stop, `tile` of them located at a time; `out` is `[P, C]`."""
    C, G, K, one = sizes.C, sizes.G, sizes.KH * sizes.KW, out.dtype.type(1)
    n, below = C // G, sizes.W * C
    first, frame = np.empty(G * K * tile, np.int64), np.zeros(n, out.dtype)
    y, x, m = np.empty(len(first), out.dtype), np.empty(len(first), out.dtype), np.empty(len(first), out.dtype)
    out[start * C : stop * C] = out.dtype.type(0)
    for begin in range(start, stop, tile):
        end = min(begin + tile, stop)
        locate(begin, end, begin, table, offset, mask, out, first, y, x, m, sizes, False)
        for place in range(begin, end):
            for k in range(K):
                for g in range(G):
                    s, t = (g * K + k) * tile + place - begin, place * C + g * n
                    down, right = y[s] * m[s], x[s]
                    up, left = (one - y[s]) * m[s], one - right
                    q00, q01, q10, q11 = up * left, up * right, down * left, down * right
                    blend_more(out, t, n, table, frame, first[s], C, below, q00, q01, q10, q11)


@loop
def compare(start, stop, chunk, table, offset, mask, grad, first, y, x, m, sizes, by_offset, by_mask):
    """Write the gradients of offset and mask; `grad` `[P, C]` is that of the outputs of a chunk."""
    C, G, K = sizes.C, sizes.G, sizes.KH * sizes.KW
    n, P, below, many = C // G, len(first) // (G * K), sizes.W * C, stop - start
    frame = np.zeros(n, grad.dtype)
    products = np.empty((4, G * K * many), grad.dtype)
    for place in range(many):
        for k in range(K):
            for g in range(G):
                s, t = (g * K + k) * P + start - chunk + place, (start - chunk + place) * C + g * n
                found = neighbours.compare(grad, t, n, table, frame, first[s], C, below)
                s = (g * K + k) * many + place
                products[0, s], products[1, s], products[2, s], products[3, s] = found
    slopes(start, stop, chunk, offset, mask, first, y, x, m, products, sizes, by_offset, by_mask)
