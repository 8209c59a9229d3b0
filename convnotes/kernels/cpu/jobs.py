"""Work for loops that numba compiles, shared by torch's threads without Python.

Threads that begin by asking for Python's lock have to wait for each other: that takes as long as a small loop, and
longer where other threads of the program hold the lock. So a thread gets the address of a list of whole numbers, the
job, and reads from it what the loop needs. Each thread has a share of the work, takes pieces of it until none is left,
and then helps with the shares of the others. Its own share is the one that torch would give it too: what the operation
after this one reads lies in its own cache.
"""

from __future__ import annotations

import array
import sys

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convnotes.kernels.cpu.compile import c_function, once
from convnotes.kernels.cpu.threads import CWork, thread_number, together

_PIECES = 4  # of a share, so that a thread that is held up leaves some to the others
_NUMBERS = {torch.float32: np.float32, torch.float64: np.float64}
_INDEX = ir.IntType(64)
# A job: the function that tells a thread its number, the sizes of the work, how much is done; the arguments of the
# loop; a counter for each thread's share.
_NUMBER, _THREADS, _JOBS, _SHARE, _PIECE, _FIRST, _DONE, _HEAD = range(8)


@intrinsic(prefer_literal=True)
def _call(typingctx, job, start, stop, module, name, spec, dtype):
    """Call a loop of a module with `start`, `stop` and the arguments of the job.

    `spec` names those: "a" a flat array of `dtype`, "i" one of int64, "n" a whole number, "3" a tuple of 3, and
    "module:Sizes" a named tuple.
    """
    kinds = []
    for word in spec.literal_value.split():
        if word in ("a", "i"):
            kinds.append(types.Array(dtype.dtype if word == "a" else types.int64, 1, "C"))
        elif word == "n":
            kinds.append(types.int64)
        elif word.isdigit():
            kinds.append(types.UniTuple(types.int64, int(word)))
        else:
            place, _, own = word.partition(":")
            kind = getattr(sys.modules[place], own)
            kinds.append(types.NamedUniTuple(types.int64, len(kind._fields), kind))
    loop = typingctx.resolve_value_type(getattr(sys.modules[module.literal_value], name.literal_value))
    called = loop.get_call_type(typingctx, (types.int64, types.int64, *kinds), {})

    def generate(context, builder, signature, args):
        place = iter(range(_HEAD, 10**6))

        def number():
            return builder.load(builder.gep(args[0], [ir.Constant(_INDEX, next(place))]))

        def array(kind):
            made, element = context.make_array(kind)(context, builder), context.get_value_type(kind.dtype)
            size = ir.Constant(_INDEX, context.get_abi_sizeof(element))
            data, count = builder.inttoptr(number(), element.as_pointer()), number()
            context.populate_array(made, data=data, shape=[count], strides=[size], itemsize=size, meminfo=None)
            return made._getvalue()

        values = []
        for kind in kinds:
            if isinstance(kind, types.Array):
                values.append(array(kind))
            elif kind is types.int64:
                values.append(number())
            else:
                values.append(cgutils.pack_array(builder, [number() for _ in range(kind.count)], _INDEX))
        context.get_function(loop, called)(builder, [*args[1:3], *values])
        return context.get_dummy_value()

    return types.void(job, types.int64, types.int64, module, name, spec, dtype), generate


@intrinsic
def _add(typingctx, numbers, place, count):
    """Add to one of the numbers, and give what was there before: no two threads get the same."""

    def generate(context, builder, signature, args):
        return builder.atomic_rmw("add", builder.gep(args[0], [args[1]]), args[2], "seq_cst")

    return types.int64(numbers, types.int64, types.int64), generate


@intrinsic
def _told(typingctx, address):
    """What the C function `int f()` at an address gives."""

    def generate(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(32), []).as_pointer()
        return builder.sext(builder.call(builder.inttoptr(args[0], kind), []), _INDEX)

    return types.int64(types.int64), generate


def run(loop, dtype: torch.dtype, jobs: int, threads: int, *given, first: int = 0, grain: int = 1) -> None:
    """Call `loop(start, stop, *given)`, of `compile.loop`, until all jobs from `first` on are done.

    A thread takes a multiple of `grain` at a time. `given` are contiguous tensors of `dtype` or int64, whole numbers,
    and tuples of them, named ones too. Raises `ValueError` for another tensor, and `RuntimeError` for a loop that has
    broken off.
    """
    share = -(-jobs // (grain * threads)) * grain
    fields = [thread_number(), threads, jobs, share, -(-share // (grain * _PIECES)) * grain, first, 0]
    words = ""
    for one in given:
        kind = type(one)
        if kind is int or kind is bool:
            fields.append(one)
            words += " n"
        elif issubclass(kind, tuple):
            fields += one
            words += f" {len(one)}" if kind is tuple else f" {kind.__module__}:{kind.__name__}"
        else:
            if one.dtype not in (dtype, torch.int64) or not one.is_contiguous():
                raise ValueError(
                    f"{loop.__name__} needs contiguous tensors of {dtype}, got {one.dtype}, {one.stride()}"
                )
            fields += one.data_ptr(), one.numel()
            words += " a" if one.dtype == dtype else " i"
    _, work = once((loop, words, dtype), lambda: _compiled(loop.py_func, words, _NUMBERS[dtype], len(fields)))
    if jobs == 0:
        return
    job = array.array("q", fields + [0] * threads)
    together(work, job.buffer_info()[0], min(threads, -(-jobs // fields[_PIECE])))
    if job[_DONE] != jobs:
        raise RuntimeError(f"{loop.__name__}: {job[_DONE]} of {jobs} jobs were done; the loop has broken off")


def _compiled(function, spec: str, number: type, counters: int):
    """A loop as a C function of the address of a job, twice: for numba, and for ctypes, which does not keep it alive.

    Names stand for the loop, by which numba's cache knows it again.
    """
    module, name = function.__module__, function.__name__

    @c_function
    def work(job):
        threads, share = job[_THREADS], job[_SHARE]
        me = _told(job[_NUMBER]) if job[_NUMBER] != 0 else 0
        for n in range(me, me + threads):
            owner = n % threads
            end = min((owner + 1) * share, job[_JOBS])
            start = owner * share + _add(job, counters + owner, job[_PIECE])
            while start < end:
                stop = min(start + job[_PIECE], end)
                _call(job, job[_FIRST] + start, job[_FIRST] + stop, module, name, spec, number)
                _add(job, _DONE, stop - start)
                start = owner * share + _add(job, counters + owner, job[_PIECE])

    return work, CWork(work.address)
