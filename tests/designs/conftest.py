"""What the tests of the designs share: a tiny set of pictures, and the command on it."""

import pytest

from convnotes import data
from convnotes.designs import __main__ as command
from convnotes.designs import measured


@pytest.fixture
def tiny(monkeypatch):
    """A set of 64 digits of two classes, known to the command as "tiny"."""
    whole = data.digits()
    kept, tested = whole.train_y < 2, whole.test_y < 2
    split = data.Split(
        whole.train_x[kept][:64], whole.train_y[kept][:64], whole.test_x[tested], whole.test_y[tested], ("0", "1")
    )
    monkeypatch.setitem(measured.BUNDLED, "tiny", lambda: split)
    return split


@pytest.fixture
def run(tiny):
    """The command on the tiny set: two trainings of one epoch each."""
    words = ["--data", "tiny", "--epochs", "1", "--rounds", "1", "--seeds", "2", "--budget", "1800"]
    return lambda *more: command.main([*words, *more])
