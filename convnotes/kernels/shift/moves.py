"""Which channels move by how much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Run = tuple[int, int, int, int, int]  # dy, dx, and the channels start:stop:step that move so


class Moves(NamedTuple):
    """`numbers` are those of the runs, one run after the other; all move by `sign` times their displacement."""

    numbers: tuple[int, ...]
    sign: int = 1

    def runs(self) -> tuple[Run, ...]:
        return tuple(zip(*[iter(self.numbers)] * 5, strict=True))

    def empty(self, input: Tensor) -> Tensor:
        """An unwritten result."""
        return torch.empty_like(input)

    def back(self) -> Moves:
        return Moves(self.numbers, -self.sign)


def moves_of(displacements: Sequence[tuple[int, int]]) -> Moves:
    """The channels that move alike, as slices `start:stop:step`: one copy a slice."""
    alike: dict[tuple[int, int], list[int]] = {}
    for channel, displacement in enumerate(displacements):
        alike.setdefault(displacement, []).append(channel)
    found: list[int] = []
    for (dy, dx), channels in alike.items():
        first = 0
        while first < len(channels):
            step = channels[first + 1] - channels[first] if first + 1 < len(channels) else 1
            last = first
            while last + 1 < len(channels) and channels[last + 1] == channels[last] + step:
                last += 1
            found += dy, dx, channels[first], channels[last] + 1, step
            first = last + 1
    return Moves(tuple(found))
