"""Calls of a deformable convolution and of its definition, on 4 channels of 11×7 pixels."""

import pytest
import torch

from convnotes.geometry import output_size

# kernel, outputs, groups of the weight, offset groups, and the options of the convolution; 4 channels, 11×7 pixels
CASES = {
    "plain": ((3, 3), 6, 1, 1, dict()),
    "strided-padded-rectangular": ((3, 2), 6, 1, 1, dict(stride=(2, 1), padding=(0, 2))),
    "dilated": ((3, 3), 6, 1, 1, dict(dilation=(1, 2), padding=2)),
    "grouped": ((3, 3), 6, 2, 1, dict(padding=1)),
    "depthwise": ((1, 3), 8, 4, 1, dict(padding=(0, 1))),
    "offset-groups": ((3, 3), 6, 1, 2, dict(padding=1)),
    "every-group": ((2, 3), 6, 2, 4, dict(stride=2, padding=(1, 2), dilation=(2, 1))),
    "same": ((2, 4), 6, 1, 1, dict(padding="same", dilation=(2, 1))),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
both_versions = pytest.mark.parametrize("modulated", [False, True], ids=["v1", "v2"])
# what the offsets are, from normal numbers
OFFSETS = {
    "between-pixels": lambda normal: normal * 2,
    "far-outside": lambda normal: normal * 100,
    "on-pixels": lambda normal: (normal * 2).round(),
    "on-pixels-and-halves": lambda normal: (normal * 8).round() / 2,
}


def tensors(case, modulated=True, offsets=OFFSETS["between-pixels"], dtype=torch.float64, batch=2):
    """input, offset, weight, bias and mask (None in v1), and the options."""
    kernel, outputs, groups, offset_groups, options = case
    places = output_size((11, 7), kernel, **options)
    taps = kernel[0] * kernel[1] * offset_groups
    made = [
        torch.randn(batch, 4, 11, 7, dtype=torch.float64),
        offsets(torch.randn(batch, 2 * taps, *places, dtype=torch.float64)),
        torch.randn(outputs, 4 // groups, *kernel, dtype=torch.float64),
        torch.randn(outputs, dtype=torch.float64),
        torch.rand(batch, taps, *places, dtype=torch.float64) if modulated else None,
    ]
    return [None if t is None else t.to(dtype).requires_grad_() for t in made], options


def called(function, inputs, options):
    *inputs, mask = inputs
    return function(*inputs, **options, mask=mask)


def gradients(output, inputs, g):
    return torch.autograd.grad(output, [t for t in inputs if t is not None], g)
