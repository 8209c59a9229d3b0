"""Copies of a model that a measurement may do anything with.

Every tensor that a module holds is copied by itself: parameters, buffers, and plain attributes, among them the weights
that pruning and the older norms of `torch.nn.utils` compute, which `copy.deepcopy` refuses.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from convnotes.kernels import private
from convnotes.measure.hooks import Holding, bring, hooks_of
from convnotes.measure.trees import found

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrapped(module: nn.Module) -> nn.Module:
    """What `torch.compile`, `DataParallel` or `DistributedDataParallel` was given."""
    while True:
        inner = module.module if isinstance(module, _WRAPPERS) else private.uncompiled(module)
        if inner is module:
            return module
        module = inner


class Script(nn.Module):
    """A scripted or traced module as one layer that can have hooks; what is in it stays out of sight."""

    def __init__(self, script: nn.Module, device: str | None, dtype: torch.dtype | None) -> None:
        super().__init__()
        if device != "meta":  # a script cannot go there; `OnMeta` takes its weights there one by one
            script.to(device=device, dtype=dtype)
        self.held = (script.eval(),)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.held[0](*args, **kwargs)

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        yield from self.held[0].named_parameters(*args, **kwargs)


def copied(model: nn.Module, device: str | None = None, dtype: torch.dtype | None = None) -> nn.Module:
    """A copy in eval mode without wrappers; floats in `dtype`. On "meta" nothing is copied.

    Its hooks are copies of those of the model (see `hooks`). Raises `ValueError` for a lazy module that has not run
    yet, and for a wrapper that has hooks of its own.
    """
    with torch.inference_mode(False), torch.no_grad():
        memo: dict[int, Any] = {}
        scripts = [module for module in model.modules() if isinstance(module, torch.jit.ScriptModule)]
        inside = {id(part) for script in scripts for part in script.modules()}
        for module in model.modules():
            if id(module) not in inside:
                for tensor in _held(module):
                    memo.setdefault(id(tensor), _copy(tensor, device, dtype))
        for script in scripts:
            if id(script) not in memo:
                memo[id(script)] = Script(copy.deepcopy(script), device, dtype)
        for module in reversed(list(model.modules())):
            inner = unwrapped(module)
            if inner is not module:
                if any(hooks_of(module)):
                    raise ValueError(f"{type(module).__name__} has hooks of its own: put them on the module inside")
                memo[id(module)] = copy.deepcopy(inner, memo)
        twin = copy.deepcopy(model, memo).eval()
        holding = Holding(lambda tensor: _copy(tensor, device, dtype), memo)
        for module in model.modules():
            if id(module) not in inside and unwrapped(module) is module:
                bring(module, memo[id(module)], holding)
    return twin


def _held(module: nn.Module) -> list[Tensor]:
    """The tensors that a module holds itself."""
    for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
        if isinstance(tensor, nn.parameter.UninitializedParameter | nn.parameter.UninitializedBuffer):
            raise ValueError(f"{type(module).__name__}.{name} has no shape yet: run the lazy module once first")
    return list(found(vars(module), Tensor))


def _copy(tensor: Tensor, device: str | None, dtype: torch.dtype | None) -> Tensor:
    dtype = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    if device == "meta":
        new = torch.empty_like(tensor, device="meta", dtype=dtype)
    else:
        new = tensor.detach().to(device=device, dtype=dtype, copy=True)
    return nn.Parameter(new, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else new


@contextlib.contextmanager
def operation_by_operation() -> Iterator[None]:
    """Inside: attention layers call the operations that they consist of, and not one fused operator for all."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class OwnModes(TorchFunctionMode):
    """Inside: functions run outside inference mode, with or without gradients, whatever the model itself asks for."""

    def __init__(self, gradients: bool) -> None:
        super().__init__()
        self.gradients = gradients

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") == "_set_grad_enabled":  # a no_grad or enable_grad of the model
            return func(self.gradients)
        if torch.is_inference_mode_enabled():
            with torch.inference_mode(False), torch.set_grad_enabled(self.gradients):
                return self.call(func, args, kwargs or {})
        return self.call(func, args, kwargs or {})  # inside an autograd function it stays without gradients

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return func(*args, **kwargs)


class OnMeta(private.TorchDispatchMode):  # type: ignore[misc]  # a class of torch, where it has one
    """Inside: what meets a tensor on the meta device counts as one, as do constants that a forward makes."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return func(*as_meta(args), **as_meta(kwargs or {}))


def as_meta(tree: Any) -> Any:
    """The tensors of a call, all on the meta device where one is."""
    tensors = list(found(tree, Tensor))
    if not any(t.is_meta for t in tensors) or all(t.is_meta for t in tensors):
        return tree
    return mapped(tree, lambda t: t if t.is_meta else torch.empty_like(t, device="meta"))


def mapped(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same with each of its tensors changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, MutableMapping):
        new = copy.copy(tree)
        new.update({name: mapped(part, change) for name, part in tree.items()})
        return new
    if not isinstance(tree, tuple | list):
        return tree
    parts = [mapped(part, change) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
