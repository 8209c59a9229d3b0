"""How maps meet: element by element, or put together along a dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from convnotes.measure.axes import NOTHING, Apart
from convnotes.measure.positions import Cell, Factor, Positions, full, meeting


def together(parts: Sequence[Positions], shape: Sequence[int], but: int = -1) -> list[Positions]:
    """Maps broadcast against each other, in one layout; `but` is a dimension that stays as it is in each."""
    parts = [p.without_ones() for p in parts]
    padded = [replace(p, dims=((),) * (len(shape) - len(p.dims)) + p.dims) for p in parts]
    for dim, size in enumerate(shape):
        if len({p.dims[dim] for p in padded if p.has_axis(dim)}) > 1:
            padded = [p.without_copies(dim) if p.has_axis(dim) else p for p in padded]
        layouts = {p.dims[dim] for p in padded if p.dims[dim]}
        positioned = {p.dims[dim] for p in padded if p.has_axis(dim)}
        if dim == but or (size == 1 and not positioned):
            continue
        if len(positioned) > 1 or any({f.kind for f in dims} - {"u"} for dims in layouts - positioned if positioned):
            raise Apart("maps meet in different layouts, or positions meet a tensor without positions")
        if not positioned and len(layouts) > 1:
            padded = [p.one(dim) if p.dims[dim] else p for p in padded]
        target = next(iter(positioned), None) or next(
            (p.dims[dim] for p in padded if p.dims[dim]), (Factor("u", size),)
        )
        padded = [_spread(p, dim, target) for p in padded]
    return padded


def _spread(part: Positions, dim: int, target: tuple[Factor, ...]) -> Positions:
    own = part.dims[dim]
    if own == target:
        return part
    if {f.kind for f in own} - {"u"}:
        raise Apart("maps meet in different layouts")
    cells, at = part.cells, part.at(dim)
    for f in target:
        if f.kind == "c":
            cells = np.repeat(np.expand_dims(cells, at), f.size, axis=at)
            at += 1
    return replace(part, dims=(*part.dims[:dim], target, *part.dims[dim + 1 :]), cells=cells)


def mixed(parts: Sequence[Positions], shape: Sequence[int]) -> Positions:
    """What each position sees where maps meet position by position."""
    spread = together(parts, shape)
    cells = spread[0].cells
    for part in spread[1:]:
        cells = meeting(cells, part.cells)
    looked = next((part.looked for part in parts if part.looked), "")
    result = Positions(spread[0].dims, cells, looked=looked)
    return replace(result, looked="") if result.is_map else result.told_by(*parts)


def joined(tensors: Sequence[Tensor], dim: int, known: Any, shape: Sequence[int], stack: bool) -> Positions:
    dim %= len(shape)
    tensors = [t for t in tensors if stack or t.dim() == len(shape)]
    positions = [known(t) for t in tensors]
    if stack:
        positions = [p and replace(p, dims=(*p.dims[:dim], (), *p.dims[dim:])) for p in positions]
    sizes = [1 if stack else t.shape[dim] for t in tensors]
    parts = [p for p in positions if p is not None]
    kinds = {f.kind for p in parts for f in p.dims[dim]}
    if kinds & {"v", "h"}:
        try:
            return _end_to_end(positions, sizes, dim, shape)
        except Apart:
            if len(parts) > 1 or (parts[0].is_map and len(parts[0].dims[dim]) == 1):
                raise
            return parts[0].gone("cat")
    spread = iter(together(parts, shape, but=dim))
    nothing = None
    cells: list[Any] = []
    for position, n in zip(positions, sizes, strict=True):
        if position is None:
            cells.append((None, n))
        else:
            part = next(spread)
            part = replace(part, dims=(*part.dims[:dim], part.dims[dim] or (Factor("u", n),), *part.dims[dim + 1 :]))
            nothing = part.one(dim)
            cells.append((nothing.cells, n))
    assert nothing is not None
    at = nothing.at(dim)
    shape_of = nothing.cells.shape
    arrays = [
        full((*shape_of[:at], n, *shape_of[at + 1 :]), Cell(NOTHING, NOTHING)) if c is None else c for c, n in cells
    ]
    return nothing.sized(dim, (Factor("c", sum(sizes)),), np.concatenate(arrays, axis=at)).told_by(*parts)


def _end_to_end(
    positions: Sequence[Positions | None], sizes: Sequence[int], dim: int, shape: Sequence[int]
) -> Positions:
    """Parts of a map behind one another, such as the pieces that it was split into, or a map and its padding."""
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    moved = [p.taken(dim, -start, 1, shape[dim]) for p, start in zip(positions, starts, strict=True) if p is not None]
    if any(p.dims != moved[0].dims or not np.array_equal(p.cells, moved[0].cells) for p in moved):
        raise Apart("parts of a map are put together in another order, so that no one field holds everywhere")
    return moved[0]
