"""The arithmetic that all layers share: pairs of sizes, padding, and the size of the output::

    H_out = ⌊(H + 2·p − d·(k − 1) − 1) / s⌋ + 1

Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016, arXiv:1603.07285.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict, TypeGuard

import numpy as np
import torch

Pair = tuple[int, int]
IntOrPair = int | Sequence[int]
PaddingMode = Literal["same", "valid"]
Padding = IntOrPair | PaddingMode
Reach = tuple[tuple[int, int, int], tuple[int, int, int]]  # (before, after, stride) of each axis


class Factory(TypedDict, total=False):
    """Device and dtype of a layer's parameters."""

    device: torch.device | str | None
    dtype: torch.dtype | None


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is an int, numpy's among them, or a size that a trace has left open; a bool is none."""
    if isinstance(value, (int, torch.SymInt, np.integer)):
        return not isinstance(value, bool)
    return torch.jit.is_tracing() and isinstance(value, torch.Tensor)


def not_huge(name: str, value: int) -> None:
    """A number that a size can be: torch has no larger ones on all devices, and no memory holds such a tensor."""
    if value > 2**31 - 1:
        raise ValueError(f"{name} must be at most 2147483647, got {value!r}")


def pair(value: IntOrPair, name: str = "value", minimum: int | None = 0) -> Pair:
    """`value` as (vertical, horizontal): an int stands for both.

    Raises `TypeError` for anything that is not an int or two ints, and `ValueError` for a number below `minimum`
    (None: any will do) or a sequence that does not hold exactly two.
    """
    if is_whole(value):
        both: tuple[int, ...] = (value, value)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        both = tuple(value)
        if len(both) != 2:
            raise ValueError(f"{name} must be an int or two ints (vertical, horizontal), got {len(both)}: {value!r}")
        if not all(is_whole(v) for v in both):
            raise TypeError(f"{name} must hold ints, got {value!r}")
    else:
        raise TypeError(f"{name} must be an int or two ints (vertical, horizontal), got {value!r}")
    if minimum is not None and min(both) < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}")
    not_huge(name, max(both))
    return _plain(both[0]), _plain(both[1])


def _plain(value: int) -> int:
    return int(value) if isinstance(value, np.integer) else value  # a size of a trace stays what it is


def checked_padding(padding: IntOrPair | str) -> Pair | PaddingMode:
    """`padding` as a layer keeps it: (vertical, horizontal), or one of the strings of `torch.nn.Conv2d` as it is."""
    if padding == "valid":
        return "valid"
    if padding == "same":
        return "same"
    if isinstance(padding, str):
        raise ValueError(f'padding must be an int, two ints, "same" or "valid", got {padding!r}')
    return pair(padding, "padding")


def resolve_padding(
    padding: IntOrPair | str, kernel_size: Sequence[int], dilation: Sequence[int], stride: Sequence[int]
) -> tuple[Pair, Pair]:
    """Padding as numbers of pixels, ((top, bottom), (left, right)).

    The strings mean what they mean to `torch.nn.Conv2d`: "valid" is no padding, and "same" keeps the size, with the odd
    pixel of an even kernel at the bottom and on the right.

    Args:
        padding: pixels on every side, one number or (vertical, horizontal); or "same" or "valid".
        kernel_size: (height, width).
        dilation: (vertical, horizontal) distance between taps.
        stride: (vertical, horizontal); "same" needs (1, 1).

    Raises:
        TypeError: for a padding that holds anything but ints.
        ValueError: for a negative padding, an unknown string, and "same" with a stride above 1.

    Example:
        >>> from convnotes.geometry import resolve_padding
        >>> resolve_padding("same", (3, 4), (1, 1), (1, 1))
        ((1, 1), (1, 2))
    """
    padding = checked_padding(padding)
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        if tuple(stride) != (1, 1):
            raise ValueError(f'padding="same" needs stride 1, got stride {stride}')
        rows, columns = (d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True))
        return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)
    vertical, horizontal = padding
    return (vertical, vertical), (horizontal, horizontal)


def output_size(
    input_size: IntOrPair,
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
) -> Pair:
    """Height and width in pixels of the output of a convolution, by the equation above.

    Args:
        input_size: height and width of the input; in this and the next arguments one int stands for both axes.
        kernel_size: height and width of the kernel.
        stride: step of the kernel in pixels.
        padding: pixels on every side, or "same" or "valid" as in `torch.nn.Conv2d`.
        dilation: distance between the taps.

    Raises:
        TypeError: for a size that is neither an int nor two ints.
        ValueError: for a size below its minimum, and where the dilated kernel does not fit into the padded input.

    Example:
        >>> from convnotes.geometry import output_size
        >>> output_size(224, kernel_size=7, stride=2, padding=3)
        (112, 112)
        >>> output_size((5, 9), kernel_size=3, dilation=2)
        (1, 5)
    """
    size, k = pair(input_size, "input_size"), pair(kernel_size, "kernel_size", 1)
    s, d = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    pads = resolve_padding(padding, k, d, s)
    padded = [n + before + after for n, (before, after) in zip(size, pads, strict=True)]
    reach = [di * (ki - 1) + 1 for ki, di in zip(k, d, strict=True)]
    if padded[0] < reach[0] or padded[1] < reach[1]:
        raise ValueError(
            f"a kernel of {k[0]}×{k[1]} with dilation {d} spans {reach[0]}×{reach[1]} pixels and does not fit into "
            f"the padded input of {padded[0]}×{padded[1]}"
        )
    return (padded[0] - reach[0]) // s[0] + 1, (padded[1] - reach[1]) // s[1] + 1


def kernel_reach(
    kernel_size: Sequence[int], stride: Sequence[int], padding: IntOrPair | str, dilation: Sequence[int]
) -> Reach:
    """How far a layer with one kernel looks, for `convnotes.measure.receptive_field`."""
    (top, _), (left, _) = resolve_padding(padding, kernel_size, dilation, stride)
    rows, columns = (d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True))
    return (top, rows - top, stride[0]), (left, columns - left, stride[1])
