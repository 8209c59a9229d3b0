"""Functions that numba compiles: kept on the disk, and a line to the reader where a compilation takes seconds."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.core import event
from numba.core.ccallback import CFunc

_OPTIONS = {"nogil": True, "error_model": "numpy"}
_made: dict[Hashable, Any] = {}
_compiling = threading.Lock()


def loop(function: Callable[..., Any]) -> Any:
    """Compile `function` at its first call, without Python's lock; kept beside its file, or in the user's cache.

    Where neither can be written, it is compiled anew in each process. Numba's cache looks at the date of the function's
    own file; what it calls may lie in another of this folder, so the dates of all of them are added.
    """
    try:
        compiled = numba.njit(cache=True, **_OPTIONS)(function)
        _add_dates(compiled)
    except (RuntimeError, AttributeError):  # numba finds no place for the cache, or keeps it in another way
        return numba.njit(**_OPTIONS)(function)
    return compiled


def _add_dates(compiled) -> None:
    index = compiled._cache._cache_file
    index._source_stamp = (index._source_stamp, _dates(Path(__file__).parent))


@functools.cache
def _dates(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Of the files whose functions call each other once compiled: name, time of the last change, bytes."""
    files = sorted([*folder.glob("*_loops.py"), folder / "jobs.py", folder / "vectors.py"])
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def c_function(function: Callable[..., Any]) -> Any:
    """Compile a function of the address of whole numbers for C, with its `address`, at once; kept as by `loop`."""
    numbers = types.CPointer(types.int64)
    try:  # as `numba.cfunc` does it, with the dates added
        compiled = CFunc(function, ((numbers,), types.void), {}, {"error_model": "numpy"})
        compiled.enable_caching()
        _add_dates(compiled)
    except (RuntimeError, AttributeError):  # as above
        return numba.cfunc(types.void(numbers), error_model="numpy")(function)
    compiled.compile()
    return compiled


def once(key: Hashable, make: Callable[[], Any]) -> Any:
    """What `make` gave for this `key`; it compiles something, and says so once if that is not on the disk.

    One thread compiles, and the others wait for it.
    """
    if key not in _made:
        with _compiling, event.install_listener("numba:compile", _Notice()):
            if key not in _made:
                _made[key] = make()
    return _made[key]


class _Notice(event.Listener):
    said = False

    def on_start(self, event: object) -> None:
        if not _Notice.said:
            _Notice.said = True
            print("convnotes: numba compiles a few loops, once on this machine …", file=sys.stderr, flush=True)

    def on_end(self, event: object) -> None:
        pass
