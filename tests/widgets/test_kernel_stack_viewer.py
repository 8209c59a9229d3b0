"""The kernel stack viewer: its module composes, counts and sees as torch and `convnotes.measure` do."""

import pytest
import torch
from support.close import assert_close
from support.javascript import call
from torch import nn

from convnotes import KernelStack
from convnotes.measure import cost, receptive_field
from convnotes.widgets import KernelStackViewer

MODULE = "kernel_stack_viewer"


def linear_stack(kernels: torch.Tensor) -> nn.Sequential:
    options = {"padding": "valid", "bias": False, "activation": False, "dtype": torch.float64}
    stack = KernelStack(1, 1, 2 * len(kernels) + 1, **options)
    for layer, kernel in zip(stack, kernels, strict=True):
        layer.weight.data = kernel[None, None]
    return stack


@pytest.mark.parametrize("layers", [1, 2, 3, 5])
def test_the_composed_kernel_does_what_the_stack_does(layers):
    kernels = torch.randn(layers, 3, 3, dtype=torch.float64)
    whole = torch.tensor(call(MODULE, "compose(kernels)", kernels=kernels.tolist()), dtype=torch.float64)
    x = torch.randn(2, 1, 17, 13, dtype=torch.float64)
    assert_close(nn.functional.conv2d(x, whole[None, None]), linear_stack(kernels)(x))
    assert_close(KernelStackViewer(kernels.tolist()).composed(), whole)


def test_two_different_kernels_compose_in_either_order():
    first, second = [[1, 2, 0], [0, 0, 3], [1, 0, 0]], [[0, 1, 0], [5, 0, 0], [0, 0, 2]]
    one, other = call(MODULE, "[composeTwo(a, b), composeTwo(b, a)]", a=first, b=second)
    assert one == other
    assert one != call(MODULE, "composeTwo(a, a)", a=first)


@pytest.mark.parametrize("layers", [1, 2, 3, 5])
def test_its_reach_is_the_receptive_field(layers):
    assert call(MODULE, "reach(n)", n=layers) == receptive_field(KernelStack(2, 3, 2 * layers + 1)).size


@pytest.mark.parametrize(("layers", "inputs", "outputs"), [(1, 3, 4), (3, 3, 8), (3, 6, 6), (5, 2, 7)])
def test_its_counts_are_those_of_cost(layers, inputs, outputs):
    k = 2 * layers + 1
    stack = KernelStack(inputs, outputs, k, bias=False)
    large = nn.Conv2d(inputs, outputs, k, bias=False)
    found = call(MODULE, "counts(n, c, o)", n=layers, c=inputs, o=outputs)
    assert found["stack"] == cost(stack, (1, inputs, 11, 7)).params
    assert found["large"] == cost(large, (1, inputs, 11, 11)).params
    viewer = KernelStackViewer(torch.ones(layers, 3, 3), in_channels=inputs, out_channels=outputs)
    assert viewer.parameters() == (found["stack"], found["large"])


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
def test_on_equal_channels_nine_cells_of_the_large_kernel_are_filled_per_layer(layers):
    assert call(MODULE, "counts(n, 48, 48).filled", n=layers) == 9 * layers <= (2 * layers + 1) ** 2


@pytest.mark.parametrize(("inputs", "filled"), [(3, 49), (28, 49), (29, 49), (30, 47), (64, 27), (512, 11)])
def test_the_fewer_channels_come_in_the_more_cells_are_filled_and_never_more_than_there_are(inputs, filled):
    assert call(MODULE, "counts(3, c, 64).filled", c=inputs) == filled


@pytest.mark.parametrize("size", [3, 5, 7, 11])
def test_the_share_of_the_middle_is_the_sum_over_the_middle_nine_taps(size):
    kernel = torch.randn(size, size, dtype=torch.float64)
    centre = kernel[size // 2 - 1 : size // 2 + 2, size // 2 - 1 : size // 2 + 2]
    expected = (centre.abs().sum() / kernel.abs().sum()).item()
    assert call(MODULE, "middle(kernel)", kernel=kernel.tolist()) == pytest.approx(expected, abs=1e-12)
    assert call(MODULE, "middle(kernel)", kernel=torch.zeros(size, size).tolist()) == 0


def test_long_numbers_are_shown_in_per_cent_of_the_largest():
    kernel = [[1, -49], [0, 784]]
    assert call(MODULE, "readable(k)", k=kernel) == {"taps": kernel, "note": ""}
    shown = call(MODULE, "readable(k)", k=[[20000, -10000], [0, 26]])
    assert shown == {"taps": [[100, -50], [0, 0]], "note": ", in % of its largest tap"}


def test_the_copied_code_is_the_stack_that_is_shown_and_its_one_large_kernel():
    kernels = torch.randn(3, 3, 3).round(decimals=2)
    scope = {"torch": torch}
    exec(call(MODULE, "torchCode(kernels)", kernels=kernels.tolist()), scope)
    x = torch.randn(1, 1, 11, 9)
    torch.testing.assert_close(scope["stack"](x), scope["large"](x), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scope["stack"][1].weight[0, 0], kernels[1])


def test_the_first_preset_is_the_state_that_the_widget_starts_in():
    assert [call(MODULE, "PRESETS.box")] * 3 == KernelStackViewer().kernels


def test_a_tensor_of_kernels_is_taken():
    assert KernelStackViewer(torch.ones(2, 3, 3)).kernels == KernelStackViewer().kernels[:2]


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (
            lambda: KernelStackViewer([]),
            r"kernels must hold finite numbers of shape \[1 to 5, 3, 3\], got shape \(0,\)",
        ),
        (
            lambda: KernelStackViewer(torch.ones(6, 3, 3)),
            r"kernels must hold finite numbers of shape \[1 to 5, 3, 3\], got shape \(6, 3, 3\)",
        ),
        (
            lambda: KernelStackViewer([[[1, 2], [3, 4]]]),
            r"kernels must hold finite numbers of shape \[1 to 5, 3, 3\], got shape \(1, 2, 2\)",
        ),
        (lambda: KernelStackViewer([[[1, 2, 3]] * 2 + [[1, 2, float("inf")]]]), "finite"),
        (lambda: KernelStackViewer(in_channels=0), "0"),
        (lambda: KernelStackViewer(edited=6), "6"),
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
