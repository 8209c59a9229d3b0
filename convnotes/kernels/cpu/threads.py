"""Work shared by torch's own threads, for compiled loops that run without the interpreter's lock.

Threads of one's own, numba's among them, meet those of torch on the same cores: OpenMP's keep spinning for milliseconds
after each operation, and take half of the second core from whoever comes next. So the work goes to OpenMP's threads, by
the function that a compiler calls for `#pragma omp parallel`. Where torch is built without it, plain threads do.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from convnotes.kernels import private

CWork = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_pool: tuple[int, ThreadPoolExecutor] | None = None
_forked = False


def together(work: Callable[..., object], data: int | None, threads: int) -> None:
    """Call the C function `work(data)`, a `CWork`, in the calling thread and in up to `threads` − 1 others.

    They share out what there is to do themselves; one of them alone does all of it.
    """
    parallel = None if _forked else _openmp()
    if threads <= 1:
        work(data)
    elif parallel is not None:
        parallel(work, data, threads, 0)
    else:
        helpers = [_executor(threads - 1).submit(work, data) for _ in range(threads - 1)]
        work(data)
        for helper in helpers:
            if not helper.cancel():  # it has begun
                helper.result()


@functools.cache
def _openmp() -> Callable[..., None] | None:
    """`GOMP_parallel(function, data, threads, flags)` of the OpenMP that torch runs on, if it has one."""
    parallel = private.of_openmp("GOMP_parallel")
    if parallel is None:
        return None
    parallel.argtypes = (CWork, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    parallel.restype = None
    return parallel


@functools.cache
def thread_number() -> int:
    """The address of the C function that tells a thread of `together` its number, 0 where there is none."""
    return ctypes.cast(private.of_openmp("omp_get_thread_num"), ctypes.c_void_p).value or 0


def _executor(workers: int) -> ThreadPoolExecutor:
    global _pool
    if _pool is None or _pool[0] < workers:
        _pool = workers, ThreadPoolExecutor(workers, "convnotes")
    return _pool[1]


def _after_fork() -> None:
    """A process that was forked off has no threads but its own."""
    global _pool, _forked
    _pool, _forked = None, True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
