"""Where taps read: discs at the taps, hollow ones outside the input, the position filled."""

import pytest
from matplotlib.colors import to_hex

from convnotes import plots

CROSS = [[0, 1], [1, 0], [1, 1], [1, 2], [2.5, -1.2]]


def discs(ax, filled: bool) -> list[tuple[float, float]]:
    lines = [line for line in ax.lines if line.get_marker() == "o" and (line.get_markerfacecolor() != "none") == filled]
    return [(y, x) for line in lines for x, y in zip(*line.get_data(), strict=True)]


def test_taps_inside_are_filled_and_taps_outside_are_hollow():
    ax = plots.reads((3, 4), (2, 2), (1, 0), CROSS)
    assert discs(ax, filled=True) == [tuple(tap) for tap in CROSS[:4]]
    assert discs(ax, filled=False) == [(2.5, -1.2)]
    (filled,) = [
        patch
        for patch in ax.patches
        if to_hex(patch.get_facecolor()) == plots.PALETTE["output"].lower() and patch.get_alpha() is None
    ]
    assert filled.get_width() == filled.get_height() == 1


def test_a_film_has_a_panel_per_frame_with_its_title():
    frames = plots.film((3, 3), (3, 3), [((0, 0), CROSS), ((2, 2), CROSS)], ["first", "second"])
    assert [ax.get_title(loc="left") for ax in frames] == ["first", "second"]
    assert frames[0].figure is not frames[1].figure
    assert all(ax.figure.get_figwidth() <= 2.3 for ax in frames)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.reads((3, 3), (1, 1), (0, 0), [[0, 0, 0]]), r"taps must be \[K, 2\], .* got shape \(1, 3\)"),
        (lambda: plots.reads((3, 3), (1, 1), (0, 1), CROSS), "position must be a row and a column inside 1×1"),
        (lambda: plots.reads((3,), (1, 1), (0, 0), CROSS), "input_size must hold 2 ints"),
        (lambda: plots.film((3, 3), (1, 1), []), "at least one frame, got none"),
        (lambda: plots.film((3, 3), (1, 1), [((0, 0), CROSS)], []), "each of the 1 frames, got 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
