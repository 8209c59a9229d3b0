"""What all tests share: fixed seeds and threads, the one table of tolerances, and the wheel."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock

# (relative, absolute) of a comparison with the definition. Never loosened for one machine or for CI.
TOLERANCE = {
    torch.float64: (1e-10, 1e-10),
    torch.float32: (1e-5, 1e-5),
}


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal within the table's tolerance for the dtype of `actual`; shape and dtype must agree too."""
    relative, absolute = TOLERANCE[actual.dtype]
    torch.testing.assert_close(actual, expected, rtol=relative, atol=absolute)


@pytest.fixture(autouse=True)
def _same_numbers_every_time():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this repository, built once for all workers."""
    worker = tmp_path_factory.getbasetemp()
    folder = (worker.parent if "PYTEST_XDIST_WORKER" in os.environ else worker) / "wheel"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            root = Path(__file__).parents[1]
            command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, root]
            run = subprocess.run(command, capture_output=True, text=True)
            assert run.returncode == 0, run.stdout + run.stderr
    (built,) = folder.glob("*.whl")
    return built
