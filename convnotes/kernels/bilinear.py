"""Four neighbours in a table, read, compared and added to in vector instructions: the inner steps of `deform_numba`.

A table is flat; its rows of channels lie `C` apart, `C` = `right` to the next pixel and `below` to the next line, so a
sample between four pixels is at i, i + right, i + below and i + below + right. `n` vectors of channels are taken; what
does not fill a vector is the caller's. The intrinsics work inside `numba.njit` only and check nothing. Each element is
the same sum in the same order whatever its neighbours are, and NaN and infinity go their way.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convnotes.kernels.registers import _pointer, _Vectors

_I64 = types.int64


def _corners(builder, i, right, below):
    under = builder.add(i, below)
    return [i, builder.add(i, right), under, builder.add(under, right)]


def _blended(vectors: _Vectors, values, weights):
    total = vectors.builder.fmul(weights[0], values[0])
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = vectors.call("fma", weight, value, total)
    return total


def _total(vectors: _Vectors, vector):
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
def blend(typingctx, target, t, n, table, i, right, below, a, b, c, d):
    """target[t + e] = a·table[i + e] + b·table[i + right + e] + c·table[i + below + e] + d·table[i + below + right + e]"""

    def generate(context, builder, signature, args):
        vectors = _Vectors(context, builder, target.dtype)
        to, source = (_pointer(context, builder, signature.args[k], args[k]) for k in (0, 3))
        places, weights = _corners(builder, *args[4:7]), [vectors.splat(w) for w in args[7:]]
        with cgutils.for_range(builder, args[2]) as loop:
            e = builder.mul(loop.index, ir.Constant(ir.IntType(64), vectors.lanes))
            values = [vectors.load(source, builder.add(place, e)) for place in places]
            vectors.store(_blended(vectors, values, weights), to, builder.add(args[1], e))
        return context.get_dummy_value()

    f = target.dtype
    return types.void(target, _I64, _I64, table, _I64, _I64, _I64, f, f, f, f), generate


@intrinsic
def blend_and_compare(typingctx, columns, t, n, table, i, right, below, a, b, c, d):
    """What `blend` writes takes the place of a gradient, whose products with the four neighbours are returned, summed."""

    def generate(context, builder, signature, args):
        vectors = _Vectors(context, builder, columns.dtype)
        to, source = (_pointer(context, builder, signature.args[k], args[k]) for k in (0, 3))
        places, weights = _corners(builder, *args[4:7]), [vectors.splat(w) for w in args[7:]]
        sums = [cgutils.alloca_once_value(builder, vectors.constant(0.0)) for _ in places]
        with cgutils.for_range(builder, args[2]) as loop:
            e = builder.mul(loop.index, ir.Constant(ir.IntType(64), vectors.lanes))
            at = builder.add(args[1], e)
            gradient = vectors.load(to, at)
            values = [vectors.load(source, builder.add(place, e)) for place in places]
            for total, value in zip(sums, values, strict=True):
                builder.store(vectors.call("fma", gradient, value, builder.load(total)), total)
            vectors.store(_blended(vectors, values, weights), to, at)
        totals = [_total(vectors, builder.load(total)) for total in sums]
        return context.make_tuple(builder, signature.return_type, totals)

    f = columns.dtype
    return types.UniTuple(f, 4)(columns, _I64, _I64, table, _I64, _I64, _I64, f, f, f, f), generate


@intrinsic
def scatter(typingctx, columns, t, n, table, i, right, below, a, b, c, d):
    """The transpose of `blend`: a·columns[t + e] is added to table[i + e], and so on for the other three."""

    def generate(context, builder, signature, args):
        vectors = _Vectors(context, builder, columns.dtype)
        source, to = (_pointer(context, builder, signature.args[k], args[k]) for k in (0, 3))
        places, weights = _corners(builder, *args[4:7]), [vectors.splat(w) for w in args[7:]]
        with cgutils.for_range(builder, args[2]) as loop:
            e = builder.mul(loop.index, ir.Constant(ir.IntType(64), vectors.lanes))
            gradient = vectors.load(source, builder.add(args[1], e))
            for place, weight in zip(places, weights, strict=True):
                at = builder.add(place, e)
                vectors.store(vectors.call("fma", weight, gradient, vectors.load(to, at)), to, at)
        return context.get_dummy_value()

    f = columns.dtype
    return types.void(columns, _I64, _I64, table, _I64, _I64, _I64, f, f, f, f), generate
