"""Numbers as marks: trainings, seeds, bars, and what a gain costs."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convnotes import checks
from convnotes.checks import optional
from convnotes.plots.look import INK, MARKS, PALETTE, axes, number, theme, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def history(runs: Any, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw accuracy by epoch: test accuracy solid with a marker, training accuracy dashed.

    Several seeds are thin lines below their mean.

    Args:
        runs: a `History` or `Runs` of `convnotes.train`, or a dict name → either. They need the accuracy of each epoch,
            which `fit` and `over_seeds` keep with `evaluate_each_epoch=True`.
        ax, title: the Axes to draw on, None for those of a new figure, and the text above them.

    Raises:
        TypeError: for anything else than histories.
        ValueError: for an empty dict, or histories that lack the accuracy of an epoch.

    Example:
        >>> from convnotes.train import History
        >>> run = History(seed=0, loss=[2.0, 1.0], train_accuracy=[0.4, 0.7], test_accuracy=[0.3, 0.6])
        >>> ax = convnotes.plots.history({"plain": run})
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['plain train', 'plain test']
    """
    groups = runs if isinstance(runs, Mapping) else {"": runs}
    checks.some("runs", groups, "training")
    with axes(ax, 3.6, 3.2) as ax:
        for (colour, marker), (name, group) in zip(MARKS * len(groups), groups.items(), strict=False):
            histories = getattr(group, "histories", [group])
            if not all(hasattr(one, "test_accuracy") for one in histories):
                raise TypeError(f"history needs a History, Runs or a dict of them, got {type(group).__name__}")
            epochs = range(1, len(histories[0].loss) + 1)
            if any(len(one.test_accuracy) != len(epochs) for one in histories):
                raise ValueError("history needs the accuracy of each epoch: train with evaluate_each_epoch=True")
            colour, name = INK[theme()][colour], f"{name} " if name else ""
            if len(histories) > 1:
                for one in histories:
                    ax.plot(epochs, one.test_accuracy, color=colour, lw=0.8, alpha=0.5)
            train = np.mean([one.train_accuracy for one in histories], axis=0)
            test = np.mean([one.test_accuracy for one in histories], axis=0)
            ax.plot(epochs, train, color=colour, ls="--", lw=1.5, label=f"{name}train")
            ax.plot(epochs, test, color=colour, marker=marker, lw=2, label=f"{name}test")
        ax.set(xlabel="epoch", ylabel="accuracy")
        ax.locator_params(axis="x", integer=True)
        ax.legend()
        return titled(ax, title)


def spread(
    groups: Mapping[str, Any],
    ax: Axes | None = None,
    title: str | None = None,
    label: str = "",
    highlight: Collection[str] = (),
    digits: int = 2,
) -> Axes:
    """Draw each value of each group as a dot, and the mean of a group as a stroke.

    The name of a group stands above its dots, and its mean as a number at the end of that line. The groups in
    `highlight` are vermilion diamonds, the others grey circles.

    Args:
        groups: name → a sequence of numbers, or `Runs` of `convnotes.train`, whose test accuracies are taken.
        ax, title: the Axes to draw on, None for those of a new figure, and the text above them.
        label: of the axis of values.
        highlight: the names to emphasise.
        digits: of the means, after the point.

    Raises:
        ValueError: for no groups, for a group that is not a sequence of numbers, and for other names in `highlight`.

    Example:
        >>> ax = convnotes.plots.spread({"plain": [0.61, 0.64], "dilated": [0.66, 0.69]}, label="test accuracy")
        >>> [text.get_text() for text in ax.texts]
        ['0.62', '0.68']
    """
    values = {name: np.asarray(getattr(group, "accuracies", group), float) for name, group in groups.items()}
    if not values or any(each.ndim != 1 or not each.size for each in values.values()):
        raise ValueError(f"spread needs a sequence of numbers for each name, got {dict(groups)!r}")
    _known("highlight", highlight, values)
    with axes(ax, 3.6, 0.62 * len(values) + 0.8) as ax:
        for row, (name, each) in enumerate(values.items()):
            colour, marker = ("accent", "D") if name in highlight else ("grey", "o")
            ink = INK[theme()][colour]
            offsets = row + np.linspace(-0.1, 0.1, len(each)) * (len(each) > 1)
            ax.plot(each, offsets, marker, color=PALETTE[colour], mec=ink, ms=7, alpha=0.8)
            ax.plot([each.mean()] * 2, [row - 0.22, row + 0.22], color=ink, lw=2.5)
            mean = f"{each.mean():.{digits}f}".replace("-", "−")
            end = ax.get_yaxis_transform()
            ax.text(1, row - 0.3, mean, transform=end, ha="right", va="bottom", color=ink, fontsize=11, weight="bold")
        _names_above(ax, values, 0.3)
        ax.set(ylim=(len(values) - 0.6, -0.85), xlabel=label)
        ax.margins(x=0.08)
        return titled(ax, title)


def _names_above(ax: Axes, names: Iterable[str], up: float) -> None:
    """The name of each row above it, from the left end of the axes."""
    each = list(names)
    ax.set_yticks([row - up for row in range(len(each))], each, ha="left", va="bottom")
    ax.tick_params(axis="y", length=0, pad=-2)
    ax.spines["left"].set_visible(False)


def _known(name: str, chosen: Collection[str], groups: Mapping[str, Any]) -> None:
    if set(chosen) - set(groups):
        raise ValueError(f"{name} must name what is drawn, got {', '.join(sorted(set(chosen) - set(groups)))}")


def bars(
    values: Mapping[str, float],
    ax: Axes | None = None,
    title: str | None = None,
    label: str = "",
    highlight: Collection[str] = (),
) -> Axes:
    """Draw one horizontal bar per name, from 0, with its name above it and its number at its end.

    Args:
        values: name → a finite number.
        ax, title: the Axes to draw on, None for those of a new figure, and the text above them.
        label: of the axis of values.
        highlight: the names to emphasise, in vermilion among grey.

    Raises:
        ValueError: for no values, for values that are not finite numbers, and for other names in `highlight`.

    Example:
        >>> ax = convnotes.plots.bars({"plain": 36_864, "separable": 4_672}, label="parameters")
        >>> [text.get_text() for text in ax.texts]
        ['36,864', '4,672']
    """
    if not values or not all(np.isscalar(value) and np.isfinite(value) for value in values.values()):
        raise ValueError(f"bars needs one finite number for each name, got {dict(values)!r}")
    _known("highlight", highlight, values)
    with axes(ax, 3.6, 0.5 * len(values) + 0.9) as ax:
        colours = [PALETTE["accent" if name in highlight else "grey"] for name in values]
        drawn = ax.barh(range(len(values)), list(values.values()), color=colours, height=0.4)
        ax.bar_label(drawn, [number(value) for value in values.values()], padding=4, fontsize=11)
        ax.axvline(0, color=INK[theme()]["grey"], lw=1)
        _names_above(ax, values, 0.24)
        ax.margins(x=0.15)
        ax.set(ylim=(len(values) - 0.7, -0.75), xlabel=label)
        return titled(ax, title)


def trade(
    points: Mapping[str, tuple[float, Sequence[float]]],
    best: Collection[str] = (),
    ax: Axes | None = None,
    title: str | None = None,
    label: str = "",
    gain: str = "test accuracy",
    log: bool = True,
) -> Axes:
    """Draw the cost of each name against its gain: the mean of its values, and a stroke from the least to the most.

    The names in `best` are diamonds, joined by a line in order of cost, and stand beside their marks. The others are
    grey circles without a name.

    Args:
        points: name → (cost, values).
        best: the names to emphasise.
        ax, title: the Axes to draw on, None for those of a new figure, and the text above them.
        label: of the axis of costs.
        gain: label of the axis of values.
        log: whether the axis of costs is logarithmic.

    Raises:
        ValueError: for no points, values that are not a sequence of numbers, and names in `best` that are no points.

    Example:
        >>> points = {"plain": (97e3, [0.45, 0.53]), "separable": (75e3, [0.50, 0.61])}
        >>> ax = convnotes.plots.trade(points, best=["separable"], label="multiply-adds")
        >>> [text.get_text() for text in ax.texts]
        ['separable']
    """
    values = {name: (cost, np.asarray(each, float)) for name, (cost, each) in points.items()}
    if not values or any(each.ndim != 1 or not each.size for _, each in values.values()):
        raise ValueError(f"trade needs (cost, a sequence of numbers) for each name, got {dict(points)!r}")
    _known("best", best, values)
    ink = INK[theme()]
    with axes(ax, 3.6, 3.4) as ax:
        ax.set(xscale="log" if log else "linear", xlabel=label, ylabel=gain)
        if log:
            ticker = optional("matplotlib.ticker")
            ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter(lambda value, place: _short(value))
            ax.minorticks_off()
        for name, (cost, each) in values.items():
            colour, marker = ("accent", "D") if name in best else ("grey", "o")
            ax.plot([cost] * 2, [each.min(), each.max()], color=ink[colour], lw=1, alpha=0.5, zorder=2)
            ax.plot(cost, each.mean(), marker, color=PALETTE[colour], mec=ink[colour], ms=7, alpha=0.9, zorder=3)
        chain = sorted((values[name][0], values[name][1].mean()) for name in best)
        ax.plot([cost for cost, _ in chain], [mean for _, mean in chain], color=ink["accent"], lw=1.5, zorder=1)
        ax.margins(x=0.12, y=0.1)
        line = [point for a, b in itertools.pairwise(chain) for point in _along(a, b, log)]
        marks = {name: (cost, float(each.mean())) for name, (cost, each) in values.items()}
        name_points(ax, marks, dict.fromkeys(best, "accent"), line)
        return titled(ax, title)


def _along(a: tuple[float, float], b: tuple[float, float], log: bool) -> Iterator[tuple[float, float]]:
    """Points of the line from a to b as it is drawn."""
    for share in np.linspace(0, 1, 9)[1:-1]:
        x = a[0] * (b[0] / a[0]) ** share if log else a[0] + share * (b[0] - a[0])
        yield x, a[1] + share * (b[1] - a[1])


def _short(value: float) -> str:
    """A number of an axis: 1.2 k, 3 M."""
    for unit, scale in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= scale:
            return f"{value / scale:g} {unit}"
    return f"{value:g}"


def name_points(
    ax: Axes,
    points: Mapping[str, tuple[float, float]],
    named: Mapping[str, str],
    clear: Iterable[tuple[float, float]] = (),
) -> Axes:
    """Write names near points, each joined to its own by a line, where it covers few points and no other name.

    Args:
        ax: the Axes, with everything else drawn, because the layout must be known.
        points: name → (x, y) of each point, also of those that get no name, so that they are not covered.
        named: name → its ink, a key of `INK["light"]`. Names in "accent" are bold.
        clear: further points that should not be covered, such as those of a line.

    Raises:
        ValueError: for a name without a point, and for another ink.

    Example:
        >>> points = {"plain": (1, 0.6), "separable": (2, 0.7)}
        >>> ax = convnotes.plots.trade({name: (x, [y]) for name, (x, y) in points.items()})
        >>> [text.get_text() for text in convnotes.plots.name_points(ax, points, {"plain": "grey"}).texts]
        ['plain']
    """
    _known("named", named, points)
    for colour in named.values():
        checks.one_of("named", colour, INK["light"])
    whole = ax.figure.figure
    whole.draw_without_rendering()
    at = {name: ax.transData.transform(point) for name, point in points.items()}
    free = [(point, 4.0) for point in at.values()] + [(point, 1.0) for point in map(ax.transData.transform, clear)]
    (left, bottom), (right, top) = ax.transAxes.transform([(0, 0), (1, 1)])
    size = 11 * whole.dpi / 72
    taken: list[tuple[float, float, float, float]] = []

    def covered(box: tuple[float, float, float, float], own: str) -> float:
        x0, y0, x1, y1 = box
        away = {name: np.hypot(*(place - ((x0 + x1) / 2, (y0 + y1) / 2))) for name, place in at.items()}
        outside = sum(max(0.0, far) for far in (left - x0, x1 - right, bottom - y0, y1 - top))
        hidden = sum(weight for (x, y), weight in free if x0 - 6 < x < x1 + 6 and y0 - 6 < y < y1 + 6)
        over = sum(a < x1 and c > x0 and b < y1 and d > y0 for a, b, c, d in taken)
        nearer = sum(1 if name in named else 0.5 for name, far in away.items() if far < away[own])
        line = at[own] + np.linspace(0.2, 1, 16)[:, None] * (np.array([x0 + x1, y0 + y1]) / 2 - at[own])
        near = [weight for point, weight in free if np.hypot(*(line - point).T).min() < 9 and any(point != at[own])]
        written = [a < px < c and b < py < d for px, py in line for a, b, c, d in taken]
        return 10 * outside + hidden + 20 * over + sum(near) + 20 * any(written) + nearer

    for name in sorted(named, key=lambda name: points[name]):
        x, y = at[name]
        bold = named[name] == "accent"
        wide, gap = (0.7 if bold else 0.6) * size * len(name), 0.7 * size
        sides = [(x + gap, y + up * size) for up in (0, 0.8, -0.8, 1.6, -1.6)]
        sides += [(x - gap - wide, y + up * size) for up in (0, 0.8, -0.8, 1.6, -1.6)]
        sides += [(x - wide / 2, y + up * size) for up in (1.2, -1.2, 2.2, -2.2, 3.4, -3.4, 4.8, -4.8)]
        sides += [(x + side, y + up * size) for up in (2.6, -2.6, 3.8, -3.8) for side in (gap, -gap - wide)]
        sides += [(x + side, y + up * size) for side in (2.5 * size, -2.5 * size - wide) for up in (0, 1.2, -1.2)]
        boxes = [(start, middle - 0.6 * size, start + wide, middle + 0.6 * size) for start, middle in sides]
        box = min(boxes, key=lambda box: covered(box, name))
        taken.append(box)
        ends = np.array([box[0] + box[2], box[1] + box[3]]) / 2
        free += [(point, 8.0) for point in np.linspace(at[name], ends, 6)[1:4]]  # its line
        scale = 72 / whole.dpi
        shift = (scale * (box[0] - x), scale * ((box[1] + box[3]) / 2 - y))
        ax.annotate(
            name, points[name], shift, textcoords="offset points", va="center", fontsize=11,
            color=INK[theme()][named[name]], weight="bold" if bold else "normal",
            arrowprops={"arrowstyle": "-", "lw": 0.8, "color": INK[theme()][named[name]], "shrinkA": 1, "shrinkB": 3},
        )  # fmt: skip
    return ax
