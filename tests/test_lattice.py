"""The operators of the map: layers that keep the standard map's size, counted costs, and inclusions that can be drawn.

That each inclusion holds is proven in tests/contract/test_lattice.py.
"""

import graphlib
import importlib
import inspect
from pathlib import Path

import pytest
import torch
from torch import nn

from convnotes import Adder2d, PowerOfTwoConv2d
from convnotes.lattice import CHANNELS, INCLUSIONS, OPERATORS, SIZE

BOOK = Path(__file__).parents[1] / "book"
every_operator = pytest.mark.parametrize("name", OPERATORS)


@every_operator
def test_a_layer_of_the_standard_case_keeps_the_channels_and_the_size(name):
    with torch.device("meta"):
        layer, input = OPERATORS[name].build(), torch.empty(1, CHANNELS, SIZE, SIZE)
        assert layer(input).shape == input.shape


@every_operator
def test_an_operator_has_a_chapter_and_a_sentence(name):
    operator = OPERATORS[name]
    assert (BOOK / f"{operator.chapter}.ipynb").exists()
    assert operator.words.endswith(".")
    assert len(operator.words) <= 110


@pytest.mark.parametrize(
    ("name", "params", "macs", "field"),
    [
        ("convolution", 9 * 64 * 64, 9 * 64 * 64 * 56 * 56, "3×3"),
        ("dilated", 9 * 64 * 64, 9 * 64 * 64 * 56 * 56, "5×5"),
        ("depthwise", 9 * 64, 9 * 64 * 56 * 56, "3×3"),
        ("grouped", 9 * 64 * 16, 9 * 64 * 16 * 56 * 56, "3×3"),
        ("1×1", 64 * 64, 64 * 64 * 56 * 56, "1×1"),
        ("thin kernels", 6 * 64 * 64, 6 * 64 * 64 * 56 * 56, "3×3"),
        ("small kernels", 18 * 64 * 64, 18 * 64 * 64 * 56 * 56, "5×5"),
        ("separable", 9 * 64 + 64 * 64, (9 * 64 + 64 * 64) * 56 * 56, "3×3"),
        ("shift", 0, 0, "3×3"),
        ("active shift", 2 * 64, 0, "learned"),
        ("adder", 9 * 64 * 64, 0, "3×3"),
        ("branches", (9 + 1) * 64 * 64 + 3 * 2 * 64, (9 + 1) * 64 * 64 * 56 * 56, "3×3"),
        ("large kernel", (31 * 31 + 5 * 5) * 64 + 2 * 2 * 64, (31 * 31 + 5 * 5) * 64 * 56 * 56, "31×31"),
        (
            "dynamic",
            4 * 9 * 64 * 64 + (64 * 16 + 16) + (16 * 4 + 4),
            9 * 64 * 64 * 56 * 56 + 4 * 9 * 64 * 64 + 64 * 16 + 16 * 4,
            "the whole input",
        ),
        (
            "involution",
            64 * 16 + 2 * 16 + (16 * 4 * 49 + 4 * 49),
            (64 * 16 + 16 * 4 * 49) * 56 * 56,
            "7×7",
        ),
        ("partial", 9 * 16 * 16, 9 * 16 * 16 * 56 * 56, "3×3"),
        ("powers of two", 9 * 64 * 64, 9 * 64 * 64 * 56 * 56, "3×3"),
        ("shift-add", 2 * 9 * 64 * 64, 9 * 64 * 64 * 56 * 56, "5×5"),
        ("ghost", (64 + 9) * 32 + 2 * 2 * 32, (64 + 9) * 32 * 56 * 56, "3×3"),
    ],
)
def test_costs_of_the_standard_case_worked_out_by_hand(name, params, macs, field):
    cost = OPERATORS[name].cost()
    assert (cost.params, cost.macs, OPERATORS[name].field()) == (params, macs, field)


def test_fields_that_learning_bounds_or_that_hold_the_whole_image():
    assert OPERATORS["active"].field() == "≤ 7×7"
    assert OPERATORS["embedded non-local"].field() == "the whole input"
    assert OPERATORS["deformable v1"].field() == "learned"


def test_an_inclusion_joins_two_operators_by_arguments_that_the_general_one_has():
    for one in INCLUSIONS:
        assert one.special in OPERATORS
        general = OPERATORS[one.general]
        if general.function:
            home, _, name = general.function.rpartition(".")
            names = set(inspect.signature(getattr(importlib.import_module(home), name)).parameters)
        else:
            names = {name for name, _ in general.build().named_children()}
        assert one.set
        assert set(one.set) <= names, f"{general.function} has no {set(one.set) - names}"


def test_no_operator_contains_itself_and_the_general_stands_above_the_special():
    below: dict[str, set[str]] = {}
    for one in INCLUSIONS:
        below.setdefault(one.general, set()).add(one.special)
        assert OPERATORS[one.general].at[1] <= OPERATORS[one.special].at[1], one
    graphlib.TopologicalSorter(below).prepare()  # raises CycleError


def test_every_operator_has_a_cell_of_the_map_for_itself():
    cells = [operator.at for operator in OPERATORS.values()]
    assert len(set(cells)) == len(cells)
    assert {column for column, _ in cells} == {0, 1, 2}


def kind(convolution: nn.Module) -> str:
    """The operator of the map that a layer inside a block is."""
    if isinstance(convolution, Adder2d):
        return "adder"
    if isinstance(convolution, PowerOfTwoConv2d):
        return "powers of two"
    if convolution.groups > 1:
        return "depthwise"
    return {1: "1×1", 3: "convolution", 5: "convolution"}[convolution.kernel_size[0]]


def test_a_block_consists_of_what_it_says():
    blocks = {name: operator for name, operator in OPERATORS.items() if operator.made_of}
    assert list(blocks) == ["shift-add", "ghost", "Inception", "Fire", "bottleneck"]
    for operator in blocks.values():
        layers = [m for m in operator.build().modules() if isinstance(m, (nn.Conv2d, Adder2d, PowerOfTwoConv2d))]
        assert {kind(layer) for layer in layers} == set(operator.made_of)
