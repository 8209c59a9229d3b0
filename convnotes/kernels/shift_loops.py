"""The loop behind `kernels.shift_numba`, a C function: planes moved in memory, whatever numbers they hold.

A plane is one long run of memory, and so is what is left of it when it has moved. The columns at its edge that took
their numbers from the row before or after are cleared at once, while their rows lie in the first cache.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from convnotes.kernels.compiled import c_function
from convnotes.kernels.jobs import add

FIELDS = 13  # of a job, and after them a counter for each thread
_I64 = types.int64
_ROOM = 8192  # bytes that are moved before their columns are cleared


def _pointer(builder, address, bits: int):
    return builder.inttoptr(address, ir.IntType(bits).as_pointer())


@intrinsic
def _numbers(typingctx, address):
    """The whole numbers that lie at an address."""

    def generate(context, builder, signature, args):
        return _pointer(builder, args[0], 64)

    return types.CPointer(_I64)(_I64), generate


@intrinsic
def _call(typingctx, address):
    """What the C function `int f()` at an address gives."""

    def generate(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(32), []).as_pointer()
        return builder.sext(builder.call(builder.inttoptr(args[0], kind), []), ir.IntType(64))

    return _I64(_I64), generate


@intrinsic
def _copy(typingctx, target, source, count):
    """Copy `count` bytes from one address to another."""

    def generate(context, builder, signature, args):
        to, from_ = (_pointer(builder, address, 8) for address in args[:2])
        cgutils.raw_memcpy(builder, to, from_, args[2], 1)
        return context.get_dummy_value()

    return types.void(_I64, _I64, _I64), generate


@intrinsic
def _clear(typingctx, target, count):
    """Write `count` bytes of 0."""

    def generate(context, builder, signature, args):
        cgutils.memset(builder, _pointer(builder, args[0], 8), args[1], 0)
        return context.get_dummy_value()

    return types.void(_I64, _I64), generate


def _clears(size: int):
    @intrinsic
    def clear(typingctx, target):
        """Write `size` bytes of 0, in one instruction."""

        def generate(context, builder, signature, args):
            zero = ir.Constant(ir.IntType(8 * size), 0)
            builder.store(zero, _pointer(builder, args[0], 8 * size)).align = 1
            return context.get_dummy_value()

        return types.void(_I64), generate

    return clear


_clear_2, _clear_4, _clear_8 = _clears(2), _clears(4), _clears(8)


@register_jitable
def _move(start, stop, target, source, moves, sign, C, H, W, size):
    row = W * size
    rows = max(1, _ROOM // row)
    for plane in range(start, stop):
        to, from_ = target + plane * H * row, source + plane * H * row
        dy, dx = sign * moves[plane % C * 2], sign * moves[plane % C * 2 + 1]
        if abs(dy) >= H or abs(dx) >= W:
            _clear(to, H * row)
            continue
        top, bottom = max(0, -dy), H - max(0, dy)  # the rows where something arrives
        _clear(to, top * row)
        _clear(to + bottom * row, (H - bottom) * row)
        by, missed = dy * row + dx * size, abs(dx) * size
        edge = to if dx < 0 else to + row - missed
        for i in range(top, bottom, rows):
            first, last = i * row, min(i + rows, bottom) * row
            begin, end = max(first, -by), min(last, H * row - by)  # what lies in the plane that is read
            _copy(to + begin, from_ + begin + by, end - begin)
            if missed == 2:
                for at in range(first, last, row):
                    _clear_2(edge + at)
            elif missed == 4:
                for at in range(first, last, row):
                    _clear_4(edge + at)
            elif missed == 8:
                for at in range(first, last, row):
                    _clear_8(edge + at)
            elif missed > 0:
                for at in range(first, last, row):
                    _clear(edge + at, missed)


@c_function
def planes(job):
    """Do the `job` of `shift_numba.move`: a thread its own share first, and then what the others have left of theirs.

    Its own is that which torch would give it too: what the operation after this one reads lies in its own cache.
    """
    number, threads, count, share, piece = job[0], job[1], job[2], job[3], job[4]
    target, source, moves, sign = job[5], job[6], _numbers(job[7]), job[8]
    me = _call(number) if number != 0 else 0
    for n in range(me, me + threads):
        first, last = n % threads * share, min((n % threads + 1) * share, count)
        start = first + add(job, FIELDS + n % threads, 1) * piece
        while start < last:
            _move(start, min(start + piece, last), target, source, moves, sign, job[9], job[10], job[11], job[12])
            start = first + add(job, FIELDS + n % threads, 1) * piece
