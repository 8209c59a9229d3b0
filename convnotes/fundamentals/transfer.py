"""Transfer learning: a new head on kernels that another task has trained, and what of them stays as it is::

    θ* = min over (θ, W) of L(W · f_θ(x), y),  begun at θ = θ₀     f_θ: all layers but the head, θ₀: the old task's

"none" trains θ and W, "all" only W with θ = θ₀, "stem" all but the first kernels.
Yosinski et al., "How transferable are features in deep neural networks?", NeurIPS 2014, arXiv:1411.1792 · chapter
fundamentals/transfer_learning.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Literal, TypeGuard, get_args

from torch import nn

from convnotes import checks
from convnotes.geometry import Factory, checked_padding, pair

Freeze = Literal["none", "stem", "all"]


def transfer(
    backbone: nn.Module, num_classes: int, freeze: Freeze = "none", head: str | Sequence[str] | None = None
) -> nn.Module:
    """A copy of `backbone` with a new classifier of `num_classes` outputs; the rest keeps its weights.

    Args:
        backbone: any network whose last layer with a matrix of weights is its classifier, an `nn.Linear` or an
            `nn.Conv2d` of 1×1; last in the order in which the layers are registered. It is not changed.
        num_classes: outputs of the new head, at least 1.
        freeze: what stays as it is. "none": nothing, all parameters train, also those that were frozen before.
            "stem": the first convolution, with the norms and other vectors of parameters that are registered between
            it and the next layer (ResNet-50: `conv1`, `bn1`). "all": everything but the new head.
        head: the name of the classifier, as in `named_modules`, where it is not the last; several names where side
            classifiers are to be replaced too. With "all" each of them trains.

    The new head has the kind, dtype, device, bias and mode of the old one, and is drawn as torch draws such a layer,
    uniform in ±1/√(inputs), from the global generator. The modules around it that tell its outputs as `num_classes` or
    `out_channels` tell the new number. Frozen parameters have `requires_grad=False`. Norms among them keep normalising
    by the statistics of the old task, in training too: `hold` says how. Dropout goes on as before.

    Raises `TypeError` for what is no module and `ValueError` for an unknown `freeze`, for a network without a head or
    with several layers that may be it, and for a `head` that is not there or no classifier.
    """
    checks.module("backbone", backbone)
    checks.positive(num_classes=num_classes)
    checks.one_of("freeze", freeze, get_args(Freeze))
    names = [find_head(backbone)] if head is None else [head] if isinstance(head, str) else list(head)
    layers = dict(backbone.named_modules())
    for name in names:
        if not _may_be_head(layers.get(name)):
            heads = ", ".join(n for n, layer in layers.items() if _may_be_head(layer)) or "none"
            raise ValueError(f"head {name!r} is no Linear or 1×1 Conv2d of the network; those are {heads}")
    if not names or "" in names:
        raise ValueError("head must name a layer inside the network: there is nothing else to transfer")

    network = copy.deepcopy(backbone)
    release(network)
    if freeze == "all":
        hold(network)
    elif freeze == "stem":
        for part in _stem(network):
            hold(part)
    for name in names:
        _renew(network, name, num_classes)
    return network


def hold(part: nn.Module) -> None:
    """Freeze `part` in place: its parameters get no gradient and its norms keep the statistics that they have.

    Freezing the parameters alone would not do: in training mode a batch norm divides by the statistics of the batch
    and goes on averaging them, so the kernels after it see other inputs. Every module inside with a `running_mean` is
    put into eval mode and stays there when `train()` is called on it or around it. `release` undoes both.
    Copies, pickles and `state_dict` names are as before.
    """
    for parameter in part.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None  # what is left of an earlier step would still move it
    for module in part.modules():
        if getattr(module, "running_mean", None) is not None:
            vars(module)["train"] = functools.partial(_stay_in_eval, module)
            module.eval()


def release(part: nn.Module) -> None:
    """Let everything inside `part` train again, in place; norms that `hold` held take the mode of `part`."""
    for parameter in part.parameters():
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
    for module in part.modules():
        if getattr(vars(module).get("train"), "func", None) is _stay_in_eval:
            del module.train
            module.train(part.training)


def find_head(network: nn.Module) -> str:
    """The name of the classifier: the last layer with a matrix of weights, if it is a Linear or a 1×1 Conv2d.

    `ValueError` where it is something else, and where other such layers have as many outputs: then one of them may be
    the classifier and the last a side classifier.
    """
    with_matrix = [(name, layer) for name, layer in network.named_modules() if _has_matrix(layer)]
    if not with_matrix or not _may_be_head(with_matrix[-1][1]):
        last = f"{with_matrix[-1][0]!r}, {with_matrix[-1][1]}" if with_matrix else "no layer with weights"
        raise ValueError(f"no head found: the network must end in a Linear or a 1×1 Conv2d, got {last}; say head=")
    name, last = with_matrix[-1]
    alike = [n for n, layer in with_matrix if _may_be_head(layer) and len(layer.weight) == len(last.weight)]
    if len(alike) > 1:
        raise ValueError(
            f"several layers with {len(last.weight)} outputs may be the head: {', '.join(alike)}; say head= (one name, "
            f"or all that are to be replaced)"
        )
    return name


def _stay_in_eval(module: nn.Module, mode: bool = True) -> nn.Module:
    return type(module).train(module, False)


def _has_matrix(layer: nn.Module) -> bool:
    return any(parameter.dim() > 1 for parameter in layer.parameters(recurse=False))


def _may_be_head(layer: nn.Module | None) -> TypeGuard[nn.Linear | nn.Conv2d]:
    return isinstance(layer, nn.Linear) or (
        isinstance(layer, nn.Conv2d) and set(layer.kernel_size) == {1} and layer.groups == 1
    )


def _stem(network: nn.Module) -> list[nn.Module]:
    """The modules up to the second one with a matrix: the first convolution and the vectors that follow it."""
    parts, seen = [], False
    for layer in network.modules():
        if _has_matrix(layer):
            if seen:
                break
            seen = True
        if not any(True for _ in layer.children()):
            parts.append(layer)
    return parts


def _renew(network: nn.Module, name: str, num_classes: int) -> None:
    """Put a new classifier in the place of the layer `name`, and its number of outputs into the modules around it."""
    parent, _, child = name.rpartition(".")
    old = network.get_submodule(name)
    assert _may_be_head(old)
    kw = Factory(device=old.weight.device, dtype=old.weight.dtype)
    new: nn.Module
    if isinstance(old, nn.Linear):
        new = nn.Linear(old.in_features, num_classes, old.bias is not None, **kw)
    else:
        new = nn.Conv2d(
            old.in_channels, num_classes, 1, pair(old.stride), checked_padding(old.padding),
            bias=old.bias is not None, padding_mode=old.padding_mode, **kw,
        )  # fmt: skip
    setattr(network.get_submodule(parent), child, new.train(old.training))
    while True:
        around = network.get_submodule(parent)
        for attribute in ("num_classes", "out_channels"):
            if vars(around).get(attribute) == len(old.weight):
                setattr(around, attribute, num_classes)
        if not parent:
            return
        parent = parent.rpartition(".")[0]
