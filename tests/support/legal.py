"""Legal arguments of every operator function, drawn by hypothesis: a line of `OPERATORS` is how a call is drawn."""

from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

import convnotes
from convnotes import definitions
from convnotes.geometry import output_size

pairs = {name: st.tuples(st.integers(*ends), st.integers(*ends)) for name, ends in {"k": (1, 4), "s": (1, 3)}.items()}


@dataclass
class Call:
    """A function of the package, its definition, and what both are called with."""

    function: Any
    definition: Any
    leaves: list[Tensor | None]
    options: dict[str, Any] = field(default_factory=dict)
    only_ours: dict[str, Any] = field(default_factory=dict)

    def both(self) -> tuple[Tensor, Tensor]:
        ours = self.function(*self.leaves, **self.options, **self.only_ours)
        return ours, self.definition(*self.leaves, **self.options)


def leaf(draw, *shape: int, scale: float = 1.0, format: bool = True) -> Tensor:
    x = scale * torch.randn(shape, dtype=torch.float64)
    if len(shape) == 4 and format and draw(st.booleans()):
        x = x.contiguous(memory_format=torch.channels_last)
    return x.requires_grad_()


def moved(draw, *shape: int, farthest: float = 1e6) -> Tensor:
    """Displacements near, or far outside the image, never on a pixel."""
    far = draw(st.sampled_from([0.3, 1.0, 4.0, farthest]))
    whole = (far * torch.randn(shape, dtype=torch.float64)).floor()
    return (whole + 0.1 + 0.8 * torch.rand(shape, dtype=torch.float64)).requires_grad_()


def window(draw, odd: bool = False) -> tuple[tuple[int, int], tuple[int, int], dict[str, Any]]:
    """The size of an image and of a kernel, and options with which the output has a pixel at least."""
    kernel = draw(st.tuples(*[st.sampled_from([1, 3, 5])] * 2) if odd else pairs["k"])
    stride, dilation = draw(pairs["s"]), draw(pairs["s"])
    padding = draw(st.sampled_from(["same", "valid", "sizes", "sizes"]))
    p = (0, 0)
    if padding == "same":
        stride, p = (1, 1), tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    elif padding == "sizes":
        padding = p = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    least = [max(1, d * (k - 1) + 1 - 2 * q) for d, k, q in zip(dilation, kernel, p, strict=True)]
    size = tuple(n + draw(st.integers(0, 6)) for n in least)
    return size, kernel, dict(stride=stride, padding=padding, dilation=dilation)


def sizes_after(size, kernel, options) -> tuple[int, int]:
    return output_size(size, kernel, options["stride"], options["padding"], options["dilation"])


def batch(draw) -> int:
    return draw(st.sampled_from([1, 2, 3, 0]))


def small(draw, most: int = 3) -> int:
    return draw(st.integers(1, most))


def adder2d(draw) -> Call:
    size, kernel, options = window(draw)
    G, c, o = small(draw), small(draw), small(draw)
    bias = leaf(draw, G * o) if draw(st.booleans()) else None
    leaves = [leaf(draw, batch(draw), G * c, *size), leaf(draw, G * o, c, *kernel), bias]
    options["groups"] = G
    return Call(convnotes.adder2d, definitions.adder2d, leaves, options, {"gradient": "exact"})


def deform_conv2d(draw) -> Call:
    size, kernel, options = window(draw)
    out, K, B = sizes_after(size, kernel, options), kernel[0] * kernel[1], batch(draw)
    groups, moves, each, o = small(draw, 2), small(draw, 2), small(draw, 2), small(draw)
    C = groups * moves * each
    offset, weight = moved(draw, B, 2 * K * moves, *out), leaf(draw, groups * o, C // groups, *kernel)
    bias = leaf(draw, groups * o) if draw(st.booleans()) else None
    mask = leaf(draw, B, K * moves, *out) if draw(st.booleans()) else None

    def call(function):
        return lambda x, offset, weight, bias, mask, **kw: function(x, offset, weight, bias, mask=mask, **kw)

    leaves = [leaf(draw, B, C, *size), offset, weight, bias, mask]
    return Call(call(convnotes.deform_conv2d), call(definitions.deform_conv2d), leaves, options)


def deform_aggregate2d(draw) -> Call:
    size, kernel, options = window(draw, odd=True)
    out, G, B = sizes_after(size, kernel, options), small(draw), batch(draw)
    bare = kernel != (1, 1) and draw(st.booleans())
    K = kernel[0] * kernel[1] - bare
    options |= dict(kernel_size=kernel, groups=G, remove_center=bare, offset_scale=draw(st.sampled_from([1.0, 0.7])))
    leaves = [leaf(draw, B, G * small(draw), *size), moved(draw, B, 2 * K * G, *out), leaf(draw, B, K * G, *out)]
    return Call(convnotes.deform_aggregate2d, definitions.deform_aggregate2d, leaves, options)


def involution2d(draw) -> Call:
    size, kernel, options = window(draw)
    G, B = small(draw), batch(draw)
    weight = leaf(draw, B, G, *kernel, *sizes_after(size, kernel, options))
    leaves = [leaf(draw, B, G * small(draw), *size), weight]
    return Call(convnotes.involution2d, definitions.involution2d, leaves, options)


def active_conv2d(draw) -> Call:
    padding = draw(st.tuples(st.integers(-2, 3), st.integers(-2, 3)))
    size = tuple(max(1, 1 - 2 * p) + draw(st.integers(0, 6)) for p in padding)
    G, K, o, C = small(draw, 2), small(draw, 5), small(draw), small(draw)
    at = (4 * torch.rand((G, K, 2) if G > 1 else (K, 2), dtype=torch.float64) - 2).requires_grad_()
    bias = leaf(draw, G * o) if draw(st.booleans()) else None
    leaves = [leaf(draw, batch(draw), C, *size), leaf(draw, G * o, C, K), at, bias]
    options, reach = dict(stride=draw(pairs["s"]), padding=padding), draw(st.sampled_from([None, 2, (3, 4)]))
    return Call(convnotes.active_conv2d, definitions.active_conv2d, leaves, options, {"reach": reach})


def image(draw, channels: int) -> Tensor:
    return leaf(draw, batch(draw), channels, small(draw, 9), small(draw, 9))


def shift2d(draw) -> Call:
    C = small(draw, 7)
    far = draw(st.sampled_from([1, 3, 12, 40]))  # the definition pads by as much
    moves = draw(st.lists(st.tuples(*[st.integers(-far, far)] * 2), min_size=C, max_size=C))
    return Call(convnotes.shift2d, definitions.shift2d, [image(draw, C)], dict(displacements=torch.tensor(moves)))


def active_shift2d(draw) -> Call:
    C = small(draw, 7)
    return Call(
        convnotes.active_shift2d, definitions.active_shift2d, [image(draw, C), moved(draw, C, 2, farthest=20.0)]
    )


def non_local2d(draw) -> Call:
    B, D, C, at = batch(draw), small(draw), small(draw), (small(draw, 5), small(draw, 5))
    query, key = leaf(draw, B, D, small(draw, 5), small(draw, 5)), leaf(draw, B, D, *at)
    mode = draw(st.sampled_from(["gaussian", "dot", "concat"]))
    options = dict(mode=mode)
    if mode == "gaussian":
        options["scale"] = draw(st.sampled_from([1.0, 0.3]))
    relation = leaf(draw, 2 * D) if mode == "concat" else None

    def call(function):
        return lambda q, k, g, relation, **kw: function(q, k, g, relation=relation, **kw)

    leaves = [query, key, leaf(draw, B, C, *at), relation]
    return Call(call(convnotes.non_local2d), call(definitions.non_local), leaves, options)


OPERATORS = {
    make.__name__: make
    for make in (
        *(active_conv2d, active_shift2d, adder2d, deform_aggregate2d, deform_conv2d),
        *(involution2d, non_local2d, shift2d),
    )
}
