"""A matrix product for numba's loops, whose threads are not those of torch's products::

    c[r,v] (+)= Σ_k a[r,k] · b[k,v]

A tile of 6 rows by 4 vectors of c stays in registers while k runs; the tiles of one panel of b follow each other.
In one thread of a Zen 5 that makes 110 to 123 GMAC/s in float32, where torch's `mm` makes 50. Torch's threads also spin
for a while after each call, and keep others from the processor.
Each element is one sum in the order of k: the same bits on any number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from convnotes.kernels.cpu.compile import loop
from convnotes.kernels.cpu.jobs import run
from convnotes.kernels.cpu.vectors import Vectors, lanes, pointer

_I64 = types.int64
_ROWS = 6  # of c in the registers at a time, by
STRIP = 4  # vectors


class Matrices(NamedTuple):
    """Of a product: the terms of a sum, the columns of c, and how far apart the rows and columns of a lie."""

    inner: int
    columns: int
    ra: int
    ka: int


def packed(b: Tensor) -> Tensor:
    """A matrix in strips of columns as wide as a tile, one after the other and each contiguous, for `product`.

    A strip is read again for every tile of rows. With the rows of the whole matrix between its own, it would lie on
    many pages of memory, and in few sets of the cache.
    """
    width = STRIP * lanes(b.element_size())
    whole = b.shape[1] - b.shape[1] % width
    strips = b[:, :whole].unflatten(1, (whole // width, width)).transpose(0, 1).flatten()
    return strips if whole == b.shape[1] else torch.cat([strips, b[:, whole:].flatten()])


def product(a: Tensor, b: Tensor, c: Tensor, threads: int, add: bool = False) -> None:
    """c = a b, or c += a b, for matrices of float32 or float64; a of any strides, b `packed`, c contiguous."""
    (rows, inner), columns = a.shape, c.shape[1]
    span = (rows - 1) * a.stride(0) + (inner - 1) * a.stride(1) + 1
    sizes = Matrices(inner, columns, *a.stride())
    run(multiply_rows, c.dtype, rows, threads, a.as_strided((span,), (1,)), b, c, sizes, add, grain=_ROWS)


def _tile(rows: int, many: int):
    @intrinsic
    def sum_tile(typingctx, a, a0, ra, ka, b, b0, ldb, inner, c, c0, ldc, add):
        def generate(context, builder, signature, args):
            vectors = Vectors(context, builder, c.dtype)
            A, B, C = (pointer(context, builder, signature.args[n], args[n]) for n in (0, 4, 8))
            _, a0, ra, ka, _, b0, ldb, inner, _, c0, ldc, add = args
            i64 = ir.IntType(64)
            places = [ir.Constant(i64, n * vectors.lanes) for n in range(many)]
            starts = [builder.add(a0, builder.mul(ra, ir.Constant(i64, r))) for r in range(rows)]

            def body(k, sums):
                at, along = builder.add(b0, builder.mul(k, ldb)), builder.mul(k, ka)
                values = [vectors.load(B, builder.add(at, place)) for place in places]
                factors = [vectors.splat(builder.load(builder.gep(A, [builder.add(s, along)]))) for s in starts]
                pairs = [(factor, value) for factor in factors for value in values]
                return [
                    vectors.call("fma", factor, value, total)
                    for (factor, value), total in zip(pairs, sums, strict=True)
                ]

            totals = vectors.summed(rows * many, inner)(body)
            kept = builder.icmp_signed("!=", add, ir.Constant(add.type, 0))
            for n, total in enumerate(totals):
                r, place = n // many, places[n % many]
                at = builder.add(builder.add(c0, builder.mul(ldc, ir.Constant(i64, r))), place)
                before = builder.select(kept, vectors.load(C, at), vectors.constant(0.0))
                vectors.store(builder.fadd(before, total), C, at)
            return context.get_dummy_value()

        i = _I64
        return types.void(a, i, i, i, b, i, i, i, c, i, i, types.boolean), generate

    return sum_tile


_tile_6_4, _tile_6_1, _tile_1_4, _tile_1_1 = _tile(6, 4), _tile(6, 1), _tile(1, 4), _tile(1, 1)


@loop
def multiply_rows(start, stop, a, b, c, sizes, add):
    """Rows start to stop of c; all matrices flat, b packed."""
    inner, columns, ra, ka = sizes
    lane = lanes(c.itemsize)
    whole = columns // lane * lane
    v = 0
    while v < whole:
        many = STRIP if whole - v >= STRIP * lane else 1
        strip = v - v % (STRIP * lane)
        width = min(STRIP * lane, columns - strip)
        at = strip * inner + v - strip
        r = start
        while r < stop:
            six = stop - r >= _ROWS
            if six and many > 1:
                _tile_6_4(a, r * ra, ra, ka, b, at, width, inner, c, r * columns + v, columns, add)
            elif six:
                _tile_6_1(a, r * ra, ra, ka, b, at, width, inner, c, r * columns + v, columns, add)
            elif many > 1:
                _tile_1_4(a, r * ra, ra, ka, b, at, width, inner, c, r * columns + v, columns, add)
            else:
                _tile_1_1(a, r * ra, ra, ka, b, at, width, inner, c, r * columns + v, columns, add)
            r += _ROWS if six else 1
        v += many * lane
    for r in range(start, stop):
        for v in range(whole, columns):
            total = c[r * columns + v] if add else c.dtype.type(0)
            strip = v - v % (STRIP * lane)
            at, width = strip * inner + v - strip, columns - strip
            for k in range(inner):
                total += a[r * ra + k * ka] * b[at + k * width]
            c[r * columns + v] = total
