"""Array in, Axes out: one look for every figure of the book.

Kernels are orange, inputs blue, outputs green, what matters most vermilion, the rest grey (Okabe & Ito's
colour-blind-safe set), and no colour stands alone: there is always a number, a marker or a label as well. The ground
is transparent. No single ink reaches a contrast of 4.5:1 on white and on a dark page at once, so text has a pair of
inks, "light" and "dark" named after the page; the light one also holds on the light ground that the book's theme puts
under figures in its dark mode.

No function touches pyplot's state: a figure lives as long as its Axes. Needs pip install "convnotes[viz]".
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

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


@contextlib.contextmanager
def style(theme: Theme = "light") -> Iterator[None]:
    """The look, for figures made and saved inside; every function below uses it by itself."""
    if theme not in INK:
        raise ValueError(f'theme must be "light" or "dark", got {theme!r}')
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
        "axes.labelsize": 12,
        "xtick.labelsize": 11,
        "ytick.labelsize": 11,
        "legend.fontsize": 11,
        "legend.frameon": False,
        "image.interpolation": "nearest",
        "svg.hashsalt": "convnotes",
        "svg.fonttype": "path",
    }
    token = _theme.set(theme)
    try:
        with _need("matplotlib").rc_context(look):
            yield
    finally:
        _theme.reset(token)


def save(ax: Axes, file: Any = None, format: Literal["png", "svg"] = "png") -> bytes:
    """The figure of `ax` as bytes, also written to `file` when given; no date: the same figure, the same bytes."""
    buffer = io.BytesIO()
    with style(_theme.get()):
        ax.figure.savefig(buffer, format=format, metadata={"Date": None} if format == "svg" else {"Software": None})
    if file is not None:
        with open(file, "wb") as stream:
            stream.write(buffer.getvalue())
    return buffer.getvalue()


def show(ax: Axes) -> Any:
    """The figure of `ax` for the end of a notebook cell: a PNG at twice the page's resolution."""
    return _need("IPython.display").Image(
        save(ax), format="png", retina=True, metadata={"needs_background": _theme.get()}
    )


def image(tensor: Any, ax: Axes | None = None, title: str | None = None) -> Axes:
    """A picture in [0, 1]: [3, H, W] colour, [1, H, W] or [H, W] grey."""
    pixels = _array(tensor, (2, 3), "an image [3, H, W], [1, H, W] or [H, W]")
    if pixels.ndim == 3 and len(pixels) not in (1, 3):
        raise ValueError(f"an image has 1 or 3 channels in dimension 0, got shape {pixels.shape}")
    if not (pixels.min() >= -1e-4 and pixels.max() <= 1 + 1e-4):  # resizing may overshoot by a rounding error
        raise ValueError(f"an image lies in [0, 1], got {pixels.min():g} to {pixels.max():g}: heat or signed shows any")
    pixels = pixels.clip(0, 1)
    colour = pixels.ndim == 3 and len(pixels) == 3
    pixels = pixels.transpose(1, 2, 0) if colour else pixels.reshape(pixels.shape[-2:])
    with _axes(ax, 3.2 * pixels.shape[1] / pixels.shape[0], 3.4) as ax:
        ax.imshow(pixels, cmap=None if colour else "gray", vmin=0, vmax=1)
        return _bare(ax, title)


def kernel(tensor: Any, ax: Axes | None = None, title: str | None = None, centre: bool = True) -> Axes:
    """A kernel [KH, KW], the way the book always draws it: a grid, the value of every tap, the centre framed.

    The deeper the orange, the larger the value's size; a negative one says so in its number. An even kernel is
    framed where its output lies with padding="same", at tap ((KH−1)//2, (KW−1)//2).
    """
    taps = _array(tensor, (2,), "a kernel [KH, KW]: choose one output and one input channel first")
    height, width = taps.shape
    strength = np.abs(taps) / (np.abs(taps).max() or 1)
    with _axes(ax, 0.75 * width + 0.2, 0.75 * height + (0.5 if title else 0.2)) as ax:
        rectangle = _need("matplotlib.patches").Rectangle
        ink = INK[_theme.get()]
        for i in range(height):
            for j in range(width):
                ax.add_patch(
                    rectangle((j - 0.5, i - 0.5), 1, 1, fc=PALETTE["kernel"], alpha=0.45 * strength[i, j], lw=0)
                )
                ax.add_patch(rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, ec=ink["grey"], lw=1))
                ax.text(j, i, number(taps[i, j]), ha="center", va="center", fontsize=11, color=ink["text"])
        if centre:
            i, j = (height - 1) // 2, (width - 1) // 2
            frame = rectangle((j - 0.44, i - 0.44), 0.88, 0.88, fill=False, ec=ink["accent"], lw=2.5, label="centre")
            ax.add_patch(frame)
        ax.set(xlim=(-0.55, width - 0.45), ylim=(height - 0.45, -0.55), aspect="equal")
        return _bare(ax, title, frame=False)


def heat(tensor: Any, ax: Axes | None = None, title: str | None = None, label: str | None = None) -> Axes:
    """A map [H, W] in a perceptually uniform scale, shown beside it."""
    values = _array(tensor, (2,), "a map [H, W]")
    return _map(values, ax, title, label, cmap="viridis", vmin=values.min(), vmax=values.max())


def signed(tensor: Any, ax: Axes | None = None, title: str | None = None, label: str | None = None) -> Axes:
    """A map [H, W] of signed values: red positive, blue negative, 0 in the white middle of the scale."""
    values = _array(tensor, (2,), "a map [H, W]")
    reach = np.abs(values).max() or 1
    return _map(values, ax, title, label, cmap="RdBu_r", vmin=-reach, vmax=reach)


def feature_maps(tensor: Any, titles: Sequence[str] | None = None, columns: int = 4) -> list[Axes]:
    """The channels of [C, H, W] side by side, all in one scale, which is shown once; one Axes a channel."""
    maps = _array(tensor, (3,), "feature maps [C, H, W]")
    if titles is not None and len(titles) != len(maps):
        raise ValueError(f"titles must name each of the {len(maps)} channels, got {len(titles)}")
    columns = min(columns, len(maps))
    rows = -(-len(maps) // columns)
    with style(_theme.get()):
        figure = _need("matplotlib.figure").Figure(
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


def history(runs: Any, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Accuracy by epoch of a `History`, of `Runs`, or of a dict name → either.

    Test accuracy is solid with a marker, training accuracy dashed; several seeds are thin lines below their mean.
    """
    groups = runs if isinstance(runs, Mapping) else {"": runs}
    if not groups:
        raise ValueError("history needs at least one training, got none")
    with _axes(ax, 6.2, 3.6) as ax:
        for (colour, marker), (name, group) in zip(MARKS * len(groups), groups.items(), strict=False):
            histories = getattr(group, "histories", [group])
            if not all(hasattr(one, "test_accuracy") for one in histories):
                raise TypeError(f"history needs a History, Runs or a dict of them, got {type(group).__name__}")
            epochs = range(1, len(histories[0].loss) + 1)
            if any(len(one.test_accuracy) != len(epochs) for one in histories):
                raise ValueError("history needs the accuracy of each epoch: train with evaluate_each_epoch=True")
            colour, name = INK[_theme.get()][colour], f"{name} " if name else ""
            if len(histories) > 1:
                for one in histories:
                    ax.plot(epochs, one.test_accuracy, color=colour, lw=0.8, alpha=0.5)
            train = np.mean([one.train_accuracy for one in histories], axis=0)
            test = np.mean([one.test_accuracy for one in histories], axis=0)
            ax.plot(epochs, train, color=colour, ls="--", lw=1.5, label=f"{name}train")
            ax.plot(epochs, test, color=colour, marker=marker, lw=2, label=f"{name}test")
        ax.set(xlabel="epoch", ylabel="accuracy")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend()
        return _titled(ax, title)


def spread(groups: Mapping[str, Any], ax: Axes | None = None, title: str | None = None, label: str = "") -> Axes:
    """Every seed of every group as a dot, its mean as a stroke with its number; values are sequences or `Runs`."""
    values = {name: np.asarray(getattr(group, "accuracies", group), float) for name, group in groups.items()}
    if not values or any(each.ndim != 1 or not each.size for each in values.values()):
        raise ValueError(f"spread needs a sequence of numbers for each name, got {dict(groups)!r}")
    with _axes(ax, 6.2, 0.6 * len(values) + 0.9) as ax:
        for row, ((colour, marker), each) in enumerate(zip(MARKS * len(values), values.values(), strict=False)):
            ink = INK[_theme.get()][colour]
            offsets = row + np.linspace(-0.12, 0.12, len(each)) * (len(each) > 1)
            ax.plot(each, offsets, marker, color=PALETTE[colour], mec=ink, ms=7, alpha=0.8)
            ax.plot([each.mean()] * 2, [row - 0.3, row + 0.3], color=ink, lw=2.5)
            ax.annotate(
                number(each.mean()), (each.mean(), row - 0.32), ha="center", va="bottom", color=ink, fontsize=11
            )
        ax.set(yticks=range(len(values)), yticklabels=list(values), ylim=(len(values) - 0.5, -0.75), xlabel=label)
        return _titled(ax, title)


def bars(values: Mapping[str, float], ax: Axes | None = None, title: str | None = None, label: str = "") -> Axes:
    """One horizontal bar a name, from 0, its number at its end."""
    if not values or not all(np.isscalar(value) and np.isfinite(value) for value in values.values()):
        raise ValueError(f"bars needs one finite number for each name, got {dict(values)!r}")
    with _axes(ax, 6.2, 0.45 * len(values) + 0.9) as ax:
        drawn = ax.barh(list(values), list(values.values()), color=PALETTE["input"], height=0.6)
        ax.bar_label(drawn, [number(value) for value in values.values()], padding=4, fontsize=11)
        ax.margins(x=0.15)
        ax.invert_yaxis()
        ax.set_xlabel(label)
        return _titled(ax, title)


def number(value: float) -> str:
    """Four digits, thousands apart, a true minus sign."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", "−")


def _need(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        raise ImportError(f'plots need {module.split(".")[0]}: pip install "convnotes[viz]"') from problem


def _array(values: Any, dimensions: tuple[int, ...], what: str) -> np.ndarray:
    array = values.detach().cpu().double().numpy() if isinstance(values, torch.Tensor) else np.asarray(values, float)
    if array.ndim not in dimensions or not array.size:
        raise ValueError(f"this needs {what}, got shape {array.shape}")
    return array


@contextlib.contextmanager
def _axes(ax: Axes | None, width: float, height: float) -> Iterator[Axes]:
    """Axes to draw on in style; new ones belong to a figure of their own, in inches."""
    with style(_theme.get()):
        yield ax or _need("matplotlib.figure").Figure(figsize=(width, height), layout="constrained").subplots()


def _map(values: np.ndarray, ax: Axes | None, title: str | None, label: str | None, **scale: Any) -> Axes:
    with _axes(ax, 3.4 * values.shape[1] / values.shape[0] + 1, 3.4) as ax:
        ax.figure.colorbar(ax.imshow(values, **scale), ax=ax, label=label or "")
        return _bare(ax, title)


def _bare(ax: Axes, title: str | None, frame: bool = True) -> Axes:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(frame)
    return _titled(ax, title)


def _titled(ax: Axes, title: str | None) -> Axes:
    if title is not None:
        ax.set_title(title)
    return ax
