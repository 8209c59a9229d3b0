"""The separable viewer: its module computes what torch computes, its best fit is the best, bad state is refused."""

import pytest
import torch
from support.close import assert_close
from support.javascript import call
from support.photographs import no_photographs

from convnotes import SeparableConv2d, definitions
from convnotes.widgets import SeparableViewer
from convnotes.widgets.separable_viewer import STENCILS, TARGETS

SIDES = ["best", "across", "down", "between", "blur", "hand"]
HAND = [[0.25, 0, -1], [2, 0.5, 0], [0, 0, -0.75]]
PAIR = "pairOf(TARGETS[target][0], m, firstStencil(stencil, taps))"


def viewer(**state) -> SeparableViewer:
    return SeparableViewer(torch.rand(3, 5, 7), alt="Seven by five pixels of noise", **state)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def in_javascript(expression: str, **values) -> torch.Tensor:
    values = {name: v.tolist() if isinstance(v, torch.Tensor) else v for name, v in values.items()}
    return torch.tensor(call("separable_viewer", expression, **values), dtype=torch.float64)


@pytest.mark.parametrize(("height", "width"), [(5, 7), (1, 4), (2, 1)])
def test_the_module_computes_the_definition(height, width):
    x, weight, bias = normal(3, height, width), normal(2, 3, 3, 3), normal(2)
    found = in_javascript(f"convolve(x, {height}, {width}, weight, bias)", x=x.flatten(), weight=weight, bias=bias)
    assert_close(found.view(2, height, width), definitions.conv2d(x[None], weight, bias, padding=1)[0])


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_full_kernel_that_it_shows_is_the_separable_pair(m):
    x, bias, target = normal(3, 5, 7), normal(3), normal(3, 3, 3, 3).tolist()
    found = in_javascript("convolve(x, 5, 7, full(pairOf(t, m)), bias)", x=x.flatten(), t=target, m=m, bias=bias).view(
        3, 5, 7
    )
    layers = [layer for channel in call("separable_viewer", "pairOf(t, m)", t=target, m=m) for layer in channel]
    stencils, numbers = (
        torch.tensor([layer[name] for layer in layers], dtype=torch.float64) for name in ("stencil", "numbers")
    )
    assert_close(found, definitions.separable(x[None], stencils[:, None], numbers.T, bias, padding=1)[0])


def test_its_eigenvalues_and_vectors_are_those_of_torch():
    half = normal(3, 3)
    matrix = half @ half.T
    parts = call("separable_viewer", "eigen(m)", m=matrix.tolist())
    values = torch.tensor([part["value"] for part in parts], dtype=torch.float64)
    assert_close(values, torch.linalg.eigvalsh(matrix).flip(0))
    for part in parts:
        vector = torch.tensor(part["vector"], dtype=torch.float64)
        assert_close(matrix @ vector, part["value"] * vector)


def squares(target: torch.Tensor) -> torch.Tensor:
    """Squared singular values `[C, O]` of the kernels of each input channel."""
    return torch.linalg.svdvals(target.transpose(0, 1).flatten(2)).square()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_what_can_be_made_is_what_the_singular_values_say(rank):
    target = torch.einsum("ocr,crk->ock", normal(3, 3, rank), normal(3, rank, 9)).view(3, 3, 3, 3)
    found = call("separable_viewer", "attainable(t)", t=target.tolist())
    assert found["ranks"] == [rank] * 3
    expected = squares(target).cumsum(1).sum(0) / target.square().sum()
    assert_close(torch.tensor(found["shares"], dtype=torch.float64), expected)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_best_fit_is_the_nearest_separable_layer(m):
    target = normal(3, 3, 3, 3)
    conv = torch.nn.Conv2d(3, 3, 3, bias=False, dtype=torch.float64)
    conv.weight = torch.nn.Parameter(target)
    found = in_javascript("full(pairOf(t, m))", t=target, m=m)
    assert_close(found, SeparableConv2d.nearest(conv, m).full_weight().detach())
    stencils = in_javascript("pairOf(t, m).map((layers) => layers.map((one) => one.stencil))", t=target, m=m)
    assert_close(stencils.flatten(2).abs().amax(2), torch.ones(3, m, dtype=torch.float64))


def test_no_change_of_the_best_pair_comes_nearer():
    target = normal(3, 3, 3)  # of one channel, an output per row
    (layer,) = call("separable_viewer", "layersOf(t, 1)", t=target.tolist())
    stencil, numbers = (torch.tensor(layer[name], dtype=torch.float64) for name in ("stencil", "numbers"))

    def missed(stencil: torch.Tensor, numbers: torch.Tensor) -> float:
        return (numbers[:, None, None] * stencil - target).square().sum().item()

    for _ in range(20):
        assert missed(stencil + 0.01 * normal(3, 3), numbers + 0.01 * normal(3)) > missed(stencil, numbers)


def test_the_numbers_of_a_given_stencil_leave_least():
    target, first = normal(3, 3, 3), normal(3, 3)
    (layer,) = call("separable_viewer", "layersOf(t, 1, first)", t=target.tolist(), first=first.tolist())
    assert layer["stencil"] == first.tolist()
    best = torch.linalg.lstsq(first.view(9, 1), target.flatten(1).T).solution[0]
    assert_close(torch.tensor(layer["numbers"], dtype=torch.float64), best)
    empty = call("separable_viewer", "layersOf(t, 1, first)", t=target.tolist(), first=[[0] * 3] * 3)
    assert empty[0]["numbers"] == [0, 0, 0]


def test_an_input_that_the_target_does_not_use_gets_no_weight():
    target = normal(3, 3, 3, 3)
    target[:, 1] = 0
    best = call("separable_viewer", "pairOf(t, 2)", t=target.tolist())
    assert [layer["numbers"] for layer in best[1]] == [[0, 0, 0]] * 2
    assert call("separable_viewer", "attainable(t)", t=target.tolist())["ranks"] == [3, 0, 3]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("stencil", SIDES)
def test_its_share_is_that_of_python(target, stencil):
    for m in (1, 2, 3):
        state = {"target": target, "stencil": stencil, "taps": HAND}
        found = call("separable_viewer", f"distance(full({PAIR}), TARGETS[target][0])", m=m, **state)
        shown = viewer(layers=m, **state)
        assert 1 - found["error"] / found["whole"] == pytest.approx(shown.share(), abs=1e-12)
        best = call("separable_viewer", "attainable(TARGETS[target][0]).shares[m - 1]", target=target, m=m)
        assert shown.share() <= best + 1e-12


def test_what_is_left_over_of_each_output_is_the_target_less_its_products():
    target = normal(3, 3, 3, 3)
    for c in range(3):
        left = "layersOf(t.map((k) => k[c]), 2)"
        rest = in_javascript(f"[0, 1, 2].map((o) => leftOver(t[o][c], {left}, o))", t=target, c=c)
        made = in_javascript("full(pairOf(t, 2))", t=target)
        assert_close(rest, target[:, c] - made[:, c])


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_copied_code_is_the_layer_that_is_shown(m):
    shown = viewer(target="edges", layers=m, stencil="hand", taps=HAND)
    scope = {"torch": torch}
    code = f"torchCode({PAIR}, TARGETS[target][1])"
    exec(call("separable_viewer", code, target="edges", m=m, stencil="hand", taps=HAND), scope)
    pixels = torch.frombuffer(bytearray(shown.image), dtype=torch.uint8).view(1, 3, 5, 7) / 255
    torch.testing.assert_close(scope["layer"](pixels)[0], shown.output(), rtol=0, atol=1e-4)


def test_targets_and_stencils_are_those_of_python():
    targets = call("separable_viewer", "TARGETS")
    assert {*targets} == {*TARGETS}
    for name, (kernel, bias) in TARGETS.items():
        assert targets[name] == [kernel.tolist(), [bias] * 3]
    assert call("separable_viewer", "STENCILS") == {name: kernel.tolist() for name, kernel in STENCILS.items()}


def test_the_first_state_is_the_best_stencil_of_the_edges():
    layers = call("separable_viewer", "pairOf(TARGETS.edges[0], 1)")
    for (layer,) in layers:
        assert_close(torch.tensor(layer["stencil"], dtype=torch.float64), torch.tensor(STENCILS["between"]))
        assert layer["numbers"] == pytest.approx([0.2] * 3)
    assert viewer().share() == pytest.approx(0.6)


@pytest.mark.parametrize(("name", "percent"), [("edges", 60), ("blur", 100), ("fringes", 100), ("shifts", 33)])
def test_the_targets_are_made_as_far_as_the_text_says(name, percent):
    best = call("separable_viewer", "attainable(TARGETS[name][0]).shares[0]", name=name)
    assert int(100 * best + 1e-9) == percent
    assert int(100 * viewer(target=name).share() + 1e-9) == percent


@pytest.mark.parametrize(
    ("build", "says"),
    [
        *no_photographs(SeparableViewer),
        (lambda: viewer(taps=[[1, 2]]), r"taps must hold finite numbers of shape \[3, 3\], got shape \(1, 2\)"),
        (lambda: viewer(taps=[[0, 0, 0], [0, 3, 0], [0, 0, 0]]), r"taps must lie in \[−2, 2\]"),
        (lambda: viewer(target="sharpen"), 'target must be "edges", "shifts", "fringes" or "blur", got'),
        (lambda: viewer(stencil="worst"), 'stencil must be "best", "across"'),
        (lambda: viewer(layers=4), "layers must be from 1 to 3, got 4"),
        (lambda: viewer(channel=3), "channel must be from 0 to 2, got 3"),
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
