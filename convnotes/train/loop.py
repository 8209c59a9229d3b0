"""The loop itself: forward, backward, step, epoch after epoch, in one process or many."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes.train.batches import Source, check_logits
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

    def run(self, epochs: int, checkpoints: Checkpoints, advance: Callable[[int], object]) -> None:
        """Train until `epochs` are done, from where `checkpoints` left off."""
        history = self.history
        done, sums = checkpoints.resume(history)
        advance(done)
        for epoch in range(done // len(self.train) + 1, epochs + 1):
            sums = self._epoch(epoch, done % len(self.train), sums, checkpoints, advance)
            history.loss.append(sums["loss"] / sums["samples"])
            history.seconds.append(sums["seconds"])
            if self.evaluate_each_epoch or epoch == epochs:
                self._evaluate()
            done, sums = epoch * len(self.train), {}
            checkpoints.save(done, history, sums)

    def _epoch(
        self, epoch: int, skip: int, sums: dict[str, float], checkpoints: Checkpoints, advance: Callable[[int], object]
    ) -> dict[str, float]:
        """The rest of one pass over the training data; sums of loss, samples and seconds over all of it."""
        sums = sums or {"loss": 0.0, "samples": 0, "seconds": 0.0}
        start = time.perf_counter() - sums["seconds"]
        self.model.train()
        for step, (x, y) in enumerate(self.train.epoch(epoch, skip), skip + 1):
            loss, value, samples = self._loss(x, y)
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"the loss became {value} in epoch {epoch}, step {step} (lr {self.rate.get_last_lr()[0]:g}): "
                    f"lower lr, or look for non-finite values in the data"
                )
            self.optimizer.zero_grad()
            self.backward(loss)
            self.optimizer.step()
            self.rate.step()
            self.history.step_loss.append(value)
            sums["loss"] += value * samples
            sums["samples"] += samples
            advance(1)
            sums["seconds"] = time.perf_counter() - start
            total = (epoch - 1) * len(self.train) + step
            if step < len(self.train) and checkpoints.due(total):
                checkpoints.save(total, self.history, sums)
        return sums

    def _loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, float, int]:
        """(what to differentiate here, mean loss of the whole batch, its samples).

        DDP averages the gradients of the processes, whose parts may differ by a sample: each loss is weighed by its
        share, so that the average is the gradient of the whole batch's mean.
        """
        logits = self.model(x)
        check_logits(logits, y)
        loss = F.cross_entropy(logits, y)
        if self.accelerator.num_processes == 1:
            return loss, loss.item(), len(y)
        here = torch.tensor([loss.item() * len(y), len(y)], dtype=torch.float64, device=loss.device)
        total, samples = self.accelerator.reduce(here, "sum").tolist()
        return loss * (len(y) * self.accelerator.num_processes / samples), total / samples, int(samples)

    def _evaluate(self) -> None:
        history = self.history
        self._share_buffers()
        accuracy, history.train_samples = self._accuracy(self.train)
        history.train_accuracy.append(accuracy)
        accuracy, history.test_samples = self._accuracy(self.test)
        history.test_accuracy.append(accuracy)

    def _accuracy(self, source: Source) -> tuple[float, int]:
        counts = count(self.bare, source.in_order(), source.gather)
        right, labels = source.total(counts.to(self.accelerator.device)).tolist()
        return right / labels, labels

    def _share_buffers(self) -> None:
        """The running statistics of the first process for all, as DDP shares them at the next step."""
        if self.accelerator.num_processes > 1:
            for buffer in self.bare.buffers():
                torch.distributed.broadcast(buffer, 0)


@torch.no_grad()
def count(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], gather: Callable[[Tensor], Tensor] = lambda hits: hits
) -> Tensor:
    """(right answers, labels) over all batches in eval mode."""
    counts = torch.zeros(2, dtype=torch.int64)
    with evaluating(model):
        for x, y in batches:
            logits = model(x)
            check_logits(logits, y)
            hits = gather(logits.argmax(1) == y)
            counts += torch.tensor([int(hits.sum()), hits.numel()])
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
