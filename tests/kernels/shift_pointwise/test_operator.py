"""The operator by each backend; its kernels for CUDA are tested by `gpu/triton_cases.py`."""

import pytest
import torch
from support.close import assert_close
from torch.utils.flop_counter import FlopCounterMode

from convnotes import definitions
from convnotes.kernels.shift_pointwise.operator import shift_pointwise

MOVES = torch.tensor([[0, 0], [1, 0], [0, -1], [-9, 2]])  # the last one is out of the picture
operator = torch.ops.convnotes.shift_pointwise
pytestmark = pytest.mark.usefixtures("each_backend")


def factors(stride, dtype=torch.float64):
    x = torch.randn(2, 4, 7, 6, dtype=dtype, requires_grad=True)
    w = torch.randn(5, 4, dtype=dtype, requires_grad=True)
    return x, w, torch.randn(2, 5, -(-7 // stride), -(-6 // stride), dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
def test_it_is_the_two_definitions_forward_and_gradient(stride, memory):
    x, w, g = factors(stride)
    w4 = w.detach()[..., None, None].requires_grad_()
    expected = definitions.conv2d(definitions.shift2d(x, MOVES), w4, stride=stride)
    given = x.detach().to(memory_format=memory).requires_grad_()
    y = shift_pointwise(given, w4, MOVES, stride)
    assert y.is_contiguous(memory_format=memory)
    assert_close(y, expected)
    ours, theirs = torch.autograd.grad(y, (given, w4), g), torch.autograd.grad(expected, (x, w4), g)
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("left_open", range(3), ids=["input", "weight", "output"])
def test_each_derivative_keeps_torch_s_rules(left_open, stride):
    tensors = list(factors(stride))
    tensors[left_open] = None
    torch.library.opcheck(operator, (*tensors, MOVES, [7, 6], stride))


def test_derivatives_of_second_order_are_the_numerical_ones():
    x, w, _ = factors(2)
    for call in (operator, lambda *a: shift_pointwise(a[0], a[1][..., None, None], MOVES, 2)):
        assert torch.autograd.gradgradcheck(lambda x, w, call=call: call(x, w, None, MOVES, [7, 6], 2), (x, w))


@pytest.mark.parametrize("mapped", [0, 1, 3], ids=["input", "weight", "displacements"])
def test_vmap_is_a_loop(mapped):
    x, w, _ = factors(2)
    values = [x.detach(), w.detach(), None, MOVES]
    slices = [values[mapped], values[mapped].flip(0), -values[mapped]]
    values[mapped] = torch.stack(slices)
    dims = tuple(0 if n == mapped else None for n in range(4))
    found = torch.vmap(lambda *t: operator(*t, [7, 6], 2), dims)(*values)
    for one, s in zip(found, slices, strict=True):
        assert_close(one, operator(*(s if n == mapped else v for n, v in enumerate(values)), [7, 6], 2))


def test_multiply_adds_are_those_of_the_1x1_convolution():
    x, w, _ = factors(2)
    with FlopCounterMode(display=False) as counter:
        shift_pointwise(x, w[..., None, None], MOVES, 2).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * (2 * 4 * 3) * 5 * 4


def test_under_autocast_it_has_its_dtype():
    x, w, _ = factors(1, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert shift_pointwise(x, w[..., None, None], MOVES, 1).dtype == torch.bfloat16
