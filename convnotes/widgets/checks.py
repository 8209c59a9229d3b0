"""What several widgets ask of their state and of their pictures, refused in the same words."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch


def whole(value: Any) -> bool:
    """Whether a value is an int; a bool is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def position(name: str, value: Any, height: int, width: int) -> list[int]:
    """A row and a column inside `height`×`width`."""
    place = list(value)
    if len(place) != 2 or not all(
        whole(at) and 0 <= at < side for at, side in zip(place, (height, width), strict=True)
    ):
        raise ValueError(f"{name} must be a row and a column inside {height}×{width}, got {place!r}")
    return place


def odd(name: str, value: int, least: int, most: int) -> int:
    """An odd number from `least` to `most`."""
    if not least <= value <= most or value % 2 == 0:
        raise ValueError(f"{name} must be odd and {least} to {most}, got {value!r}")
    return value


def one_of(name: str, value: Any, allowed: Collection[Any], words: str = "") -> Any:
    """One of the values in `allowed`; `words` describe them, where listing them would be long."""
    if value not in allowed:
        raise ValueError(f"{name} must be {words or 'one of ' + ', '.join(map(str, allowed))}, got {value!r}")
    return value


def numbers(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Finite numbers in nested lists of this shape, as a float64 array."""
    try:
        values = np.array(value, float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold numbers of shape {shape}, got {value!r}") from None
    if values.shape != shape or not np.isfinite(values).all():
        raise ValueError(f"{name} must hold finite numbers of shape {shape}, got {value!r}")
    return values


def as_array(value: Any) -> np.ndarray:
    """A tensor, or what numpy takes, as an array."""
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def eight_bits(pixels: np.ndarray, what: str = "photograph") -> np.ndarray:
    """Pixels in [0, 1] as whole numbers from 0 to 255."""
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(f"the {what}'s values must lie in [0, 1], got {pixels.min():g} to {pixels.max():g}")
    return np.round(pixels * 255).astype(np.uint8)


def photograph(image: Any, widget: str) -> np.ndarray:
    """A float photograph `[3, H, W]` in [0, 1] as whole numbers from 0 to 255."""
    pixels = as_array(image)
    if pixels.ndim != 3 or pixels.shape[0] != 3 or not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"{widget} needs a float photograph [3, H, W], got {pixels.dtype} {pixels.shape}")
    return eight_bits(pixels)
