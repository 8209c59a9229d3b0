"""Blocks and networks take what makes their activations, as timm's do, and have ReLU by default."""

import functools

import pytest
import torch
from support.close import assert_close
from torch import nn

import convnotes
from convnotes import Bottleneck, MobileNetV1, ResNet
from convnotes.operations.cifar_resnet import BasicBlock, CifarResNet, resnet20

IMAGES = (2, 3, 33, 40)
MADE = {  # how, the shape of an input, the number of activations
    "Bottleneck": (lambda **kw: Bottleneck(8, 2, **kw), (2, 8, 9, 7), 3),
    "BasicBlock": (lambda **kw: BasicBlock(8, 8, **kw), (2, 8, 9, 7), 2),
    "ResNet": (lambda **kw: ResNet((1, 1, 1, 1), num_classes=5, **kw), IMAGES, 13),
    "MobileNetV1": (lambda **kw: MobileNetV1(5, 0.1, **kw), IMAGES, 27),
    "Xception": (lambda **kw: convnotes.Xception(5, **kw), IMAGES, 4 + 1 + 2 * 2 + 8 * 3 + 2),
    "Inception": (lambda **kw: convnotes.Inception(8, 2, 2, 3, 2, 3, 2, **kw), (2, 8, 9, 7), 6),
    "GoogLeNet": (lambda **kw: convnotes.GoogLeNet(5, aux_logits=True, **kw), IMAGES, 3 + 9 * 6 + 2 * 2),
    "Fire": (lambda **kw: convnotes.Fire(8, 2, 3, 3, **kw), (2, 8, 9, 7), 2),
    "SqueezeNet 1.0": (lambda **kw: convnotes.SqueezeNet("1_0", 5, **kw), IMAGES, 1 + 8 * 2 + 1),
    "SqueezeNet 1.1": (lambda **kw: convnotes.SqueezeNet("1_1", 5, **kw), IMAGES, 1 + 8 * 2 + 1),
    "ASPP": (lambda **kw: convnotes.ASPP(8, 4, (1, 2), **kw), (2, 8, 9, 7), 1 + 2 + 1 + 1),
    "AtrousCascade": (lambda **kw: convnotes.AtrousCascade(8, 2, 2, **kw), (2, 8, 9, 7), 2 * 3 * 3),
    "DeepLabV3": (
        lambda **kw: convnotes.DeepLabV3((1, 1, 1, 1), 5, aspp_channels=4, aux_loss=True, **kw), IMAGES, 13 + 6 + 1 + 1,
    ),
    "CifarResNet": (lambda **kw: CifarResNet(8, 5, **kw), IMAGES, 1 + 3 * 2),
    "ShiftBlock": (lambda **kw: convnotes.ShiftBlock(8, 8, **kw), (2, 8, 9, 7), 2),
    "ShiftResNet": (lambda **kw: convnotes.ShiftResNet(8, num_classes=5, **kw), IMAGES, 1 + 3 * 2),
    "AdderResNet": (lambda **kw: convnotes.AdderResNet(8, 5, **kw), IMAGES, 1 + 3 * 2),
}  # fmt: skip
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
    output = network(torch.randn(shape))
    outputs = output if isinstance(output, tuple) else (output,)
    sum(one.square().sum() for one in outputs).backward()
    assert all(act.weight.grad is not None for act in of(network, nn.PReLU))


def test_a_block_is_what_its_parts_give():
    block, x = Bottleneck(8, 2, act_layer=nn.SiLU, dtype=torch.float64).eval(), torch.randn(2, 8, 9, 7).double()
    y = nn.functional.silu(block.bn1(block.conv1(x)))
    y = nn.functional.silu(block.bn2(block.conv2(y)))
    assert_close(block(x), nn.functional.silu(block.bn3(block.conv3(y)) + x))


PUBLISHED = [
    convnotes.mobilenet_v1, convnotes.resnet50, convnotes.resnext50_32x4d, convnotes.xception, convnotes.googlenet,
    convnotes.squeezenet1_0, convnotes.squeezenet1_1, convnotes.deeplabv3_resnet50, resnet20, convnotes.adder_resnet20,
]  # fmt: skip


@pytest.mark.parametrize("build", PUBLISHED)
def test_the_published_networks_pass_it_on(build):
    network = build(num_classes=5, device="meta", act_layer=nn.ReLU6)
    assert of(network, nn.ReLU6)
    assert not of(network, nn.ReLU)
    assert list(network.state_dict()) == list(build(num_classes=5, device="meta").state_dict())


@every_one
def test_a_relu_is_shown_only_where_it_was_before(make, shape, count):
    """In the networks whose names are torchvision's; elsewhere a ReLU is computed without a module."""
    default = make(device="meta")
    assert not [
        name for name, _ in default.named_modules() if name.rpartition(".")[2] in ("act", "act1", "act2", "act3")
    ]
    assert repr(default) == repr(make(device="meta", act_layer=nn.ReLU))


def test_an_activation_that_writes_in_place_leaves_the_shortcut_its_input():
    torch.manual_seed(0)
    default = convnotes.Xception(5, dtype=torch.float64).eval()
    other = convnotes.Xception(5, dtype=torch.float64, act_layer=functools.partial(nn.ReLU, inplace=True)).eval()
    other.load_state_dict(default.state_dict())
    x = torch.randn(IMAGES, dtype=torch.float64)
    assert torch.equal(default(x), other(x))


def test_blocks_of_one_s_own_need_not_take_it():
    def block(in_channels, out_channels, stride, device=None, dtype=None):
        return nn.Conv2d(in_channels, out_channels, 1, stride, device=device, dtype=dtype)

    assert CifarResNet(8, block=block)(torch.randn(IMAGES)).shape == (2, 10)
