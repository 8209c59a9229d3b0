"""The caller's hooks in a copy of a model: they change what passes through it, and leave what the caller has alone.

A hook is a function that holds more than the model: lists that it appends to, counters, other modules. The hook of the
copy is the same function with copies of what it holds in its closure, its global names, its defaults, or its object.
"""

from __future__ import annotations

import copy
import dis
import functools
import itertools
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from convnotes.measure.trees import found

_CHANGING = (list, dict, set, deque, nn.Module, Tensor)


def hooks_of(module: nn.Module) -> list[dict[int, Any]]:
    """The forward pre-hooks and the forward hooks of a module."""
    handles = [module.register_forward_pre_hook(print), module.register_forward_hook(print)]
    kept = [handle.hooks_dict_ref() for handle in handles]  # a handle knows the others too
    for handle in handles:
        handle.remove()
    return [hooks for hooks in kept if hooks is not None]


def bring(module: nn.Module, twin: nn.Module, holding: Holding) -> None:
    """Give `twin`, the copy of `module`, hooks of its own."""
    for theirs, ours in zip(hooks_of(module), hooks_of(twin), strict=True):
        for key, hook in theirs.items():
            ours[key] = functools.partial(_run, holding.of(hook), type(module).__name__)


def _run(hook: Callable[..., Any], layer: str, *args: Any, **kwargs: Any) -> Any:
    """A hook in the copy. One that fails there is passed over where it could not have changed anything."""
    try:
        return hook(*args, **kwargs)
    except Exception as problem:
        if _only_looks(hook):
            return None
        raise ValueError(
            f"a hook of {layer} may change what passes, but does not run in a copy of the model ({problem}): remove it "
            f"to measure the model without it"
        ) from problem


def _only_looks(hook: Any) -> bool:
    """Whether a function returns None wherever it returns, and calls nothing that writes in place."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    code = getattr(hook, "__code__", None) or getattr(type(hook).__call__, "__code__", None)
    if code is None or any(name.endswith("_") and not name.startswith("_") for name in _names(code)):
        return False
    steps = list(dis.get_instructions(code))
    returned = [
        None if step.is_jump_target else step if step.opname == "RETURN_CONST" else before
        for before, step in itertools.pairwise(steps)
        if step.opname in ("RETURN_VALUE", "RETURN_CONST")
    ]
    return all(one is not None and one.opname.endswith("CONST") and one.argval is None for one in returned)


class Holding:
    """Makes copies of what functions hold: `tensor` copies a tensor, `memo` is that of the copies of the model."""

    def __init__(self, tensor: Callable[[Tensor], Tensor], memo: dict[int, Any]) -> None:
        self.tensor, self.memo = tensor, memo

    def of(self, value: Any) -> Any:
        """A copy of `value`; the value itself where it cannot be copied, as a file or a lock."""
        if id(value) in self.memo:
            return self.memo[id(value)]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return types.MethodType(value.__func__, self.of(value.__self__))
        if isinstance(value, functools.partial):
            given = {name: self.of(part) for name, part in value.keywords.items()}
            return functools.partial(self.of(value.func), *map(self.of, value.args), **given)
        for tensor in _tensors(value):
            if id(tensor) not in self.memo:
                self.memo[id(tensor)] = self.tensor(tensor).requires_grad_(False)
        try:
            return copy.deepcopy(value, self.memo)
        except Exception:  # each kind has its own
            return value

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        names, cells = dict(function.__globals__), [types.CellType() for _ in function.__closure__ or ()]
        new = types.FunctionType(function.__code__, names, function.__name__, None, tuple(cells))
        self.memo[id(function)] = new
        new.__dict__.update(function.__dict__)
        new.__defaults__ = function.__defaults__ and tuple(map(self.of, function.__defaults__))
        new.__kwdefaults__ = function.__kwdefaults__ and {n: self.of(v) for n, v in function.__kwdefaults__.items()}
        for name in set(_names(function.__code__)) & names.keys():
            value = names[name]
            helper = isinstance(value, types.FunctionType) and value.__globals__ is function.__globals__
            if helper or isinstance(value, _CHANGING):
                names[name] = self.of(value)
        for cell, old in zip(cells, function.__closure__ or (), strict=True):
            if old != types.CellType():  # it is assigned
                cell.cell_contents = self.of(old.cell_contents)
        return new


def _names(code: types.CodeType) -> Iterator[str]:
    """The global names and attributes that a function uses, and those defined in it."""
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _names(part)


def _tensors(value: Any) -> Iterator[Tensor]:
    yield from found(value, Tensor)
    for outer in found(value, nn.Module):
        for module in outer.modules():
            yield from (*module.parameters(recurse=False), *module.buffers(recurse=False), *found(vars(module), Tensor))
