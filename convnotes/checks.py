"""What every room refuses, in one dialect: "<name> must be <what is needed>, got <what came>".

Another kind of thing is a `TypeError`, a value or a shape that does not fit a `ValueError`. Most checks return what
they checked. Ground floor: any room may import it, and it imports only `geometry`.

An optional package is imported where it is used, by `optional` or inside `with naming_extras():`. Where it is missing,
the error names it and the extra that brings it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import numbers as kinds
from collections.abc import Collection, Iterator, Sequence, Sized
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convnotes.geometry import IntOrPair, Padding, Pair, is_whole, not_huge, output_size, pair

Shape = Sequence[int | str | tuple[int, ...] | range]  # a side is a number, one of several, or a letter: any number

# What is imported → the extra of pyproject.toml that brings it.
EXTRA = {
    "skimage": "data",
    "sklearn": "data",
    "pooch": "data",
    "PIL": "data",
    "accelerate": "train",
    "safetensors": "train",
    "tqdm": "train",
    "matplotlib": "viz",
    "ipywidgets": "viz",
    "anywidget": "viz",
    "traitlets": "viz",
    "IPython": "viz",
    "numba": "fast",
    "llvmlite": "fast",
    "triton": "gpu",
    "onnxruntime": "engines",
    "openvino": "engines",
}


def missing(package: str) -> str:
    """The sentence that asks for an optional package, or names one that no extra brings."""
    extra = f': pip install "convnotes[{EXTRA[package]}]"' if package in EXTRA else ""
    return f"{package} is not installed{extra}"


@functools.cache
def obstacle(package: str) -> str | None:
    """Why a package cannot be imported here, or None."""
    try:
        importlib.import_module(package)
    except ModuleNotFoundError:
        return missing(package)
    except Exception as problem:  # installed, but for another version of something else
        return f"importing {package} fails ({problem})"
    return None


@contextlib.contextmanager
def naming_extras() -> Iterator[None]:
    """Inside: the `ModuleNotFoundError` of an optional package says which extra brings it."""
    try:
        yield
    except ModuleNotFoundError as problem:
        package = (problem.name or "").split(".")[0]
        if package not in EXTRA:
            raise
        raise ModuleNotFoundError(missing(package), name=problem.name) from problem


def optional(module: str) -> ModuleType:
    """Import a module of an optional package. Raises `ModuleNotFoundError` with the extra that brings it."""
    with naming_extras():
        return importlib.import_module(module)


def whole(name: str, value: Any, least: int = 1, most: int | None = None, odd: bool = False) -> int:
    """An int from `least` to `most`; a bool is none."""
    if not is_whole(value):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < least or (most is not None and value > most) or (odd and value % 2 == 0):
        needed = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be {'odd and ' if odd else ''}{needed}, got {value!r}")
    not_huge(name, value)
    return value


def flags(**values: Any) -> None:
    """True or False, by name."""
    for name, value in values.items():
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"{name} must be True or False, got {value!r}")


def positive(**values: int) -> None:
    """Ints of at least 1, by name."""
    for name, value in values.items():
        whole(name, value)


def wholes(name: str, values: Any, count: int | None = None, at_least: int = 1, **limits: Any) -> tuple[int, ...]:
    """A sequence of `count` ints, or of `at_least` so many, each within the `limits` of `whole`."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError(f"{name} must be a sequence of {'odd ' if limits.get('odd') else ''}ints, got {values!r}")
    if len(values) != count if count is not None else len(values) < at_least:
        needed = f"{count} ints" if count is not None else f"at least {at_least}"
        raise ValueError(f"{name} must hold {needed}, got {tuple(values)}")
    return tuple(whole(f"{name}[{n}]", value, **limits) for n, value in enumerate(values))


def some(name: str, values: Sized, what: str) -> None:
    """At least one of something."""
    if not len(values):
        raise ValueError(f"{name} must hold at least one {what}, got none")


def number(name: str, value: Any, interval: str) -> float:
    """A real number in an interval that is written as "[0, 1)" or "(0, inf)"."""
    if isinstance(value, bool) or not isinstance(value, kinds.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    found, (low, high) = float(value), map(float, interval[1:-1].split(","))
    above = low <= found if interval[0] == "[" else low < found
    if not above or not (found <= high if interval[-1] == "]" else found < high):
        raise ValueError(f"{name} must lie in {interval}, got {value!r}")
    return found


def one_of(name: str, value: Any, allowed: Collection[Any], words: str = "") -> Any:
    """One of the values in `allowed`; `words` describe them where listing them would be long."""
    if value not in allowed:
        raise ValueError(f"{name} must be {words or _either(allowed)}, got {value!r}")
    return value


def instance(name: str, value: Any, kind: Any, words: str) -> None:
    """An object of a class, or of one of several, that `words` name."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {words}, got {type(value).__name__}")


def module(name: str, value: Any) -> None:
    """A module of torch."""
    instance(name, value, torch.nn.Module, "a torch.nn.Module")


def tensor(name: str, value: Any, shape: Shape, like: Tensor | None = None) -> None:
    """A tensor of a shape, on the device and, but under autocast, of the dtype of `like`."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor {_sides(shape)}, got {type(value).__name__}")
    dense(name, value)
    if not _fits(value.shape, shape):
        raise ValueError(f"{name} must be {_sides(shape)}, got shape {tuple(value.shape)}")
    if like is not None and value.device != like.device:
        raise ValueError(f"{name} must be on {like.device} like the rest, got a tensor on {value.device}")
    if like is not None and value.dtype != like.dtype and not torch.is_autocast_enabled(value.device.type):
        raise ValueError(f"{name} must be of {like.dtype} like the rest, got {value.dtype}")


def dense(name: str, value: Tensor) -> None:
    """A tensor that is neither sparse nor quantised."""
    if not _is_dense(value):
        raise TypeError(f"{name} must be a dense tensor, got one of {value.layout} and {value.dtype}")


def images(layer: str, input: Any, weight: Any, channels: int, least: IntOrPair = 0) -> None:
    """The input [B, `channels`, H, W] of a layer, with sides of `least` pixels, that fits its weight (see `tensor`).

    Inside a `torch.fx` trace there is nothing to check yet.
    """
    if isinstance(input, torch.fx.Proxy):
        return
    if (
        not isinstance(input, Tensor)
        or input.dim() != 4
        or input.shape[1] != channels
        or input.device != weight.device
        or input.dtype != weight.dtype
        or not _is_dense(input)
    ):
        tensor(f"input of {layer}", input, ("B", channels, "H", "W"), weight)
    if least != 0:
        (height, width), (down, across) = input.shape[2:], pair(least)
        if height < down or width < across:
            raise ValueError(f"input of {layer} must have at least {down}×{across} pixels, got {height}×{width}")


def fits(layer: str, input: Tensor, weight: Tensor, stride: IntOrPair, padding: Padding, dilation: IntOrPair) -> None:
    """Images [B, C, H, W] into which the kernel of `weight` [O, C, KH, KW] fits."""
    if not isinstance(input, torch.fx.Proxy):
        size_after(layer, input, weight, stride, padding, dilation)


def size_after(
    layer: str, input: Tensor, weight: Tensor, stride: IntOrPair, padding: Padding, dilation: IntOrPair
) -> Pair:
    """As `fits`, with height and width of the output."""
    try:
        return output_size(input.shape[2:], weight.shape[2:], stride, padding, dilation)
    except ValueError as problem:
        raise ValueError(f"{layer}: {problem}") from None


def divides(name: str, value: int, **channels: int) -> None:
    """A number of groups that divides each of `channels`."""
    whole(name, value)
    if any(count % value for count in channels.values()):
        given = " and ".join(f"{other}={count}" for other, count in channels.items())
        raise ValueError(f"{name} must divide {given}, got {value}")


def as_array(value: Any) -> np.ndarray:
    """A tensor, or what numpy takes, as an array."""
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def numbers(name: str, value: Any, shape: Shape, floats: bool = False) -> np.ndarray:
    """Finite numbers of a shape, as nested lists, an array or a tensor; with `floats` as they are, else in float64."""
    try:
        values = as_array(value) if floats else as_array(value).astype(float)
    except (TypeError, ValueError):  # ragged lists, and values that are not numbers
        values = np.array(None)
    finite = np.issubdtype(values.dtype, np.floating) and np.isfinite(values).all()
    if not finite or not values.size or not _fits(values.shape, shape):
        kind = "floats" if floats else "numbers"
        came = f"shape {values.shape}" if finite else _came(value)
        raise ValueError(f"{name} must hold finite {kind} of shape {_sides(shape)}, got {came}")
    return values


def picture(name: str, value: Any, shape: Shape) -> np.ndarray:
    """A float picture in [0, 1] of a shape, as whole numbers from 0 to 255."""
    pixels = numbers(name, value, shape, floats=True)
    if pixels.min() < 0 or pixels.max() > 1:
        raise ValueError(f"{name} must lie in [0, 1], got {pixels.min():g} to {pixels.max():g}")
    return np.round(pixels * 255).astype(np.uint8)


def position(name: str, value: Any, height: int, width: int) -> list[int]:
    """A row and a column inside `height`×`width`."""
    place = list(value)
    sides = (height, width)
    if len(place) != 2 or not all(is_whole(at) and 0 <= at < side for at, side in zip(place, sides, strict=True)):
        raise ValueError(f"{name} must be a row and a column inside {height}×{width}, got {place!r}")
    return place


def _either(values: Collection[Any]) -> str:
    """The values in words: 0 to 8, or "a", "b" or "c"."""
    if isinstance(values, range):
        return f"{values[0]} to {values[-1]}"
    *others, last = (f'"{value}"' if isinstance(value, str) else str(value) for value in values)
    return f"{', '.join(others)} or {last}" if others else last


def _sides(shape: Shape) -> str:
    """The shape in words: [3, H, W], [1 to 4, 3]."""
    return f"[{', '.join(str(n) if isinstance(n, int | str) else _either(n).replace(', ', ' or ') for n in shape)}]"


def _is_dense(value: Tensor) -> bool:
    """Whether a tensor is neither sparse nor quantised: no operator of the package takes such."""
    return value.layout is torch.strided and not value.is_quantized


def _fits(found: Sequence[int], shape: Shape) -> bool:
    if len(found) != len(shape):
        return False
    for m, n in zip(found, shape, strict=True):
        if not (isinstance(n, str) or m == n or (isinstance(n, tuple | range) and m in n)):
            return False
    return True


def _came(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, np.ndarray | Tensor) else repr(value)
