"""What the Triton kernels share: launching one on the device of its tensors, the sizes of tiles, the types of sums.

The sizes are chosen by reasoning for an H100 or H200 (132 multiprocessors) and have never been measured. Programs are
numbered along one axis, as the others end at 65535. No size of a tile changes the order of a sum but where sums are
split (`splits`), and there the number of parts follows from the shapes alone: the same bits on every device.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_PROGRAMS = 264  # two per multiprocessor
_TRITON = {
    torch.float16: tl.float16,
    torch.bfloat16: tl.bfloat16,
    torch.float32: tl.float32,
    torch.float64: tl.float64,
}


def launch(kernel, programs: int, where: Tensor, /, *tensors: Tensor, **numbers: Any) -> None:
    """Run `programs` instances of `kernel` on the device of `where`; none at all is fine."""
    if programs:
        with torch.cuda.device_of(where):
            kernel[(programs,)](*tensors, **numbers, enable_fp_fusion=True)


def strides(**tensors: Tensor) -> dict[str, int]:
    """Those of maps [B, C, H, W], as `name_b`, `name_c`, `name_h`, `name_w`."""
    return {f"{name}_{axis}": s for name, t in tensors.items() for axis, s in zip("bchw", t.stride(), strict=True)}


@triton.jit
def places_of(first, H, W, SIZE: tl.constexpr, WIDE: tl.constexpr):
    """SIZE positions from number `first` on: (number, image, row, column), the numbers in 32 bits unless they are WIDE.

    A division in 64 bits is a long subroutine. What is multiplied by a stride has to be widened before.
    """
    if WIDE:
        p = first + tl.arange(0, SIZE).to(tl.int64)
    else:
        p = first.to(tl.int32) + tl.arange(0, SIZE)
    return p, p // W // H, p // W % H, p % W


@triton.jit
def rows_of(row_tiles, groups, O, ROWS: tl.constexpr):
    """ROWS output channels of this program: (number in all groups, is it in its group?, group, tile of positions)."""
    program = tl.program_id(0)
    block, rest = program % row_tiles, program // row_tiles
    group, tile = rest % groups, rest // groups
    n = block * ROWS + tl.arange(0, ROWS)
    return group.to(tl.int64) * O + n, n < O, group, tile


def wide(places: int) -> bool:
    """Do the numbers of positions, rounded up to tiles, need 64 bits?"""
    return places >= 2**31 - 2**20


def ceil_div(size: int, part: int) -> int:
    return -(-size // part)


def block(size: int, most: int, least: int = 1) -> int:
    """The power of two that holds `size`, between `least` and `most`."""
    return max(least, min(most, triton.next_power_of_2(size)))


def places_a_tile(places: int, others: int, most: int, least: int = 16) -> int:
    """`most` positions per tile, or fewer, down to `least`, until programs are enough; `others` tiles beside each."""
    size = most
    while size > least and ceil_div(places, size) * others < _PROGRAMS:
        size //= 2
    return size


def splits(places: int, others: int, least: int = 1024) -> int:
    """Parts into which a sum over `places` is split, of `least` positions or more each, so that programs are enough."""
    return max(1, min(ceil_div(places, least), ceil_div(_PROGRAMS, others)))


def sum_type(dtype: torch.dtype) -> tl.dtype:
    """Sums of float64 are float64, all others float32."""
    return tl.float64 if dtype == torch.float64 else tl.float32


def operand_type(tensor: Tensor) -> tl.dtype:
    """What a matrix product takes its factors in: their own type; float32 in the interpreter, for want of bfloat16."""
    return _TRITON[tensor.dtype] if tensor.is_cuda else tl.float32


def product_tile(tensor: Tensor) -> tuple[int, int]:
    """Positions of a matrix product's tile, at most, and terms per step; 64 rows beside them leave no sum in memory."""
    return (64, 16) if tensor.dtype == torch.float32 else (128, 32)


def precision(convolution: bool) -> str:
    """How float32 factors are multiplied: as torch lets its own convolutions, or else its matrix products, do it."""
    if hasattr(torch.backends.cudnn, "conv"):  # torch 2.9 and later, where reading allow_tf32 may raise
        settings = torch.backends.cudnn.conv if convolution else torch.backends.cuda.matmul
        return "tf32" if settings.fp32_precision == "tf32" else "ieee"
    settings = torch.backends.cudnn if convolution else torch.backends.cuda.matmul
    return "tf32" if settings.allow_tf32 else "ieee"
