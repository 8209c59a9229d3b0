"""The adder's scores in operators that every ONNX runtime has: the taps one after the other."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from convnotes.kernels.adder.operator import Contraction, Factor


def contract(
    input: Tensor, weight: Tensor, at_output: Factor, at_input: Factor, at_weight: Factor, contraction: Contraction
) -> Tensor:
    """The open output alone, which a forward pass needs. Makes a tensor outputs × channels × positions for each tap."""
    _, _, (sy, sx), (top, bottom, left, right), (dy, dx), groups, negative = contraction
    height, width = contraction.places(input, weight)
    padded = F.pad(input, (left, right, top, bottom)).unflatten(1, (groups, 1, -1))  # [B, G, 1, C, H, W]
    kernel = weight.unflatten(0, (groups, -1))[..., None, None]  # [G, O, C, KH, KW, 1, 1]
    total = None
    for u in range(weight.shape[2]):
        rows = padded[..., u * dy : u * dy + (height - 1) * sy + 1 : sy, :]
        for v in range(weight.shape[3]):
            seen = rows[..., v * dx : v * dx + (width - 1) * sx + 1 : sx]
            distance = (seen - kernel[:, :, :, u, v]).abs().sum(3)  # [B, G, O, h, w]
            total = distance if total is None else total + distance
    assert total is not None, "a kernel has a tap"
    return (-total if negative else total).flatten(1, 2)
