"""Four neighbours in a table, read, compared and added to in vector instructions: the inner steps of what samples.

A table `[B, H, W, C]` is flat. The first of the four pixels of a sample is given as 16·i + those of the four that lie
in the image, as bits: i, i + right, i + below and i + below + right, where `right` is C and `below` a line. What is no
pixel of the image is read from the `frame`, zeros, or added to it, for nothing: so nothing lies around the table. The
intrinsics work inside `numba.njit` only and check nothing. Each element is the same sum in the same order whatever its
neighbours are, NaN and infinity among them.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convnotes.kernels.cpu.vectors import Vectors, pointer

_I64 = types.int64


class _Neighbours:
    """The arguments of an intrinsic below: an array from t on, `n` channels of four pixels, the weights of these."""

    def __init__(self, context, builder, signature, args) -> None:
        self.builder, dtype = builder, signature.args[0].dtype
        self.vectors, self.single = Vectors(context, builder, dtype), Vectors(context, builder, dtype, single=True)
        self.array, table, frame = (pointer(context, builder, signature.args[k], args[k]) for k in (0, 3, 4))
        _, self.t, self.n, _, _, first, right, below, *self.weights = args
        self.pixels = []
        for n, way in enumerate((_number(0), right, below, builder.add(below, right))):
            self.pixels.append(_pixel(builder, table, frame, first, n, way))

    def each(self, body) -> None:
        """Write `body(vectors, weights, place in the array, channel)` for all whole vectors, then for the rest."""
        whole = self.builder.and_(self.n, _number(-self.vectors.lanes))
        for vectors, start, stop in ((self.vectors, _number(0), whole), (self.single, whole, self.n)):
            weights = [vectors.splat(weight) for weight in self.weights]
            with cgutils.for_range_slice(self.builder, start, stop, _number(vectors.lanes)) as (channel, _):
                body(vectors, weights, self.builder.add(self.t, channel), channel)


def _pixel(builder, table, frame, first, corner: int, way):
    """Where one of the four pixels of a sample lies, in the frame if the image has none there."""
    pixel = builder.gep(table, [builder.add(builder.ashr(first, _number(4)), way)])
    is_there = builder.icmp_signed("!=", builder.and_(first, _number(1 << corner)), _number(0))
    return builder.select(is_there, pixel, frame)


def _number(value: int) -> ir.Constant:
    return ir.Constant(ir.IntType(64), value)


def _blended(vectors: Vectors, weights, values):
    total = vectors.builder.fmul(weights[0], values[0])
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = vectors.call("fma", weight, value, total)
    return total


def _totals(vectors: Vectors, four):
    """The sum of the elements of each of four vectors, in halves, all four at once."""
    builder, i32, n = vectors.builder, ir.IntType(32), vectors.lanes
    if n == 1:
        return [builder.extract_element(one, ir.Constant(i32, 0)) for one in four]

    def mixed(a, b, places):
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(i32, n), places))

    def halves(a, b, width):  # sums of neighbouring runs of `width`, those of a, then those of b
        even = [start + e for start in range(0, 2 * n, 2 * width) for e in range(width)]
        return builder.fadd(mixed(a, b, even), mixed(a, b, [place + width for place in even]))

    (a, b, c, d), width = four, n // 4  # of each sum
    sums = halves(halves(a, b, n // 2), halves(c, d, n // 2), width)
    while width > 1:
        width //= 2
        sums = builder.fadd(sums, mixed(sums, sums, [min(e + width, n - 1) for e in range(n)]))
    return [builder.extract_element(sums, ir.Constant(i32, e)) for e in range(0, n, n // 4)]


@intrinsic
def blend(typingctx, target, t, n, table, frame, first, right, below, a, b, c, d):
    """target[t + e] = a·(first pixel)[e] + b·(the one right of it)[e] + c·(below it)[e] + d·(below and right)[e]"""

    def generate(context, builder, signature, args):
        four = _Neighbours(context, builder, signature, args)

        def body(vectors, weights, at, channel):
            values = [vectors.load(pixel, channel) for pixel in four.pixels]
            vectors.store(_blended(vectors, weights, values), four.array, at)

        four.each(body)
        return context.get_dummy_value()

    f = target.dtype
    return types.void(target, _I64, _I64, table, frame, _I64, _I64, _I64, f, f, f, f), generate


@intrinsic
def sum_blends(typingctx, target, t, n, table, frame, firsts, weights, s, step, taps, right, below):
    """target[t + e] = the sum of what `blend` writes for the samples s, s + step … of `taps` taps.

    `weights` are those of the first pixels of all samples, then those of the pixels right of them, and so on. Sums stay
    in registers: those of four vectors of channels, or four for one vector.
    """

    def generate(context, builder, signature, args):
        wide, single = Vectors(context, builder, target.dtype), Vectors(context, builder, target.dtype, single=True)
        array, data, zeros, index, shares = (pointer(context, builder, signature.args[k], args[k]) for k in (0, 3, 4, 5, 6))
        _, t, n, *_, s, step, taps, right, below = args
        many = cgutils.create_struct_proxy(signature.args[5])(context, builder, args[5]).nitems
        ways = (_number(0), right, below, builder.add(below, right))

        def write(vectors, count, start, stop):
            with cgutils.for_range_slice(builder, start, stop, _number(count * vectors.lanes)) as (channel, _):
                channels = [builder.add(channel, _number(r * vectors.lanes)) for r in range(count)]

                @vectors.summed(4, taps)
                def sums(k, sums):
                    at = builder.add(s, builder.mul(k, step))
                    first, sums = builder.load(builder.gep(index, [at])), list(sums)
                    for corner, way in enumerate(ways):
                        pixel = _pixel(builder, data, zeros, first, corner, way)
                        weight = builder.load(builder.gep(shares, [builder.add(at, builder.mul(_number(corner), many))]))
                        weight = vectors.splat(weight)
                        for r, own in enumerate(channels):
                            to = r if count > 1 else corner
                            sums[to] = vectors.call("fma", weight, vectors.load(pixel, own), sums[to])
                    return sums

                if count == 1:
                    sums = [builder.fadd(builder.fadd(*sums[:2]), builder.fadd(*sums[2:]))]
                for own, total in zip(channels, sums, strict=True):
                    vectors.store(total, array, builder.add(t, own))

        ends = [builder.and_(n, _number(-count * wide.lanes)) for count in (4, 1)]
        write(wide, 4, _number(0), ends[0])
        write(wide, 1, *ends)
        write(single, 1, ends[1], n)
        return context.get_dummy_value()

    i = types.int64
    return types.void(target, i, i, table, frame, firsts, weights, i, i, i, i, i), generate


def _comparing(written: bool):
    """How to sum the products of an array with the four pixels; with `written` their blend goes over the array."""

    def generate(context, builder, signature, args):
        four = _Neighbours(context, builder, signature, args)
        sums = {
            vectors: [cgutils.alloca_once_value(builder, vectors.constant(0.0)) for _ in four.pixels]
            for vectors in (four.vectors, four.single)
        }

        def body(vectors, weights, at, channel):
            gradient = vectors.load(four.array, at)
            values = [vectors.load(pixel, channel) for pixel in four.pixels]
            for total, value in zip(sums[vectors], values, strict=True):
                builder.store(vectors.call("fma", gradient, value, builder.load(total)), total)
            if written:
                vectors.store(_blended(vectors, weights, values), four.array, at)

        four.each(body)
        parts = [_totals(vectors, [builder.load(total) for total in own]) for vectors, own in sums.items()]
        totals = [builder.fadd(whole, rest) for whole, rest in zip(*parts, strict=True)]
        return context.make_tuple(builder, signature.return_type, totals)

    return generate


@intrinsic
def compare(typingctx, array, t, n, table, frame, first, right, below):
    """The sums of the products of array[t + e] with the four pixels."""
    given = (array, _I64, _I64, table, frame, _I64, _I64, _I64)
    return types.UniTuple(array.dtype, 4)(*given), _comparing(written=False)


@intrinsic
def blend_and_compare(typingctx, columns, t, n, table, frame, first, right, below, a, b, c, d):
    """Write what `blend` writes over a gradient, and return the sums of its products with the four pixels."""
    f = columns.dtype
    given = (columns, _I64, _I64, table, frame, _I64, _I64, _I64, f, f, f, f)
    return types.UniTuple(f, 4)(*given), _comparing(written=True)


@intrinsic
def scatter(typingctx, columns, t, n, table, frame, first, right, below, a, b, c, d):
    """The transpose of `blend`: a·columns[t + e] is added to (first pixel)[e], and so on for the other three."""

    def generate(context, builder, signature, args):
        four = _Neighbours(context, builder, signature, args)

        def body(vectors, weights, at, channel):
            gradient = vectors.load(four.array, at)
            for pixel, weight in zip(four.pixels, weights, strict=True):
                vectors.store(vectors.call("fma", weight, gradient, vectors.load(pixel, channel)), pixel, channel)

        four.each(body)
        return context.get_dummy_value()

    f = columns.dtype
    return types.void(columns, _I64, _I64, table, frame, _I64, _I64, _I64, f, f, f, f), generate
