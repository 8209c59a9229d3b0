"""Transfer learning: a new head on kernels that another task has trained, and what of them stays as it is::

    θ* = min over (θ, W) of L(W · f_θ(x), y),  begun at θ = θ₀     f_θ: all layers but the head, θ₀: the old task's

"none" trains θ and W, "all" only W with θ = θ₀, "stem" all but the first kernels.
Yosinski et al., "How transferable are features in deep neural networks?", NeurIPS 2014, arXiv:1411.1792 · chapter
fundamentals/transfer_learning.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeGuard, get_args

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from convnotes import checks
from convnotes.fundamentals.freezing import hold, hold_around, release
from convnotes.geometry import Factory, checked_padding, pair

__all__ = ["Freeze", "find_head", "hold", "release", "transfer"]

Freeze = Literal["none", "stem", "all"]


def transfer(
    backbone: nn.Module, num_classes: int, freeze: Freeze = "none", head: str | Sequence[str] | None = None
) -> nn.Module:
    """A copy of `backbone` with a new classifier of `num_classes` outputs; the rest keeps its weights.

    The new head has the kind, size, dtype, device, bias and mode of the old one, and is drawn as torch draws such a
    layer, uniform in ±1/√(fan-in), from the global generator. The modules around it that tell its outputs as
    `num_classes` or `out_channels` tell the new number. Frozen parameters have `requires_grad=False`. Norms among them
    keep normalising by the statistics of the old task, in training too: `hold` says how. Dropout goes on as before.
    Pruning, norms of weights and other parametrisations are copied, except those of the old head.

    Args:
        backbone: any network whose last layer with a matrix of weights is its classifier, an `nn.Linear` or an
            `nn.Conv2d` of 1×1, or one of another size at the very end of the network; last in the order in which the
            layers are registered. It is not changed.
        num_classes: outputs of the new head, at least 1.
        freeze: what stays as it is. "none": nothing, all parameters train, also those that were frozen before.
            "stem": the first layer with a kernel, with the norms and other vectors of parameters that are registered
            between it and the next layer (ResNet-50: `conv1`, `bn1`), but no class token. "all": everything but the
            new head.
        head: the name of the classifier, as in `named_modules`, where it is not the last; several names where side
            classifiers are to be replaced too. With "all" each of them trains. A convolution larger than 1×1 must be
            the last layer that learns in its part.

    Raises:
        TypeError: for anything but a module.
        ValueError: for an unknown `freeze`, for a network without a head, with several layers that may be it or with a
            lazy layer, and for a `head` that is not there or no classifier.

    Example:
        >>> backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1000))
        >>> net = transfer(backbone, 5, freeze="all")
        >>> net[3]
        Linear(in_features=8, out_features=5, bias=True)
        >>> [name for name, parameter in net.named_parameters() if parameter.requires_grad]
        ['3.weight', '3.bias']
    """
    checks.module("backbone", backbone)
    checks.positive(num_classes=num_classes)
    checks.one_of("freeze", freeze, get_args(Freeze))
    names = [find_head(backbone)] if head is None else [head] if isinstance(head, str) else list(head)
    layers = dict(_layers(backbone))
    _check_not_lazy(layers)
    for name in names:
        if not _may_be_head(layers.get(name)) and not _ends_in(backbone, name):
            heads = ", ".join(n for n, layer in layers.items() if _may_be_head(layer)) or "none"
            raise ValueError(
                f"head {name!r} must be a Linear or 1×1 Conv2d of the network, or a larger one at the end of its part; "
                f"those are {heads}"
            )
    if not names or "" in names:
        raise ValueError("head must name a layer inside the network: there is nothing else to transfer")

    network = _copied(backbone)
    release(network)
    if freeze == "all":
        hold(network)
    elif freeze == "stem":
        for part in _stem(network):
            hold(part)
        hold_around(network)
    for name in names:
        _renew(network, name, num_classes)
    return network


def find_head(network: nn.Module) -> str:
    """The name of the classifier: the last layer with a matrix of weights, if it is a Linear or a 1×1 Conv2d.

    A larger convolution counts where nothing comes after it but what resizes or normalises logits.

    Args:
        network: any module. It is not run.

    Raises:
        ValueError: where the last layer is something else or a layer is lazy, and where other such layers have as many
            outputs: then one of them may be the classifier and the last a side classifier.

    Example:
        >>> from convnotes.fundamentals.transfer import find_head
        >>> find_head(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 10)))
        '2'
    """
    layers = _layers(network)
    _check_not_lazy(dict(layers))
    with_matrix = [(name, layer) for name, layer in layers if _has_matrix(layer)]
    if not with_matrix or not (_may_be_head(with_matrix[-1][1]) or _ends_in(network, with_matrix[-1][0], True)):
        got = f"{with_matrix[-1][0]!r}, {with_matrix[-1][1]}" if with_matrix else "no layer with weights"
        raise ValueError(f"no head found: the network must end in a Linear or a 1×1 Conv2d, got {got}; say head=")
    name, last = with_matrix[-1]
    assert _is_dense(last)
    outputs = _outputs(last)
    alike = [n for n, layer in with_matrix[:-1] if _may_be_head(layer) and _outputs(layer) == outputs]
    if alike:
        raise ValueError(
            f"several layers with {outputs} outputs may be the head: {', '.join([*alike, name])}; say head= "
            f"(one name, or all that are to be replaced)"
        )
    return name


def _copied(network: nn.Module) -> nn.Module:
    """A deep copy; tensors that a hook computes from parameters (pruning, norms of weights) are copied as values."""
    values: dict[int, Any] = {}

    def collect(thing: Any) -> None:
        if isinstance(thing, Tensor) and not thing.is_leaf:
            values[id(thing)] = thing.detach().clone()
        elif isinstance(thing, (list, tuple)):
            for part in thing:
                collect(part)
        elif isinstance(thing, dict):
            collect(list(thing.values()))

    for module in network.modules():
        collect(vars(module))
    return copy.deepcopy(network, values)


def _layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules by name, a layer whose weight is parametrised as one of them."""
    inside = {m for layer in network.modules() if parametrize.is_parametrized(layer) for m in _computing(layer)}
    return [(name, module) for name, module in network.named_modules() if module not in inside]


def _computing(layer: nn.Module) -> Iterator[nn.Module]:
    parametrizations = layer.parametrizations
    assert isinstance(parametrizations, nn.Module)
    return parametrizations.modules()


def _check_not_lazy(layers: dict[str, nn.Module]) -> None:
    for name, layer in layers.items():
        if any(map(is_lazy, (*layer.parameters(recurse=False), *layer.buffers(recurse=False)))):
            raise ValueError(
                f"{name or 'the network'} is lazy: its sizes are not known before the network has seen an input; "
                f"run it once, then transfer it"
            )


def _has_matrix(layer: nn.Module) -> bool:
    own = list(layer.parameters(recurse=False))
    if parametrize.is_parametrized(layer):
        own += [parameter for part in _computing(layer) for parameter in part.parameters(recurse=False)]
    return any(parameter.dim() > 1 for parameter in own)


def _is_dense(layer: nn.Module | None) -> TypeGuard[nn.Linear | nn.Conv2d]:
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)


def _outputs(layer: nn.Linear | nn.Conv2d) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def _may_be_head(layer: nn.Module | None) -> TypeGuard[nn.Linear | nn.Conv2d]:
    return _is_dense(layer) and (isinstance(layer, nn.Linear) or set(layer.kernel_size) == {1})


_NO_FEATURES = (nn.Identity, nn.Upsample, nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Dropout, nn.Dropout2d)


def _ends_in(network: nn.Module, name: str, whole: bool = False) -> bool:
    """Whether a convolution of any size stands at the end of its part, or of the `whole` network, as a classifier does.

    What comes after it may resize and normalise logits, and no more: no layer that learns, and where the whole network
    is meant no ReLU or pooling either.
    """
    layers = dict(_layers(network))
    if not _is_dense(layers.get(name)) or not name:
        return False
    parent, _, _ = name.rpartition(".")
    part = network if whole else network.get_submodule(parent)
    after = [module for _, module in _layers(part)]
    after = after[after.index(layers[name]) + 1 :]
    if whole:
        return all(isinstance(module, _NO_FEATURES) for module in after)
    return not any(any(True for _ in module.parameters(recurse=False)) for module in after)


def _stem(network: nn.Module) -> list[nn.Module]:
    """The first layer with a kernel, and the norms and other vectors that are registered before the second one.

    A tensor that is registered beside layers (a class token, an embedding of positions) is no kernel.
    """
    parts: list[nn.Module] = []
    first: nn.Module | None = None
    for layer in network.modules():
        inside = first is not None and any(layer is part for part in first.modules())
        if inside:
            continue
        if _has_matrix(layer) and not _beside_layers(layer):
            if first is not None:
                break
            first = layer
            parts.append(layer)
        elif not any(True for _ in layer.children()):
            parts.append(layer)
        elif _has_matrix(layer) and first is not None:
            break
    return parts if first is not None else []


def _beside_layers(module: nn.Module) -> bool:
    """Whether a module with a matrix of its own is a container, whose kernels are those of the layers inside."""
    if parametrize.is_parametrized(module) or isinstance(getattr(module, "weight", None), Tensor):
        return False
    return any(_has_matrix(layer) for layer in module.modules() if layer is not module)


def _renew(network: nn.Module, name: str, num_classes: int) -> None:
    """Put a new classifier instead of the layer `name`, and its number of outputs into the modules around it."""
    parent, _, child = name.rpartition(".")
    old = network.get_submodule(name)
    assert _is_dense(old)
    like = next(old.parameters())  # the weight itself may be computed, and change with it
    kw = Factory(device=like.device, dtype=like.dtype)
    new: nn.Module
    if isinstance(old, nn.Linear):
        new = nn.Linear(old.in_features, num_classes, old.bias is not None, **kw)
    else:
        new = nn.Conv2d(
            old.in_channels, num_classes, pair(old.kernel_size), pair(old.stride), checked_padding(old.padding),
            pair(old.dilation), bias=old.bias is not None, padding_mode=old.padding_mode, **kw,
        )  # fmt: skip
    setattr(network.get_submodule(parent), child, new.train(old.training))
    while True:
        around = network.get_submodule(parent)
        for attribute in ("num_classes", "out_channels"):
            if vars(around).get(attribute) == _outputs(old):
                setattr(around, attribute, num_classes)
        if not parent:
            return
        parent = parent.rpartition(".")[0]
