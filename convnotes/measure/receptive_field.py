"""How far an output sees, in closed form.

Output position i of a layer stack sees the input positions from i·S − P to i·S − P + F − 1. A layer with kernel k,
stride s, padding p and dilation d turns (F, S, P) into ::

    F + d·(k − 1)·S,   S·s,   P + p·S

and where branches meet the receptive field is the hull of theirs. Behind a layer that enlarges its map, receptive
fields differ from position to position with a period; each position of a period is followed (`axes`), through every
view and slice (`positions`) and where parts of a tensor are written (`writes`).
Araujo, Norris & Sim, "Computing receptive fields of convolutional neural networks", Distill 2019.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.measure.axes import Apart, readable
from convnotes.measure.copies import OwnModes, copied, operation_by_operation
from convnotes.measure.positions import Positions, meet
from convnotes.measure.reader import Reader, Refused
from convnotes.measure.trees import found

_SIZES = (224, 256, 64, 32, 28, 299, 96, 512, 1024, 2048, 4096)  # of the images that are tried


class ReceptiveField(NamedTuple):
    """Size, stride and padding in pixels of the input; each a number, or (vertical, horizontal) where the axes differ.

    `size` is how many pixels an output position sees: where positions differ, behind a layer that enlarges its map, the
    most. `stride` is how far the receptive fields of two neighbouring positions lie apart, on the mean, so a fraction
    where a map has more positions than the input. `padding` is how far the receptive field of position 0 begins before
    the image. Size and padding are `math.inf` where a position sees the whole image, however large, as behind a
    non-local layer.

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

    @property
    def words(self) -> str:
        """The size as a page prints it, "3×3", "3×5", "the whole input", or "1×∞" where one axis is seen whole."""
        sides = self.size if isinstance(self.size, tuple) else (self.size, self.size)
        if all(map(math.isinf, sides)):
            return "the whole input"
        return "×".join("∞" if math.isinf(side) else f"{side:g}" for side in sides)


def receptive_field(model: nn.Module, input_shape: Sequence[int] | None = None) -> ReceptiveField:
    """The receptive field of the last feature map of `model`, from its layers' geometry, without weights.

    The model runs on the meta device, where tensors have shapes and no values, and every operation is asked what it
    does to the positions of its input: slices, views and shuffles by the shapes that flow, convolutions and poolings by
    their arguments. What is not known is refused by name. The borders of the image count for nothing: a position is one
    in the middle of a large image, also for interpolation with `align_corners=True`. Hooks take part: what they change
    is followed, and what they keep is kept in a copy.

    The last map is what comes out, or, where the model averages, pools to a fixed size or flattens, what goes in there.
    A mean over the image that comes back to a map, as in squeeze-and-excitation or in image pooling, makes its
    positions see the whole image, so the size is `math.inf`, as behind a non-local layer. Branches may meet in any way
    as long as their strides agree. Norms take mean and deviation of a map as constants.

    A layer may tell its own reach by a method `reach()`, which gives ((before, after, stride), (before, after,
    stride)), vertical first: output position i sees i·stride − before to i·stride + after, and `math.inf` says that it
    sees all there is. Its own operations are then not looked at.

    Args:
        model: any module whose forward takes one image.
        input_shape: [B, C, H, W]; by default sizes are tried until one runs through. With it, adaptive pooling that
            cuts its map into equal windows counts as ordinary pooling; without it, as the end of the map where it is to
            a fixed size.

    Raises:
        TypeError: where `model` is not a module.
        ValueError: where an operation cannot be told of, where branches of different strides meet, or where a
            convolution or pooling acts on what has lost its positions; it names the call. Also where the answer hangs
            on the size of the image and no `input_shape` is given. `measured_receptive_field` answers from gradients.

    Example:
        >>> from convnotes.measure import receptive_field
        >>> receptive_field(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3)))
        ReceptiveField(size=8, stride=2, padding=1)
    """
    checks.module("model", model)
    twin = copied(model, "meta")
    for module in twin.modules():
        if getattr(module, "padding_mode", "") == "circular":  # in the middle of an image they are alike
            module.padding_mode = "replicate"  # type: ignore[assignment]
    if input_shape is not None:
        return _read(twin, checks.wholes("input_shape [B, C, H, W]", input_shape, 4), known=True)[0]
    first = None
    for size, channels in itertools.product(_SIZES, _channels(twin)):
        read = _tried(twin, (1, channels, size, size))
        if not isinstance(read, ValueError):
            _same_at_twice_the_size(twin, (1, channels, 2 * size, 2 * size), *read)
            return read[0]
        first = first or read
    assert first is not None
    raise first


def _tried(model: nn.Module, shape: Sequence[int]) -> tuple[ReceptiveField, list[Any]] | ValueError:
    """What `_read` gives without a known size, or why the model does not run."""
    try:
        return _read(model, shape, known=False)
    except Refused:
        raise
    except ValueError as problem:
        return problem


def _same_at_twice_the_size(
    model: nn.Module, shape: Sequence[int], field: ReceptiveField, targets: Sequence[tuple[str, tuple[int, ...]]]
) -> None:
    """Raises `Refused` where the receptive field hangs on the size of the image, which was not given."""
    read = _tried(model, shape)
    if isinstance(read, ValueError):  # it takes no other size
        return
    other, others = read
    grows = any(a != b and "adaptive" in a[0] for a, b in zip(targets, others, strict=False))
    if field != other or grows:
        what = "an adaptive pooling grows" if grows else "the receptive field changes"
        raise Refused(
            f"{what} with the size of the image, as by area interpolation, an interpolation to a fixed size or a cut "
            f"into halves: give input_shape"
        )


def _channels(model: nn.Module) -> list[int]:
    """How many channels the image may have: what the first layers take, then a few small numbers."""
    names = ("in_channels", "num_features", "num_channels", "channels", "in_features")
    taken = [n for m in model.modules() for name in names if isinstance(n := getattr(m, name, None), int)][:8]
    taken += [p.shape[1] for p in model.parameters() if p.dim() == 4][:1]
    fewer = [n // part for n in taken[:1] for part in (4, 16)]
    return [n for n in dict.fromkeys((*taken, 3, 1, 2, 4, *fewer, *(2 * n for n in taken[:1]))) if n > 0]


def _read(model: nn.Module, shape: Sequence[int], known: bool) -> tuple[ReceptiveField, list[Any]]:
    """The receptive field with an image of a shape, and the sizes that the model asked for on the way."""
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    with torch.inference_mode(False):
        image = torch.empty(tuple(shape), device="meta", dtype=dtype)
    reader = Reader(image, known)
    kept = [module for module in model.modules() if callable(getattr(module, "reach", None))]
    try:
        for module in kept:
            module.forward = reader.told(module)
        with torch.inference_mode(False), operation_by_operation(), OwnModes(gradients=False), reader:
            output = model(image)
    except Refused:
        raise
    except Exception as problem:
        raise ValueError(
            f"receptive_field cannot follow {type(model).__name__}: {problem} (image of shape {tuple(shape)}). "
            f"measured_receptive_field answers from gradients"
        ) from problem
    finally:
        for module in kept:
            del module.forward
    outputs = [(t, p) for t in _tensors(output) if (p := reader.positions(t)) is not None]
    for tensor, positions in outputs:
        if tensor.dim() == 4 and min(tensor.shape[2:]) > 1 and not (positions.is_map or positions.pooled):
            raise Refused(
                f"what comes out has the shape {tuple(tensor.shape)} of a map, but its positions are not those of the "
                f"image any more: {positions.lost or 'each number is made of whole rows, columns or images'}"
            )
    return _answer([positions for _, positions in outputs]), reader.targets


def _tensors(output: Any) -> Iterator[Tensor]:
    """The tensors of an output, also of one with attributes, as some libraries give."""
    yield from found(output if not hasattr(output, "__dict__") else [output, vars(output)], Tensor)


def _answer(outputs: list[Positions]) -> ReceptiveField:
    if not outputs:
        raise Refused("nothing that comes out depends on the image")
    looked = next((p.looked for p in outputs if p.looked and not p.is_map), "")
    if looked:
        raise Refused(
            f"{looked} acts on what was averaged over the image, and no map comes out: its field is the whole "
            f"image. Ask the part of the model before the average"
        )
    if len({p.is_map for p in outputs}) > 1:
        raise Refused("at the output a map meets numbers taken over the whole image: its field is the whole image")
    first, *others = [cell for p in outputs for cell in p.last()]
    try:
        for other in others:
            first = meet(first, other)
    except Apart as problem:
        raise Refused(f"at the output {problem}") from problem
    v, h = first.v, first.h
    if v.stride < 0 or h.stride < 0:
        raise Refused("the map that comes out is mirrored: how far its fields begin before the image hangs on the size")

    def both(a: float | Fraction, b: float | Fraction) -> Any:
        return readable(a) if a == b else (readable(a), readable(b))

    return ReceptiveField(both(v.size, h.size), both(v.stride, h.stride), both(-v.at(0)[0], -h.at(0)[0]))
