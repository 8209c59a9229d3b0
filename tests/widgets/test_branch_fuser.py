"""The branch fuser: both of its outputs are those of the package's layers, and the trap differs at the border alone."""

import random

import pytest
import torch
from support.close import assert_close
from support.javascript import call, refused_by_both
from support.photographs import no_photographs
from torch import nn

from convnotes import definitions, fuse
from convnotes.widgets import BranchFuser
from convnotes.widgets.branch_fuser import BRANCHES, FIRST

TRAITS = ("kernels", "first", "on", "scales", "shifts", "bias", "padding", "melt", "branch")
TRAP = {"on": ["1x1-kxk"], "padding": "zero"}
every_kind = pytest.mark.parametrize("kind", BRANCHES)
seeds = pytest.mark.parametrize("seed", range(6))
both_paddings = pytest.mark.parametrize("padding", ["zero", "bias"])


def fusing(**state) -> BranchFuser:
    return BranchFuser(torch.rand(3, 5, 7), alt="Seven by five pixels of noise", **state)


def some_widget(seed: int, **more) -> BranchFuser:
    draw = random.Random(seed)
    on = draw.sample([*BRANCHES], draw.randint(1, len(BRANCHES)))
    numbers = {name: [round(draw.uniform(-m, m), 1) for _ in BRANCHES] for name, m in (("scales", 2), ("shifts", 1))}
    return fusing(on=on, bias=round(draw.uniform(-1, 1), 1), **numbers, **more)


def state(widget: BranchFuser) -> dict:
    return {name: getattr(widget, name) for name in TRAITS}


def on_page(expression: str, widget: BranchFuser):
    """What the page computes, where `parts` are the branches and `x` is the photograph."""
    x = widget._pixels().flatten().tolist()
    script = f"((parts) => {expression})(branches(state))"
    return call("branch_fuser", script, state=state(widget), x=x, H=widget.height, W=widget.width)


def as_map(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(5, 7)


@seeds
@both_paddings
def test_the_page_gives_both_outputs_of_python(seed, padding):
    widget = some_widget(seed, padding=padding)
    many, one = widget.outputs()
    assert_close(as_map(on_page("throughBranches(x, H, W, parts, state.padding)", widget)), many)
    assert_close(as_map(on_page("throughOne(x, H, W, fused(parts))", widget)), one)


@seeds
def test_the_kernel_of_the_page_is_that_of_fuse(seed):
    widget = some_widget(seed)
    conv, found = fuse(widget.branches()), on_page("fused(parts)", widget)
    rows, columns = (n // 2 for n in conv.kernel_size)
    inner = torch.tensor(found["kernel"], dtype=torch.float64)[1 - rows : 2 + rows, 1 - columns : 2 + columns]
    assert_close(inner, conv.weight[0, 0].detach())
    assert torch.tensor(found["kernel"]).abs().sum().item() == pytest.approx(conv.weight.abs().sum().item())
    assert found["bias"] == pytest.approx(conv.bias.item(), abs=1e-12)


@every_kind
def test_each_branch_is_a_kernel_and_a_norm_of_the_definitions(kind):
    widget = fusing(on=[kind])
    n = [*BRANCHES].index(kind)
    x, w = widget._pixels()[None, None], torch.tensor(BRANCHES[kind], dtype=torch.float64)[None, None]
    half = (w.shape[2] // 2, w.shape[3] // 2)
    if kind == "1x1-kxk":
        x, half = FIRST * nn.functional.pad(x, (1, 1, 1, 1)) + widget.bias, (0, 0)
    expected = widget.scales[n] * definitions.conv2d(x, w, padding=half) + widget.shifts[n]
    assert_close(widget.outputs()[0], expected[0, 0])


@seeds
def test_the_two_outputs_are_equal_unless_a_bias_is_padded_with_zeros(seed):
    widget = some_widget(seed)
    assert widget.difference() < 1e-12
    widget.padding = "zero"
    assert ("1x1-kxk" in widget.on and widget.bias != 0) == (widget.difference() > 1e-6)


def test_in_the_trap_the_border_alone_differs_by_the_missing_taps_times_the_bias():
    widget = fusing(**TRAP, bias=0.5)
    many, one = widget.outputs()
    gap = many - one
    assert gap[1:-1, 1:-1].abs().max() < 1e-12
    scale = widget.scales[[*BRANCHES].index("1x1-kxk")]
    taps = torch.tensor(BRANCHES["1x1-kxk"], dtype=torch.float64)
    assert gap[0, 3].item() == pytest.approx(-scale * 0.5 * taps[0].sum().item())
    corner = taps[0].sum() + taps[:, 0].sum() - taps[0, 0]
    assert gap[0, 0].item() == pytest.approx(-scale * 0.5 * corner.item())
    with pytest.raises(ValueError, match="padding of a series"):
        fuse(widget.branches())


@seeds
def test_operations_are_counted_as_torch_runs_them(seed):
    widget = some_widget(seed)
    counted = 0

    def count(*_):
        nonlocal counted
        counted += 1

    branches = widget.branches()
    for module in branches.modules():
        if isinstance(module, nn.Conv2d | nn.AvgPool2d | nn.BatchNorm2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        branches(widget._pixels()[None, None])
    counted -= "identity" in widget.on  # a convolution with a 1 here, nothing in a network
    assert on_page("operations(parts)", widget) == counted + len(widget.on) - 1


def test_melting_goes_by_three_steps():
    assert call("branch_fuser", "[0, 0.5, 1, 1.75, 3].map(steps)") == [
        [0, 0, 0],
        [0.5, 0, 0],
        [1, 0, 0],
        [1, 0.75, 0],
        [1, 1, 1],
    ]
    names = call("branch_fuser", "[0, 2.5, 3].map(stepName)")
    assert names == ["as trained", "adding kernels", "added"]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.25, "0.25"), (2.22e-16, "2.2·10⁻¹⁶"), (1e-4, "1·10⁻⁴"), (-3e-12, "−3·10⁻¹²")]
)
def test_small_numbers_are_powers_of_ten(value, text):
    assert call("branch_fuser", "tiny(value)", value=value) == text


@seeds
@both_paddings
def test_the_copied_code_computes_both_outputs(seed, padding, capsys):
    widget = some_widget(seed, padding=padding)
    scope: dict = {}
    exec(call("branch_fuser", "torchCode(state, 5, 7)", state=state(widget)), scope)
    printed = float(capsys.readouterr().out.removeprefix("tensor(").split(",")[0].rstrip(")\n"))
    assert (printed > 1e-9) == (widget.difference() > 1e-9)
    shown = BranchFuser(scope["x"][0].expand(3, -1, -1), **{k: v for k, v in state(widget).items() if k in TRAITS[2:]})
    many, one = shown.outputs()
    torch.testing.assert_close(scope["y"][0, 0], many, atol=0.03, rtol=0)  # pixels are bytes
    torch.testing.assert_close(scope["one"][0, 0], one, atol=0.03, rtol=0)


@seeds
def test_the_sums_that_are_written_out_are_right(seed):
    widget = some_widget(seed)
    middle, bias = on_page("written(parts)", widget).split("\n")
    for line, expected in ((middle, on_page("fused(parts).kernel[1][1]", widget)), (bias, None)):
        terms, total = line.split(": ")[1].split(" = ")
        total = float(total.replace("−", "-"))
        assert eval(terms.replace("·", "*").replace("−", "-")) == pytest.approx(total, abs=0.06)
        if expected is not None:
            assert total == pytest.approx(expected, abs=1e-3)
    assert float(bias.split(" = ")[1].replace("−", "-")) == pytest.approx(widget.fused().bias.item(), abs=1e-3)


BAD = [
    ({"on": []}, "on must hold at least one branch, got none"),
    ({"on": ["5x5"]}, "on must be .*\"kxk\".*, got '5x5'"),
    ({"on": ["kxk", "kxk"]}, "on must name each branch once"),
    ({"scales": [1.0] * 6}, r"scales must hold finite numbers of shape \[7\], got shape \(6,\)"),
    ({"scales": [2.5] * 7}, r"scales must lie in \[−2, 2\]"),
    ({"shifts": [-1.5] * 7}, r"shifts must lie in \[−1, 1\]"),
    ({"bias": 2.0}, r"bias must lie in \[-1, 1\], got 2\.0"),
    ({"padding": "reflect"}, 'padding must be "zero" or "bias", got \'reflect\''),
    ({"melt": 4.0}, r"melt must lie in \[0, 3\], got 4\.0"),
    ({"branch": "3×3"}, "branch must be .*, got '3×3'"),
]


@pytest.mark.parametrize(("wrong", "says"), BAD, ids=str)
def test_python_and_the_page_refuse_the_same(wrong, says):
    refused_by_both(fusing, wrong, says)


@pytest.mark.parametrize(("build", "says"), no_photographs(BranchFuser))
def test_anything_else_than_a_photograph_is_refused(build, says):
    with pytest.raises(ValueError, match=says):
        build()


def test_it_says_what_it_shows():
    widget = fusing()
    assert repr(widget) == "BranchFuser(3 of 7 branches, image 5×7)"
    assert "one 3×3 kernel is the same" in widget._alt()
    widget.on, widget.padding = TRAP.values()
    assert "one 3×3 kernel is another" in widget._alt()
    assert widget._picture()[1:4] == b"PNG"
