"""The shift viewer: its module moves and mixes as the definition does, and its kernels are the convolution of both."""

import pytest
import torch
from support.close import assert_close
from support.javascript import call
from support.photographs import no_photographs

from convnotes import Shift2d, definitions
from convnotes.measure import cost
from convnotes.widgets import ShiftViewer

STATES = [
    {"sources": [3, 3, 0], "displacements": [[0, -1], [0, 1], [0, 0]], "weight": [-1, 1, 0]},
    {"sources": [0, 1, 2], "displacements": [[-2, 1], [2, -2], [0, 2]], "weight": [0.35, -2, 1.5]},
    {"sources": [2, 2, 2], "displacements": [[1, 1], [1, 1], [-1, 0]], "weight": [0.5, 0.25, 1]},
]
every_state = pytest.mark.parametrize("state", STATES, ids=str)


def viewer(**state) -> ShiftViewer:
    return ShiftViewer(torch.rand(3, 5, 7), alt="Seven by five pixels of noise", **state)


def lifted(photo):
    """Red, green, blue and lightness [4, H, W]."""
    return torch.cat([photo, definitions.pointwise(photo[None], photo.new_tensor([[0.299, 0.587, 0.114]]))[0]])


@pytest.mark.parametrize(("height", "width"), [(11, 7), (2, 3), (1, 1)])
def test_the_module_shifts_as_the_definition_does(height, width):
    x = torch.rand(3, height, width, dtype=torch.float64)
    displacements = [[-2, 1], [0, -1], [2, 2]]
    values = {"x": x.flatten().tolist(), "size": [height, width], "d": displacements}
    found = call("shift_viewer", "shift(x, ...size, d)", **values)
    expected = definitions.shift2d(x[None], torch.tensor(displacements))[0]
    assert_close(torch.tensor(found, dtype=torch.float64).view_as(expected), expected)


@every_state
def test_lifting_shifting_and_mixing_is_one_convolution_with_the_kernels_that_are_drawn(state):
    photo = torch.rand(3, 11, 7, dtype=torch.float64)
    y, kernels = call(
        "shift_viewer",
        "[mix(shift(pick(lift(photo, 77), 77, s.sources), 11, 7, s.displacements), 77, s.weight),"
        " composed(s.sources, s.displacements, s.weight)]",
        photo=photo.flatten().tolist(),
        s=state,
    )
    y, maps = torch.tensor(y, dtype=torch.float64).view(11, 7), lifted(photo)
    shifted = definitions.shift2d(maps[None, state["sources"]], torch.tensor(state["displacements"]))
    weight = torch.tensor([state["weight"]], dtype=torch.float64)
    assert_close(y, definitions.pointwise(shifted, weight)[0, 0])
    assert_close(y, definitions.conv2d(maps[None], torch.tensor([kernels], dtype=torch.float64), padding=2)[0, 0])


def test_its_counts_are_those_of_cost_and_of_a_depthwise_kernel():
    found = call("shift_viewer", "counts(18, 77)")
    shift = cost(Shift2d(18), (1, 18, 11, 7))
    depthwise = cost(torch.nn.Conv2d(18, 18, 3, padding=1, groups=18, bias=False), (1, 18, 11, 7))
    mix = cost(torch.nn.Conv2d(18, 1, 1, bias=False), (1, 18, 11, 7))
    assert found == {
        "flops": 2 * shift.macs,
        "bytes": shift.moved_bytes,
        "depthwise": 2 * depthwise.macs,
        "mix": 2 * mix.macs,
    }


@every_state
def test_its_share_from_outside_is_that_of_a_picture_of_ones(state):
    found = call("shift_viewer", "outside(11, 7, d)", d=state["displacements"])
    ones = definitions.shift2d(torch.ones(1, 3, 11, 7), torch.tensor(state["displacements"]))
    assert found == pytest.approx((ones == 0).double().mean().item())


@every_state
def test_the_copied_code_runs_and_is_what_is_shown(state):
    shown, scope = viewer(**state), {"torch": torch}
    exec(call("shift_viewer", "torchCode(s.sources, s.displacements, s.weight)", s=state), scope)
    pixels = torch.frombuffer(bytearray(shown.image), dtype=torch.uint8).view(1, 3, 5, 7) / 255
    torch.testing.assert_close(scope["layer"](pixels)[0, 0], shown.output()[1])


@every_state
def test_python_s_output_is_the_definition_of_what_is_shown(state):
    shown = viewer(**state)
    pixels = torch.frombuffer(bytearray(shown.image), dtype=torch.uint8).view(3, 5, 7) / 255
    shifted, mixed = shown.output()
    expected = definitions.shift2d(lifted(pixels)[None, state["sources"]], torch.tensor(state["displacements"]))
    torch.testing.assert_close(shifted, expected[0])
    torch.testing.assert_close(mixed, definitions.pointwise(expected, torch.tensor([state["weight"]]).float())[0, 0])


def test_the_first_preset_is_the_state_that_the_widget_starts_in():
    shown = viewer()
    first = {"sources": shown.sources, "displacements": shown.displacements, "weight": shown.weight}
    assert call("shift_viewer", "PRESETS.across") == first
    for preset in call("shift_viewer", "PRESETS").values():
        viewer(**preset)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        *no_photographs(ShiftViewer),
        (lambda: viewer(sources=[0, 1, 4]), r"sources\[2\] must be from 0 to 3, got 4"),
        (
            lambda: viewer(displacements=[[0, 3], [0, 0], [0, 0]]),
            r"displacements\[0\]\[1\] must be from -2 to 2, got 3",
        ),
        (lambda: viewer(displacements=[[0, 0.5], [0, 0], [0, 0]]), r"displacements\[0\]\[1\] must be an int, got 0\.5"),
        (lambda: viewer(displacements=[[0, 0]]), r"displacements must hold 3 pairs, got \[\[0, 0\]\]"),
        (
            lambda: viewer(weight=[1, float("nan"), 0]),
            r"weight must hold finite numbers of shape \[3\], got \[1, nan, 0\]",
        ),
        (lambda: viewer(probe=[5, 0]), "inside 5×7"),
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
