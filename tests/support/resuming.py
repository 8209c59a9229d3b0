"""Trainings that stop, and data that draw random numbers in every way, for tests/train."""

import functools
import random

import numpy as np
import torch
from support.data_sets import two_classes
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

OPTIONS = {"epochs": 3, "batch_size": 8, "lr": 1e-2, "device": "cpu"}  # 5 steps an epoch
of_the_module = np.random.default_rng(11)


class Stopped(Exception):
    pass


def stopping(at: int = 0):
    """A model with dropout that stops its training at step `at`."""
    steps = 0

    class Net(nn.Sequential):
        def forward(self, x):
            nonlocal steps
            steps += self.training
            if self.training and steps == at:
                raise Stopped
            return super().forward(x)

    return lambda: Net(nn.Flatten(), nn.Dropout(0.3), nn.Linear(20, 2))


class Augmented(Dataset):
    """Pictures that are changed by random numbers of `draw()` whenever they are read."""

    def __init__(self, draw):
        data = two_classes()
        self.x, self.y, self.draw = data.train_x, data.train_y, draw

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index] + self.draw(), self.y[index]


class OfItsOwn(Augmented):
    """The same, by a generator of each kind that it holds itself, one of them in a transform of a transform."""

    def __init__(self):
        super().__init__(None)
        self.numpy, self.old, self.python = np.random.default_rng(1), np.random.RandomState(2), random.Random(3)
        within = torch.Generator().manual_seed(4)
        self.transforms = [functools.partial(lambda x, scale: x * scale, scale=1.0), Noise(within)]

    def draw_all(self):
        return self.numpy.normal() + self.old.rand() + self.python.random() + of_the_module.normal()

    def __getitem__(self, index):
        x = self.x[index] + self.draw_all()
        for transform in self.transforms:
            x = transform(x)
        return x, self.y[index]


class Noise:
    def __init__(self, generator):
        self.generator = generator

    def __call__(self, x):
        return x + torch.rand((), generator=self.generator)


class Stream(IterableDataset):
    """Pictures without a length, changed by random numbers, in an order of their own."""

    def __iter__(self):
        data, worker = two_classes(), torch.utils.data.get_worker_info()
        every = slice(None) if worker is None else slice(worker.id, None, worker.num_workers)
        order = list(range(len(data.train_x)))
        random.shuffle(order)
        for n in sorted(order)[every] if worker else order:
            yield data.train_x[n] + np.random.rand() + torch.rand(()), data.train_y[n]  # noqa: NPY002


def by_torch():
    return torch.rand(1, 5, 4)


def by_numpy():
    return np.random.rand()  # noqa: NPY002


def by_random():
    return random.random()


def by_all():
    return torch.rand(()) + np.random.rand() + random.random()  # noqa: NPY002


TRAIN_SETS = {
    "plain": lambda: TensorDataset(*two_classes()[:2]),
    "torch": lambda: Augmented(by_torch),
    "numpy": lambda: Augmented(by_numpy),
    "random": lambda: Augmented(by_random),
    "all in a subset": lambda: Subset(Augmented(by_all), range(35)),
    "its own": OfItsOwn,
    "stream": Stream,
}


def loaders(kind: str, generator: int | None = None, **options):
    """(train, test), new ones, as a new process makes them."""
    global of_the_module
    of_the_module = np.random.default_rng(11)
    own = {} if generator is None else {"generator": torch.Generator().manual_seed(generator)}
    train = TRAIN_SETS[kind]()
    shuffled = {} if isinstance(train, IterableDataset) or "sampler" in options else {"shuffle": True}
    test = Augmented(by_all)
    return DataLoader(train, batch_size=8, **shuffled, **own, **options), DataLoader(test, batch_size=8, shuffle=True)
