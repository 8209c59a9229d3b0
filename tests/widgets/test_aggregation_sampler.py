"""The aggregation sampler: its module sums what the definition sums, over the border too; bad state is refused."""

import pytest
import torch
from support.close import assert_close
from support.javascript import call, refused_by_both

from convnotes import definitions, deform_aggregate2d
from convnotes.widgets import AggregationSampler

KINDS = pytest.mark.parametrize("masks", ["softmax", "unbounded"])


def sampler(**state) -> AggregationSampler:
    torch.manual_seed(0)
    moves = (2 * torch.randn(9, 2, dtype=torch.float64)).clamp(-6, 6).tolist()
    scores = torch.randn(9, dtype=torch.float64).tolist()
    return AggregationSampler(torch.rand(1, 9, 7), **{"moves": moves, "scores": scores, "scale": 1.3} | state)


def pixels(widget: AggregationSampler) -> torch.Tensor:
    return torch.tensor(list(widget.image), dtype=torch.float64).view(1, 1, widget.height, widget.width) / 255


def defined(widget: AggregationSampler, function=definitions.deform_aggregate2d) -> torch.Tensor:
    size = (widget.height, widget.width)
    offset = torch.tensor(widget.moves, dtype=torch.float64).view(1, 18, 1, 1).expand(1, 18, *size)
    mask = widget.strengths().view(1, 9, 1, 1).expand(1, 9, *size)
    return function(pixels(widget), offset, mask, 3, padding=1, offset_scale=widget.scale)[0, 0]


@KINDS
@pytest.mark.parametrize("scale", [0.25, 1.0, 3.7])
def test_what_the_module_gives_everywhere_is_the_definition_s_output(masks, scale):
    widget = sampler(masks=masks, scale=scale)
    strength = call("aggregation_sampler", "strengths(s, m)", s=widget.scores, m=masks)
    assert_close(torch.tensor(strength, dtype=torch.float64), widget.strengths())
    given = dict(x=pixels(widget).flatten().tolist(), v=widget.moves, m=strength, s=scale)
    found = call("aggregation_sampler", "Array.from(everywhere(x, 9, 7, v, m, s))", **given)
    expected = defined(widget)
    assert_close(torch.tensor(found, dtype=torch.float64).view(9, 7), expected)
    assert_close(widget.map(), expected)


@KINDS
def test_the_shown_position_reads_and_sums_what_python_says(masks):
    widget = sampler(masks=masks, probe=[8, 1])
    at = call("aggregation_sampler", "places(p, v, s)", p=widget.probe, v=widget.moves, s=widget.scale)
    assert_close(torch.tensor(at, dtype=torch.float64), widget.places())
    x, m = pixels(widget).flatten().tolist(), widget.strengths().tolist()
    found = call("aggregation_sampler", "aggregated(x, 9, 7, at, m)", x=x, at=at, m=m)
    assert found["value"] == pytest.approx(widget.output())
    assert sum(a * b for a, b in zip(m, found["samples"], strict=True)) == pytest.approx(found["value"])


def test_a_tap_moved_to_a_position_reads_there():
    widget = sampler()
    for k in (0, 4, 7):
        move = call("aggregation_sampler", "moveTo([3, 4], [2.5, 5.25], k, 1.3)", k=k)
        at = call("aggregation_sampler", "places([3, 4], v, 1.3)", v=[move if n == k else [0, 0] for n in range(9)])
        assert at[k] == pytest.approx([2.5, 5.25])
    assert call("aggregation_sampler", "moveTo([3, 4], [99, -99], 4, 1)") == [6, -6]
    assert len(widget.places()) == 9


@pytest.mark.parametrize("wanted", [0.05, 0.4, 0.9])
def test_a_bar_that_is_pulled_to_a_height_gives_its_tap_that_mask(wanted):
    scores = [0.5, -1.0, 0.0, 0.3, 0.0, 0.0, -0.2, 0.0, 0.1]
    score = call("aggregation_sampler", "scoreFor(s, 'softmax', 3, w)", s=scores, w=wanted)
    scores[3] = score
    assert torch.tensor(scores).softmax(0)[3].item() == pytest.approx(wanted, abs=1e-6)
    assert call("aggregation_sampler", "scoreFor(s, 'unbounded', 3, w)", s=scores, w=wanted) == wanted
    assert call("aggregation_sampler", "scoreFor(s, 'unbounded', 3, 9)", s=scores) == 2


@KINDS
def test_the_copied_code_is_the_layer_that_is_shown(masks):
    widget, scope = sampler(masks=masks), {}
    given = dict(v=widget.moves, s=widget.scores, m=masks, a=widget.scale)
    exec(call("aggregation_sampler", "torchCode(v, s, m, a)", **given), scope)
    found, expected = scope["layer"](pixels(widget).float())[0, 0], defined(widget, deform_aggregate2d)
    torch.testing.assert_close(found, expected.float(), rtol=0, atol=1e-4)


BAD = [
    ({"probe": [9, 0]}, r"probe must be a row and a column inside 9×7, got \[9, 0\]"),
    ({"moves": [[0, 0]] * 8}, r"moves must hold finite numbers of shape \[9, 2\], got shape \(8, 2\)"),
    ({"moves": [[7.0, 0]] * 9}, "moves must lie between -6 and 6, got up to 7"),
    ({"scores": [0] * 8 + [9]}, "scores must lie between -8 and 8, got up to 9"),
    ({"masks": "sigmoid"}, 'masks must be "softmax" or "unbounded", got \'sigmoid\''),
    ({"scale": 0.1}, r"scale must lie in \[0.25, 4\], got 0.1"),
    ({"tap": 9}, "tap must be 0 to 8, got 9"),
]


@pytest.mark.parametrize(("state", "says"), BAD, ids=str)
def test_a_state_that_no_reader_may_set_is_refused_by_python_and_by_the_page(state, says):
    refused_by_both(sampler, state, says, height=9, width=7)


def test_an_image_must_be_grey():
    with pytest.raises(Exception, match=r"image must hold finite floats of shape \[1, H, W\], got shape \(3, 9, 7\)"):
        AggregationSampler(torch.rand(3, 9, 7))
