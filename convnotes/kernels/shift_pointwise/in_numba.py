"""The derivatives of T on the CPU, compiled by numba: the shift costs next to nothing beside the 1×1 convolution.

In channels last a run of channels that move alike is a run of memory. The rows `[positions, C]` of a tile of positions
are gathered from the pixels that they see, and one product with the weight makes their outputs; the next pixels are
fetched meanwhile. The gradient of the input takes the product first and scatters its rows, each number to a place of
its own. That of the weight is summed over parts of the positions, whose number follows from the shapes alone, and then
over the parts: all results have the same bits on any number of threads.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, get_num_threads

from convnotes.kernels.cpu.jobs import run
from convnotes.kernels.cpu.product import packed
from convnotes.kernels.cpu.vectors import lanes
from convnotes.kernels.shift_pointwise import loops
from convnotes.kernels.shift_pointwise.operator import Mixing

_TILE = 96  # positions whose rows lie in the cache
_SUMS = 4 * 2**20  # bytes of the sums of all parts


def derivative(
    input: Tensor | None, weight: Tensor | None, sent: Tensor | None, displacements: Tensor, mixing: Mixing
) -> Tensor:
    """That by the factor which is None, at the other two."""
    result = mixing.empty(input, weight, sent, displacements)
    lane, threads, moves = lanes(result.element_size()), get_num_threads(), displacements.contiguous()
    (B, O, h, w), C = (result if sent is None else sent).shape, len(displacements)
    places, sizes = B * h * w, loops.Sizes(C, O, *mixing.size, h, w, mixing.stride)

    def tiles(loop: Any, *given: Any) -> None:
        run(loop, result.dtype, places, threads, _TILE, *given, sizes, grain=_TILE)

    if weight is not None:
        out = result.permute(0, 2, 3, 1)
        last = out if out.is_contiguous() else out.new_empty(out.shape)
        if input is not None:
            tiles(loops.outputs, _last(input), packed(weight.t()), moves, last)
        elif sent is not None:
            if mixing.stride > 1:
                last.zero_()
            tiles(loops.by_input, _last(sent), packed(F.pad(weight, (0, -C % lane))), moves, last)
        if last is not out:
            out.copy_(last)
        return result
    assert input is not None, "one of the three factors is left out"
    assert sent is not None, "one of the three factors is left out"
    width = O + -O % lane
    most = max(1, _SUMS // (C * width * result.element_size()))  # parts
    part = max(1, -(-places // (most * _TILE))) * _TILE
    sums = result.new_empty(max(1, -(-places // part)), C, width)
    given = (_TILE, part, places, _last(input), _last(sent), moves, sums, sizes)
    run(loops.by_weight, result.dtype, len(sums), threads, *given)
    return result.copy_(sums.sum(0)[:, :O].t())


def _last(map: Tensor) -> Tensor:
    """`[B, C, H, W]` → `[B, H, W, C]`, without a copy where it lies so."""
    return map.permute(0, 2, 3, 1).contiguous()
