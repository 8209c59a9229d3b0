"""Calls of a deformable convolution whose channels fill the vectors of a loop, or do not, and of its definition."""

import pytest
import torch

from convnotes import deform_conv2d
from convnotes.geometry import output_size
from convnotes.kernels import backend

# channels, outputs, kernel, groups of the weight, offset groups, options: channels fill vectors of 16 or 8, or do not
CASES = {
    "one-channel": (1, 2, (3, 3), 1, 1, dict()),
    "tails": (35, 5, (3, 2), 1, 1, dict(stride=(2, 1), padding=(0, 2))),
    "whole-vectors": (32, 4, (2, 3), 1, 2, dict(padding=(1, 2), dilation=(2, 1))),
    "offset-groups-across-groups": (36, 6, (3, 3), 2, 3, dict(padding=1)),
    "groups-across-offset-groups": (36, 6, (1, 3), 3, 2, dict(padding=(0, 1), stride=(1, 2))),
    "depthwise": (8, 16, (3, 3), 8, 4, dict(padding=2, dilation=2)),
    "pointwise": (20, 7, (1, 1), 1, 1, dict()),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
both_versions = pytest.mark.parametrize("modulated", [False, True], ids=["v1", "v2"])


def tensors(case, modulated=True, dtype=torch.float64, batch=2, size=(11, 7)):
    """input, offset (between −4 and 4, away from whole numbers), weight and mask, and the options."""
    C, O, kernel, groups, offset_groups, options = case
    places, taps = output_size(size, kernel, **options), kernel[0] * kernel[1] * offset_groups
    offset = torch.randint(-4, 4, (batch, 2 * taps, *places)) + 0.1 + 0.8 * torch.rand(batch, 2 * taps, *places)
    made = [
        torch.randn(batch, C, *size),
        offset,
        torch.randn(O, C // groups, *kernel),
        torch.rand(batch, taps, *places) if modulated else None,
    ]
    return [None if t is None else t.to(dtype).requires_grad_() for t in made], options


def called(function, inputs, options):
    input, offset, weight, mask = inputs
    return function(input, offset, weight, **options, mask=mask)


def by_torch(input, offset, weight, **options):
    with backend.use("torch"):
        return deform_conv2d(input, offset, weight, **options)


def gradients(y, inputs, g):
    return torch.autograd.grad(y, [t for t in inputs if t is not None], g)
