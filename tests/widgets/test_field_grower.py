"""The field grower: its module's field, paths and holes are those of the package and of gradients."""

import itertools

import numpy as np
import pytest
import torch
from support.javascript import call
from torch import nn

from convnotes.measure import receptive_field
from convnotes.receptive_field.dilated import coverage, gridding_holes
from convnotes.widgets import FieldGrower

STACKS = [
    [[3, 1, 2], [3, 1, 2], [3, 1, 2]],
    [[3, 1, 1], [3, 1, 2], [3, 1, 5]],
    [[3, 2, 1], [5, 1, 3], [2, 2, 2], [3, 1, 1]],
    [[7, 2, 8], [1, 2, 4]],
    [[1, 1, 1]],
]
every_stack = pytest.mark.parametrize("layers", STACKS, ids=str)


def network(layers) -> nn.Sequential:
    return nn.Sequential(*[nn.Conv2d(1, 1, k, stride=s, dilation=d, bias=False) for k, s, d in layers])


def counted(layers) -> torch.Tensor:
    """The paths to one output place, as the gradient of a stack of kernels of ones."""
    net = network(layers).double()
    for parameter in net.parameters():
        nn.init.ones_(parameter)
    side = receptive_field(net).size
    x = torch.zeros(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    y = net(x)
    assert y.shape == (1, 1, 1, 1)
    return torch.autograd.grad(y.sum(), x)[0][0, 0]


@every_stack
def test_the_field_is_that_of_measure_after_every_layer(layers):
    found = call("field_grower", "grow(layers)", layers=layers)
    for n, field in enumerate(found, 1):
        expected = receptive_field(network(layers[:n]))
        assert (field["size"], field["stride"]) == (expected.size, expected.stride)


@every_stack
def test_the_paths_are_the_gradient_of_kernels_of_ones_in_the_page_and_in_python(layers):
    expected = counted(layers).numpy()
    line = np.array(call("field_grower", "pathsAlong(layers)", layers=layers))
    assert np.array_equal(np.outer(line, line), expected)
    assert np.array_equal(FieldGrower(layers).paths(), expected)


@every_stack
def test_what_is_touched_is_where_that_gradient_is_not_zero(layers):
    expected = counted(layers)
    found = call("field_grower", "touched(layers)", layers=layers)
    assert found["places"] == int(expected.count_nonzero())
    assert found["holes"] == int((expected == 0).sum())
    assert found["share"] == pytest.approx(found["places"] / expected.numel())


@pytest.mark.parametrize("rates", [(2, 2, 2), (1, 2, 5), (1, 2, 4), (3, 8), (1, 1, 1, 1)])
def test_without_stride_paths_and_holes_are_those_of_coverage(rates):
    layers = [[3, 1, rate] for rate in rates]
    line = np.array(call("field_grower", "pathsAlong(layers)", layers=layers))
    assert np.array_equal(np.outer(line, line), coverage(rates).numpy())
    assert call("field_grower", "touched(layers).holes", layers=layers) == gridding_holes(rates)


@every_stack
def test_the_levels_end_at_the_touched_pixels_and_their_lines_at_the_places_of_the_next(layers):
    found = call("field_grower", "levels(layers)", layers=layers)
    line = call("field_grower", "pathsAlong(layers)", layers=layers)
    assert found[0]["places"] == [0]
    assert found[-1]["places"] == [n for n, paths in enumerate(line) if paths]
    for above, below in itertools.pairwise(found):
        assert {a for a, _ in below["taps"]} == set(above["places"])
        assert {b for _, b in below["taps"]} == set(below["places"])


@every_stack
def test_the_drawn_input_holds_the_fields_of_all_output_positions(layers):
    side = call("field_grower", "canvasSide(layers)", layers=layers)
    corners = call("field_grower", "positions().map((n) => cornerOf(layers, [n, -n]))", layers=layers)
    field = receptive_field(network(layers))
    assert len(corners) == 5
    for n, (row, column) in enumerate(corners, -2):
        assert 0 <= row <= side - field.size
        assert 0 <= column <= side - field.size
        assert [row, column] == [corners[2][0] + n * field.stride, corners[2][1] - n * field.stride]


@every_stack
def test_the_shares_on_the_line_are_what_kernels_of_equal_weights_answer(layers):
    """On an image that is 1 on the line and 0 beside it, in the page and in Python."""
    side = call("field_grower", "canvasSide(layers)", layers=layers)
    first = call("field_grower", "cornerOf(layers, [-2, -2])", layers=layers)
    column = call("field_grower", "lineColumn(layers)", layers=layers)
    net = network(layers).double()
    for parameter in net.parameters():
        nn.init.constant_(parameter, 1 / parameter[0, 0].numel())
    image = torch.zeros(1, 1, side, side, dtype=torch.float64)
    image[..., column] = 1
    with torch.no_grad():
        answers = net(image[..., first[0] :, first[1] :])[0, 0, :5, :5]
    for shares in (call("field_grower", "onLine(layers)", layers=layers), FieldGrower(layers).on_line()):
        assert answers.numpy() == pytest.approx(np.tile(shares, (5, 1)), abs=1e-12)


def test_a_line_of_one_pixel_is_lost_to_every_second_output_of_dilations_2_2_2():
    assert [share > 0 for share in FieldGrower().on_line()] == [True, False, True, False, True]
    assert min(FieldGrower([[3, 1, 1], [3, 1, 2], [3, 1, 2]]).on_line()) > 0


@pytest.mark.parametrize(
    ("layers", "m", "read"),
    [
        ([[3, 1, 2]] * 3, 2, 1),
        ([[3, 1, 1], [3, 1, 2], [3, 1, 2]], 2, 4),
        ([[3, 1, 1]] * 3, 2, 4),
        ([[3, 1, 3]] * 3, 3, 1),
        ([[3, 1, 3], [3, 1, 3], [3, 1, 1]], 3, 9),
        ([[3, 1, 2], [3, 1, 5], [1, 1, 3]], 5, 9),
        ([[3, 1, 4], [3, 1, 6]], 2, 1),
        ([[3, 2, 2], [3, 1, 1]], 2, 1),
        ([[1, 1, 4]], 2, 1),
    ],
)
def test_an_output_reads_one_colour_where_all_steps_share_a_divisor(layers, m, read):
    found = call("field_grower", "coloursRead(layers, [1, -2])", layers=layers)
    assert found == {"read": read, "of": m * m, "m": m}


@every_stack
def test_the_colours_are_those_of_the_pixels_with_a_gradient(layers):
    paths = counted(layers)
    found = call(
        "field_grower", "({ ...coloursRead(layers, [0, 1]), corner: cornerOf(layers, [0, 1]) })", layers=layers
    )
    pixels = (paths.nonzero() + torch.tensor(found["corner"])) % found["m"]
    assert len({tuple(pixel) for pixel in pixels.tolist()}) == found["read"]


def test_runs_put_together_give_the_line_again():
    line = [1, 1, 0, 0, 0, 2, 0, 1]
    found = call("field_grower", "runs(line)", line=line)
    assert [value for _, length, value in found for _ in range(length)] == line
    assert [start for start, _, _ in found] == [0, 2, 5, 6, 7]


@every_stack
def test_the_copied_code_is_the_network_that_is_shown(layers):
    scope = {"torch": torch}
    exec(call("field_grower", "torchCode(layers)", layers=layers), scope)
    assert [(c.kernel_size[0], c.stride[0], c.dilation[0]) for c in scope["net"]] == [tuple(each) for each in layers]


def test_the_first_preset_is_the_state_that_the_widget_starts_in():
    assert call("field_grower", "PRESETS.grid") == FieldGrower().layers


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([], "1 to 4 of"),
        ([[3, 1, 1]] * 5, "1 to 4 of"),
        ([[3, 1]], "1 to 4 of"),
        ([[8, 1, 1]], "the kernel size of layer 1 must be from 1 to 7, got 8"),
        ([[3, 1, 1], [3, 3, 1]], "the stride of layer 2 must be from 1 to 2, got 3"),
        ([[3, 1, 0]], "the dilation of layer 1 must be from 1 to 8, got 0"),
        ([[3, 1, 1.5]], r"got 1\.5"),
        ([[3, 1, True]], "got True"),
    ],
)
def test_bad_layers_are_refused(layers, says):
    with pytest.raises(Exception, match=says):
        FieldGrower(layers)


@pytest.mark.parametrize(
    ("position", "says"),
    [([0], "must hold 2 ints"), ([0, 3], r"position\[1\] must be from -2 to 2, got 3"), ([0.5, 0], r"got 0\.5")],
)
def test_bad_positions_are_refused(position, says):
    with pytest.raises(Exception, match=says):
        FieldGrower(position=position)
