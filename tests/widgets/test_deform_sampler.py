"""The deformable sampler: its module reads what the definition reads, at the border too; bad state is refused."""

import pytest
import torch
from support.close import assert_close
from support.javascript import call

from convnotes import definitions, deform_conv2d
from convnotes.widgets import DeformSampler

GRIDS = {
    "plain": dict(stride=1, padding=1, dilation=1),
    "strided-dilated": dict(stride=2, padding=2, dilation=2),
    "unpadded": dict(stride=1, padding=0, dilation=1),
}
every_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def sides(grid: dict) -> tuple[int, int]:
    return tuple((n + 2 * grid["padding"] - 2 * grid["dilation"] - 1) // grid["stride"] + 1 for n in (9, 7))


def sampler(grid: dict = GRIDS["plain"], reach: float = 2.0, **state) -> DeformSampler:
    offsets = (reach * normal(18, *sides(grid))).clamp(-100, 100)
    return DeformSampler(torch.rand(1, 9, 7), offsets, normal(3, 3), alt="Nine by seven pixels", **grid, **state)


def pixels(widget: DeformSampler) -> torch.Tensor:
    return torch.tensor(list(widget.image), dtype=torch.float64).view(1, 1, widget.height, widget.width) / 255


def defined(widget: DeformSampler, grid: dict, function=definitions.deform_conv2d) -> torch.Tensor:
    weight = torch.tensor(widget.weight, dtype=torch.float64)[None, None]
    bias = torch.tensor([widget.bias], dtype=torch.float64)
    return function(pixels(widget), widget.offset()[None], weight, bias, **grid)


def at_tap(x: torch.Tensor, place: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """The definition's sample at a place (y, x), and its derivative to the place."""
    offset = torch.zeros(1, 2, *x.shape[2:], dtype=x.dtype)
    offset[0, :, 0, 0] = torch.tensor(place, dtype=x.dtype)
    offset.requires_grad_()
    y = definitions.deform_conv2d(x, offset, torch.ones(1, 1, 1, 1, dtype=x.dtype))[0, 0, 0, 0]
    (slope,) = torch.autograd.grad(y, offset)
    return y.detach(), slope[0, :, 0, 0]


BORDERS = [-2.5, -1.5, -1.0, -0.5, 0.0, 0.25, 1.0, 2.75, 3.0, 3.5, 4.0, 4.5]


def test_the_four_pixel_read_is_the_definition_s_with_its_slope_also_on_and_over_the_border():
    x = normal(1, 1, 4, 4)
    at = [[a, b] for a in BORDERS for b in BORDERS]
    found = call(
        "deform_sampler", "at.map((place) => bilinear(x, 4, 4, place))", x=x.flatten().tolist(), at=at
    )  # one process for all places
    for place, sample in zip(at, found, strict=True):
        value, slope = at_tap(x, place)
        assert_close(torch.tensor(sample["value"], dtype=x.dtype), value)
        assert_close(torch.tensor(sample["slope"], dtype=x.dtype), slope)
        assert sum(corner["share"] for corner in sample["corners"]) == pytest.approx(1)


@every_grid
@pytest.mark.parametrize("reach", [0.7, 6.0], ids=["near", "over-the-border"])
def test_the_module_s_output_is_the_definition_s_for_the_stored_offsets(grid, reach):
    widget = sampler(grid, reach)
    numbers = (widget.offset() * 256).flatten().tolist()
    found = call(
        "deform_sampler",
        "everywhere(x, 9, 7, rows, columns, (place) => stored(numbers, rows, columns, place), weight, 0.25, grid)",
        x=pixels(widget).flatten().tolist(), numbers=numbers, weight=widget.weight, grid=grid,
        rows=widget.rows, columns=widget.columns,
    )  # fmt: skip
    widget.bias = 0.25
    assert_close(torch.tensor(found, dtype=torch.float64).view(1, 1, *sides(grid)), defined(widget, grid))


@every_grid
def test_its_taps_and_its_distance_are_those_of_python(grid):
    for source in ("learned", "grid", "outwards", "hand"):
        widget = sampler(grid, source=source, moves=(normal(9, 2).clamp(-2, 2)).tolist(), place=[2, 1])
        moves = widget.offset()[:, 2, 1].view(9, 2)
        at, away = call("deform_sampler", "[places([2, 1], m, grid), distance(m)]", m=moves.tolist(), grid=grid)
        assert_close(torch.tensor(at, dtype=torch.float64), widget.places())
        assert away == pytest.approx(widget.distance())
        assert (away == 0) == (source == "grid")


@every_grid
def test_outwards_is_the_kernel_of_twice_the_dilation(grid):
    widget = sampler(grid, source="outwards")
    assert call("deform_sampler", "outwards(d)", d=grid["dilation"]) == widget.offset()[:, 0, 0].view(9, 2).tolist()
    weight = torch.tensor(widget.weight, dtype=torch.float64)[None, None]
    twice = dict(padding=grid["padding"] + grid["dilation"], dilation=2 * grid["dilation"], stride=grid["stride"])
    assert_close(defined(widget, grid), definitions.conv2d(pixels(widget), weight, **twice))


def test_offsets_are_stored_to_a_512th_of_a_pixel():
    offsets = 3 * normal(18, 9, 7)
    widget = DeformSampler(torch.rand(1, 9, 7), offsets, torch.ones(3, 3))
    assert (widget.offset() - offsets).abs().max() <= 1 / 512


@every_grid
def test_the_copied_code_is_the_layer_that_is_shown(grid):
    widget = sampler(grid, source="hand", moves=normal(9, 2).clamp(-2, 2).tolist(), bias=0.5)
    scope = {}
    exec(call("deform_sampler", "torchCode(m, w, b, g)", m=widget.moves, w=widget.weight, b=0.5, g=grid), scope)
    torch.testing.assert_close(
        scope["layer"](pixels(widget).float()), defined(widget, grid, deform_conv2d).float(), rtol=0, atol=1e-4
    )


def test_a_hand_moves_a_tap_eight_pixels_at_most():
    assert call("deform_sampler", "confined([9.001, -0.1251])") == [8, -0.125]
    with pytest.raises(Exception, match="moves must be at most 8 pixels, got up to 9"):
        sampler(moves=[[9.0, 0.0]] * 9)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (
            lambda: DeformSampler(torch.rand(3, 9, 7), 0, 0),
            r"image must hold finite floats of shape \[1, H, W\], got shape \(3, 9, 7\)",
        ),
        (lambda: DeformSampler(torch.full((1, 9, 7), 2.0), 0, 0), r"must lie in \[0, 1\], got 2 to 2"),
        (
            lambda: DeformSampler(torch.rand(1, 9, 7), torch.zeros(18, 7, 9), torch.ones(3, 3)),
            r"offsets must hold finite numbers of shape \[18, 9, 7\], got shape \(18, 7, 9\)",
        ),
        (
            lambda: DeformSampler(torch.rand(1, 9, 7), torch.full((18, 9, 7), torch.nan), torch.ones(3, 3)),
            r"offsets must hold finite numbers of shape \[18, 9, 7\], got torch\.float32 \(18, 9, 7\)",
        ),
        (
            lambda: DeformSampler(torch.rand(1, 9, 7), torch.zeros(18, 9, 7), torch.ones(3, 3), stride=0),
            "stride must be at least 1, got 0",
        ),
        (
            lambda: DeformSampler(torch.rand(1, 9, 7), torch.zeros(18, 9, 7), torch.ones(2, 3)),
            r"weight must hold finite numbers of shape \[3, 3\], got shape \(2, 3\)",
        ),
        (lambda: sampler(moves=[[0, "x"]] * 9), r"moves must hold finite numbers of shape \[9, 2\], got "),
        (lambda: sampler(place=[9, 0]), r"place must be a row and a column inside 9×7, got \[9, 0\]"),
        (lambda: sampler(source="none"), 'source must be "learned", "grid", "outwards" or "hand", got \'none\''),
        (lambda: sampler(tap=9), "tap must be 0 to 8, got 9"),
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
