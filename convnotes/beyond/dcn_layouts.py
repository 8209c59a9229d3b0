"""What the authors' DCNv3 and DCNv4 are given, in the order of this package.

Theirs count the taps down a column first, and give the offset of a tap as (x, y); their maps are `[B, H, W, C]`. DCNv4
takes one tensor: the offsets and then the masks of each group in turn, filled up to a multiple of 8 channels. The
arithmetic is otherwise that of `deform_aggregate2d`, with `padding` as (vertical, horizontal). The plain PyTorch that
comes with DCNv3 takes the two the other way round.
Wang et al. 2023, arXiv:2211.05778, and Xiong et al. 2024, arXiv:2401.06197: the code at OpenGVLab/InternImage and
OpenGVLab/DCNv4 on GitHub.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from convnotes import checks
from convnotes.geometry import IntOrPair, Pair, pair

# name of a part of their layers → ours; the offsets and the masks are apart
_NAMES = {
    "dw_conv.0": "depthwise",
    "dw_conv.1.1": "norm",
    "offset_mask_dw": "depthwise",
    "input_proj": "value_proj",
    "value_proj": "value_proj",
    "output_proj": "output_proj",
}


def from_dcnv3(
    offset: Tensor, mask: Tensor, kernel_size: IntOrPair, groups: int, remove_center: bool = False
) -> tuple[Tensor, Tensor]:
    """The offset and the mask of DCNv3's operator as those of `deform_aggregate2d`.

    Its images `[B, H, W, C]` become `x.permute(0, 3, 1, 2)`, which is channels last without a copy.

    Args:
        offset: `[B, H_out, W_out, G·K·2]`.
        mask: `[B, H_out, W_out, G·K]`.
        kernel_size: (height, width) of the grid of taps.
        groups: G, their `group`.
        remove_center: whether the middle tap is left out.

    Raises:
        TypeError, ValueError: for an argument or a shape that does not fit.

    Example:
        >>> offset, mask = from_dcnv3(torch.zeros(1, 5, 7, 36), torch.ones(1, 5, 7, 18), 3, groups=2)
        >>> offset.shape, mask.shape
        (torch.Size([1, 36, 5, 7]), torch.Size([1, 18, 5, 7]))
    """
    of_offsets, of_masks = _rows_3(pair(kernel_size, "kernel_size", 1), groups, remove_center)
    checks.tensor("offset of from_dcnv3", offset, ("B", "H_out", "W_out", len(of_offsets)))
    checks.tensor("mask of from_dcnv3", mask, (*offset.shape[:3], len(of_masks)), offset)
    return offset[..., of_offsets].permute(0, 3, 1, 2), mask[..., of_masks].permute(0, 3, 1, 2)


def from_dcnv4(
    offset_mask: Tensor, kernel_size: IntOrPair, groups: int, remove_center: bool = False
) -> tuple[Tensor, Tensor]:
    """The one tensor of DCNv4's operator as offset and mask of `deform_aggregate2d`.

    Args:
        offset_mask: `[B, H_out, W_out, 8·⌈3·G·K/8⌉]`.
        kernel_size, groups, remove_center: as in `from_dcnv3`.

    Raises:
        TypeError, ValueError: for an argument or a shape that does not fit.

    Example:
        >>> offset, mask = from_dcnv4(torch.zeros(1, 5, 7, 56), 3, groups=2)
        >>> offset.shape, mask.shape
        (torch.Size([1, 36, 5, 7]), torch.Size([1, 18, 5, 7]))
    """
    of_offsets, of_masks = _rows_4(pair(kernel_size, "kernel_size", 1), groups, remove_center)
    channels = -(-3 * len(of_masks) // 8) * 8
    checks.tensor("offset_mask of from_dcnv4", offset_mask, ("B", "H_out", "W_out", channels))
    return offset_mask[..., of_offsets].permute(0, 3, 1, 2), offset_mask[..., of_masks].permute(0, 3, 1, 2)


def from_dcn_state(
    state: Mapping[str, Tensor], kernel_size: IntOrPair, groups: int, remove_center: bool = False
) -> dict[str, Tensor]:
    """The `state_dict` of an authors' layer, DCNv3 or DCNv4, as one of `DeformableAggregation2d`.

    Args:
        state: that of one layer, whose norm has its channels last; without `center_feature_scale`.
        kernel_size, groups, remove_center: as in `from_dcnv3`.

    Raises:
        ValueError: for a name that no part here stands for.

    Example:
        >>> state = {"offset_mask.weight": torch.zeros(56, 16), "offset_mask.bias": torch.zeros(56)}
        >>> [(name, tuple(t.shape)) for name, t in from_dcn_state(state, 3, groups=2).items()]
        [('conv_offset.weight', (54, 16, 1, 1)), ('conv_offset.bias', (54,))]
    """
    kernel, found = pair(kernel_size, "kernel_size", 1), {}
    for name, tensor in state.items():
        part, _, kind = name.rpartition(".")
        if part == "offset_mask":
            of_offsets, of_masks = _rows_4(kernel, groups, remove_center)
            own, tensor = "conv_offset", tensor[[*of_offsets, *of_masks]]
        elif part == "offset":
            of_offsets, of_masks = _rows_3(kernel, groups, remove_center)
            own, tensor = "conv_offset", torch.cat([tensor[of_offsets], state[f"mask.{kind}"][of_masks]])
        elif part == "mask":
            continue
        else:
            own = _NAMES[checks.one_of("a name of state", part, (*_NAMES, "offset", "mask", "offset_mask"))]
        found[f"{own}.{kind}"] = tensor[:, :, None, None] if tensor.dim() == 2 else tensor
    return found


def tap_count(kernel: Pair, remove_center: bool) -> int:
    """K, the number of taps of a kernel; without its middle it must have one."""
    if not remove_center:
        return kernel[0] * kernel[1]
    if kernel[0] % 2 == 0 or kernel[1] % 2 == 0 or kernel == (1, 1):
        raise ValueError(f"remove_center needs a kernel of odd sides, larger than 1×1, got {kernel[0]}×{kernel[1]}")
    return kernel[0] * kernel[1] - 1


def _rows_3(kernel: Pair, groups: int, remove_center: bool) -> tuple[list[int], list[int]]:
    """Which of DCNv3's channels of offsets, and which of its channels of masks, each of ours is."""
    K, numbers = tap_count(kernel, remove_center), _numbers(kernel, remove_center)
    of_masks = [g * K + k for g in range(groups) for k in numbers]
    return [2 * n + axis for n in of_masks for axis in (1, 0)], of_masks


def _rows_4(kernel: Pair, groups: int, remove_center: bool) -> tuple[list[int], list[int]]:
    """Which of DCNv4's channels each of ours is."""
    K, numbers = tap_count(kernel, remove_center), _numbers(kernel, remove_center)
    of_offsets = [3 * K * g + 2 * k + axis for g in range(groups) for k in numbers for axis in (1, 0)]
    return of_offsets, [3 * K * g + 2 * K + k for g in range(groups) for k in numbers]


def _numbers(kernel: Pair, remove_center: bool) -> list[int]:
    """The number that the authors give each of our taps."""
    KH, KW = kernel
    taps = [(u, v) for u in range(KH) for v in range(KW)]
    if remove_center:
        del taps[len(taps) // 2]
    theirs = {tap: n for n, tap in enumerate(sorted(taps, key=lambda tap: tap[::-1]))}
    return [theirs[tap] for tap in taps]
