"""Blocks and networks take what makes their activations, as timm's do, and have ReLU by default."""

import functools

import pytest
import torch
from support.close import assert_close
from torch import nn

from convnotes import Bottleneck, MobileNetV1, ResNet, mobilenet_v1, resnet50, resnext50_32x4d
from convnotes.operations.cifar_resnet import BasicBlock

MADE = {
    "Bottleneck": (lambda **kw: Bottleneck(8, 2, **kw), (2, 8, 9, 7), 3),
    "BasicBlock": (lambda **kw: BasicBlock(8, 8, **kw), (2, 8, 9, 7), 2),
    "ResNet": (lambda **kw: ResNet((1, 1, 1, 1), num_classes=5, **kw), (2, 3, 33, 40), 13),
    "MobileNetV1": (lambda **kw: MobileNetV1(5, 0.1, **kw), (2, 3, 33, 40), 27),
}
every_one = pytest.mark.parametrize(("make", "shape", "count"), MADE.values(), ids=MADE)


def of(network, kind):
    return [module for module in network.modules() if type(module) is kind]


@every_one
def test_all_activations_are_made_by_it_and_the_parameters_stay(make, shape, count):
    default, other = make(dtype=torch.float64), make(dtype=torch.float64, act_layer=nn.Tanh)
    assert len(of(other, nn.Tanh)) == count
    assert not of(other, nn.ReLU)
    assert not of(default, nn.Tanh)
    other.load_state_dict(default.state_dict(), strict=True)
    x = torch.randn(shape, dtype=torch.float64)
    for module in other.eval().modules():
        for name, child in module.named_children():
            if type(child) is nn.Tanh:
                setattr(module, name, nn.ReLU())
    assert torch.equal(default.eval()(x), other(x))


@every_one
def test_an_activation_with_parameters_has_its_own_at_every_place(make, shape, count):
    network = make(act_layer=functools.partial(nn.PReLU, init=0.5), dtype=torch.float32)
    assert len({id(p) for act in of(network, nn.PReLU) for p in act.parameters()}) == count
    network(torch.randn(shape)).square().sum().backward()
    assert all(act.weight.grad is not None for act in of(network, nn.PReLU))


def test_a_block_is_what_its_parts_give():
    block, x = Bottleneck(8, 2, act_layer=nn.SiLU, dtype=torch.float64).eval(), torch.randn(2, 8, 9, 7).double()
    y = nn.functional.silu(block.bn1(block.conv1(x)))
    y = nn.functional.silu(block.bn2(block.conv2(y)))
    assert_close(block(x), nn.functional.silu(block.bn3(block.conv3(y)) + x))


@pytest.mark.parametrize("build", [mobilenet_v1, resnet50, resnext50_32x4d])
def test_the_published_networks_pass_it_on(build):
    network = build(5, device="meta", act_layer=nn.ReLU6)
    assert of(network, nn.ReLU6)
    assert not of(network, nn.ReLU)
