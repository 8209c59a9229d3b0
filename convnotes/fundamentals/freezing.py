"""Freezing: parameters that get no gradient, and norms that keep the statistics that they have, until released.

Chapter fundamentals/transfer_learning.
"""

from __future__ import annotations

import functools

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm


def hold(part: nn.Module) -> None:
    """Freeze `part` in place: its parameters get no gradient and its norms keep the statistics that they have.

    Freezing the parameters alone would not do: in training mode a batch norm divides by the statistics of the batch
    and goes on averaging them, so the kernels after it see other inputs. Every module inside with a `running_mean` is
    put into eval mode and stays there when `train()` is called on it or around it; so is what computes a spectral
    norm, which would go on converging. Norms that `SyncBatchNorm.convert_sync_batchnorm` makes of those inside `part`
    stay so too. Copies, pickles and `state_dict` names are as before. `release` undoes it.

    Args:
        part: a network, or a module inside one.

    Example:
        >>> from convnotes.fundamentals.transfer import hold
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 10))
        >>> hold(net[:2])
        >>> [layer.training for layer in net.train()]
        [True, False, True, True]
        >>> net[0].weight.requires_grad
        False
    """
    for parameter in part.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None  # one left from an earlier step would move it
    for module in part.modules():
        if _changes_in_training(module):
            vars(module)["train"] = functools.partial(_stay_in_eval, module)
            module.eval()
    hold_around(part)


def release(part: nn.Module) -> None:
    """Let everything inside `part` train again, in place; norms that `hold` held take the mode of `part`.

    Args:
        part: a network, or a module inside one, frozen by whatever means.

    Example:
        >>> from convnotes.fundamentals.transfer import hold, release
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        >>> hold(net)
        >>> release(net)
        >>> net.train()[1].training, net[0].weight.requires_grad
        (True, True)
    """
    for parameter in part.parameters():
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
    held: list[object] = []
    for module in part.modules():
        train = vars(module).get("train")
        if isinstance(train, functools.partial) and train.func in (_stay_in_eval, _train_around):
            del module.train
            held += [module] if train.func is _stay_in_eval else [getattr(module, name, None) for name in train.args[1]]
    for norm in held:
        if isinstance(norm, nn.Module):
            norm.train(part.training)


def _changes_in_training(module: nn.Module) -> bool:
    """Whether a forward pass in training mode changes what the module computes: running statistics, spectral norms."""
    if getattr(module, "running_mean", None) is not None:
        return True
    if any(isinstance(hook, SpectralNorm) for hook in vars(module)["_forward_pre_hooks"].values()):
        return True
    return isinstance(module, parametrize.ParametrizationList) and any(True for _ in module.buffers())


def _stay_in_eval(module: nn.Module, mode: bool = True) -> nn.Module:
    return type(module).train(module, False)


def hold_around(part: nn.Module) -> None:
    """Let the modules around what is held put it back into eval mode, also after it was converted to another norm.

    `SyncBatchNorm.convert_sync_batchnorm` makes new norms, of the same parameters, which nothing else holds.
    """
    for module in part.modules():
        held = [name for name, child in module.named_children() if _is_held(child)]
        if held:
            vars(module)["train"] = functools.partial(_train_around, module, held)


def _is_held(module: nn.Module) -> bool:
    return getattr(vars(module).get("train"), "func", None) is _stay_in_eval


def _train_around(module: nn.Module, held: list[str], mode: bool = True) -> nn.Module:
    if _changes_in_training(module):  # it is held itself
        mode = False
    type(module).train(module, mode)
    for name in held:
        child = getattr(module, name, None)
        if isinstance(child, nn.Module) and not any(p.requires_grad for p in child.parameters()):
            child.train(False)
    return module
