"""The branches of an inception block: their counts are those of the real layers, in Python and in node."""

import random

import pytest
from support.javascript import call, refused_by_both
from torch import nn

from convnotes import GoogLeNet, Inception
from convnotes.measure import cost, receptive_field
from convnotes.widgets import BranchDiagram
from convnotes.widgets.branch_diagram import BLOCK_3A, NARROWED

TRAITS = ("in_channels", "outputs", "side", "kept", "narrowed", "branch", "true_5x5")
ROWS = "branches(state)"


def state(widget: BranchDiagram) -> dict:
    return {name: getattr(widget, name) for name in TRAITS}


def some_widget(seed: int, **more: bool) -> BranchDiagram:
    draw = random.Random(seed)
    channels = draw.randint(1, 400)
    widths = [draw.randint(1, 300), *(draw.randint(1, channels) for _ in range(5))]
    return BranchDiagram(channels, widths, draw.randint(5, 40), **more)


def kernels_only(layer: nn.Module) -> nn.Module:
    """The layer without its norms, which the diagram does not count."""
    for name, child in layer.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(layer, name, nn.Identity())
        else:
            kernels_only(child)
    return layer


def copied(widget: BranchDiagram) -> nn.Module:
    """The block that the copied code makes."""
    scope: dict = {}
    exec(call("branch_diagram", "torchCode(state)", state=state(widget)), scope)
    assert scope["y"].shape == (1, widget.out_channels(), 28, 28)
    return scope["block"]


every_kind = pytest.mark.parametrize("narrowed", [True, False])
both_sizes = pytest.mark.parametrize("true_5x5", [True, False])


@every_kind
@both_sizes
@pytest.mark.parametrize("seed", range(3))
def test_the_counts_of_python_and_of_the_page_are_those_of_the_copied_layers(narrowed, true_5x5, seed):
    widget = some_widget(seed, narrowed=narrowed, true_5x5=true_5x5)
    block = kernels_only(copied(widget)).to("meta")
    assert isinstance(block, Inception) == narrowed
    found = cost(block, (1, widget.in_channels, widget.side, widget.side))
    written = sum(row.activation_bytes for row in found.layers if row.type != "ReLU") // 4
    assert sum(widget.weights().values()) == found.params
    assert widget.macs() == found.macs
    assert widget.values() * widget.side**2 == written
    assert call("branch_diagram", f"totals({ROWS})", state=state(widget)) == {
        "weights": found.params,
        "values": widget.values(),
        "outputs": widget.out_channels(),
        "field": receptive_field(block).size,
    }


@every_kind
@both_sizes
def test_each_branch_has_the_weights_of_its_layers(narrowed, true_5x5):
    widget = some_widget(7, narrowed=narrowed, true_5x5=true_5x5)
    branches = [kernels_only(branch) for branch in copied(widget).children()]
    found = [sum(p.numel() for p in branch.parameters()) for branch in branches]
    assert list(widget.weights().values()) == found
    rows = call("branch_diagram", ROWS, state=state(widget))
    assert [row["weights"] for row in rows] == found
    assert [row["name"] for row in rows] == list(widget.weights())


def test_the_first_state_is_block_3a_of_googlenet():
    block, published = kernels_only(copied(BranchDiagram())), GoogLeNet(device="meta", true_5x5=True).inception3a
    assert [p.shape for p in block.parameters()] == [p.shape for p in kernels_only(published).parameters()]
    assert BLOCK_3A == (64, 96, 128, 16, 32, 32)


def test_pipes_join_and_carry_what_a_kernel_reads():
    for seed in range(3):
        for row in call("branch_diagram", ROWS, state=state(some_widget(seed))):
            for before, after in zip(row["steps"], row["steps"][1:], strict=False):
                assert before["outputs"] == after["inputs"]
            assert row["steps"][-1]["outputs"] == row["outputs"]


@every_kind
@pytest.mark.parametrize("seed", range(4))
def test_no_kernel_is_larger_than_the_largest_square(narrowed, seed):
    widget = some_widget(seed, narrowed=narrowed)
    widget.kept = [widget.in_channels] * 3
    largest = call("branch_diagram", "largestKernel(state)", state=state(widget))
    rows = call("branch_diagram", ROWS, state=state(widget))
    assert max(step["weights"] for row in rows for step in row["steps"]) <= largest


@every_kind
@pytest.mark.parametrize("seed", range(3))
def test_the_terms_that_are_written_out_add_up(narrowed, seed):
    widget = some_widget(seed, narrowed=narrowed)
    for text in call("branch_diagram", f"{ROWS}.map(written)", state=state(widget)):
        if text == "no kernel = 0":
            assert not narrowed
            continue
        values = {eval(part.replace("²", "**2").replace("·", "*").replace(",", "")) for part in text.split(" = ")}
        assert len(values) == 1, text
    branch = call("branch_diagram", f"written({ROWS}[2])", state=state(BranchDiagram()))
    assert branch == "192·16 + 5²·16·32 = 3,072 + 12,800 = 15,872"


def test_a_1x1_kernel_before_the_5x5_pays_up_to_154_channels():
    alone = BranchDiagram(narrowed=False).weights()["5×5"]
    assert (
        BranchDiagram(kept=[96, 154, 32]).weights()["5×5"] < alone < BranchDiagram(kept=[96, 155, 32]).weights()["5×5"]
    )


@pytest.mark.parametrize("branch", NARROWED)
def test_the_slider_moves_its_own_branch_within_its_limits(branch):
    for count, put in ((0, 1), (5, 5), (193, 192)):
        kept = call("branch_diagram", "keeping([96, 16, 32], branch, count, 192)", branch=branch, count=count)
        expected = dict(zip(NARROWED, [96, 16, 32], strict=True)) | {branch: put}
        assert kept == BranchDiagram(kept=kept).kept == list(expected.values())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kept": [96, 16]}, "kept must hold 3 ints"),
        ({"kept": [96, 0, 32]}, r"kept\[1\] must be from 1 to 192, got 0"),
        ({"kept": [193, 16, 32]}, r"kept\[0\] must be from 1 to 192, got 193"),
        ({"branch": "1×1"}, 'branch must be "3×3", "5×5" or "pooling"'),
    ],
)
def test_python_and_the_page_refuse_the_same(wrong, says):
    refused_by_both(BranchDiagram, wrong, says, **state(BranchDiagram()))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"in_channels": 0}, "in_channels must be from 1 to 1024, got 0"),
        ({"side": 257}, "side must be from 1 to 256, got 257"),
        ({"widths": (64, 96, 128)}, "widths must hold 6 ints"),
        ({"in_channels": 64}, r"kept\[0\] must be from 1 to 64, got 96"),
    ],
)
def test_a_block_out_of_range_is_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        BranchDiagram(**arguments)


def test_it_says_what_it_shows():
    assert repr(BranchDiagram()) == "BranchDiagram(192 → 256 channels, narrowed to 96, 16 and 32)"
    wide = BranchDiagram(narrowed=False)
    assert repr(wide) == "BranchDiagram(192 → 416 channels, without 1×1 kernels)"
    assert "5×5 153,600" in wide._alt()
    assert wide._picture()[1:4] == b"PNG"
