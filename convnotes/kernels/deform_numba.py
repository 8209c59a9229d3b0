"""Deformable convolution on the CPU, compiled by numba: sampled columns of a few places at a time, and matrix products.

    s[p,k,c] = m[p,k] · x̃[c, place of tap k of p]            y[p,o] = Σ_{k,c} s[p,k,c] · w[k,c,o]

The picture is copied into a table with channels last and a frame of zeros, so that a sample is four runs of channels.
A chunk of places p is taken at a time (over all pictures; `_BYTES` of columns s, which stay in the cache), its columns
are filled, places shared among threads, and one product with the weight makes its outputs.

Backwards, chunk by chunk in one buffer: g wᵀ is the gradient of the columns; then each column is sampled again in the
place of its gradient, which on the way gives the gradients of offset and mask, from its products with the four pixels;
then sᵀ g is added to the gradient of the weight. The gradient of the picture is scattered before that, as long as the
columns hold gradients: threads take channels, and a pixel's sum runs in one order. So all of it has the same bits on
any number of threads, as far as the matrix products have.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convnotes.kernels import bilinear, registers
from convnotes.kernels.compiled import loop, make_ready
from convnotes.kernels.threads import share

_BYTES = 2 * 2**20  # of columns at a time
_PLACES = 32  # of a chunk that a thread takes at a time, at least

_blend, _blend_and_compare, _scatter = bilinear.blend, bilinear.blend_and_compare, bilinear.scatter


def forward(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """`[B, O, h, w]`, channels last in memory; `padding` is (top, left). No derivatives, and no bias."""
    work = _Work(input, offset, weight, mask, stride, padding, dilation)
    y = input.new_empty(work.places, weight.shape[0])
    for start, stop in work.chunks():
        work.run(_sample, start, stop)
        columns = work.columns[: stop - start]
        if work.groups == 1:
            torch.mm(columns, work.kernel[0], out=y[start:stop])
        else:
            product = torch.bmm(work.by_group(columns), work.kernel)
            y[start:stop].unflatten(1, (work.groups, -1)).copy_(product.transpose(0, 1))
    return work.as_map(y)


def backward(
    grad: Tensor,
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    needed: list[bool],
) -> list[Tensor | None]:
    """The gradients of input, offset, weight and mask, as far as `needed`."""
    work = _Work(input, offset, weight, mask, stride, padding, dilation)
    G = work.groups
    g = grad.permute(0, 2, 3, 1).reshape(work.places, -1)
    by_offset, by_weight = torch.empty_like(work.offset), torch.zeros_like(work.kernel)
    by_mask = torch.empty_like(work.mask)
    by_table = torch.zeros_like(work.table) if needed[0] else None
    transposed = work.kernel.transpose(1, 2)
    for start, stop in work.chunks():
        columns, sent = work.columns[: stop - start], g[start:stop]
        if G == 1:
            torch.mm(sent, transposed[0], out=columns)
        else:
            product = torch.bmm(sent.unflatten(1, (G, -1)).transpose(0, 1), transposed)  # [G, P, K·C/G]
            columns.view(-1, work.K, G, product.shape[2] // work.K).copy_(
                product.unflatten(2, (work.K, -1)).permute(1, 2, 0, 3)
            )
        work.run(_locate, start, stop)
        if by_table is not None:
            work.scatter(start, stop, by_table)
        work.run(_compare, start, stop, by_offset, by_mask)
        if needed[2]:
            if G == 1:
                by_weight[0].addmm_(columns.t(), sent)
            else:
                by_weight.baddbmm_(work.by_group(columns).transpose(1, 2), sent.unflatten(1, (G, -1)).transpose(0, 1))
    found = [
        None if by_table is None else by_table[:, 1:-1, 1:-1].permute(0, 3, 1, 2),
        by_offset,
        by_weight.unflatten(1, (work.K, -1)).permute(0, 3, 2, 1).reshape(weight.shape),
        by_mask,
    ]
    return [t if wanted else None for t, wanted in zip(found, needed, strict=True)]


class _Work:
    """What one call works on: the table of framed pixels, the weight as matrices, and room for a chunk of places."""

    def __init__(self, input, offset, weight, mask, stride, padding, dilation) -> None:
        (B, C, H, W), (O, c, KH, KW), (h, w) = input.shape, weight.shape, offset.shape[2:]
        self.K, self.groups, self.places = KH * KW, C // c, B * h * w
        self.size = (B, O, h, w)
        self.table = input.new_zeros(B, H + 2, W + 2, C)
        self.table[:, 1:-1, 1:-1] = input.permute(0, 2, 3, 1)
        kernel = weight.reshape(self.groups, O // self.groups, c, self.K).permute(0, 3, 2, 1)
        self.kernel = kernel.reshape(self.groups, self.K * c, O // self.groups)  # [groups, K·C/groups, O/groups]
        self.offset = offset.contiguous()
        self.mask = input.new_empty(0) if mask is None else mask.contiguous()
        self.offset_groups = G = offset.shape[1] // (2 * self.K)
        a_chunk = max(1, _BYTES // max(1, self.K * C * input.element_size()))
        pieces = max(1, -(-self.places // a_chunk))
        self.chunk = max(1, -(-self.places // pieces))  # all of about one size
        self.columns = input.new_empty(self.chunk, self.K * C)
        self.first = np.empty(G * self.K * self.chunk, np.int64)
        self.fraction = input.new_empty(2 * G * self.K * self.chunk)
        self.sizes = (B, C, H, W, h, w, G, KH, KW, *stride, *padding, *dilation)
        self.threads = torch.get_num_threads()

    def chunks(self):
        return [(n, min(n + self.chunk, self.places)) for n in range(0, self.places, self.chunk)]

    def by_group(self, columns: Tensor) -> Tensor:
        """`[P, K·C]` → `[groups, P, K·C/groups]`."""
        return columns.view(-1, self.K, self.groups, columns.shape[1] // (self.K * self.groups)).permute(
            2, 0, 1, 3
        ).flatten(2)

    def as_map(self, y: Tensor) -> Tensor:
        B, O, h, w = self.size
        return y.view(B, h, w, O).permute(0, 3, 1, 2)

    def arguments(self, *tensors: Tensor):
        flat = [t.view(-1).numpy() for t in (self.table, self.offset, self.mask, self.columns, self.fraction, *tensors)]
        return (*flat[:5], self.first, self.sizes, *flat[5:])

    def run(self, function, start: int, stop: int, *tensors: Tensor) -> None:
        arguments = self.arguments(*tensors)
        make_ready((function, self.columns.dtype), lambda: function(0, 0, start, *arguments))
        jobs = -(-(stop - start) // _PLACES)

        def work(one: int, end: int) -> None:
            function(start + one * _PLACES, min(start + end * _PLACES, stop), start, *arguments)

        share(work, jobs, self.threads)

    def scatter(self, start: int, stop: int, by_table: Tensor) -> None:
        arguments = self.arguments(by_table)
        make_ready((_collect, self.columns.dtype), lambda: _collect(0, 0, start, start, 1, *arguments))
        C = self.table.shape[3] // self.offset_groups
        lanes = registers.lanes(self.table.element_size())
        block = -(-C // (lanes * self.threads)) * lanes
        jobs = self.offset_groups * -(-C // block)
        share(lambda one, end: _collect(one, end, start, stop, block, *arguments), jobs, self.threads)


@loop
def _locate(start, stop, chunk, table, offset, mask, columns, fraction, first, sizes):
    """Where each sample of the places start to stop lies: its first pixel in the table, and its two fractions.

    A place is held as whole pixel and fraction, which are never added. What lies outside altogether, a NaN among them,
    reads from the last column of one line of the frame and the first of the next: zeros, whatever the fractions are.
    """
    B, C, H, W, h, w, G, KH, KW, sy, sx, py, px, dy, dx = sizes
    K, one = KH * KW, fraction.dtype.type(1)
    zero, least, most = fraction.dtype.type(0), -np.finfo(fraction.dtype).max, np.finfo(fraction.dtype).max
    P, line = len(first) // (G * K), (W + 2) * C
    done = start
    while done < stop:
        row, j0 = divmod(done, w)
        b, i = divmod(row, h)
        count = min(w - j0, stop - done)
        for g in range(G):
            for u in range(KH):
                for v in range(KW):
                    k = u * KW + v
                    from_y = ((b * G + g) * 2 * K + 2 * k) * h * w + i * w + j0
                    from_x = from_y + h * w
                    to = (g * K + k) * P + done - chunk
                    row_0 = fraction.dtype.type(i * sy - py + u * dy)
                    for j in range(count):
                        y, x = offset[from_y + j], offset[from_x + j]
                        y = least if y < least else most if y > most else y
                        x = least if x < least else most if x > most else x
                        whole_y, whole_x = np.floor(y), np.floor(x)
                        y, x = y - whole_y, x - whole_x
                        whole_y += row_0
                        whole_x += fraction.dtype.type((j0 + j) * sx - px + v * dx)
                        inside = (whole_y >= -one) & (whole_y < H) & ((whole_y >= zero) | (y > zero))
                        inside &= (whole_x >= -one) & (whole_x < W) & ((whole_x >= zero) | (x > zero))
                        whole_y = whole_y if inside else -one
                        whole_x = whole_x if inside else fraction.dtype.type(W)
                        pixel = (np.int64(whole_y) + 1) * line + (np.int64(whole_x) + 1) * C
                        first[to + j] = b * (H + 2) * line + pixel + g * (C // G)
                        fraction[2 * (to + j)] = y
                        fraction[2 * (to + j) + 1] = x
        done += count


@loop
def _sample(start, stop, chunk, table, offset, mask, columns, fraction, first, sizes):
    """Fill the columns of the places start to stop."""
    _locate(start, stop, chunk, table, offset, mask, columns, fraction, first, sizes)
    B, C, H, W, h, w, G, KH, KW, sy, sx, py, px, dy, dx = sizes
    K, n, one = KH * KW, C // G, fraction.dtype.type(1)
    P, below = len(first) // (G * K), (W + 2) * C
    lanes = registers.lanes(table.itemsize)
    vectors = n // lanes
    for g in range(G):
        for k in range(K):
            for place in range(start, stop):
                s = (g * K + k) * P + place - chunk
                i, y, x = first[s], fraction[2 * s], fraction[2 * s + 1]
                above, left = one - y, one - x
                if len(mask):
                    b, p = divmod(place, h * w)
                    m = mask[((b * G + g) * K + k) * h * w + p]
                    above, y = above * m, y * m
                q00, q01, q10, q11 = above * left, above * x, y * left, y * x
                t = ((place - chunk) * K + k) * C + g * n
                _blend(columns, t, vectors, table, i, C, below, q00, q01, q10, q11)
                for e in range(vectors * lanes, n):
                    upper = q00 * table[i + e] + q01 * table[i + C + e]
                    columns[t + e] = upper + q10 * table[i + below + e] + q11 * table[i + below + C + e]


@loop
def _compare(start, stop, chunk, table, offset, mask, columns, fraction, first, sizes, by_offset, by_mask):
    """Put samples in the place of their gradients in the columns, and write the gradients of offset and mask."""
    B, C, H, W, h, w, G, KH, KW, sy, sx, py, px, dy, dx = sizes
    K, n, one, zero = KH * KW, C // G, fraction.dtype.type(1), fraction.dtype.type(0)
    P, below = len(first) // (G * K), (W + 2) * C
    lanes = registers.lanes(table.itemsize)
    vectors = n // lanes
    for g in range(G):
        for k in range(K):
            for place in range(start, stop):
                s = (g * K + k) * P + place - chunk
                b, p = divmod(place, h * w)
                i, y, x, m = first[s], fraction[2 * s], fraction[2 * s + 1], one
                above, left = one - y, one - x
                if len(mask):
                    m = mask[((b * G + g) * K + k) * h * w + p]
                up, down = above * m, y * m
                q00, q01, q10, q11 = up * left, up * x, down * left, down * x
                t = ((place - chunk) * K + k) * C + g * n
                d00, d01, d10, d11 = _blend_and_compare(columns, t, vectors, table, i, C, below, q00, q01, q10, q11)
                for e in range(vectors * lanes, n):
                    v00, v01, v10, v11 = table[i + e], table[i + C + e], table[i + below + e], table[i + below + C + e]
                    gradient = columns[t + e]
                    d00, d01 = d00 + gradient * v00, d01 + gradient * v01
                    d10, d11 = d10 + gradient * v10, d11 + gradient * v11
                    columns[t + e] = q00 * v00 + q01 * v01 + q10 * v10 + q11 * v11
                upper, lower = d00 * left + d01 * x, d10 * left + d11 * x
                at = ((b * G + g) * 2 * K + 2 * k) * h * w + p
                # beyond the largest number there is no fraction, and so no way to move
                by_offset[at] = m * (lower - upper) if np.isfinite(offset[at]) else zero
                at += h * w
                by_offset[at] = up * (d01 - d00) + down * (d11 - d10) if np.isfinite(offset[at]) else zero
                if len(mask):
                    by_mask[((b * G + g) * K + k) * h * w + p] = above * upper + y * lower


@loop
def _collect(one_job, end_job, start, stop, block, table, offset, mask, columns, fraction, first, sizes, by_table):
    """Add the gradients of the columns of a chunk to the pixels they come from, for some blocks of channels."""
    B, C, H, W, h, w, G, KH, KW, sy, sx, py, px, dy, dx = sizes
    K, n, one = KH * KW, C // G, fraction.dtype.type(1)
    P, below = len(first) // (G * K), (W + 2) * C
    lanes = registers.lanes(table.itemsize)
    blocks = -(-n // block)
    for job in range(one_job, end_job):
        g, c = divmod(job, blocks)
        c *= block
        channels = min(block, n - c)
        vectors = channels // lanes
        for k in range(K):
            for place in range(start, stop):
                s = (g * K + k) * P + place - start
                i, y, x = first[s] + c, fraction[2 * s], fraction[2 * s + 1]
                above, left = one - y, one - x
                if len(mask):
                    b, p = divmod(place, h * w)
                    m = mask[((b * G + g) * K + k) * h * w + p]
                    above, y = above * m, y * m
                q00, q01, q10, q11 = above * left, above * x, y * left, y * x
                t = ((place - start) * K + k) * C + g * n + c
                _scatter(columns, t, vectors, by_table, i, C, below, q00, q01, q10, q11)
                for e in range(vectors * lanes, channels):
                    gradient = columns[t + e]
                    by_table[i + e] += q00 * gradient
                    by_table[i + C + e] += q01 * gradient
                    by_table[i + below + e] += q10 * gradient
                    by_table[i + below + C + e] += q11 * gradient
