"""How far an output sees, in closed form.

Output place i of a layer stack sees the input places from i·S − P to i·S − P + F − 1. A layer with kernel k, stride s,
padding p and dilation d turns (F, S, P) into ::

    F + d·(k − 1)·S,   S·s,   P + p·S

and where branches meet the field is the hull of theirs. Behind a layer that enlarges its map, fields differ from place
to place with a period; each place of a period is followed (`axes`), through every view and slice (`places`).
Araujo, Norris & Sim, "Computing receptive fields of convolutional neural networks", Distill 2019.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Sequence
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.kernels import private
from convnotes.measure import steps
from convnotes.measure.axes import Apart, Axis, readable
from convnotes.measure.copies import as_meta, copied
from convnotes.measure.places import Cell, Places, meet, mixed
from convnotes.measure.trees import found

_SIZES = (224, 256, 64, 32, 28, 299, 96, 512, 1024, 2048, 4096)  # of the pictures that are tried


class ReceptiveField(NamedTuple):
    """Size, stride and padding in pixels of the input; each a number, or (vertical, horizontal) where the axes differ.

    `size` is how many pixels an output place sees: where places differ, behind a layer that enlarges its map, the most.
    `stride` is how far the fields of two neighbouring places lie apart, on the mean, so a fraction where a map has more
    places than the input. `padding` is how far the field of place 0 begins before the picture. Size and padding are
    `math.inf` where a place sees the whole picture, however large, as behind a non-local layer.

    Args:
        size, stride, padding: as above.

    Example:
        >>> from convnotes.measure import receptive_field
        >>> receptive_field(nn.Conv2d(1, 1, (3, 5), stride=2, padding=(1, 2)))
        ReceptiveField(size=(3, 5), stride=2, padding=(1, 2))
    """

    size: float | tuple[float, float]
    stride: float | tuple[float, float]
    padding: float | tuple[float, float]


def receptive_field(model: nn.Module, input_shape: Sequence[int] | None = None) -> ReceptiveField:
    """The receptive field of the last feature map of `model`, from its layers' geometry, without weights.

    The model runs once on the meta device, where tensors have shapes and no values, and every operation is asked what
    it does to the places of its input: slices, views and shuffles by the shapes that flow, convolutions and poolings by
    their arguments. What is not known is refused by name. The borders of the picture count for nothing: a place is one
    in the middle of a large picture.

    The last map is what comes out, or, where the model averages, pools to a fixed size or flattens, what goes in there.
    A mean over the picture that comes back to a map, as in squeeze-and-excitation or in image pooling, makes its places
    see the whole picture, so the size is `math.inf`, as behind a non-local layer. Branches may meet in any way as long
    as their strides agree. Norms take mean and deviation of a map as constants.

    A layer may tell its own reach by a method `reach()`, which gives ((before, after, stride), (before, after,
    stride)), vertical first: output place i sees i·stride − before to i·stride + after, and `math.inf` says that it
    sees all there is. Its own operations are then not looked at.

    Args:
        model: any module whose forward takes one picture.
        input_shape: [B, C, H, W]; by default sizes are tried until one runs through. With it, adaptive pooling that
            cuts its map into equal windows counts as ordinary pooling; without it, as the end of the map.

    Raises:
        TypeError: for what is no module.
        ValueError: where an operation cannot be told of, where branches of different strides meet, or where a
            convolution or pooling acts on what has lost its places; it names the call. `measured_receptive_field` then
            answers from gradients.

    Example:
        >>> from convnotes.measure import receptive_field
        >>> receptive_field(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3)))
        ReceptiveField(size=8, stride=2, padding=1)
    """
    checks.module("model", model)
    twin = copied(model, "meta")
    for module in twin.modules():
        if getattr(module, "padding_mode", "") == "circular":  # in the middle of a picture they are alike
            module.padding_mode = "replicate"
    if input_shape is not None:
        shape = checks.wholes("input_shape [B, C, H, W]", input_shape, 4)
        return _read(twin, shape, known=True)
    problems = []
    for size in _SIZES:
        for channels in _channels(twin):
            try:
                return _read(twin, (1, channels, size, size), known=False)
            except _Refused as problem:
                raise ValueError(str(problem)) from problem
            except ValueError as problem:
                problems.append(problem)
    raise problems[0]


class _Refused(ValueError):
    """What no other size of the picture would change."""


def _channels(model: nn.Module) -> list[int]:
    """How many channels the picture may have: those of the first kernel, then fewer."""
    counts = (
        p.shape[1] * int(getattr(m, "groups", 1)) for m in model.modules() for p in m.parameters(False) if p.dim() == 4
    )
    first = next(counts, 3)
    return [first, *(n for n in dict.fromkeys((3, 1, *range(1, 5), first // 4, first // 16)) if 0 < n != first)]


def _read(model: nn.Module, shape: Sequence[int], known: bool) -> ReceptiveField:
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    picture = torch.empty(tuple(shape), device="meta", dtype=dtype)
    reader = _Reader(picture, known)
    kept = [module for module in model.modules() if callable(getattr(module, "reach", None))]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for module in kept:
            module.forward = reader.told(module)  # type: ignore[method-assign]
        with torch.inference_mode(False), torch.no_grad(), reader:
            output = model(picture)
    except _Refused:
        raise
    except Exception as problem:
        raise ValueError(
            f"receptive_field cannot follow {type(model).__name__}: {problem} (picture of shape {tuple(shape)}). "
            f"measured_receptive_field answers from gradients"
        ) from problem
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for module in kept:
            del module.forward
    return _answer([p for t in _tensors(output) if (p := reader.places(t)) is not None])


def _tensors(output: Any) -> Iterator[Tensor]:
    """The tensors of an output, also of one with attributes, as some libraries give."""
    yield from found(output if not hasattr(output, "__dict__") else [output, vars(output)], Tensor)


def _answer(outputs: list[Places]) -> ReceptiveField:
    if not outputs:
        raise _Refused("nothing that comes out depends on the picture")
    looked = next((p.looked for p in outputs if p.looked and not p.is_map), "")
    if looked:
        raise _Refused(
            f"{looked} acts on what was averaged over the picture, and no map comes out: its field is the whole "
            f"picture. Ask the part of the model before the average"
        )
    if len({p.is_map for p in outputs}) > 1:
        raise _Refused("at the output a map meets numbers taken over the whole picture: its field is the whole picture")
    first, *others = [cell for p in outputs for cell in p.last()]
    try:
        for other in others:
            first = meet(first, other)
    except Apart as problem:
        raise _Refused(f"at the output {problem}") from problem
    v, h = first.v, first.h

    def both(a: float, b: float) -> Any:
        return readable(a) if a == b else (readable(a), readable(b))

    return ReceptiveField(both(v.size, h.size), both(v.stride, h.stride), both(-v.at(0)[0], -h.at(0)[0]))


class _Reader(private.TorchDispatchMode):  # type: ignore[misc]  # a class of torch, where it has one
    """Keeps what the places of each tensor see, while a model runs on the meta device."""

    def __init__(self, picture: Tensor, known: bool) -> None:
        super().__init__()
        self.known, self.resting = known, False
        self.kept: dict[int, tuple[Tensor, Places]] = {id(picture): (picture, Places.of(picture.shape, "ccvh"))}

    def places(self, tensor: Tensor) -> Places | None:
        """What its places see, or None for what does not depend on the picture."""
        return self.kept[id(tensor)][1] if id(tensor) in self.kept else None

    def keep(self, tensor: Tensor, places: Places | None) -> None:
        if places is not None:
            self.kept[id(tensor)] = (tensor, places)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        args, kwargs = as_meta((args, kwargs or {}))
        seen = [t for t in found((args, kwargs), Tensor) if id(t) in self.kept]
        if self.resting or not seen:
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        given = private.arguments(func, args, kwargs) | {"name": name, "known": self.known}
        try:
            output = func(*args, **kwargs)
        except Exception:
            output = self._despite(name, given, seen)
        outputs = list(found(output, Tensor))
        try:
            results = steps.follow(func, given, self.places, [tuple(t.shape) for t in outputs])
        except KeyError:
            raise _Refused(
                f"receptive_field does not know what {_caller(name)} does to a place; give the layer a method reach(), "
                f"or ask measured_receptive_field"
            ) from None
        except Apart as problem:
            raise _Refused(f"at {_caller(name)} {problem}; ask measured_receptive_field") from problem
        for tensor, places in zip(outputs, results, strict=True):
            if name.endswith("_") and not name.endswith("__"):
                self._written(tensor, places, name)
            self.keep(tensor, places)
        return output

    def _despite(self, name: str, given: dict[str, Any], seen: list[Tensor]) -> Any:
        """Where shapes do not fit: a layer on what has ended may want another picture, and that changes nothing."""
        parts = [p for t in seen if (p := self.places(t)) is not None]
        if (
            not self.known
            and name in ("mm", "addmm")
            and not any(p.reduced(len(p.dims) - 1).is_map for p in parts if not p.lost)
        ):
            rows, columns = (given[side] for side in steps.PRODUCTS[name])
            return torch.empty(rows.shape[0], columns.shape[1], device="meta", dtype=rows.dtype)
        try:
            mixed(parts, max((tuple(t.shape) for t in seen), key=math.prod))
        except Apart as problem:
            raise _Refused(f"at {name} {problem}") from problem
        raise

    def _written(self, tensor: Tensor, places: Places | None, name: str) -> None:
        """A part of a tensor that is written in place changes what others see through it."""
        before = self.places(tensor)
        whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        if places is not None and places != before and not whole:
            raise _Refused(f"at {name} a part of a tensor is written in place: ask measured_receptive_field")

    def told(self, module: nn.Module) -> Any:
        """A forward for a layer that tells its own reach."""
        own = module.forward

        def forward(this: nn.Module, *args: Any, **kwargs: Any) -> Any:
            seen = next((t for t in found((args, kwargs), Tensor) if id(t) in self.kept), None)
            places = None if seen is None else self.places(seen)
            vertical, horizontal = module.reach()  # type: ignore[operator]
            if seen is None or places is None or self.resting:
                return own(*args, **kwargs)
            self.resting = True
            try:
                output = own(*args, **kwargs)
            except Exception:  # a layer that cannot run here: it changes sizes by its stride alone
                size = (math.ceil(n / r[2]) for n, r in zip(seen.shape[2:], (vertical, horizontal), strict=True))
                output = torch.empty(*seen.shape[:2], *size, device="meta", dtype=seen.dtype)
            finally:
                self.resting = False
            if not places.is_map:
                raise _Refused(f"{type(module).__name__} acts on what has lost its places: it gives no map")
            cell = places.whole()
            reached = Cell(_through(cell.v, *vertical), _through(cell.h, *horizontal))
            for tensor in found(output, Tensor):
                self.keep(tensor, Places.of(tensor.shape, "ccvh", reached))
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
        if not module.startswith(("torch", __name__)):
            names.append(frame.f_code.co_name)
    return f"{names[-1]} ({operation})" if names and names[-1].isidentifier() else operation
