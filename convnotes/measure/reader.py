"""A model that runs on the meta device while each operation is asked what it does to the positions of a map."""

from __future__ import annotations

import functools
import math
import traceback
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from convnotes.kernels import private
from convnotes.measure import steps, writes
from convnotes.measure.axes import NOTHING, Apart, Axis
from convnotes.measure.copies import mapped
from convnotes.measure.positions import Cell, Positions, meet
from convnotes.measure.trees import found, storage
from convnotes.measure.windows import SIZED


class Refused(ValueError):
    """What no other size of the image would change."""


class Reader(private.TorchDispatchMode):  # type: ignore[misc]  # a class of torch, where it has one
    """Keeps what the positions of each tensor see, while a model runs on the meta device."""

    def __init__(self, image: Tensor, known: bool) -> None:
        super().__init__()
        self.known, self.resting = known, False
        # of a storage that was written in place: the tensor that is up to date, and how often that was
        self.sources: dict[int, tuple[Tensor, int]] = {}
        # constants that a forward makes elsewhere, by storage and geometry, with what stands for them here
        self.constants: dict[Any, tuple[Tensor, Tensor]] = {}
        self.elsewhere: set[int] = set()  # their storages
        self.targets: list[Any] = []  # the sizes that poolings and interpolations to a size were asked for
        self.kept: dict[int, tuple[Tensor, Positions | None, int]] = {}
        self.keep(image, Positions.of(image.shape, "ccvh", Cell(Axis(), Axis())))

    def _on_meta(self, tree: Any) -> Any:
        """The tensors of a call, all on the meta device where one is or one was written there."""
        tensors = list(found(tree, Tensor))
        mixed = any(t.is_meta or storage(t) in self.elsewhere for t in tensors) and not all(t.is_meta for t in tensors)
        return mapped(tree, self.stand_in) if mixed else tree

    def stand_in(self, tensor: Tensor) -> Tensor:
        """On the meta device the tensor itself; of a constant that a forward makes, always the same one there."""
        if tensor.is_meta or tensor.layout != torch.strided:
            return tensor
        key = (storage(tensor), writes.geometry(tensor))
        if key not in self.constants:
            whole = private.base(tensor)
            if whole is tensor:
                new = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
                self.sources[storage(new)] = new, 0
            else:
                new = self.stand_in(whole).as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
            self.constants[key] = (tensor, new)
            self.elsewhere.add(key[0])
        return self.constants[key][1]

    def positions(self, tensor: Tensor) -> Positions | None:
        """What its positions see, or None for what does not depend on the image."""
        if storage(tensor) in self.elsewhere:
            tensor = self.stand_in(tensor)
        source, count = self.sources.get(storage(tensor), (tensor, 0))
        _, positions, known = self.kept.get(id(tensor), (tensor, None, 0))
        if known == count or source is tensor:
            return positions
        seen = self.positions(source)
        return seen if seen is None or seen.lost else writes.read(seen, source, tensor)

    def keep(self, tensor: Tensor, positions: Positions | None) -> None:
        _, count = self.sources.get(storage(tensor), (tensor, 0))
        if positions is not None or count:
            self.kept[id(tensor)] = (tensor, positions, count)

    def dependent(self, tree: Any, name: str) -> list[Tensor]:
        """The tensors of a call that depend on the image."""
        try:
            return [t for t in found(tree, Tensor) if self.positions(t) is not None]
        except Apart as problem:
            raise Refused(f"at {_caller(name)} {problem}; ask measured_receptive_field") from problem

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        args, kwargs = self._on_meta((args, kwargs or {}))
        name = func.overloadpacket.__name__
        seen = [] if self.resting else self.dependent((args, kwargs), name)
        if not seen:
            return func(*args, **kwargs)
        given = private.arguments(func, args, kwargs) | {"name": name, "known": self.known}
        try:
            output = func(*args, **kwargs)
        except Exception:
            output = self._despite(name, given, seen)
        outputs = list(found(output, Tensor))
        if not self.known and name in SIZED and not any(given.get(key) for key in ("scale_factors", "scales_h")):
            self.targets.append((name, tuple(outputs[0].shape[2:])))
        overwritten = {id(given[n]) for n in private.written(func) if isinstance(given.get(n), Tensor)}
        try:
            results = steps.follow(func, given, self.positions, [tuple(t.shape) for t in outputs])
        except KeyError:
            caller = _caller(name)
            operation = "" if caller == name else f" (operation {name})"
            raise Refused(
                f"receptive_field does not know what {caller} does to a position{operation}; give the layer a method "
                f"reach(), or ask measured_receptive_field"
            ) from None
        except Apart as problem:
            raise Refused(f"at {_caller(name)} {problem}; ask measured_receptive_field") from problem
        for tensor, positions in zip(outputs, results, strict=True):
            self.keep(tensor, positions) if id(tensor) not in overwritten else self._write(tensor, positions, name)
        return output

    def _despite(self, name: str, given: dict[str, Any], seen: list[Tensor]) -> Any:
        """Where shapes do not fit: a layer on what has ended may want another image, and that changes nothing."""
        parts = [p for t in seen if (p := self.positions(t)) is not None]
        if (
            not self.known
            and name in ("mm", "addmm")
            and not any(p.reduced(len(p.dims) - 1).is_map for p in parts if not p.lost)
        ):
            rows, columns = (given[side] for side in steps.PRODUCTS[name])
            return torch.empty(rows.shape[0], columns.shape[1], device="meta", dtype=rows.dtype)
        try:
            functools.reduce(meet, (p.whole() for p in parts if p.is_map), Cell(NOTHING, NOTHING))
        except Apart as problem:
            raise Refused(f"at {name} {problem}") from problem
        raise

    def _write(self, tensor: Tensor, positions: Positions | None, name: str) -> None:
        """A tensor is written in place, and whatever shares its numbers sees it."""
        number = storage(tensor)
        whole, count = self.sources.get(number, (private.base(tensor), 0))
        if writes.geometry(tensor) == writes.geometry(whole) or writes.is_all(tensor):
            whole = tensor
        else:
            try:
                before = self.positions(whole)
                if positions is not None or before is not None:
                    positions = writes.written(before, positions, whole, tensor)
            except Apart as problem:
                raise Refused(f"at {name} {problem}; ask measured_receptive_field") from problem
        self.sources[number] = whole, count + 1
        self.keep(whole, positions)

    def told(self, module: nn.Module) -> Any:
        """A forward for a layer that tells its own reach."""
        own = module.forward

        def forward(this: nn.Module, *args: Any, **kwargs: Any) -> Any:
            given = [] if self.resting else self.dependent((args, kwargs), type(module).__name__)
            if not given:
                return own(*args, **kwargs)
            seen, positions = given[0], self.positions(given[0])
            assert positions is not None
            vertical, horizontal = module.reach()  # type: ignore[operator]
            self.resting = True
            try:
                output = own(*args, **kwargs)
            except Exception:  # a layer that cannot run here: it changes sizes by its stride alone
                size = (math.ceil(n / r[2]) for n, r in zip(seen.shape[2:], (vertical, horizontal), strict=True))
                output = torch.empty(*seen.shape[:2], *size, device="meta", dtype=seen.dtype)
            finally:
                self.resting = False
            if not positions.is_map:
                raise Refused(f"{type(module).__name__} acts on what has lost its positions: it gives no map")
            cell = positions.whole()
            reached = Cell(_through(cell.v, *vertical), _through(cell.h, *horizontal))
            for tensor in found(output, Tensor):
                self.keep(tensor, Positions.of(tensor.shape, "ccvh", reached))
            return output

        return MethodType(forward, module)


def _through(axis: Axis, before: float, after: float, stride: int) -> Axis:
    """After a layer that tells its reach."""
    if math.inf in (before, after):
        return axis.window(1, stride, 0, 1).everything()
    return axis.window(int(before + after) + 1, stride, int(before), 1)


def _caller(operation: str) -> str:
    """What the forward of a layer called, and the operation of torch where that is another."""
    names: list[str] = []
    for frame, _ in traceback.walk_stack(None):
        module = frame.f_globals.get("__name__", "")
        if module == "torch.nn.modules.module":  # it called the forward of a layer
            names = names[:-1]
            break
        if not module.startswith(("torch", "convnotes.kernels", "convnotes.measure")):
            names.append(frame.f_code.co_name)
    return names[-1] if names and names[-1].isidentifier() else operation
