"""The compiled loops behind `in_numba`: samples are summed and compared where they are read, without columns."""

import numpy as np

from convnotes.kernels.cpu import neighbours
from convnotes.kernels.cpu.compile import loop
from convnotes.kernels.cpu.neighbours import sum_blends
from convnotes.kernels.deform.loops import locate, slopes


@loop
def aggregate(start, stop, tile, table, offset, mask, out, sizes):
    """The sums of the samples of the positions start to stop, `tile` of them located at a time; `out` is `[P, C]`."""
    C, G, K, one = sizes.C, sizes.G, sizes.KH * sizes.KW, out.dtype.type(1)
    n, below, many = C // G, sizes.W * C, G * K * tile
    first, frame = np.empty(many, np.int64), np.zeros(n, out.dtype)
    y, x, m = np.empty(many, out.dtype), np.empty(many, out.dtype), np.empty(many, out.dtype)
    weights = np.zeros(4 * many, out.dtype)
    for begin in range(start, stop, tile):
        end = min(begin + tile, stop)
        locate(begin, end, begin, table, offset, mask, out, first, y, x, m, sizes, False)
        for s in range(many):
            down, right = y[s] * m[s], x[s]
            up, left = (one - y[s]) * m[s], one - right
            weights[s], weights[many + s] = up * left, up * right
            weights[2 * many + s], weights[3 * many + s] = down * left, down * right
        for place in range(begin, end):
            for g in range(G):
                s, t = g * K * tile + place - begin, place * C + g * n
                sum_blends(out, t, n, table, frame, first, weights, s, tile, K, C, below)


@loop
def compare(start, stop, chunk, tile, table, offset, mask, grad, first, y, x, m, sizes, by_offset, by_mask):
    """Write the gradients of offset and mask, `tile` positions at a time; `grad` `[P, C]` is that of a chunk."""
    C, G, K = sizes.C, sizes.G, sizes.KH * sizes.KW
    n, P, below = C // G, len(first) // (G * K), sizes.W * C
    frame = np.zeros(n, grad.dtype)
    room = np.empty(4 * G * K * tile, grad.dtype)
    for begin in range(start, stop, tile):
        end = min(begin + tile, stop)
        many = end - begin
        products = room[: 4 * G * K * many].reshape((4, G * K * many))
        for place in range(many):
            for k in range(K):
                for g in range(G):
                    s, t = (g * K + k) * P + begin - chunk + place, (begin - chunk + place) * C + g * n
                    found = neighbours.compare(grad, t, n, table, frame, first[s], C, below)
                    s = (g * K + k) * many + place
                    products[0, s], products[1, s], products[2, s], products[3, s] = found
        slopes(begin, end, chunk, offset, mask, first, y, x, m, products, sizes, by_offset, by_mask)
