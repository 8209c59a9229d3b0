"""What is at work beside plain torch, which decides how an operator is called: transformations, modes, autocast."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import torch
import torch.fx
from torch import Tensor, nn
from torch.autograd import forward_ad

from convnotes.kernels import private

Tensors = Sequence[Tensor | None]
_P = ParamSpec("_P")
_PLAIN = (Tensor, nn.Parameter)
_library = torch.library.Library("convnotes", "FRAGMENT")


def transformed(*tensors: Tensor | None) -> bool:
    """Is torch.func or forward-mode differentiation at work, for which a fused kernel has no rules?"""
    if private.transforming():
        return True
    return any(t is not None and forward_ad.unpack_dual(t).tangent is not None for t in tensors)


def watched(*tensors: Tensor | None) -> bool:
    """Is more than autograd's reverse mode at work: a transformation, a dispatch mode, a subclass, the profiler?

    Where not, an operator may be computed without a call through torch's dispatcher.
    """
    if private.dispatching() or private.profiling():
        return True
    for t in tensors:
        if t is not None and (type(t) not in _PLAIN or t.is_meta or forward_ad.unpack_dual(t).tangent is not None):
            return True
    return private.transforming()


def one_node(function: Callable[_P, Tensor]) -> Callable[_P, Tensor]:
    """`function`, which a trace by torch.fx keeps as one node, whatever module calls it."""

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> Any:
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.fx.Proxy):
                return value.tracer.create_proxy("call_function", call, args, dict(kwargs))
        return function(*args, **kwargs)

    return call


def one_image(*maps: str) -> Callable[[Callable[_P, Tensor]], Callable[_P, Tensor]]:
    """Makes a function of batches, or a layer's `forward`, take one image as well, as `torch.nn.Conv2d` does.

    `maps` are the names of its arguments `[B, C, H, W]`. Where all that are given are `[C, H, W]`, so is the result.
    """

    def taking(function: Callable[_P, Tensor]) -> Callable[_P, Tensor]:
        names = list(inspect.signature(function).parameters)
        at = names.index(maps[0])

        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> Tensor:
            first = args[at] if len(args) > at else None
            if isinstance(first, Tensor) and first.dim() != 3:  # a batch, as nearly always
                return function(*args, **kwargs)
            given: dict[str, Any] = dict(zip(names, args, strict=False)) | kwargs
            images = {name: given[name] for name in maps if given.get(name) is not None}
            if not images or not all(isinstance(map, Tensor) and map.dim() == 3 for map in images.values()):
                return function(*args, **kwargs)
            batches = {name: map.unsqueeze(0) for name, map in images.items()}
            begin = [batches.get(name, value) for name, value in zip(names, args, strict=False)]
            named = {name: batches.get(name, value) for name, value in kwargs.items()}
            return function(*begin, *args[len(names) :], **named).squeeze(0)  # type: ignore[arg-type]

        return call

    return taking


def not_given(value: object) -> bool:
    """Does this stand, in a trace by torch.fx, for an argument that is None unless somebody gives it?"""
    return isinstance(value, torch.fx.Proxy) and value.node.op == "placeholder" and value.node.args == (None,)


def differentiable_gradients(forward, tensors: Tensors, needed, grad: Tensor) -> list[Tensor | None]:
    """The gradients of `forward(*tensors)` where `needed`, in a graph that can be differentiated again; else None."""
    tensors = [None if t is None else t.view_as(t) for t in tensors]  # none comes from another, as an offset may
    wanted = [t for t, n in zip(tensors, needed, strict=True) if t is not None and n]
    gradients = iter(torch.autograd.grad(forward(*tensors), wanted, grad, create_graph=True))
    return [next(gradients) if n else None for n in needed]


def has_memory(tensor: Tensor) -> bool:
    """Do its numbers lie in memory? Those of a mapped tensor, or of one left over from a transformation, do not."""
    try:
        return tensor.data_ptr() != 0  # 0 of one that is known to hold zeros, or nothing
    except RuntimeError:
        return False


def autocast_dtype(tensor: Tensor) -> torch.dtype | None:
    """What autocast narrows to on the device of `tensor`; None where it is off, or unknown as on meta."""
    device = tensor.device.type
    known = device in ("cpu", "cuda") or torch.amp.is_autocast_available(device)  # torch 2.6 compiles no such question
    on = known and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if on else None


def channels_last(tensor: Tensor) -> bool:
    """Do the channels of a pixel lie side by side? Not where either format would do, as with one channel."""
    return tensor.stride(1) == 1 and not tensor.is_contiguous()


def empty_like_format(like: Tensor, shape: Sequence[int]) -> Tensor:
    """An unwritten tensor of `shape`, channels last where `like` is."""
    layout = torch.channels_last if channels_last(like) else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)


def in_float32_under_autocast(name: str) -> None:
    """Make autocast call `convnotes::name` with its 16-bit tensors in float32, and itself off meanwhile."""
    operator = getattr(torch.ops.convnotes, name)

    def widened(value):
        return value.float() if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16) else value

    def call(device, *args):  # what `register_autocast` registers, for torch 2.6, which lacks it
        with torch.autocast(device, enabled=False):
            return operator(*map(widened, args))

    for device in ("cpu", "cuda"):
        if hasattr(torch.library, "register_autocast"):
            torch.library.register_autocast(f"convnotes::{name}", device, torch.float32)
        else:
            _library.impl(name, functools.partial(call, device), f"Autocast{device.upper()}")


def one_by_one(call, tensors: Tensors, dims: Sequence[int | None], size: int) -> tuple[Tensor, int]:
    """The calls for the slices of what is mapped, one after the other."""
    pairs = list(zip(tensors, dims[: len(tensors)], strict=True))
    slices = ([t if t is None or dim is None else t.select(dim, n) for t, dim in pairs] for n in range(size))
    return torch.stack([call(*each) for each in slices]), 0


def joined(tensors: Tensors, dims: Sequence[int | None], join: Sequence[int], size: int) -> list[Tensor | None]:
    """The tensors, with the dimension that is mapped (None: not mapped) merged into the one in `join`."""
    found: list[Tensor | None] = []
    for tensor, dim, at in zip(tensors, dims[: len(tensors)], join, strict=True):
        if tensor is None:
            found.append(None)
            continue
        if dim is None:
            tensor = tensor.unsqueeze(at).expand(*tensor.shape[:at], size, *tensor.shape[at:])
        else:
            tensor = tensor.movedim(dim, at)
        found.append(tensor.flatten(at, at + 1))
    return found
