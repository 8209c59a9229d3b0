"""One honest training loop: every sample in every epoch, accuracy in eval mode, the same numbers for the same seed.

    history = fit(lambda: NIN(...), digits(), epochs=10, lr=1e-2)
    runs = over_seeds(lambda: NIN(...), digits(), seeds=(0, 1, 2), epochs=10, lr=1e-2)

Runs on accelerate; needs pip install "convnotes[train]". The number of threads is the caller's
(`torch.set_num_threads`): gradients depend on it in the last digits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes.train.batches import Tensors, batches, check_logits, check_tensors
from convnotes.train.history import History, Runs
from convnotes.train.runtime import bar, make_accelerator, seeded, set_seed

__all__ = ["History", "Runs", "evaluate", "fit", "over_seeds", "set_seed"]


def fit(
    model: nn.Module | Callable[[], nn.Module],
    data: Any,
    *,
    epochs: int,
    lr: float = 1e-3,
    batch_size: int = 64,
    optimizer: Callable[..., torch.optim.Optimizer] | None = None,
    weight_decay: float = 0.0,
    schedule: Literal["constant", "cosine"] = "constant",
    seed: int = 0,
    progress: bool | None = None,
    device: str | torch.device | None = None,
    mixed_precision: Literal["no", "bf16", "fp16"] = "no",
) -> History:
    """Train a classifier in place by cross-entropy and return its `History`.

    Labels are one a picture [N], or one a pixel [N, H, W]; accuracy is the share of the labels that are right.

    Args:
        model: images → logits [N, classes] or [N, classes, H, W]; or a function that makes it, called after seeding,
            so that the start is part of the seed.
        data: a `convnotes.data.Split`, or a pair of DataLoaders (train, test). A `Split` is shuffled each epoch and
            cut into equal batches of at most `batch_size` (a DataLoader keeps its own), none left out.
        optimizer: called as `optimizer(parameters, lr=…, weight_decay=…)`; `torch.optim.AdamW` when None.
        schedule: "cosine" lets the learning rate fall to 0 over all steps.
        progress: a tqdm bar on stderr; None shows it in a terminal only, so not in notebooks.
        device: "cpu", "cuda", …; None is what accelerate finds.

    The generators of Python, numpy and torch are left as they were found. Raises `TypeError` and `ValueError` for
    what cannot be trained on, and `FloatingPointError` with epoch and step once the loss is not finite.
    """
    _check_options(epochs=epochs, batch_size=batch_size)
    if not (lr > 0 and math.isfinite(lr)) or weight_decay < 0:
        raise ValueError(f"lr must be positive and weight_decay not negative, got {lr!r} and {weight_decay!r}")
    if schedule not in ("constant", "cosine"):
        raise ValueError(f'schedule must be "constant" or "cosine", got {schedule!r}')
    with seeded(seed):
        accelerator = make_accelerator(device, mixed_precision)
        model = model if isinstance(model, nn.Module) else model()
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a module or a function that makes one, got {type(model).__name__}")
        train, test = batches(data, batch_size, seed, accelerator)
        make = optimizer or torch.optim.AdamW
        stepper = make(model.parameters(), lr=lr, weight_decay=weight_decay)
        steps = epochs * len(train)
        falling = (lambda t: (1 + math.cos(math.pi * t / steps)) / 2) if schedule == "cosine" else (lambda t: 1.0)
        rate = torch.optim.lr_scheduler.LambdaLR(stepper, falling)
        own_forward = "forward" in vars(model)
        history = History(seed, model=model)
        model, stepper, rate = accelerator.prepare(model, stepper, rate)
        try:
            with bar(steps, progress) as advance:
                for epoch in range(1, epochs + 1):
                    _epoch(epoch, accelerator, model, stepper, rate, train, history, advance)
                    right, history.train_samples = _count(model, train.in_order())
                    history.train_accuracy.append(right / history.train_samples)
                    right, history.test_samples = _count(model, test.in_order())
                    history.test_accuracy.append(right / history.test_samples)
        finally:
            accelerator.unwrap_model(model, keep_fp32_wrapper=False)
            if not own_forward:  # what accelerate put there for mixed precision
                vars(history.model).pop("forward", None)
    return history


def evaluate(model: nn.Module, x: Tensor, y: Tensor, batch_size: int = 256) -> float:
    """Share of the labels `y` [N] or [N, H, W] that the logits of the images `x` [N, C, H, W] get right (eval mode)."""
    _check_options(batch_size=batch_size)
    check_tensors(x, y, "x", "y")
    device = next((p.device for p in model.parameters()), x.device)
    right, samples = _count(model, Tensors(x, y, batch_size, 0, device).in_order())
    return right / samples


def over_seeds(
    make_model: Callable[[], nn.Module], data: Any, seeds: Sequence[int] = (0, 1, 2), **fit_options: Any
) -> Runs:
    """`fit` a new model for each seed, weights and order of the data both from the seed."""
    if isinstance(make_model, nn.Module):
        raise TypeError("make_model must be a function that makes a new model for each seed, got a model")
    if not len(seeds):
        raise ValueError("seeds must hold at least one seed, got none")
    return Runs([fit(make_model, data, seed=seed, **fit_options) for seed in seeds])


def _epoch(epoch, accelerator, model, stepper, rate, batches, history, advance) -> None:
    """One pass over the training data; adds its loss and its seconds to the history."""
    start, total, samples = time.perf_counter(), 0.0, 0
    model.train()
    for step, (x, y) in enumerate(batches, 1):
        logits = model(x)
        check_logits(logits, y)
        loss = F.cross_entropy(logits, y)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss became {value} in epoch {epoch}, step {step} (lr {rate.get_last_lr()[0]:g}): "
                f"lower lr, or look for non-finite values in the data"
            )
        stepper.zero_grad()
        accelerator.backward(loss)
        stepper.step()
        rate.step()
        total, samples = total + value * len(y), samples + len(y)
        advance()
    history.loss.append(total / samples)
    history.seconds.append(time.perf_counter() - start)


@torch.no_grad()
def _count(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[int, int]:
    """(right answers, labels) over all batches in eval mode; every module goes back to the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    right = samples = 0
    try:
        for x, y in batches:
            logits = model(x)
            check_logits(logits, y)
            right += int((logits.argmax(1) == y).sum())
            samples += y.numel()
    finally:
        for module, training in modes:
            module.training = training
    return right, samples


def _check_options(**counts: int) -> None:
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a positive int, got {value!r}")
