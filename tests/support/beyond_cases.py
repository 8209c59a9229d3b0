"""The layers of part 4 once, as data, as `layer_cases` has the others, and each as its definition."""

import math

import torch
from support.layer_definitions import Layer, adder_definition, let_it_move, paper_adder_definition, window
from torch import Tensor, nn

import convnotes
from convnotes import definitions


def branches_definition(layer: nn.Module, x: Tensor) -> Tensor:
    parts = [part if isinstance(part, nn.Sequential) else (None, part) for part in layer.children()]
    weights = [None if conv is None else conv.weight for conv, _ in parts]
    groups = x.shape[1] if isinstance(layer, convnotes.LargeKernelConv2d) else layer.groups
    return definitions.branches(x, weights, [norm for _, norm in parts], getattr(layer, "stride", 1), groups)


def convnext_definition(layer: nn.Module, x: Tensor) -> Tensor:
    depthwise, _, norm, wide, _, narrow, _ = layer.block
    return definitions.convnext_block(x, depthwise, norm, wide, narrow, layer.layer_scale)


def mixture_definition(layer: nn.Module, x: Tensor) -> Tensor:
    means = x.flatten(2).mean(2)  # [B, C]
    if isinstance(layer, convnotes.CondConv2d):
        coefficients = 1 / (1 + (-linear(layer.routing_fn, means)).exp())
    else:
        scores = linear(layer.fc2, torch.relu(linear(layer.fc1, means)))
        powers = (scores / layer.temperature).exp()
        coefficients = powers / powers.sum(1, keepdim=True)
    weights, biases = [e.weight for e in layer.experts], [e.bias for e in layer.experts]
    biases = None if biases[0] is None else biases
    return definitions.mixture_conv2d(x, coefficients, weights, biases, **window(layer), groups=layer.groups)


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    return x @ layer.weight.T + layer.bias


def involution_definition(layer: nn.Module, x: Tensor) -> Tensor:
    (sy, sx), (conv, norm), (last,) = layer.stride, layer.conv1, layer.conv2
    rows = [x[:, :, i : i + sy].mean(2) for i in range(0, x.shape[2], sy)]  # fewer pixels at the edge
    pooled = torch.stack(rows, 2)
    pooled = torch.stack([pooled[..., j : j + sx].mean(3) for j in range(0, x.shape[3], sx)], 3)
    y = torch.relu(definitions.batch_norm(definitions.conv2d(pooled, conv.weight), norm))
    kernels = definitions.conv2d(y, last.weight, last.bias).unflatten(1, (layer.groups, *layer.kernel_size))
    return definitions.involution2d(x, kernels, **window(layer))


def aggregation_definition(layer: nn.Module, x: Tensor) -> Tensor:
    G, K, seen, value = layer.groups, layer.taps, x, x
    if layer.depthwise is not None:
        conv = layer.depthwise
        seen = definitions.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding, 1, layer.channels)
    if layer.norm is not None:
        centred = seen - seen.mean(1, keepdim=True)
        seen = centred / (centred.square().mean(1, keepdim=True) + layer.norm.eps).sqrt()
        seen = seen * layer.norm.weight[:, None, None] + layer.norm.bias[:, None, None]
        seen = seen * (1 + torch.erf(seen / math.sqrt(2))) / 2  # GELU
    predicted = definitions.conv2d(seen, layer.conv_offset.weight, layer.conv_offset.bias, layer.conv_offset.stride)
    offset, mask = predicted[:, : 2 * G * K], predicted[:, 2 * G * K :]
    if layer.softmax:
        powers = mask.unflatten(1, (G, K)).exp()
        mask = (powers / powers.sum(2, keepdim=True)).flatten(1, 2)
    if layer.value_proj is not None:
        value = definitions.conv2d(x, layer.value_proj.weight, layer.value_proj.bias)
    spread = dict(groups=G, offset_scale=layer.offset_scale, remove_center=layer.remove_center)
    y = definitions.deform_aggregate2d(value, offset, mask, layer.kernel_size, **window(layer), **spread)
    return y if layer.output_proj is None else definitions.conv2d(y, layer.output_proj.weight, layer.output_proj.bias)


def ghost_definition(layer: nn.Module, x: Tensor) -> Tensor:
    parts = (*layer.primary_conv[:2], *layer.cheap_operation[:2])
    return definitions.ghost_conv2d(x, *parts, layer.out_channels)


def partial_definition(layer: nn.Module, x: Tensor) -> Tensor:
    return definitions.partial_conv2d(x, layer.partial_conv3.weight)


def power_definition(layer: nn.Module, x: Tensor) -> Tensor:
    weight = definitions.power_of_two(layer.weight, layer.weight_bits)
    return definitions.conv2d(x, weight, layer.bias, **window(layer), groups=layer.groups)


def shift_add_definition(layer: nn.Module, x: Tensor) -> Tensor:
    add = paper_adder_definition if layer.gradient == "paper" else adder_definition
    return add(layer.add, power_definition(layer.shift, x))


BEYOND = {
    "RepConv2d": Layer(
        lambda **kw: convnotes.RepConv2d(4, 4, 3, groups=2, branches=("kxk", "identity", "1x1", "1xk"), **kw),
        input=(2, 4, 11, 7),
        output=(2, 4, 11, 7),
        definition=branches_definition,
        flops=2 * 2 * 77 * (9 + 1 + 3) * 2 * 4,
        words=("4, 4", "kernel_size=3", "groups=2", "branches=('kxk', 'identity', '1x1', '1xk')"),
    ),
    "RepConv2d, strided": Layer(
        lambda **kw: convnotes.RepConv2d(3, 6, 5, stride=2, **kw),
        input=(2, 3, 11, 7),
        output=(2, 6, 6, 4),
        definition=branches_definition,
        flops=2 * 2 * 24 * (25 + 1) * 3 * 6,
        words=("3, 6", "kernel_size=5", "stride=2"),
    ),
    "LargeKernelConv2d": Layer(
        lambda **kw: convnotes.LargeKernelConv2d(3, 13, 5, **kw),
        input=(2, 3, 11, 7),
        output=(2, 3, 11, 7),
        definition=branches_definition,
        flops=2 * 2 * 77 * (169 + 25) * 3,
        words=("3, kernel_size=13", "small_kernel=5", "strips=False"),
    ),
    "LargeKernelConv2d, strips": Layer(
        lambda **kw: convnotes.LargeKernelConv2d(3, 9, 3, strips=True, **kw),
        input=(2, 3, 11, 7),
        output=(2, 3, 11, 7),
        definition=branches_definition,
        flops=2 * 2 * 77 * (27 + 27 + 9) * 3,
        words=("strips=True",),
    ),
    "ConvNeXtBlock": Layer(
        lambda **kw: convnotes.ConvNeXtBlock(3, layer_scale=0.7, **kw),
        input=(2, 3, 11, 7),
        output=(2, 3, 11, 7),
        definition=convnext_definition,
        flops=2 * 2 * 77 * (49 * 3 + 2 * 3 * 12),
        words=("3, kernel_size=7", "expansion=4"),
    ),
    "CondConv2d": Layer(
        lambda **kw: convnotes.CondConv2d(4, 6, (3, 5), (2, 1), (1, 2), (2, 1), groups=2, num_experts=3, **kw),
        input=(2, 4, 11, 7),
        output=(2, 6, 5, 7),
        definition=mixture_definition,
        flops=2 * 2 * (35 * 15 * 2 * 6 + 3 * (15 * 2 * 6 + 6) + 4 * 3),
        words=("4, 6, kernel_size=(3, 5)", "stride=(2, 1)", "groups=2", "num_experts=3"),
    ),
    "DynamicConv2d": Layer(
        lambda **kw: convnotes.DynamicConv2d(8, 6, 3, padding="same", bias=False, temperature=0.3, **kw),
        input=(2, 8, 11, 7),
        output=(2, 6, 11, 7),
        definition=mixture_definition,
        flops=2 * 2 * (77 * 9 * 8 * 6 + 4 * 9 * 8 * 6 + 8 * 2 + 2 * 4),
        words=("8, 6", "padding=same", "num_experts=4", "temperature=0.3"),
    ),
    "Involution2d": Layer(
        lambda **kw: convnotes.Involution2d(6, (3, 5), dilation=(2, 1), groups=2, reduction=2, **kw),
        input=(2, 6, 11, 7),
        output=(2, 6, 11, 7),
        definition=involution_definition,
        flops=2 * 2 * 77 * (6 * 3 + 3 * 2 * 15),
        words=("6, kernel_size=(3, 5)", "dilation=(2, 1)", "groups=2", "reduction=2"),
    ),
    "Involution2d, strided": Layer(
        lambda **kw: convnotes.Involution2d(4, 3, stride=(2, 3), groups=2, **kw),
        input=(2, 4, 11, 7),
        output=(2, 4, 6, 3),
        definition=involution_definition,
        flops=2 * 2 * 18 * (4 * 1 + 1 * 2 * 9),
        words=("stride=(2, 3)",),
    ),
    "DeformableAggregation2d": Layer(
        lambda **kw: convnotes.DeformableAggregation2d(
            *(6, (3, 5), (2, 1), (1, 2), 2, 1.5, True), predictor_size=(3, 1), act_layer=None, projections=False, **kw
        ),
        input=(2, 6, 11, 7),
        output=(2, 6, 6, 7),
        definition=aggregation_definition,
        flops=2 * 2 * 42 * (3 * 6 + 6 * 3 * 2 * 14),
        words=("6, kernel_size=(3, 5)", "stride=(2, 1)", "groups=2", "offset_scale=1.5", "remove_center=True"),
        wake=let_it_move,
    ),
    "DCNv3": Layer(
        lambda **kw: convnotes.DCNv3(4, groups=2, **kw),
        input=(2, 4, 11, 7),
        output=(2, 4, 11, 7),
        definition=aggregation_definition,
        flops=2 * 2 * 77 * (2 * 4 * 4 + 9 * 4 + 4 * 3 * 2 * 9),
        words=("4, kernel_size=(3, 3)", "softmax=True", "predictor_size=(3, 3)"),
        wake=let_it_move,
    ),
    "DCNv4": Layer(
        lambda **kw: convnotes.DCNv4(4, stride=2, groups=2, offset_scale=0.8, **kw),
        input=(2, 4, 11, 7),
        output=(2, 4, 6, 4),
        definition=aggregation_definition,
        flops=2 * 2 * (77 * 4 * 4 + 24 * (4 * 4 + 4 * 3 * 2 * 9)),
        words=("stride=(2, 2)", "offset_scale=0.8", "softmax=False", "predictor_size=None"),
        wake=let_it_move,
    ),
    "GhostConv2d": Layer(
        lambda **kw: convnotes.GhostConv2d(4, 7, 3, stride=2, ratio=3, cheap_kernel_size=5, **kw),
        input=(2, 4, 11, 7),
        output=(2, 7, 6, 4),
        definition=ghost_definition,
        flops=2 * 2 * 24 * (9 * 4 * 3 + 25 * 6),
        words=("4, 7", "kernel_size=3", "stride=2", "ratio=3", "cheap_kernel_size=5"),
    ),
    "PartialConv2d": Layer(
        lambda **kw: convnotes.PartialConv2d(7, 5, n_div=3, **kw),
        input=(2, 7, 11, 7),
        output=(2, 7, 11, 7),
        definition=partial_definition,
        flops=2 * 2 * 77 * 25 * 2 * 2,
        words=("7, kernel_size=5", "n_div=3"),
    ),
    "PowerOfTwoConv2d": Layer(
        lambda **kw: convnotes.PowerOfTwoConv2d(4, 6, (3, 5), (2, 1), (1, 2), (2, 1), groups=2, weight_bits=3, **kw),
        input=(2, 4, 11, 7),
        output=(2, 6, 5, 7),
        definition=power_definition,
        flops=2 * 2 * 35 * 15 * 2 * 6,
        words=("4, 6, kernel_size=(3, 5)", "groups=2", "weight_bits=3"),
        rounded=("weight",),
    ),
    "ShiftAdd2d": Layer(
        lambda **kw: convnotes.ShiftAdd2d(3, 5, (3, 5), (2, 1), (1, 2), **kw),
        input=(2, 3, 11, 7),
        output=(2, 5, 6, 7),
        definition=shift_add_definition,
        flops=2 * 2 * 42 * 15 * 3 * 5,
        words=("3, 5, kernel_size=(3, 5)", "stride=(2, 1)", "padding=(1, 2)", "weight_bits=5", "gradient='paper'"),
        surrogate=True,
        rounded=("shift.weight",),
    ),
}
