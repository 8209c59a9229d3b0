"""One list of promises, kept by every public layer: a new layer joins by one line of `LAYERS`.

Sizes are small, odd and rectangular. A network joins `NETWORKS`, where the promises that need derivatives of a tiny
function (gradcheck and the like) are left to the layers it is made of.
"""

import copy
import io
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch
from conftest import assert_close
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import convnotes
from convnotes import definitions
from convnotes.compression.inception import FactorisedConv2d
from convnotes.compression.small_kernels import VGG
from convnotes.kernels import backend
from convnotes.operations.cifar_resnet import BasicBlock, CifarResNet

LOW_PRECISION = (torch.bfloat16,)


@dataclass(frozen=True)
class Layer:
    """A layer under contract: how to make it, what it takes and gives, and its definition."""

    make: Callable[..., nn.Module]  # takes device= and dtype=
    input: tuple[int, ...]  # [B, C, H, W]
    output: tuple[int, ...]
    definition: Callable[[nn.Module, Tensor], Tensor] | None = None  # None: a network, defined by its blocks
    flops: int | None = None  # of one forward pass: 2 × (multiply-adds of the convolutions); None: no such count
    words: tuple[str, ...] = field(default=())  # what extra_repr must say
    wake: Callable[[nn.Module], None] = lambda module: None  # off a start at which gradients are 0 or a kink
    backend: str = "auto"  # of `convnotes.kernels.backend`
    surrogate: bool = False  # True: its gradient is not meant to be the derivative (that of its definition it must be)


def mlpconv_definition(layer: nn.Module, x: Tensor) -> Tensor:
    convs = [layer.conv, *layer.mlp]
    return definitions.mlpconv(
        x, [c.weight for c in convs], [c.bias for c in convs], layer.stride, layer.padding, layer.dilation
    )


def mixed_definition(layer: nn.Module, x: Tensor) -> Tensor:
    convs = list(layer.children())
    return definitions.mixed_conv2d(x, [c.weight for c in convs], [c.bias for c in convs], layer.stride, layer.dilation)


def inception_definition(layer: nn.Module, x: Tensor) -> Tensor:
    blocks = [layer.branch1, *layer.branch2, *layer.branch3, layer.branch4[1]]
    return definitions.inception(x, [b.conv.weight for b in blocks], [b.bn for b in blocks])


def factorised_definition(layer: nn.Module, x: Tensor) -> Tensor:
    return definitions.factorised(x, layer.vertical.weight, layer.horizontal.weight, layer.horizontal.bias)


def separable_definition(layer: nn.Module, x: Tensor) -> Tensor:
    depthwise, pointwise = layer.depthwise.weight, layer.pointwise.weight[:, :, 0, 0]
    options = (layer.stride, layer.padding, layer.dilation)
    return definitions.separable(x, depthwise, pointwise, layer.pointwise.bias, *options)


def fire_definition(layer: nn.Module, x: Tensor) -> Tensor:
    convs = [layer.squeeze, layer.expand1x1, layer.expand3x3]
    return definitions.fire(x, [c.weight for c in convs], [c.bias for c in convs])


def bottleneck_definition(layer: nn.Module, x: Tensor) -> Tensor:
    weights = [layer.conv1.weight, layer.conv2.weight, layer.conv3.weight]
    shortcut = None if layer.downsample is None else (layer.downsample[0].weight, layer.downsample[1])
    stride = (layer.conv1.stride[0], layer.conv2.stride[0])
    norms = [layer.bn1, layer.bn2, layer.bn3]
    return definitions.bottleneck(x, weights, norms, stride, layer.groups, shortcut, layer.conv2.dilation[0])


def aspp_definition(layer: nn.Module, x: Tensor) -> Tensor:
    """The projection of the concatenation, as the sum of each branch's own part of it."""

    def piece(conv, norm, x):
        y = definitions.conv2d(x, conv.weight, None, 1, conv.padding, conv.dilation)
        return torch.relu(definitions.batch_norm(y, norm))

    pieces = [piece(branch[0], branch[1], x) for branch in layer.convs[:-1]]
    pieces.append(piece(*layer.convs[-1][1:3], x.mean((2, 3), keepdim=True)))  # one place, the same for all
    parts = layer.project[0].weight[:, :, 0, 0].chunk(len(pieces), dim=1)
    y = sum(definitions.pointwise(piece, part) for piece, part in zip(pieces, parts, strict=True))
    return torch.relu(definitions.batch_norm(y, layer.project[1]))


def cascade_definition(layer: nn.Module, x: Tensor) -> Tensor:
    for block in layer.blocks:
        for bottleneck in block:
            x = bottleneck_definition(bottleneck, x)
    return x


def active_definition(layer: nn.Module, x: Tensor) -> Tensor:
    middle = layer.positions.new_zeros(1, 2)
    positions = torch.cat([middle, layer.positions[1:]])
    return definitions.active_conv2d(x, layer.weight, positions, layer.bias, layer.stride, layer.padding)


def stack_definition(layer: nn.Module, x: Tensor) -> Tensor:
    convs = [part for part in layer if isinstance(part, nn.Conv2d)]
    return definitions.kernel_stack(x, [c.weight for c in convs], [c.bias for c in convs], convs[0].padding)


SYNAPSES = ((0.0, 0.0), (0.4, 1.7), (-1.3, 0.8), (1.6, -2.2), (-0.7, -0.3))  # no whole position: it has a kink


def non_local_definition(layer: nn.Module, x: Tensor) -> Tensor:
    """W · y + x, with maximum pooling as the largest of each window."""

    def pointwise(conv, x):
        return definitions.pointwise(x, conv.weight[:, :, 0, 0], conv.bias)

    down, across = layer.subsample
    source = x.unfold(2, down, down).unfold(3, across, across).amax((4, 5))
    query, key = (x, source) if layer.mode == "gaussian" else (pointwise(layer.theta, x), pointwise(layer.phi, source))
    scale = 1.0 if layer.scale is None else layer.scale
    y = definitions.non_local(query, key, pointwise(layer.g, source), layer.mode, scale, layer.relation)
    y = pointwise(layer.out, y)
    return x + (definitions.batch_norm(y, layer.norm) if isinstance(layer.norm, nn.BatchNorm2d) else y)


def wake_non_local(layer: nn.Module) -> None:
    for parameter in (*layer.out.parameters(), *layer.norm.parameters()):
        nn.init.normal_(parameter)


def deform_definition(layer: nn.Module, x: Tensor) -> Tensor:
    conv, options = layer.conv_offset, (layer.stride, layer.padding, layer.dilation)
    offset, mask = definitions.conv2d(x, conv.weight, conv.bias, *options), None
    if layer.modulated:
        K = layer.weight[0, 0].numel()
        offset, mask = offset.split([2 * K * layer.offset_groups, K * layer.offset_groups], dim=1)
        mask = torch.sigmoid(mask)
    return definitions.deform_conv2d(x, offset, layer.weight, layer.bias, *options, mask)


def let_it_move(layer: nn.Module) -> None:
    nn.init.normal_(layer.conv_offset.weight, std=0.1)
    nn.init.uniform_(layer.conv_offset.bias, -1.5, 1.5)


def shift_block_definition(layer: nn.Module, x: Tensor) -> Tensor:
    def normed(conv, norm, x):
        return definitions.batch_norm(definitions.conv2d(x, conv.weight, stride=conv.stride), norm)

    y = definitions.shift2d(torch.relu(normed(layer.conv1, layer.bn1, x)), layer.shift.displacements)
    return torch.relu(normed(layer.conv2, layer.bn2, y)) + normed(*layer.downsample, x)


def basic_block_definition(layer: nn.Module, x: Tensor) -> Tensor:
    def normed(conv, norm, x):
        return definitions.batch_norm(definitions.conv2d(x, conv.weight, None, conv.stride, conv.padding), norm)

    y = torch.relu(normed(layer.conv1, layer.bn1, x))
    return torch.relu(normed(layer.conv2, layer.bn2, y) + normed(*layer.downsample, x))


def adder_definition(layer: nn.Module, x: Tensor) -> Tensor:
    options = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return definitions.adder2d(x, layer.weight, layer.bias, *options)


def paper_adder_definition(layer: nn.Module, x: Tensor) -> Tensor:
    """The adder's values; its gradients replaced, patch by patch, by those that the paper writes down."""
    (sy, sx), (dy, dx), (py, px) = layer.stride, layer.dilation, layer.padding
    w, G = layer.weight, layer.groups
    _, _, H, W = y_shape = adder_definition(layer, x).shape
    padded = torch.nn.functional.pad(x, (px, px, py, py)).unflatten(1, (G, -1))  # [B, G, C, …]
    y = layer.bias.view(1, -1, 1, 1)
    for u in range(w.shape[2]):
        for v in range(w.shape[3]):
            rows = slice(u * dy, u * dy + (H - 1) * sy + 1, sy)
            columns = slice(v * dx, v * dx + (W - 1) * sx + 1, sx)
            patch = padded[:, :, None, :, rows, columns]  # [B, G, 1, C, H, W]
            tap = w[:, :, u, v].unflatten(0, (G, -1))[..., None, None]  # [G, O, C, 1, 1]
            d = (patch - tap).detach()
            by_patch = (-d).clamp(-1, 1) * (patch - patch.detach())  # 0, with slope clamp(w − x)
            by_tap = d * (tap - tap.detach())  # 0, with slope x − w
            y = y + (by_patch + by_tap - d.abs()).sum(3).reshape(y_shape)
    return y


LAYERS = {
    "MLPConv": Layer(
        lambda **kw: convnotes.MLPConv(3, 4, (3, 5), stride=(2, 1), padding=(1, 2), hidden_channels=(6, 5), **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 6, 7),
        definition=mlpconv_definition,
        flops=2 * 2 * 6 * 7 * (3 * 5 * 3 * 6 + 6 * 5 + 5 * 4),
        words=("3 → 6 → 5 → 4", "kernel_size=(3, 5)", "stride=(2, 1)"),
    ),
    "MixedConv2d": Layer(
        lambda **kw: convnotes.MixedConv2d(8, 5, (3, 5, 1), stride=(2, 1), dilation=(1, 2), **kw),
        input=(2, 8, 11, 7),
        output=(2, 5, 6, 7),
        definition=mixed_definition,
        flops=2 * 2 * 42 * (9 * 4 * 3 + 25 * 2 * 1 + 1 * 2 * 1),
        words=("8, 5", "kernel_sizes=(3, 5, 1)", "stride=(2, 1)", "dilation=(1, 2)", "depthwise=False"),
    ),
    "MixedConv2d, depthwise": Layer(
        lambda **kw: convnotes.MixedConv2d(4, 8, depthwise=True, **kw),
        input=(2, 4, 11, 7),
        output=(2, 8, 11, 7),
        definition=mixed_definition,
        flops=2 * 2 * 77 * (9 * 4 + 25 * 2 + 49 * 2),
        words=("4, 8", "kernel_sizes=(3, 5, 7)", "depthwise=True"),
    ),
    "Inception": Layer(
        lambda **kw: convnotes.Inception(3, 2, 3, 4, 2, 3, 2, **kw),
        input=(2, 3, 11, 7),
        output=(2, 11, 11, 7),
        definition=inception_definition,
        flops=2 * 2 * 77 * (3 * 2 + 3 * 3 + 9 * 3 * 4 + 3 * 2 + 25 * 2 * 3 + 3 * 2),
        words=("3, 11", "true_5x5=True"),
    ),
    "FactorisedConv2d": Layer(
        lambda **kw: FactorisedConv2d(3, 4, 5, hidden_channels=2, **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 11, 7),
        definition=factorised_definition,
        flops=2 * 2 * 77 * (5 * 3 * 2 + 5 * 2 * 4),
        words=("3, 4", "kernel_size=5"),
    ),
    "SeparableConv2d": Layer(
        lambda **kw: convnotes.SeparableConv2d(3, 4, (3, 5), (2, 1), (1, 2), (2, 1), depth_multiplier=2, **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 5, 7),
        definition=separable_definition,
        flops=2 * 2 * 35 * (15 * 6 + 6 * 4),
        words=("3, 4", "kernel_size=(3, 5)", "depth_multiplier=2"),
    ),
    "Fire": Layer(
        lambda **kw: convnotes.Fire(3, 2, 4, 5, **kw),
        input=(2, 3, 11, 7),
        output=(2, 9, 11, 7),
        definition=fire_definition,
        flops=2 * 2 * 77 * (3 * 2 + 2 * 4 + 9 * 2 * 5),
        words=("3 → 2 → 9",),
    ),
    "Bottleneck": Layer(
        lambda **kw: convnotes.Bottleneck(3, 4, stride=2, groups=2, width_per_group=32, **kw),
        input=(2, 3, 11, 7),
        output=(2, 16, 6, 4),
        definition=bottleneck_definition,
        flops=2 * 2 * (77 * 3 * 4 + 24 * (9 * 4 * 2 + 4 * 16 + 3 * 16)),
        words=("3 → 4 → 16", "stride=2 on the 3x3", "groups=2"),
    ),
    "Bottleneck, stride on the 1x1": Layer(
        lambda **kw: convnotes.Bottleneck(3, 4, stride=2, stride_on="1x1", **kw),
        input=(2, 3, 11, 7),
        output=(2, 16, 6, 4),
        definition=bottleneck_definition,
        flops=2 * 2 * 24 * (3 * 4 + 9 * 4 * 4 + 4 * 16 + 3 * 16),
        words=("stride=2 on the 1x1",),
    ),
    "KernelStack": Layer(
        lambda **kw: convnotes.KernelStack(3, 4, 5, padding="valid", **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 7, 3),
        definition=stack_definition,
        flops=2 * 2 * (9 * 5 * 9 * 3 * 4 + 7 * 3 * 9 * 4 * 4),
        words=("3, 4", "kernel_size=5", "padding='valid'"),
    ),
    "ASPP": Layer(
        lambda **kw: convnotes.ASPP(3, 4, rates=(1, 3, 8), **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 11, 7),
        definition=aspp_definition,
        flops=2 * 2 * (77 * (3 * 4 + 3 * 9 * 3 * 4 + 5 * 4 * 4) + 3 * 4),
        words=("3, 4", "rates=(1, 3, 8)", "image_pooling=True"),
    ),
    "AtrousCascade": Layer(
        # wide enough that no place has all its units off: there the ReLU after the sum would sit on its kink
        lambda **kw: convnotes.AtrousCascade(3, 8, blocks=2, multi_grid=(1,), **kw),
        input=(2, 3, 7, 5),
        output=(2, 32, 7, 5),
        definition=cascade_definition,
        flops=2 * 2 * 35 * (3 * 8 + 32 * 8 + 2 * (9 * 8 * 8 + 8 * 32) + 3 * 32),
        words=("3, 32", "rates=((2,), (4,))"),
    ),
    "ActiveConv2d": Layer(
        lambda **kw: convnotes.ActiveConv2d(3, 4, SYNAPSES, stride=(2, 1), padding=(1, 2), max_reach=(2, 3), **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 7, 11),
        definition=active_definition,
        flops=2 * 4 * 3 * 5 * 7 * (5 + 2 * 77),  # the kernel is splatted once a call
        words=("3, 4", "synapses=5", "stride=(2, 1)", "padding=(1, 2)", "max_reach=(2, 3)"),
    ),
    "NonLocal2d": Layer(
        lambda **kw: convnotes.NonLocal2d(4, 3, scale=0.7, **kw),
        input=(2, 4, 11, 7),
        output=(2, 4, 11, 7),
        definition=non_local_definition,
        flops=2 * 2 * (77 * 4 * 3 * 4 + 77 * 77 * (3 + 3)),
        words=("4, inner_channels=3", "mode='embedded'", "subsample=(1, 1)", "scale=0.7"),
        wake=wake_non_local,
    ),
    "NonLocal2d, Gaussian": Layer(
        lambda **kw: convnotes.NonLocal2d(4, 3, "gaussian", subsample=2, **kw),
        input=(2, 4, 11, 7),
        output=(2, 4, 11, 7),
        definition=non_local_definition,
        flops=2 * 2 * (15 * 4 * 3 + 77 * 3 * 4 + 77 * 15 * (4 + 3)),
        words=("mode='gaussian'", "subsample=(2, 2)", "scale=None"),
        wake=wake_non_local,
    ),
    "NonLocal2d, dot product": Layer(
        lambda **kw: convnotes.NonLocal2d(4, 3, "dot", norm=False, **kw),
        input=(2, 4, 11, 7),
        output=(2, 4, 11, 7),
        definition=non_local_definition,
        flops=2 * 2 * (77 * 4 * 3 * 4 + (77 + 77) * 3 * 3),
        words=("mode='dot'", "norm=False"),
        wake=wake_non_local,
    ),
    "NonLocal2d, concatenation": Layer(
        lambda **kw: convnotes.NonLocal2d(4, 3, "concat", subsample=(2, 1), **kw),
        input=(2, 4, 11, 7),
        output=(2, 4, 11, 7),
        definition=non_local_definition,
        flops=2 * 2 * (77 * 4 * 3 * 2 + 35 * 4 * 3 * 2 + (77 + 35) * 3),
        words=("mode='concat'", "subsample=(2, 1)", "norm=True"),
        wake=wake_non_local,
    ),
    "DeformConv2d": Layer(
        lambda **kw: convnotes.DeformConv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2, offset_groups=2, **kw),
        input=(2, 4, 11, 7),
        output=(2, 6, 6, 9),
        definition=deform_definition,
        flops=2 * 2 * 54 * (6 * 4 * 36 + 6 * 2 * 6),
        words=("4, 6", "kernel_size=(3, 2)", "stride=(2, 1)", "groups=2", "offset_groups=2", "modulated=True"),
        wake=let_it_move,
    ),
    "DeformConv2d, v1": Layer(
        lambda **kw: convnotes.DeformConv2d(3, 4, 3, padding="same", bias=False, modulated=False, **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 11, 7),
        definition=deform_definition,
        flops=2 * 2 * 77 * (9 * 3 * 18 + 9 * 3 * 4),
        words=("3, 4", "padding=same", "modulated=False"),
        wake=let_it_move,
    ),
    "Shift2d": Layer(
        lambda **kw: convnotes.Shift2d(11, dilation=2, **kw),
        input=(2, 11, 11, 7),
        output=(2, 11, 11, 7),
        definition=lambda layer, x: definitions.shift2d(x, layer.displacements),
        flops=0,
        words=("11, kernel_size=3, dilation=2", "order='contiguous'"),
    ),
    "ActiveShift2d": Layer(
        lambda **kw: convnotes.ActiveShift2d(3, radius=4.5, **kw),
        input=(2, 3, 11, 7),
        output=(2, 3, 11, 7),
        definition=lambda layer, x: definitions.active_shift2d(x, layer.displacements),
        flops=0,
        words=("3, radius=4.5",),
    ),
    "ShiftBlock": Layer(
        lambda **kw: convnotes.ShiftBlock(3, 5, stride=2, expansion=4, order="interleaved", **kw),
        input=(2, 3, 11, 7),
        output=(2, 5, 6, 4),
        definition=shift_block_definition,
        flops=2 * 2 * (77 * 3 * 20 + 24 * (20 * 5 + 3 * 5)),
        words=("3, 5, stride=2, expansion=4",),
    ),
    "BasicBlock": Layer(
        lambda **kw: BasicBlock(3, 5, stride=2, **kw),
        input=(2, 3, 11, 7),
        output=(2, 5, 6, 4),
        definition=basic_block_definition,
        flops=2 * 2 * 24 * (9 * 3 * 5 + 9 * 5 * 5 + 3 * 5),
        words=("3, 5, stride=2",),
    ),
    "Adder2d": Layer(
        lambda **kw: convnotes.Adder2d(4, 6, (3, 5), (2, 1), (1, 2), (2, 1), groups=2, **kw),
        input=(2, 4, 11, 7),
        output=(2, 6, 5, 7),
        definition=paper_adder_definition,
        flops=0,
        words=("4, 6, kernel_size=(3, 5)", "groups=2", "gradient='paper'"),
        backend="torch",
        surrogate=True,
    ),
    "Adder2d, exact gradient": Layer(
        lambda **kw: convnotes.Adder2d(4, 6, (3, 5), (2, 1), (1, 2), (2, 1), groups=2, gradient="exact", **kw),
        input=(2, 4, 11, 7),
        output=(2, 6, 5, 7),
        definition=adder_definition,
        flops=0,
        words=("4, 6, kernel_size=(3, 5)", "stride=(2, 1)", "dilation=(2, 1)", "gradient='exact'"),
        backend="torch",
    ),
}

NETWORKS = {
    "NIN": Layer(
        lambda **kw: convnotes.NIN(num_classes=7, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("num_classes=7",),
    ),
    "GoogLeNet": Layer(
        lambda **kw: convnotes.GoogLeNet(7, **kw), input=(2, 3, 33, 18), output=(2, 7), words=("num_classes=7",)
    ),
    "MobileNetV1": Layer(
        lambda **kw: convnotes.MobileNetV1(7, width_multiplier=0.1, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("num_classes=7", "width_multiplier=0.1"),
    ),
    "Xception": Layer(
        lambda **kw: convnotes.Xception(7, **kw), input=(2, 3, 33, 18), output=(2, 7), words=("num_classes=7",)
    ),
    "SqueezeNet": Layer(
        lambda **kw: convnotes.SqueezeNet("1_1", 7, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("version='1_1'", "num_classes=7"),
    ),
    "ResNet": Layer(
        lambda **kw: convnotes.ResNet((1, 1, 1, 1), groups=2, width_per_group=16, num_classes=7, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("num_classes=7",),
    ),
    "VGG": Layer(
        lambda **kw: VGG([(4, 5), (6, 7)], num_classes=7, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("num_classes=7",),
    ),
    "DeepLabV3": Layer(
        lambda **kw: convnotes.DeepLabV3((1, 1, 1, 1), 7, aspp_channels=4, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7, 33, 18),
        words=("num_classes=7", "output_stride=8"),
    ),
    "CifarResNet": Layer(
        lambda **kw: CifarResNet(8, 7, **kw), input=(2, 3, 33, 18), output=(2, 7), words=("depth=8, num_classes=7",)
    ),
    "ShiftResNet": Layer(
        lambda **kw: convnotes.ShiftResNet(8, expansion=2, num_classes=7, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("depth=8, expansion=2, num_classes=7",),
    ),
    "AdderResNet": Layer(
        lambda **kw: convnotes.AdderResNet(8, 7, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("depth=8, num_classes=7",),
    ),
}

for name in ("Adder2d", "Adder2d, exact gradient"):
    LAYERS[f"{name}, in numba"] = replace(LAYERS[name], backend="numba")

ALL = LAYERS | NETWORKS
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
with_derivative = {name: layer for name, layer in LAYERS.items() if not layer.surrogate}
everything = pytest.mark.parametrize("layer", ALL.values(), ids=ALL)


@pytest.fixture(autouse=True)
def _backend(request):
    layer = request.node.callspec.params.get("layer") if hasattr(request.node, "callspec") else None
    name = layer.backend if layer else "auto"
    if name != "auto" and name not in backend.available():
        pytest.skip(f"{name} is not installed")
    with backend.use(name):
        yield


def made(layer: Layer, **kw) -> nn.Module:
    torch.manual_seed(0)
    module = layer.make(**kw).eval()
    layer.wake(module)
    return module


def images(layer: Layer, dtype=torch.float64, **kw) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(layer.input, dtype=dtype, generator=generator, **kw)


@everything
def test_the_output_has_the_promised_shape_and_dtype(layer):
    for dtype in (torch.float64, torch.float32):
        y = made(layer, dtype=dtype)(images(layer, dtype))
        assert y.shape == layer.output
        assert y.dtype == dtype


@every_layer
def test_it_equals_its_definition_forward_and_gradient(layer):
    module, x = made(layer, dtype=torch.float64), images(layer, requires_grad=True)
    actual, expected = module(x), layer.definition(module, x)
    assert_close(actual, expected)
    wanted = (x, *module.parameters())
    g = torch.randn_like(expected)
    for ours, defined in zip(
        torch.autograd.grad(actual, wanted, g), torch.autograd.grad(expected, wanted, g), strict=True
    ):
        assert_close(ours, defined)


def pure(module: nn.Module):
    """The module as a function of its input and parameters, and the parameters."""
    named = dict(module.named_parameters())

    def call(x, *parameters):
        return torch.func.functional_call(module, dict(zip(named, parameters, strict=True)), (x,))

    return call, tuple(named.values())


def smallest(layer: Layer) -> Tensor:
    """One picture: the numerical derivatives take a call an element."""
    return images(layer)[:1].requires_grad_()


@pytest.mark.parametrize("layer", with_derivative.values(), ids=with_derivative)
def test_gradients_are_the_numerical_ones(layer):
    call, parameters = pure(made(layer, dtype=torch.float64))
    assert torch.autograd.gradcheck(call, (smallest(layer), *parameters), fast_mode=True)


@every_layer
def test_gradients_of_gradients_are_the_numerical_ones(layer):
    call, parameters = pure(made(layer, dtype=torch.float64))
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


@everything
def test_vmap_is_a_loop(layer):
    module, x = made(layer, dtype=torch.float64), images(layer).unsqueeze(0).repeat(3, 1, 1, 1, 1)
    x = x * torch.arange(1, 4, dtype=x.dtype).view(3, 1, 1, 1, 1)
    assert_close(torch.vmap(module)(x), torch.stack([module(one) for one in x]))


@everything
def test_an_empty_batch_gives_an_empty_batch_and_zero_gradients(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)[:0].requires_grad_()
    y = module(x)
    assert y.shape == (0, *layer.output[1:])
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert all(p.grad is None or p.grad.abs().max() == 0 for p in module.parameters())


@everything
def test_strides_of_the_input_do_not_matter(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    expected = module(x)
    wide = torch.stack([x, torch.full_like(x, torch.nan)], -1)  # every other element is NaN
    assert_close(module(wide[..., 0]), expected)
    assert_close(module(x.transpose(2, 3).contiguous().transpose(2, 3)), expected)


@everything
def test_channels_last_comes_out_as_it_went_in(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    y = module.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert_close(y, made(layer, dtype=torch.float64)(x))
    if y.dim() == 4:
        assert y.is_contiguous(memory_format=torch.channels_last)


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


@everything
def test_it_works_on_the_meta_device_and_can_be_filled_later(layer):
    module = layer.make(device="meta", dtype=torch.float32)
    y = module(torch.empty(layer.input, device="meta"))
    assert y.device.type == "meta"
    assert y.shape == layer.output
    filled = module.to_empty(device="cpu")
    for tensor in (*filled.parameters(), *filled.buffers()):
        if tensor.is_floating_point():
            tensor.data.fill_(torch.nan)
    torch.manual_seed(0)
    filled.reset_parameters()
    assert all(p.isfinite().all() for p in filled.parameters())
    torch.manual_seed(0)
    for name, value in layer.make(dtype=torch.float32).state_dict().items():
        assert torch.equal(filled.state_dict()[name], value), f"reset_parameters leaves {name} another way"


@everything
def test_it_pickles_and_its_state_makes_a_round_trip(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    expected = module(x)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), expected)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    torch.manual_seed(9)
    other = layer.make(dtype=torch.float64).eval()
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.equal(other(x), expected)


@everything
def test_it_compiles_to_one_graph(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    torch.compiler.reset()
    assert_close(torch.compile(module, fullgraph=True, backend="aot_eager")(x), module(x))


@everything
def test_it_exports_with_any_batch(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},))
    more = torch.cat([x, x, x])
    assert_close(program.module()(more), module(more))


@everything
def test_autocast_computes_in_low_precision(layer):
    module, x = made(layer, dtype=torch.float32), images(layer, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x)
    assert y.isfinite().all()
    torch.testing.assert_close(y.float(), module(x), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", [name for name, layer in LAYERS.items() if layer.flops is not None])
def test_torch_counts_its_flops(name):
    layer = LAYERS[name]
    with FlopCounterMode(display=False) as counter:
        made(layer, device="meta")(torch.empty(layer.input, device="meta"))
    assert counter.get_total_flops() == layer.flops


@everything
def test_extra_repr_says_how_it_was_made(layer):
    text = made(layer).extra_repr()
    for word in layer.words:
        assert word in text


@everything
def test_bad_inputs_are_refused_in_words(layer):
    module, x = made(layer, dtype=torch.float32), images(layer, torch.float32)
    name = re.escape(type(module).__name__)
    with pytest.raises(ValueError, match=rf"{name} needs images \[B, {x.shape[1]}, H, W\], got shape"):
        module(x[0])
    with pytest.raises(ValueError, match=rf"{name} needs {x.shape[1]} channels .* got {x.shape[1] + 1}"):
        module(torch.cat([x, x[:, :1]], 1))
    if any(True for _ in module.parameters()):  # without weights every dtype and device fits
        with pytest.raises(ValueError, match=rf"{name} has weights of torch.float32, but the input is torch.float64"):
            module(x.double())
        with pytest.raises(ValueError, match=rf"{name} has its weights on cpu, but the input is on meta"):
            module(x.to("meta"))
    with pytest.raises(TypeError, match=rf"{name} needs a tensor of images .* got ndarray"):
        module(x.numpy())


@everything
def test_training_and_inference_leave_the_input_alone(layer):
    module, x = layer.make(dtype=torch.float64), images(layer)
    before = x.clone()
    module.train()(x)
    module.eval()(x)
    assert torch.equal(x, before)


def test_every_public_layer_is_under_contract():
    modules = {n for n in convnotes.__all__ if isinstance(getattr(convnotes, n), type)}
    assert modules <= set(ALL), "a public layer without a line in LAYERS or NETWORKS"
