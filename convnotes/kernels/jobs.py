"""Work for loops that numba compiles, shared by torch's threads without Python.

Threads that begin by asking for Python's lock have to wait for each other: that takes as long as a small loop, and
longer where other threads of the program hold the lock. So a thread gets the address of a list of whole numbers, the
job, reads from it what the loop needs, and takes pieces of the work until none is left. A job holds

    next, end, piece, done, …       what comes next, where it ends, how many at a time, how many are done; the arguments
"""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from convnotes.kernels.compiled import c_function, once
from convnotes.kernels.threads import CWork, together

_PIECES = 4  # a thread, so that one that is held up leaves its share to the others
_HEAD = 4  # numbers of a job before the arguments
_NUMBERS = {torch.float32: np.float32, torch.float64: np.float64}
_INDEX = ir.IntType(64)


@intrinsic(prefer_literal=True)
def _call(typingctx, job, start, stop, module, name, spec, dtype):
    """Call a loop of a module with `start`, `stop` and the arguments of the job.

    `spec` names those: "a" a flat array of `dtype`, "i" one of whole numbers, "n" a whole number, "12" a tuple of 12.
    """
    kinds = []
    for word in spec.literal_value.split():
        if word in ("a", "i"):
            kinds.append(types.Array(dtype.dtype if word == "a" else types.int64, 1, "C"))
        else:
            kinds.append(types.int64 if word == "n" else types.UniTuple(types.int64, int(word)))
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
def add(typingctx, numbers, place, count):
    """Add to one of the numbers, and give what was there before: no two threads get the same."""

    def generate(context, builder, signature, args):
        return builder.atomic_rmw("add", builder.gep(args[0], [args[1]]), args[2], "seq_cst")

    return types.int64(numbers, types.int64, types.int64), generate


def run(loop, dtype: torch.dtype, jobs: int, threads: int, *given, first: int = 0, grain: int = 1) -> None:
    """Call `loop(start, stop, *given)`, of `compiled.loop`, until all jobs from `first` on are done.

    A thread takes a multiple of `grain` at a time. `given` are tensors that are contiguous, of `dtype`, arrays of
    `int64`, whole numbers, and tuples of them. Raises `ValueError` for another tensor, and `RuntimeError` for a loop
    that has broken off.
    """
    fields, spec = [first, first + jobs, grain * -(-jobs // (grain * _PIECES * threads)), 0], []
    for one in given:
        if isinstance(one, Tensor):
            if one.dtype != dtype or not one.is_contiguous():
                raise ValueError(
                    f"{loop.__name__} needs contiguous tensors of {dtype}, got {one.dtype}, {one.stride()}"
                )
            fields += one.data_ptr(), one.numel()
            spec.append("a")
        elif isinstance(one, np.ndarray):
            fields += one.ctypes.data, one.size
            spec.append("i")
        elif isinstance(one, tuple):
            fields += one
            spec.append(str(len(one)))
        else:
            fields.append(one)
            spec.append("n")
    words, function = " ".join(spec), loop.py_func
    names = function.__module__, function.__name__
    work = once((loop, words, dtype), lambda: _compiled(*names, words, _NUMBERS[dtype]))
    if jobs == 0:
        return
    job = (ctypes.c_int64 * len(fields))(*fields)
    together(CWork(work.address), ctypes.addressof(job), min(threads, -(-jobs // fields[2])))
    if job[3] != jobs:
        raise RuntimeError(f"{loop.__name__}: {job[3]} of {jobs} jobs were done; the loop has broken off")


def _compiled(module: str, name: str, spec: str, number: type):
    """A loop as a C function of the address of a job. Names stand for it, by which numba's cache knows it again."""

    @c_function
    def work(job):
        start = add(job, 0, job[2])
        while start < job[1]:
            stop = min(start + job[2], job[1])
            _call(job, start, stop, module, name, spec, number)
            add(job, 3, stop - start)
            start = add(job, 0, job[2])

    return work
