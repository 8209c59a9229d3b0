"""The adder's scores of images and templates that are rounded to the same 256 values::

    q(v) = clamp(round(v / scale) + zero_point, 0, 255)
    y[b,o,i,j] = bias[o] − scale · Σ_{c,u,v} | q(x[b, c, i', j']) − q(w[o,c,u,v]) |      i', j' as in `adder.operator`

The sum is a whole number, and exact on either way: so the results are the same to the bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convnotes.kernels import backend
from convnotes.kernels.adder.operator import Contraction, contract
from convnotes.kernels.transforms import watched

_EXACT = 2**15  # taps up to which float32 holds every sum of bytes, and twice that sum: 2 · 255 · 2¹⁵ < 2²⁴


def quantise(values: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """q(v), whole numbers in float32."""
    return ((values.float() / scale).round() + zero_point).clamp(0, 255)


def scores(
    input: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, zero_point: Tensor, contraction: Contraction
) -> Tensor:
    """`input` `[B, C, H, W]` and quantised `weight` `[O, C/G, KH, KW]` → float32 `[B, O, H_out, W_out]`, no gradient.

    Images are taken to be finite; what a NaN becomes is not defined.
    """
    input, bias, scale = input.detach(), bias.detach().float(), scale.float()
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing() or watched(input, weight)
    if not traced and input.dtype == torch.float32 and backend.chosen("adder", (input,)) == "numba":
        from convnotes.kernels.quantized_adder import in_numba, loops

        if loops.POSSIBLE:
            return in_numba.scores(input, weight, bias, scale, zero_point, contraction)
    wide = torch.float32 if weight[0].numel() <= _EXACT else torch.float64
    pixels = quantise(input, scale, zero_point) - zero_point  # a pixel outside the image is then 0
    templates = weight.to(wide) - zero_point
    sums = contract(pixels.to(wide), templates, None, None, None, contraction).float()
    return sums * scale + bias.view(1, -1, 1, 1)
