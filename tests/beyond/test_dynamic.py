import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close
from torch import nn

from convnotes import CondConv2d, DynamicConv2d
from convnotes.measure import cost

X = torch.randn(5, 4, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
sizes = dict(kernel_size=3, padding=1, groups=2, dtype=torch.float64)
both = pytest.mark.parametrize("kind", [CondConv2d, DynamicConv2d])


@both
def test_a_mixture_of_kernels_is_the_mixture_of_their_maps(kind):
    layer = kind(4, 6, **sizes)
    maps = torch.stack([expert(X) for expert in layer.experts], 1)  # [B, E, O, H, W]
    assert_close(layer(X), torch.einsum("be,beohw->bohw", layer.coefficients(X), maps))


@both
def test_each_image_has_a_kernel_of_its_own_whatever_else_is_in_the_batch(kind):
    layer = kind(4, 6, **sizes)
    assert_close(layer(X), torch.cat([layer(x[None]) for x in X]))
    for r, x, y in zip(layer.coefficients(X), X, layer(X), strict=True):
        weight = sum(part * expert.weight for part, expert in zip(r, layer.experts, strict=True))
        bias = sum(part * expert.bias for part, expert in zip(r, layer.experts, strict=True))
        assert_close(F.conv2d(x, weight, bias, padding=1, groups=2), y)
    assert layer.coefficients(X).std(0).min() > 0


@both
def test_equal_kernels_give_a_convolution_times_the_sum_of_the_coefficients(kind):
    layer = kind(4, 6, bias=False, **sizes)
    for expert in layer.experts:
        expert.load_state_dict(layer.experts[0].state_dict())
    assert_close(layer(X), layer.coefficients(X).sum(1).view(-1, 1, 1, 1) * layer.experts[0](X))


@both
def test_every_image_costs_little_more_than_one_convolution(kind):
    layer, plain = kind(32, 32, 3, padding=1, bias=False, num_experts=8), nn.Conv2d(32, 32, 3, padding=1, bias=False)
    mine, one = (cost(model, (1, 32, 28, 28)).macs for model in (layer, plain))
    assert one < mine < 1.02 * one
    assert sum(p.numel() for p in layer.experts.parameters()) == 8 * plain.weight.numel()


def test_the_router_s_sigmoid_need_not_add_up_to_one_and_the_softmax_does():
    sigmoid, softmax = CondConv2d(4, 6, **sizes), DynamicConv2d(4, 6, **sizes)
    assert_close(sigmoid.coefficients(X), torch.sigmoid(sigmoid.routing_fn(X.mean((2, 3)))))
    assert (sigmoid.coefficients(X).sum(1) - 1).abs().min() > 0.1
    assert_close(softmax.coefficients(X).sum(1), torch.ones(5, dtype=torch.float64))


def test_a_high_temperature_makes_all_kernels_equal_and_a_low_one_chooses_one():
    layer = DynamicConv2d(4, 6, **sizes)
    spreads = []
    for temperature in (30, 10, 3, 1, 0.1):
        layer.temperature = temperature
        spreads.append(layer.coefficients(X).std(1).max().item())
    assert spreads == sorted(spreads)
    layer.temperature = 1e12
    assert_close(layer.coefficients(X), torch.full((5, 4), 0.25, dtype=torch.float64))
    layer.temperature = 1e-9
    assert_close(layer.coefficients(X).amax(1), torch.ones(5, dtype=torch.float64))


def test_the_temperature_is_shown_and_is_not_in_the_state():
    layer = DynamicConv2d(4, 6, **sizes, temperature=30)
    assert "temperature=30.0" in repr(layer)
    names = {name.split(".")[0] for name in layer.state_dict()}
    assert names == {"experts", "fc1", "fc2"}
    assert layer.fc1.out_features == 1
    assert DynamicConv2d(64, 6, 3).fc1.out_features == 16


def test_a_compiled_layer_takes_another_batch():
    layer = CondConv2d(4, 6, **sizes)
    torch.compiler.reset()
    compiled = torch.compile(layer, backend="aot_eager", dynamic=True)
    assert_close(compiled(X), layer(X))
    assert_close(compiled(X[:3]), layer(X[:3]))


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: CondConv2d(4, 6, 3, num_experts=0), ValueError, "num_experts must be at least 1, got 0"),
        (lambda: CondConv2d(4, 6, 3, groups=4), ValueError, "groups must divide in_channels=4 and out_channels=6"),
        (lambda: CondConv2d(4, 6, 3)(torch.zeros(1, 3, 9, 9)), ValueError, r"input of CondConv2d must be \[B, 4"),
        (lambda: CondConv2d(4, 6, 3)(torch.zeros(1, 4, 2, 9)), ValueError, "CondConv2d: a kernel of 3×3"),
        (lambda: CondConv2d(4, 6, 1, padding=1)(torch.zeros(1, 4, 0, 9)), ValueError, "at least 1×1 pixels, got 0×9"),
        (lambda: DynamicConv2d(4, 6, 3, reduction=0), ValueError, "reduction must be at least 1"),
        (lambda: DynamicConv2d(4, 6, 3, temperature=0), ValueError, r"temperature must lie in \(0, inf\), got 0"),
        (lambda: setattr(DynamicConv2d(4, 6, 3), "temperature", "hot"), TypeError, "temperature must be a number"),
    ],
)
def test_bad_arguments_are_refused(build, error, says):
    with pytest.raises(error, match=says):
        build()
