"""Whatever legal arguments a layer is given, it is its definition, forward and gradient, in both memory formats."""

import re

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from support.close import assert_same
from support.layer_arguments import LEGAL, layer_class
from support.layer_cases import LAYERS

from convnotes.kernels import backend

FORMATS = [torch.contiguous_format, torch.channels_last]
BACKENDS = [name for name in ("torch", "numba") if name in backend.available()]


def in_channels(arguments: dict) -> int:
    return arguments.get("in_channels") or arguments["channels"]


@pytest.mark.parametrize("name", LEGAL)
@given(data=st.data())
def test_any_legal_arguments_give_the_definition(name, data):
    arguments, case = data.draw(LEGAL[name], "arguments"), LAYERS[name]
    torch.manual_seed(data.draw(st.integers(0, 99), "seed"))
    module = layer_class(name)(**arguments, dtype=torch.float64).eval()
    case.wake(module)
    shape = [data.draw(st.integers(1, 2), "batch"), in_channels(arguments)]
    shape += [data.draw(st.integers(1, 9), side) for side in ("height", "width")]
    # On a map one pixel wide torch's own batch norm mistakes the layout of a gradient.
    layout = data.draw(st.sampled_from(FORMATS if min(shape[2:]) > 1 else FORMATS[:1]), "format")
    x = torch.randn(shape, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    try:
        with backend.use(data.draw(st.sampled_from(BACKENDS), "backend")):
            y = module.to(memory_format=layout)(x)
    except ValueError as problem:
        assume(not re.search("does not fit into the padded input|must have at least .* pixels", str(problem)))
        raise
    assert_same(y, case.definition(module, x), [x, *module.parameters()])


def test_every_operator_of_the_package_is_among_them():
    kinds = {name.partition(",")[0] for name in LEGAL}
    composed = {"Inception", "Bottleneck", "ASPP", "AtrousCascade", "BasicBlock", "ConvNeXtBlock"}  # of plain torch
    special = {"LargeKernelConv2d", "DCNv3", "DCNv4"}  # `RepConv2d` and `DeformableAggregation2d` with fewer choices
    assert kinds | composed | special == {name.partition(",")[0] for name in LAYERS}
