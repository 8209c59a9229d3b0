"""Work for loops that numba compiles, shared by torch's threads without Python.

Threads that begin by asking for Python's lock have to wait for each other: that takes as long as a small loop, and
longer where other threads of the program hold the lock. So a thread gets the address of a list of whole numbers, the
job, reads from it what the loop needs, and takes pieces of the work until none is left. A job holds

    next, jobs, piece, done, …       what comes next, of how many, how many at a time, how many are done; the arguments

Each file of loops has for each of them the same few lines around it, a function of the dtype: what numba keeps on the
disk may not be made from another function that is handed over.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable
from torch import Tensor

from convnotes.kernels.compiled import c_function, make_ready
from convnotes.kernels.threads import CWork, together

_PIECES = 4  # a thread, so that one that is held up leaves its share to the others
_HEAD = 4  # numbers of a job before the arguments
_NUMBERS = {torch.float32: np.float32, torch.float64: np.float64}
_INDEX = ir.IntType(64)
job_function = c_function(types.void(types.CPointer(types.int64)))


@intrinsic(prefer_literal=True)
def arguments(typingctx, job, spec, dtype):
    """The arguments of a job, a tuple. `spec` names them: "a" a flat array of `dtype`, "i" one of whole numbers, "n" a
    whole number, "12" a tuple of 12 of them.
    """
    kinds = []
    for name in spec.literal_value.split():
        if name in ("a", "i"):
            kinds.append(types.Array(dtype.dtype if name == "a" else types.int64, 1, "C"))
        else:
            kinds.append(types.int64 if name == "n" else types.UniTuple(types.int64, int(name)))
    result = types.Tuple(kinds)

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
        return context.make_tuple(builder, result, values)

    return result(job, spec, dtype), generate


@intrinsic
def _add(typingctx, job, place, count):
    """Add to a number of the job, and give what was there: no two threads get the same."""

    def generate(context, builder, signature, args):
        return builder.atomic_rmw("add", builder.gep(args[0], [args[1]]), args[2], "seq_cst")

    return types.int64(job, types.int64, types.int64), generate


@register_jitable
def piece(job, done):
    """Count `done` as done, and give where the next piece of a job begins; there is none from `job[1]` on."""
    _add(job, 3, done)
    return _add(job, 0, job[2])


def run(function: Callable, dtype: torch.dtype, jobs: int, threads: int, *given, grain: int = 1) -> None:
    """Do the jobs, of which a thread takes some at a time, a multiple of `grain`.

    `function(dtype)` makes the loop; `given` are its arguments: tensors that are contiguous, numpy's arrays, whole
    numbers and tuples of them.
    """
    fields = [0, jobs, grain * -(-jobs // (grain * _PIECES * threads)), 0]
    for one in given:
        if isinstance(one, Tensor):
            fields += one.data_ptr(), one.numel()
        elif isinstance(one, np.ndarray):
            fields += one.ctypes.data, one.size
        elif isinstance(one, tuple):
            fields += one
        else:
            fields.append(one)
    work = _ready(function, dtype)
    if jobs == 0:
        return
    job = (ctypes.c_int64 * len(fields))(*fields)
    together(work, ctypes.addressof(job), min(threads, -(-jobs // fields[2])))
    if job[3] != jobs:
        raise RuntimeError(f"{function.__name__}: {job[3]} of {jobs} jobs were done; the loop has broken off")


@functools.cache
def _ready(function: Callable, dtype: torch.dtype) -> Callable:
    """The loop for a dtype, compiled at its first call of all."""
    made: list = []
    make_ready((function, dtype), lambda: made.append(function(_NUMBERS[dtype])))
    return CWork(made[0].address)
