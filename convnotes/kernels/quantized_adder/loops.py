"""The loops behind `in_numba`: eight channels of a pixel are the eight bytes of one word, and one instruction sums
their absolute differences from the eight bytes of a weight (`vpsadbw`: 64 differences and 64 additions).

`pack` quantises images into such words, zero points around them. `sum_words` takes a few vectors of output positions
and 4 outputs at a time, whose sums stay in registers while k runs over the words that a kernel sees::

    sums[r, v] += Σ_k psadbw(words[start_v + offset_k], weight[k, r])

A word of fewer than eight channels is filled up with zeros on both sides, which differ by nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convnotes.kernels.cpu.compile import loop
from convnotes.kernels.cpu.vectors import WIDE, pointer

_FEATURES = llvmlite.binding.get_host_cpu_features()
POSSIBLE = bool(_FEATURES.get("avx512bw") if WIDE else _FEATURES.get("avx2"))  # is the instruction there?
LANES = 8 if WIDE else 4  # words of a vector
VECTORS = 4 if WIDE else 2  # of positions at a time
ROWS = 4  # outputs at a time
CHANNELS = 8  # of a word
STEP = 8  # words that `pack` writes at a time
_NAME = "llvm.x86.avx512.psad.bw.512" if WIDE else "llvm.x86.avx2.psad.bw"
_INDEX, _INT, _BIT, _FLOAT = ir.IntType(64), ir.IntType(32), ir.IntType(1), ir.FloatType()


class Images(NamedTuple):
    """Sizes: `[B·G, C, parts, H, W]` becomes words `[B·G, M, parts, rows, pitch]`, its first pixel at (top, left)."""

    C: int
    M: int
    parts: int
    H: int
    W: int
    top: int
    left: int
    rows: int
    pitch: int


class Sums(NamedTuple):
    """Sizes: the result `[B, G, N, H, W]`, of K words per kernel, `image` words per image and group."""

    B: int
    G: int
    N: int
    K: int
    H: int
    W: int
    image: int
    pitch: int


def _call(builder, name, result, *values):
    function = ir.FunctionType(result, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), values)


def _splat(builder, scalar, lanes):
    anything = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(anything, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, anything, ir.Constant(ir.VectorType(_INT, lanes), [0] * lanes))


def _vector(builder, base, index, kind):
    return builder.bitcast(builder.gep(base, [index]), kind.as_pointer())


@intrinsic
def _quantise(typingctx, words, i, pixels, j, wanted, scale, zero_point, channel):
    """Write byte `channel` of `STEP` words: the pixels whose bit is set in `wanted`, 0 for the others, quantised.

    Channel 0 overwrites the words, and so clears the bytes of those that follow.
    """

    def generate(context, builder, signature, args):
        W, X = (pointer(context, builder, signature.args[n], args[n]) for n in (0, 2))
        floats, longs = ir.VectorType(_FLOAT, STEP), ir.VectorType(_INDEX, STEP)
        bits = builder.bitcast(builder.trunc(args[4], ir.IntType(STEP)), ir.VectorType(_BIT, STEP))
        zeros, ends = ir.Constant(floats, [0.0] * STEP), ir.Constant(floats, [255.0] * STEP)
        at = _vector(builder, X, args[3], floats)
        x = _call(builder, f"llvm.masked.load.v{STEP}f32.p0", floats, at, ir.Constant(_INT, 4), bits, zeros)
        scale, zero_point = (_splat(builder, args[n], STEP) for n in (5, 6))
        q = _call(builder, f"llvm.rint.v{STEP}f32", floats, builder.fdiv(x, scale))
        q = builder.fadd(q, zero_point)
        q = builder.select(builder.fcmp_ordered("<", q, ends), q, ends)
        q = builder.select(builder.fcmp_ordered(">", q, zeros), q, zeros)
        q = builder.zext(builder.fptosi(q, ir.VectorType(_INT, STEP)), longs)
        shift = builder.mul(args[7], ir.Constant(_INDEX, 8))
        q = builder.shl(q, _splat(builder, shift, STEP))
        to = _vector(builder, W, args[1], longs)
        before = builder.load(to)
        before.align = 8
        first = builder.icmp_signed("==", args[7], ir.Constant(_INDEX, 0))
        before = builder.select(first, ir.Constant(longs, [0] * STEP), before)
        builder.store(builder.or_(before, q), to).align = 8
        return context.get_dummy_value()

    i, f = types.int64, types.float32
    return types.void(words, i, pixels, i, i, f, f, i), generate


@intrinsic
def _sum_block(typingctx, words, offsets, count, weight, w0, where, target, first, plane, rows, factor, bias, b0):
    """`factor` times the sums above, plus the bias, of `rows` of `ROWS` outputs, written to `target`.

    `where` holds for each vector where it starts among the words and in `target`, and how many of its positions count.
    """

    def generate(context, builder, signature, args):
        S, O, W, P, T, B = (pointer(context, builder, signature.args[n], args[n]) for n in (0, 1, 3, 5, 6, 11))
        longs, bytes = ir.VectorType(_INDEX, LANES), ir.VectorType(ir.IntType(8), 8 * LANES)

        def number(base, *index):
            at = index[0]
            for more in index[1:]:
                at = builder.add(at, more if isinstance(more, ir.Value) else ir.Constant(_INDEX, more))
            return builder.load(builder.gep(base, [at]))

        told = [[number(P, ir.Constant(_INDEX, 3 * v + n)) for n in range(3)] for v in range(VECTORS)]
        before = builder.block
        turn, after = builder.append_basic_block("turn"), builder.append_basic_block("after")
        builder.branch(turn)
        builder.position_at_end(turn)
        k = builder.phi(_INDEX)
        k.add_incoming(ir.Constant(_INDEX, 0), before)
        sums = [builder.phi(longs) for _ in range(ROWS * VECTORS)]
        offset, pixels, now = number(O, k), [], []
        for start, _, _ in told:
            seen = builder.load(_vector(builder, S, builder.add(start, offset), longs))
            seen.align = 8
            pixels.append(builder.bitcast(seen, bytes))
        for r in range(ROWS):
            w = number(W, args[4], builder.mul(k, ir.Constant(_INDEX, ROWS)), r)
            w = builder.bitcast(_splat(builder, w, LANES), bytes)
            now += [_call(builder, _NAME, longs, seen, w) for seen in pixels]
        now = [builder.add(total, differences) for total, differences in zip(sums, now, strict=True)]
        following = builder.add(k, ir.Constant(_INDEX, 1))
        builder.cbranch(builder.icmp_signed("<", following, args[2]), turn, after)
        k.add_incoming(following, turn)
        for total, value in zip(sums, now, strict=True):
            total.add_incoming(ir.Constant(longs, [0] * LANES), before)
            total.add_incoming(value, turn)
        builder.position_at_end(after)
        floats, numbers = ir.VectorType(_FLOAT, LANES), ir.Constant(longs, list(range(LANES)))
        factor = _splat(builder, args[10], LANES)
        for r in range(ROWS):
            there = builder.icmp_signed("<", ir.Constant(_INDEX, r), args[9])
            shift = _splat(builder, number(B, args[12], r), LANES)
            for v, (_, to, wanted) in enumerate(told):
                total = builder.sitofp(builder.trunc(now[r * VECTORS + v], ir.VectorType(_INT, LANES)), floats)
                wanted = builder.select(there, wanted, ir.Constant(_INDEX, 0))
                mask = builder.icmp_signed("<", numbers, _splat(builder, wanted, LANES))
                at = builder.add(builder.add(args[7], builder.mul(args[8], ir.Constant(_INDEX, r))), to)
                score = builder.fadd(builder.fmul(total, factor), shift)
                kept = (score, _vector(builder, T, at, floats), ir.Constant(_INT, 4), mask)
                _call(builder, f"llvm.masked.store.v{LANES}f32.p0", ir.VoidType(), *kept)
        return context.get_dummy_value()

    i = types.int64
    return types.void(words, offsets, i, weight, i, where, target, i, i, i, types.float32, bias, i), generate


@loop
def pack(start, stop, pixels, words, grid, sizes):
    """Quantise words [start, stop) of the B·G·M planes of eight channels; `grid` is the scale and the zero point."""
    C, M, parts, H, W, top, left, rows, pitch = sizes
    for job in range(start, stop):
        image, m = divmod(job, M)
        first = image * C + CHANNELS * m
        for part in range(parts):
            for row in range(rows):
                to = ((job * parts + part) * rows + row) * pitch
                source = ((first * parts + part) * H + row - top) * W - left
                for p in range(0, pitch, STEP):
                    low, high = min(max(left - p, 0), STEP), min(max(W + left - p, 0), STEP)
                    wanted = (1 << high) - 1 & -(1 << low) if top <= row < top + H else 0
                    for c in range(min(CHANNELS, C - CHANNELS * m)):
                        at = source + c * parts * H * W + p
                        _quantise(words, to + p, pixels, at, wanted, grid[0], grid[1], c)


@loop
def sum_words(start, stop, words, offsets, weight, bias, grid, target, sizes):
    """Jobs start to stop: a job is `VECTORS` vectors of positions of a group, for all its outputs."""
    B, G, N, K, H, W, image, pitch = sizes
    across, blocks = -(-W // LANES), -(-N // ROWS)
    vectors = B * H * across
    jobs, where = -(-vectors // VECTORS), np.zeros(3 * VECTORS, np.int64)
    for job in range(start, stop):
        group, first = divmod(job, jobs)
        for v in range(VECTORS):
            row, step = divmod(min(first * VECTORS + v, vectors - 1), across)
            b, i = divmod(row, H)
            j = step * LANES
            where[3 * v] = (b * G + group) * image + i * pitch + j
            where[3 * v + 1] = (b * G + group) * N * H * W + i * W + j
            where[3 * v + 2] = min(LANES, W - j) if first * VECTORS + v < vectors else 0
        for block in range(blocks):
            at, done = (group * blocks + block) * ROWS, block * ROWS
            left, plane = min(ROWS, N - done), H * W
            what = (where, target, done * plane, plane, left, -grid[0], bias, at)
            _sum_block(words, offsets, K, weight, at * K, *what)
