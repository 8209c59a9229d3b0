"""The separable viewer: its module computes what torch computes, its best fit is the best, bad state is refused."""

import pytest
import torch
from support.close import assert_close
from support.javascript import call
from support.photographs import no_photographs

from convnotes import definitions
from convnotes.widgets import SeparableViewer
from convnotes.widgets.separable_viewer import EDGES, NEAREST


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


def test_the_full_kernel_that_it_shows_is_the_separable_pair():
    x, depthwise, pointwise, bias = normal(3, 5, 7), normal(3, 3, 3), normal(3, 3), normal(3)
    found = in_javascript(
        "convolve(x, 5, 7, full(d, w), bias)", x=x.flatten(), d=depthwise, w=pointwise, bias=bias
    ).view(3, 5, 7)
    assert_close(found, definitions.separable(x[None], depthwise[:, None], pointwise, bias, padding=1)[0])


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


def test_the_best_fit_reaches_it_and_no_change_of_it_comes_nearer():
    target = normal(3, 3, 3, 3)
    best = call("separable_viewer", "fit(t)", t=target.tolist())
    fitted = viewer(target=target.tolist(), **best)
    reachable = (squares(target)[:, 0].sum() / target.square().sum()).item()
    assert fitted.share() == pytest.approx(reachable, abs=1e-9)
    for _ in range(20):
        moved = {
            name: (torch.tensor(v) + 0.01 * torch.randn(torch.tensor(v).shape)).tolist() for name, v in best.items()
        }
        assert viewer(target=target.tolist(), **moved).share() < fitted.share()
    peaks = torch.tensor(best["depthwise"]).flatten(1).abs().amax(1)
    assert peaks.tolist() == [1, 1, 1]


def test_an_input_that_the_target_does_not_use_gets_no_weight():
    target = normal(3, 3, 3, 3)
    target[:, 1] = 0
    best = call("separable_viewer", "fit(t)", t=target.tolist())
    assert [row[1] for row in best["pointwise"]] == [0, 0, 0]
    assert call("separable_viewer", "attainable(t)", t=target.tolist())["ranks"] == [3, 0, 3]


def test_its_share_is_that_of_python():
    state = {
        "target": normal(3, 3, 3, 3).tolist(),
        "depthwise": normal(3, 3, 3).tolist(),
        "pointwise": normal(3, 3).tolist(),
    }
    found = call("separable_viewer", "distance(full(depthwise, pointwise), target)", **state)
    assert 1 - found["error"] / found["whole"] == pytest.approx(viewer(**state).share(), abs=1e-12)


def test_the_copied_code_is_the_layer_that_is_shown():
    shown = viewer(depthwise=normal(3, 3, 3).tolist(), pointwise=normal(3, 3).tolist())
    scope = {"torch": torch}
    exec(call("separable_viewer", "torchCode(d, w, b)", d=shown.depthwise, w=shown.pointwise, b=shown.bias), scope)
    pixels = torch.frombuffer(bytearray(shown.image), dtype=torch.uint8).view(1, 3, 5, 7) / 255
    torch.testing.assert_close(scope["layer"](pixels)[0], shown.output(), rtol=0, atol=1e-4)


def test_the_first_state_is_the_first_target_with_its_best_fit():
    target, bias = call("separable_viewer", "TARGETS.edges")
    assert target == EDGES == viewer().target
    assert bias == viewer().bias
    assert call("separable_viewer", "fit(TARGETS.edges[0])") == {"depthwise": NEAREST[0], "pointwise": NEAREST[1]}
    assert viewer().share() == pytest.approx(0.6)


@pytest.mark.parametrize(("name", "percent"), [("edges", 60), ("blur", 100), ("fringes", 100), ("shifts", 33)])
def test_the_targets_are_made_as_far_as_the_text_says(name, percent):
    best = call("separable_viewer", "attainable(TARGETS[name][0]).shares[0]", name=name)
    assert int(100 * best + 1e-9) == percent


@pytest.mark.parametrize(
    ("build", "says"),
    [
        *no_photographs(SeparableViewer),
        (
            lambda: viewer(depthwise=[[1, 2]]),
            r"depthwise must hold finite numbers of shape \[3, 3, 3\], got shape \(1, 2\)",
        ),
        (
            lambda: viewer(pointwise=[[1, 2, 3], [1, 2], [1]]),
            r"pointwise must hold finite numbers of shape \[3, 3\], got \[\[1, 2, 3\], \[1, 2\], \[1\]\]",
        ),
        (lambda: viewer(bias=[0, 0, float("nan")]), "bias must hold finite"),
        (lambda: viewer(target=torch.zeros(3, 3, 3, 3).tolist()), "no share of nothing"),
        (lambda: viewer(channel=3), "channel must be from 0 to 2, got 3"),
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
