"""The deformable sampler: its module reads what the definition reads, at the border too; bad state is refused."""

import itertools

import pytest
import torch
from support.close import assert_close
from support.javascript import call, refused_by_both

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
def test_what_the_module_reads_everywhere_is_the_definition_s_output_for_the_stored_offsets(grid, reach):
    widget = sampler(grid, reach, share=1.0)
    numbers = (widget.offset() * 256).flatten().tolist()
    found = call(
        "deform_sampler",
        "Array.from({ length: rows * columns }, (_, n) => [Math.floor(n / columns), n % columns]).map((at) => "
        "read(x, 9, 7, places(at, stored(numbers, rows, columns, at), grid), weight, 0.25).value)",
        x=pixels(widget).flatten().tolist(), numbers=numbers, weight=widget.weight, grid=grid,
        rows=widget.rows, columns=widget.columns,
    )  # fmt: skip
    widget.bias = 0.25
    assert_close(torch.tensor(found, dtype=torch.float64).view(1, 1, *sides(grid)), defined(widget, grid))


@every_grid
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_its_taps_distances_and_readings_are_those_of_python_and_of_the_definition(grid, share):
    for source in ("learned", "outwards", "hand"):
        for where in ("digits", "background"):
            moves = normal(2, 9, 2).clamp(-2, 2).tolist()
            widget = sampler(grid, source=source, share=share, moves=moves, where=where, background=[[0, 1], [2, 2]])
            shifts = torch.stack([widget.offset()[:, i, j].view(9, 2) for i, j in widget.spots()])
            found = call(
                "deform_sampler",
                "spots.map((at, n) => { const taps = places(at, moves[n], grid); "
                "return [taps, distance(moves[n]), read(x, 9, 7, taps, [[0]], 0).samples.map((s) => s.value)]; })",
                spots=widget.spots(), moves=shifts.tolist(), grid=grid, x=pixels(widget).flatten().tolist(),
            )  # fmt: skip
            for n, (at, away, values) in enumerate(found):
                assert_close(torch.tensor(at, dtype=torch.float64), widget.places()[n])
                assert away == pytest.approx(widget.distances()[n])
                assert (away == 0) == (share == 0)
                assert values == pytest.approx(widget.readings()[n].tolist(), abs=1e-6)
                i, j = widget.spots()[n]
                for k, value in enumerate(values):  # one tap of weight 1
                    one = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
                    one.view(9)[k] = 1
                    y = definitions.deform_conv2d(pixels(widget), widget.offset()[None], one, **grid)
                    assert value == pytest.approx(y[0, 0, i, j].item())


@every_grid
def test_outwards_is_the_kernel_of_twice_the_dilation(grid):
    widget = sampler(grid, source="outwards", share=1.0)
    assert call("deform_sampler", "outwards(d)", d=grid["dilation"]) == widget.offset()[:, 0, 0].view(9, 2).tolist()
    weight = torch.tensor(widget.weight, dtype=torch.float64)[None, None]
    twice = dict(padding=grid["padding"] + grid["dilation"], dilation=2 * grid["dilation"], stride=grid["stride"])
    assert_close(defined(widget, grid), definitions.conv2d(pixels(widget), weight, **twice))


@every_grid
def test_a_share_of_nothing_is_the_plain_convolution(grid):
    widget = sampler(grid)
    weight = torch.tensor(widget.weight, dtype=torch.float64)[None, None]
    assert_close(defined(widget, grid), definitions.conv2d(pixels(widget), weight, **grid))


@every_grid
@pytest.mark.parametrize("reach", [2, 12])
def test_the_window_holds_all_taps_and_its_pixels_are_the_image_s(grid, reach):
    moves = [[[reach, -reach]] * 9, [[0, 0]] * 9]
    for at in ([0, 0], [2, 1]):
        taps, part = call(
            "deform_sampler", "[places(at, m[0], grid), frameAround(at, m, grid)]", at=at, m=moves, grid=grid
        )
        for (y, x), side in itertools.product(taps, [part["side"]]):
            assert part["top"] <= y - 0.5 < y + 0.5 <= part["top"] + side
            assert part["left"] <= x - 0.5 < x + 0.5 <= part["left"] + side
        x = torch.rand(9, 7, dtype=torch.float64)
        found = call("deform_sampler", "cropped(x, 9, 7, part)", x=x.flatten().tolist(), part=part)
        window = torch.nn.functional.pad(x, (60, 60, 60, 60))
        rows, columns = (slice(60 + part[name], 60 + part[name] + part["side"]) for name in ("top", "left"))
        assert torch.equal(torch.tensor(found, dtype=torch.float64), window[rows, columns].flatten())


def test_the_difference_of_two_readings_is_their_mean_distance():
    assert call("deform_sampler", "apart([1, 0.5, 0], [0.5, 0.5, 1])") == pytest.approx(0.5)


def test_offsets_are_stored_to_a_512th_of_a_pixel():
    offsets = 3 * normal(18, 9, 7)
    widget = DeformSampler(torch.rand(1, 9, 7), offsets, torch.ones(3, 3), share=1.0)
    assert (widget.offset() - offsets).abs().max() <= 1 / 512


@every_grid
def test_the_copied_code_is_the_layer_that_is_shown(grid):
    moves = normal(2, 9, 2).clamp(-2, 2).tolist()
    widget = sampler(grid, source="hand", share=1.0, moves=moves, bias=0.5)
    scope = {}
    exec(call("deform_sampler", "torchCode(m, w, b, g)", m=moves[1], w=widget.weight, b=0.5, g=grid), scope)
    (i, j), weight = widget.spots()[1], torch.tensor(widget.weight, dtype=torch.float64)[None, None]
    everywhere = torch.tensor(moves[1], dtype=torch.float64).view(1, 18, 1, 1).expand(1, 18, *sides(grid))
    expected = deform_conv2d(pixels(widget), everywhere, weight, torch.tensor([0.5], dtype=torch.float64), **grid)
    assert_close(expected[0, 0, i, j], defined(widget, grid)[0, 0, i, j])
    torch.testing.assert_close(scope["layer"](pixels(widget).float()), expected.float(), rtol=0, atol=1e-4)


def test_a_hand_moves_a_tap_twelve_pixels_at_most():
    assert call("deform_sampler", "confined([12.001, -0.1251])") == [12, -0.125]
    with pytest.raises(Exception, match="moves must be at most 12 pixels, got up to 13"):
        sampler(moves=[[[13.0, 0.0]] * 9] * 2)


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
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()


BAD = [
    ({"moves": [[[0, "x"]] * 9] * 2}, r"moves must hold finite numbers of shape \[2, 9, 2\], got "),
    ({"moves": [[0, 0]] * 9}, r"moves must hold finite numbers of shape \[2, 9, 2\], got shape \(9, 2\)"),
    ({"digits": [[9, 0], [0, 0]]}, r"digits\[0\] must be a row and a column inside 9×7, got \[9, 0\]"),
    ({"background": [[0, 0]]}, r"background must hold 2 positions, got \[\[0, 0\]\]"),
    ({"source": "none"}, 'source must be "learned", "outwards" or "hand", got \'none\''),
    ({"where": "grass"}, 'where must be "digits" or "background", got \'grass\''),
    ({"share": 1.5}, r"share must lie in \[0, 1\], got 1.5"),
    ({"share": -1}, r"share must lie in \[0, 1\], got -1"),
    ({"spot": 2}, "spot must be 0 to 1, got 2"),
    ({"tap": 9}, "tap must be 0 to 8, got 9"),
]


@pytest.mark.parametrize(("state", "says"), BAD, ids=str)
def test_a_state_that_no_reader_may_set_is_refused_by_python_and_by_the_page(state, says):
    refused_by_both(sampler, state, says, rows=9, columns=7)
