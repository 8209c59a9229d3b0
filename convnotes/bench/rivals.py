"""What one would use instead: each written from its published definition, as its authors or its users compute it.

`torchvision.ops.deform_conv2d` is taken from torchvision itself, where that is installed with its compiled operators.
"""

from __future__ import annotations

import importlib
import os
import shutil
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convnotes.checks import obstacle


class _BroadcastAdder(torch.autograd.Function):
    """−Σ_k |w[o,k] − x[k,p]| with all O·K·P differences at once, `[O, K]` and `[K, P]` → `[O, P]`.

    Chen et al. 2020, arXiv:1912.13200, equation 1, and the gradients of section 3.2, without the scaling of the step,
    in the form of the authors' released code.
    """

    @staticmethod
    def forward(ctx: Any, templates: Tensor, patches: Tensor) -> Tensor:
        ctx.save_for_backward(templates, patches)
        return -(templates[:, :, None] - patches[None]).abs().sum(1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        templates, patches = ctx.saved_tensors
        by_templates = ((patches[None] - templates[:, :, None]) * grad[:, None]).sum(2)
        by_patches = ((templates[:, :, None] - patches[None]).clamp(-1, 1) * grad[:, None]).sum(0)
        return by_templates, by_patches


def adder2d(x: Tensor, weight: Tensor) -> Tensor:
    """The adder by unfolding and broadcasting; 3×3, padding 1."""
    B, _, H, W = x.shape
    patches = F.unfold(x, 3, padding=1).permute(1, 2, 0).reshape(weight[0].numel(), -1)  # [K, H·W·B]
    return _BroadcastAdder.apply(weight.flatten(1), patches).view(-1, H, W, B).permute(3, 0, 1, 2).contiguous()


def no_torchvision() -> str | None:
    """Why torchvision's operators cannot be called here, or None."""
    without = "torchvision is here without its compiled operators"
    if found := obstacle("torchvision"):
        return found
    return None if importlib.import_module("torchvision").extension._has_ops() else without


def no_compiler(device: str) -> str | None:
    """Why torch.compile cannot make loops for a device here, or None."""
    if torch.device(device).type != "cpu":
        return obstacle("triton")
    named = os.environ.get("CXX")
    found = any(map(shutil.which, [named] if named else ["g++", "clang++", "c++"]))
    return None if found else "there is no C++ compiler"


def deform_conv2d(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """torchvision's own operator; 3×3, padding 1."""
    return importlib.import_module("torchvision").ops.deform_conv2d(x, offset, weight, padding=1, mask=mask)


def deform_aggregate2d(x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
    """The aggregation by `grid_sample`, as its authors compute it without their kernels; 3×3, padding 1.

    All samples of a group are stored, multiplied by their masks and summed. Wang et al. 2023, arXiv:2211.05778.
    """
    B, C, H, W = x.shape
    G = mask.shape[1] // 9
    moves = offset.view(B * G, 9, 2, H * W).permute(0, 3, 1, 2)  # [B·G, H·W, K, (y, x)]
    taps = torch.cartesian_prod(torch.arange(-1, 2), torch.arange(-1, 2)).to(x)
    places = torch.cartesian_prod(torch.arange(H), torch.arange(W)).to(x).unsqueeze(1)
    at = (2 * (places + taps + moves) + 1) / x.new_tensor([H, W]) - 1
    samples = F.grid_sample(x.reshape(B * G, C // G, H, W), at.flip(3), align_corners=False)  # [B·G, C/G, H·W, K]
    return (samples * mask.view(B * G, 1, 9, H * W).transpose(2, 3)).sum(3).view(B, C, H, W)


def non_local_gaussian(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax_j(q_i·k_j) g_j by the matrix of all pairs. Wang et al. 2018, arXiv:1711.07971, figure 2."""
    pairs = torch.softmax(query.flatten(2).transpose(1, 2) @ key.flatten(2), 2)
    return _averaged(pairs, value, query)


def non_local_dot(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """q_i·k_j / N by the matrix of all pairs. Wang et al. 2018, section 3.2."""
    pairs = query.flatten(2).transpose(1, 2) @ key.flatten(2)
    return _averaged(pairs / pairs.shape[2], value, query)


def non_local_concat(query: Tensor, key: Tensor, value: Tensor, relation: Tensor) -> Tensor:
    """ReLU(w·[q_i, k_j]) / N as ReLU(a_i + b_j) / N over all pairs: the product with w is taken before the sum."""
    by_query, by_key = relation.chunk(2)
    a, b = by_query @ query.flatten(2), by_key @ key.flatten(2)  # [B, N]
    pairs = torch.relu(a[:, :, None] + b[:, None])
    return _averaged(pairs / pairs.shape[2], value, query)


def non_local_concat_1x1(query: Tensor, key: Tensor, value: Tensor, relation: Tensor) -> Tensor:
    """The same as public code has it: all pairs concatenated, `[B, 2·D, N, N]`, and a 1×1 convolution over them."""
    q, k = query.flatten(2), key.flatten(2)
    N = q.shape[2]
    pairs = torch.cat([q[..., None].expand(-1, -1, -1, N), k[:, :, None].expand(-1, -1, N, -1)], 1)
    pairs = torch.relu(F.conv2d(pairs, relation.view(1, -1, 1, 1)))[:, 0]
    return _averaged(pairs / N, value, query)


def _averaged(pairs: Tensor, value: Tensor, query: Tensor) -> Tensor:
    y = value.flatten(2) @ pairs.transpose(1, 2)  # [B, C, N]
    return y.unflatten(2, query.shape[2:])


def depthwise_separable(x: Tensor, pointwise: Tensor, depthwise: Tensor) -> Tensor:
    """Depthwise 3×3 and 1×1. Howard et al. 2017, arXiv:1704.04861."""
    return F.conv2d(F.conv2d(x, depthwise, padding=1, groups=x.shape[1]), pointwise)


def depthwise(x: Tensor, weight: Tensor, dilation: int = 1) -> Tensor:
    """torch's own depthwise convolution, with "same" padding."""
    return F.conv2d(x, weight, padding=dilation * (weight.shape[2] // 2), dilation=dilation, groups=x.shape[1])
