"""The template matcher: its module scores as the definitions do, finds what torch finds, and refuses bad state."""

import numpy as np
import pytest
import torch
from support.close import assert_close
from support.javascript import call

from convnotes import definitions
from convnotes.widgets import TemplateMatch


def matcher(**state) -> TemplateMatch:
    generator = torch.Generator().manual_seed(0)
    return TemplateMatch(torch.rand(17, 23, generator=generator), state.pop("place", (8, 9)), alt="Noise", **state)


@pytest.mark.parametrize("size", [1, 5, 7])
def test_the_module_scores_as_the_definitions(size):
    x, w = torch.randn(1, 1, 11, 7, dtype=torch.float64), torch.randn(1, 1, size, size, dtype=torch.float64)
    values = {"x": x.flatten().tolist(), "w": w.flatten().tolist(), "k": size}
    for name, definition in (("product", definitions.conv2d), ("distance", definitions.adder2d)):
        expected = definition(x, w)[0, 0]
        found = torch.tensor(call("template_match", f"{name}(x, 11, 7, w, k)", **values), dtype=torch.float64)
        assert_close(found.view(expected.shape), expected)


def test_a_template_without_its_mean_does_not_see_added_light():
    state = matcher(centred=True)
    before = state.responses()[0]
    state.light = 0.25
    torch.testing.assert_close(state.responses()[0], before)
    assert sum(call("template_match", "lessMean([1, 2, 6])")) == pytest.approx(0)


@pytest.mark.parametrize("place", [(8, 9), (0, 22), (16, 0)])
@pytest.mark.parametrize("change", [{}, {"light": -0.3}, {"light": 0.2, "centred": True, "size": 7}])
def test_javascript_and_python_find_the_same_place(place, change):
    state = matcher(place=place, **change)
    now = {"place": list(place), "size": state.size, "light": state.light, "centred": state.centred}
    pixels = (np.frombuffer(state.image, np.uint8) / 255).tolist()
    found = call("template_match", "search(x, 17, 23, now)", x=pixels, now=now)
    assert tuple(found["at"]) == state.corner()
    for name, scores, miss in zip(("product", "distance"), state.responses(), state.misses(), strict=True):
        assert_close(torch.tensor(found[name]["scores"], dtype=torch.float64), scores.flatten())
        assert found[name]["miss"] == pytest.approx(miss)
        assert found[name]["home"] == pytest.approx(scores[state.corner()].item())


def test_a_perfect_match_scores_zero_and_added_light_costs_its_size_at_every_pixel():
    state = matcher()
    assert state.responses()[1][state.corner()] == 0
    assert state.misses()[1] == 0
    state.light = -0.125
    assert state.responses()[1][state.corner()].item() == pytest.approx(-81 * 0.125)


@pytest.mark.parametrize("centred", [False, True])
def test_the_copied_code_runs_and_is_what_is_shown(centred):
    now = {"place": [8, 9], "size": 5, "light": 0.125, "centred": centred}
    scope = {}
    exec(call("template_match", "torchCode(17, 23, now)", now=now), scope)
    picture = scope["picture"].double()
    template = picture[:, :, 6:11, 7:12]
    kernel = template - template.mean() if centred else template
    single = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(scope["product"].double(), definitions.conv2d(picture + 0.125, kernel), **single)
    torch.testing.assert_close(scope["distance"].double(), definitions.adder2d(picture + 0.125, template), **single)


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
        (lambda: matcher(place=(17, 0)), "inside 17×23"),
        (lambda: matcher(size=6), "size must be odd and from 5 to 15, got 6"),
        (lambda: matcher(light=0.5), "must lie in"),
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
