"""The loop behind `in_numba`: planes moved in memory, whatever numbers they hold.

A plane is one long run of memory, and so is what is left of it when it has moved. The columns at its edge that took
their numbers from the row before or after are cleared at once, while their rows lie in the first cache.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convnotes.kernels.cpu.compile import loop

_I64 = types.int64
_ROOM = 8192  # bytes that are moved before their columns are cleared


def _pointer(builder, address, bits: int):
    return builder.inttoptr(address, ir.IntType(bits).as_pointer())


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


class Planes(NamedTuple):
    """Of C channels of H×W numbers of `size` bytes, moved by `sign` times their displacement."""

    C: int
    H: int
    W: int
    size: int
    sign: int


@loop
def move_planes(start, stop, target, source, displacements, planes):
    """Planes start to stop, between two addresses; `displacements` are those of the channels, flat."""
    C, H, W, size, sign = planes
    row = W * size
    rows = max(1, _ROOM // row)
    for plane in range(start, stop):
        to, from_ = target + plane * H * row, source + plane * H * row
        dy, dx = sign * displacements[plane % C * 2], sign * displacements[plane % C * 2 + 1]
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
