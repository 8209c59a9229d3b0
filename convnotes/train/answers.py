"""What a model answers and what it should: logits with those of side classifiers, labels in any whole numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

MAIN = ("out", "logits")  # the names of the logits in a dictionary


def split(output: Any) -> tuple[Any, list[Tensor]]:
    """The logits, and those of the side classifiers.

    Of a tuple the first are the logits, and the others those of side classifiers. Of a dictionary "out" or "logits"
    are the logits, and what is named "aux…" those of side classifiers. None counts as nothing.
    """
    if isinstance(output, Mapping):
        main = next((output[name] for name in MAIN if name in output), None)
        if main is None:
            raise ValueError(f'the model must give its logits as "out" or "logits", got a dict of {", ".join(output)}')
        return main, [value for name, value in output.items() if name.startswith("aux") and value is not None]
    if isinstance(output, (tuple, list)) and output:
        return output[0], [value for value in output[1:] if value is not None]
    return output, []


def labels(y: Any) -> Tensor:
    """Labels as int64 [N] or [N, H, W], from any dtype of whole numbers, also with a channel: [N, 1], [N, 1, H, W]."""
    if not isinstance(y, Tensor):
        raise TypeError(f"labels must be a tensor, got {type(y).__name__}")
    if y.is_complex() or (y.is_floating_point() and not bool((y == y.floor()).all())):
        raise ValueError(f"labels must be whole numbers, got {y.dtype}")
    if y.dim() in (2, 4) and y.shape[1] == 1:
        y = y[:, 0]
    if y.dim() not in (1, 3):
        raise ValueError(f"labels must be [N] or [N, H, W], got shape {tuple(y.shape)}")
    return y.to(torch.int64)


def check(logits: Any, y: Tensor, ignore_index: int | None = None, what: str = "the model must give logits") -> None:
    """Refuse logits that are not [N, classes] or [N, classes, H, W] for the labels, and labels beyond the classes."""
    if not isinstance(logits, Tensor):
        raise TypeError(f"{what}, got {type(logits).__name__}")
    if logits.dim() != y.dim() + 1 or (len(logits), *logits.shape[2:]) != tuple(y.shape):
        wanted = ", ".join(["classes", *map(str, y.shape[1:])])
        raise ValueError(f"{what} [{len(y)}, {wanted}], got shape {tuple(logits.shape)}")
    counted = y if ignore_index is None else y[y != ignore_index]
    if not counted.numel():
        return
    low, high = int(counted.min()), int(counted.max())
    if low < 0 or high >= logits.shape[1]:
        raise ValueError(
            f"labels must lie in 0…{logits.shape[1] - 1} for {logits.shape[1]} logits, got {low}…{high}"
            + (" (ignore_index= leaves one out)" if ignore_index is None else "")
        )


def loss(output: Any, y: Tensor, auxiliary_weight: float, ignore_index: int | None) -> tuple[Tensor, int]:
    """(mean cross-entropy, with those of side classifiers at `auxiliary_weight`; the samples or labels it is of)."""
    logits, side = split(output)
    check(logits, y, ignore_index)
    counted = len(y) if ignore_index is None else int((y != ignore_index).sum())
    total = _cross_entropy(logits, y, ignore_index, counted)
    if auxiliary_weight:
        for number, other in enumerate(side, 1):
            check(other, y, ignore_index, f"side classifier {number} of the model must give logits")
            if other.shape[1] != logits.shape[1]:
                raise ValueError(
                    f"side classifier {number} must have {logits.shape[1]} classes as the main one, got "
                    f"{other.shape[1]}: auxiliary_weight=0 leaves side outputs out"
                )
            total = total + auxiliary_weight * _cross_entropy(other, y, ignore_index, counted)
    return total, counted


def _cross_entropy(logits: Tensor, y: Tensor, ignore_index: int | None, counted: int) -> Tensor:
    if ignore_index is None:
        return F.cross_entropy(logits, y)
    return F.cross_entropy(logits, y, ignore_index=ignore_index) if counted else logits.sum() * 0
