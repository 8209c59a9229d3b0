"""The channel mixer: its module computes what torch computes, its state refuses all but photographs and kernels."""

import numpy as np
import pytest
import torch
from support.close import assert_close
from support.javascript import call
from support.photographs import no_photographs

from convnotes import definitions
from convnotes.measure import cost
from convnotes.widgets import ChannelMixer


def mixer(**state) -> ChannelMixer:
    return ChannelMixer(torch.rand(3, 5, 7), alt="Seven by five pixels of noise", **state)


@pytest.mark.parametrize("outputs", [1, 3, 4])
def test_the_module_computes_the_definition(outputs):
    x = torch.rand(3, 5, 7, dtype=torch.float64)
    weight, bias = torch.randn(outputs, 3, dtype=torch.float64), torch.randn(outputs, dtype=torch.float64)
    expected = definitions.pointwise(x[None], weight, bias)[0]
    values = {"x": x.flatten().tolist(), "weight": weight.tolist(), "bias": bias.tolist()}
    found = torch.tensor(call("channel_mixer", "mix(x, 35, weight, bias)", **values)).view(outputs, 5, 7)
    assert_close(found, expected.float())


def test_scrambling_is_a_permutation_and_commutes_with_the_kernel():
    order = call("channel_mixer", "permutation(35)")
    assert sorted(order) == list(range(35))
    assert order != list(range(35))
    x, weight, bias = torch.rand(3, 35).tolist(), [[0.5, -0.5, 0.25]], [0.125]
    flat = [v for row in x for v in row]
    first, second = call(
        "channel_mixer",
        "[mix(permute(x, 35, permutation(35)), 35, w, b), permute(mix(x, 35, w, b), 35, permutation(35))]",
        x=flat, w=weight, b=bias,
    )  # fmt: skip
    assert first == second


def test_the_ring_stays_on_its_pixel_when_the_pixels_are_scrambled():
    order, back = call("channel_mixer", "[permutation(35), inverse(permutation(35))]")
    x = torch.rand(1, 35).tolist()[0]
    shown = call("channel_mixer", "permute(x, 35, permutation(35))", x=x)
    assert [order[at] for at in back] == list(range(35))
    assert [shown[at] for at in back] == pytest.approx(x)


@pytest.mark.parametrize(("outputs", "size"), [(3, 1), (2, 3)])
def test_its_counts_are_those_of_cost(outputs, size):
    counted = cost(torch.nn.Conv2d(3, outputs, size, padding=size // 2), (1, 3, 5, 7))
    found = call("channel_mixer", "counts(35, 3, outputs, size)", outputs=outputs, size=size)
    assert found == {"parameters": counted.params, "macs": counted.macs}


def test_its_summary_is_that_of_numpy():
    values = np.random.default_rng(0).normal(0.5, 0.6, 101)
    found = call("channel_mixer", "summary(values)", values=values.tolist())
    assert found["mean"] == pytest.approx(values.mean())
    assert found["deviation"] == pytest.approx(values.std())
    assert found["outside"] == pytest.approx(np.mean((values < 0) | (values > 1)))


@pytest.mark.parametrize("first", [[0.5, -0.25, 0.125], [1, 0, 0]], ids=["fractions", "whole numbers"])
def test_the_copied_code_is_the_layer_that_is_shown(first):
    weight, bias = [first, [1, 0, -1]], [0, 1]
    scope = {"torch": torch}
    exec(call("channel_mixer", "torchCode(weight, bias)", weight=weight, bias=bias), scope)
    assert scope["layer"].weight[:, :, 0, 0].tolist() == weight
    assert scope["layer"].bias.tolist() == bias


def test_the_first_preset_is_the_state_that_the_widget_starts_in():
    weight, bias = call("channel_mixer", "PRESETS.opponent")
    assert weight == mixer().weight
    assert bias == mixer().bias


def test_python_s_output_is_the_convolution_of_what_is_shown():
    shown = mixer(weight=[[1, 0, 0]], bias=[0.25])
    pixels = torch.frombuffer(bytearray(shown.image), dtype=torch.uint8).view(3, 5, 7) / 255
    torch.testing.assert_close(shown.output(), pixels[:1] + 0.25)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        *no_photographs(ChannelMixer),
        (lambda: mixer(weight=[[1, 2]]), r"weight must hold finite numbers of shape \[1 to 4, 3\], got shape \(1, 2\)"),
        (lambda: mixer(weight=[[1, 2, float("nan")]]), "finite"),
        (lambda: mixer(bias=[]), r"bias must hold finite numbers of shape \[1 to 4\], got shape \(0,\)"),
        (lambda: mixer(probe=[5, 0]), "inside 5×7"),
        (lambda: mixer(row=4), "row must be from 0 to 3, got 4"),
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
