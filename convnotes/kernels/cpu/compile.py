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

from convnotes.kernels import private

_KERNELS = Path(__file__).parents[1]
_OPTIONS = {"nogil": True, "error_model": "numpy"}
_made: dict[Hashable, Any] = {}
_compiling = threading.Lock()


def loop(function: Callable[..., Any]) -> Any:
    """Compile `function` at its first call, without Python's lock; kept beside its file, or in the user's cache.

    Where neither can be written, it is compiled again in each process. Numba's cache looks at the date of the
    function's own file; what it calls may lie in another one, so the dates of all files of loops are added.
    """
    try:
        compiled = numba.njit(cache=True, **_OPTIONS)(function)
        if private.add_to_cache_key(compiled, _dates(_KERNELS)):
            return compiled
    except RuntimeError:  # numba finds no folder for the cache
        pass
    return numba.njit(**_OPTIONS)(function)


@functools.cache
def _dates(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Of the files whose functions may call each other once compiled: name, time of the last change, bytes."""
    files = sorted(file for name in ("cpu/*.py", "*/loops.py") for file in folder.glob(name))
    return tuple((str(file.relative_to(folder)), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def c_function(function: Callable[..., Any]) -> Any:
    """Compile a function of the address of whole numbers for C, with its `address`, at once; kept as by `loop`."""
    signature = types.void(types.CPointer(types.int64))
    try:
        compiled = private.kept_c_function(function, signature, _dates(_KERNELS), error_model="numpy")
    except RuntimeError:  # as above
        compiled = None
    return compiled or numba.cfunc(signature, error_model="numpy")(function)


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
