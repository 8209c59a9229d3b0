"""Random numbers of the data apart from those of the model, so that each can be taken up again where it stopped.

What a DataLoader draws (its order, its workers' seeds, augmentation by torch, numpy or random) comes from generators
that are seeded again for each epoch, and not from those that dropout draws from. So the batches of an epoch are the
same however often they are read, and whatever the model draws between them. Generators that the data set itself holds
go on from epoch to epoch: their states are kept.
"""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePath
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from convnotes.train.runtime import set_seed

OWN = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_LEAVES = (str, bytes, int, float, complex, type(None), PurePath, torch.Tensor, np.ndarray, torch.dtype, torch.device)
_FOREIGN = {"builtins", "numpy", "pandas", "PIL"}  # whose objects hold no generator that a data set draws from
_LIBRARIES = {*_FOREIGN, "torch", "torchvision", "accelerate"}  # whose functions draw from the global generators


def apart(make: Callable[[], Iterable[Any]], seed: int) -> Iterator[Any]:
    """What `make()` yields, drawn from the global generators as `seed` begins them; the caller finds its own states."""
    inside = None

    def draw(step: Callable[[], Any]) -> Any:
        nonlocal inside
        outside = _global_states()
        try:
            set_seed(seed) if inside is None else _set_global_states(inside)
            return step()
        finally:
            inside = _global_states()
            _set_global_states(outside)

    batches, end = draw(lambda: iter(make())), object()
    while (batch := draw(lambda: next(batches, end))) is not end:
        yield batch


def _global_states() -> tuple[Any, ...]:
    gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), gpu  # noqa: NPY002


def _set_global_states(states: tuple[Any, ...]) -> None:
    python, numpy_, cpu, gpu = states
    random.setstate(python)
    np.random.set_state(numpy_)  # noqa: NPY002
    torch.set_rng_state(cpu)
    if gpu is not None:
        torch.cuda.set_rng_state_all(gpu)


def held_by(*things: Any) -> list[Any]:
    """The generators that the things hold: in attributes, containers, and what their own functions refer to."""
    found: list[Any] = []
    seen: dict[int, Any] = {}
    waiting = list(reversed(things))
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, (*_LEAVES, type, ModuleType)):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, OWN):
            if not isinstance(thing, random.SystemRandom):
                found.append(thing)
        else:
            waiting += reversed(_parts(thing))
    return found


def _parts(thing: Any) -> list[Any]:
    if isinstance(thing, Mapping):
        return list(thing.values())
    if isinstance(thing, (list, tuple)):
        return [] if len(thing) > 1000 and isinstance(thing[0], _LEAVES) else list(thing)
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, MethodType):
        return [thing.__self__, thing.__func__]
    if isinstance(thing, FunctionType):
        return _referred_to(thing)
    if _home(type(thing)) in _FOREIGN:
        return []
    methods = [f for kind in type(thing).__mro__ for f in vars(kind).values() if isinstance(f, FunctionType)]
    return [*getattr(thing, "__dict__", {}).values(), *methods]


def _referred_to(function: FunctionType) -> list[Any]:
    """What a user's function closes over, with the generators and functions of its module that it names."""
    if _home(function) in _LIBRARIES:
        return []
    try:
        names = inspect.getclosurevars(function)
    except ValueError:  # a cell that is still empty
        return []
    around = [thing for thing in names.globals.values() if isinstance(thing, (*OWN, FunctionType))]
    return [*names.nonlocals.values(), *around]


def _home(thing: Any) -> str:
    return (getattr(thing, "__module__", None) or "builtins").partition(".")[0]


def states_of(generators: list[Any]) -> list[Any]:
    """The states as lists and numbers, which JSON can hold."""
    return [_plain(_state(generator)) for generator in generators]


def set_states(generators: list[Any], states: list[Any]) -> None:
    """Put generators back into states of `states_of`."""
    for generator, plain in zip(generators, states, strict=True):
        state = _from_plain(plain)
        if isinstance(generator, torch.Generator):
            generator.set_state(torch.tensor(state, dtype=torch.uint8))
        elif isinstance(generator, np.random.Generator):
            generator.bit_generator.state = state
        elif isinstance(generator, np.random.RandomState):
            generator.set_state(state)
        else:
            version, numbers, spare = state
            generator.setstate((version, tuple(numbers), spare))


def _state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state().tolist()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    return generator.getstate()


def _plain(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _plain(value) for name, value in state.items()}
    if isinstance(state, np.ndarray):
        return {"dtype": state.dtype.str, "numbers": state.tolist()}
    if isinstance(state, np.generic):
        return state.item()
    return state


def _from_plain(state: Any) -> Any:
    if not isinstance(state, dict):
        return state
    if state.keys() == {"dtype", "numbers"}:
        return np.array(state["numbers"], dtype=state["dtype"])
    return {name: _from_plain(value) for name, value in state.items()}
