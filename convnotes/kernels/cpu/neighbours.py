"""Four neighbours in a table, read, compared and added to in vector instructions: the inner steps of what samples.

A table `[B, H, W, C]` is flat. The first of the four pixels of a sample is given as 16·i + those of the four that lie
in the image, as bits: i, i + right, i + below and i + below + right, where `right` is C and `below` a line. A
pixel outside the image is read from the `frame`, zeros, or added to it, for nothing: so nothing lies around the table.
The intrinsics work inside `numba.njit` only and check nothing. Each element is the same sum in the same order whatever
its neighbours are, NaN and infinity among them.
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


class _Taps:
    """The arguments of an intrinsic below: an array from t on, `n` channels, samples s, s + step … of `taps` taps."""

    def __init__(self, context, builder, signature, args) -> None:
        self.builder, dtype = builder, signature.args[0].dtype
        self.vectors, self.single = Vectors(context, builder, dtype), Vectors(context, builder, dtype, single=True)
        pointers = [pointer(context, builder, signature.args[k], args[k]) for k in (0, 3, 4, 5, 6)]
        self.array, self.table, self.frame, self.firsts, self.weights = pointers
        _, self.t, self.n, *_, self.s, self.step, self.taps, right, below = args
        self.many = cgutils.create_struct_proxy(signature.args[5])(context, builder, args[5]).nitems
        self.ways = (_number(0), right, below, builder.add(below, right))

    def each(self, body) -> None:
        """Write `body(vectors, channels)` for four vectors at a time, for one, and for single channels."""
        four, one = (self.builder.and_(self.n, _number(-count * self.vectors.lanes)) for count in (4, 1))
        parts = ((self.vectors, 4, _number(0), four), (self.vectors, 1, four, one), (self.single, 1, one, self.n))
        for vectors, count, start, stop in parts:
            width = count * vectors.lanes
            with cgutils.for_range_slice(self.builder, start, stop, _number(width)) as (channel, _):
                body(vectors, [self.builder.add(channel, _number(n * vectors.lanes)) for n in range(count)])

    def corners(self, vectors: Vectors, k):
        """The four pixels of tap k, each with its weight."""
        at = self.builder.add(self.s, self.builder.mul(k, self.step))
        first = self.builder.load(self.builder.gep(self.firsts, [at]))
        for corner, way in enumerate(self.ways):
            share = self.builder.add(at, self.builder.mul(_number(corner), self.many))
            weight = self.builder.load(self.builder.gep(self.weights, [share]))
            yield _pixel(self.builder, self.table, self.frame, first, corner, way), vectors.splat(weight)


def _of_taps(array, table, frame, firsts, weights):
    return types.void(array, _I64, _I64, table, frame, firsts, weights, _I64, _I64, _I64, _I64, _I64)


@intrinsic
def sum_blends(typingctx, target, t, n, table, frame, firsts, weights, s, step, taps, right, below):
    """target[t + e] = the sum of what `blend` writes for all taps.

    `weights` are those of the first pixels of all samples, then those of the pixels right of them, and so on. Sums stay
    in registers: those of four vectors of channels, or four for one vector.
    """

    def generate(context, builder, signature, args):
        of = _Taps(context, builder, signature, args)

        def body(vectors, channels):
            @vectors.summed(4, of.taps)
            def sums(k, sums):
                sums = list(sums)
                for corner, (pixel, weight) in enumerate(of.corners(vectors, k)):
                    for n, channel in enumerate(channels):
                        to = n if len(channels) > 1 else corner
                        sums[to] = vectors.call("fma", weight, vectors.load(pixel, channel), sums[to])
                return sums

            if len(channels) == 1:
                sums = [builder.fadd(builder.fadd(*sums[:2]), builder.fadd(*sums[2:]))]
            for channel, total in zip(channels, sums, strict=True):
                vectors.store(total, of.array, builder.add(of.t, channel))

        of.each(body)
        return context.get_dummy_value()

    return _of_taps(target, table, frame, firsts, weights), generate


@intrinsic
def scatter_taps(typingctx, source, t, n, table, frame, firsts, weights, s, step, taps, right, below):
    """The transpose of `sum_blends`: source[t + e], times the weight of each pixel of each tap, is added to that."""

    def generate(context, builder, signature, args):
        of = _Taps(context, builder, signature, args)

        def body(vectors, channels):
            gradients = [vectors.load(of.array, builder.add(of.t, channel)) for channel in channels]
            with cgutils.for_range_slice(builder, _number(0), of.taps, _number(1)) as (k, _):
                for pixel, weight in of.corners(vectors, k):
                    for channel, gradient in zip(channels, gradients, strict=True):
                        before = vectors.load(pixel, channel)
                        vectors.store(vectors.call("fma", weight, gradient, before), pixel, channel)

        of.each(body)
        return context.get_dummy_value()

    return _of_taps(source, table, frame, firsts, weights), generate


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
