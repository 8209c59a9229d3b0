"""Calling a layer many times leaves nothing behind: no tensors, no objects of Python, no memory."""

import ctypes
import gc
import os
import platform

import torch
from support.contract import every_layer, images, made

from convnotes.kernels import backend

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"  # `make properties`
CALLS = 1000 if LONG else 20
KEPT = 2**20  # bytes: what the allocator and lazy imports keep back, whatever the number of calls


def resident() -> int:
    """Bytes of this process in memory, once the allocator has given back what it can."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


@every_layer
def test_many_calls_leave_nothing(layer):
    module, x = made(layer, dtype=torch.float32), images(layer, torch.float32).requires_grad_()

    def call(times: int) -> None:
        for _ in range(times):
            module(x).sum().backward()
            module.zero_grad()
            x.grad = None

    with backend.use(layer.backend):
        call(5)
        things, before = tensors(), len(gc.get_objects())
        call(CALLS)
        assert tensors() == things
        assert len(gc.get_objects()) - before <= 8
        if LONG and os.path.exists("/proc/self/statm"):
            grown = []
            for _ in range(2):  # the first round fills caches
                start = resident()
                call(CALLS)
                grown.append(resident() - start)
            assert min(grown) < KEPT, f"{grown} bytes in rounds of {CALLS} calls"
