"""Parts of a tensor that are read and written through views: `y[:, :, 1:] = x[:, :, :-1]` and what comes out of y then.

Views of one storage are compared by offset, sizes and strides. A part is a box: of each dimension of the whole it takes
`size` numbers, one in `step` from `start` on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from torch import Tensor

from convnotes.measure.axes import NOTHING, Apart, Axis, hull
from convnotes.measure.positions import Cell, Positions, full


class Side(NamedTuple):
    """What a part takes of one dimension of the whole; `dim` is the part's own dimension, or None where it has none."""

    dim: int | None
    start: int
    step: int
    size: int


def geometry(tensor: Tensor) -> tuple[object, ...]:
    """What makes two views of one storage the same."""
    return tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype


def is_all(tensor: Tensor) -> bool:
    """Whether a tensor has every number of its storage."""
    return tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


def box(part: Tensor, whole: Tensor) -> list[Side]:
    """What `part` takes of each dimension of `whole`; `Apart` where it is not a box."""
    left = int(part.storage_offset()) - int(whole.storage_offset())
    own = {n: part.stride(n) for n in range(part.dim()) if part.shape[n] > 1}
    strides, dense = whole.stride(), 1
    for dim in sorted(range(whole.dim()), key=strides.__getitem__):
        if whole.shape[dim] > 1 and strides[dim] != dense:
            raise Apart("a part of a tensor with gaps is written")
        dense *= whole.shape[dim]
    sides: dict[int, Side] = {}
    for dim in sorted(range(whole.dim()), key=lambda dim: (-strides[dim], dim)):
        stride, size = strides[dim], whole.shape[dim]
        start, left = divmod(left, stride) if size > 1 else (0, left)
        mine = [n for n, step in own.items() if size > 1 and stride <= step < stride * size]
        if len(mine) > 1 or any(own[n] % stride for n in mine):
            raise Apart("a part of a tensor is written that is not a box of it")
        step, taken = (own.pop(mine[0]) // stride, part.shape[mine[0]]) if mine else (1, 1)
        sides[dim] = Side(mine[0] if mine else None, start, step, taken)
        if not 0 <= start + step * (taken - 1) < size:
            raise Apart("a part of a tensor is written that is not a box of it")
    if own or left:
        raise Apart("a part of a tensor is written that is not a box of it")
    return [sides[dim] for dim in range(whole.dim())]


def read(positions: Positions, whole: Tensor, part: Tensor) -> Positions:
    """What a part sees, where `positions` are those of the whole."""
    if geometry(part) == geometry(whole):
        return positions
    if part.numel() == whole.numel() and part.is_contiguous() and whole.is_contiguous():
        return positions.viewed(part.shape)
    order: list[int] = []
    for dim, side in reversed(list(enumerate(box(part, whole)))):
        if side.dim is None:
            positions = positions.picked(dim, side.start)
        else:
            positions = positions.taken(dim, side.start, side.step, side.size)
            order.insert(0, side.dim)
    positions = positions.permuted([order.index(n) for n in sorted(order)])
    for n in range(part.dim()):  # sizes of 1 that the whole does not have, or that were picked
        if n not in order:
            positions = replace(positions, dims=(*positions.dims[:n], (), *positions.dims[n:]))
    return positions


def written(old: Positions | None, new: Positions | None, whole: Tensor, part: Tensor) -> Positions:
    """What the whole sees, once a part of it has been written; None is what depends on no image."""
    if old is not None and old.lost:
        return old
    if new is None:
        assert old is not None
        before = read(old, whole, part)
        new = replace(before, cells=full(before.cells.shape, Cell(NOTHING, NOTHING)))
    if new.lost:
        return new
    if part.numel() == whole.numel() and part.is_contiguous() and whole.is_contiguous():
        return new.viewed(whole.shape)
    sides = box(part, whole)
    order = [side.dim for side in sides if side.dim is not None]
    for n in reversed(range(part.dim())):
        if n not in order:
            new = new.picked(n, 0)
    new = new.permuted([sorted(order).index(n) for n in order])
    dims = iter(new.dims)
    new = replace(new, dims=tuple(() if side.dim is None else next(dims) for side in sides))
    if old is None:
        kinds = "".join(new.axis_of(dim) or "c" for dim in range(len(sides)))
        old = Positions.of(whole.shape, kinds, Cell(NOTHING, NOTHING))
    region, runs = [], {}
    for dim, (side, n) in enumerate(zip(sides, whole.shape, strict=True)):
        kind = old.axis_of(dim)
        if not kind:
            if new.axis_of(dim):
                raise Apart("the positions of a map are written where there are none")
            old, new = old.one(dim), new.one(dim)
            region.append(slice(side.start, side.start + side.step * (side.size - 1) + 1, side.step))
        elif _border(side, n):
            return old
        elif 4 * side.start > n or 4 * (side.start + side.step * side.size) < 3 * n:
            raise Apart("a part in the middle of an axis is written: the receptive field is not the same everywhere")
        elif new.axis_of(dim) != kind:
            raise Apart("numbers without positions are written into a part of a map")
        else:
            runs[kind] = side
    if not set("vh") <= set(runs):
        raise Apart("a part of a tensor is written that is not a map")
    cells = old.cells.copy()
    at = tuple(region)
    before, after = cells[at], new.cells
    changed = full(after.shape, Cell(NOTHING, NOTHING))
    for index in np.ndindex(after.shape):
        changed[index] = _over(before[index], after[index], runs["v"], runs["h"])
    cells[at] = changed
    return replace(old, cells=cells)


def _border(side: Side, n: int) -> bool:
    """Whether a part lies near one border of an axis; the middle of it is what counts."""
    last = side.start + side.step * (side.size - 1)
    return 4 * last < n or 4 * side.start >= 3 * n


def _over(old: Cell, new: Cell, v: Side, h: Side) -> Cell:
    """What the whole sees where a part is written over it."""
    return Cell(_axis_over(old.v, new.v, v, h.step == 1), _axis_over(old.h, new.h, h, v.step == 1))


def _axis_over(old: Axis, new: Axis, side: Side, replaced: bool) -> Axis:
    """One axis; `replaced` says that no old number is left beside the new ones on the other axis."""
    phase = side.start % side.step
    moved = new.taken((phase - side.start) // side.step)
    phases = [old.taken(p, side.step) for p in range(side.step)]
    phases[phase] = moved if replaced else hull(phases[phase], moved)
    return phases[0].interleaved(tuple(phases[1:])) if len(phases) > 1 else phases[0]
