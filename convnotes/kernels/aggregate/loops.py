"""The compiled loops behind `in_numba`: samples are summed and compared where they are read, without columns.

Each locates the samples of `tile` positions at a time; tables and weights are as `cpu.neighbours` has them.
"""

import numpy as np

from convnotes.kernels.cpu import neighbours
from convnotes.kernels.cpu.compile import loop
from convnotes.kernels.cpu.neighbours import scatter_taps, sum_blends
from convnotes.kernels.deform.loops import locate, slopes


@loop
def weigh(start, stop, y, x, m, weights):
    """The weights of the four pixels of the samples start to stop."""
    many, one = len(m), m.dtype.type(1)
    for s in range(start, stop):
        down, right = y[s] * m[s], x[s]
        up, left = (one - y[s]) * m[s], one - right
        weights[s], weights[many + s] = up * left, up * right
        weights[2 * many + s], weights[3 * many + s] = down * left, down * right


@loop
def aggregate(start, stop, tile, table, offset, mask, out, sizes):
    """The sums of the samples of the positions start to stop; `out` is `[P, C]`."""
    C, G, K = sizes.C, sizes.G, sizes.KH * sizes.KW
    n, below, many = C // G, sizes.W * C, G * K * tile
    first, frame, weights = np.empty(many, np.int64), np.zeros(n, out.dtype), np.empty(4 * many, out.dtype)
    y, x, m = np.zeros(many, out.dtype), np.zeros(many, out.dtype), np.zeros(many, out.dtype)
    for begin in range(start, stop, tile):
        end = min(begin + tile, stop)
        locate(begin, end, begin, table, offset, mask, out, first, y, x, m, sizes, False, 0, G)
        weigh(0, many, y, x, m, weights)
        for place in range(begin, end):
            for g in range(G):
                s, t = g * K * tile + place - begin, place * C + g * n
                sum_blends(out, t, n, table, frame, first, weights, s, tile, K, C, below)


@loop
def scatter(job, end_job, tile, block, table, offset, mask, grad, by_table, sizes):
    """Add the gradients of all positions, `grad` `[P, C]`, to the pixels of their samples; jobs: blocks of channels."""
    C, G, K = sizes.C, sizes.G, sizes.KH * sizes.KW
    n, below, many, places = C // G, sizes.W * C, G * K * tile, len(grad) // sizes.C
    first, frame, weights = np.empty(many, np.int64), np.zeros(n, grad.dtype), np.empty(4 * many, grad.dtype)
    y, x, m = np.zeros(many, grad.dtype), np.zeros(many, grad.dtype), np.zeros(many, grad.dtype)
    per_group = -(-n // block)
    group, groups = job // per_group, (end_job - 1) // per_group + 1
    for begin in range(0, places, tile):
        end = min(begin + tile, places)
        locate(begin, end, begin, table, offset, mask, grad, first, y, x, m, sizes, True, group, groups)
        weigh(group * K * tile, groups * K * tile, y, x, m, weights)
        for place in range(begin, end):
            for one in range(job, end_job):
                g, c = one // per_group, one % per_group * block
                s, t, channels = g * K * tile + place - begin, place * C + g * n + c, min(block, n - c)
                scatter_taps(grad, t, channels, by_table[c:], frame, first, weights, s, tile, K, C, below)


@loop
def compare(start, stop, tile, table, offset, mask, grad, sizes, by_offset, by_mask):
    """Write the gradients of offset and mask of the positions start to stop, from `grad` `[P, C]`."""
    C, G, K = sizes.C, sizes.G, sizes.KH * sizes.KW
    n, below, most = C // G, sizes.W * C, G * K * tile
    first, frame, room = np.empty(most, np.int64), np.zeros(n, grad.dtype), np.empty(4 * most, grad.dtype)
    y, x, m = np.empty(most, grad.dtype), np.empty(most, grad.dtype), np.empty(most, grad.dtype)
    for begin in range(start, stop, tile):
        end = min(begin + tile, stop)
        locate(begin, end, begin, table, offset, mask, grad, first, y, x, m, sizes, True, 0, G)
        many = end - begin
        products = room[: 4 * G * K * many].reshape((4, G * K * many))
        for place in range(many):
            for k in range(K):
                for g in range(G):
                    t = (begin + place) * C + g * n
                    found = neighbours.compare(grad, t, n, table, frame, first[(g * K + k) * tile + place], C, below)
                    s = (g * K + k) * many + place
                    products[0, s], products[1, s], products[2, s], products[3, s] = found
        slopes(begin, end, begin, offset, mask, first, y, x, m, products, sizes, by_offset, by_mask)
