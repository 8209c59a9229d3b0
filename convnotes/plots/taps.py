"""Where the taps of one output position read, in the visual language of the book."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convnotes import checks
from convnotes.checks import optional
from convnotes.plots.look import INK, PALETTE, as_array, axes, theme, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Frame = tuple[tuple[int, int], Any]


def reads(
    input_size: tuple[int, int],
    output_size: tuple[int, int],
    position: tuple[int, int],
    taps: Any,
    ax: Axes | None = None,
    title: str | None = None,
    width: float = 3.6,
) -> Axes:
    """Draw which positions of the input one position of the output reads.

    The input is a blue grid, the taps are orange discs on it, and the output is a green grid with the position filled.
    A tap outside the input is a hollow disc: it reads 0.

    Args:
        input_size, output_size: rows and columns of the two grids.
        position: row and column of the output.
        taps: row and column of each tap in the input, `[K, 2]`; they may lie between the pixels.
        ax, title: the Axes to draw on, None for those of a new figure, and the text above them.
        width: the most inches that a new figure is wide.

    Raises:
        ValueError: for taps of another shape, and for a position outside the output.

    Example:
        >>> ax = convnotes.plots.reads((3, 3), (1, 1), (0, 0), [[0, 0], [0, 2], [2, 0], [2, 2]])
        >>> [text.get_text() for text in ax.texts if text.get_text()]
        ['input', 'output']
    """
    H, W = checks.wholes("input_size", input_size, 2)
    OH, OW = checks.wholes("output_size", output_size, 2)
    points = as_array(taps, (2,), "taps [K, 2]")
    if points.shape[1] != 2:
        raise ValueError(f"taps must be [K, 2], a row and a column per tap, got shape {points.shape}")
    i, j = checks.position("position", position, OH, OW)
    inside = ((points >= -0.5) & (points <= np.array([H, W]) - 0.5)).all(1)
    left = W + 1.5  # where the output begins
    low, high = np.minimum(points.min(0), 0) - 0.7, np.maximum(points.max(0), [H - 1, W - 1]) + 0.7
    cells = left + OW + 0.2 - low[1]
    side = min(0.27, width / cells)  # inches per cell
    with axes(ax, side * cells, side * (high[0] - low[0] + 0.3) + (0.65 if title else 0.35)) as ax:
        top = (H - OH) / 2
        _grid(ax, 0, 0, H, W, "input")
        _grid(ax, top, left, OH, OW, "output")
        rectangle = optional("matplotlib.patches").Rectangle
        ax.add_patch(rectangle((left + j - 0.5, top + i - 0.5), 1, 1, fc=PALETTE["output"], ec="none"))
        centre = points.mean(0)
        arrow = dict(arrowstyle="-|>", color=INK[theme()]["grey"], lw=1, shrinkA=0, shrinkB=3)
        ax.annotate("", (left + j, top + i), (max(centre[1], points[:, 1].max()) + 0.4, centre[0]), arrowprops=arrow)
        for known, fill in ((inside, PALETTE["kernel"]), (~inside, "none")):
            ax.plot(*points[known].T[::-1], "o", ms=min(7, 40 * side), mfc=fill, mec=INK[theme()]["kernel"], mew=1.2)
        for x, y, name in (((W - 1) / 2, H, "input"), (left + (OW - 1) / 2, top + OH, "output")):
            ax.text(x, max(y, high[0]) + 0.1, name, ha="center", va="top", fontsize=11, color=INK[theme()][name])
        ax.set(xlim=(low[1], left + OW - 0.2), ylim=(high[0] + 0.3 / side, low[0]), aspect="equal")
        ax.axis("off")
        return titled(ax, title)


def film(
    input_size: tuple[int, int],
    output_size: tuple[int, int],
    frames: Iterable[Frame],
    titles: Sequence[str] | None = None,
) -> list[Axes]:
    """Draw steps of an operator, one panel per output position: see `reads`.

    Args:
        input_size, output_size: rows and columns of the two grids.
        frames: (position of the output, taps `[K, 2]`) of each step.
        titles: one per frame, None for none.

    Raises:
        ValueError: for no frames, and for a number of titles other than that of the frames.

    Example:
        >>> corners = [((0, 0), [[0, 0]]), ((1, 1), [[1, 1]])]
        >>> len(convnotes.plots.film((2, 2), (2, 2), corners))
        2
    """
    steps = list(frames)
    checks.some("frames", steps, "frame")
    if titles is not None and len(titles) != len(steps):
        raise ValueError(f"titles must name each of the {len(steps)} frames, got {len(titles)}")
    return [
        reads(input_size, output_size, position, taps, title=titles[n] if titles else None, width=2.3)
        for n, (position, taps) in enumerate(steps)
    ]


def _grid(ax: Axes, top: float, left: float, rows: int, columns: int, kind: str) -> None:
    """Cells of a map in its colour: a faint fill and thin lines."""
    rectangle = optional("matplotlib.patches").Rectangle
    ax.add_patch(rectangle((left - 0.5, top - 0.5), columns, rows, fc=PALETTE[kind], alpha=0.16, lw=0))
    ends: list[tuple[float, float]] = []  # of all lines, in one path
    for i in range(rows + 1):
        ends += [(left - 0.5, top + i - 0.5), (left + columns - 0.5, top + i - 0.5), (np.nan, np.nan)]
    for j in range(columns + 1):
        ends += [(left + j - 0.5, top - 0.5), (left + j - 0.5, top + rows - 0.5), (np.nan, np.nan)]
    ax.plot(*zip(*ends, strict=True), color=INK[theme()][kind], lw=0.7, alpha=0.6)
