"""What the Triton kernels of the aggregation must fulfil; run as `triton_cases.py`, whose rules and tolerances hold."""

import pytest
import torch
from kernels.gpu import triton_cases
from kernels.gpu.triton_cases import DEVICE, close, doubled, once_in_low_precision, pull, random

from convnotes import definitions, deform_aggregate2d
from convnotes.kernels import backend
from convnotes.kernels.aggregate import in_triton
from convnotes.kernels.aggregate.sampling import Taps

_unwritten_memory_is_nan = triton_cases._unwritten_memory_is_nan  # a fixture of every test here too
CASES = {  # images, groups, kernel, stride, padding, dilation
    "two groups": ((2, 4, 5, 4), 2, (1, 3), (2, 1), (1, 2), (1, 2)),
    "a group per channel": ((1, 3, 5, 4), 3, (2, 1), (2, 2), (2, 1), (2, 2)),
    "more channels than a step": ((1, 41, 5, 4), 1, (1, 1), (1, 1), (0, 0), (1, 1)),
}


def given(case, dtype):
    """The tensors, with fractions of offsets that every dtype holds, none of them 0; and the geometry."""
    images, G, (KH, KW), stride, padding, dilation = case
    sizes = zip(images[2:], padding, dilation, (KH, KW), stride, strict=True)
    h, w = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in sizes)
    offset = torch.randint(-3, 4, (images[0], 2 * KH * KW * G, h, w)) + 0.125 * torch.randint(1, 8, (1, 1, h, w))
    mask = random(images[0], KH * KW * G, h, w, dtype=dtype)
    window = dict(stride=stride, padding=padding, dilation=dilation)
    return [random(*images, dtype=dtype), offset.to(DEVICE, dtype).requires_grad_(), mask], (KH, KW), window


@pytest.mark.parametrize(("case", "dtype"), once_in_low_precision(CASES), ids=str)
@pytest.mark.parametrize("deterministic", [True, False])
def test_the_aggregation_and_its_gradients_are_the_definition_s(case, deterministic, dtype, monkeypatch):
    leaves, kernel, window = given(CASES[case], dtype)
    wide = doubled(*leaves)
    expected = definitions.deform_aggregate2d(*wide, kernel, **window, groups=CASES[case][1])
    g = torch.randn_like(expected).to(dtype)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: deterministic)
    inputs, taps = [t.detach() for t in leaves], Taps(kernel, *window.values())
    ours = [in_triton.forward(*inputs, taps), *in_triton.backward(g, *inputs, taps, (True,) * 3)]
    close(ours, pull(expected, wide, g.double()))


@pytest.mark.parametrize("last", [False, True])
def test_the_function_takes_the_kernels_in_either_format(last, monkeypatch):
    leaves, kernel, window = given(CASES["two groups"], torch.float32)
    if last:
        leaves[0] = leaves[0].detach().to(memory_format=torch.channels_last).requires_grad_()
    wide = doubled(*leaves)
    expected = definitions.deform_aggregate2d(*wide, kernel, **window, groups=2)
    g, real, launched = torch.randn_like(expected), in_triton.launch, []
    monkeypatch.setattr(in_triton, "launch", lambda *a, **k: (launched.append(a[0].fn.__name__), real(*a, **k)))
    ours = deform_aggregate2d(*leaves, kernel, **window, groups=2)
    assert launched == ["aggregate"]
    assert ours.is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    close(pull(ours, leaves, g), pull(expected, wide, g))


def test_nan_and_infinite_offsets_act_as_they_do_in_torch():
    x, mask, offset = random(1, 3, 4, 5), random(1, 1, 4, 5), torch.full((1, 2, 4, 5), 0.3, device=DEVICE)
    offset[0, 0, 0, 0] = offset[0, 1, 1, 1] = torch.nan
    offset[0, 0, 2, 2], offset[0, 0, 3, 3] = torch.inf, -1e30
    y = in_triton.forward(x.detach(), offset, mask.detach(), Taps((1, 1), (1, 1), (0, 0), (1, 1)))
    with backend.use("torch"):
        torch.testing.assert_close(y, deform_aggregate2d(x, offset, mask, 1), equal_nan=True)
    assert y.isnan().sum() == 6


def test_an_empty_batch_needs_no_kernel():
    x, offset, mask = random(0, 3, 5, 4), random(0, 2, 5, 4), random(0, 1, 5, 4)
    assert deform_aggregate2d(x, offset, mask, 1).shape == (0, 3, 5, 4)
