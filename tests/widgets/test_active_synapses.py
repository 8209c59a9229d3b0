"""The active synapses: their module splats and filters as the layer does, their state refuses what is none."""

import pytest
import torch
from support.close import assert_close
from support.javascript import call
from support.photographs import no_photographs

from convnotes import ActiveConv2d, active_conv2d, definitions
from convnotes.receptive_field.active import ring
from convnotes.widgets import ActiveSynapses

PLACES = {
    "one": [(0, 0)],
    "between": [(0, 0), (0.75, 1.5), (-0.3, -2.9), (2.95, 0.2)],
    "whole-and-at-the-edge": [(0, 0), (1, -2), (3, 3), (-3, 2.5), (1, -2)],
}


def synapses(**state) -> ActiveSynapses:
    return ActiveSynapses(torch.rand(3, 5, 7), alt="Seven by five pixels of noise", **state)


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_the_splatted_kernel_is_the_layer_s_full_weight(places):
    layer = ActiveConv2d(1, 1, synapses=places, dtype=torch.float64)
    values = {"weights": layer.weight[0, 0].tolist(), "places": layer.positions.tolist()}
    kernel = torch.tensor(call("active_synapses", "splat(weights, places)", **values), dtype=torch.float64)
    assert_close(kernel, layer.full_weight()[0, 0])
    assert_close(synapses(weights=values["weights"], positions=places).kernel(), layer.full_weight()[0, 0])


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_the_module_filters_as_the_definition_and_the_layer_do(places):
    x = torch.rand(3, 5, 7, dtype=torch.float64)
    weights, at = torch.randn(len(places), dtype=torch.float64), torch.tensor(places, dtype=torch.float64)
    bias = torch.tensor([0.25], dtype=torch.float64)
    values = {"x": x.flatten().tolist(), "weights": weights.tolist(), "places": at.tolist()}
    found = call("active_synapses", "convolve(x, 5, 7, splat(weights, places), 0.25)", **values)
    found = torch.tensor(found, dtype=torch.float64).view(3, 1, 5, 7)
    assert_close(found, definitions.active_conv2d(x[:, None], weights[None, None], at, bias))
    assert_close(found, active_conv2d(x[:, None], weights[None, None], at, bias))


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_what_is_touched_is_what_a_synapse_has_a_share_of(places):
    layer = ActiveConv2d(1, 1, synapses=places, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.fill_(1)
    shares = layer.full_weight()[0, 0] > 0
    expected = {"pixels": int(shares.sum()), "height": int(shares.any(1).sum()), "width": int(shares.any(0).sum())}
    rows, columns = shares.nonzero().unbind(1)
    expected |= {"height": int(rows.max() - rows.min() + 1), "width": int(columns.max() - columns.min() + 1)}
    assert call("active_synapses", "touched(places)", places=places) == expected


@pytest.mark.parametrize("place", [(0.25, -1.75), (3, -3), (2, 0.5)])
def test_the_four_shares_of_a_synapse_add_up_to_one(place):
    shares = call("active_synapses", "shares(place)", place=place)
    assert sum(share for *_, share in shares) == 1
    assert sum(row * share for row, _, share in shares) == place[0]
    assert sum(column * share for _, column, share in shares) == place[1]


@pytest.mark.parametrize(("place", "count"), [((0.25, -1.75), 4), ((1, 0.5), 2), ((-2, 3), 1), ((3, -0.5), 2)])
def test_the_pixels_that_are_lit_up_are_those_of_the_layer_s_kernel_for_that_synapse_alone(place, count):
    layer = ActiveConv2d(1, 1, [(0, 0), place], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.0, 1.0]))
    full = layer.full_weight()[0, 0]
    found = call("active_synapses", "sharing(place)", place=place)
    assert len(found) == count == full.count_nonzero()
    for row, column, share in found:
        assert full[row + 3, column + 3] == share


def test_the_copied_code_is_the_layer_that_is_shown():
    weights, places, bias = call("active_synapses", "PRESETS.edges")
    scope = {}
    exec(call("active_synapses", "torchCode(w, p, b)", w=weights, p=places, b=bias), scope)
    shown = synapses(weights=weights, positions=places, bias=bias)
    torch.testing.assert_close(scope["layer"].full_weight()[0, 0], shown.kernel().float())
    torch.testing.assert_close(scope["layer"](shown._pixels()[:, None])[:, 0], shown.output())


def test_the_presets_are_what_they_are_called():
    presets = call("active_synapses", "PRESETS")
    assert presets["relief"] == [synapses().weights, synapses().positions, 0]
    assert presets["plain"][1] == [list(place) for place in ring(9)]
    assert presets["dilated"][1] == [[2 * y, 2 * x] for y, x in ring(9)]


@pytest.mark.parametrize(
    ("build", "says"),
    [
        *no_photographs(ActiveSynapses),
        (lambda: synapses(weights=[1, 2]), "one weight and one position, got 2 and 3"),
        (
            lambda: synapses(weights=[1, 2, float("nan")]),
            r"weights must hold finite numbers of shape \[1 to 16\], got \[1, 2, nan\]",
        ),
        (lambda: synapses(weights=[], positions=[]), "1 to 16"),
        (
            lambda: synapses(positions=[[0, 0], [1, 2], [3]]),
            r"positions must hold finite numbers of shape \[1 to 16, 2\], got \[\[0, 0\], \[1, 2\], \[3\]\]",
        ),
        (lambda: synapses(positions=[[0, 0], [1, 2], [3.5, 0]]), "within 3 pixels"),
        (lambda: synapses(positions=[[0, 1], [1, 2], [3, 0]]), r"the first at \(0, 0\)"),
        (lambda: synapses(chosen=-1), "chosen must be from 0 to 15, got -1"),
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
