"""A training that was stopped goes on: its state in a folder, the weights in safetensors, by accelerate::

    runs/step-00000120/   model.safetensors, the state of optimiser, schedule and generators, run.json

A folder `step-…` is renamed into place when it is whole, so a process that is killed while it saves loses nothing; the
one before it goes only then.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from convnotes.train.history import History

_LISTS = ("loss", "train_accuracy", "test_accuracy", "seconds", "step_loss")
_COUNTS = ("train_samples", "test_samples")


class Checkpoints:
    """The saved states of one training in `folder`; with None as folder nothing is saved.

    `settings` say which training it is: a folder of another one is refused. `every` is a number of steps; None saves
    at the end of each epoch only.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None, every: int | None, settings: dict[str, Any], accelerator: Any
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.every, self.settings, self.accelerator = every, settings, accelerator

    def latest(self) -> Path | None:
        """The newest whole state, None where there is none."""
        if self.folder is None or not self.folder.exists():
            return None
        if not self.folder.is_dir():
            raise ValueError(f"checkpoint must be a folder, but {self.folder} is a file")
        return max((p for p in self.folder.glob("step-*[0-9]") if (p / "run.json").exists()), default=None)

    def resume(self, history: History) -> tuple[int, dict[str, float]]:
        """Load the newest state: (steps done, sums of the epoch that was begun); (0, {}) where there is none.

        Raises `ValueError` where the folder holds another training, naming what differs.
        """
        state = self.latest()
        if state is None:
            return 0, {}
        run = json.loads((state / "run.json").read_text(encoding="utf-8"))
        differing = [
            f"{name} {run['settings'].get(name)!r} there, {value!r} here"
            for name, value in self.settings.items()
            if run["settings"].get(name) != value
        ]
        if differing:
            raise ValueError(f"{state} is of another training ({'; '.join(differing)}): choose another folder")
        self.accelerator.load_state(str(state))
        for name in (*_LISTS, *_COUNTS):
            setattr(history, name, run["history"][name])
        return run["step"], run["epoch"]

    def due(self, step: int) -> bool:
        return self.folder is not None and self.every is not None and step % self.every == 0

    def save(self, step: int, history: History, epoch: dict[str, float]) -> None:
        """Write the state after `step` steps, then remove the older ones. All processes call it together."""
        if self.folder is None:
            return
        whole = self.folder / f"step-{step:08d}"
        part = whole.with_name(whole.name + ".part")
        if self.accelerator.is_main_process:
            shutil.rmtree(part, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(part))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            kept = {name: getattr(history, name) for name in (*_LISTS, *_COUNTS)}
            run = {"settings": self.settings, "step": step, "epoch": epoch, "history": kept}
            (part / "run.json").write_text(json.dumps(run), encoding="utf-8")
            shutil.rmtree(whole, ignore_errors=True)
            os.replace(part, whole)
            for old in self.folder.glob("step-*"):
                if old != whole:
                    shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()
