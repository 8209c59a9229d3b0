"""The ordinary kernel that taps at real positions equal: each tap is shared between the four pixels around it.

And how large that kernel is: as the taps need (`extent`), or as given, with the taps kept inside (`confined`).

Khalfaoui-Hassani et al., "Dilated convolution with learnable spacings", ICLR 2023, arXiv:2112.03740 ·
chapter receptive_field/active.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from convnotes.geometry import Pair


def _shares(coordinate: Tensor, first: int, last: int, inner: bool) -> Tensor:
    """h(u − coordinate) for the pixels u from `first` to `last`: `[…, K]` → `[…, K, last − first + 1]`.

    A whole coordinate belongs to the cell that begins there; `inner` puts one at `last` into the cell that ends there.
    """
    cell = coordinate.floor().clamp(max=last - 1) if inner else coordinate.floor()
    beyond = (coordinate - cell)[..., None]  # in [0, 1]: how far into the cell
    pixel = torch.arange(first, last + 1, device=coordinate.device) - cell.long()[..., None]
    nothing = 0 * beyond  # NaN where the coordinate is
    return torch.where(pixel == 0, 1 - beyond, torch.where(pixel == 1, beyond, nothing))


def splat(weight: Tensor, positions: Tensor, rows: Pair, columns: Pair, inner: bool = False) -> Tensor:
    """The ordinary kernel `[O, C, KH, KW]` on `rows` and `columns` that `weight` `[O, C, K]` at `positions` equals.

    `positions` are `[K, 2]`, or `[G, K, 2]` for G groups of neighbouring output channels.
    """
    vertical, horizontal = positions.unbind(-1)
    shares = _shares(vertical, *rows, inner)[..., :, None] * _shares(horizontal, *columns, inner)[..., None, :]
    if positions.dim() == 2:
        kernel = weight @ shares.flatten(1)  # [O, C, K] @ [K, KH·KW]
    else:  # [G, O/G, C, K] @ [G, 1, K, KH·KW]
        kernel = (weight.unflatten(0, (len(positions), -1)) @ shares.flatten(2)[:, None]).flatten(0, 1)
    return kernel.unflatten(2, shares.shape[-2:])


def confined(positions: Tensor, reach: Pair) -> Tensor:
    """Each position, moved to the nearest one within `reach`, with derivative 1 inside and on the border, else 0.

    `clamp` has these values too, but from torch 2.14 on its derivative at a bound may be 0.
    """

    def within(at: Tensor, most: int) -> Tensor:
        return torch.where(at > most, most, torch.where(at < -most, -most, at))

    vertical, horizontal = positions.unbind(-1)
    return torch.stack([within(vertical, reach[0]), within(horizontal, reach[1])], dim=-1)


def extent(positions: Tensor, size: Sequence[int], padding: Pair) -> tuple[Pair, Pair]:
    """First and last row, first and last column of the smallest kernel that holds all taps that meet the image."""
    if torch.compiler.is_compiling() or positions.is_meta:
        raise ValueError(
            "the size of the splatted kernel depends on the values of positions, which a captured graph and the meta "
            "device do not have: give active_conv2d a reach"
        )
    cells = positions.detach().flatten(0, -2).floor().nan_to_num(0.0, math.inf, -math.inf)
    extent = []
    for first, last, n, p in zip(cells.amin(0).tolist(), cells.amax(0).tolist(), size, padding, strict=True):
        far = n - 1 + p  # anything further away is outside the image for every output pixel
        extent.append((int(max(-far, min(first, far))), int(min(far, max(last + 1, -far)))))
    return extent[0], extent[1]
