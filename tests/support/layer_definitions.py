"""What a case of `layer_cases` is, and each layer as its definition: `convnotes.definitions` on its own weights."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from convnotes import definitions


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
    rounded: tuple[str, ...] = ()  # parameters that are rounded in use: the slope of a rounding is no derivative


def window(layer: nn.Module) -> dict[str, Any]:
    return dict(stride=layer.stride, padding=layer.padding, dilation=layer.dilation)


def mlpconv_definition(layer: nn.Module, x: Tensor) -> Tensor:
    convs = [layer.conv, *layer.mlp]
    return definitions.mlpconv(x, [c.weight for c in convs], [c.bias for c in convs], **window(layer))


def mixed_definition(layer: nn.Module, x: Tensor) -> Tensor:
    convs = list(layer.children())
    return definitions.mixed_conv2d(x, [c.weight for c in convs], [c.bias for c in convs], layer.stride, layer.dilation)


def mixed_as_tensorflow_definition(layer: nn.Module, x: Tensor) -> Tensor:
    """Each part, padded as little as gives ⌈H/s⌉×⌈W/s⌉ pixels, the odd pixel at the bottom and on the right."""
    results = []
    for conv, part in zip(layer.children(), x.split(layer.in_splits, dim=1), strict=True):
        sides: list[int] = []
        for n, s, k in zip(x.shape[:1:-1], conv.stride, conv.kernel_size, strict=True):  # the same on both axes
            missing = max(0, (-(-n // s) - 1) * s + k - n)
            sides += [missing // 2, missing - missing // 2]
        padded = torch.nn.functional.pad(part, sides)
        results.append(definitions.conv2d(padded, conv.weight, conv.bias, conv.stride))
    return torch.cat(results, dim=1)


def inception_definition(layer: nn.Module, x: Tensor) -> Tensor:
    blocks = [layer.branch1, *layer.branch2, *layer.branch3, layer.branch4[1]]
    return definitions.inception(x, [b.conv.weight for b in blocks], [b.bn for b in blocks])


def factorised_definition(layer: nn.Module, x: Tensor) -> Tensor:
    return definitions.factorised(x, layer.vertical.weight, layer.horizontal.weight, layer.horizontal.bias)


def separable_definition(layer: nn.Module, x: Tensor) -> Tensor:
    depthwise, pointwise = layer.depthwise.weight, layer.pointwise.weight[:, :, 0, 0]
    return definitions.separable(x, depthwise, pointwise, layer.pointwise.bias, **window(layer))


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
    middle = torch.zeros_like(layer.positions[..., :1, :])
    positions = torch.cat([middle, layer.positions[..., 1:, :]], dim=-2)
    return definitions.active_conv2d(x, layer.weight, positions, layer.bias, layer.stride, layer.padding)


def part_groups(layer: nn.Module) -> None:
    """Positions of the groups, which start alike, away from each other."""
    with torch.no_grad():
        layer.positions += torch.linspace(-0.37, 0.41, layer.positions.numel()).view_as(layer.positions)


def stack_definition(layer: nn.Module, x: Tensor) -> Tensor:
    convs = [part for part in layer if isinstance(part, nn.Conv2d)]
    return definitions.kernel_stack(x, [c.weight for c in convs], [c.bias for c in convs], convs[0].padding)


def non_local_definition(layer: nn.Module, x: Tensor) -> Tensor:
    """W · y + x, with maximum pooling as the largest of each window."""

    def pointwise(conv, x):
        return definitions.pointwise(x, conv.weight[:, :, 0, 0], conv.bias)

    def pooled(x):
        down, across = layer.subsample
        return x.unfold(2, down, down).unfold(3, across, across).amax((4, 5))

    source = pooled(x) if layer.pool == "before" else x
    query, key = (x, source) if layer.mode == "gaussian" else (pointwise(layer.theta, x), pointwise(layer.phi, source))
    value = pointwise(layer.g, source)
    if layer.pool == "after":
        key, value = pooled(key), pooled(value)
    scale = 1.0 if layer.scale is None else layer.scale
    y = definitions.non_local(query, key, value, layer.mode, scale, layer.relation)
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
    shortcut = x if layer.downsample is None else normed(*layer.downsample, x)
    return torch.relu(normed(layer.conv2, layer.bn2, y)) + shortcut


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
    y = x.new_zeros(1) if layer.bias is None else layer.bias.view(1, -1, 1, 1)
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
