"""Trainings as a user's script, for tests/train/test_scale.py: `torchrun … train_script.py OUT [options as JSON] …`."""

import json
import os
import signal
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from convnotes.data import Split
from convnotes.train import fit

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(7)
y = torch.arange(53) % 2
x = torch.randn(53, 1, 5, 4, generator=generator, dtype=torch.float64) + y.double()[:, None, None, None]
split = Split(x, y, x[:21] + 0.1, y[:21], ("low", "high"))
even = Split(x[:48], y[:48], x[:20] + 0.1, y[:20], ("low", "high"))  # six batches of eight, for 1, 2 or 4 processes
parts = TensorDataset(split.train_x, split.train_y), TensorDataset(split.test_x, split.test_y)


class Net(nn.Sequential):
    """Counts its training steps; at one of them it dies without a word (`kill_at`) or with an error (`raise_at`)."""

    def __init__(self, dropout: float, kill_at: int | None, unused: bool = False, raise_at: int | None = None) -> None:
        super().__init__(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Dropout(dropout), nn.Flatten(), nn.Linear(18, 2))
        self.steps, self.kill_at, self.raise_at = 0, kill_at, raise_at
        if unused:
            self.register_parameter("unused", nn.Parameter(torch.ones(3)))

    def forward(self, x):
        self.steps += self.training
        if self.training and self.steps == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.training and self.steps == self.raise_at:
            raise RuntimeError("the model of the last process failed")
        return super().forward(x)


class Stream(IterableDataset):
    def __init__(self, part: TensorDataset) -> None:
        self.part = part

    def __iter__(self):
        yield from self.part


def in_the_last_process(step: int | None) -> int | None:
    return step if int(os.environ.get("RANK", "0")) == int(os.environ.get("WORLD_SIZE", "1")) - 1 else None


def train(loaders=False, dropout=0.0, kill_at=None, raise_at=None, unused=False, stream=False, **options) -> dict:
    data = even if options.pop("even", False) else split
    if loaders:
        data = tuple(DataLoader(part, batch_size=10, shuffle=part is parts[0]) for part in parts)
    if stream:
        data = tuple(DataLoader(Stream(part), batch_size=10) for part in parts)
    options = {"epochs": 3, "batch_size": 10, "lr": 1e-2, "schedule": "cosine"} | options
    raise_at = in_the_last_process(raise_at)
    history = fit(lambda: Net(dropout, kill_at, unused, raise_at).double(), data, device="cpu", **options)
    kept = {name: value for name, value in vars(history).items() if name not in ("model", "seconds")}
    weights = {name: value.tolist() for name, value in history.model.state_dict().items()}
    return {"history": kept, "weights": weights, "steps": history.model.steps}


results = [train(**json.loads(options)) for options in sys.argv[2:]]
with open(f"{sys.argv[1]}.{os.environ.get('RANK', '0')}.json", "w", encoding="utf-8") as file:
    json.dump(results, file)
