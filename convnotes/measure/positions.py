"""What a tensor on the way holds: which of its dimensions run over the positions of a map, and what each of them sees.

A dimension is made of factors: "v" and "h" run over the positions of the vertical and the horizontal axis, "c" over
cells that each see something of their own (channels, images, phases of a map that was cut into windows), "u" over
copies.
A view cuts and joins factors, so a shuffle, a flattened map and its way back are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np

from convnotes.measure.axes import EVERYTHING, NOTHING, PICKED, Apart, Axis, hull


class Factor(NamedTuple):
    """A part of a dimension."""

    kind: str
    size: int


@dataclass(frozen=True)
class Cell:
    """What the positions of one channel see."""

    v: Axis
    h: Axis


Dims = tuple[tuple[Factor, ...], ...]


def meet(a: Cell, b: Cell) -> Cell:
    """What either sees."""
    return a if a is b or a == b else Cell(hull(a.v, b.v), hull(a.h, b.h))


meeting: Any = np.frompyfunc(meet, 2, 1)


def full(shape: Sequence[int], cell: Cell) -> Any:
    """Cells that see the same."""
    cells = np.empty(tuple(shape), dtype=object)
    cells.fill(cell)
    return cells


def met(cells: Any, axis: int) -> Any:
    """What the cells along an axis see together; that axis is gone."""
    seen = meeting.reduce(cells, axis=axis, initial=Cell(NOTHING, NOTHING))
    return seen if isinstance(seen, np.ndarray) else full((), seen)


@dataclass(frozen=True, eq=False)
class Positions:
    """The factors of each dimension, and the cells, one axis for each factor "c" in order.

    ended    the last maps that this was made of, where a dimension of the map is gone
    lost     the call after which nothing can be told of positions any more, or ""
    looked   the convolution or pooling that acted on what had no positions, or ""
    """

    dims: Dims
    cells: Any
    ended: frozenset[Cell] = frozenset()
    lost: str = ""
    looked: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.cells, np.ndarray):  # numpy gives the element of an array without axes
            object.__setattr__(self, "cells", full((), self.cells))

    @staticmethod
    def of(shape: Sequence[int], kinds: str, cell: Cell) -> Positions:
        """A fresh map: `kinds` says what each dimension runs over."""
        dims = tuple((Factor(kind, n),) if n > 1 or kind in "vh" else () for n, kind in zip(shape, kinds, strict=True))
        return Positions(dims, full([f.size for dim in dims for f in dim if f.kind == "c"], cell))

    @property
    def is_map(self) -> bool:
        """Whether both axes are there."""
        kinds = {f.kind for dim in self.dims for f in dim}
        return {"v", "h"} <= kinds

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(math.prod(f.size for f in dim) for dim in self.dims)

    @property
    def pooled(self) -> bool:
        """Whether it is lost by an adaptive pooling, behind which the last map is told of."""
        return self.lost.startswith("an adaptive pooling")

    def whole(self) -> Cell:
        """What all cells together see."""
        return reduce(meet, set(self.cells.flat), Cell(NOTHING, NOTHING))

    def last(self) -> frozenset[Cell]:
        """The maps that are told of once this has ended."""
        return frozenset({self.whole()}) if self.is_map else self.ended

    def told_by(self, *before: Positions) -> Positions:
        """The same; where it is not a map, it tells of the last maps of those that it was made of."""
        return self if self.is_map else replace(self, ended=frozenset().union(*(part.last() for part in before)))

    def at(self, dim: int, factor: int = 0) -> int:
        """The axis of `cells` that belongs to a factor."""
        before = [f for d in self.dims[:dim] for f in d] + list(self.dims[dim][:factor])
        return sum(f.kind == "c" for f in before)

    def gone(self, reason: str) -> Positions:
        """Nothing can be told of its positions any more."""
        return Positions((), full((), Cell(NOTHING, NOTHING)), self.last(), self.lost or reason, self.looked)

    def changed(self, dims: Dims, cells: Any) -> Positions:
        """The same with other dimensions; tells of the last map where it is one no more."""
        new = Positions(dims, cells, frozenset(), self.lost, self.looked)
        return replace(new, looked="") if new.is_map else new.told_by(self)

    def along(self, kind: str, change: Callable[[Axis], Axis]) -> Any:
        """The cells with one of their axes changed."""
        known: dict[Cell, Cell] = {}
        cells = np.empty(self.cells.shape, dtype=object)
        for index, cell in np.ndenumerate(self.cells):
            if cell not in known:
                known[cell] = replace(cell, **{kind: change(getattr(cell, kind))})
            cells[index] = known[cell]
        return cells

    def has_axis(self, dim: int) -> bool:
        """Whether a dimension runs over positions, be it among other things."""
        return any(f.kind in "vh" for f in self.dims[dim])

    def axis_of(self, dim: int) -> str:
        """ "v" or "h" where the dimension runs over the positions of one axis and nothing else, "" where over none."""
        kinds = [f.kind for f in self.dims[dim]]
        if kinds in (["v"], ["h"]):
            return kinds[0]
        if "v" in kinds or "h" in kinds:
            raise Apart(
                "it needs the positions of a map in dimensions of their own, and here they are mixed with others"
            )
        return ""

    def one(self, dim: int) -> Positions:
        """A dimension of cells and copies as one factor "c"."""
        apart = self.without_copies(dim)
        first, many = self.at(dim), len(self.dims[dim])
        n = self.shape[dim]
        shape = (*apart.cells.shape[:first], n, *apart.cells.shape[first + many :])
        dims = (*self.dims[:dim], (Factor("c", n),), *self.dims[dim + 1 :])
        return replace(apart, dims=dims, cells=apart.cells.reshape(shape))

    def without_copies(self, dim: int) -> Positions:
        """The copies in a dimension as cells."""
        cells, at = self.cells, self.at(dim)
        for f in self.dims[dim]:
            if f.kind == "u":
                cells = np.repeat(np.expand_dims(cells, at), f.size, axis=at)
            at += f.kind in "cu"
        factors = tuple(Factor("c", f.size) if f.kind == "u" else f for f in self.dims[dim])
        return replace(self, dims=(*self.dims[:dim], factors, *self.dims[dim + 1 :]), cells=cells)

    def without_ones(self) -> Positions:
        """The same without cells that are alone in their dimension."""
        dims = tuple(tuple(f for f in dim if f.size > 1 or f.kind != "c") for dim in self.dims)
        return replace(self, dims=dims, cells=self.cells.reshape([n for n in self.cells.shape if n != 1]))

    def sized(self, dim: int, factors: tuple[Factor, ...], cells: Any) -> Positions:
        """With another dimension instead of `dim`."""
        return self.changed((*self.dims[:dim], factors, *self.dims[dim + 1 :]), cells)

    def permuted(self, order: Sequence[int]) -> Positions:
        """Dimensions in another order."""
        numbers = [[self.at(d, n) for n, f in enumerate(dim) if f.kind == "c"] for d, dim in enumerate(self.dims)]
        axes = [axis for d in order for axis in numbers[d]]
        return replace(self, dims=tuple(self.dims[d] for d in order), cells=self.cells.transpose(axes))

    def reduced(self, dim: int, keep: bool = True) -> Positions:
        """What sees all of a dimension; it is left with size 1, or not."""
        cells = self.cells
        for n in reversed(range(len(self.dims[dim]))):
            f = self.dims[dim][n]
            if f.kind == "c":
                cells = met(cells, self.at(dim, n))
        reduced = replace(self, cells=cells)
        for f in self.dims[dim]:
            if f.kind in "vh":
                reduced = replace(reduced, cells=reduced.along(f.kind, lambda axis: EVERYTHING))
        dims = (*self.dims[:dim], *([()] if keep else []), *self.dims[dim + 1 :])
        return self.changed(dims, reduced.cells)

    def stirred(self, dim: int) -> Positions:
        """What sees all of a dimension, which stays: each of its positions and cells sees the same."""
        cells, x = self.cells, self
        for n, f in enumerate(self.dims[dim]):
            if f.kind == "c":
                at = self.at(dim, n)
                cells = np.repeat(np.expand_dims(met(cells, at), at), f.size, axis=at)
        x = replace(x, cells=cells)
        for f in self.dims[dim]:
            if f.kind in "vh":
                x = replace(x, cells=x.along(f.kind, Axis.everything))
        return x

    def taken(self, dim: int, start: int, step: int, size: int) -> Positions:
        """`size` positions or cells of a dimension, one in `step` from `start` on."""
        if (start, step, size) == (0, 1, self.shape[dim]):
            return self
        kind = self.axis_of(dim)
        if kind:
            return self.sized(dim, (Factor(kind, size),), self.along(kind, lambda axis: axis.taken(start, step)))
        one = self.one(dim)
        cells = one.cells.take(range(start, start + step * size, step), axis=one.at(dim))
        return one.sized(dim, (Factor("c", size),), cells)

    def picked(self, dim: int, index: int) -> Positions:
        """One position or cell of a dimension, which is gone then."""
        kind = self.axis_of(dim)
        if kind:
            gone = (*self.dims[:dim], *self.dims[dim + 1 :])
            return self.changed(gone, self.along(kind, lambda axis: PICKED))
        one = self.taken(dim, index % self.shape[dim], 1, 1).one(dim)
        dims = (*self.dims[:dim], *self.dims[dim + 1 :])
        return self.changed(dims, one.cells.take(0, axis=one.at(dim)))

    def viewed(self, shape: Sequence[int]) -> Positions:
        """Another shape of the same numbers; `Apart` where the positions cannot be cut so."""
        if tuple(shape) == self.shape:
            return self
        left = [f for dim in self.dims for f in dim if f.size > 1 or f.kind in "vh"]
        cells, axis, dims = self.without_ones().cells, 0, []
        for size in shape:
            dim: list[Factor] = []
            while size > 1 or (left and left[0].size == 1 and not dim):
                if not left:
                    raise Apart("the sizes do not agree")
                kind, n = left.pop(0)
                if size % n:
                    outer, inner = size, n // size
                    if n % size:
                        raise Apart(f"{n} are cut into parts of {size}")
                    left.insert(0, Factor("c" if kind in "vh" else kind, inner))
                    cells = _cut(cells, axis, kind, outer, inner)
                    n = outer
                dim.append(Factor(kind, n))
                axis += kind == "c"
                size //= n
            dims.append(tuple(dim))
        if left and any(f.size > 1 for f in left):
            raise Apart("the sizes do not agree")
        viewed = self.changed((*dims,), cells)
        for number in range(len(dims)):
            viewed = viewed.joined(number)
        return viewed

    def joined(self, dim: int) -> Positions:
        """Where phases stand beside the positions that they were cut from, positions again."""
        first, *others = self.dims[dim] or (Factor("", 1),)
        if first.kind not in ("v", "h") or not others or {f.kind for f in others} - {"c", "u"}:
            return self
        at, many, moved = self.at(dim), math.prod(f.size for f in others), self.cells
        for n, f in enumerate(others):
            if f.kind == "u":
                moved = np.repeat(np.expand_dims(moved, at + n), f.size, axis=at + n)
        moved = np.moveaxis(moved, range(at, at + len(others)), range(-len(others), 0))
        moved = moved.reshape((*moved.shape[: moved.ndim - len(others)], many))
        cells = np.empty(moved.shape[:-1], dtype=object)
        other = "h" if first.kind == "v" else "v"
        for index in np.ndindex(cells.shape):
            phases = list(moved[index])
            across = getattr(phases[0], other)
            for phase in phases:
                across = hull(across, getattr(phase, other))
            axes = [getattr(phase, first.kind) for phase in phases]
            cells[index] = Cell(**{first.kind: axes[0].interleaved(tuple(axes[1:])), other: across})
        return self.sized(dim, (Factor(first.kind, first.size * many),), cells)


def _cut(cells: Any, axis: int, kind: str, outer: int, inner: int) -> Any:
    """Cells after a factor of a kind is cut into an outer and an inner one."""
    if kind == "u":
        return cells
    if kind == "c":
        return cells.reshape((*cells.shape[:axis], outer, inner, *cells.shape[axis + 1 :]))
    phases = [Positions((), cells).along(kind, partial(Axis.taken, start=p, stride=inner)) for p in range(inner)]
    return np.stack(phases, axis=axis)
