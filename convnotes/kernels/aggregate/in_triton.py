"""Deformable aggregation for CUDA, in Triton: a program sums the samples of some channels of an offset group.

It finds the four pixels of a tap around each of its positions and adds their blend to the sums, tap by tap. Backward it
is the deformable convolution's program for a tap, given the gradient of the output as that of the sample.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from convnotes.kernels.aggregate.sampling import Taps
from convnotes.kernels.deform import tiles
from convnotes.kernels.deform.in_triton import Work
from convnotes.kernels.gpu.launch import ceil_div, launch, places_a_tile, strides


def forward(input: Tensor, offset: Tensor, mask: Tensor, taps: Taps) -> Tensor:
    """`[B, C, h, w]`, without derivatives."""
    work, result = _work(input, offset, mask, taps), taps.empty(input, offset)
    steps = ceil_div(work.run, work.numbers["STEP"])
    tile = places_a_tile(work.places, steps * work.G, 64)
    launch(
        *(tiles.aggregate, ceil_div(work.places, tile) * steps * work.G, input),
        *(input, *work.moves, result),
        **work.numbers | strides(result=result) | dict(steps=steps, PLACES=tile),
    )
    return result


def backward(grad: Tensor, *inputs: Any) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of input, offset and mask; that of the input only if it is `needed`."""
    *given, needed = inputs
    return _work(*given).by_samples(grad, needed[0], summed=True)


def _work(input: Tensor, offset: Tensor, mask: Tensor, taps: Taps) -> Work:
    weight = input.new_empty(1).expand(1, input.shape[1], *taps.kernel_size)  # for its shape alone
    return Work(input, offset, weight, mask, taps.sampling)
