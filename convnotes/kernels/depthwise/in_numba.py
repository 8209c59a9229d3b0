"""The gradients of a depthwise convolution of stride 1 on the CPU, compiled by numba::

    dx[b,c,i,j] = Σ_{u,v} w[c,u,v] · g[b, c, i + p − u·d, j + p − v·d]
    dw[c,u,v]   = Σ_{b,i,j} g[b,c,i,j] · x[b, c, i − p + u·d, j − p + v·d]

A plane is copied with its padding, so that for each tap all its positions are one run of memory. For dx some vectors
of positions stay in registers while the taps run; for dw the sums of some taps do while the positions run. Threads take
channels, and all sums run in one order: the same bits on any number of threads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convnotes.kernels.cpu.jobs import run
from convnotes.kernels.depthwise import loops
from convnotes.kernels.depthwise.plane import Plane, Sizes


def backward(
    grad: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None, plane: Plane, needed: tuple[bool, ...]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The gradients of input `[B, C, H, W]`, weight `[C, 1, KH, KW]` and bias, right where `needed`.

    The padding is at most dilation·(kernel − 1) on each side, and the weight is finite.
    """
    by_input = torch.empty(input.shape, dtype=input.dtype)
    by_weight = torch.empty(weight.shape, dtype=weight.dtype)
    if any(needed[:2]):
        tensors = [t.contiguous() for t in (grad, input, weight, by_input, by_weight)]
        sizes = Sizes._make((*input.shape, *grad.shape[2:], *weight.shape[2:], *plane.padding, *plane.dilation))
        run(loops.channels, input.dtype, input.shape[1], torch.get_num_threads(), *tensors, sizes, *needed[:2])
    return by_input, by_weight, grad.sum((0, 2, 3)) if needed[2] else None
