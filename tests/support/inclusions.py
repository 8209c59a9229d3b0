"""The inclusions of part 4, and the sizes for all of them; tests/contract/test_lattice.py says what a line holds."""

from __future__ import annotations

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch.func import functional_call

from convnotes import ShiftAdd2d, definitions, deform_aggregate2d, deform_conv2d, involution2d
from convnotes.beyond.dynamic import mixture_conv2d
from convnotes.beyond.shift_add import power_of_two

B, C, O, H, W = 2, 4, 6, 11, 7
x, weight = (B, C, H, W), (O, C, 3, 3)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def norms(scales, biases):
    """A batch norm for each branch, with averages of their own: what `definitions.batch_norm` reads of one."""
    mean = torch.linspace(-1, 1, C, dtype=torch.float64)
    kept = {"running_mean": mean, "running_var": mean.exp(), "eps": 1e-5}
    return [SimpleNamespace(weight=s, bias=b, **kept) for s, b in zip(scales, biases, strict=True)]


def folded(x, kernels, scales, biases, more, groups):
    """Branches of odd kernels, each with one of `norms`, as one convolution."""
    most, weight, bias = max(kernel.shape[3] for kernel in kernels), more, 0
    for kernel, norm in zip(kernels, norms(scales, biases), strict=True):
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        weight = weight + scale.view(-1, 1, 1, 1) * F.pad(kernel, [(most - kernel.shape[3]) // 2] * 4)
        bias = bias + norm.bias - scale * norm.running_mean
    return F.conv2d(x, weight, bias, padding=most // 2, groups=groups)


def each_to_itself(channels: int) -> torch.Tensor:
    """The 3×3 kernel that gives back its input."""
    return F.pad(torch.eye(channels, dtype=torch.float64)[:, :, None, None], [1] * 4)


def shift_add(x, shift, template):
    layer = ShiftAdd2d(C, C, 3, padding=1, bias=False, gradient="exact", dtype=x.dtype)
    return functional_call(layer, {"shift.weight": shift, "add.weight": template}, x)


PART_4 = {
    "convolution ⊂ dynamic": (
        [x, weight],
        lambda x, w: definitions.conv2d(x, w, padding=1),
        lambda x, w, more: mixture_conv2d(
            x, normal(B, 3).softmax(1), [w, w + more, w], None, (1, 1), (1, 1), (1, 1), 1
        ),
        lambda: normal(*weight),
    ),
    "involution ⊂ deformable aggregation": (
        [x, (B, 2, 3, 3, H, W)],
        lambda x, kernels: definitions.involution2d(x, kernels, padding=1),
        lambda x, kernels, more: deform_aggregate2d(
            x, x.new_zeros(B, 36, H, W) + more, kernels.flatten(1, 3), 3, padding=1, groups=2
        ),
        lambda: normal(B, 36, H, W),
    ),
    "deformable aggregation ⊂ deformable v2": (
        [x, (B, 36, H, W), (B, 18, H, W)],
        lambda x, offset, mask: definitions.deform_aggregate2d(x, offset, mask, 3, padding=1, groups=2),
        lambda x, offset, mask, more: deform_conv2d(x, offset, x.new_ones(C, 1, 3, 3) + more, padding=1, mask=mask),
        lambda: normal(C, 1, 3, 3),
    ),
    "partial ⊂ grouped": (
        [x, (2, 2, 3, 3)],
        lambda x, w: definitions.partial_conv2d(x, w),
        lambda x, w, more: F.conv2d(x, torch.cat([w, each_to_itself(2)]) + more, padding=1, groups=2),
        lambda: normal(C, 2, 3, 3),
    ),
    "depthwise ⊂ involution": (
        [x, (C, 1, 3, 3)],
        lambda x, w: definitions.conv2d(x, w, padding=1, groups=C),
        lambda x, w, more: involution2d(x, w.view(C, 3, 3, 1, 1).expand(B, C, 3, 3, H, W) + more, padding=1),
        lambda: normal(B, C, 3, 3, H, W),
    ),
    "large kernel ⊂ depthwise": (
        [x, (C, 1, 7, 7), (C, 1, 3, 3), (2, C), (2, C)],
        lambda x, a, b, s, t: definitions.branches(x, [a, b], norms(s, t), groups=C),
        lambda x, a, b, s, t, more: folded(x, [a, b], s, t, more, C),
        lambda: normal(C, 1, 7, 7),
    ),
    "branches ⊂ convolution": (
        [x, (C, C, 3, 3), (C, C, 1, 1), (3, C), (3, C)],
        lambda x, a, b, s, t: definitions.branches(x, [a, b, None], norms(s, t)),
        lambda x, a, b, s, t, more: folded(x, [a, b, each_to_itself(C)], s, t, more, 1),
        lambda: normal(C, C, 3, 3),
    ),
    "powers of two ⊂ convolution": (
        [x, weight],
        lambda x, w: definitions.conv2d(x, definitions.power_of_two(w), padding=1),
        lambda x, w, more: F.conv2d(x, power_of_two(w) + more, padding=1),
        lambda: normal(*weight),
    ),
    "adder ⊂ shift-add": (
        [x, (C, C, 3, 3)],
        lambda x, w: definitions.adder2d(x, w, padding=1),
        lambda x, w, more: shift_add(x, each_to_itself(C) + more, w),
        lambda: normal(C, C, 3, 3),
    ),
}
