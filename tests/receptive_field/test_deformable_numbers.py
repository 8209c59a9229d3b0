"""The digits of a deformable convolution: in low precision, every time the same, and where an offset is no place."""

import pytest
import torch
from support.close import assert_close
from support.deform_calls import CASES, called, every_case, gradients, tensors

from convnotes import definitions, deform_conv2d

pytestmark = pytest.mark.usefixtures("each_backend")


@every_case
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_low_precision_errs_at_most_twice_as_much_as_the_definition(case, dtype):
    inputs, options = tensors(case, dtype=dtype)
    inputs = [t.detach() for t in inputs]
    exact = called(definitions.deform_conv2d, [t.double() for t in inputs], options)
    ours = called(deform_conv2d, inputs, options)
    assert ours.dtype == dtype
    error = (ours.double() - exact).abs().max()
    assert error <= 2 * (called(definitions.deform_conv2d, inputs, options).double() - exact).abs().max()


def test_low_precision_trains():
    inputs, options = tensors(CASES["every-group"], dtype=torch.bfloat16)
    y = called(deform_conv2d, inputs, options)
    g = torch.randn_like(y)
    doubles = [t.detach().double().requires_grad_() for t in inputs]
    exact = gradients(called(definitions.deform_conv2d, doubles, options), doubles, g.double())
    for ours, expected in zip(gradients(y, inputs, g), exact, strict=True):
        assert ours.dtype == torch.bfloat16
        assert (ours.double() - expected).abs().max() <= 0.02 * expected.abs().max()


def test_low_precision_tells_places_past_256_apart():
    """bfloat16 has 8 bits: 257 is no number of it, and a place must be one."""
    x = torch.randn(1, 1, 300, 2, dtype=torch.bfloat16)
    offset = torch.zeros(1, 2, 300, 2, dtype=torch.bfloat16)
    assert torch.equal(deform_conv2d(x, offset, torch.ones(1, 1, 1, 1, dtype=torch.bfloat16)), x)


def test_a_far_place_is_as_exact_as_a_near_one():
    """In float32 a place near 8000 would keep 11 bits of its fraction; here place and fraction are never added."""
    x, weight = torch.randn(1, 1, 1, 8192), torch.ones(1, 1, 1, 1)
    offset = torch.zeros(1, 2, 1, 8192)
    offset[0, 1] = torch.rand(8192) * 4 - 2
    exact = deform_conv2d(x.double(), offset.double(), weight.double())
    assert_close(deform_conv2d(x, offset, weight), exact.float())


def test_the_same_bits_come_out_every_time_and_on_any_number_of_threads():
    torch.manual_seed(3)
    x = torch.randn(2, 16, 28, 30, requires_grad=True)
    weight = torch.randn(8, 16, 3, 3)
    offset = (torch.randn(2, 36, 28, 30) * 3).requires_grad_()
    mask = torch.rand(2, 18, 28, 30, requires_grad=True)
    g = torch.randn(2, 8, 28, 30)

    def run(threads):
        torch.set_num_threads(threads)
        y = deform_conv2d(x, offset, weight, None, 1, 1, mask=mask)
        return (y, *torch.autograd.grad(y, (x, offset, mask), g))

    first = run(1)
    for threads in (1, 2, 2):
        for a, b in zip(first, run(threads), strict=True):
            assert torch.equal(a, b)


def test_the_weight_gradient_is_the_same_every_time():
    inputs, options = tensors(CASES["plain"], dtype=torch.float32)
    y = called(deform_conv2d, inputs, options)
    g = torch.randn_like(y)
    once, again = (torch.autograd.grad(y, inputs[2], g, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(once, again)


def test_a_nan_offset_gives_nan_where_it_is_used_and_nowhere_else():
    (x, offset, weight, bias, mask), options = tensors(CASES["offset-groups"])
    offset = offset.detach().clone()
    offset[1, 5, 2, 3] = torch.nan
    y = deform_conv2d(x, offset, weight, bias, **options, mask=mask)
    assert y[1, :, 2, 3].isnan().all()
    assert y.isnan().sum() == y.shape[1]


@pytest.mark.parametrize("far", [torch.inf, -torch.inf, 1e30, -1e30, 3e38, 2.0**31, -(2.0**63)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_an_offset_beyond_all_bounds_reads_zero(far, dtype):
    inputs, options = tensors(CASES["plain"], dtype=dtype)
    x, offset, weight, bias, mask = (t.detach() for t in inputs)
    offset[0, 7] = far
    offset.requires_grad_()
    y = deform_conv2d(x, offset, weight, bias, **options, mask=mask)
    harmless, without = offset.detach().clone(), mask.clone()
    harmless[0, 7], without[0, 3] = 0, 0  # offset channel 7 moves tap 3
    assert_close(y, deform_conv2d(x, harmless, weight, bias, **options, mask=without))
    (gradient,) = torch.autograd.grad(y.sum(), offset)
    assert gradient.isfinite().all()
    assert (gradient[0, 6:8] == 0).all()


def test_what_lies_outside_reads_no_pixel_not_even_one_that_is_nan():
    x = torch.full((2, 1, 3, 4), torch.nan, requires_grad=True)
    offset = torch.zeros(2, 2, 3, 4)
    offset[:, 0], offset[0, 1] = -3, 1.5
    y = deform_conv2d(x, offset, torch.ones(1, 1, 1, 1))
    assert torch.equal(y, torch.zeros(2, 1, 3, 4))
    y.sum().backward()
    assert torch.equal(x.grad, torch.zeros(2, 1, 3, 4))
