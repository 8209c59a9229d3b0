"""See the learning curves of a second task, from the kernels of a first one and from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking, panels

FREEZE = ("none", "stem", "all")
SCRATCH = "scratch"
_KEYS = {"start", "freeze", "examples", "curves"}


class TransferViewer(Widget):
    """Test accuracy after each epoch, from another task's kernels and from scratch, for each number of examples.

    There must be a run for each start other than "scratch", each `freeze` and each number of examples, and one from
    scratch for each number of examples. All have the same seeds and epochs: seed n of two runs saw the same images.

    Args:
        runs: a dict for each run: `start`, `freeze` ("none", "stem" or "all"), `examples` per class, and `curves`, for
            each seed the test accuracies in [0, 1] after each epoch, `[seeds, epochs]`.
        **state: the run that is shown, by `start`, `freeze` and `examples`.

    Raises:
        ValueError: for anything that does not fit together.

    Example:
        >>> from convnotes.widgets import TransferViewer
        >>> tuned = {"start": "edges", "examples": 5, "curves": [[0.6, 0.8]]}
        >>> runs = [tuned | {"freeze": freeze} for freeze in ("none", "stem", "all")]
        >>> runs.append({"start": "scratch", "freeze": "none", "examples": 5, "curves": [[0.3, 0.6]]})
        >>> widget = TransferViewer(runs)
        >>> round(widget.gain(), 1), widget.ahead(), widget.caught()  # points over scratch, seeds ahead, epoch
        (20.0, 1, 1)
    """

    module = "transfer_viewer"
    by_hand = "the number of examples, the first task and what is frozen can be changed"

    runs: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    start = traitlets.Unicode().tag(sync=True)
    freeze = traitlets.Unicode("none").tag(sync=True)
    examples = traitlets.Int().tag(sync=True)

    def __init__(self, runs: Sequence[Mapping[str, Any]], **state: Any) -> None:
        kept = [_checked(run) for run in runs]
        _check_complete(kept)
        state = {"start": _starts(kept)[0], "examples": min(run["examples"] for run in kept)} | state
        super().__init__(runs=kept, **state)

    @checking("start")
    def _check_start(self, name: str, value: Any) -> str:
        return checks.one_of(name, value, _starts(self.runs))

    @checking("examples")
    def _check_examples(self, name: str, value: Any) -> int:
        return checks.one_of(name, value, sorted({run["examples"] for run in self.runs}))

    _check_freeze = checking("freeze")(lambda _, name, value: checks.one_of(name, value, FREEZE))

    def curves(self, start: str | None = None) -> np.ndarray:
        """Accuracies `[seeds, epochs]` of the run that is shown, or of that from `start` with as many examples."""
        start = start or self.start
        run = next(
            run
            for run in self.runs
            if run["examples"] == self.examples
            and run["start"] == start
            and (start == SCRATCH or run["freeze"] == self.freeze)
        )
        return np.array(run["curves"])

    def gain(self) -> float:
        """Mean accuracy at the end minus that from scratch, in percentage points."""
        return 100 * float((self.curves() - self.curves(SCRATCH))[:, -1].mean())

    def ahead(self) -> int:
        """In how many seeds the run that is shown ends above the one from scratch."""
        return int((self.curves()[:, -1] > self.curves(SCRATCH)[:, -1]).sum())

    def caught(self) -> int | None:
        """The first epoch whose mean accuracy is at least the last one from scratch; None if there is none."""
        reached = self.curves().mean(0) >= self.curves(SCRATCH)[:, -1].mean() - 1e-9
        return int(reached.argmax()) + 1 if reached.any() else None

    def _describe(self) -> str:
        return f"start {self.start}, freeze {self.freeze}, {self.examples} examples per class"

    def _alt(self) -> str:
        here, scratch = self.curves()[:, -1].mean(), self.curves(SCRATCH)[:, -1].mean()
        return (
            f"Learning curves. Mean test accuracy at the end {here:.2f} against {scratch:.2f} from scratch, a gain of "
            f"{self.gain() / 100:.2f}."
        )

    def _picture(self) -> bytes:
        ax = panels(1, 1, (4.8, 3.2))
        with plots.style():
            for start, colour, name in ((SCRATCH, "grey", "from scratch"), (self.start, "accent", self.start)):
                curves = self.curves(start)
                epochs = range(1, curves.shape[1] + 1)
                ax.plot(epochs, curves.T, color=plots.PALETTE[colour], lw=0.7, alpha=0.5)
                ax.plot(epochs, curves.mean(0), color=plots.PALETTE[colour], lw=2.5, label=name)
            ax.set(xlabel="epoch", ylabel="test accuracy", ylim=(0, 1))
            ax.legend()
        return plots.save(ax)


def _starts(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The starts other than "scratch", in their order."""
    return list(dict.fromkeys(run["start"] for run in runs if run["start"] != SCRATCH))


def _checked(run: Mapping[str, Any]) -> dict[str, Any]:
    if set(run) != _KEYS:
        raise ValueError(f"a run holds {', '.join(sorted(_KEYS))}, got {', '.join(sorted(run))}")
    curves = checks.numbers("the curves of a run", run["curves"], ("seeds", "epochs")).round(4)
    if curves.min() < 0 or curves.max() > 1:
        raise ValueError(f"accuracies must be in [0, 1], got {curves.min():g} to {curves.max():g}")
    return {**run, "curves": curves.tolist()}


def _check_complete(runs: Sequence[Mapping[str, Any]]) -> None:
    names = _starts(runs)
    if not names:
        raise ValueError('runs must hold a start other than "scratch"')
    shapes = sorted({np.shape(run["curves"]) for run in runs})
    if len(shapes) > 1:
        raise ValueError(f"all curves must have the same seeds and epochs, got shapes {shapes[0]} and {shapes[1]}")
    there = {(run["start"], SCRATCH if run["start"] == SCRATCH else run["freeze"], run["examples"]) for run in runs}
    for examples in sorted({run["examples"] for run in runs}):
        for name, freeze in [(SCRATCH, SCRATCH), *((name, freeze) for name in names for freeze in FREEZE)]:
            if (name, freeze, examples) not in there:
                raise ValueError(f"there is no run from {name!r} with freeze {freeze!r} and {examples} examples")
