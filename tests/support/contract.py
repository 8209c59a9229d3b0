"""The layers under contract as pytest takes them: one parameter for each case of `layer_cases`.

The promises that need derivatives of a tiny function (gradcheck and the like) are not asked of the networks: they are
left to the layers that those are made of.
"""

import pytest
import torch
from support.layer_cases import ALL, LAYERS
from support.layer_definitions import Layer
from torch import Tensor, nn

# What torch's own layers take as well: one image, without a batch. Blocks with norms and networks do not, as in torch.
ONE_IMAGE = (
    *("MLPConv", "MixedConv2d", "FactorisedConv2d", "SeparableConv2d", "KernelStack", "ActiveConv2d", "NonLocal2d"),
    *("DeformConv2d", "Shift2d", "ActiveShift2d", "Adder2d"),
    *("CondConv2d", "DynamicConv2d", "PartialConv2d", "PowerOfTwoConv2d", "ShiftAdd2d"),
    *("DeformableAggregation2d", "DCNv3", "DCNv4"),
)

every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
everything = pytest.mark.parametrize("layer", ALL.values(), ids=ALL)


def made(layer: Layer, **kw) -> nn.Module:
    torch.manual_seed(0)
    module = layer.make(**kw).eval()
    layer.wake(module)
    return module


def takes_one_image(module: nn.Module) -> bool:
    return type(module).__name__ in ONE_IMAGE


def images(layer: Layer, dtype=torch.float64, **kw) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(layer.input, dtype=dtype, generator=generator, **kw)
