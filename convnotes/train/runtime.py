"""What surrounds the loop: seeds, the device by accelerate, a progress bar."""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from convnotes.checks import naming_extras


def set_seed(seed: int) -> None:
    """Seed the generators of Python, numpy and torch (all devices).

    Args:
        seed: from 0 to 2³² − 1.

    Example:
        >>> from convnotes.train import set_seed
        >>> set_seed(3)
        >>> first = torch.rand(2)
        >>> set_seed(3)
        >>> torch.equal(first, torch.rand(2))
        True
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (the global generator is what other people's code draws from)
    torch.manual_seed(seed)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside: seeded. Afterwards: all generators as they were."""
    python, numpy_ = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        set_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_)  # noqa: NPY002


@contextlib.contextmanager
def bar(steps: int | None, progress: bool | None) -> Iterator[Callable[[int], object]]:
    """A function to call with the number of steps that were done."""
    if not (sys.stderr.isatty() if progress is None else progress):
        yield lambda steps: None
        return
    with naming_extras():
        from tqdm import tqdm
    with tqdm(total=steps, unit="step", leave=False) as shown:
        yield shown.update


def _in_a_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _leave_group() -> None:
    """Before Python ends: with torch 2.6, a process that ends inside a group aborts now and then."""
    if _in_a_group():
        torch.distributed.destroy_process_group()


def make_accelerator(
    device: str | torch.device | None, mixed_precision: str, find_unused_parameters: bool = False
) -> Any:
    """A fresh Accelerator: it keeps device and precision for the whole process, so an earlier one is forgotten.

    The batch of a DataLoader is that of all processes together, as it is for tensors.
    """
    with naming_extras():
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
        from accelerate.utils import DataLoaderConfiguration, DistributedDataParallelKwargs
    wanted = None if device is None else torch.device(device).type
    AcceleratorState._reset_state(reset_partial_state=True)
    joined, started = _in_a_group(), int(os.environ.get("WORLD_SIZE", "1"))
    accelerator = Accelerator(
        cpu=wanted == "cpu" or (wanted is None and not torch.accelerator.is_available()),
        mixed_precision=mixed_precision,
        dataloader_config=DataLoaderConfiguration(
            split_batches=started > 1, dispatch_batches=None if started > 1 else False, use_seedable_sampler=True
        ),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=find_unused_parameters)],
    )
    if _in_a_group() and not joined:
        atexit.register(_leave_group)
    if wanted not in (None, accelerator.device.type):
        raise ValueError(f"device {str(device)!r} was asked for, but accelerate finds {accelerator.device}")
    if mixed_precision != "no" and (accelerator.mixed_precision != mixed_precision or not accelerator.native_amp):
        raise ValueError(
            f"mixed_precision={mixed_precision!r} cannot be had on {accelerator.device}: "
            f"take {'bf16 or no' if mixed_precision == 'fp16' else 'no'}, or train on another device"
        )
    if started != accelerator.num_processes:
        raise ValueError(
            f"{started} processes were started, but accelerate joins {accelerator.num_processes} on "
            f"{accelerator.device}: train on CUDA devices or on the CPU"
        )
    return accelerator
