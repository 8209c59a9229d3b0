"""What the tests of the benchmark share: it is run on tiny inputs, for one round, with a peak that is made up."""

import functools

import pytest

from convnotes import bench
from convnotes.bench import __main__ as command


@pytest.fixture
def measure():
    """`bench.measure` for one round."""
    return functools.partial(bench.measure, peak=10.0, rounds=1, min_seconds=0.0)


@pytest.fixture
def run(monkeypatch):
    """The command on tiny inputs, without its matrix products."""
    monkeypatch.setattr(command, "machine_peak", lambda device: 10.0)
    words = ["--shape", "2x12x5", "--rounds", "1", "--backend", "torch"]
    return lambda *more: command.main([*words, *more])
