"""What every public layer computes: its definition, with gradients of every kind, in low precision and through NaN."""

import copy

import pytest
import torch
from support.close import assert_close, assert_same
from support.contract import every_layer, everything, images, made
from support.layer_cases import LAYERS
from support.layer_definitions import Layer
from torch import Tensor

LOW_PRECISION = (torch.bfloat16,)
with_derivative = {name: layer for name, layer in LAYERS.items() if not layer.surrogate}


@every_layer
def test_it_equals_its_definition_forward_and_gradient(layer):
    module, x = made(layer, dtype=torch.float64), images(layer, requires_grad=True)
    assert_same(module(x), layer.definition(module, x), (x, *module.parameters()))


def pure(layer: Layer):
    """The layer as a function of its input and parameters, and the parameters, without those that it rounds."""
    module = made(layer, dtype=torch.float64)
    named = {name: p for name, p in module.named_parameters() if name not in layer.rounded}

    def call(x, *parameters):
        return torch.func.functional_call(module, dict(zip(named, parameters, strict=True)), (x,))

    return call, tuple(named.values())


def smallest(layer: Layer) -> Tensor:
    """One picture: the numerical derivatives take a call an element."""
    return images(layer)[:1].requires_grad_()


@pytest.mark.parametrize("layer", with_derivative.values(), ids=with_derivative)
def test_gradients_are_the_numerical_ones(layer):
    call, parameters = pure(layer)
    assert torch.autograd.gradcheck(call, (smallest(layer), *parameters), fast_mode=True)


@every_layer
def test_gradients_of_gradients_are_the_numerical_ones(layer):
    call, parameters = pure(layer)
    assert torch.autograd.gradgradcheck(call, (smallest(layer), *parameters), fast_mode=True)


@every_layer
def test_forward_mode_agrees_with_reverse_mode(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    direction = torch.randn_like(x)
    y, tangent = torch.func.jvp(module, (x,), (direction,))
    g = torch.randn_like(y)
    (pulled,) = torch.func.vjp(module, x)[1](g)
    assert_close((tangent * g).sum(), (direction * pulled).sum())
    assert tangent.abs().max() > 0


@every_layer
@pytest.mark.parametrize("dtype", LOW_PRECISION, ids=str)
def test_low_precision_errs_at_most_twice_as_much_as_the_definition_in_torch(layer, dtype):
    module, x = made(layer, dtype=torch.float64), images(layer)
    exact = layer.definition(module, x)
    low, x = copy.deepcopy(module).to(dtype), x.to(dtype)
    ours = (low(x).double() - exact).abs().max()
    torchs = (layer.definition(low, x).double() - exact).abs().max()
    assert ours <= 2 * torchs


@everything
def test_nan_passes_through_as_nan(layer):
    x = images(layer)
    x[0, :, 4:6, 2:4] = torch.nan  # a stride of 2 may overlook one pixel, not all four
    y = made(layer, dtype=torch.float64)(x)
    assert y[0].isnan().any()
    assert not y[1].isnan().any()
