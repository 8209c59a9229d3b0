"""The template matcher: its module scores as the definitions do, finds what torch finds, and refuses bad state."""

import numpy as np
import pytest
import torch
from support.close import assert_close
from support.javascript import call, refused_by_both

from convnotes import definitions
from convnotes.widgets import TemplateMatch


def matcher(**state) -> TemplateMatch:
    generator = torch.Generator().manual_seed(0)
    return TemplateMatch(torch.rand(17, 23, generator=generator), state.pop("place", (8, 9)), alt="Noise", **state)


def traits(state: TemplateMatch) -> dict:
    return {name: getattr(state, name) for name in ("place", "window", "light", "centred")}


def pixels(state: TemplateMatch) -> list[float]:
    return (np.frombuffer(state.image, np.uint8) / 255).tolist()


@pytest.mark.parametrize("taps", [1, 5, 9])
def test_the_module_scores_as_the_definitions(taps):
    x, w = torch.randn(1, 1, 1, 23, dtype=torch.float64), torch.randn(1, 1, 1, taps, dtype=torch.float64)
    values = {"x": x.flatten().tolist(), "w": w.flatten().tolist()}
    for name, definition in (("product", definitions.conv2d), ("distance", definitions.adder2d)):
        found = torch.tensor(call("template_match", f"{name}(x, w)", **values), dtype=torch.float64)
        assert_close(found, definition(x, w)[0, 0, 0])


def test_a_template_without_its_mean_does_not_see_added_light():
    state = matcher(centred=True)
    before = state.responses()[0]
    state.light = 0.25
    torch.testing.assert_close(state.responses()[0], before)
    assert sum(call("template_match", "lessMean([1, 2, 6])")) == pytest.approx(0)


@pytest.mark.parametrize("place", [(8, 9), (0, 18), (16, 4)])
@pytest.mark.parametrize("change", [{}, {"light": -0.3}, {"light": 0.2, "centred": True, "window": 5}])
def test_javascript_and_python_find_the_same_position(place, change):
    state = matcher(place=place, **change)
    found = call("template_match", "search(x, 23, now)", x=pixels(state), now=traits(state))
    column = place[1]
    assert_close(torch.tensor(found["template"], dtype=torch.float64), state.template())
    for name, scores, miss in zip(("product", "distance"), state.responses(), state.misses(), strict=True):
        assert_close(torch.tensor(found[name]["scores"], dtype=torch.float64), scores)
        assert found[name]["miss"] == miss
        assert found[name]["best"] == int(scores.argmax()) + 4
        assert found[name]["home"] == pytest.approx(scores[column - 4].item())
        assert found[name]["value"] == pytest.approx(scores.max().item())


@pytest.mark.parametrize("light", [-0.4, -0.1, 0.0, 0.4])
@pytest.mark.parametrize("centred", [False, True])
def test_the_scale_of_a_trace_holds_every_score_under_every_light(light, centred):
    state = matcher(light=light, centred=centred)
    found = call("template_match", "search(x, 23, now)", x=pixels(state), now=traits(state))
    for name, scores in zip(("product", "distance"), state.responses(), strict=True):
        assert found[name]["low"] <= scores.min().item() + 1e-12
        assert scores.max().item() <= found[name]["high"] + 1e-12


def test_gaps_and_products_of_a_window_add_up_to_its_scores():
    state = matcher(light=0.15, window=13)
    found = call(
        "template_match",
        "(() => { const f = search(x, 23, now), v = cut(f.lit, now.window); "
        "return [gaps(v, f.template), products(v, f.kernel)]; })()",
        x=pixels(state),
        now=traits(state),
    )
    product, distance = (scores[13 - 4].item() for scores in state.responses())
    assert -sum(found[0]) == pytest.approx(distance)
    assert sum(found[1]) == pytest.approx(product)


def test_a_perfect_match_scores_zero_and_added_light_costs_its_size_at_every_pixel():
    state = matcher()
    assert state.responses()[1][9 - 4] == 0
    assert state.misses()[1] == 0
    state.light = -0.125
    assert state.responses()[1][9 - 4].item() == pytest.approx(-9 * 0.125)


@pytest.mark.parametrize("centred", [False, True])
def test_the_copied_code_runs_and_is_what_is_shown(centred):
    now = {"place": [8, 9], "window": 9, "light": 0.125, "centred": centred}
    scope = {}
    exec(call("template_match", "torchCode(23, now)", now=now), scope)
    row = scope["row"].double()
    template = row[..., 5:14]
    kernel = template - template.mean() if centred else template
    single = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(scope["product"].double(), definitions.conv2d(row + 0.125, kernel), **single)
    torch.testing.assert_close(scope["distance"].double(), definitions.adder2d(row + 0.125, template), **single)


BAD = [
    ({"place": (17, 9)}, "inside 17×23"),
    ({"place": (8, 3)}, "the column of place must be from 4 to 18, got 3"),
    ({"place": (8, 19)}, "the column of place must be from 4 to 18, got 19"),
    ({"window": 3}, "window must be from 4 to 18, got 3"),
    ({"light": 0.5}, "must lie in"),
]


@pytest.mark.parametrize(("state", "says"), BAD, ids=str)
def test_bad_state_is_refused_by_python_and_by_the_page(state, says):
    refused_by_both(matcher, state, says, height=17, width=23)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (
            lambda: TemplateMatch(torch.rand(1, 17, 23), (8, 8)),
            r"image must hold finite floats of shape \[H, W\], got shape \(1, 17, 23\)",
        ),
        (
            lambda: TemplateMatch(torch.rand(9, 23), (4, 8)),
            r"image must have at least 15×15 pixels, got shape \(9, 23\)",
        ),
        (lambda: TemplateMatch(torch.full((17, 23), 2.0), (8, 8)), r"must lie in \[0, 1\], got 2 to 2"),
        (lambda: matcher(centred="yes"), "centred"),
    ],
)
def test_what_is_no_photograph_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
