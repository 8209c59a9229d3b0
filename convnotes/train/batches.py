"""Where the batches come from: tensors cut by index, or DataLoaders; and what cannot be trained on, refused."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor


class Tensors:
    """Batches of tensors that lie on the device whole: cut by index, without the workers of a DataLoader."""

    def __init__(self, x: Tensor, y: Tensor, batch_size: int, seed: int, device: torch.device) -> None:
        self.x, self.y = x.to(device), y.to(device, torch.int64)
        self.parts = math.ceil(len(x) / batch_size)
        self.larger = math.ceil(len(x) / max(batch_size, 256))  # no gradients to keep: fewer, larger pieces
        self.generator = torch.Generator().manual_seed(seed)  # its own: dropout does not change the order

    def __len__(self) -> int:
        return self.parts

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.x), generator=self.generator).to(self.x.device)
        for index in order.tensor_split(self.parts):
            yield self.x[index], self.y[index]

    def in_order(self) -> Iterable[tuple[Tensor, Tensor]]:
        return zip(self.x.tensor_split(self.larger), self.y.tensor_split(self.larger), strict=True)


class Loader:
    """A DataLoader, prepared by accelerate, with the face of `Tensors`."""

    def __init__(self, loader: torch.utils.data.DataLoader, accelerator: Any) -> None:
        self.loader = accelerator.prepare(loader)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.loader)

    in_order = __iter__


def batches(data: Any, batch_size: int, seed: int, accelerator: Any) -> tuple[Any, Any]:
    """The two sources of batches, to train on and to test on."""
    loader = torch.utils.data.DataLoader
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, loader) for part in data):
        for part, name in zip(data, ("train", "test"), strict=True):
            if len(part) == 0:
                raise ValueError(f"the {name} DataLoader is empty")
        return tuple(Loader(part, accelerator) for part in data)
    if not all(hasattr(data, name) for name in ("train_x", "train_y", "test_x", "test_y")):
        raise TypeError(f"data must be a Split or a pair of DataLoaders (train, test), got {type(data).__name__}")
    check_tensors(data.train_x, data.train_y, "train_x", "train_y")
    check_tensors(data.test_x, data.test_y, "test_x", "test_y")
    return (
        Tensors(data.train_x, data.train_y, batch_size, seed, accelerator.device),
        Tensors(data.test_x, data.test_y, batch_size, seed, accelerator.device),
    )


def check_tensors(x: Tensor, y: Tensor, x_name: str, y_name: str) -> None:
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        raise TypeError(f"{x_name} and {y_name} must be tensors, got {type(x).__name__} and {type(y).__name__}")
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
