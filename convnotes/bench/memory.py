"""The allocator that a time belongs to, and how much memory a call may ask for.

The same 1×1 convolution takes a fraction of a millisecond or several, by whether glibc gives freed memory back to the
system and has to fetch it again, page by page. So every row names its allocator. "steady" is glibc told to keep what it
has; the variables count only when a process starts.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from typing import Any

import torch

from convnotes.measure import peak_memory

STEADY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}


def allocator(device: str = "cpu") -> str:
    """The allocator of this process and its setting, in words."""
    if torch.device(device).type == "cuda":
        return "torch's for CUDA"
    preloaded = os.path.basename(os.environ.get("LD_PRELOAD", "").split(":")[0].split(" ")[0])
    if preloaded:
        return f"preloaded {preloaded}"
    if platform.libc_ver()[0] != "glibc":
        return "the system's"
    if all(os.environ.get(name) == value for name, value in STEADY.items()):
        return "steady"
    changed = sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith("MALLOC_"))
    return " ".join(changed) or "glibc's default"


def too_large(bytes: int, device: str) -> str | None:
    """Why a call that takes `bytes` at once should not run, or None: it may take half of what is free."""
    free = _free(device)
    if free is None or bytes <= free / 2:
        return None
    return f"it takes about {bytes / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"


def _free(device: str) -> int | None:
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="utf-8") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # no Linux
        return None


def extra_memory(call: Callable[[], Any], device: str) -> int:
    """The most bytes that `call` takes beside what is there; on the CPU those of tensors that torch sees."""
    if torch.device(device).type != "cuda":
        return peak_memory(call)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
