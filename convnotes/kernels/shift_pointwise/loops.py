"""The loops behind `in_numba`: rows of channels gathered or scattered, and multiplied while they lie in the cache.

All maps are flat, `[B, H, W, C]`. A run is of neighbouring channels that move alike and lie in one vector.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convnotes.kernels.cpu.compile import loop
from convnotes.kernels.cpu.product import STRIP, Matrices, multiply_rows
from convnotes.kernels.cpu.vectors import copy_only, copy_some, fetch, lanes


class Sizes(NamedTuple):
    """Of input `[B, H, W, C]` and output `[B, h, w, O]`."""

    C: int
    O: int
    H: int
    W: int
    h: int
    w: int
    stride: int


_FIELDS = 7  # of a run
_ROWS = 12  # of a product, after which some of what the next one reads is fetched


@loop
def runs_of(displacements, sizes, lane):
    """The runs, of seven numbers each.

    Its displacement (dy, dx), the first channel of the vector, which lanes are meant, whether they are the first of it,
    and the columns of the output, from one up to another, that meet a pixel once moved.
    """
    C, _, _, W, _, w, stride = sizes
    found, count, c = np.empty(_FIELDS * C, np.int64), 0, 0
    while c < C:
        dy, dx, end = displacements[2 * c], displacements[2 * c + 1], c + 1
        while end < C and end % lane > 0 and displacements[2 * end] == dy and displacements[2 * end + 1] == dx:
            end += 1
        run, first = found[_FIELDS * count :], c % lane
        run[0], run[1], run[2], run[3], run[4] = dy, dx, c - first, (1 << (end - c)) - 1 << first, first == 0
        run[5] = min(max(0, -(dx // stride)), w)
        run[6] = max(run[5], min(w, -((dx - W) // stride)))
        count, c = count + 1, end
    return found[: _FIELDS * count]


@loop
def gather(start, stop, input, runs, rows, pitch, sizes):
    """Row after row of `rows`, `pitch` apart: the channels that the positions start to stop see once moved."""
    C, _, H, W, h, w, stride = sizes
    done = start
    while done < stop:
        row, j = divmod(done, w)
        b, i = divmod(row, h)
        count = min(w - j, stop - done)
        for r in range(0, len(runs), _FIELDS):
            y, c, wanted = i * stride + runs[r], runs[r + 2], runs[r + 3]
            begin = min(max(runs[r + 5] - j, 0), count) if 0 <= y < H else count
            end = max(min(runs[r + 6] - j, count), begin)
            to = (done - start) * pitch + c
            at = ((b * H + y) * W + j * stride + runs[r + 1]) * C + c
            if runs[r + 4]:
                for n in range(begin):
                    copy_some(rows, to + n * pitch, input, 0, 0)
                for n in range(begin, end):
                    copy_some(rows, to + n * pitch, input, at + n * stride * C, wanted)
                for n in range(end, count):
                    copy_some(rows, to + n * pitch, input, 0, 0)
            else:
                for n in range(begin, end):
                    copy_only(rows, to + n * pitch, input, at + n * stride * C, wanted)
        done += count


@loop
def scatter(start, stop, rows, pitch, runs, input, sizes):
    """The transpose of `gather`: to each pixel what the position that sees it sends, rows followed by zeros.

    With stride 1 the pixels to which none goes are cleared: as many as there are positions that see none, and as far
    away as if the image began again at its end. With another stride they are not written.
    """
    C, _, H, W, h, w, stride = sizes
    zeros = len(rows) - lanes(rows.itemsize)
    done = start
    while done < stop:
        row, j = divmod(done, w)
        b, i = divmod(row, h)
        count = min(w - j, stop - done)
        for r in range(0, len(runs), _FIELDS):
            y, dx, c, wanted = i * stride + runs[r], runs[r + 1], runs[r + 2], runs[r + 3]
            begin = min(max(runs[r + 5] - j, 0), count) if 0 <= y < H else count
            end = max(min(runs[r + 6] - j, count), begin)
            to, from_ = (b * H + y % H) * W * C + c, (done - start) * pitch + c
            if stride == 1:
                for n in range(begin):
                    copy_only(input, to + (j + n + dx) % W * C, rows, zeros, wanted)
                for n in range(end, count):
                    copy_only(input, to + (j + n + dx) % W * C, rows, zeros, wanted)
            to += (j * stride + dx) * C
            for n in range(begin, end):
                copy_only(input, to + n * stride * C, rows, from_ + n * pitch, wanted)
        done += count


@loop
def expect(start, stop, input, runs, sizes):
    """Fetch the last pixels that the positions start to stop see: the others lie in the cache already."""
    C, _, H, W, h, w, stride = sizes
    row, j = divmod(start, w)
    b, i = divmod(row, h)
    farthest, lane = 0, lanes(input.itemsize)
    for r in range(0, len(runs), _FIELDS):
        farthest = max(farthest, runs[r] * W + runs[r + 1])
    at = ((b * H + i * stride) * W + j * stride + farthest) * C
    for n in range((stop - start) * stride * C // lane):
        fetch(input, at + n * lane)


@loop
def outputs(start, stop, tile, input, weight, displacements, out, sizes):
    """The positions start to stop of the output; weight `[C, O]`, packed."""
    C, O, lane = sizes.C, sizes.O, lanes(out.itemsize)
    runs, pitch = runs_of(displacements, sizes, lane), -(-C // lane) * lane + lane
    rows = np.empty(tile * pitch, out.dtype)
    for place in range(start, stop, tile):
        end = min(place + tile, stop)
        gather(place, end, input, runs, rows, pitch, sizes)
        results = out[place * O : end * O]
        for first in range(0, end - place, _ROWS):
            last = min(first + _ROWS, end - place)
            multiply_rows(first, last, rows, weight, results, Matrices(C, O, pitch, 1), False)
            expect(end + first, end + last, input, runs, sizes)


@loop
def by_input(start, stop, tile, sent, weight, displacements, result, sizes):
    """What the positions start to stop send to the input; weight `[O, C and zeros]`, packed."""
    C, O, lane = sizes.C, sizes.O, lanes(result.itemsize)
    runs, pitch = runs_of(displacements, sizes, lane), -(-C // lane) * lane
    rows = np.zeros((tile + 1) * pitch, result.dtype)
    for place in range(start, stop, tile):
        end = min(place + tile, stop)
        multiply_rows(0, end - place, sent[place * O : end * O], weight, rows, Matrices(O, pitch, O, 1), False)
        scatter(place, end, rows, pitch, runs, result, sizes)


@loop
def by_weight(start, stop, tile, part, places, input, sent, displacements, sums, sizes):
    """Parts start to stop of the sums `[parts, C, O and zeros]`, each over its own `part` positions."""
    C, O, lane = sizes.C, sizes.O, lanes(sums.itemsize)
    width, strip = -(-O // lane) * lane, STRIP * lane
    runs, pitch = runs_of(displacements, sizes, lane), -(-C // lane) * lane + lane
    rows, packed = np.empty(tile * pitch, sums.dtype), np.empty(tile * width, sums.dtype)
    for n in range(start, stop):
        total = sums[n * C * width : (n + 1) * C * width]
        total[:] = 0
        for place in range(n * part, min((n + 1) * part, places), tile):
            end = min(place + tile, (n + 1) * part, places)
            count = end - place
            gather(place, end, input, runs, rows, pitch, sizes)
            came = sent[place * O : end * O]
            if width > O or strip < O:  # as it lies it is not packed
                for o in range(0, O, lane):
                    s = o - o % strip
                    apart, wanted = min(strip, width - s), (1 << min(lane, O - o)) - 1
                    for k in range(count):
                        copy_some(packed, s * count + k * apart + o - s, sent, (place + k) * O + o, wanted)
                came = packed
            shape = Matrices(count, width, 1, pitch)
            for c in range(0, C, _ROWS):
                last = min(c + _ROWS, C)
                multiply_rows(c, last, rows, came, total, shape, True)
                expect(end + count * c // C, end + count * last // C, input, runs, sizes)
