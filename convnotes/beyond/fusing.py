"""Linear modules as one convolution::

    Σ_n (w_n ∗ x + b_n) = (Σ_n w_n) ∗ x + Σ_n b_n               smaller kernels in the centre, with zeros around them
    w_2 ∗ (w_1 ∗ x + b_1) + b_2 = (w_2 ∗ w_1) ∗ x + w_2 · b_1 + b_2      all padding before w_1
    BN(x) = γ/√(σ² + ε) · x + β − γ·μ/√(σ² + ε)                 in eval mode: a 1×1 kernel per channel

Ding et al., "Diverse branch block", CVPR 2021, arXiv:2103.13425, section 3.2 · chapter beyond/reparameterise.
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.depthwise import DepthwiseConv2d
from convnotes.fundamentals.layer import Composite
from convnotes.geometry import Factory, Pair, pair, resolve_padding

_Dropout = nn.Dropout | nn.Dropout2d


class Branches(Composite):
    """The sum of what its parts give for the same input: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    Args:
        **branches: the parts by name, each a module from C to O channels, all with maps of the same size.

    Raises:
        TypeError: for a part that is not a module.
        ValueError: without any part.

    Example:
        >>> from convnotes.beyond.fusing import Branches
        >>> both = Branches(large=nn.Conv2d(4, 8, 5, padding=2), small=nn.Conv2d(4, 8, 3, padding=1))
        >>> both.eval().fuse()
        Conv2d(4, 8, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))
    """

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        if not branches:
            raise ValueError("Branches needs one branch at least, got none")
        for name, branch in branches.items():
            checks.module(name, branch)
            self.add_module(name, branch)

    def forward(self, input: Tensor) -> Tensor:
        first, *others = self.children()
        total = first(input)
        for branch in others:
            total = total + branch(input)
        return total

    def fuse(self) -> nn.Conv2d:
        """The one convolution that equals this module in eval mode, as `convnotes.fuse` makes it."""
        return fuse(self)


def fuse(module: nn.Module, in_channels: int | None = None) -> nn.Conv2d:
    """The one convolution that equals a linear module in eval mode.

    A linear module is an `nn.Conv2d`, `nn.BatchNorm2d`, `nn.AvgPool2d`, `nn.Identity` or a dropout, an `nn.Sequential`
    of linear modules, or the sum of some, `Branches`. Weights are put together in float64. Dilated kernels become dense
    ones with zeros. Ding et al. 2021, arXiv:2103.13425, section 3.2.

    Args:
        module: a linear module, in eval mode. It stays as it is.
        in_channels: channels of the input, needed only where no convolution and no norm of `module` tells them.

    Returns:
        An `nn.Conv2d` in eval mode with new parameters. Its dtype and device are those of the weights of `module`, and
            torch's defaults where there are none.

    Raises:
        TypeError: for a part that is none of these.
        ValueError: for a batch norm or a dropout in training mode; where parts do not fit together: other channels,
            strides or sizes of map; and for a part whose padding is not that of one convolution: a series with padding
            after its first kernel, a padding mode other than zeros.

    Example:
        >>> series = nn.Sequential(nn.Conv2d(4, 6, 1, padding=1), nn.BatchNorm2d(6), nn.Conv2d(6, 8, 3)).eval()
        >>> conv, x = convnotes.fuse(series), torch.rand(2, 4, 9, 7)
        >>> conv
        Conv2d(4, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
        >>> torch.allclose(conv(x), series(x), atol=1e-6)
        True
    """
    checks.module("module", module)
    name = type(module).__name__
    told = next((m for m in module.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)), None)
    if told is not None:  # what may stand before it keeps the channels
        in_channels = told.in_channels if isinstance(told, nn.Conv2d) else told.num_features
    elif in_channels is None:
        raise ValueError(f"fuse needs in_channels for {name}, which has no weights that tell them")
    checks.positive(in_channels=in_channels)
    tensors = (t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point())
    like = next(tensors, torch.empty(0))
    with torch.no_grad():
        found = _linear(module, name, in_channels)
        make = DepthwiseConv2d if found.groups == in_channels else nn.Conv2d
        kw = Factory(device=like.device, dtype=like.dtype)
        size = (found.weight.shape[2], found.weight.shape[3])
        conv = make(in_channels, len(found.weight), size, found.stride, found.padding, groups=found.groups, **kw)
        conv.weight.copy_(found.weight)
        assert conv.bias is not None, "a convolution has a bias by default"
        conv.bias.copy_(found.bias)
    return conv.eval()


def fuse_branches(model: nn.Module) -> nn.Module:
    """A copy of a network in which each `Branches`, as `RepConv2d` is one, is the convolution that it equals.

    Args:
        model: a network in eval mode, or a `Branches`. It stays as it is.

    Raises:
        TypeError, ValueError: as `fuse`.

    Example:
        >>> net = nn.Sequential(convnotes.RepConv2d(3, 8, stride=2), nn.ReLU(), convnotes.RepConv2d(8, 8)).eval()
        >>> convnotes.fuse_branches(net)
        Sequential(
          (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))
          (1): ReLU()
          (2): Conv2d(8, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
        )
    """
    checks.module("model", model)
    if isinstance(model, Branches):
        return fuse(model)
    fused = copy.deepcopy(model)
    names = [name for name, module in fused.named_modules() if isinstance(module, Branches)]
    for name in names:
        if not any(name.startswith(f"{other}.") for other in names):  # else it is part of one that is fused
            fused.set_submodule(name, fuse(fused.get_submodule(name)))
    return fused


class _Linear(NamedTuple):
    """y = weight ∗ x + bias, in float64: weight `[O, C/groups, KH, KW]`, bias `[O]`."""

    weight: Tensor
    bias: Tensor
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    groups: int = 1

    @property
    def in_channels(self) -> int:
        return self.weight.shape[1] * self.groups

    def in_groups(self, groups: int) -> Tensor:
        """The weight for fewer groups, each of which holds several: zeros between the channels of different ones."""
        inside = self.groups // groups
        parts = self.weight.unflatten(0, (groups, inside, -1))  # [groups, inside, O/G, C/G, KH, KW]
        own = torch.eye(inside, dtype=parts.dtype, device=parts.device)
        return torch.einsum("qr,gqocuv->gqorcuv", own, parts).flatten(3, 4).flatten(0, 2)


def _linear(module: nn.Module, name: str, channels: int) -> _Linear:
    """A module of so many input channels as a convolution."""
    if isinstance(module, nn.BatchNorm2d | _Dropout) and module.training:
        raise ValueError(f"fuse needs modules in eval mode, and {name} is training: call eval() first")
    if isinstance(module, Branches):
        return _sum({f"{name}.{n}": _linear(part, f"{name}.{n}", channels) for n, part in module.named_children()})
    if isinstance(module, nn.Sequential):
        total = None
        for n, part in module.named_children():
            after = _linear(part, f"{name}.{n}", channels)
            total = after if total is None else _series(total, after, f"{name}.{n}")
            channels = len(total.weight)
        return _per_channel(torch.ones(1, 1), channels) if total is None else total
    if isinstance(module, nn.Conv2d):
        return _conv(module, name)
    if isinstance(module, nn.BatchNorm2d):
        return _norm(module, name)
    if isinstance(module, nn.AvgPool2d):
        return _pool(module, name, channels)
    if isinstance(module, nn.Identity | _Dropout):
        return _per_channel(torch.ones(1, 1), channels)
    raise TypeError(
        "fuse takes Conv2d, BatchNorm2d, AvgPool2d, Identity, dropouts, and Sequential and Branches of these, and "
        f"{name} is of {type(module).__name__}"
    )


def _per_channel(kernel: Tensor, channels: int, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> _Linear:
    weight = kernel.double().expand(channels, 1, *kernel.shape)
    return _Linear(weight, weight.new_zeros(channels), stride, padding, channels)


def _conv(conv: nn.Conv2d, name: str) -> _Linear:
    (KH, KW), (dy, dx), stride = conv.kernel_size, pair(conv.dilation), pair(conv.stride)
    (top, bottom), (left, right) = resolve_padding(conv.padding, conv.kernel_size, (dy, dx), stride)
    if (top, left) != (bottom, right):
        raise ValueError(f"fuse needs as much padding before as after, and {name} has {(top, bottom)}, {(left, right)}")
    if conv.padding_mode != "zeros" and (top, left) != (0, 0):
        raise ValueError(f'fuse needs padding_mode="zeros", and {name} has "{conv.padding_mode}"')
    weight = conv.weight.new_zeros((*conv.weight.shape[:2], dy * (KH - 1) + 1, dx * (KW - 1) + 1)).double()
    weight[:, :, ::dy, ::dx] = conv.weight
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.double()
    return _Linear(weight, bias, stride, (top, left), conv.groups)


def _norm(norm: nn.BatchNorm2d, name: str) -> _Linear:
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError(f"fuse needs running statistics, and {name} has none")
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight
    bias = -norm.running_mean * scale
    bias = bias if norm.bias is None else bias + norm.bias
    return _Linear(scale.view(-1, 1, 1, 1), bias, groups=len(scale))


def _pool(pool: nn.AvgPool2d, name: str, channels: int) -> _Linear:
    size, padding = pair(pool.kernel_size), pair(pool.padding)
    if pool.ceil_mode or (padding != (0, 0) and not pool.count_include_pad):
        raise ValueError(f"fuse needs ceil_mode=False and padding that counts as zeros, and {name} is {pool}")
    kernel = torch.full(size, 1 / (pool.divisor_override or math.prod(size)), dtype=torch.float64)
    return _per_channel(kernel, channels, pair(pool.stride), padding)


def _series(first: _Linear, second: _Linear, name: str) -> _Linear:
    """`second`, called `name`, after `first`."""
    if second.in_channels != len(first.weight):
        raise ValueError(
            f"{name} takes {second.in_channels} channels, and what stands before it gives {len(first.weight)}"
        )
    pointwise = first.weight.shape[2:] == (1, 1) and first.padding == (0, 0)
    if second.padding != (0, 0) and not (pointwise and not first.bias.any()):
        raise ValueError(
            f"fuse needs the padding of a series in its first kernel, and {name} adds {second.padding} after a kernel, "
            "a padding or a bias"
        )
    groups = math.gcd(first.groups, second.groups)
    before, after = first.in_groups(groups).to(second.weight), second.in_groups(groups)
    taps = after.unflatten(0, (groups, -1)).transpose(0, 1).flatten(1, 2)  # [O/groups, channels between, KH, KW]
    weight = F.conv_transpose2d(taps, before, stride=first.stride, groups=groups)  # taps apart by the first stride
    weight = weight.unflatten(1, (groups, -1)).transpose(0, 1).flatten(0, 1)
    seen = torch.einsum(
        "gom,gm->go", after.sum((2, 3)).unflatten(0, (groups, -1)), first.bias.view(groups, -1).to(after)
    )
    (sy, sx), (ty, tx), (top, left), (down, across) = first.stride, second.stride, first.padding, second.padding
    padding = (top + sy * down, left + sx * across)
    return _Linear(weight, second.bias + seen.flatten(), (sy * ty, sx * tx), padding, groups)


def _sum(parts: dict[str, _Linear]) -> _Linear:
    """The sum of branches, by their names."""
    (kind, model), *others = parts.items()
    for name, one in others:
        for what, ours, theirs in zip(_FITS, _fits(one), _fits(model), strict=True):
            if ours != theirs:
                raise ValueError(f"branches must agree in {what}: {name} has {ours}, {kind} {theirs}")
    groups = math.gcd(*(one.groups for one in parts.values()))
    top, left = (max(one.padding[axis] for one in parts.values()) for axis in (0, 1))
    weights, biases = [], []
    for one in parts.values():
        down, across = top - one.padding[0], left - one.padding[1]
        weights.append(F.pad(one.in_groups(groups).to(model.weight), (across, across, down, down)))
        biases.append(one.bias.to(model.weight))
    return _Linear(sum(weights[1:], weights[0]), sum(biases[1:], biases[0]), model.stride, (top, left), groups)


_FITS = ("their inputs", "their outputs", "their strides", "the sizes of their maps (kernel − 2·padding)")


def _fits(one: _Linear) -> tuple[object, ...]:
    size = tuple(k - 2 * p for k, p in zip(one.weight.shape[2:], one.padding, strict=True))
    return one.in_channels, len(one.weight), one.stride, size
