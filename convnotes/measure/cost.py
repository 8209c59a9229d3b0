"""Parameters, multiply-adds, additions and bytes of a network, layer by layer, counted without computing anything.

The model is copied to the meta device, where tensors have shapes and no values, and run there once in eval mode.
Multiply-adds (MACs) are half of the FLOPs that torch's own `FlopCounterMode` counts, and of those of the products that
it leaves out (`products`): convolutions, matrix products, attention. What is called as a product of vectors, matrices
or tensors (`outer`, `kron`, `einsum`, …) counts however torch computes it; a product element by element (`*`), norms,
activations and pooling count none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from convnotes import checks
from convnotes.measure.copies import OnMeta, Script, copied, mapped, operation_by_operation
from convnotes.measure.products import Products
from convnotes.measure.table import Table
from convnotes.measure.trees import found, storage

_COUNTS = {  # what is counted → the head of its column
    "params": "parameters",
    "macs": "multiply-adds",
    "adds": "adds",
    "activation_bytes": "activation bytes",
    "moved_bytes": "moved bytes",
}


@dataclass(frozen=True)
class LayerCost:
    """What one module adds to the total, without its children.

    Args:
        name, type: as in `model.named_modules()`, and the class.
        output: shape of what comes out, None where the module was not called.
        params, macs, adds, activation_bytes, moved_bytes: as in `Cost`.

    Example:
        >>> from convnotes.measure import cost
        >>> cost(nn.Sequential(nn.Conv2d(3, 8, 3)), (1, 3, 10, 10)).layers[0].output
        (1, 8, 8, 8)
    """

    name: str
    type: str
    output: tuple[int, ...] | None
    params: int = 0
    macs: int = 0
    adds: int = 0
    activation_bytes: int = 0
    moved_bytes: int = 0


@dataclass(frozen=True)
class Cost:
    """Totals of one forward pass over the whole batch, and the `layers` that they are made of.

    It prints as a table of the layers.

    Args:
        params: parameters, each once however often it is used, used or not.
        macs: multiply-adds of convolutions, matrix products and attention.
        adds: additions of layers that add instead of multiplying, counted apart.
        activation_bytes: bytes that modules without children write; what they change in place or pass on counts none.
        moved_bytes: bytes that layers without arithmetic read and write, counted apart.
        layers: a `LayerCost` for each module that adds anything, in the order of `model.named_modules()`.

    Example:
        >>> from convnotes.measure import cost
        >>> print(cost(nn.Linear(10, 7), (5, 10)))
        layer     type    output  parameters  multiply-adds  activation bytes
        (itself)  Linear     5×7          77            350               140
        total                             77            350               140
    """

    params: int
    macs: int
    adds: int
    activation_bytes: int
    moved_bytes: int
    layers: tuple[LayerCost, ...] = field(repr=False)

    def _table(self) -> Table:
        """The layers and their total; columns that are 0 throughout are left out."""
        shown = [count for count in _COUNTS if getattr(self, count) or count in ("params", "macs")]
        rows = [
            [layer.name, layer.type, _shape(layer.output), *(f"{getattr(layer, count):,}" for count in shown)]
            for layer in self.layers
        ]
        rows.append(["total", "", "", *(f"{getattr(self, count):,}" for count in shown)])
        heads = ["layer", "type", "output", *(_COUNTS[count] for count in shown)]
        return Table("Cost of one forward pass", heads, rows, total=True)

    def __str__(self) -> str:
        return repr(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()


def cost(model: nn.Module, input_or_shape: Any = None, **keywords: Any) -> Cost:
    """Count what one forward pass of `model` takes, for the whole batch.

    The model is not touched: neither its weights nor its mode, running statistics, gradients or the state of the random
    generator. A model that `torch.compile`, `DataParallel` or `DistributedDataParallel` wraps is counted without the
    wrapper, and a scripted one as a single layer. What makes a weight from other parameters before the forward
    (pruning, weight norm, spectral norm, other parametrisations, hooks) is not counted: it hangs on no input. What a
    forward hook adds counts for its layer.

    A layer tells of what torch cannot count by a method `extra_cost(input, output) -> dict` with any of the keys
    "adds" and "moved_bytes". It is called with meta tensors: with all that its forward was given, in the order of the
    forward's arguments and also where they were given by name, and the output last.

    Args:
        model: any module.
        input_or_shape: an input, a tensor or a dict of tensors; or its shape with the batch, such as (1, 3, 224, 224);
            or a sequence of inputs for a model that takes several.
        **keywords: what the model takes by name.

    Raises:
        TypeError: where `model` is not a module, and for an input of another kind.
        ValueError: for a bad shape, a lazy module that has not run, and a model that cannot take the input; it names
            the layer that failed.

    Example:
        >>> from convnotes.measure import cost
        >>> found = cost(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 1)), (1, 3, 10, 10))
        >>> found.params, found.macs
        (242, 14848)
        >>> attention = nn.MultiheadAttention(8, 2)
        >>> x = torch.rand(5, 1, 8)
        >>> cost(attention, query=x, key=x, value=x).macs
        1680
    """
    checks.module("model", model)
    twin = copied(model, "meta")
    inputs, keywords = _inputs(twin, input_or_shape, keywords)
    rows: dict[str, dict[str, Any]] = {
        name: {"type": type(module).__name__, "output": None} for name, module in twin.named_modules()
    }
    _count_parameters(twin, rows)
    _run(twin, inputs, keywords, rows)
    layers = tuple(
        LayerCost(name or "(itself)", **row) for name, row in rows.items() if any(row.get(count) for count in _COUNTS)
    )
    return Cost(**{count: sum(getattr(layer, count) for layer in layers) for count in _COUNTS}, layers=layers)


def _inputs(model: nn.Module, given: Any, keywords: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the model is called with, on the meta device."""
    several = isinstance(given, Sequence) and not isinstance(given, str)
    if several and len(given) and not any(True for _ in found(given, Tensor)):
        dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
        inputs: tuple[Any, ...] = (torch.empty(checks.wholes("shape", given), dtype=dtype, device="meta"),)
    else:
        inputs = tuple(given) if several else () if given is None else (given,)
        if not any(True for _ in found((inputs, keywords), Tensor)):
            raise TypeError(
                f"the input must be a tensor, a shape such as (1, 3, 224, 224) or tensors, got {given!r}"
                + (f" and {keywords!r}" if keywords else "")
            )
    inputs, keywords = mapped((inputs, keywords), lambda t: torch.empty_like(t, device="meta"))
    return inputs, keywords


def _count_parameters(model: nn.Module, rows: dict[str, dict[str, Any]]) -> None:
    seen: set[int] = set()
    for name, module in model.named_modules():
        own = [p for p in module.parameters(recurse=isinstance(module, Script)) if id(p) not in seen]
        seen.update(map(id, own))
        rows[name]["params"] = sum(p.numel() for p in own)


def _run(model: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], rows: dict[str, dict[str, Any]]) -> None:
    products = Products()
    counter = FlopCounterMode(display=False, custom_mapping=products.formulas())
    running: list[_Call] = []  # outermost first

    def came(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            running.append(_Call(name, _shapes((args, kwargs)), counter.get_total_flops()))

        return hook

    def enter(module: nn.Module, args: Any) -> None:  # after the hooks that make a weight, which count nothing
        running[-1].started = counter.get_total_flops()

    def leave(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            call = running.pop()
            if running:
                running[-1].children += counter.get_total_flops() - call.came
            row = rows[name]
            if not any(part == "parametrizations" for part in name.split(".")):
                spent = counter.get_total_flops() - call.started
                row["macs"] = row.get("macs", 0) + (spent - call.children) // 2
            tensors = list(found(output, Tensor))
            if tensors:
                row["output"] = tuple(tensors[0].shape)
            if not any(True for _ in module.children()):
                taken = {storage(t) for t in found((args, kwargs), Tensor)}
                written = sum(t.numel() * t.element_size() for t in tensors if storage(t) not in taken)
                row["activation_bytes"] = row.get("activation_bytes", 0) + written
            extra_cost = getattr(module, "extra_cost", None)
            if callable(extra_cost):
                for count, value in extra_cost(*_in_order(module, args, kwargs), output).items():
                    checks.one_of(f"each key of extra_cost of {name}", count, ("adds", "moved_bytes"))
                    row[count] = row.get(count, 0) + value

        return hook

    for name, module in model.named_modules():
        module.register_forward_pre_hook(came(name), prepend=True, with_kwargs=True)
        module.register_forward_pre_hook(enter)
        module.register_forward_hook(leave(name), with_kwargs=True)
    try:
        with torch.inference_mode(False), torch.no_grad(), operation_by_operation(), counter, OnMeta(), products:
            model(*inputs, **keywords)
    except Exception as problem:
        name = running[-1].name if running else ""
        layer = model.get_submodule(name)
        what = f"layer {name}, {layer}," if name and not any(True for _ in layer.children()) else type(layer).__name__
        given = _shapes((inputs, keywords))
        got = f"cannot take {running[-1].given if running else given} (the model was given {given})"
        raise ValueError(f"{what} {got}: {problem}") from problem


@dataclass
class _Call:
    """A layer that is running: what it was given, and the FLOPs when it was called, when it began, of its children."""

    name: str
    given: str
    came: int
    started: int = 0
    children: int = 0


def _in_order(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """What a forward was given, in the order of its arguments."""
    if not kwargs:
        return args
    bound = inspect.signature(module.forward).bind(*args, **kwargs)
    return (*bound.args, *bound.kwargs.values())


def _shapes(values: Any) -> str:
    return ", ".join(str(tuple(t.shape)) for t in found(values, Tensor)) or "no tensor"


def _shape(shape: tuple[int, ...] | None) -> str:
    return "not called" if shape is None else "×".join(map(str, shape))
