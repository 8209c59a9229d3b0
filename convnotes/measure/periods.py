"""After how many positions of a map the receptive fields repeat, told call by call.

Neighbouring positions see alike as long as a map only shrinks by whole strides. Behind a map that was resized, so that
n old positions give d new ones, they differ: a period p becomes d·p/gcd(n, p), and a whole stride n divides it by
gcd(n, p). Where maps meet, the period is their least common multiple. Where a call cuts a map into windows, takes
positions by their index or puts them into another order, none is told: any two positions may differ.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

from torch import Tensor

from convnotes.geometry import pair
from convnotes.measure.trees import found

_STRIDE_AT = {"conv2d": 3, "conv_transpose2d": 3, "max_pool2d": 2, "avg_pool2d": 2, "lp_pool2d": 3}  # argument
_RESIZED = {"interpolate", "upsample", "upsample_nearest", "upsample_bilinear"}
_ADAPTIVE = {"adaptive_avg_pool2d", "adaptive_max_pool2d"}
_TURNED = {"permute", "transpose", "t", "T", "mT", "movedim", "moveaxis", "swapaxes", "swapdims", "rot90"}
_SHIFTED = {  # positions see alike wherever they lie, also where a map gets other sides
    "layer", "getitem", "narrow", "select", "pad", "constant_pad_nd", "chunk", "split", "split_with_sizes", "linear",
    "tensor_split", "hsplit", "vsplit", "unbind", "unsafe_chunk", "unsafe_split", "diff", "mean", "amax", "amin", "max",
    "min", "sum", "std", "var", "var_mean", "std_mean", "norm", "vector_norm", "logsumexp", "prod", "nansum", "nanmean",
}  # fmt: skip
_ANYHOW = {
    "grid_sample", "matmul", "mm", "bmm", "einsum", "tensordot", "inner", "bilinear", "baddbmm", "kron", "fold",
    "gather", "take", "take_along_dim", "index_select", "index_add", "index_put", "scatter", "scatter_add",
    "masked_scatter", "masked_select", "as_strided", "block_diag", "repeat", "tile",
}  # fmt: skip

Period = tuple[int, int] | None  # of rows and columns, or a multiple of it; None: not known


class _Known(NamedTuple):
    tensor: Tensor  # held, so that its id stays its own
    period: Period
    sides: tuple[int, ...]  # of the map that it is, or was made of


class Periods:
    """The periods of all that is made of `image`, [B, C, H, W]."""

    def __init__(self, image: Tensor) -> None:
        self._known = {id(image): _Known(image, (1, 1), tuple(image.shape[2:]))}

    def of(self, tensor: Tensor) -> Period:
        """After how many rows and columns of a map the receptive fields repeat; None where that is not known."""
        return self._find(tensor).period

    def told(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """The function `name` was called on what depends on the image; "layer" is one that shifts with its input."""
        given = [self._find(t) for t in found((args, kwargs), Tensor) if t.requires_grad]
        sides = tuple(map(max, zip(*(one.sides for one in given), strict=True)))
        before = _together([one.period for one in given])
        for t in [args[0]] if name == "setitem" else [t for t in found(output, Tensor) if t.requires_grad]:
            now = sides if t.dim() != 4 or t.shape[1:3] == sides else tuple(t.shape[2:])  # or channels last
            self._known[id(t)] = _Known(t, before and _after(name, args, kwargs, before, sides, t), now)

    def _find(self, tensor: Tensor) -> _Known:
        """What is known of a tensor: nothing where it was made out of sight, as by an autograd function."""
        return self._known.get(id(tensor), _Known(tensor, None, (0, 0)))


def _together(periods: list[Period]) -> Period:
    rows, columns = 1, 1
    for period in periods:
        if period is None:
            return None
        rows, columns = math.lcm(rows, period[0]), math.lcm(columns, period[1])
    return rows, columns


def _after(
    name: str, args: tuple[Any, ...], kwargs: Any, period: tuple[int, int], sides: tuple[int, ...], output: Tensor
) -> Period:
    """The period of an output of `name`; `period` and `sides` are those of what it was given."""
    scales = _scales(name, args, kwargs, output)
    if scales:
        rows, columns = (p * s.denominator // math.gcd(p, s.numerator) for p, s in zip(period, scales, strict=True))
        return rows, columns
    if name in _ANYHOW or (name == "getitem" and any(True for _ in found(args[1:], Tensor))):
        return None
    if name in _TURNED:  # rows may be columns now
        return (math.lcm(*period),) * 2
    as_before = output.dim() < 4 or sides in (output.shape[-2:], output.shape[1:3])
    return period if as_before or name in _SHIFTED else None


def _scales(name: str, args: tuple[Any, ...], kwargs: Any, output: Tensor) -> list[Fraction]:
    """How many old rows and columns a step of one row and column of the output is; nothing where that is not known."""

    def argument(at: int, called: str) -> Any:
        return kwargs.get(called, args[at] if len(args) > at else None)

    if name in _STRIDE_AT:
        at = _STRIDE_AT[name]
        strides = pair(argument(at, "stride") or (1 if name.startswith("conv") else argument(at - 1, "kernel_size")))
        return [Fraction(1, s) if name == "conv_transpose2d" else Fraction(s) for s in strides]
    if name in ("pixel_shuffle", "pixel_unshuffle"):
        factor = argument(1, "upscale_factor" if name == "pixel_shuffle" else "downscale_factor")
        return [Fraction(1, factor) if name == "pixel_shuffle" else Fraction(factor)] * 2
    if (name in _RESIZED or name in _ADAPTIVE) and output.dim() == 4:
        sides = list(zip(argument(0, "input").shape[2:], output.shape[2:], strict=True))
        factor = argument(2, "scale_factor") if name in _RESIZED else None
        if argument(4, "align_corners") or name == "upsample_bilinear":
            return [Fraction(old - 1, new - 1) if new > 1 < old else Fraction(1) for old, new in sides]
        if factor is not None and not argument(5, "recompute_scale_factor") and argument(3, "mode") != "area":
            each = tuple(factor) if isinstance(factor, tuple | list) else (factor, factor)
            return [(1 / Fraction(f)).limit_denominator(1000) for f in each]
        return [Fraction(old, new) for old, new in sides]
    return []
