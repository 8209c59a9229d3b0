"""Illegal arguments: each is refused by an error that names it, before anything is computed.

A row of `CONSTRUCTORS` or `OPERATORS` says which values a parameter must refuse; legal calls are in the other tests.
"""

import math

import pytest
import torch
from torch import nn

import convnotes
from convnotes.kernels import backend

NO_INT = (2.5, "3", True, None, math.nan, math.inf, -1, 0)
NO_PAIR = (2.5, "3", True, None, math.nan, -1, 0, (1, 2, 3), (1, 2.5))
NO_PADDING = (2.5, "full", True, None, math.nan, -1, (1, 2, 3), (1, 2.5))
NO_NUMBER = ("3", None, math.nan, math.inf, (1, 2), True)
NO_SHARE = (*NO_NUMBER, -0.1, 1.0, 2.5)
NO_CALLABLE = (2.5, "relu", 0, (1, 2))
CONV = {"in_channels": 4, "out_channels": 4, "kernel_size": 3}
USUAL = {
    "in_channels": NO_INT,
    "out_channels": NO_INT,
    "kernel_size": NO_PAIR,
    "stride": NO_PAIR,
    "padding": NO_PADDING,
}
SAME = {"in_channels": 4, "out_channels": 4}
STAGES = {"layers": (1, 1, 1, 1), "channels": (4, 4, 4, 4)}

CONSTRUCTORS = {  # a layer → its legal arguments, and what each parameter refuses
    "Adder2d": (CONV, {**USUAL, "dilation": NO_PAIR, "groups": NO_INT, "gradient": ("papers", 2.5)}),
    "CondConv2d": (CONV, {**USUAL, "num_experts": NO_INT}),
    "DeformConv2d": (CONV, {**USUAL, "dilation": NO_PAIR, "offset_groups": NO_INT}),
    "DynamicConv2d": (CONV, {**USUAL, "reduction": NO_INT}),
    "MLPConv": (CONV, USUAL),
    "PowerOfTwoConv2d": (CONV, USUAL),
    "SeparableConv2d": (CONV, {**USUAL, "depth_multiplier": NO_INT, "between": (2.5, "relu", 0, (1, 2))}),
    "ShiftAdd2d": (CONV, USUAL),
    "ASPP": (SAME, {"in_channels": NO_INT, "act_layer": NO_CALLABLE}),
    "RepConv2d": (SAME, {"in_channels": NO_INT, "branches": (2.5, None, 0, ("3x3",))}),
    "ShiftBlock": (SAME, {"in_channels": NO_INT, "stride": NO_INT}),
    "GhostConv2d": (SAME, {"in_channels": NO_INT, "act_layer": NO_CALLABLE}),
    "NonLocal2d": ({"channels": 4}, {"channels": NO_INT, "scale": ("3", math.nan, math.inf, True), "mode": ("dots",)}),
    "Shift2d": ({"channels": 4}, {"channels": NO_INT, "order": ("other",)}),
    "ActiveShift2d": ({"channels": 4}, {"channels": NO_INT}),
    "PartialConv2d": ({"channels": 4}, {"channels": NO_INT, "n_div": NO_INT}),
    "ConvNeXtBlock": ({"channels": 4}, {"channels": NO_INT, "layer_scale": NO_NUMBER, "drop_path": NO_SHARE}),
    "DCNv3": ({"channels": 4}, {"channels": NO_INT, "offset_scale": NO_NUMBER, "act_layer": NO_CALLABLE}),
    "DCNv4": ({"channels": 4}, {"channels": NO_INT, "offset_scale": NO_NUMBER}),
    "DeformableAggregation2d": ({"channels": 4}, {"channels": NO_INT, "offset_scale": NO_NUMBER}),
    "ConvNeXt": (STAGES, {"layer_scale": NO_NUMBER, "drop_path": NO_SHARE}),
    "RepLKNet": ({**STAGES, "kernel_sizes": (7, 7, 7, 7)}, {"drop_path": NO_SHARE}),
    "FasterNet": ({"layers": (1, 1, 1, 1), "channels": 4}, {"drop_path": NO_SHARE, "act_layer": NO_CALLABLE}),
    "SqueezeNet": ({}, {"act_layer": NO_CALLABLE}),
    "MobileNetV1": ({}, {"act_layer": NO_CALLABLE}),
}
REFUSED = [
    pytest.param(layer, legal, name, value, id=f"{layer}, {name}={value!r}")
    for layer, (legal, parameters) in CONSTRUCTORS.items()
    for name, values in parameters.items()
    for value in values
]


@pytest.mark.parametrize(("called", "legal", "name", "value"), REFUSED)
def test_a_constructor_names_the_argument_that_it_refuses(called, legal, name, value):
    with pytest.raises((TypeError, ValueError), match=name):
        getattr(convnotes, called)(**{**legal, name: value}, device="meta")


def test_at_least_two_hundred_illegal_arguments_are_tried():
    assert len({case.id for case in REFUSED}) >= 200


@pytest.mark.parametrize("called", CONSTRUCTORS)
def test_the_arguments_around_a_refused_one_are_legal(called):
    legal, _ = CONSTRUCTORS[called]
    assert isinstance(getattr(convnotes, called)(**legal, device="meta"), nn.Module)


X = (2, 3, 9, 7)
OPERATORS = {  # an operator → the shapes of its tensors, and what else it takes
    "active_conv2d": ({"input": X, "weight": (4, 3, 5), "positions": (5, 2)}, {}),
    "non_local2d": ({"query": X, "key": X, "value": X}, {}),
    "deform_conv2d": ({"input": X, "offset": (2, 18, 7, 5), "weight": (4, 3, 3, 3)}, {}),
    "deform_aggregate2d": ({"input": X, "offset": (2, 18, 7, 5), "mask": (2, 9, 7, 5)}, {"kernel_size": 3}),
    "active_shift2d": ({"input": X, "displacements": (3, 2)}, {}),
    "adder2d": ({"input": X, "weight": (4, 3, 3, 3)}, {}),
    "involution2d": ({"input": X, "weight": (2, 1, 3, 3, 7, 5)}, {}),
}
MADE = {
    "integers": torch.Tensor.int,
    "complex": lambda t: t.to(torch.complex64),
    "bool": torch.Tensor.bool,
    "finer": torch.Tensor.double,
    "elsewhere": lambda t: t.to("meta"),
    "sparse": torch.Tensor.to_sparse,
    "two more axes": lambda t: t[None, None],
    "None": lambda t: None,
    "a string": lambda t: "3",
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("kind", MADE)
def test_an_operator_refuses_another_kind_of_tensor(name, kind, each_backend):
    shapes, others = OPERATORS[name]
    tensors = {parameter: torch.randn(shape) for parameter, shape in shapes.items()}
    for parameter, tensor in tensors.items():
        with pytest.raises((TypeError, ValueError)):
            getattr(convnotes, name)(**{**tensors, parameter: MADE[kind](tensor)}, **others)


@pytest.mark.parametrize(
    "displacements", [torch.eye(3, 2).long().to_sparse(), torch.ones(3), None, "3", [(0, 0.5)] * 3]
)
def test_a_shift_refuses_displacements_of_another_kind(displacements):
    with pytest.raises((TypeError, ValueError), match="displacements"):
        convnotes.shift2d(torch.randn(X), displacements)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30])
@pytest.mark.parametrize("name", ["active_conv2d", "deform_conv2d", "deform_aggregate2d", "active_shift2d"])
def test_a_place_that_is_no_pixel_s_reads_no_other_memory(name, value, each_backend):
    shapes, others = OPERATORS[name]
    tensors = {parameter: torch.randn(shape, requires_grad=True) for parameter, shape in shapes.items()}
    where = next(p for p in ("positions", "offset", "displacements") if p in tensors)
    with torch.no_grad():
        tensors[where].view(-1)[::3] = value
    ours = getattr(convnotes, name)(**tensors, **others)
    ours.sum().backward()
    with backend.use("torch"):
        assert torch.equal(ours.isfinite(), getattr(convnotes, name)(**tensors, **others).isfinite())
