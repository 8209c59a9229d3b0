"""The definitions against torch's own convolution: they are the ground on which everything else is compared."""

import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close, assert_same
from support.conv_cases import CASES, every_case, every_kernel

from convnotes import definitions


def leaf(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@every_kernel
@every_case
def test_the_plain_convolution_is_torch_s_forward_and_gradient(case, kernel):
    groups = case.get("groups", 1)
    x, w, b = leaf(2, 4, 11, 7), leaf(8, 4 // groups, *kernel), leaf(8)
    assert_same(definitions.conv2d(x, w, b, **case), F.conv2d(x, w, b, **case), (x, w, b))


def test_a_kernel_is_not_flipped():
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 0, 1] = 1
    w = torch.arange(9.0).view(1, 1, 3, 3)
    assert definitions.conv2d(x, w).item() == w[0, 0, 0, 1].item()


def test_a_kernel_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="spans 5×5 pixels and does not fit into the padded input of 4×9"):
        definitions.conv2d(torch.zeros(1, 1, 4, 9), torch.zeros(1, 1, 3, 3), dilation=2)


TRANSPOSED = {name: CASES[name] for name in ("plain", "strided", "padded-rectangular", "dilated", "grouped")} | {
    "longer": dict(stride=2, padding=1, output_padding=(1, 0)),
    "everything": dict(stride=(3, 2), padding=(1, 2), dilation=(1, 3), output_padding=(2, 1), groups=4),
}


@every_kernel
@pytest.mark.parametrize("case", TRANSPOSED.values(), ids=TRANSPOSED)
def test_the_transposed_convolution_is_torch_s_forward_and_gradient(case, kernel):
    groups = case.get("groups", 1)
    x, w, b = leaf(2, 4, 11, 7), leaf(4, 8 // groups, *kernel), leaf(8)
    assert_same(definitions.conv_transpose2d(x, w, b, **case), F.conv_transpose2d(x, w, b, **case), (x, w, b))


@pytest.mark.parametrize("case", [dict(), dict(stride=2, padding=1), dict(dilation=2, groups=2)], ids=str)
def test_the_transposed_convolution_is_the_gradient_of_the_plain_one(case):
    x = torch.randn(2, 4, 11, 7, dtype=torch.float64, requires_grad=True)
    w = torch.randn(6, 4 // case.get("groups", 1), 3, 3, dtype=torch.float64)
    y = definitions.conv2d(x, w, **case)
    g = torch.randn_like(y)
    (expected,) = torch.autograd.grad(y, x, g)
    assert_close(definitions.conv_transpose2d(g, w, **case), expected)


def test_a_transposed_convolution_whose_output_is_cut_off_is_refused():
    with pytest.raises(ValueError, match=r"padding \(0, 1\) cuts off all of an output of 4×2"):
        definitions.conv_transpose2d(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 3, 1), padding=(0, 1))


def test_a_1x1_convolution_is_the_plain_one_and_a_matrix_on_every_pixel():
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    w, b = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    y = definitions.pointwise(x, w, b)
    assert_close(y, definitions.conv2d(x, w[:, :, None, None], b))
    assert_close(y, F.linear(x.movedim(1, -1), w, b).movedim(-1, 1))


def test_an_mlpconv_of_one_layer_is_a_convolution_and_relu():
    x, w, b = torch.randn(1, 2, 5, 6), torch.randn(3, 2, 3, 3), torch.randn(3)
    assert_close(definitions.mlpconv(x, [w], [b], stride=2), F.conv2d(x, w, b, stride=2).relu())


@every_case
def test_a_deformable_convolution_that_does_not_move_is_the_plain_one(case):
    groups = case.get("groups", 1)
    options = {name: value for name, value in case.items() if name != "groups"}
    x = torch.randn(2, 4, 11, 7, dtype=torch.float64)
    w, b = torch.randn(8, 4 // groups, 2, 3, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
    expected = definitions.conv2d(x, w, b, **case)
    offset = expected.new_zeros(2, 24, *expected.shape[2:])
    ones = expected.new_ones(2, 12, *expected.shape[2:])
    assert_close(definitions.deform_conv2d(x, offset, w, b, **options), expected)
    assert_close(definitions.deform_conv2d(x, offset, w, b, **options, mask=ones), expected)


def test_a_hat_is_1_on_its_pixel_and_shares_a_place_between_two():
    places = torch.tensor([-1.5, -1.0, -0.25, 0.0, 0.75, 2.0, 2.5, 3.0, torch.inf])
    expected = [
        [0, 0, 0],
        [0, 0, 0],
        [0.75, 0, 0],
        [1, 0, 0],
        [0.25, 0.75, 0],
        [0, 0, 1],
        [0, 0, 0.5],
        [0, 0, 0],
        [0, 0, 0],
    ]
    assert torch.equal(definitions.hat(places, 3), torch.tensor(expected, dtype=torch.float32))
    assert definitions.hat(torch.tensor([torch.nan]), 3).isnan().all()


def test_a_shift_is_a_depthwise_convolution_with_one_hot_kernels():
    x, d = torch.randn(2, 3, 5, 4, dtype=torch.float64), torch.tensor([[0, -1], [2, 1], [-2, 0]])
    w = torch.zeros(3, 1, 5, 5, dtype=torch.float64)
    for c, (dy, dx) in enumerate(d.tolist()):
        w[c, 0, 2 + dy, 2 + dx] = 1
    assert_close(definitions.shift2d(x, d), definitions.conv2d(x, w, padding=2, groups=3))
    assert_close(definitions.active_shift2d(x, d.double()), definitions.shift2d(x, d))


def test_an_active_shift_is_torch_s_bilinear_sampling():
    x, d = torch.randn(2, 3, 5, 4, dtype=torch.float64), torch.tensor([[0.3, -1.2], [2.5, 0.1], [-0.7, 3.9]]).double()
    y, x_ = torch.meshgrid(torch.arange(5).double(), torch.arange(4).double(), indexing="ij")
    for c, (dy, dx) in enumerate(d):
        grid = torch.stack([(2 * (x_ + dx) + 1) / 4 - 1, (2 * (y + dy) + 1) / 5 - 1], -1).expand(2, 5, 4, 2)
        sampled = F.grid_sample(x[:, c : c + 1], grid, align_corners=False)
        assert_close(definitions.active_shift2d(x, d)[:, c : c + 1], sampled)


@pytest.mark.parametrize("case", [dict(), dict(stride=2, padding=1), dict(dilation=(1, 2), padding=(0, 2))], ids=str)
def test_the_adder_is_torch_s_l1_distance_of_patches_and_kernels(case):
    x, w = torch.randn(2, 4, 11, 7, dtype=torch.float64), torch.randn(5, 4, 3, 2, dtype=torch.float64)
    distance = torch.cdist(w.flatten(1), F.unfold(x, (3, 2), **case).transpose(1, 2), p=1)
    y = definitions.adder2d(x, w, torch.ones(5), **case)
    assert_close(y.flatten(2), 1 - distance)
    parts = [definitions.adder2d(x[:, g : g + 2], w[:4, :2][g : g + 2], **case) for g in (0, 2)]
    assert_close(definitions.adder2d(x, w[:4, :2], groups=2, **case), torch.cat(parts, 1))


@pytest.mark.parametrize("activation", [True, False])
def test_a_stack_is_torch_s_convolutions_one_after_the_other(activation):
    x = torch.randn(2, 2, 11, 7, dtype=torch.float64)
    weights = [torch.randn(3, c, 3, 3, dtype=torch.float64) for c in (2, 3)]
    biases = [torch.randn(3, dtype=torch.float64) for _ in weights]
    after = torch.relu if activation else (lambda y: y)
    expected = after(F.conv2d(after(F.conv2d(x, weights[0], biases[0], padding=1)), weights[1], biases[1], padding=1))
    assert_close(definitions.kernel_stack(x, weights, biases, padding=1, activation=activation), expected)


@pytest.mark.parametrize("momentum", [0.1, 1.0])
def test_batch_norm_is_torch_s_in_training_with_its_gradient_and_its_running_averages(momentum):
    norm = torch.nn.BatchNorm2d(4, momentum=momentum, dtype=torch.float64)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.copy_(0.5 + torch.rand(4))
    x = leaf(3, 4, 5, 7)
    found, mean, variance = definitions.batch_norm_in_training(x, norm)
    assert_same(found, norm(x), (x, norm.weight, norm.bias))
    assert_close(mean, norm.running_mean)
    assert_close(variance, norm.running_var)
    assert_same(definitions.batch_norm(x, norm.eval()), norm(x), (x, norm.weight, norm.bias))
