"""Work shared by a few Python threads, for compiled loops that run without the interpreter's lock.

Numba has thread layers of its own, but the choice of one is the whole process's, and the one that is always there may
be entered by a single thread at a time. Plain threads leave that choice to the user, and may be used from anywhere.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_PIECES = 4  # a thread, so that one that is held up leaves its share to the others
_pool: tuple[int, ThreadPoolExecutor] | None = None


def share(work: Callable[[int, int], object], jobs: int, threads: int) -> None:
    """Call `work(start, stop)` until all of `range(jobs)` is done, in the calling thread and `threads` − 1 others.

    Whoever is free takes the next piece. The pieces must not depend on each other.
    """
    threads = min(threads, jobs)
    if threads <= 1:
        work(0, jobs)
        return
    size = -(-jobs // (_PIECES * threads))
    starts = collections.deque(range(0, jobs, size))

    def help() -> None:
        while True:
            try:
                start = starts.popleft()
            except IndexError:
                return
            work(start, min(start + size, jobs))

    helpers = [_executor(threads - 1).submit(help) for _ in range(threads - 1)]
    try:
        help()
    finally:
        starts.clear()
        for helper in helpers:
            if not helper.cancel():  # it has begun
                helper.result()


def _executor(workers: int) -> ThreadPoolExecutor:
    global _pool
    if _pool is None or _pool[0] < workers:
        _pool = workers, ThreadPoolExecutor(workers, "convnotes")
    return _pool[1]


def _forget() -> None:
    """A process that was forked off has no threads but its own."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
