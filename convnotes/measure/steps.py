"""What one operation of torch does to the positions of a map, told from its arguments and from the shapes that flow.

One rule for each kind of operation. What has no rule is refused by name: nothing is taken to be harmless.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convnotes.measure.axes import Apart, Axis
from convnotes.measure.joins import joined, mixed
from convnotes.measure.positions import Cell, Positions
from convnotes.measure.trees import found
from convnotes.measure.windows import WINDOWS

Rule = Callable[[Positions, dict[str, Any], list[tuple[int, ...]]], Any]

# Element by element, beside what torch itself tags so. A norm over a map takes its mean and deviation as constants.
_POINTWISE = {
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "cudnn_batch_norm",
    "native_group_norm", "native_layer_norm", "_fused_rms_norm", "native_dropout", "hardswish", "hardswish_",
    "_prelu_kernel", "rrelu_with_noise", "log_sigmoid_forward", "_to_copy", "clone", "detach", "alias",
    "lift_fresh", "bernoulli_", "fmod",
}  # fmt: skip
_SAME = {"mean", "sum", "amax", "amin", "max", "min", "prod", "std", "var", "var_mean", "std_mean", "logsumexp", "any",
         "all", "argmax", "argmin", "linalg_vector_norm", "norm", "median", "mode", "aminmax", "count_nonzero",
         "nansum", "nanmedian"}  # fmt: skip
_MIX = {"_softmax", "_log_softmax", "_safe_softmax", "sort", "topk"}
_RUNNING = {"cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"}
_FRESH = ("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "new_")
PRODUCTS = {"mm": ("self", "mat2"), "bmm": ("self", "mat2"), "addmm": ("mat1", "mat2"), "baddbmm": ("batch1", "batch2"),
             "mv": ("self", "vec"), "dot": ("self", "tensor"), "addmv": ("mat", "vec")}  # fmt: skip


def follow(func: Any, given: dict[str, Any], known: Callable[[Tensor], Positions | None], shapes: list[Any]) -> Any:
    """What comes out of an operation, one `Positions` or None for each of `shapes`; `Apart` where it cannot be told."""
    name = func.overloadpacket.__name__
    parts = [p for t in found(given, Tensor) if (p := known(t)) is not None]
    if name.startswith(_FRESH):
        return [None] * len(shapes)
    if name in ("copy_", "fill_", "zero_"):  # what was there before is gone
        source = next((known(given[key]) for key in ("src", "value") if isinstance(given.get(key), Tensor)), None)
        return [source if source is None or source.lost else mixed([source], shapes[0])]
    lost = next((p for p in parts if p.lost), None)
    if lost is not None:
        if name in WINDOWS:
            raise Apart(f"{lost.lost} took the positions of its input away")
        if any(p.is_map for p in parts):
            raise Apart(f"a map meets what has no positions, which {lost.lost} took away")
        return [lost.told_by(*parts)] * len(shapes)
    if name in PRODUCTS:
        a, b = (given[side] for side in PRODUCTS[name])
        product = _product(a, b, known, shapes[0])
        extra = known(given["self"]) if name in ("addmm", "baddbmm", "addmv") else None
        return [product if extra is None else mixed([product, extra], shapes[0])]
    if name in ("cat", "stack"):
        return [joined(given["tensors"], given["dim"], known, shapes[0], name == "stack")]
    if torch.Tag.pointwise in func.tags or name in _POINTWISE:
        return [mixed(parts, shape) if math.prod(shape) == max(map(math.prod, shapes)) else None for shape in shapes]
    first = next((known(t) for t in found(list(given.values())[:1], Tensor)), None)
    if first is None or len(parts) > 1:
        if name in ("convolution", "grid_sampler_2d", "_convolution") and all(not p.is_map for p in parts[-1:]):
            return [_everywhere(parts, shapes[0])]
        raise KeyError(name)
    if name in WINDOWS:
        return [WINDOWS[name](first, given, shapes[0])] * len(shapes)
    if name in _SAME:
        return [_reduced(first, given)] * len(shapes)
    if name in _MIX | _RUNNING:
        return [_stirred(first, given, shapes[0], name in _RUNNING)] * len(shapes)
    result = _MOVES[name](first, given, shapes)
    return result if isinstance(result, list) else [result]


def _everywhere(parts: Sequence[Positions], shape: Sequence[int]) -> Positions:
    """Where the weight itself is made of the whole image."""
    if not parts[0].is_map:
        raise Apart("a weight that is made of the image acts on a tensor that is not a map")
    whole = parts[0].whole()
    return Positions.of(shape, "ccvh", Cell(whole.v.everything(), whole.h.everything()))


def _reduced(x: Positions, given: dict[str, Any], keep: bool | None = None) -> Positions:
    dims = given.get("dim")
    count = len(x.dims)
    numbers = range(count) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    keep = bool(given.get("keepdim")) if keep is None else keep
    original = x
    for dim in sorted({n % count for n in numbers}, reverse=True):
        x = x.reduced(dim, keep)
    return x.told_by(original)


def _stirred(x: Positions, given: dict[str, Any], shape: Sequence[int], running: bool) -> Positions:
    """What mixes a dimension and keeps it, such as a softmax."""
    dim = given["dim"] % max(len(x.dims), 1)
    if not x.dims:
        return x
    if running and x.has_axis(dim):
        raise Apart("it runs along the map, so that each position sees all that lie before it")
    if shape[dim] != x.shape[dim]:
        return mixed([x.reduced(dim)], shape).told_by(x)
    return x.stirred(dim)


def _product(a: Tensor, b: Tensor, known: Callable[[Tensor], Positions | None], shape: Sequence[int]) -> Positions:
    """A matrix product: each number sees a whole row of the one and a whole column of the other."""
    left, right = known(a), known(b)
    parts = []
    if left is not None:
        row = left.reduced(len(left.dims) - 1, keep=False)
        parts.append(replace(row, dims=(*row.dims, ())) if b.dim() > 1 else row)
    if right is not None:
        across = b.dim() - (2 if b.dim() > 1 else 1)
        column = right.reduced(across, keep=b.dim() > 1 and a.dim() > 1)
        if parts and a.dim() > 1 and b.dim() > 1 and parts[0].has_axis(-2) and column.has_axis(-1):
            column = column.reduced(len(column.dims) - 1)  # pairs of positions: each pair counts as seeing all
        parts.append(column)
    return mixed(parts, shape).told_by(*(p for p in (left, right) if p is not None))


def _slice(x: Positions, given: dict[str, Any], shapes: list[tuple[int, ...]]) -> Positions:
    dim = given["dim"] % len(x.dims)
    n = x.shape[dim]
    start, _, step = slice(given["start"], given["end"], given["step"]).indices(n)
    try:
        return x.taken(dim, start, step, shapes[0][dim])
    except Apart:
        return x.gone("a slice of a flattened map")


def _split(x: Positions, given: dict[str, Any], shapes: list[tuple[int, ...]]) -> list[Positions]:
    dim = given["dim"] % len(x.dims)
    starts = [sum(shape[dim] for shape in shapes[:n]) for n in range(len(shapes))]
    return [x.taken(dim, start, 1, shape[dim]) for start, shape in zip(starts, shapes, strict=True)]


def _select(x: Positions, given: dict[str, Any], shapes: Any) -> Positions:
    try:
        return x.picked(given["dim"] % len(x.dims), given["index"])
    except Apart:
        return x.gone("a position picked out of a flattened map")


def _view(x: Positions, given: dict[str, Any], shapes: list[tuple[int, ...]]) -> Positions:
    try:
        return x.viewed(shapes[0])
    except Apart as problem:
        return x.gone(f"a view as {list(shapes[0])}, where {problem},")


def _unsqueezed(x: Positions, given: dict[str, Any], shapes: list[tuple[int, ...]]) -> Positions:
    dim = given["dim"] % (len(x.dims) + 1)
    return replace(x, dims=(*x.dims[:dim], (), *x.dims[dim:]))


def _squeezed(x: Positions, given: dict[str, Any], shapes: list[tuple[int, ...]]) -> Positions:
    dims = given.get("dim")
    asked = range(len(x.dims)) if dims is None else [dims] if isinstance(dims, int) else dims
    gone = {n % len(x.dims) for n in asked if x.shape[n % len(x.dims)] == 1}
    return x.changed(tuple(dim for n, dim in enumerate(x.dims) if n not in gone), x.cells)


def _permuted(x: Positions, given: dict[str, Any], shapes: Any) -> Positions:
    return x.permuted([n % len(x.dims) for n in given["dims"]])


def _transposed(x: Positions, given: dict[str, Any], shapes: Any) -> Positions:
    order = list(range(len(x.dims)))
    a, b = (given["dim0"], given["dim1"]) if "dim0" in given else (0, -1)
    if order:
        order[a], order[b] = order[b], order[a]
    return x.permuted(order)


def _shuffled(x: Positions, given: dict[str, Any], shapes: Any) -> Positions:
    N, C, *sides = x.shape
    g = given["groups"]
    return x.viewed((N, g, C // g, *sides)).permuted((0, 2, 1, *range(3, 3 + len(sides)))).viewed((N, C, *sides))


def _up(x: Positions, given: dict[str, Any], shapes: list[tuple[int, ...]]) -> Positions:
    *N, C, H, W = x.shape
    r, n = given["upscale_factor"], len(N)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return x.viewed((*N, C // r**2, r, r, H, W)).permuted(order).viewed(shapes[0])


def _down(x: Positions, given: dict[str, Any], shapes: list[tuple[int, ...]]) -> Positions:
    *N, C, H, W = x.shape
    r, n = given["downscale_factor"], len(N)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return x.viewed((*N, C, H // r, r, W // r, r)).permuted(order).viewed(shapes[0])


def _rolled(x: Positions, given: dict[str, Any], shapes: Any) -> Positions:
    dims = given["dims"]
    if not dims:
        raise Apart("it rolls a flattened map")
    for dim, shift in zip(dims, given["shifts"], strict=True):
        dim, n = dim % len(x.dims), x.shape[dim]
        kind = x.axis_of(dim)
        if kind:
            by = (shift + n // 2) % n - n // 2  # the nearer way round
            x = replace(x, cells=x.along(kind, partial(Axis.taken, start=-by)))
        else:
            x = mixed([x.reduced(dim)], x.shape)
    return x


def _indexed(x: Positions, given: dict[str, Any], shapes: list[tuple[int, ...]]) -> Positions:
    """Cells in an order that is not known here: each may be any. Positions in such an order are none."""
    indices = given.get("indices")
    dims = [given["dim"] % len(x.dims)] if indices is None else [n for n, i in enumerate(indices) if i is not None]
    if len(dims) > 1 or x.axis_of(dims[0]):
        raise Apart("it picks positions by an index")
    return mixed([x.reduced(dims[0])], shapes[0])


def _repeated(x: Positions, given: dict[str, Any], shapes: list[tuple[int, ...]]) -> Positions:
    x = replace(x, dims=((),) * (len(shapes[0]) - len(x.dims)) + x.dims)
    for dim, n in enumerate(given["repeats"]):
        if n > 1 and x.dims[dim]:
            if x.axis_of(dim):
                raise Apart("it puts copies of a map side by side")
            x = mixed([x.reduced(dim)], [*x.shape[:dim], n * x.shape[dim], *x.shape[dim + 1 :]])
    return mixed([x], shapes[0])


def _flipped(x: Positions, given: dict[str, Any], shapes: Any) -> Positions:
    for dim in given["dims"]:
        dim, size = dim % len(x.dims), x.shape[dim]
        kind = x.axis_of(dim)
        if kind:
            x = replace(x, cells=x.along(kind, partial(Axis.mirrored, size=size)))
        else:
            one = x.one(dim)
            x = replace(one, cells=np.flip(one.cells, one.at(dim)))
    return x


def _turned(x: Positions, given: dict[str, Any], shapes: Any) -> Positions:
    a, b = (n % len(x.dims) for n in given["dims"])
    turns = given["k"] % 4
    mirrored = {0: [], 1: [b], 2: [a, b], 3: [a]}[turns]
    x = _flipped(x, {"dims": mirrored}, shapes)
    return _transposed(x, {"dim0": a, "dim1": b}, shapes) if turns % 2 else x


def _halved(x: Positions, given: dict[str, Any], shapes: list[tuple[int, ...]]) -> Positions:
    dim = given["dim"] % len(x.dims)
    half = shapes[0][dim]
    return mixed([x.taken(dim, 0, 1, half), x.taken(dim, half, 1, half)], shapes[0])


_MOVES: dict[str, Rule] = {
    "slice": _slice, "split": _split, "split_with_sizes": _split, "unsafe_split": _split, "chunk": _split,
    "unbind": lambda x, given, shapes: [x.picked(given["dim"] % len(x.dims), n) for n in range(len(shapes))],
    "select": _select, "view": _view, "_unsafe_view": _view, "reshape": _view, "_reshape_alias": _view,
    "unsqueeze": _unsqueezed, "squeeze": _squeezed, "permute": _permuted, "transpose": _transposed, "t": _transposed,
    "expand": lambda x, given, shapes: mixed([x], shapes[0]), "repeat": _repeated, "roll": _rolled, "flip": _flipped,
    "rot90": _turned,
    "channel_shuffle": _shuffled, "native_channel_shuffle": _shuffled, "pixel_shuffle": _up, "pixel_unshuffle": _down,
    "index": _indexed, "index_select": _indexed, "glu": _halved,
}  # fmt: skip
