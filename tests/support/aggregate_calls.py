"""Calls of a deformable aggregation and of its definition, on odd and rectangular sizes."""

import pytest
import torch

from convnotes.geometry import output_size

# channels, groups, kernel, and the options; groups of channels fill vectors of 16 or 8, or do not
CASES = {
    "plain": (4, 1, (3, 3), dict(padding=1)),
    "tails": (35, 1, (3, 2), dict(stride=(2, 1), padding=(0, 2))),
    "whole-vectors": (32, 2, (2, 3), dict(padding=(1, 2), dilation=(2, 1))),
    "groups": (36, 3, (3, 3), dict(padding=1)),
    "every-channel": (6, 6, (1, 3), dict(padding=(0, 1), stride=(1, 2))),
    "same": (5, 1, (2, 4), dict(padding="same", dilation=(2, 1))),
    "one-tap": (20, 4, (1, 1), dict()),
    "scaled": (6, 2, (3, 3), dict(padding=(1, 2), offset_scale=1.7)),
    "scaled-even": (6, 3, (2, 4), dict(padding=2, dilation=(1, 2), offset_scale=0.4)),
    "no-middle": (6, 2, (3, 5), dict(padding=(1, 2), stride=(2, 1), remove_center=True)),
    "scaled-no-middle": (4, 2, (3, 3), dict(padding=2, dilation=2, offset_scale=2.0, remove_center=True)),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def tensors(case, dtype=torch.float64, batch=2, size=(11, 7), memory=torch.contiguous_format):
    """input, offset (no sample on a pixel) and mask, and all arguments behind them."""
    C, G, kernel, options = case
    window = {name: options[name] for name in ("stride", "padding", "dilation") if name in options}
    scale, removed = options.get("offset_scale", 1.0), options.get("remove_center", False)
    places, taps = output_size(size, kernel, **window), (kernel[0] * kernel[1] - removed) * G
    between = torch.randint(-4, 4, (batch, taps, 2, *places)) + 0.1 + 0.8 * torch.rand(batch, taps, 2, *places)
    if scale != 1:  # the grid itself lies between pixels: offsets that keep away from them are searched for
        between = torch.randint(-40, 40, between.shape) * 0.1 + 0.037
    made = [
        torch.randn(batch, C, *size).contiguous(memory_format=memory),
        between.flatten(1, 2),
        torch.randn(batch, taps, *places),
    ]
    return [t.to(dtype).requires_grad_() for t in made], dict(kernel_size=kernel, groups=G, **options)


def gradients(y, inputs, g):
    return torch.autograd.grad(y, inputs, g)
