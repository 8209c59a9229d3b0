"""What is measured of one design at one budget: counts, the accuracy of every seed, and times taken in turn.

Counts are of float32 and repeat exactly. Operations and inference are those of the network in use, whose branches are
fused into one kernel; parameters and the training step are those of all branches. Trainings repeat exactly where they
run in float64, which they do on the CPU for the images that come with the package; elsewhere they run in float32. Times
are of float32. All is computed by plain torch: which compiled loops are installed changes no row; what they gain is the
business of `convnotes.bench`.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from convnotes import data, train
from convnotes.beyond.fusing import fuse_branches
from convnotes.data import Split
from convnotes.designs.blocks import DESIGNS
from convnotes.designs.network import Network, fit_budget
from convnotes.designs.table import Counts
from convnotes.kernels import backend
from convnotes.measure import Timing, compare, cost, peak_memory, receptive_field

BUDGETS = (1800, 5000, 14000)  # parameters
RATES = (0.1, 0.3)  # learning rates that seed 0 tries
BATCH = 32  # images per training step, and per timed call
# the images that come with the package, made again each time: no download, the same for everybody
BUNDLED: dict[str, Callable[[], Split]] = {
    "digits": data.digits,
    "textures": lambda: data.textures(crop=24, train_per_class=150, test_per_class=150),
    "scaled_digits": lambda: data.scaled_digits(size=24, train=500, test=400, scale=(1.0, 3.0), rotation=20.0),
}


def pictures(name: str) -> Split:
    """A data set by its name, as a `Split` of training and test images.

    Args:
        name: "digits", "textures" or "scaled_digits", which come with the package; or what `convnotes.data.load` knows,
            such as "cifar10".

    Raises:
        FileNotFoundError: for images that this machine does not have.

    Example:
        >>> convnotes.designs.pictures("textures").train_x.shape
        torch.Size([450, 1, 24, 24])
    """
    if name in BUNDLED:
        return BUNDLED[name]()
    loaded = {split: data.load(name, split) for split in ("train", "test")}
    return Split(*loaded["train"].tensors(), *loaded["test"].tensors(), loaded["train"].classes)


def precision(name: str, device: str) -> torch.dtype:
    """The dtype of the trainings: float64 for bundled images on the CPU, float32 for all others."""
    return torch.float64 if name in BUNDLED and torch.device(device).type == "cpu" else torch.float32


def count(design: str, budget: int, split: Split) -> Counts:
    """Count the network of a design that comes nearest to a budget of parameters.

    Args:
        design: a name of `DESIGNS`.
        budget: parameters of the whole network.
        split: the images whose size and classes the network is for.

    Raises:
        ValueError: for an unknown design, and for a budget below its narrowest network.

    Example:
        >>> counts = convnotes.designs.count("plain 3×3", 1800, convnotes.designs.pictures("scaled_digits"))
        >>> counts.widths, counts.macs
        ((4, 10, 10), 97300)
    """
    fit = fit_budget(design, budget, *_sizes(split))
    shape = tuple(split.train_x.shape[1:])
    with backend.use("torch"):
        made = Network(design, fit.widths, *_sizes(split))
        costs = cost(fuse_branches(made.eval()), (1, *shape))
        seen = receptive_field(Network(design, fit.widths, *_sizes(split), stand_in=True)).size
        assert not isinstance(seen, tuple), "all designs see squares"
        step = training_step(made, torch.zeros(BATCH, *shape), torch.zeros(BATCH, dtype=torch.int64))
        step_bytes = peak_memory(step)
    return Counts(
        *fit, costs.macs, costs.adds, costs.activation_bytes, costs.moved_bytes, step_bytes, float(seen),
        DESIGNS[design].field,
    )  # fmt: skip


def _sizes(split: Split) -> tuple[int, int]:
    """Channels of the images, and the number of their classes."""
    return split.train_x.shape[1], len(split.classes)


def stepper(model: nn.Module, design: str, lr: float, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum 0.9, and what the paper of the design adds to it."""
    known = DESIGNS[design]
    parameters = known.groups(model, lr, weight_decay) if known.groups else model.parameters()
    made = torch.optim.SGD(parameters, lr=lr, weight_decay=weight_decay, momentum=0.9, nesterov=True)
    if known.steer:
        known.steer(model, made)
    return made


def train_design(
    design: str,
    widths: Sequence[int],
    split: Split,
    *,
    seed: int,
    lr: float,
    epochs: int,
    device: str = "cpu",
    checkpoint: str | os.PathLike[str] | None = None,
) -> train.History:
    """Train one network, in the dtype of the images.

    The learning rate falls to 0 over all steps by half a cosine.

    Args:
        design: a name of `DESIGNS`.
        widths: output channels of the three blocks, as `fit_budget` finds them.
        split: what it is trained and tested on.
        seed: of the weights and of the order of the images.
        lr: the learning rate at the start.
        epochs: how often all training images are seen.
        device: where it is trained.
        checkpoint: a folder for the state after each epoch. A training whose state lies there goes on from it.

    Raises:
        FloatingPointError: where the loss leaves all bounds.

    Example:
        >>> row = convnotes.designs.read().select(budget=1800, design="plain 3×3")[0]
        >>> row.seeds, row.epochs, len(row.accuracies)  # one training for each accuracy
        (3, 8, 3)
    """
    made: list[Network] = []

    def model() -> nn.Module:
        made.append(Network(design, widths, *_sizes(split)).to(split.train_x.dtype))
        return made[-1]

    with backend.use("torch"):
        return train.fit(
            model,
            split,
            epochs=epochs,
            lr=lr,
            batch_size=BATCH,
            optimizer=lambda _, lr, weight_decay: stepper(made[-1], design, lr, weight_decay),
            schedule="cosine",
            seed=seed,
            device=device,
            progress=False,
            evaluate_each_epoch=False,
            checkpoint=checkpoint,
        )


@dataclass(frozen=True)
class Trained:
    """Test accuracy of each seed, and the learning rate that seed 0 chose."""

    lr: float
    accuracies: tuple[float, ...]


def train_all(
    design: str,
    widths: Sequence[int],
    split: Split,
    *,
    seeds: int = 3,
    epochs: int = 8,
    device: str = "cpu",
    begun: Trained | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Trained:
    """Train from several seeds, at the rate of `RATES` that gives seed 0 the least training loss.

    The test images take no part in the choice. A rate at which the loss leaves all bounds is not chosen.

    Args:
        design: a name of `DESIGNS`.
        widths: output channels of the three blocks, as `fit_budget` finds them.
        split: what it is trained and tested on.
        seeds: number of trainings; they start from the seeds 0 to `seeds` − 1.
        epochs: how often each training sees all training images.
        device: where it is trained.
        begun: what the first seeds gave before, under the same settings; they are not trained again.
        checkpoint: a folder for the states of the trainings, one folder each. Those that are there are gone on from.

    Raises:
        FloatingPointError: where no rate is left, and where a later seed diverges.

    Example:
        >>> rows = convnotes.designs.read().select(budget=1800)
        >>> {row.lr for row in rows} <= {0.1, 0.3}  # the rates that were chosen
        True
    """

    def once(seed: int, lr: float) -> train.History:
        state = None if checkpoint is None else Path(checkpoint) / f"seed-{seed}-rate-{lr}"
        how: dict[str, Any] = {"epochs": epochs, "device": device, "checkpoint": state}
        return train_design(design, widths, split, seed=seed, lr=lr, **how)

    if begun is None:
        tried = {}
        for lr in RATES:
            with contextlib.suppress(FloatingPointError):
                tried[lr] = once(0, lr)
        if not tried:
            raise FloatingPointError(f"{design} with widths {widths} diverges at each of the rates {RATES}")
        best = min(tried, key=lambda lr: tried[lr].loss[-1])
        begun = Trained(best, (tried[best].test_accuracy[-1],))
    others = [once(seed, begun.lr).test_accuracy[-1] for seed in range(len(begun.accuracies), seeds)]
    return Trained(begun.lr, (*begun.accuracies, *others))


def training_step(model: Network, x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    """A call that trains `model` by one step on (x, y); at a learning rate of 0, so that it can be repeated."""
    model.train()
    optimizer = stepper(model, model.design, lr=0.0)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


class Times(NamedTuple):
    """Times of a batch of `BATCH` images."""

    inference: Timing
    step: Timing


def time_all(
    fits: Mapping[str, Sequence[int]], split: Split, *, rounds: int = 9, device: str = "cpu"
) -> dict[str, Times]:
    """Time inference and training step of several designs in turn, round by round, in float32.

    Args:
        fits: name of a design → its widths.
        split: the images whose size and classes the networks are for.
        rounds: how often each is timed.
        device: where it is timed.

    Example:
        >>> row = convnotes.designs.read().select(budget=1800, design="plain 3×3")[0]
        >>> row.inference_ms < row.step_ms  # milliseconds per batch, as it measured them
        True
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH, *split.train_x.shape[1:], generator=generator).to(device)
    y = torch.arange(BATCH, device=device) % len(split.classes)
    models = {name: Network(name, widths, *_sizes(split)).eval().to(device) for name, widths in fits.items()}
    with backend.use("torch"):
        with torch.inference_mode():
            calls = {name: functools.partial(fuse_branches(model), x) for name, model in models.items()}
            inference = compare(calls, rounds=rounds, device=device)
        steps = {name: training_step(model, x, y) for name, model in models.items()}
        step = compare(steps, rounds=rounds, device=device)
    return {name: Times(inference[name], step[name]) for name in fits}
