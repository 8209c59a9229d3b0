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

    In several processes (started by `torchrun`) each takes its part of every batch, and the gradient is that of the
    whole batch, so the losses are those of a single process to rounding. Batch norm takes its statistics from each
    process's own part. Accuracies count every sample once. A DataLoader must give batches that divide by the number
    of processes; where the last one does not, some of its samples are trained on twice in that epoch.

    The generators of Python, numpy and torch, and those that a data set holds, are left as they were found. What a
    DataLoader draws comes from generators that are seeded again for each epoch, from `seed`, apart from what the model
    draws; workers start again too.

    Args:
        model: images → logits [N, classes] or [N, classes, H, W]; or a function that makes it, called after seeding,
            so that the start is part of the seed. In training it may also give those of side classifiers: a tuple
            whose first is the logits, or a dict with "out" or "logits" and names that begin with "aux".
        data: a `convnotes.data.Split`, or a pair of DataLoaders (train, test), also of streams (`IterableDataset`).
            A `Split` is shuffled each epoch and cut into equal batches of at most `batch_size` (a DataLoader keeps its
            own), none left out. A DataLoader may give labels in any dtype of whole numbers, and as [N, 1].
        epochs: passes over the training data.
        lr: learning rate.
        batch_size: samples a step, all processes together.
        optimizer: called as `optimizer(parameters, lr=…, weight_decay=…)`; `torch.optim.AdamW` when None.
        weight_decay: as the optimiser means it.
        schedule: "cosine" lets the learning rate fall to 0 over all steps. A stream without a length is read once
            to count them.
        seed: of weights, order of the data, dropout and augmentation.
        progress: a tqdm bar on stderr; None shows it in a terminal only, so not in notebooks.
        device: "cpu", "cuda", …; None is what accelerate finds.
        mixed_precision: "bf16" or "fp16" computes in half precision and keeps the weights as they are. Float16 needs a
            GPU.
        evaluate_each_epoch: False evaluates once, after the last epoch: the same numbers, and up to 40 % less time.
        checkpoint: a folder that all processes see. The state is saved there at the end of each epoch, the weights in
            safetensors, and a training whose state lies there goes on from it as if it had not been stopped, also for
            more epochs than before. A DataLoader reads the batches of the epoch that was begun once more. A damaged
            state is passed over with a warning for the one before it.
        checkpoint_every: save after so many steps too.
        auxiliary_weight: how much the loss of each side classifier counts. GoogLeNet's paper has 0.3, torchvision's
            segmentation 0.5; 0 leaves all side outputs out.
        ignore_index: a label that is neither trained on nor counted, such as 255 for void pixels.
        find_unused_parameters: in several processes, whether some parameters may be out of reach of the loss.

    Raises:
        TypeError, ValueError: for what cannot be trained on, for what cannot be had, for a checkpoint of another
            training and for one of which no state is whole.
        FloatingPointError: with epoch and step, once the loss is not finite.
        OSError: where a state cannot be saved; the one before it is kept.

    Example:
        >>> from convnotes import data, train
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> history = train.fit(net, data.digits(), epochs=2, lr=1e-2)
        >>> len(history.loss), history.test_samples
        (2, 450)
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
        if isinstance(stepper, torch.optim.LBFGS):
            raise ValueError("optimizer must step without a closure, which LBFGS needs: take another one")
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
            for source in (train, test):
                source.leave()
            accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False)
            if not own_forward:  # what accelerate put there for mixed precision
                vars(bare).pop("forward", None)
    return history


def evaluate(model: nn.Module, x: Tensor, y: Tensor, batch_size: int = 256, ignore_index: int | None = None) -> float:
    """Share of the labels `y` that the logits of the images `x` get right, in eval mode.

    Args:
        model: images → logits [N, classes] or [N, classes, H, W]. Every module is left in its mode.
        x: images [N, C, H, W], moved to the device of the model.
        y: integer labels [N] or [N, H, W].
        batch_size: images at once, 256 at least.
        ignore_index: a label that is not counted; where none is left the share is NaN.

    Raises:
        TypeError, ValueError: for tensors or logits that do not fit.

    Example:
        >>> from convnotes.train import evaluate
        >>> logits = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
        >>> evaluate(nn.Identity(), logits, torch.tensor([0, 0]))
        0.5
    """
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

    Args:
        make_model: makes a new model; called once for each seed, after seeding.
        data: as for `fit`.
        seeds: at least one.
        evaluate_each_epoch: whether to have the curves (`Runs.plot`), and not the last epoch's accuracy alone.
        **fit_options: the other options of `fit`. With `checkpoint` each seed saves to a folder of its own inside it.

    Raises:
        TypeError, ValueError: as `fit`, and for a model in place of the function and for no seed.

    Example:
        >>> from convnotes import data, train
        >>> runs = train.over_seeds(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), data.digits(), epochs=1)
        >>> runs.seeds
        [0, 1, 2]
    """
    if isinstance(make_model, nn.Module):
        raise TypeError("make_model must be a function that makes a new model for each seed, got a model")
    checks.some("seeds", seeds, "seed")
    folder = fit_options.pop("checkpoint", None)
    places = {seed: None if folder is None else Path(folder).expanduser() / f"seed-{seed}" for seed in seeds}
    fit_options["evaluate_each_epoch"] = evaluate_each_epoch
    return Runs([fit(make_model, data, seed=seed, checkpoint=places[seed], **fit_options) for seed in seeds])
