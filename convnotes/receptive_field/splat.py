"""The ordinary kernel that taps at real positions equal: each tap is shared between the four pixels around it.

Khalfaoui-Hassani et al., "Dilated convolution with learnable spacings", ICLR 2023, arXiv:2112.03740 ·
chapter receptive_field/active.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convnotes.geometry import Pair


def _shares(coordinate: Tensor, first: int, last: int, inner: bool) -> Tensor:
    """h(u − coordinate) for the pixels u from `first` to `last`: `[K]` → `[K, last − first + 1]`.

    A whole coordinate belongs to the cell that begins there; `inner` puts one at `last` into the cell that ends there.
    """
    cell = coordinate.floor().clamp(max=last - 1) if inner else coordinate.floor()
    beyond = (coordinate - cell)[:, None]  # in [0, 1]: how far into the cell
    pixel = torch.arange(first, last + 1, device=coordinate.device) - cell.long()[:, None]
    nothing = 0 * beyond  # NaN where the coordinate is
    return torch.where(pixel == 0, 1 - beyond, torch.where(pixel == 1, beyond, nothing))


def splat(weight: Tensor, positions: Tensor, rows: Pair, columns: Pair, inner: bool = False) -> Tensor:
    """The ordinary kernel `[O, C, KH, KW]` on `rows` and `columns` that `weight` `[O, C, K]` at `positions` equals."""
    vertical, horizontal = positions.unbind(1)
    shares = _shares(vertical, *rows, inner)[:, :, None] * _shares(horizontal, *columns, inner)[:, None, :]
    return (weight @ shares.flatten(1)).unflatten(2, shares.shape[1:])  # [O, C, K] @ [K, KH·KW]
