"""The look that all figures share: palette, inks, style, and a figure as bytes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from convnotes import checks
from convnotes.checks import optional
from convnotes.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PALETTE = {
    "kernel": "#E69F00",
    "input": "#0072B2",
    "output": "#009E73",
    "accent": "#D55E00",
    "grey": "#888888",
}
INK = {
    "light": {
        "text": "#2B2B2B",
        "kernel": "#6F4C00",
        "input": "#00568A",
        "output": "#005C43",
        "accent": "#8F3E00",
        "grey": "#4D4D4D",
    },
    "dark": {
        "text": "#E8E8E8",
        "kernel": "#E69F00",
        "input": "#56B4E9",
        "output": "#2FC49A",
        "accent": "#FF8C42",
        "grey": "#B0B0B0",
    },
}
MARKS = (("kernel", "o"), ("input", "s"), ("output", "^"), ("accent", "D"), ("grey", "v"))  # colour and shape, together
Theme = Literal["light", "dark"]
_theme: ContextVar[Theme] = ContextVar("theme", default="light")


def theme() -> Theme:
    """The page that figures are made for at the moment."""
    return _theme.get()


@contextlib.contextmanager
def style(theme: Theme = "light") -> Iterator[None]:
    """A context in which figures get the book's look; the functions of `convnotes.plots` enter it by themselves.

    A figure has to be saved inside as well, which `save` and `show` do.

    Args:
        theme: the page that the figures are for, "light" or "dark".

    Raises:
        ValueError: for another theme.

    Example:
        >>> with convnotes.plots.style("dark"):
        ...     ax = convnotes.plots.bars({"plain": 9, "separable": 4})
        >>> ax.xaxis.label.get_color() == convnotes.plots.INK["dark"]["text"]
        True
    """
    checks.one_of("theme", theme, INK)
    text = INK[theme]["text"]
    look = {
        "figure.facecolor": "none",
        "figure.dpi": 96,
        "savefig.dpi": 192,
        "savefig.facecolor": "none",
        "axes.facecolor": "none",
        "axes.edgecolor": INK[theme]["grey"],
        "axes.labelcolor": text,
        "axes.titlecolor": text,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": text,
        "xtick.color": text,
        "ytick.color": text,
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
        "font.size": 12,
        "axes.titlesize": 12,
        "axes.titlelocation": "left",
        "axes.labelsize": 12,
        "xtick.labelsize": 11,
        "ytick.labelsize": 11,
        "legend.fontsize": 11,
        "legend.frameon": False,
        "image.interpolation": "none",  # a drawing holds the pixels as they are
        "svg.hashsalt": "convnotes",
        "svg.fonttype": "none",  # text stays text
    }
    token = _theme.set(theme)
    try:
        with optional("matplotlib").rc_context(look):
            yield
    finally:
        _theme.reset(token)


def save(ax: Axes, file: Any = None, format: Literal["png", "svg"] = "png", dpi: int = 192) -> bytes:
    """The figure of `ax` as bytes. It holds no date: the same figure gives the same bytes.

    Args:
        ax: any Axes of the figure.
        file: the path where the bytes are written as well; None: nowhere.
        format: "png", or "svg", in which text stays text.
        dpi: dots per inch of a PNG; 192 is twice the page's resolution.

    Raises:
        OSError: where `file` cannot be written; what was there is kept.

    Example:
        >>> ax = convnotes.plots.bars({"plain": 9, "separable": 4})
        >>> convnotes.plots.save(ax)[1:4]
        b'PNG'
    """
    buffer = io.BytesIO()
    with style(theme()):
        whole = ax.figure.figure  # also where `ax` lies in a part of one
        metadata = {"Date": None} if format == "svg" else {"Software": None}
        whole.savefig(buffer, format=format, dpi=dpi, metadata=metadata)
    if file is not None:
        with replacing(file) as part:
            part.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def show(ax: Axes) -> Any:
    """The figure of `ax` for the end of a notebook cell: a PNG at twice the page's resolution.

    Args:
        ax: any Axes of the figure.

    Example:
        >>> type(convnotes.plots.show(convnotes.plots.bars({"plain": 9, "separable": 4})))
        <class 'IPython.core.display.Image'>
    """
    return optional("IPython.display").Image(
        save(ax), format="png", retina=True, metadata={"needs_background": theme()}
    )


def number(value: float) -> str:
    """Four digits, thousands apart, a true minus sign."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", "−")


def as_array(values: Any, dimensions: tuple[int, ...], what: str) -> np.ndarray:
    array = values.detach().cpu().double().numpy() if isinstance(values, torch.Tensor) else np.asarray(values, float)
    if array.ndim not in dimensions or not array.size:
        raise ValueError(f"tensor must be {what}, got shape {array.shape}")
    return array


@contextlib.contextmanager
def axes(ax: Axes | None, width: float, height: float) -> Iterator[Axes]:
    """Axes to draw on in style; new ones belong to a figure of their own, in inches."""
    with style(theme()):
        yield ax or optional("matplotlib.figure").Figure(figsize=(width, height), layout="constrained").subplots()


def titled(ax: Axes, title: str | None) -> Axes:
    if title is not None:
        ax.set_title(title)
    return ax


def panel(width: float = 3.6, height: float = 2.8, title: str | None = None, frame: bool = False) -> Axes:
    """Empty Axes in the book's look, alone in a figure of their own: one panel of `page.figure`.

    Args:
        width: of the figure, in inches.
        height: of the figure, in inches.
        title: stands above the Axes.
        frame: whether lines run around the Axes on all four sides, and not along x and y only.

    Example:
        >>> ax = convnotes.plots.panel(title="weights")
        >>> ax.get_title(loc="left")
        'weights'
    """
    with axes(None, width, height) as ax:
        ax.spines[["top", "right"]].set_visible(frame)
        return titled(ax, title)
