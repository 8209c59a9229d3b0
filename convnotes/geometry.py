"""The arithmetic that all layers share: pairs of sizes, the size of what comes out, and checks of what comes in.

    H_out = ⌊(H + 2·p − d·(k − 1) − 1) / s⌋ + 1

Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016, arXiv:1603.07285.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict, cast

import torch
from torch import Tensor, nn

Pair = tuple[int, int]
IntOrPair = int | Sequence[int]
PaddingMode = Literal["same", "valid"]
Padding = IntOrPair | PaddingMode
Reach = tuple[tuple[int, int, int], tuple[int, int, int]]  # (before, after, stride) of each axis
_INTS = (int, torch.SymInt)  # a SymInt is a size that torch.export has left open


class Factory(TypedDict, total=False):
    """Where and as what a layer makes its parameters."""

    device: torch.device | str | None
    dtype: torch.dtype | None


def pair(value: IntOrPair, name: str = "value", minimum: int = 0) -> Pair:
    """`value` as (vertical, horizontal): an int stands for both.

    Raises `TypeError` for anything that is not an int or two ints, and `ValueError` for a number below `minimum`
    or a sequence that does not hold exactly two.
    """
    if isinstance(value, _INTS) and not isinstance(value, bool):
        both: tuple[int, ...] = (value, value)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        both = tuple(value)
        if len(both) != 2:
            raise ValueError(f"{name} must be an int or two ints (vertical, horizontal), got {len(both)}: {value!r}")
        if any(not isinstance(v, _INTS) or isinstance(v, bool) for v in both):
            raise TypeError(f"{name} must hold ints, got {value!r}")
    else:
        raise TypeError(f"{name} must be an int or two ints (vertical, horizontal), got {value!r}")
    if min(both) < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}")
    return both[0], both[1]


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
    """Padding as ((top, bottom), (left, right)); the strings mean what they mean to `torch.nn.Conv2d`.

    "same" puts the odd pixel of an even kernel at the bottom and the right, and is refused, as torch refuses it,
    for a stride above 1.
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
    """Height and width in pixels of what a convolution gives for an input of `input_size` pixels.

    Arguments as in `torch.nn.Conv2d`. Raises `ValueError` where the dilated kernel does not fit into the padded
    input, so that no place is left to put it.
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


def check_images(input: Tensor, weight: Tensor, in_channels: int, layer: str) -> None:
    """Refuse an input that a layer with `in_channels` and `weight` cannot take, before any kernel runs.

    Raises `TypeError` for what is not a tensor and `ValueError` for a wrong number of dimensions, channels, a dtype
    or a device that does not fit the weight; each says what came and what was needed. Under autocast the dtype is
    autocast's business. Inside a `torch.fx` trace there is nothing to check yet.
    """
    if isinstance(input, torch.fx.Proxy):
        return
    if not isinstance(input, Tensor):
        raise TypeError(f"{layer} needs a tensor of images [B, {in_channels}, H, W], got {type(input).__name__}")
    if input.dim() != 4:
        raise ValueError(f"{layer} needs images [B, {in_channels}, H, W], got shape {tuple(input.shape)}")
    if input.shape[1] != in_channels:
        raise ValueError(
            f"{layer} needs {in_channels} channels in dimension 1, got {input.shape[1]} (shape {tuple(input.shape)})"
        )
    if input.device != weight.device:
        raise ValueError(f"{layer} has its weights on {weight.device}, but the input is on {input.device}")
    if input.dtype != weight.dtype and not torch.is_autocast_enabled(input.device.type):
        raise ValueError(f"{layer} has weights of {weight.dtype}, but the input is {input.dtype}")


def weight_of(layer: nn.Module) -> Tensor:
    """The weight of a layer inside another, for `check_images`; torch leaves open that it is a tensor."""
    return cast(Tensor, layer.weight)


def check_fits(
    input: Tensor, weight: Tensor, layer: str, stride: IntOrPair, padding: Padding, dilation: IntOrPair
) -> None:
    """Refuse images [B, C, H, W] into which the kernel of `weight` [O, C, KH, KW] does not fit, with `ValueError`."""
    if not isinstance(input, torch.fx.Proxy):
        try:
            output_size(input.shape[2:], weight.shape[2:], stride, padding, dilation)
        except ValueError as problem:
            raise ValueError(f"{layer}: {problem}") from None


def check_least_size(input: Tensor, least: int, layer: str) -> None:
    """Refuse images [B, C, H, W] with a side shorter than `least` pixels, with `ValueError`."""
    if not isinstance(input, torch.fx.Proxy) and min(input.shape[2:]) < least:
        height, width = input.shape[2:]
        raise ValueError(f"{layer} needs images of at least {least}×{least} pixels, got {height}×{width}")


def check_channels(**channels: int) -> None:
    """Refuse channel counts that are not positive ints, by name."""
    for name, value in channels.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an int, got {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
