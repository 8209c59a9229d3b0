"""What the package uses of torch and numba beside their public interfaces: all of it, each with a public way around.

Such a name may go with any version. torch's are looked up here once, when this file is imported; where a name is
missing, the way around is taken, which gives the same numbers. What it costs stands beside it. Call these as
`private.name(…)`: an import of the name alone would keep what a test has replaced. numba is imported inside functions.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

_Call = TypeVar("_Call", bound=Callable[..., Any])


def _torch(path: str) -> Any:
    """`torch.path`, or None where this version has no such name."""
    try:
        return operator.attrgetter(path)(torch)
    except AttributeError:
        return None


def _or(path: str) -> Callable[[_Call], _Call]:
    """`torch.path` instead of the function below, which is the way around."""
    return lambda around: _torch(path) or around


# What is at work beside plain torch


@_or("_C._are_functorch_transforms_active")
def transforming() -> bool:
    """Is torch.func at work? Way around: take it to be. Costs every fused kernel: torch's own operations instead."""
    return True


@_or("utils._python_dispatch.is_in_torch_dispatch_mode")
def dispatching() -> bool:
    """Does a mode see every operation? Way around: take it to. Costs some 0.05 ms per call, through the dispatcher."""
    return True


@_or("autograd._profiler_enabled")
def profiling() -> bool:
    """Does the profiler run? Way around: take it to. Costs what `dispatching` does."""
    return True


_HOOKS = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")
_GLOBAL_HOOKS = tuple(_torch(f"nn.modules.module._global_{kind}") for kind in _HOOKS)


def hooked(*modules: nn.Module) -> bool:
    """Has one of these modules a hook, or all modules? Way around: take it so. Costs the shift fused with its 1×1."""
    kept = [getattr(module, f"_{kind}", None) for module in modules for kind in _HOOKS]
    return any(hooks is None or len(hooks) > 0 for hooks in (*_GLOBAL_HOOKS, *kept))


class _NotWatched:
    def __init__(self) -> None:
        raise RuntimeError(f"torch {torch.__version__} has no TorchDispatchMode, so its operations cannot be watched")


# The class of a mode that sees every operation. torch's notes on extending it name it, in a module that is private. Way
# around: none that would see all operations, so making one is refused.
TorchDispatchMode: Any = _torch("utils._python_dispatch.TorchDispatchMode") or _NotWatched


def arguments(operator_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What an operator of torch is called with, by the names of its arguments, left out ones too.

    Way around: a refusal, as without names nothing can be told of a call.
    """
    schema = getattr(operator_, "_schema", None)
    if schema is None:
        raise RuntimeError(f"torch {torch.__version__} does not tell the names of an operator's arguments")
    given = {argument.name: argument.default_value for argument in schema.arguments}
    return given | dict(zip(given, args, strict=False)) | kwargs


def written(operator_: Any) -> list[str]:
    """The names of the arguments that an operator of torch writes into. Way around: none, as `arguments` refuses."""
    schema = getattr(operator_, "_schema", None)
    told = [] if schema is None else schema.arguments
    return [argument.name for argument in told if argument.alias_info is not None and argument.alias_info.is_write]


def base(tensor: Tensor) -> Tensor:
    """The tensor of which this one is a view, or itself. Way around: itself."""
    whole = getattr(tensor, "_base", None)
    return tensor if whole is None else whole


def uncompiled(module: nn.Module) -> nn.Module:
    """What `torch.compile` was given, for a module that came out of it. Way around: the module itself."""
    return getattr(module, "_orig_mod", module)


# Classes of layers


def _classes(path: str, *around: type[nn.Module]) -> tuple[type[Any], ...]:
    """torch's base class, or, as a way around, those that it has today; a layer of somebody else's is then missed."""
    base = _torch(path)
    return around if base is None else (base,)


CONVOLUTIONS = _classes(
    "nn.modules.conv._ConvNd",
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
BATCH_NORMS = _classes(
    "nn.modules.batchnorm._BatchNorm",
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.LazyBatchNorm1d, nn.LazyBatchNorm2d, nn.LazyBatchNorm3d),
)
STATISTIC_NORMS = _classes(  # batch and instance norm
    "nn.modules.batchnorm._NormBase",
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.LazyBatchNorm1d, nn.LazyBatchNorm2d, nn.LazyBatchNorm3d),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.LazyInstanceNorm1d, nn.LazyInstanceNorm2d, nn.LazyInstanceNorm3d),
)


# What a convolution of torch computes by


def convolve_by(conv: nn.Conv2d, function: Callable[..., Tensor | None]) -> None:
    """Make a `torch.nn.Conv2d` convolve by `function(conv, input, weight, bias)`, and by torch where that gives None.

    Its class stays what it is. Way around: it convolves by torch. Costs the faster backward of `depthwise_conv2d`.
    """
    if "_conv_forward" in vars(nn.Conv2d):
        vars(conv)["_conv_forward"] = functools.partial(_convolved, conv, function)


def _convolved(conv: nn.Conv2d, function: Any, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    found = function(conv, input, weight, bias)
    return nn.Conv2d._conv_forward(conv, input, weight, bias) if found is None else found


# Operators


_attention_chosen = _torch("_fused_sdp_choice")
_attention = _torch("ops.aten._scaled_dot_product_flash_attention_for_cpu")
_attention_backward = _torch("ops.aten._scaled_dot_product_flash_attention_for_cpu_backward")
_FUSED = 1  # what torch chooses, as a number, where it takes the kernel that makes no pairs


def attention_in_halves(q: Tensor, k: Tensor, g: Tensor, scale: float) -> bool:
    """Would torch take its fused attention on the CPU for these, and can its two halves be called apart?

    Way around: no. Costs the backward by blocks: torch's takes one thread for each image, and more memory.
    """
    if None in (_attention_chosen, _attention, _attention_backward):
        return False
    return _attention_chosen(q, k, g, scale=scale) == _FUSED


def attention(q: Tensor, k: Tensor, g: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Fused attention of `[B, heads, places, width]`, and the log of each query's sum; where `attention_in_halves`."""
    return _attention(q, k, g, scale=scale)


def attention_backward(gradient: Tensor, *saved: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and g; `saved` are these three and what `attention` gave."""
    return _attention_backward(gradient, *saved, 0.0, False, scale=scale)


_row_products = _torch("ops.aten._embedding_bag_per_sample_weights_backward")


def row_products(columns: Tensor, table: Tensor, index: Tensor) -> Tensor:
    """Σ_c columns[m,c] · table[index[m,n], c], `[M, 4]`; `index` `[M, 4]` of int32 or int64.

    Way around: by gathering the rows of `table`. Costs a tensor `[M, 4, C]`.
    """
    flat = index.flatten()
    if _row_products is None:
        rows = table.index_select(0, flat).unflatten(0, index.shape)
        return (rows * columns.unsqueeze(1)).sum(2)
    place = torch.arange(flat.numel(), dtype=flat.dtype, device=flat.device)
    return _row_products(columns, table, flat, place[::4].contiguous(), place >> 2, 0).view(index.shape)


# Libraries


def of_openmp(name: str) -> Any:
    """A C function of the OpenMP that torch runs on. Way around: None. Costs threads beside torch's own."""
    try:
        return getattr(ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_global_deps.so")), name)
    except (OSError, AttributeError):
        return None


def add_to_cache_key(compiled: Any, more: Any) -> bool:
    """Make numba's cache of `compiled` on the disk depend on `more` too, and never fail: a bad file counts as missing.

    Way around: return False; then nothing may be kept. Costs seconds of compilation in each process.
    """
    try:
        cache = compiled._cache
        load, save, index = cache.load_overload, cache.save_overload, cache._cache_file
        index._source_stamp = (index._source_stamp, more)
    except AttributeError:
        return False

    def load_or_none(*given: Any) -> Any:
        try:
            return load(*given)
        except Exception:  # a file that is cut off, or written by something else: whatever numba raises for that
            with contextlib.suppress(Exception):
                cache.flush()  # the next process finds none
            return None

    def save_or_not(*given: Any) -> None:
        with contextlib.suppress(Exception):  # a full disk
            save(*given)

    cache.load_overload, cache.save_overload = load_or_none, save_or_not
    return True


def kept_c_function(function: Callable[..., Any], signature: Any, more: Any, **options: Any) -> Any:
    """As `numba.cfunc(signature, cache=True, **options)(function)`, with `add_to_cache_key`; raises as that does.

    Way around: None, where that is not possible. Costs what `add_to_cache_key` does.
    """
    try:
        from numba.core.ccallback import CFunc

        compiled = CFunc(function, (signature.args, signature.return_type), {}, options)
        compiled.enable_caching()
    except (ImportError, AttributeError, TypeError):
        return None
    if not add_to_cache_key(compiled, more):
        return None
    compiled.compile()
    return compiled
