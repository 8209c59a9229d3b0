"""Calls of the non-local operator and of its definition."""

import pytest
import torch
from torch import Tensor

from convnotes import definitions, non_local2d

MODES = ("gaussian", "embedded", "dot", "concat")
every_mode = pytest.mark.parametrize("mode", MODES)
SIZES = {  # (channels of query and key, channels of value, query's places, key's places)
    "rectangular": (5, 3, (11, 7), (5, 3)),
    "wide-values": (3, 6, (11, 7), (11, 7)),
    "few-places-many-channels": (13, 11, (2, 3), (1, 3)),
    "one-key": (4, 4, (5, 3), (1, 1)),
}


def tensors(mode: str, size: tuple, batch: int = 2, dtype=torch.float64) -> list[Tensor]:
    """Query, key, value, and for "concat" the relation, all asking for gradients."""
    D, C, places, keys = size
    shapes = [(batch, D, *places), (batch, D, *keys), (batch, C, *keys)] + [(2 * D,)] * (mode == "concat")
    return [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]


def ours(mode: str, *given: Tensor, **options) -> Tensor:
    return non_local2d(*given[:3], mode, relation=given[3] if mode == "concat" else None, **options)


def defined(mode: str, *given: Tensor, scale: float = 1.0) -> Tensor:
    return definitions.non_local(*given[:3], mode, scale, given[3] if mode == "concat" else None)
