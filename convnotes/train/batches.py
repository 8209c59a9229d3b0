"""Where the batches come from: tensors cut by index, or DataLoaders; and what cannot be trained on, refused.

Both sources deal each process its part of the same batches, and can begin at any step of any epoch.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convnotes import checks
from convnotes.train import answers, generators


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

    @property
    def length(self) -> int:
        return self.parts

    def states(self, begun: bool) -> list[Any]:
        return []  # the orders are drawn from the seed again

    def set_states(self, states: list[Any]) -> None:
        pass

    def leave(self) -> None:
        pass

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
    """A DataLoader, prepared by accelerate, with the face of `Tensors`. Its batch size is that of all processes.

    All that it draws is drawn apart (see `generators`), with workers that start again in each epoch. So an epoch can be
    read again up to any of its steps, and an evaluation in between changes nothing.
    """

    def __init__(self, loader: torch.utils.data.DataLoader[Any], name: str, seed: int, accelerator: Any) -> None:
        parts = (loader.generator, loader.sampler, loader.batch_sampler, loader.dataset)
        self.own = generators.held_by(*parts, loader.collate_fn, loader.worker_init_fn)
        loader = copy.copy(loader)  # accelerate puts a sampler of its own into the one that it is given
        vars(loader).update(sampler=copy.copy(loader.sampler), batch_sampler=copy.copy(loader.batch_sampler))
        vars(loader)["persistent_workers"] = False  # theirs would go on from the epoch before
        self.loader = accelerator.prepare(loader)
        self.name, self.seed, self.accelerator = name, seed, accelerator
        self.found: list[Any] = generators.states_of(self.own)
        self.begin = self.found

    @property
    def length(self) -> int | None:
        """Steps an epoch; None where only the end of the stream tells."""
        try:
            return len(self.loader)
        except TypeError:
            return None

    def states(self, begun: bool) -> list[Any]:
        """Of the data's own generators: now, or as the epoch found them that was begun."""
        return self.begin if begun else generators.states_of(self.own)

    def set_states(self, states: list[Any]) -> None:
        if len(states) != len(self.own):
            raise ValueError(f"the training data hold {len(states)} generators there, {len(self.own)} here")
        generators.set_states(self.own, states)

    def leave(self) -> None:
        """Put the data's own generators back as they were found."""
        generators.set_states(self.own, self.found)

    def epoch(self, number: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        self.begin = generators.states_of(self.own)
        self.loader.set_epoch(number - 1)
        yield from itertools.islice(self._read(number), skip, None)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        before = generators.states_of(self.own)
        self.loader.set_epoch(0)
        yield from self._read(0)
        generators.set_states(self.own, before)

    def _read(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        seeds = np.random.SeedSequence([self.seed % 2**64, number, self.accelerator.process_index])
        empty = True
        for batch in generators.apart(lambda: self.loader, int(seeds.generate_state(1)[0])):
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                got = f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else type(batch).__name__
                raise TypeError(f"the {self.name} DataLoader must give batches (images, labels), got {got}")
            empty = False
            check_images(batch[0], f"the images of the {self.name} DataLoader")
            yield batch[0], answers.labels(batch[1])
        if empty:
            raise ValueError(
                f"the {self.name} DataLoader is empty (a stream must start from its beginning in each pass)"
            )

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
        train, test = (
            Loader(part, name, seed, accelerator) for part, name in zip(data, ("train", "test"), strict=True)
        )
        for source in (train, test):
            if source.length == 0:
                raise ValueError(f"the {source.name} DataLoader is empty")
        return train, test
    if not all(hasattr(data, name) for name in ("train_x", "train_y", "test_x", "test_y")):
        raise TypeError(f"data must be a Split or a pair of DataLoaders (train, test), got {type(data).__name__}")
    check_tensors(data.train_x, data.train_y, "train_x", "train_y")
    check_tensors(data.test_x, data.test_y, "test_x", "test_y")
    return (
        Tensors(data.train_x, data.train_y, batch_size, seed, accelerator),
        Tensors(data.test_x, data.test_y, max(batch_size, accelerator.num_processes), seed, accelerator),
    )


def check_images(x: Any, name: str) -> None:
    """Refuse images of bytes. Other inputs than images, such as tokens, may be whole numbers."""
    if isinstance(x, Tensor) and x.dim() == 4 and x.dtype == torch.uint8:
        raise ValueError(f"{name} must be fractions, got {x.dtype}: divide them by 255 (torchvision's ToTensor does)")


def check_tensors(x: Tensor, y: Tensor, x_name: str, y_name: str) -> None:
    for name, tensor in ((x_name, x), (y_name, y)):
        checks.instance(name, tensor, Tensor, "a tensor")
    if y.dim() not in (1, 3) or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"{y_name} must hold integer labels [N] or [N, H, W], got {y.dtype} of shape {tuple(y.shape)}")
    if len(x) != len(y):
        raise ValueError(f"{x_name} has {len(x)} samples, but {y_name} has {len(y)} labels")
    check_images(x, x_name)
    if not len(x):
        raise ValueError(f"{x_name} is empty: there is nothing to work on")
