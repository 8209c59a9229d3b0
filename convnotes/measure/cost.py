"""Parameters, multiply-adds, additions and bytes of a network, layer by layer, counted without computing anything.

The model is copied to the meta device, where tensors have shapes and no values, and run there once in eval mode.
Multiply-adds (MACs) are half of the FLOPs that torch's own `FlopCounterMode` counts: convolutions, matrix products,
attention. Norms, activations and pooling count none.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.flop_counter import FlopCounterMode

from convnotes import checks
from convnotes.measure.table import Table
from convnotes.measure.trees import found

_COUNTS = {  # what is counted → the head of its column
    "params": "parameters",
    "macs": "multiply-adds",
    "adds": "adds",
    "activation_bytes": "activation bytes",
    "moved_bytes": "moved bytes",
}


@dataclass(frozen=True)
class LayerCost:
    """What one module adds to the total, without its children. `output` is a shape, None where it was not called."""

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

    params            parameters, each once however often it is used, used or not
    macs              multiply-adds of convolutions, matrix products and attention
    adds              additions of layers that add in the place of multiplying (counted apart)
    activation_bytes  bytes that modules without children write; what they change in place or pass on counts nothing
    moved_bytes       bytes that layers without arithmetic read and write (counted apart)
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


def cost(model: nn.Module, input_or_shape: Tensor | Sequence[int] | Sequence[Tensor]) -> Cost:
    """Count what one forward pass of `model` takes.

    `input_or_shape` is an input, or its shape with the batch, such as (1, 3, 224, 224), or a sequence of inputs for a
    model that takes several. Counts are for the whole batch. The model is not touched: neither its weights nor its
    mode, running statistics, gradients or the state of the random generator.

    A layer tells of what torch cannot count by a method `extra_cost(input, output) -> dict` with any of the keys
    "adds" and "moved_bytes"; it is called with meta tensors.

    Raises `TypeError` for what is no module or no input, and `ValueError` for a bad shape and for a model that cannot
    take the input, naming the layer that failed.
    """
    checks.module("model", model)
    copied = on_meta(model)
    inputs = _inputs(copied, input_or_shape)
    rows: dict[str, dict[str, Any]] = {
        name: {"type": type(module).__name__, "output": None} for name, module in copied.named_modules()
    }
    _count_parameters(copied, rows)
    _run(copied, inputs, rows)
    layers = tuple(
        LayerCost(name or "(itself)", **row) for name, row in rows.items() if any(row.get(count) for count in _COUNTS)
    )
    return Cost(**{count: sum(getattr(layer, count) for layer in layers) for count in _COUNTS}, layers=layers)


def on_meta(model: nn.Module) -> nn.Module:
    """A copy of `model` in eval mode on the meta device; no weight is copied, and its forward hooks are left behind."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if isinstance(tensor, nn.parameter.UninitializedParameter | nn.parameter.UninitializedBuffer):
                raise ValueError(f"{type(module).__name__}.{name} has no shape yet: run the lazy module once first")
            if id(tensor) not in memo:
                empty = torch.empty_like(tensor, device="meta")
                is_parameter = isinstance(tensor, nn.Parameter)
                memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
    copied = copy.deepcopy(model, memo).eval()
    for module in copied.modules():
        hooks = module.register_forward_hook(print).hooks_dict_ref()  # a handle knows the others too
        if hooks is not None:
            hooks.clear()
    return copied


def _inputs(model: nn.Module, given: Any) -> tuple[Tensor, ...]:
    if isinstance(given, Tensor):
        return (torch.empty_like(given, device="meta"),)
    if not isinstance(given, Sequence) or isinstance(given, str) or not len(given):
        raise TypeError(f"the input must be a tensor, a shape such as (1, 3, 224, 224) or tensors, got {given!r}")
    if all(isinstance(part, Tensor) for part in given):
        return tuple(torch.empty_like(part, device="meta") for part in given)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    return (torch.empty(checks.wholes("shape", given), dtype=dtype, device="meta"),)


def _count_parameters(model: nn.Module, rows: dict[str, dict[str, Any]]) -> None:
    seen: set[int] = set()
    for name, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
        seen.update(map(id, own))
        rows[name]["params"] = sum(p.numel() for p in own)


def _run(model: nn.Module, inputs: tuple[Tensor, ...], rows: dict[str, dict[str, Any]]) -> None:
    counter = FlopCounterMode(display=False)
    running: list[tuple[str, int]] = []  # (name, FLOPs of its children so far), outermost first
    started: list[int] = []
    came: dict[str, str] = {}  # what a layer was last called with

    def enter(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, args: Any) -> None:
            running.append((name, 0))
            came[name] = _shapes(args)
            started.append(counter.get_total_flops())

        return hook

    def leave(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            spent = counter.get_total_flops() - started.pop()
            _, children = running.pop()
            if running:
                parent, others = running[-1]
                running[-1] = (parent, others + spent)
            row = rows[name]
            row["macs"] = row.get("macs", 0) + (spent - children) // 2
            tensors = list(found(output, Tensor))
            if tensors:
                row["output"] = tuple(tensors[0].shape)
            if not any(True for _ in module.children()):
                taken = {_storage(t) for t in found(args, Tensor)}
                written = sum(t.numel() * t.element_size() for t in tensors if _storage(t) not in taken)
                row["activation_bytes"] = row.get("activation_bytes", 0) + written
            extra_cost = getattr(module, "extra_cost", None)
            if callable(extra_cost):
                for count, value in extra_cost(*args, output).items():
                    checks.one_of(f"each key of extra_cost of {name}", count, ("adds", "moved_bytes"))
                    row[count] = row.get(count, 0) + value

        return hook

    for name, module in model.named_modules():
        module.register_forward_pre_hook(enter(name))
        module.register_forward_hook(leave(name))
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its one fused operator is not counted
    try:
        with torch.no_grad(), counter:
            model(*inputs)
    except Exception as problem:
        name = running[-1][0] if running else ""
        layer = model.get_submodule(name)
        what = f"layer {name}, {layer}," if name and not any(True for _ in layer.children()) else type(layer).__name__
        got = f"cannot take {came.get(name, _shapes(inputs))} (the model was given {_shapes(inputs)})"
        raise ValueError(f"{what} {got}: {problem}") from problem
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _shapes(values: Any) -> str:
    return ", ".join(str(tuple(t.shape)) for t in found(values, Tensor)) or "no tensor"


def _storage(tensor: Tensor) -> int:
    return StorageWeakRef(tensor.untyped_storage()).cdata


def _shape(shape: tuple[int, ...] | None) -> str:
    return "not called" if shape is None else "×".join(map(str, shape))
