"""What convolutions, poolings, paddings and interpolations do to the positions of a map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from convnotes.geometry import output_size
from convnotes.measure.axes import NOTHING, Apart, Axis
from convnotes.measure.joins import mixed
from convnotes.measure.positions import Cell, Factor, Positions, met

_BESIDE = Fraction(1, 2**20)


def on_axis(x: Positions, dim: int, size: int, change: Callable[[Axis], Axis], name: str) -> Positions:
    """A change of one dimension to `size`, which is an axis of the map or one of cells."""
    kind = x.axis_of(dim)
    if kind:
        return x.sized(dim, (Factor(kind, size),), x.along(kind, change))
    if any(f.kind == "c" for f in x.dims[dim]):
        one, sources = x.one(dim), change(Axis())
        at, last = one.at(dim), one.shape[dim] - 1
        cells = []
        for position in range(size):
            low, high = sources.at(position)
            seen = range(max(0, int(low)), min(last, int(high)) + 1) if low <= high else range(0)
            cells.append(met(one.cells.take(seen, axis=at), at))
        x = x.sized(dim, (Factor("c", size),), np.stack(cells, axis=at))
    elif size != x.shape[dim]:
        x = mixed([x.reduced(dim)], [*x.shape[:dim], size, *x.shape[dim + 1 :]])
    return x if x.is_map else replace(x, looked=name)


def _sides(given: dict[str, Any], count: int, *names: str) -> list[tuple[int, ...]]:
    """The values of arguments on each of `count` axes."""
    values = [list(given[name]) if isinstance(given[name], Sequence) else [given[name]] for name in names]
    return list(zip(*(value * count if len(value) == 1 else value for value in values), strict=True))


def _convolved(x: Positions, given: dict[str, Any], shape: Sequence[int]) -> Positions:
    count = len(shape) - 2
    if {f.kind for f in x.dims[1]} & {"v", "h"}:
        raise Apart("the positions of a map stand where it has its channels")
    weight = given["weight"].shape
    kernel = weight[2:]
    transposed = given.get("transposed", False)
    sides = _sides(given, count, "stride", "padding", "dilation")
    for n, (stride, padding, dilation) in enumerate(sides):
        k = kernel[n]
        act = Axis.transposed if transposed else Axis.window
        change = partial(act, kernel=k, stride=stride, padding=padding, dilation=dilation)
        x = on_axis(x, n + 2, shape[n + 2], change, "a convolution")
    groups, out = given.get("groups", 1), shape[1]
    return _grouped(x, groups, out)


def _grouped(x: Positions, groups: int, out: int) -> Positions:
    """Each channel that comes out sees all of its group."""
    N, C, *sides = x.shape
    if groups > 1 and x.dims[1]:
        x = x.viewed((N, groups, C // groups, *sides)).reduced(2)
        x = mixed([x], (N, groups, out // groups, *sides))
        return x.viewed((N, out, *sides))
    return mixed([x.reduced(1)], (N, out, *sides))


def _pooled(x: Positions, given: dict[str, Any], shape: Sequence[int]) -> Positions:
    count = 3 if "3d" in str(given["name"]) else 2 if "2d" in str(given["name"]) else 1
    stride = given["stride"] if given.get("stride") not in (None, []) else given["kernel_size"]
    given = {"dilation": 1, **given, "stride": stride}
    first = len(shape) - count
    for n, (k, s, p, d) in enumerate(_sides(given, count, "kernel_size", "stride", "padding", "dilation")):
        change = partial(Axis.window, kernel=k, stride=s, padding=p, dilation=d)
        x = on_axis(x, first + n, shape[first + n], change, "a pooling")
    return x


def _adaptive(x: Positions, given: dict[str, Any], shape: Sequence[int]) -> Positions:
    """One window is a mean over the axis. Equal windows are a pooling, once the size of the image is known."""
    original = x
    for dim, other in ((len(shape) - 2, len(shape) - 1), (len(shape) - 1, len(shape) - 2)):
        size, wanted = x.shape[dim], shape[dim]
        if not x.dims[dim]:
            x = mixed([x], [*x.shape[:dim], wanted, *x.shape[dim + 1 :]])
        elif wanted == 1:
            x = x.reduced(dim)
        elif given["known"] and size % wanted == 0:
            k = size // wanted
            x = on_axis(x, dim, wanted, partial(Axis.window, kernel=k, stride=k, padding=0, dilation=1), "a pooling")
        elif size != wanted or shape[other] != 1:  # (None, 1) keeps one axis as it is
            return original.gone(f"an adaptive pooling to {shape[-2]}×{shape[-1]}")
    return x.told_by(original)


def _padded(x: Positions, given: dict[str, Any], shape: Sequence[int]) -> Positions:
    pads: Sequence[int] = given["pad"] if "pad" in given else given["padding"]
    for n in range(len(pads) // 2):
        dim, before = len(shape) - 1 - n, pads[2 * n]
        if not x.axis_of(dim) and shape[dim] != x.shape[dim]:
            x, one = x.one(dim), x.one(dim)
            at, size = one.at(dim), one.shape[dim]
            order = [i - before for i in range(shape[dim])]
            cells = one.cells.take([min(max(i, 0), size - 1) for i in order], axis=at)
            for i, source in enumerate(order):
                if not 0 <= source < size:
                    cells[(slice(None),) * at + (i,)] = Cell(NOTHING, NOTHING)
            x = one.sized(dim, (Factor("c", shape[dim]),), cells)
        elif x.axis_of(dim):
            x = x.taken(dim, -before, 1, shape[dim])
    return x


def _resized(x: Positions, given: dict[str, Any], shape: Sequence[int]) -> Positions:
    name = str(given["name"])
    factors = given.get("scale_factors") or (given.get("scales_h"), given.get("scales_w"))
    for n, dim in enumerate((len(shape) - 2, len(shape) - 1)):
        size, wanted = x.shape[dim], shape[dim]
        scale = Fraction(size, wanted)
        factor = factors[n]
        if factor is not None:
            scale = 1 / Fraction(factor).limit_denominator(1000)
        first, taps = (scale - 1) / 2, range(2)
        if "nearest" in name:
            first, taps = (scale / 2 if "exact" in name else Fraction(0)), range(1)
        elif given["align_corners"]:  # as in the middle of a large image, a little beside which no two pixels coincide
            scale = Fraction(size, wanted)
            first = (scale - 1) / 2 + _BESIDE if size != wanted else Fraction(0)
        if "bicubic" in name:
            taps = range(-1, 3)
        if wanted == 1 and size > 1:
            raise Apart("it makes a map of one position")
        change = partial(Axis.resized, scale=scale, first=first, taps=taps)
        x = on_axis(x, dim, wanted, change, x.looked)
    return x


def _windows_of(x: Positions, given: dict[str, Any], shape: Sequence[int]) -> Positions:
    """`Tensor.unfold`: windows along one dimension, their positions in a new one."""
    dim = given["dimension"] % len(x.dims)
    kind = x.axis_of(dim)
    if not kind:
        raise Apart("it cuts channels into windows")
    parts = [x.taken(dim, u, given["step"], shape[dim]) for u in range(given["size"])]
    cells = np.stack([part.cells for part in parts], axis=-1)
    return replace(parts[0], dims=(*parts[0].dims, (Factor("c", given["size"]),)), cells=cells)


def _columns(x: Positions, given: dict[str, Any], shape: Sequence[int]) -> Positions:
    """`F.unfold`: the pixels of each window as channels."""
    names = ("kernel_size", "stride", "padding", "dilation")
    ((kh, sh, ph, dh), (kw, sw, pw, dw)) = _sides(given, 2, *names)
    height, width = output_size(x.shape[2:], *(given[name] for name in names))
    taps = [
        x.taken(2, u * dh - ph, sh, height).taken(3, v * dw - pw, sw, width).one(1)
        for u in range(kh)
        for v in range(kw)
    ]
    cells = np.stack([tap.cells for tap in taps], axis=taps[0].at(1) + 1)
    dims = (taps[0].dims[0], (*taps[0].dims[1], Factor("c", kh * kw)), *taps[0].dims[2:])
    return replace(taps[0], dims=dims, cells=cells).viewed(shape)


def _folded(x: Positions, given: dict[str, Any], shape: Sequence[int]) -> Positions:
    """`F.fold`: the sum of the patches that overlap at a position."""
    names = ("kernel_size", "stride", "padding", "dilation")
    ((kh, sh, ph, dh), (kw, sw, pw, dw)) = _sides(given, 2, *names)
    height, width = output_size(shape[2:], *(given[name] for name in names))
    x = x.viewed((shape[0], shape[1], kh, kw, height, width))
    taps = []
    for u in range(kh):
        for v in range(kw):
            tap = x.picked(2, u).picked(2, v)
            down = partial(Axis.transposed, kernel=1, stride=sh, padding=ph - u * dh, dilation=1)
            across = partial(Axis.transposed, kernel=1, stride=sw, padding=pw - v * dw, dilation=1)
            tap = on_axis(tap, 2, shape[2], down, "a fold")
            taps.append(on_axis(tap, 3, shape[3], across, "a fold"))
    return mixed(taps, shape)


Window = Callable[[Positions, dict[str, Any], Sequence[int]], Positions]
WINDOWS: dict[str, Window] = (
    {"convolution": _convolved, "_convolution": _convolved, "constant_pad_nd": _padded, "unfold": _windows_of}
    | dict.fromkeys(("max_pool2d_with_indices", "max_pool2d", "avg_pool2d", "avg_pool3d", "avg_pool1d"), _pooled)
    | dict.fromkeys(("max_pool1d", "max_pool3d_with_indices"), _pooled)
    | dict.fromkeys(("_adaptive_avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"), _adaptive)
    | {f"{kind}_pad2d": _padded for kind in ("reflection", "replication")}
    | {f"upsample_{kind}2d": _resized for kind in ("nearest", "bilinear", "bicubic")}
    | {"_upsample_nearest_exact2d": _resized, "im2col": _columns, "col2im": _folded}
)
SIZED = {name for name, rule in WINDOWS.items() if rule in (_adaptive, _resized)}  # may be asked for a size
