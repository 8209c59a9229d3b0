"""The loop behind `kernels.adder_numba`, whose sums never leave the registers of the processor.

`sum_tiles` takes tiles of `WIDTH` places. In one it gathers the taps of some source planes into columns `[k, WIDTH]`,
which fit the first cache, and then for a few rows r at a time

    sums[r,p] += Σ_k |columns[k,p] − w[k,r]|                  distance
    sums[r,p] += Σ_k f(own[r,p] − w[k,r]) · columns[k,p]      clamp: f(d) = clamp(d, −1, 1);  sign: f = sign

with the rows × WIDTH sums in registers while k runs. That needs vector instructions, which numba intrinsics write here:
a compiler that vectorises a loop of scalars keeps the sums in memory, and is up to twice as slow on small maps.

A distance is first tried as 2 Σ max(x, w) − Σ x − Σ w, two operations a tap in the place of three. Its rounding errors
grow with Σ|x| + Σ|w|, so it is kept where it is at least a quarter of that, as for values that have little to do with
each other; a tile with a closer match in it, or with NaN or infinity, is summed again as Σ |x − w|. Intrinsics and loop
share this file, as numba's cache on the disk looks at the date of the loop's file only.
"""

from __future__ import annotations

import functools

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from convnotes.kernels.compiled import loop

_FEATURES = llvmlite.binding.get_host_cpu_features()
_WIDE = bool(_FEATURES.get("avx512f"))  # 32 registers of 64 bytes
_RANGE = _WIDE and bool(_FEATURES.get("avx512dq"))  # an instruction that clamps
_BYTES, VECTORS = (64, 4) if _WIDE else (32, 2)  # of a vector, and vectors of places in a tile
_ROWS = 4  # of sums in the registers at a time
_SLOPE_ROWS = 4 if _WIDE else 2  # where the rows' own values take as many registers as the sums
_COLUMNS = 72  # of a tile at a time: 8 planes and 3×3 taps take 23 KiB
_FROM = 8  # rows from which on the maxima pay
_CLOSE = 0.25  # a distance below this share of Σ|x| + Σ|w| is not taken from the maxima
_INDEX = ir.IntType(64)
DISTANCE, MAXIMUM, CLAMP, SIGN = range(4)  # what can be summed
ROWS = (_ROWS, _ROWS, _SLOPE_ROWS, _SLOPE_ROWS)  # rows of it at a time, whose weights lie beside each other


@register_jitable
def lanes(itemsize: int) -> int:
    """Elements of a vector."""
    return _BYTES // itemsize


class _Vectors:
    """Vector instructions on elements of `dtype`, written where `builder` stands."""

    def __init__(self, context, builder, dtype) -> None:
        self.builder, self.bits = builder, dtype.bitwidth
        self.lanes, self.width = lanes(self.bits // 8), VECTORS * lanes(self.bits // 8)
        self.type = ir.VectorType(context.get_value_type(dtype), self.lanes)

    def constant(self, value: float) -> ir.Constant:
        return ir.Constant(self.type, [value] * self.lanes)

    def at(self, base, index):
        return self.builder.bitcast(self.builder.gep(base, [index]), self.type.as_pointer())

    def load(self, base, index):
        loaded = self.builder.load(self.at(base, index))
        loaded.align = self.bits // 8
        return loaded

    def store(self, value, base, index) -> None:
        self.builder.store(value, self.at(base, index)).align = self.bits // 8

    def splat(self, scalar):
        anything = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(anything, scalar, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, anything, zeros)

    def call(self, name: str, *vectors):
        function = ir.FunctionType(self.type, [self.type] * len(vectors))
        full_name = f"llvm.{name}.v{self.lanes}f{self.bits}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, function, full_name), vectors)

    def where(self, relation: str, a, b, chosen, other):
        return self.builder.select(self.builder.fcmp_ordered(relation, a, b), chosen, other)

    def nearer_to_zero(self, a, b):
        """The one of the smaller size, with the sign of a; b where a is NaN. For `_RANGE` only."""
        i32, name = ir.IntType(32), f"llvm.x86.avx512.mask.range.p{'s' if self.bits == 32 else 'd'}.512"
        rest = (
            ir.Constant(i32, 0b0010),
            self.constant(0.0),
            ir.Constant(ir.IntType(self.lanes), -1),
            ir.Constant(i32, 4),
        )
        function = ir.FunctionType(self.type, [value.type for value in (a, b, *rest)])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, function, name), [a, b, *rest])


def _pointer(context, builder, kind, array):
    return cgutils.create_struct_proxy(kind)(context, builder, array).data


@intrinsic
def _copy(typingctx, target, i, source, j):
    """`target[i : i + lanes] = source[j : j + lanes]` in one vector, whatever lies there."""

    def generate(context, builder, signature, args):
        vectors = _Vectors(context, builder, target.dtype)
        to, from_ = (_pointer(context, builder, signature.args[n], args[n]) for n in (0, 2))
        vectors.store(vectors.load(from_, args[3]), to, args[1])
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64), generate


def _block(slope: str, rows: int):
    """The intrinsic `(sums, columns, taps, weight, w0, own, r0, one)` of the sum above, or of max(columns, w).

    All arrays are flat: `sums` and `own` `[…, WIDTH]` from row r0 on, `columns` `[taps, WIDTH + lanes]`, `weight`
    `[taps, rows]` from element w0 on. `one` is a 1 of which the compiler does not know: by it a sum or a difference
    becomes a fused multiply-add of the same bits, which runs beside the other half on pipes of its own.
    """
    clamps = slope == "clamp" and _RANGE

    @intrinsic
    def sum_taps(typingctx, sums, columns, taps, weight, w0, own, r0, one):
        def generate(context, builder, signature, args):
            vectors = _Vectors(context, builder, sums.dtype)
            S, C, W, X = (_pointer(context, builder, signature.args[n], args[n]) for n in (0, 1, 3, 5))
            count, first_weight, first_row, one = args[2], args[4], args[6], vectors.splat(args[7])
            places = range(0, vectors.width, vectors.lanes)

            index = functools.partial(ir.Constant, _INDEX)
            start = builder.mul(first_row, index(vectors.width))
            cells = [(r, builder.add(start, index(r * vectors.width + p))) for r in range(rows) for p in places]
            x = [vectors.load(X, cell) for _, cell in cells] if slope in ("clamp", "sign") else None
            before, loop, after = builder.block, *map(builder.append_basic_block, ("taps", "after"))
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(_INDEX)
            totals = [builder.phi(vectors.type) for _ in cells]
            at_tap = builder.mul(k, index(vectors.width + vectors.lanes))
            column = [vectors.load(C, builder.add(at_tap, index(p))) for p in places]
            at_weight = builder.add(first_weight, builder.mul(k, index(rows)))
            scalars = [builder.load(builder.gep(W, [builder.add(at_weight, index(r))])) for r in range(rows)]
            sums_now = []
            for n, (r, _) in enumerate(cells):
                w, c = vectors.splat(scalars[r]), column[n % len(column)]
                if slope == "distance":
                    term, factor = vectors.call("fabs", builder.fsub(c, w)), one
                elif slope == "maximum":
                    term, factor = vectors.where("<", w, c, c, w), one
                elif clamps:
                    term, factor = vectors.nearer_to_zero(builder.fsub(x[n], w), vectors.constant(1.0)), c
                else:
                    term, factor = _bounded(vectors, vectors.call("fma", x[n], one, builder.fneg(w)), slope), c
                sums_now.append(vectors.call("fma", term, factor, totals[n]))
            following = builder.add(k, index(1))
            builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
            k.add_incoming(index(0), before)
            k.add_incoming(following, loop)
            for total, now in zip(totals, sums_now, strict=True):
                total.add_incoming(vectors.constant(0.0), before)
                total.add_incoming(now, loop)
            builder.position_at_end(after)
            for n, ((_, cell), total) in enumerate(zip(cells, sums_now, strict=True)):
                total = builder.fadd(vectors.load(S, cell), total)
                if clamps:
                    total = builder.select(builder.fcmp_unordered("uno", x[n], x[n]), x[n], total)  # NaN stays
                vectors.store(total, S, cell)
            return context.get_dummy_value()

        i = types.int64
        return types.void(sums, columns, i, weight, i, own, i, sums.dtype), generate

    return sum_taps


def _bounded(vectors: _Vectors, d, slope: str):
    """clamp(d, −1, 1), where a NaN stays one, or the sign of d, 0 for a NaN: both as in torch."""
    one, minus_one, zero = (vectors.constant(value) for value in (1.0, -1.0, 0.0))
    if slope == "sign":
        return vectors.where(">", d, zero, one, vectors.where("<", d, zero, minus_one, zero))
    d = vectors.where(">", d, one, one, d)
    return vectors.where("<", d, minus_one, minus_one, d)


def _sum_rows(slope: str, many: int):
    """The sum for rows r0 to r1, `many` at a time; row r's weights are at w0 + r·`row`, and from m on among them."""
    block, single = _block(slope, many), _block(slope, 1)

    @register_jitable
    def sum_rows(sums, r0, r1, columns, taps, weight, w0, row, m, x, one):
        left = (r1 - r0) % many
        for r in range(r0, r1 - left, many):
            block(sums, columns, taps, weight, w0 + r * row + m * many, x, r, one)
        for r in range(r1 - left, r1):
            single(sums, columns, taps, weight, w0 + r * row + m, x, r, one)

    return sum_rows


_distances, _maxima = _sum_rows("distance", _ROWS), _sum_rows("maximum", _ROWS)
_clamps, _signs = _sum_rows("clamp", _SLOPE_ROWS), _sum_rows("sign", _SLOPE_ROWS)


@register_jitable
def _room(count, like):
    """Zeros from the beginning of a line of the cache on, so that no vector straddles two."""
    room = np.zeros(count + 64, like.dtype)
    return room[-room.ctypes.data % 64 // room.itemsize :][:count]


@loop
def sum_tiles(kind, start, stop, source, offsets, weight, weight_sums, own, target, one, sign, sizes):
    """Tiles start to stop of G times all places of all pictures; arguments as in `adder_numba._summed`, flat."""
    B, G, N, M, T, H, W, plane, from_row_to_row = sizes
    tile, number = VECTORS * lanes(source.itemsize), source.dtype.type
    tiles = -(-B * H * W // tile)
    some = min(M, max(1, _COLUMNS // T))  # planes at a time
    pitch = tile + lanes(source.itemsize)  # of the columns: a run that is copied in whole vectors ends in the gap
    columns, sums = _room(some * T * pitch, source), _room(N * tile, source)
    x = _room(1 if kind == DISTANCE else N * tile, source)
    seen, ends = _room(2 * tile, source), _room(2 * some * T, source)
    ends[: some * T] = -np.inf
    runs = np.empty((tile, 3), np.int64)  # places of a tile that lie in one row: the first, where in source, how many
    for job in range(start, stop):
        group, first = job // tiles, job % tiles * tile
        count = min(tile, B * H * W - first)
        n_runs = done = 0
        while done < count:
            row, j = divmod(first + done, W)
            b, i = divmod(row, H)
            runs[n_runs] = done, (b * G + group) * M * plane + i * from_row_to_row + j, min(W - j, count - done)
            done += runs[n_runs, 2]
            n_runs += 1
        if kind != DISTANCE:
            _move(x, own, True, group, first, count, tile, sizes)
        by_maxima = kind == DISTANCE and N >= _FROM
        what = (source, offsets, weight, x, one, ends, seen, some, pitch, group, sizes)
        _sum_tile(MAXIMUM if by_maxima else kind, sums, columns, runs[:n_runs], what)
        if by_maxima:
            far = True
            for n in range(N):
                ours, size = weight_sums[2 * (group * N + n)], weight_sums[2 * (group * N + n) + 1]
                for p in range(count):
                    distance = (sums[n * tile + p] - seen[p] - ours) + sums[n * tile + p]
                    far &= distance >= number(_CLOSE) * (seen[tile + p] + size) and distance < number(np.inf)
                    sums[n * tile + p] = distance
            if not far:
                _sum_tile(DISTANCE, sums, columns, runs[:n_runs], what)
        sums *= sign
        _move(sums, target, False, group, first, count, tile, sizes)


@loop
def _sum_tile(kind, sums, columns, runs, what):
    """Fill `sums` `[N, width]`; for maxima `seen` too, `[2, width]`: the sums of the columns and of their sizes."""
    source, offsets, weight, x, one, ends, seen, some, pitch, group, (_, _, N, M, T, _, _, _, _) = what
    first, vector = group * N * M * T, lanes(source.itemsize)
    sums[:] = 0
    seen[:] = 0
    for m in range(0, M, some):
        taps = min(some, M - m) * T
        for run in range(len(runs)):
            place, at, length = runs[run]
            for step in range(0, length, vector):  # past its end too, which the next run or nobody overwrites
                for k in range(taps):
                    _copy(columns, k * pitch + place + step, source, at + step + offsets[m * T + k])
        if kind == DISTANCE:
            _distances(sums, 0, N, columns, taps, weight, first, M * T, m * T, x, one)
        elif kind == MAXIMUM:
            _maxima(sums, 0, N, columns, taps, weight, first, M * T, m * T, x, one)
            _maxima(seen, 0, 1, columns, taps, ends, 0, 0, 0, x, one)  # max(x, −∞) = x
            _distances(seen, 1, 2, columns, taps, ends, some * T, 0, 0, x, one)  # |x − 0|
        elif kind == CLAMP:
            _clamps(sums, 0, N, columns, taps, weight, first, M * T, m * T, x, one)
        else:
            _signs(sums, 0, N, columns, taps, weight, first, M * T, m * T, x, one)


@loop
def _move(tile, maps, inwards, group, first, count, width, sizes):
    """Copy `[N, width]` from, or to, the places `first` to `first` + `count` of maps `[B, G, N, H·W]`."""
    _, G, N, _, _, H, W, _, _ = sizes
    to, source = (tile, maps) if inwards else (maps, tile)
    vector, done = lanes(tile.itemsize), 0
    while done < count:
        b, place = divmod(first + done, H * W)
        length = min(H * W - place, count - done)
        whole = length - length % vector
        for n in range(N):
            here, there = n * width + done, ((b * G + group) * N + n) * H * W + place
            i, j = (here, there) if inwards else (there, here)
            for step in range(0, whole, vector):
                _copy(to, i + step, source, j + step)
            for step in range(whole, length):
                to[i + step] = source[j + step]
        done += length
