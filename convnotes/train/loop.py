"""The loop itself: forward, backward, step, epoch after epoch, in one process or many."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from convnotes.train import answers
from convnotes.train.batches import Source
from convnotes.train.checkpoint import Checkpoints
from convnotes.train.history import History


@dataclass
class Loop:
    """Everything that one training needs, prepared by accelerate; `bare` is the model without its wrappers."""

    accelerator: Any
    model: nn.Module
    bare: nn.Module
    optimizer: Any
    rate: Any
    backward: Callable[[Tensor], object]
    train: Source
    test: Source
    history: History
    evaluate_each_epoch: bool = True
    auxiliary_weight: float = 0.3
    ignore_index: int | None = None

    def run(self, epochs: int, checkpoints: Checkpoints, advance: Callable[[int], object]) -> None:
        """Train until `epochs` are done, from where `checkpoints` left off."""
        history = self.history
        done, sums = checkpoints.resume(history, self.train, self.rate)
        advance(done)
        for epoch in range(len(history.loss) + 1, epochs + 1):
            done, sums = self._epoch(epoch, done, sums, checkpoints, advance)
            history.loss.append(sums["loss"] / sums["samples"] if sums["samples"] else math.nan)
            history.seconds.append(sums["seconds"])
            if self.evaluate_each_epoch or epoch == epochs:
                self._evaluate()
            sums = {}
            checkpoints.save(done, history, sums, self.train)

    def _epoch(
        self, epoch: int, done: int, sums: dict[str, float], checkpoints: Checkpoints, advance: Callable[[int], object]
    ) -> tuple[int, dict[str, float]]:
        """The rest of one pass over the training data: (steps done in all; sums of loss, samples, steps, seconds)."""
        sums = sums or {"loss": 0.0, "samples": 0, "steps": 0, "seconds": 0.0}
        start = time.perf_counter() - sums["seconds"]
        self.model.train()
        for x, y, last in with_last(self.train.epoch(epoch, int(sums["steps"]))):
            loss, value, samples = self._loss(x, y)
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"the loss became {value} in epoch {epoch}, step {int(sums['steps']) + 1} "
                    f"(lr {self.rate.get_last_lr()[0]:g}): lower lr, or look for non-finite values in the data"
                )
            self.optimizer.zero_grad()
            self.backward(loss)
            self.optimizer.step()
            self.rate.step()
            self.history.step_loss.append(value)
            sums["loss"] += value * samples
            sums["samples"] += samples
            sums["steps"] += 1
            done += 1
            advance(1)
            sums["seconds"] = time.perf_counter() - start
            if not last and checkpoints.due(done):
                checkpoints.save(done, self.history, sums, self.train)
        return done, sums

    def _loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, float, int]:
        """(what to differentiate here, mean loss of the whole batch, its samples).

        DDP averages the gradients of the processes, whose parts may differ by a sample: each loss is weighed by its
        share, so that the average is the gradient of the whole batch's mean. With an `ignore_index` the labels that
        count are counted in place of the samples.
        """
        loss, counted = answers.loss(self.model(x), y, self.auxiliary_weight, self.ignore_index)
        if self.accelerator.num_processes == 1:
            return loss, loss.item(), counted
        here = torch.tensor([loss.item() * counted, counted], dtype=torch.float64, device=loss.device)
        total, samples = self.accelerator.reduce(here, "sum").tolist()
        share = counted * self.accelerator.num_processes / max(samples, 1)
        return loss * share, total / max(samples, 1), int(samples)

    def _evaluate(self) -> None:
        history = self.history
        self._share_buffers()
        accuracy, history.train_samples = self._accuracy(self.train)
        history.train_accuracy.append(accuracy)
        accuracy, history.test_samples = self._accuracy(self.test)
        history.test_accuracy.append(accuracy)

    def _accuracy(self, source: Source) -> tuple[float, int]:
        counts = count(self.bare, source.in_order(), source.gather, self.ignore_index)
        right, labels = source.total(counts.to(self.accelerator.device)).tolist()
        return right / labels if labels else math.nan, labels

    def _share_buffers(self) -> None:
        """The running statistics of the first process for all, as DDP shares them at the next step."""
        if self.accelerator.num_processes > 1:
            for buffer in self.bare.buffers():
                torch.distributed.broadcast(buffer, 0)


def with_last(batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """Each batch, and whether it is the last one, which a stream tells only by its end."""
    held = None
    for batch in batches:
        if held is not None:
            yield *held, False
        held = batch
    if held is not None:
        yield *held, True


@torch.no_grad()
def count(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    gather: Callable[[Tensor], Tensor] = lambda hits: hits,
    ignore_index: int | None = None,
) -> Tensor:
    """(right answers, labels) over all batches in eval mode."""
    counts = torch.zeros(2, dtype=torch.int64)
    with evaluating(model):
        for x, y in batches:
            logits, _ = answers.split(model(x))
            answers.check(logits, y, ignore_index)
            hits = (logits.argmax(1) == y).to(torch.int8)  # 1 right, 0 wrong, −1 not asked
            if ignore_index is not None:
                hits[y == ignore_index] = -1
            hits = gather(hits)
            counts += torch.tensor([int((hits == 1).sum()), int((hits >= 0).sum())])
    return counts


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside: eval mode. Afterwards: every module in the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
