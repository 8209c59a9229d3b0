"""A training that was stopped goes on: its state in a folder, the weights in safetensors, by accelerate::

    runs/step-00000120/   model.safetensors, the state of optimiser, schedule and generators, run.json

A folder `step-…` is renamed into place when it is whole and on the disk; the one before it goes only then. `run.json`
has size and checksum of every file and of itself, so that a state that was damaged later is not gone on from.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from convnotes.checks import optional
from convnotes.files import not_written, to_disk
from convnotes.train.batches import Source
from convnotes.train.history import History

_LISTS = ("loss", "train_accuracy", "test_accuracy", "seconds", "step_loss")
_COUNTS = ("train_samples", "test_samples")


class Damaged(Exception):
    """A state that is not as it was written."""


class Checkpoints:
    """The saved states of one training in `folder`; with None as folder nothing is saved.

    `settings` say which training it is: a folder of another one is refused. So is one whose weights have other names,
    shapes or dtypes than those of `model`. `every` is a number of steps; None saves at the end of each epoch only.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        every: int | None,
        settings: dict[str, Any],
        model: nn.Module,
        accelerator: Any,
    ) -> None:
        self.folder = None if folder is None else Path(folder).expanduser()
        self.every, self.settings, self.model, self.accelerator = every, settings, model, accelerator

    def states(self) -> list[Path]:
        """The folders of states, the newest first."""
        if self.folder is None or not self.folder.exists():
            return []
        if not self.folder.is_dir():
            raise ValueError(f"checkpoint must be a folder, but {self.folder} is a file")
        found = [p for p in self.folder.glob("step-*") if p.name[5:].isdecimal() and p.is_dir() and any(p.iterdir())]
        return sorted(found, key=lambda p: int(p.name[5:]), reverse=True)

    def resume(self, history: History, train: Source, rate: Any) -> tuple[int, dict[str, float]]:
        """Load the newest whole state: (steps done, sums of the epoch that was begun); (0, {}) where there is none.

        A damaged state is passed over with a warning. Raises `ValueError` where no state is whole, and where the
        folder holds another training, naming what differs.
        """
        damage: list[str] = []
        for state in self.states():
            try:
                run = _read(state)
            except Damaged as problem:
                damage.append(f"{state} is damaged ({problem})")
                continue
            longer = self._check(state, run)
            self._load(state, run, train)
            if damage and self.accelerator.is_main_process:
                warnings.warn(f"{'; '.join(damage)}: going on from {state}, the one before", stacklevel=2)
            for name in (*_LISTS, *_COUNTS):
                setattr(history, name, run["history"][name])
            if longer:
                self._lengthen(history, rate)
            if not damage and self.accelerator.is_main_process:
                self._remove_all_but(state)  # what a process left that was killed before it removed them
            return run["step"], run["epoch"]
        if damage:
            raise ValueError(
                f"no state in {self.folder} is whole: {'; '.join(damage)}. Put back a copy, or remove "
                f"{self.folder} to train from the beginning"
            )
        return 0, {}

    def _check(self, state: Path, run: dict[str, Any]) -> bool:
        """Refuse the state of another training; True for the same one with other epochs, not more than are wanted."""
        there, here = run["settings"], self.settings
        differing = [name for name in here if name in there and there[name] != here[name]]
        longer = differing == ["epochs"] and len(run["history"]["loss"]) <= here["epochs"]
        said = [f"{name} {there[name]!r} there, {here[name]!r} here" for name in differing]
        if differing == ["epochs"]:
            said = [f"{len(run['history']['loss'])} epochs are done there, {here['epochs']} are wanted here"]
        if longer:
            said = []
        theirs, ours = run.get("weights", {}), _shapes(self.model)
        if "lazy" in ours.values():
            raise ValueError(f"the model has lazy layers: run it once on a batch to go on from {state}")
        if theirs and theirs != ours:
            names = [n for n in {**theirs, **ours} if theirs.get(n) != ours.get(n)]
            said += [f"{n} {theirs.get(n, 'missing')} there, {ours.get(n, 'missing')} here" for n in names[:3]]
            said += [f"and {len(names) - 3} weights more"] if len(names) > 3 else []
        if said:
            raise ValueError(f"{state} is of another training ({'; '.join(said)}): choose another folder")
        return longer

    def _load(self, state: Path, run: dict[str, Any], train: Source) -> None:
        generators = state / f"data_states_{self.accelerator.process_index}.json"
        begun = {name: value.detach().to("cpu", copy=True) for name, value in _tensors(self.model).items()}
        try:
            self.accelerator.load_state(str(state))
            if generators.exists():
                train.set_states(json.loads(generators.read_text(encoding="utf-8")))
        except Exception as problem:  # of whatever kind: accelerate, torch and safetensors each have their own
            self.model.load_state_dict(begun, strict=False)  # no model is left half loaded
            raise ValueError(
                f"{state} cannot be loaded into this training ({problem}): choose another folder, or remove {state} to "
                f"go on from the one before it or from the beginning"
            ) from problem

    def _lengthen(self, history: History, rate: Any) -> None:
        """More epochs than were planned: the learning rate is that of the longer schedule from here on."""
        if not self.settings["evaluate_each_epoch"]:
            history.train_accuracy, history.test_accuracy = [], []  # of an epoch that is no longer the last
        if self.settings["schedule"] == "constant":
            return
        schedule = getattr(rate, "scheduler", rate)
        for group, base, factor in zip(
            schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True
        ):
            group["lr"] = base * factor(schedule.last_epoch)
        if self.accelerator.is_main_process:
            warnings.warn(
                f"the {self.settings['schedule']} schedule was begun for another number of epochs: from here on the "
                f"learning rate is that of {self.settings['epochs']}, so a training of that length from the beginning "
                f"would give other numbers",
                stacklevel=3,
            )

    def _remove_all_but(self, kept: Path) -> None:
        for old in kept.parent.glob("step-*"):
            if old != kept:
                shutil.rmtree(old, ignore_errors=True)

    def due(self, step: int) -> bool:
        return self.folder is not None and self.every is not None and step % self.every == 0

    def save(self, step: int, history: History, epoch: dict[str, float], train: Source) -> None:
        """Write the state after `step` steps, then remove the older ones. All processes call it together.

        Raises `OSError` where that is not possible. The state before it is then as it was.
        """
        if self.folder is None:
            return
        try:
            self._save(self.folder, step, history, epoch, train)
        except (OSError, RuntimeError, optional("safetensors").SafetensorError) as problem:  # each has its own
            if self.accelerator.is_main_process:
                shutil.rmtree(self.folder / f"step-{step:08d}.part", ignore_errors=True)
            before = self.states()[:1] if self.folder.is_dir() else []
            left = f"{before[0].name} is kept, from which the same call goes on" if before else "no state is there"
            raise not_written(self.folder / f"step-{step:08d}", problem, left) from problem

    def _save(self, folder: Path, step: int, history: History, epoch: dict[str, float], train: Source) -> None:
        whole = folder / f"step-{step:08d}"
        part, damaged = whole.with_name(whole.name + ".part"), whole.with_name(whole.name + ".old")
        if self.accelerator.is_main_process:
            shutil.rmtree(part, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(part))
        states = train.states(begun=bool(epoch))
        if states:
            file = part / f"data_states_{self.accelerator.process_index}.json"
            file.write_text(json.dumps(states), encoding="utf-8")
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            files = {p.name: [p.stat().st_size, _checksum(p)] for p in sorted(part.iterdir())}
            kept = {name: getattr(history, name) for name in (*_LISTS, *_COUNTS)}
            run = {
                "settings": self.settings, "weights": _shapes(self.model), "files": files,
                "step": step, "epoch": epoch, "history": kept,
            }  # fmt: skip
            run["checksum"] = _checksum_of(run)
            (part / "run.json").write_text(json.dumps(run), encoding="utf-8")
            for path in (*part.iterdir(), part):
                to_disk(path)
            if whole.exists():
                shutil.rmtree(damaged, ignore_errors=True)
                os.replace(whole, damaged)
            os.replace(part, whole)
            with contextlib.suppress(OSError):  # until the name is on the disk, the states before stay
                to_disk(folder)
                self._remove_all_but(whole)
        self.accelerator.wait_for_everyone()


def _read(state: Path) -> dict[str, Any]:
    """What `run.json` says, once every file is as it says. Raises `Damaged`."""
    try:
        run = json.loads((state / "run.json").read_text(encoding="utf-8"))
        checksum = run.pop("checksum", None)
        files = {name: (size, value) for name, (size, value) in run.get("files", {}).items()}
        _ = dict(run["settings"]), int(run["step"]), dict(run["epoch"])
        _ = [run["history"][name] for name in (*_LISTS, *_COUNTS)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise Damaged(f"run.json: {type(problem).__name__}: {problem}") from problem
    if checksum not in (None, _checksum_of(run)):
        raise Damaged("run.json does not have the content that was written")
    for name, (size, checksum) in files.items():
        file = state / name
        if not file.is_file():
            raise Damaged(f"{name} is missing")
        if file.stat().st_size != size:
            raise Damaged(f"{name} has {file.stat().st_size} bytes of {size}")
        if _checksum(file) != checksum:
            raise Damaged(f"{name} does not have the content that was written")
    return run


def _checksum_of(run: dict[str, Any]) -> int:
    """Of what `run.json` says."""
    return zlib.crc32(json.dumps(run).encode())


def _checksum(file: Path) -> int:
    value = 0
    with file.open("rb") as stream:
        while piece := stream.read(2**20):
            value = zlib.crc32(piece, value)
    return value


def _shapes(model: nn.Module) -> dict[str, str]:
    """The weights by name, as "float32 [3, 4]"; a lazy one has no shape yet."""
    return {
        name: "lazy" if is_lazy(value) else f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
        for name, value in _tensors(model).items()
    }


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
