"""What all tests share: fixed seeds and threads, both backends, the wheel, and memory given back."""

import ctypes
import gc
import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from support.close import assert_close
from support.compile_loops import SHARES
from support.publishing import publisher

from convnotes.kernels import backend

if importlib.util.find_spec("hypothesis"):  # `make gpu` needs it not
    from hypothesis import settings

    settings.register_profile("default", max_examples=20, deadline=None, derandomize=True, database=None)
    settings.register_profile("long", max_examples=400, deadline=None, derandomize=False, print_blob=True)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

__all__ = ["assert_close", "publisher"]  # the first for what still imports it from here, the second a fixture

GLIBC = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
_MMAP_THRESHOLD = -3  # of glibc's malloc.h


def pytest_configure():
    """Large blocks go back to the system when they are freed: the weights of a network would else stay in the heap."""
    if GLIBC is not None:
        GLIBC.mallopt(_MMAP_THRESHOLD, 2**20)


def pytest_collection_finish():
    """What all imports have made lives until the end: the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _loops_are_compiled(request, tmp_path_factory):
    """In a long run other processes compile the loops, a share for each worker: what that takes is never given back."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None or len(request.session.items) < 1000 or importlib.util.find_spec("numba") is None:
        return
    folder, shares = tmp_path_factory.getbasetemp().parent, list(SHARES)
    for share in shares if worker == "gw0" else reversed(shares):
        with FileLock(folder / f"{share}.lock"):
            done = folder / f"{share}.compiled"
            if not done.exists():
                script = Path(__file__).parent / "support" / "compile_loops.py"
                subprocess.run([sys.executable, script, share], capture_output=True)
                done.touch()


@pytest.fixture(scope="module", autouse=True)
def _memory_goes_back():
    """After each file, compiled graphs and dead cycles (an exported program is one) go, and free memory with them."""
    yield
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
    gc.collect()
    if GLIBC is not None:
        GLIBC.malloc_trim(0)


@pytest.fixture(autouse=True)
def _same_numbers_every_time():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(params=["torch", "numba"])
def each_backend(request):
    if request.param not in backend.available():
        pytest.skip(f"{request.param} is not installed")
    with backend.use(request.param):
        yield


@pytest.fixture
def by_numba():
    with backend.use("numba"):
        yield


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
