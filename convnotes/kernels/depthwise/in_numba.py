"""A depthwise convolution of stride 1 on the CPU, and its gradients, compiled by numba::

    y[b,c,i,j]  = β[c] + Σ_{u,v} w[c,u,v] · x[b, c, i − p + u·d, j − p + v·d]
    dx[b,c,i,j] = Σ_{u,v} w[c,u,v] · g[b, c, i + p − u·d, j + p − v·d]
    dw[c,u,v]   = Σ_{b,i,j} g[b,c,i,j] · x[b, c, i − p + u·d, j − p + v·d]

A plane is copied with its padding, so that a tap is one offset for all of its positions. For y and dx some vectors of
positions stay in registers while the taps run; for dw the sums of some taps do while the positions run. Threads take
planes or channels, and all sums run in one order: the same bits on any number of threads. Where torch is fast, y and dx
are its own. Images with channels last are copied to planes and back, which takes little beside many taps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convnotes.kernels.cpu.jobs import run
from convnotes.kernels.depthwise import in_torch, loops
from convnotes.kernels.depthwise.plane import Plane, Sizes, wide_and_dilated


def forward(input: Tensor, weight: Tensor, bias: Tensor | None, plane: Plane) -> Tensor:
    """`[B, C, h, w]`, without derivatives; the padding is nowhere negative."""
    if input.dtype == torch.float32 and not wide_and_dilated(weight.shape[2:], plane.dilation):
        return in_torch.forward(input, weight, bias, plane)
    out = plane.empty(input, weight, bias)
    planes = torch.empty(out.shape, dtype=out.dtype)
    tensors = [t.contiguous() for t in (input, weight, input.new_empty(0) if bias is None else bias, planes)]
    jobs, threads = input.shape[0] * input.shape[1], torch.get_num_threads()
    run(loops.outputs, input.dtype, jobs, threads, *tensors, _sizes(input, out, weight, plane))
    return planes if out.is_contiguous() else out.copy_(planes)


def backward(
    grad: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None, plane: Plane, needed: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of input `[B, C, H, W]`, weight `[C, 1, KH, KW]` and bias where `needed`.

    The padding is at most dilation·(kernel − 1) on each side, and the weight is finite.
    """
    by_input = forward(grad, weight.flip(2, 3), None, plane.turned(weight)) if needed[0] else None
    by_weight = torch.empty(weight.shape, dtype=weight.dtype) if needed[1] else None
    if by_weight is not None:
        tensors, sizes = [t.contiguous() for t in (grad, input, by_weight)], _sizes(input, grad, weight, plane)
        run(loops.by_weight, input.dtype, input.shape[1], torch.get_num_threads(), *tensors, sizes)
    return by_input, by_weight, grad.sum((0, 2, 3)) if needed[2] else None


def _sizes(input: Tensor, out: Tensor, weight: Tensor, plane: Plane) -> Sizes:
    return Sizes._make((*input.shape, *out.shape[2:], *weight.shape[2:], *plane.padding, *plane.dilation))
