"""Images, kernels and maps: arrays that are drawn value by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convnotes.checks import optional
from convnotes.plots.look import INK, PALETTE, as_array, axes, number, style, theme, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

SIGNED = ("#003F66", "#0072B2", "#8DBFDD", "#FFFFFF", "#F3CC7A", "#D98200", "#6F3A00")


def image(tensor: Any, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw an image in colour or in grey.

    Args:
        tensor: `[3, H, W]` in colour, `[1, H, W]` or `[H, W]` in grey, with values in [0, 1].
        ax, title: the Axes to draw on, None for those of a new figure, and the text above them.

    Raises:
        ValueError: for another shape, and for values outside [0, 1].

    Example:
        >>> convnotes.plots.image(torch.rand(3, 8, 8), title="noise").get_title(loc="left")
        'noise'
    """
    pixels = as_array(tensor, (2, 3), "an image [3, H, W], [1, H, W] or [H, W]")
    if pixels.ndim == 3 and len(pixels) not in (1, 3):
        raise ValueError(f"an image has 1 or 3 channels in dimension 0, got shape {pixels.shape}")
    if not (pixels.min() >= -1e-4 and pixels.max() <= 1 + 1e-4):  # resizing may overshoot by a rounding error
        raise ValueError(f"an image lies in [0, 1], got {pixels.min():g} to {pixels.max():g}: heat or signed shows any")
    pixels = pixels.clip(0, 1)
    colour = pixels.ndim == 3 and len(pixels) == 3
    if pixels.ndim == 3:
        pixels = pixels.transpose(1, 2, 0) if colour else pixels[0]
    with axes(ax, *_size(pixels, 0, bool(title))) as ax:
        ax.imshow(pixels, cmap=None if colour else "gray", vmin=0, vmax=1)
        return _bare(ax, title)


def kernel(tensor: Any, ax: Axes | None = None, title: str | None = None, centre: bool = True) -> Axes:
    """Draw a kernel the way the book always does: a grid with the value of each tap, and a frame around the centre.

    Positive taps are orange, negative ones blue and hatched, and 0 has no fill. The larger the absolute value, the
    deeper the colour. The frame of an even kernel is where its output lies with
    padding="same", at tap ((KH−1)//2, (KW−1)//2).

    Args:
        tensor: one kernel `[KH, KW]`.
        ax, title: the Axes to draw on, None for those of a new figure, and the text above them.
        centre: whether the centre has its frame.

    Raises:
        ValueError: for another shape.

    Example:
        >>> ax = convnotes.plots.kernel([[1, 2], [3, -4]])
        >>> [text.get_text() for text in ax.texts]
        ['1', '2', '3', '−4']
    """
    taps = as_array(tensor, (2,), "a kernel [KH, KW]: choose one output and one input channel first")
    height, width = taps.shape
    strength = np.abs(taps) / (np.abs(taps).max() or 1)
    side = min(0.75, 3.4 / width)
    with axes(ax, side * width + 0.2, side * height + (0.5 if title else 0.2)) as ax:
        rectangle = optional("matplotlib.patches").Rectangle
        ink = INK[theme()]
        for i in range(height):
            for j in range(width):
                colour = PALETTE["kernel" if taps[i, j] > 0 else "input"]
                ax.add_patch(rectangle((j - 0.5, i - 0.5), 1, 1, fc=colour, alpha=0.45 * strength[i, j], lw=0))
                if taps[i, j] < 0:
                    stripes = rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, hatch="///", ec=colour, alpha=0.35, lw=0)
                    ax.add_patch(stripes)
                ax.add_patch(rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, ec=ink["grey"], lw=1))
                ax.text(j, i, number(taps[i, j]), ha="center", va="center", fontsize=11, color=ink["text"])
        if centre:
            i, j = (height - 1) // 2, (width - 1) // 2
            frame = rectangle((j - 0.44, i - 0.44), 0.88, 0.88, fill=False, ec=ink["accent"], lw=2.5, label="centre")
            ax.add_patch(frame)
        ax.set(xlim=(-0.55, width - 0.45), ylim=(height - 0.45, -0.55), aspect="equal")
        return _bare(ax, title, frame=False)


def heat(tensor: Any, ax: Axes | None = None, title: str | None = None, label: str | None = None) -> Axes:
    """Draw a map in a perceptually uniform scale, from its least to its largest value, with the scale beside it.

    Args:
        tensor: one map `[H, W]`.
        ax, title: the Axes to draw on, None for those of a new figure, and the text above them.
        label: of the scale.

    Raises:
        ValueError: for another shape.

    Example:
        >>> convnotes.plots.heat(torch.eye(4)).images[0].get_clim()
        (0.0, 1.0)
    """
    values = as_array(tensor, (2,), "a map [H, W]")
    return _map(values, ax, title, label, cmap="viridis", vmin=values.min(), vmax=values.max())


def signed(tensor: Any, ax: Axes | None = None, title: str | None = None, label: str | None = None) -> Axes:
    """Draw a map of signed values: orange positive, blue negative, 0 white in the middle of the scale beside it.

    Args:
        tensor, ax, title, label: as of `heat`.

    Raises:
        ValueError: for another shape.

    Example:
        >>> convnotes.plots.signed([[1.0, -3.0]]).images[0].get_clim()
        (-3.0, 3.0)
    """
    values = as_array(tensor, (2,), "a map [H, W]")
    reach = np.abs(values).max() or 1
    return _map(values, ax, title, label, cmap=signed_scale(), vmin=-reach, vmax=reach)


def signed_scale() -> Colormap:
    """The book's scale for signed values: blue, white at 0, orange; as dark at one end as at the other."""
    colours = optional("matplotlib.colors")
    scale: Colormap = colours.LinearSegmentedColormap.from_list("signed", SIGNED)
    return scale


def feature_maps(tensor: Any, titles: Sequence[str] | None = None, columns: int = 4) -> list[Axes]:
    """Draw the channels of feature maps side by side in one scale, which is shown once; one Axes per channel.

    Args:
        tensor: maps `[C, H, W]`.
        titles: one per channel; None numbers the channels.
        columns: the most maps in a row of the figure.

    Raises:
        ValueError: for another shape, and for a number of titles other than C.

    Example:
        >>> [ax.get_title(loc="left") for ax in convnotes.plots.feature_maps(torch.rand(2, 4, 4))]
        ['channel 0', 'channel 1']
    """
    maps = as_array(tensor, (3,), "feature maps [C, H, W]")
    if titles is not None and len(titles) != len(maps):
        raise ValueError(f"titles must name each of the {len(maps)} channels, got {len(titles)}")
    columns = min(columns, len(maps))
    rows = -(-len(maps) // columns)
    with style(theme()):
        figure = optional("matplotlib.figure").Figure(
            figsize=(1.6 * columns + 0.8, 1.75 * rows * maps.shape[1] / maps.shape[2] + 0.3), layout="constrained"
        )
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for k, ax in enumerate(grid[: len(maps)]):
            drawn = ax.imshow(maps[k], cmap="viridis", vmin=maps.min(), vmax=maps.max())
            _bare(ax, titles[k] if titles is not None else f"channel {k}")
        for ax in grid[len(maps) :]:
            ax.remove()
        figure.colorbar(drawn, ax=list(grid[: len(maps)]), fraction=0.05)
        return list(grid[: len(maps)])


def _map(values: np.ndarray, ax: Axes | None, title: str | None, label: str | None, **scale: Any) -> Axes:
    with axes(ax, *_size(values, 0.9, bool(title))) as ax:
        ax.figure.colorbar(ax.imshow(values, **scale), ax=ax, label=label or "")
        return _bare(ax, title)


def _size(pixels: np.ndarray, beside: float, title: bool) -> tuple[float, float]:
    """Width and height in inches of a figure that a phone shows whole, with `beside` inches for a scale."""
    height, width = pixels.shape[:2]
    scale = min((3.6 - beside) / width, 3.2 / height)
    return scale * width + beside, scale * height + (0.35 if title else 0.05)


def _bare(ax: Axes, title: str | None, frame: bool = True) -> Axes:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(frame)
    return titled(ax, title)
