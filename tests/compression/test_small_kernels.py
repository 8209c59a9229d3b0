import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close

from convnotes import KernelStack, vgg16
from convnotes.compression.small_kernels import VGG
from convnotes.measure import receptive_field


@pytest.mark.parametrize("kernel_size", [3, 5, 7, 11])
def test_a_stack_sees_what_the_one_large_kernel_sees(kernel_size):
    stack = KernelStack(2, 3, kernel_size)
    assert sum(isinstance(m, torch.nn.Conv2d) for m in stack) == (kernel_size - 1) // 2
    assert receptive_field(stack).size == kernel_size


def test_a_stack_without_relu_is_one_convolution_with_the_kernels_convolved():
    stack = KernelStack(1, 1, 5, padding="valid", activation=False, dtype=torch.float64)
    first, second = stack[0], stack[1]
    kernel = F.conv2d(first.weight, second.weight.flip(2, 3), padding=2)
    bias = first.bias * second.weight.sum() + second.bias
    x = torch.randn(2, 1, 11, 7, dtype=torch.float64)
    assert_close(stack(x), F.conv2d(x, kernel, bias))


def test_padding_keeps_the_size_or_takes_half_a_kernel_off_each_side():
    x = torch.randn(1, 2, 11, 9)
    assert KernelStack(2, 3, 7)(x).shape == (1, 3, 11, 9)
    assert KernelStack(2, 3, 7, padding="valid")(x).shape == (1, 3, 5, 3)


def test_the_stack_has_fewer_weights_than_the_large_kernel():
    stack = KernelStack(8, 8, 7, bias=False, device="meta")
    assert sum(p.numel() for p in stack.parameters()) == 3 * 9 * 64 < 49 * 64


def test_vgg16_is_thirteen_convolutions_in_stacks_of_5x5_and_7x7_reach():
    net = vgg16(device="meta")
    widths = [m.out_channels for m in net.features if isinstance(m, torch.nn.Conv2d)]
    assert widths == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert net(torch.empty(1, 3, 65, 33, device="meta")).shape == (1, 1000)


def test_too_small_an_image_is_refused():
    with pytest.raises(ValueError, match="input of KernelStack must have at least 5×5 pixels, got 4×9"):
        KernelStack(2, 3, 5, padding="valid")(torch.randn(1, 2, 4, 9))
    with pytest.raises(ValueError, match="input of VGG must have at least 4×4 pixels, got 3×8"):
        VGG([(4, 3), (4, 3)])(torch.randn(1, 3, 3, 8))


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: KernelStack(2, 3, 4), "odd and at least 3, got 4"),
        (lambda: KernelStack(2, 3, 1), "odd and at least 3, got 1"),
        (lambda: KernelStack(2, 3, 5, padding=1), '"same" or "valid", got 1'),
        (lambda: KernelStack(0, 3, 5), "in_channels must be at least 1"),
    ],
)
def test_bad_arguments_are_refused(build, says):
    with pytest.raises(ValueError, match=says):
        build()
