"""One honest training loop: every sample in every epoch, accuracy in eval mode, the same numbers for the same seed::

    history = fit(lambda: NIN(...), digits(), epochs=10, lr=1e-2)
    runs = over_seeds(lambda: NIN(...), digits(), seeds=(0, 1, 2), epochs=10, lr=1e-2)

The same call trains on a CPU, on one GPU, and in many processes on one machine or several (`torchrun script.py`), by
accelerate; needs pip install "convnotes[train]". The number of threads is the caller's (`torch.set_num_threads`):
gradients depend on it in the last digits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.train.batches import batches, check_tensors
from convnotes.train.checkpoint import Checkpoints
from convnotes.train.history import History, Runs
from convnotes.train.loop import Loop, count
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
    evaluate_each_epoch: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    auxiliary_weight: float = 0.3,
    ignore_index: int | None = None,
    find_unused_parameters: bool = False,
) -> History:
    """Train a classifier in place by cross-entropy and return its `History`.

    Labels are one a picture [N], or one a pixel [N, H, W]; accuracy is the share of the labels that are right.

    Args:
        model: images → logits [N, classes] or [N, classes, H, W]; or a function that makes it, called after seeding,
            so that the start is part of the seed.
        data: a `convnotes.data.Split`, or a pair of DataLoaders (train, test). A `Split` is shuffled each epoch and
            cut into equal batches of at most `batch_size` (a DataLoader keeps its own), none left out.
        batch_size: samples a step, all processes together.
        optimizer: called as `optimizer(parameters, lr=…, weight_decay=…)`; `torch.optim.AdamW` when None.
        schedule: "cosine" lets the learning rate fall to 0 over all steps.
        progress: a tqdm bar on stderr; None shows it in a terminal only, so not in notebooks.
        device: "cpu", "cuda", …; None is what accelerate finds.
        evaluate_each_epoch: False evaluates once, after the last epoch: the same numbers, and up to 40 % less time.
        checkpoint: a folder that all processes see. The state is saved there at the end of each epoch, the weights in
            safetensors, and a training whose state lies there goes on from it as if it had not been stopped.
        checkpoint_every: save after so many steps too.

    In several processes (started by `torchrun`) each takes its part of every batch, and the gradient is that of the
    whole batch, so the losses are those of a single process to rounding. Batch norm takes its statistics from each
    process's own part. Accuracies count every sample once. A DataLoader must give batches that divide by the number
    of processes; where the last one does not, some of its samples are trained on twice in that epoch.

    The generators of Python, numpy and torch are left as they were found. Raises `TypeError` and `ValueError` for
    what cannot be trained on and for a checkpoint of another training, and `FloatingPointError` with epoch and step
    once the loss is not finite.
    """
    checks.positive(epochs=epochs, batch_size=batch_size)
    if checkpoint_every is not None:
        checks.positive(checkpoint_every=checkpoint_every)
        if checkpoint is None:
            raise ValueError(f"checkpoint_every={checkpoint_every} needs a folder: give checkpoint too")
    checks.number("lr", lr, "(0, inf)")
    checks.number("weight_decay", weight_decay, "[0, inf)")
    checks.one_of("schedule", schedule, ("constant", "cosine"))
    checks.one_of("mixed_precision", mixed_precision, ("no", "bf16", "fp16"))
    checks.number("auxiliary_weight", auxiliary_weight, "[0, inf)")
    if ignore_index is not None:
        checks.whole("ignore_index", ignore_index, least=-(2**63))
    if optimizer is not None and not callable(optimizer):
        raise TypeError(
            f"optimizer must be a function that makes an optimizer, such as torch.optim.SGD, got {optimizer!r}"
        )
    with seeded(seed):
        accelerator = make_accelerator(device, mixed_precision, find_unused_parameters)
        bare = model if isinstance(model, nn.Module) else model()
        checks.instance("model", bare, nn.Module, "a module or a function that makes one")
        train, test = batches(data, batch_size, seed, accelerator)
        if not any(parameter.requires_grad for parameter in bare.parameters()):
            raise ValueError("the model has no parameter that trains")
        make = optimizer or torch.optim.AdamW
        try:
            stepper = make(bare.parameters(), lr=lr, weight_decay=weight_decay)
        except TypeError as problem:
            raise TypeError(
                f"optimizer is called as optimizer(parameters, lr=…, weight_decay=…): {problem}"
            ) from problem
        checks.instance("what optimizer makes", stepper, torch.optim.Optimizer, "a torch.optim.Optimizer")
        steps = None if train.length is None else epochs * train.length
        if steps is None and schedule == "cosine":  # where it ends must be known
            steps = epochs * sum(1 for _ in train.in_order())
        end = steps or 1
        falling = (lambda t: (1 + math.cos(math.pi * min(t / end, 1))) / 2) if schedule == "cosine" else (lambda t: 1.0)
        rate = torch.optim.lr_scheduler.LambdaLR(stepper, falling)
        own_forward = "forward" in vars(bare)
        history = History(seed, model=bare)
        settings = {
            "seed": seed, "epochs": epochs, "steps an epoch": train.length, "lr": lr, "weight_decay": weight_decay,
            "schedule": schedule, "optimizer": type(stepper).__name__, "mixed_precision": mixed_precision,
            "evaluate_each_epoch": evaluate_each_epoch, "auxiliary_weight": auxiliary_weight,
            "ignore_index": ignore_index,
        }  # fmt: skip
        plain, backward = (stepper, rate), accelerator.backward
        wrapped, stepper, rate = accelerator.prepare(bare, stepper, rate)
        if accelerator.num_processes == 1 and accelerator.mixed_precision == "no":
            # the same steps without accelerate's wrappers, which cost a small network a seventh of its time
            (stepper, rate), backward = plain, Tensor.backward
        if accelerator.process_index:
            torch.manual_seed(seed + accelerator.process_index)  # dropout: another mask for other samples
        loop = Loop(
            accelerator, wrapped, bare, stepper, rate, backward, train, test, history,
            evaluate_each_epoch, auxiliary_weight, ignore_index,
        )  # fmt: skip
        try:
            with bar(steps, progress if accelerator.is_main_process else False) as advance:
                loop.run(epochs, Checkpoints(checkpoint, checkpoint_every, settings, bare, accelerator), advance)
        finally:
            accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False)
            if not own_forward:  # what accelerate put there for mixed precision
                vars(bare).pop("forward", None)
    return history


def evaluate(model: nn.Module, x: Tensor, y: Tensor, batch_size: int = 256, ignore_index: int | None = None) -> float:
    """Share of the labels `y` [N] or [N, H, W] that the logits of the images `x` [N, C, H, W] get right (eval mode)."""
    checks.positive(batch_size=batch_size)
    check_tensors(x, y, "x", "y")
    device = next((p.device for p in model.parameters()), x.device)
    pieces = math.ceil(len(x) / max(batch_size, 256))
    parts = zip(x.to(device).tensor_split(pieces), y.to(device, torch.int64).tensor_split(pieces), strict=True)
    right, labels = count(model, parts, ignore_index=ignore_index).tolist()
    return right / labels if labels else math.nan


def over_seeds(
    make_model: Callable[[], nn.Module],
    data: Any,
    seeds: Sequence[int] = (0, 1, 2),
    *,
    evaluate_each_epoch: bool = False,
    **fit_options: Any,
) -> Runs:
    """`fit` a new model for each seed, weights and order of the data both from the seed.

    Only the last epoch is evaluated, unless `evaluate_each_epoch` asks for the curves (`Runs.plot`). With `checkpoint`
    each seed saves to a folder of its own inside it.
    """
    if isinstance(make_model, nn.Module):
        raise TypeError("make_model must be a function that makes a new model for each seed, got a model")
    checks.some("seeds", seeds, "seed")
    folder = fit_options.pop("checkpoint", None)
    places = {seed: None if folder is None else Path(folder).expanduser() / f"seed-{seed}" for seed in seeds}
    fit_options["evaluate_each_epoch"] = evaluate_each_epoch
    return Runs([fit(make_model, data, seed=seed, checkpoint=places[seed], **fit_options) for seed in seeds])
