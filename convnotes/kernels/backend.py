"""Which code computes an operator: the one module where it is chosen::

    "torch"    plain torch, on any device and for any dtype
    "numba"    loops compiled for this processor: CPU, float32 and float64, for some operators half precision too;
               `pip install "convnotes[fast]"`
    "triton"   kernels for CUDA, float64 for the adder only; `pip install "convnotes[gpu]"`; never run on a GPU so far
    "auto"     the fastest of them that can run, chosen again for each call, else "torch"; never fails

`use(name)` chooses for what follows, `with use(name):` for a block. The choice belongs to the thread or task that makes
it, as torch's `no_grad` does, and a backward pass uses the choice of its forward pass. Where no choice was made, the
environment variable CONVNOTES_BACKEND counts, and without it "auto". A model that is compiled or exported chooses when
it runs, not when it is traced.

Naming a backend is strict: if it is not installed, or does not serve the device of the tensors, that is an error. An
operator or a dtype for which it has no kernel is computed by torch. All backends agree within rounding.

`explain(op, tensors)` says what would be taken, and why. The rules beyond device and dtype are in `kernels.rules`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from convnotes import checks
from convnotes.kernels import rules

Name = Literal["auto", "torch", "numba", "triton"]
VARIABLE = "CONVNOTES_BACKEND"
# The device of each special backend, the fastest first; a test may let triton use the CPU.
DEVICE: dict[Name, str] = {"triton": "cuda", "numba": "cpu"}
# What "auto" may choose: a backend whose kernels have run, and been timed, on a device of their kind.
MEASURED: tuple[Name, ...] = ("numba",)
# operator → backend → dtypes that it has kernels for
_FLOATS = (torch.float16, torch.bfloat16, torch.float32)
KERNELS: dict[str, dict[Name, tuple[torch.dtype, ...]]] = {
    "adder": {"numba": (torch.float32, torch.float64), "triton": (*_FLOATS, torch.float64)},
    "deform_conv2d": {"numba": (*_FLOATS, torch.float64), "triton": _FLOATS},
    "deform_aggregate2d": {"numba": (*_FLOATS, torch.float64), "triton": _FLOATS},
    "depthwise_conv2d": {"numba": (torch.float32, torch.float64)},
    "shift": {"numba": (*_FLOATS, torch.float64)},
    "shift_pointwise": {"numba": (torch.float32, torch.float64), "triton": _FLOATS},
}
_NAMES: dict[str, Name] = {name: name for name in get_args(Name)}
_choice: ContextVar[Name | None] = ContextVar("convnotes backend", default=None)


class use:
    """Choose a backend from here on in this thread or task; as a context manager, until the end of the block.

    Args:
        name: "auto", "torch", "numba" or "triton".

    Raises:
        ValueError: for an unknown name.
        RuntimeError: for a backend that cannot run on this machine.

    Example:
        >>> from convnotes.kernels import backend
        >>> with backend.use("torch"):
        ...     y = adder2d(torch.zeros(1, 1, 3, 3), torch.ones(1, 1, 3, 3))
        >>> y.item()
        -9.0
    """

    def __init__(self, name: Name) -> None:
        self._before = _choice.get()
        self._name = _checked(name, "the backend")
        _choice.set(self._name)

    def __enter__(self) -> use:
        return self

    def __exit__(self, *_: object) -> None:
        _choice.set(self._before)

    def __repr__(self) -> str:
        return f"use({self._name!r})"


def remember(ctx: Any) -> None:
    """Keep the choice that this thread or task has made, if any, for `as_remembered`."""
    ctx.backend = _choice.get()


def as_remembered(ctx: Any, function: Callable[..., Any], *inputs: Any) -> Any:
    """`function(*inputs)` by the choice of the forward pass. A backward pass may run in another thread, as on CUDA."""
    if ctx.backend is None:
        return function(*inputs)
    token = _choice.set(ctx.backend)
    try:
        return function(*inputs)
    finally:
        _choice.reset(token)


def available() -> tuple[Name, ...]:
    """The backends that can run on this machine, the fastest first; "torch" always can.

    Example:
        >>> from convnotes.kernels import backend
        >>> backend.available()[-1]
        'torch'
    """
    return (*(name for name in DEVICE if _obstacle(name) is None), "torch")


def chosen(op: str, tensors: Iterable[Tensor | None]) -> Name:
    """The backend that would compute an operator for these tensors.

    Args:
        op: name of the operator, one of `KERNELS`.
        tensors: the operator's inputs; None and tensors of whole numbers among them are skipped.

    Raises:
        ValueError: for a bad CONVNOTES_BACKEND.
        RuntimeError: for a named backend that cannot run here or does not serve the device of the tensors.

    Example:
        >>> from convnotes.kernels import backend
        >>> with backend.use("torch"):
        ...     backend.chosen("adder", [torch.ones(1), None])
        'torch'
    """
    name = _choice.get() or _checked(os.environ.get(VARIABLE) or "auto", VARIABLE)
    if name == "torch":
        return name
    kinds = _kinds(tensors)
    device, dtype = next(iter(kinds)) if len(kinds) == 1 else ("", None)  # several: no kernel mixes them
    if name == "auto":
        return next((backend for backend in DEVICE if _against(backend, op, device, dtype) is None), "torch")
    devices = {device for device, _ in kinds}
    if devices - {DEVICE[name]}:
        able = [b for b in available() if b == "torch" or devices == {DEVICE[b]}]
        raise RuntimeError(
            f"the backend {name!r} serves {DEVICE[name]}, and {op} got tensors on {', '.join(sorted(devices))}; "
            f"what can run there: {', '.join(able)}"
        )
    return name if dtype in KERNELS.get(op, {}).get(name, ()) else "torch"


class _Text(str):
    """A text of several lines, which is shown as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def explain(op: str, tensors: Iterable[Tensor | None], **options: Any) -> str:
    """What would compute an operator for these tensors, and the rules by which it is chosen.

    Args:
        op: name of the operator, one of `KERNELS`.
        tensors: the operator's inputs, in its order; None and tensors of whole numbers among them are skipped.
        **options: what the rules of `kernels.rules.RULES[op]` ask for beside the tensors, as `dilation=2`.

    Raises:
        ValueError: for an unknown operator.
        TypeError: for an option that its rules do not know.

    Example:
        >>> from convnotes.kernels import backend
        >>> with backend.use("torch"):
        ...     backend.explain("adder", [torch.ones(1, 2, 5, 5), torch.ones(4, 2, 3, 3)])
        adder of 1×2×5×5, 4×2×3×3, float32 on cpu: torch
          torch was chosen by name
    """
    if op not in KERNELS:
        raise ValueError(f"op must be one of {', '.join(KERNELS)}, got {op!r}")
    given = [t for t in tensors if t is not None and t.dtype.is_floating_point]
    kinds, name = _kinds(given), chosen(op, given)
    way: str = name
    named = _choice.get() or os.environ.get(VARIABLE) or "auto"
    if named == "auto":
        device, dtype = next(iter(kinds)) if len(kinds) == 1 else ("", None)
        lines = [f"{b}: {_against(b, op, device, dtype) or 'it has kernels'}" for b in DEVICE]
    else:
        lines = [f"{named} was chosen by name" + ("" if name == named else ", and has no kernel for this")]
    if op in rules.RULES:
        way, more = rules.explained(op, given, name, options)
        lines += more
    elif options:
        raise TypeError(f"{op} has no rules beside those of device and dtype, got {', '.join(options)}")
    shapes = ", ".join("×".join(map(str, t.shape)) for t in given)
    where = " and ".join(sorted(f"{str(dtype).removeprefix('torch.')} on {device}" for device, dtype in kinds))
    return _Text("\n  ".join([f"{op} of {shapes}, {where}: {way}", *lines]))


def _kinds(tensors: Iterable[Tensor | None]) -> set[tuple[str, torch.dtype]]:
    return {(t.device.type, t.dtype) for t in tensors if t is not None and t.dtype.is_floating_point}


def _against(backend: Name, op: str, device: str, dtype: torch.dtype | None) -> str | None:
    """Why "auto" does not take a backend, or None."""
    if device != DEVICE[backend]:
        return f"it serves {DEVICE[backend]}"
    if dtype not in KERNELS.get(op, {}).get(backend, ()):
        return "it has no kernel for this dtype"
    if backend not in MEASURED:
        return "its kernels have not been timed on such a device"
    return _obstacle(backend)


def _checked(given: str, where: str) -> Name:
    name = _NAMES.get(given)
    if name is None:
        raise ValueError(f'{where} must be "auto", "torch", "numba" or "triton", got {given!r}')
    obstacle = None if name in ("auto", "torch") else _obstacle(name)
    if obstacle is not None:
        raise RuntimeError(f"the backend {name!r} cannot run: {obstacle}; what can: {', '.join(available())}")
    return name


def _obstacle(name: Name) -> str | None:
    """Why a backend cannot run on this machine, or None."""
    if DEVICE[name] == "cuda" and not torch.cuda.is_available():
        return checks.obstacle(name) or "torch finds no CUDA device"
    return checks.obstacle(name)
