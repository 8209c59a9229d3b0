"""The move of channels on the CPU, compiled by numba: one pass over the memory, and one call for all planes.

Threads take planes without Python: handing them out would take as long as the moving does on small maps. Numbers are
bytes that move, so every dtype has the same loop.
"""

from __future__ import annotations

import ctypes
import functools
import importlib

import numpy as np
import torch
from torch import Tensor

from convnotes.kernels.compiled import once
from convnotes.kernels.threads import CWork, thread_number, together

_PIECES = 4  # of a thread's share, so that one that is held up leaves some to the others
_GRAIN = 2**17  # bytes that are worth a thread, measured
_LOOPS = "convnotes.kernels.shift_loops"  # which compiles its loop when it is imported
_FAR = 2**40  # pixels, beyond any picture


def move(input: Tensor, moves: tuple[tuple[int, int, int, int, int], ...], sign: int) -> Tensor:
    """Arguments and result as for `kernels.shift.by_slices`; no derivatives. `input` is contiguous.

    `moves` has every channel once.
    """
    output = torch.empty_like(input)
    if output.numel() == 0:
        return output
    (B, C, H, W), size = input.shape, input.element_size()
    threads = min(torch.get_num_threads(), -(-B * C * H * W * size // _GRAIN))
    _held, displacements = _displacements(moves)
    share = -(-B * C // threads)
    addresses = output.data_ptr(), input.data_ptr(), displacements
    fields = (thread_number(), threads, B * C, share, -(-share // _PIECES), *addresses, sign, C, H, W, size)
    job = (ctypes.c_int64 * (len(fields) + threads))(*fields)
    work = once(_LOOPS, lambda: importlib.import_module(_LOOPS).planes)
    together(CWork(work.address), ctypes.addressof(job), threads)
    return output


@functools.lru_cache(256)
def _displacements(moves: tuple[tuple[int, int, int, int, int], ...]) -> tuple[np.ndarray, int]:
    """(dy, dx) of each channel, `[C, 2]`, and the address where they lie as long as somebody holds them."""
    found = np.empty((max(stop for _, _, _, stop, _ in moves), 2), np.int64)
    for dy, dx, start, stop, step in moves:
        found[start:stop:step] = [max(-_FAR, min(by, _FAR)) for by in (dy, dx)]
    return found, found.ctypes.data
