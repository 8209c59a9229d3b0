"""The budget bench: its counts are those of `cost` and `receptive_field` on the real layers, in Python and in node."""

import random

import pytest
import torch
from support.javascript import call
from torch import nn

from convnotes import Bottleneck, Fire, Inception, SeparableConv2d
from convnotes.compression.inception import FactorisedConv2d
from convnotes.measure import cost, receptive_field
from convnotes.widgets import BudgetBench
from convnotes.widgets.budget_bench import DESIGNS


def settings(seed: int) -> dict[str, int]:
    draw = random.Random(seed)
    return {
        "in_channels": 32 * draw.randint(1, 16),
        "out_channels": 32 * draw.randint(1, 16),
        "kernel_size": draw.choice([1, 3, 5, 7, 9]),
        "groups": 2 ** draw.randint(0, 5),
        "squeeze": 2 ** draw.randint(0, 4),
        "side": 7 * draw.randint(1, 8),
    }


def kernels_only(layer: nn.Module) -> nn.Module:
    """The layer without bias and norm, which the bench does not count."""
    for name, child in layer.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(layer, name, nn.Identity())
        else:
            kernels_only(child)
    if isinstance(layer, nn.Conv2d):
        layer.bias = None
    return layer


def square(field) -> list[int]:
    return [field.size, field.size] if isinstance(field.size, int) else list(field.size)


def counted(layer: nn.Module, state: dict[str, int]) -> dict:
    """What the bench must say of a real layer."""
    c = cost(layer, (1, state["in_channels"], state["side"], state["side"]))
    field = square(receptive_field(layer))
    return {"parameters": c.params, "macs": c.macs, "written": c.activation_bytes // 4, "field": field}


def said(name: str, state: dict[str, int]) -> dict:
    found = call("budget_bench", "measured(design, letters(state), state.side)", design=DESIGNS[name], state=state)
    return {key: found[key] for key in ("parameters", "macs", "written", "field")}


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("seed", range(3))
def test_the_copied_code_has_the_counts_and_the_field_that_are_shown(name, seed):
    state, scope = settings(seed), {}
    exec(call("budget_bench", "torchCode(design, letters(state))", design=DESIGNS[name], state=state), scope)
    layer = scope["layer"].to("meta")
    assert said(name, state) == counted(layer, state)
    found = cost(layer, (1, state["in_channels"], state["side"], state["side"]))
    assert layer(torch.empty(1, state["in_channels"], 8, 8, device="meta")).shape == (1, state["out_channels"], 8, 8)
    assert BudgetBench(**state).parameters()[name] == found.params


@pytest.mark.parametrize("seed", range(4))
def test_its_counts_are_those_of_the_package_s_layers(seed):
    state = settings(seed) | {"kernel_size": 3}
    C, O = state["in_channels"], state["out_channels"]
    m = O // state["squeeze"]
    layers = {
        "plain": nn.Conv2d(C, O, 3, padding=1),
        "factorised": FactorisedConv2d(C, O, 3),
        "separable": SeparableConv2d(C, O, 3, padding=1),
        "fire": Fire(C, m, O // 2, O // 2),
        "inception": Inception(C, O // 4, m, O // 2, max(1, m // 4), O // 8, O // 8),
    }
    for name, layer in layers.items():
        assert said(name, state) == counted(kernels_only(layer), state), name


@pytest.mark.parametrize("groups", [1, 4])
def test_its_bottleneck_is_the_one_of_resnet_and_of_resnext(groups):
    state = {"in_channels": 256, "out_channels": 256, "kernel_size": 3, "groups": groups, "squeeze": 4, "side": 28}
    layer = kernels_only(Bottleneck(256, 64, groups=groups, width_per_group=64 // groups))
    assert layer.downsample is None
    for name in ("bottleneck", "grouped bottleneck") if groups == 1 else ("grouped bottleneck",):
        assert said(name, state) == counted(layer, state)


def test_block_3a_of_googlenet_is_near_and_its_large_branch_exact():
    state = settings(0) | {"in_channels": 192, "out_channels": 256, "kernel_size": 3, "squeeze": 4}
    shown = call("budget_bench", "measured(design, letters(state), 28)", design=DESIGNS["inception"], state=state)
    widths = [[kernel["outputs"] for kernel in branch if not kernel["pool"]] for branch in shown["branches"]]
    assert widths == [[64], [64, 128], [16, 32], [32]]  # the paper has 96 in the place of the second 64


def test_the_formula_puts_the_numbers_in():
    state = {"in_channels": 256, "out_channels": 256, "kernel_size": 3, "groups": 32, "squeeze": 4, "side": 28}
    text = call("budget_bench", "formula(design, letters(state), 28)", design=DESIGNS["bottleneck"], state=state)
    assert text.splitlines() == [
        "parameters = C·m + k²·m² + m·O",
        "           = 256·64 + 3²·64² + 64·256 = 69,632",
        "multiply-adds = 69,632 · 28² positions = 54,591,488",
        "receptive field = 1 + Σ (size − 1) = 3×3",
    ]
    text = call("budget_bench", "formula(design, letters(state), 28)", design=DESIGNS["separable"], state=state)
    assert text.splitlines()[:2] == ["parameters = k²·C + C·O", "           = 3²·256 + 256² = 67,840"]
    text = call("budget_bench", "formula(design, letters(state), 28)", design=DESIGNS["grouped"], state=state)
    assert text.splitlines()[:2] == ["parameters = k²·C·O/g", "           = 3²·256²/32 = 18,432"]


@pytest.mark.parametrize("name", DESIGNS)
def test_the_terms_of_the_formula_add_up(name):
    for seed in range(5):
        state = settings(seed)
        text = call("budget_bench", "formula(design, letters(state), 7)", design=DESIGNS[name], state=state)
        left, right = text.splitlines()[1].split("=")[1:]
        left = left.replace("²", "**2").replace("·", "*").replace("/", "//")
        assert eval(left) == int(right.replace(",", ""))


@pytest.mark.parametrize(
    ("value", "text"), [(589_824, "589,824"), (54_591_488, "54.59 M"), (462_422_016, "462.4 M"), (25_600, "25,600")]
)
def test_a_column_holds_short_numbers(value, text):
    assert call("budget_bench", "short(value)", value=value) == text


def test_arguments_set_the_first_state_and_what_is_shown():
    bench = BudgetBench(("plain", "fire"), in_channels=96, out_channels=128, squeeze=8, highlight="fire")
    assert [design["name"] for design in bench.designs] == ["plain", "fire"]
    assert bench.first["highlight"] == "fire"
    assert bench.first["in_channels"] == 96
    assert bench.parameters() == {"plain": 9 * 96 * 128, "fire": 96 * 16 + 16 * 64 + 9 * 16 * 64}
    assert BudgetBench(("plain", "fire")).highlight == "plain"


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: BudgetBench(in_channels=100), "in_channels must be a multiple of 32 from 32 to 512, got 100"),
        (lambda: BudgetBench(kernel_size=4), "kernel_size must be odd, from 1 to 9, got 4"),
        (lambda: BudgetBench(groups=3), "groups must be a power of two from 1 to 32, got 3"),
        (lambda: BudgetBench(squeeze=32), "squeeze must be a power of two from 1 to 16, got 32"),
        (lambda: BudgetBench(side=30), "side must be a multiple of 7 from 7 to 56, got 30"),
        (
            lambda: BudgetBench(highlight="dense"),
            'highlight must be "plain", "grouped", "factorised", .* "fire" or "inception", got .dense.',
        ),
        (lambda: BudgetBench(("plain",), highlight="fire"), "highlight must be \"plain\", got 'fire'"),
        (lambda: BudgetBench(("dense", "plain")), "designs must be some of plain, .*, got dense"),
        (lambda: BudgetBench(()), "got none"),
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(ValueError, match=says):
        build()
