"""How far an output sees, in closed form.

Output place i of a layer stack sees the input places from i·S − P to i·S − P + F − 1. A layer with kernel k, stride s,
padding p and dilation d turns (F, S, P) into ::

    F + d·(k − 1)·S,   S·s,   P + p·S

and where branches meet the field is the hull of theirs.
Araujo, Norris & Sim, "Computing receptive fields of convolutional neural networks", Distill 2019.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from convnotes import checks
from convnotes.geometry import Reach, kernel_reach, pair
from convnotes.measure.cost import on_meta
from convnotes.measure.trees import found

Length = TypeVar("Length", int, float)


class ReceptiveField(NamedTuple):
    """Size, stride and padding in pixels of the input; each an int, or (vertical, horizontal) where the axes differ.

    `size` is how many pixels an output place sees, `stride` how far the fields of two neighbouring places lie apart,
    `padding` how far the field of place 0 begins before the picture. Size and padding are `math.inf` where a place sees
    the whole picture, however large, as behind a non-local layer.
    """

    size: float | tuple[float, float]
    stride: int | tuple[int, int]
    padding: float | tuple[float, float]


class _Reach(NamedTuple):
    """On one axis: output place i sees the input from i·stride − before to i·stride + after."""

    before: float = 0
    after: float = 0
    stride: int = 1

    def through(self, before: float, after: float, stride: int) -> _Reach:
        """After a layer that sees as far on this axis."""
        return _Reach(self.before + before * self.stride, self.after + after * self.stride, self.stride * stride)


class _Map(NamedTuple):
    """A feature map in the graph: its reach on both axes, and whether its places are gone (averaged, flattened)."""

    vertical: _Reach = _Reach()
    horizontal: _Reach = _Reach()
    ended: bool = False

    def through(self, reach: Reach) -> _Map:
        """After a layer that sees as far."""
        vertical, horizontal = reach
        return self._replace(vertical=self.vertical.through(*vertical), horizontal=self.horizontal.through(*horizontal))


# What changes each place by itself. Norms over a whole map take its mean and deviation as constants.
_POINTWISE_MODULES = (
    nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm,
    nn.InstanceNorm2d, nn.LocalResponseNorm, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU,
    nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh,
    nn.Softplus, nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.ChannelShuffle,
)  # fmt: skip
_CONVS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d)
_ENDS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Linear)
_POINTWISE_NAMES = {
    "relu", "relu_", "relu6", "leaky_relu", "elu", "gelu", "silu", "mish", "sigmoid", "tanh", "hardswish",
    "hardsigmoid", "hardtanh", "softplus", "softmax", "log_softmax", "dropout", "dropout2d", "batch_norm",
    "clamp", "abs", "neg", "exp", "sqrt", "square", "pow", "add", "sub", "mul", "div", "truediv", "add_",
    "mul_", "iadd", "imul", "cat", "maximum", "minimum", "contiguous", "clone", "to", "float", "double",
    "detach", "type_as", "chunk", "split", "getitem",
}  # fmt: skip
_END_NAMES = {
    "mean",
    "amax",
    "flatten",
    "view",
    "reshape",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "linear",
    "squeeze",
}
_SHAPE_NAMES = {"getattr", "size", "dim"}


def receptive_field(model: nn.Module, input_shape: Sequence[int] | None = None) -> ReceptiveField:
    """The receptive field of the last feature map of `model`, from its graph.

    The last map is what comes out, or, where the model averages, pools to a fixed size or flattens, what goes in
    there. Branches may meet by any operation place by place or by concatenation, as long as their strides agree. With
    `input_shape`, [B, C, H, W], adaptive pooling that cuts its map into equal windows counts as ordinary pooling.

    A layer that torch.fx shall not look into may tell its own reach by a method `reach()`, which gives
    ((before, after, stride), (before, after, stride)), vertical first: output place i sees i·stride − before to
    i·stride + after, and `math.inf` says that it sees all there is.

    Raises `TypeError` for what is no module, and `ValueError` where the graph cannot be followed or branches of
    different strides meet, naming the place; `measured_receptive_field` then answers from gradients.
    """
    checks.module("model", model)
    graph = _trace(on_meta(model))
    if input_shape is not None:
        ShapeProp(graph).propagate(torch.empty(tuple(input_shape), device="meta", dtype=_dtype(model)))
    known: dict[fx.Node, Any] = {}
    for node in graph.graph.nodes:
        known[node] = _follow(graph, node, known)
        if node.op == "output":
            maps = list(found(known[node], _Map))
            if not maps:
                raise ValueError("nothing that comes out depends on the picture")
            return _as_field(_meet(maps, "the output"))
    raise AssertionError("a graph ends in an output")


def _dtype(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        known = isinstance(module, _CONVS) or callable(getattr(module, "reach", None))
        return known or super().is_leaf_module(module, name)


def _trace(model: nn.Module) -> fx.GraphModule:
    if type(model).__module__.startswith("torch.nn") and not isinstance(model, nn.Sequential):
        model = nn.Sequential(model)  # a single layer is a leaf, and a leaf has no graph
    elif callable(getattr(model, "reach", None)):
        model = nn.Sequential(model)
    try:
        return fx.GraphModule(model, _Tracer().trace(model))
    except Exception as problem:
        raise ValueError(
            f"torch.fx cannot follow {type(model).__name__}: {problem}. measured_receptive_field answers from gradients"
        ) from problem


def _follow(graph: fx.GraphModule, node: fx.Node, known: dict[fx.Node, Any]) -> Any:
    """The map that a node gives, or None for what is no picture (a size, a weight)."""
    if node.op == "placeholder":
        return _Map()
    if node.op == "get_attr":
        return None
    arguments = fx.map_arg((node.args, node.kwargs), lambda n: known[n])
    maps = list(found(arguments, _Map))
    if node.op == "output":
        return arguments[0][0]
    if not maps:
        return None
    if node.op == "call_module":
        return _module(graph.get_submodule(str(node.target)), node, maps)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    if name in _SHAPE_NAMES:
        return None
    if all(m.ended for m in maps):
        return _meet(maps, node.name)
    if name in ("conv2d", "max_pool2d", "avg_pool2d"):
        return maps[0].through(_functional_window(graph, node, name))
    if name in _END_NAMES:
        return maps[0]._replace(ended=True)
    if name in _POINTWISE_NAMES:
        return _meet(maps, node.name)
    raise _unknown(node, name)


def _module(module: nn.Module, node: fx.Node, maps: list[_Map]) -> _Map:
    first = maps[0]
    reach = getattr(module, "reach", None)
    if callable(reach):
        return first.through(reach())
    if first.ended or isinstance(module, _POINTWISE_MODULES):
        return _meet(maps, node.name)
    if isinstance(module, _CONVS):
        return first.through(_window(module))
    if isinstance(module, _ENDS):
        equal = _equal_windows(module, node)
        return first._replace(ended=True) if equal is None else first.through(kernel_reach(equal, equal, 0, (1, 1)))
    raise _unknown(node, type(module).__name__)


def _unknown(node: fx.Node, name: str) -> ValueError:
    return ValueError(
        f"receptive_field does not know what {name} does to a place (node {node.name!r}); give the layer a method "
        f"reach(), or ask measured_receptive_field"
    )


def _window(module: Any) -> Reach:
    """How far a convolution or a pooling sees, or what has such attributes."""
    kernel, dilation = pair(module.kernel_size), pair(getattr(module, "dilation", 1))
    return kernel_reach(kernel, pair(module.stride or kernel), getattr(module, "padding", 0), dilation)


_SIGNATURES: dict[str, tuple[str, ...]] = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "max_pool2d": ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "avg_pool2d": ("input", "kernel_size", "stride", "padding"),
}


def _functional_window(graph: fx.GraphModule, node: fx.Node, name: str) -> Reach:
    given = dict(zip(_SIGNATURES[name], node.args, strict=False)) | dict(node.kwargs)
    if name == "conv2d":
        weight = given["weight"]
        if not isinstance(weight, fx.Node) or weight.op != "get_attr":
            raise ValueError(f"the weight of conv2d (node {node.name!r}) is computed: ask measured_receptive_field")
        given = {"stride": 1} | given | {"kernel_size": operator.attrgetter(str(weight.target))(graph).shape[2:]}
    options = {name: given.get(name) for name in ("kernel_size", "stride")}
    options |= {name: given[name] for name in ("padding", "dilation") if name in given}
    return _window(SimpleNamespace(**options))


def _equal_windows(module: nn.Module, node: fx.Node) -> tuple[int, int] | None:
    """The window of an adaptive pooling that cuts its map into equal parts, where shapes are known."""
    before = node.args[0]
    source = before.meta.get("tensor_meta") if isinstance(before, fx.Node) else None
    if not isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)) or source is None:
        return None
    size, wanted = source.shape[2:], node.meta["tensor_meta"].shape[2:]
    if tuple(wanted) == (1, 1) or any(n % w for n, w in zip(size, wanted, strict=True)):
        return None
    return size[0] // wanted[0], size[1] // wanted[1]


def _meet(maps: list[_Map], where: str) -> _Map:
    """The hull of the fields of branches that meet."""
    if len({m.ended for m in maps}) > 1:
        raise ValueError(f"at {where} a map meets numbers taken over the whole picture: its field is the whole picture")

    def hull(side: Callable[[_Map], _Reach]) -> _Reach:
        reaches = [side(m) for m in maps]
        strides = {r.stride for r in reaches}
        if len(strides) > 1:
            raise ValueError(f"at {where} branches of strides {sorted(strides)} meet: there is no one field")
        return _Reach(max(r.before for r in reaches), max(r.after for r in reaches), strides.pop())

    return _Map(hull(lambda m: m.vertical), hull(lambda m: m.horizontal), maps[0].ended)


def _as_field(reach: _Map) -> ReceptiveField:
    v, h = reach.vertical, reach.horizontal

    def both(a: Length, b: Length) -> Length | tuple[Length, Length]:
        return a if a == b else (a, b)

    return ReceptiveField(
        both(v.before + v.after + 1, h.before + h.after + 1), both(v.stride, h.stride), both(v.before, h.before)
    )
