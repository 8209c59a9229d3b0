"""What a training leaves behind: numbers an epoch, and the spread over seeds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import nn

from convnotes import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass
class History:
    """What happened in one `fit`: one number an epoch in each list, or one accuracy for the last epoch alone.

    `seconds` is no part of comparisons, of `repr` and of `table()`, which therefore repeat exactly.

    Args:
        seed: of the training.
        train_samples, test_samples: the labels that the accuracies are over.
        loss: the mean over the samples of the epoch, each as it was trained on, side classifiers included.
        train_accuracy, test_accuracy: of the network at the end of the epoch.
        seconds: training time alone, without evaluating and saving.
        step_loss: of every step, over the samples of all processes.
        model: the network that was trained.

    Example:
        >>> from convnotes.train import History
        >>> print(History(0, loss=[0.5], train_accuracy=[0.75], test_accuracy=[0.5]).table())
        epoch      loss     train      test
            1    0.5000    0.7500    0.5000
    """

    seed: int
    train_samples: int = 0
    test_samples: int = 0
    loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list, repr=False, compare=False)
    step_loss: list[float] = field(default_factory=list, repr=False)
    model: nn.Module | None = field(default=None, repr=False, compare=False)

    def table(self) -> str:
        """The epochs as text, four digits."""
        unknown = [float("nan")] * (len(self.loss) - len(self.test_accuracy))
        columns = (self.loss, unknown + self.train_accuracy, unknown + self.test_accuracy)
        lines = [
            f"{i:>5}" + "".join(f" {'–' if value != value else format(value, '.4f'):>9}" for value in row)
            for i, row in enumerate(zip(*columns, strict=True), 1)
        ]
        return "\n".join([f"{'epoch':>5} {'loss':>9} {'train':>9} {'test':>9}", *lines])

    def plot(self, ax: Axes | None = None) -> Axes:
        return plots.history(self, ax=ax)


@dataclass
class Runs:
    """The same training from several seeds; `print` shows the mean and the spread of the final test accuracy.

    Two digits, as many as a few seeds tell; `f"{runs:.3f}"` gives three.

    Args:
        histories: one of each seed.

    Example:
        >>> from convnotes.train import History, Runs
        >>> print(Runs([History(seed, test_accuracy=[a]) for seed, a in enumerate((0.75, 1.0))]))
        0.88 (0.75 to 1.00, 2 seeds)
    """

    histories: list[History]

    @property
    def seeds(self) -> list[int]:
        return [history.seed for history in self.histories]

    @property
    def accuracies(self) -> list[float]:
        """Final test accuracy of each seed."""
        return [history.test_accuracy[-1] for history in self.histories]

    @property
    def mean(self) -> float:
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def min(self) -> float:
        return min(self.accuracies)

    @property
    def max(self) -> float:
        return max(self.accuracies)

    def __str__(self) -> str:
        return format(self, ".2f")

    def __format__(self, spec: str) -> str:
        mean, least, most = (format(value, spec or ".2f") for value in (self.mean, self.min, self.max))
        return f"{mean} ({least} to {most}, {len(self.histories)} seeds)"

    def plot(self, ax: Axes | None = None) -> Axes:
        return plots.history(self, ax=ax)
