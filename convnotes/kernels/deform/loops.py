"""The compiled loops behind `in_numba`, on tables of pixels as `cpu.neighbours` has them.

Each element is the same sum in the same order whatever its neighbours are, NaN and infinity among them.
"""

import numpy as np

from convnotes.kernels.cpu.compile import loop
from convnotes.kernels.cpu.neighbours import blend, blend_and_compare, scatter
from convnotes.kernels.cpu.product import Matrices, multiply_rows


@loop
def locate(start, stop, chunk, table, offset, mask, columns, first, y, x, m, sizes, derived, group, groups):
    """Where the samples of the positions start to stop lie: the first pixel, the two fractions, the mask.

    A position is held as whole pixel and fraction, which are never added. One that lies outside altogether, or is NaN,
    reads no pixel. So does one at −1 exactly, but it is `derived` as a position further in. The offset groups are those
    in `range(group, groups)`.
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
        for g in range(group, groups):
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
    locate(start, stop, chunk, table, offset, mask, columns, first, y, x, m, sizes, False, 0, sizes.G)
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
                blend(columns, t, n, table, frame, first[s], C, below, q00, q01, q10, q11)


@loop
def compare(start, stop, chunk, table, offset, mask, columns, first, y, x, m, sizes, by_offset, by_mask):
    """Write samples over their gradients in the columns, and write the gradients of offset and mask."""
    C, G, K, one = sizes.C, sizes.G, sizes.KH * sizes.KW, y.dtype.type(1)
    n, P, below, many = C // G, len(first) // (G * K), sizes.W * C, stop - start
    frame = np.zeros(n, columns.dtype)
    products = np.empty((4, G * K * many), columns.dtype)
    for place in range(many):
        for k in range(K):
            for g in range(G):
                s, t = (g * K + k) * P + start - chunk + place, ((start - chunk + place) * K + k) * C + g * n
                right, left = x[s], one - x[s]
                up, down = (one - y[s]) * m[s], y[s] * m[s]
                q00, q01, q10, q11 = up * left, up * right, down * left, down * right
                found = blend_and_compare(columns, t, n, table, frame, first[s], C, below, q00, q01, q10, q11)
                s = (g * K + k) * many + place
                products[0, s], products[1, s], products[2, s], products[3, s] = found
    slopes(start, stop, chunk, offset, mask, first, y, x, m, products, sizes, by_offset, by_mask)


@loop
def slopes(start, stop, chunk, offset, mask, first, y, x, m, products, sizes, by_offset, by_mask):
    """The gradients of offset and mask, from `products` of the gradients of samples with the four pixels."""
    h, w, G, K, one, zero = sizes.h, sizes.w, sizes.G, sizes.KH * sizes.KW, y.dtype.type(1), y.dtype.type(0)
    P, many = len(first) // (G * K), stop - start
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
                scatter(columns, t, channels, by_table, frame, first[s] + 16 * c, C, below, q00, q01, q10, q11)
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
