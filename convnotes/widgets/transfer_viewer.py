"""See what a second task makes of the kernels of a first one, and what was gained over starting from nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking, panels

FREEZE = ("none", "stem", "all")
SCRATCH = "scratch"
_KEYS = {"start", "freeze", "examples", "accuracies", "kernels"}


class TransferViewer(Widget):
    """The first kernels before and after fine-tuning, beside those trained from scratch; accuracies of all seeds.

    There must be a run for each start other than "scratch", each `freeze` and each number of examples, and one from
    scratch for each number of examples.

    Args:
        starts: name of each start → kernels `[K, KH, KW]` of its first layer before the second task; "scratch" is the
            random start.
        runs: a dict for each training: `start`, `freeze` ("none", "stem" or "all"), `examples` per class, `accuracies`
            (one per seed, in [0, 1]) and `kernels` after training.
        **state: the run that is shown, by `start`, `freeze` and `examples`; `kernel`, the number of the one drawn, from
            0.

    Raises:
        ValueError: for anything that does not fit together.
        TypeError: for a `kernel` that is not an int.

    Example:
        >>> from convnotes.widgets import TransferViewer
        >>> one = {"examples": 5, "kernels": torch.ones(1, 3, 3)}
        >>> runs = [{"start": "edges", "freeze": f, "accuracies": [0.8], **one} for f in ("none", "stem", "all")]
        >>> runs.append({"start": "scratch", "freeze": "none", "accuracies": [0.6], **one})
        >>> widget = TransferViewer({"scratch": torch.ones(1, 3, 3), "edges": torch.ones(1, 3, 3)}, runs)
        >>> round(widget.gain(), 1)  # percentage points over scratch
        20.0
    """

    module = "transfer_viewer"
    by_hand = "start, freezing and number of examples can be changed"

    starts = traitlets.Dict().tag(sync=True)
    runs: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    start = traitlets.Unicode().tag(sync=True)
    freeze = traitlets.Unicode("none").tag(sync=True)
    examples = traitlets.Int().tag(sync=True)
    kernel = traitlets.Int(0).tag(sync=True)

    def __init__(self, starts: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], **state: Any) -> None:
        plain = {name: _numbers(kernels, name) for name, kernels in starts.items()}
        kept = [{**run, "kernels": _numbers(run.get("kernels", []), "a run")} for run in runs]
        _check(plain, kept)
        names = [name for name in plain if name != SCRATCH]
        state = {"start": names[0], "examples": min(run["examples"] for run in kept)} | state
        super().__init__(starts=plain, runs=kept, **state)

    @checking("start")
    def _check_start(self, name: str, value: Any) -> str:
        return checks.one_of(name, value, [start for start in self.starts if start != SCRATCH])

    @checking("examples")
    def _check_examples(self, name: str, value: Any) -> int:
        return checks.one_of(name, value, sorted({run["examples"] for run in self.runs}))

    _check_freeze = checking("freeze")(lambda _, name, value: checks.one_of(name, value, FREEZE))

    @checking("kernel")
    def _check_kernel(self, name: str, value: Any) -> int:
        return checks.whole(name, value, 0, len(self.starts[SCRATCH]) - 1)

    def run(self, start: str | None = None, freeze: str | None = None) -> dict[str, Any]:
        """The run that is shown, or the one from `start` ("scratch": whatever `freeze`) with as many examples."""
        start, freeze = start or self.start, freeze or self.freeze
        return next(
            run
            for run in self.runs
            if run["examples"] == self.examples
            and run["start"] == start
            and (start == SCRATCH or run["freeze"] == freeze)
        )

    def gain(self) -> float:
        """Mean accuracy of the run that is shown minus that from scratch, in percentage points."""
        return 100 * float(np.mean(self.run()["accuracies"]) - np.mean(self.run(SCRATCH)["accuracies"]))

    def moved(self, start: str | None = None) -> float:
        """How far the kernels went from their start: length of the difference over length of the start."""
        run = self.run(start)
        before = np.array(self.starts[run["start"]])
        return float(np.linalg.norm(np.array(run["kernels"]) - before) / np.linalg.norm(before))

    def _describe(self) -> str:
        return f"start {self.start}, freeze {self.freeze}, {self.examples} examples a class"

    def _alt(self) -> str:
        shown, scratch = self.run(), self.run(SCRATCH)
        return (
            f"A first kernel before and after fine-tuning and the one from scratch. Mean accuracy "
            f"{np.mean(shown['accuracies']):.2f} against {np.mean(scratch['accuracies']):.2f} from scratch, a gain of "
            f"{self.gain() / 100:.2f}."
        )

    def _picture(self) -> bytes:
        axes = panels(1, 3, (8, 2.8))
        before = self.starts[self.start][self.kernel]
        for ax, title, kernel in zip(
            axes,
            ("pre-trained", "fine-tuned", "from scratch"),
            (before, self.run()["kernels"][self.kernel], self.run(SCRATCH)["kernels"][self.kernel]),
            strict=True,
        ):
            plots.kernel(kernel, ax, title)
        return plots.save(axes[0])


def _numbers(kernels: Any, what: str) -> list[list[list[float]]]:
    """Kernels [K, KH, KW] as lists of numbers of three decimals."""
    return checks.numbers(f"the kernels of {what}", kernels, ("K", "KH", "KW")).round(3).tolist()


def _check(starts: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> None:
    names = [name for name in starts if name != SCRATCH]
    if SCRATCH not in starts or not names:
        raise ValueError(f'starts must hold "scratch" and at least one other, got {", ".join(starts) or "none"}')
    shape = np.shape(starts[SCRATCH])
    for run in runs:
        if set(run) != _KEYS:
            raise ValueError(f"a run holds {', '.join(sorted(_KEYS))}, got {', '.join(sorted(run))}")
        if not run["accuracies"] or not all(0 <= a <= 1 for a in run["accuracies"]):
            raise ValueError(f"accuracies must be numbers in [0, 1], one per seed, got {run['accuracies']!r}")
    for kernels in (*starts.values(), *(run["kernels"] for run in runs)):
        if np.shape(kernels) != shape:
            raise ValueError(f"all kernels must have one shape, got {shape} and {np.shape(kernels)}")
    there = {(run["start"], SCRATCH if run["start"] == SCRATCH else run["freeze"], run["examples"]) for run in runs}
    for examples in sorted({run["examples"] for run in runs}) or [0]:
        for name, freeze in [(SCRATCH, SCRATCH), *((name, freeze) for name in names for freeze in FREEZE)]:
            if (name, freeze, examples) not in there:
                raise ValueError(f"there is no run from {name!r} with freeze {freeze!r} and {examples} examples")
