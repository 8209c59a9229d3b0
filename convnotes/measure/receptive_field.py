"""How far an output sees, in closed form.

Output position i of a layer stack sees the input positions from i·S − P to i·S − P + F − 1. A layer with kernel k, stride s,
padding p and dilation d turns (F, S, P) into ::

    F + d·(k − 1)·S,   S·s,   P + p·S

and where branches meet the field is the hull of theirs. Behind a layer that enlarges its map, fields differ from position
to position with a period; each position of a period is followed (`axes`), through every view and slice (`positions`).
Araujo, Norris & Sim, "Computing receptive fields of convolutional neural networks", Distill 2019.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.measure.axes import Apart, readable
from convnotes.measure.copies import copied, operation_by_operation
from convnotes.measure.positions import Positions, meet
from convnotes.measure.reader import Reader, Refused
from convnotes.measure.trees import found

_SIZES = (224, 256, 64, 32, 28, 299, 96, 512, 1024, 2048, 4096)  # of the images that are tried


class ReceptiveField(NamedTuple):
    """Size, stride and padding in pixels of the input; each a number, or (vertical, horizontal) where the axes differ.

    `size` is how many pixels an output position sees: where positions differ, behind a layer that enlarges its map, the most.
    `stride` is how far the fields of two neighbouring positions lie apart, on the mean, so a fraction where a map has more
    positions than the input. `padding` is how far the field of position 0 begins before the image. Size and padding are
    `math.inf` where a position sees the whole image, however large, as behind a non-local layer.

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
    it does to the positions of its input: slices, views and shuffles by the shapes that flow, convolutions and poolings by
    their arguments. What is not known is refused by name. The borders of the image count for nothing: a position is one
    in the middle of a large image.

    The last map is what comes out, or, where the model averages, pools to a fixed size or flattens, what goes in there.
    A mean over the image that comes back to a map, as in squeeze-and-excitation or in image pooling, makes its positions
    see the whole image, so the size is `math.inf`, as behind a non-local layer. Branches may meet in any way as long
    as their strides agree. Norms take mean and deviation of a map as constants.

    A layer may tell its own reach by a method `reach()`, which gives ((before, after, stride), (before, after,
    stride)), vertical first: output position i sees i·stride − before to i·stride + after, and `math.inf` says that it
    sees all there is. Its own operations are then not looked at.

    Args:
        model: any module whose forward takes one image.
        input_shape: [B, C, H, W]; by default sizes are tried until one runs through. With it, adaptive pooling that
            cuts its map into equal windows counts as ordinary pooling; without it, as the end of the map.

    Raises:
        TypeError: for what is no module.
        ValueError: where an operation cannot be told of, where branches of different strides meet, or where a
            convolution or pooling acts on what has lost its positions; it names the call. `measured_receptive_field` then
            answers from gradients.

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
        shape = checks.wholes("input_shape [B, C, H, W]", input_shape, 4)
        return _read(twin, shape, known=True)
    tries = (_tried(twin, (1, channels, size, size)) for size, channels in itertools.product(_SIZES, _channels(twin)))
    first = next(tries)
    for field in itertools.chain([first], tries):
        if isinstance(field, ReceptiveField):
            return field
    assert isinstance(first, ValueError)
    raise first


def _tried(model: nn.Module, shape: Sequence[int]) -> ReceptiveField | ValueError:
    """The field with an image of a shape, or why it does not run."""
    try:
        return _read(model, shape, known=False)
    except Refused:
        raise
    except ValueError as problem:
        return problem


def _channels(model: nn.Module) -> list[int]:
    """How many channels the image may have: what the first layers take, then a few small numbers."""
    names = ("in_channels", "num_features", "num_channels", "channels", "in_features")
    taken = [n for m in model.modules() for name in names if isinstance(n := getattr(m, name, None), int)][:8]
    taken += [p.shape[1] for p in model.parameters() if p.dim() == 4][:1]
    fewer = [n // part for n in taken[:1] for part in (4, 16)]
    return [n for n in dict.fromkeys((*taken, 3, 1, 2, 4, *fewer, *(2 * n for n in taken[:1]))) if n > 0]


def _read(model: nn.Module, shape: Sequence[int], known: bool) -> ReceptiveField:
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    image = torch.empty(tuple(shape), device="meta", dtype=dtype)
    reader = Reader(image, known)
    kept = [module for module in model.modules() if callable(getattr(module, "reach", None))]
    try:
        for module in kept:
            module.forward = reader.told(module)
        with torch.inference_mode(False), torch.no_grad(), operation_by_operation(), reader:
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
    return _answer([p for t in _tensors(output) if (p := reader.positions(t)) is not None])


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

    def both(a: float | Fraction, b: float | Fraction) -> Any:
        return readable(a) if a == b else (readable(a), readable(b))

    return ReceptiveField(both(v.size, h.size), both(v.stride, h.stride), both(-v.at(0)[0], -h.at(0)[0]))
