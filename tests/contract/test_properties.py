"""Random legal arguments: every operator function, and every layer at images of any size, equals its definition."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.close import assert_same
from support.contract import every_layer, made
from support.legal import OPERATORS
from support.public_calls import FUNCTIONS

from convnotes.kernels import backend

every_operator = pytest.mark.parametrize("make", OPERATORS.values(), ids=OPERATORS)


def test_every_public_operator_is_drawn():
    assert set(OPERATORS) == set(FUNCTIONS)


@every_operator
@pytest.mark.parametrize("name", ["torch", "numba"])
@given(data=st.data(), seed=st.integers(0, 2**20))
def test_an_operator_equals_its_definition_forward_and_gradient(make, name, data, seed):
    if name not in backend.available():
        pytest.skip(f"{name} is not installed")
    torch.manual_seed(seed)
    call = make(data.draw)
    with backend.use(name):
        ours, theirs = call.both()
        assert_same(ours, theirs, call.leaves)


@every_layer
@given(
    images=st.tuples(st.integers(0, 3), st.integers(7, 13), st.integers(5, 10)),
    channels_last=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_a_layer_equals_its_definition_at_any_size_of_images(layer, images, channels_last, seed):
    torch.manual_seed(seed)
    B, H, W = images
    x = torch.randn(B, layer.input[1], H, W, dtype=torch.float64)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    module = made(layer, dtype=torch.float64)
    x.requires_grad_()
    with backend.use(layer.backend):
        assert_same(module(x), layer.definition(module, x), (x, *module.parameters()))
