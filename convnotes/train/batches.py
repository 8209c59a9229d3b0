"""Where the batches come from: tensors cut by index, or DataLoaders; and what cannot be trained on, refused.

Both sources deal each process its part of the same batches, and can begin at any step of any epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from convnotes import checks


class Tensors:
    """Batches of tensors that lie on the device whole: cut by index, without the workers of a DataLoader."""

    def __init__(self, x: Tensor, y: Tensor, batch_size: int, seed: int, accelerator: Any) -> None:
        self.x, self.y = x.to(accelerator.device), y.to(accelerator.device, torch.int64)
        self.parts = math.ceil(len(x) / batch_size)
        self.processes, self.rank = accelerator.num_processes, accelerator.process_index
        self.accelerator = accelerator
        self.generator = torch.Generator().manual_seed(seed)  # its own: dropout does not change the order
        self.drawn = 0
        if len(x) // self.parts < self.processes:
            raise ValueError(
                f"a batch of {len(x) // self.parts} samples cannot be dealt to {self.processes} processes: "
                f"raise batch_size (samples a step, all processes together), or start fewer processes"
            )

    def __len__(self) -> int:
        return self.parts

    def epoch(self, number: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of epoch `number` (from 1) after the first `skip`; epochs are asked for in their order."""
        while self.drawn < number:
            self.order = torch.randperm(len(self.x), generator=self.generator).to(self.x.device)
            self.drawn += 1
        for index in self.order.tensor_split(self.parts)[skip:]:
            if self.processes > 1:
                index = index.tensor_split(self.processes)[self.rank]
            yield self.x[index], self.y[index]

    def in_order(self) -> Iterable[tuple[Tensor, Tensor]]:
        x, y = self.x, self.y
        if self.processes > 1:
            x, y = (t.tensor_split(self.processes)[self.rank] for t in (x, y))
        pieces = max(1, math.ceil(len(x) / max(math.ceil(len(self.x) / self.parts), 256)))  # no gradients to keep
        return zip(x.tensor_split(pieces), y.tensor_split(pieces), strict=True)

    def gather(self, hits: Tensor) -> Tensor:
        return hits

    def total(self, counts: Tensor) -> Tensor:
        return self.accelerator.reduce(counts, "sum")


class Loader:
    """A DataLoader, prepared by accelerate, with the face of `Tensors`. Its batch size is that of all processes."""

    def __init__(self, loader: torch.utils.data.DataLoader[Any], accelerator: Any) -> None:
        self.loader = accelerator.prepare(loader)
        self.accelerator = accelerator

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, number: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        loader = self.loader
        if skip:
            loader = self.accelerator.skip_first_batches(loader, skip)
        loader.set_epoch(number - 1)
        return iter(loader)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.loader)

    def gather(self, hits: Tensor) -> Tensor:
        """Of all processes, without the samples that were dealt twice to make the last batch even."""
        return self.accelerator.gather_for_metrics(hits)

    def total(self, counts: Tensor) -> Tensor:
        return counts


Source = Tensors | Loader


def batches(data: Any, batch_size: int, seed: int, accelerator: Any) -> tuple[Source, Source]:
    """The two sources of batches, to train on and to test on."""
    loader = torch.utils.data.DataLoader
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, loader) for part in data):
        for part, name in zip(data, ("train", "test"), strict=True):
            if len(part) == 0:
                raise ValueError(f"the {name} DataLoader is empty")
        return Loader(data[0], accelerator), Loader(data[1], accelerator)
    if not all(hasattr(data, name) for name in ("train_x", "train_y", "test_x", "test_y")):
        raise TypeError(f"data must be a Split or a pair of DataLoaders (train, test), got {type(data).__name__}")
    check_tensors(data.train_x, data.train_y, "train_x", "train_y")
    check_tensors(data.test_x, data.test_y, "test_x", "test_y")
    return (
        Tensors(data.train_x, data.train_y, batch_size, seed, accelerator),
        Tensors(data.test_x, data.test_y, max(batch_size, accelerator.num_processes), seed, accelerator),
    )


def check_tensors(x: Tensor, y: Tensor, x_name: str, y_name: str) -> None:
    for name, tensor in ((x_name, x), (y_name, y)):
        checks.instance(name, tensor, Tensor, "a tensor")
    if y.dim() not in (1, 3) or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"{y_name} must hold integer labels [N] or [N, H, W], got {y.dtype} of shape {tuple(y.shape)}")
    if len(x) != len(y):
        raise ValueError(f"{x_name} has {len(x)} samples, but {y_name} has {len(y)} labels")
    if not len(x):
        raise ValueError(f"{x_name} is empty: there is nothing to work on")


def check_logits(logits: Tensor, y: Tensor) -> None:
    if logits.dim() != y.dim() + 1 or (len(logits), *logits.shape[2:]) != tuple(y.shape):
        wanted = ", ".join(["classes", *map(str, y.shape[1:])])
        raise ValueError(f"the model must give logits [{len(y)}, {wanted}], got shape {tuple(logits.shape)}")
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= logits.shape[1]:
        raise ValueError(f"labels must lie in 0…{logits.shape[1] - 1} for {logits.shape[1]} logits, got {low}…{high}")
