"""Work that compiled loops share without Python."""

import subprocess
import sys
from typing import NamedTuple

import pytest
import torch

pytest.importorskip("numba")
from convnotes.kernels.cpu import threads
from convnotes.kernels.cpu.compile import loop
from convnotes.kernels.cpu.jobs import run


class Sizes(NamedTuple):
    """As those of an operator."""

    first: int
    second: int
    third: int


@loop
def marked(start, stop, marks, seen, where, factor, sizes, named, last):
    """Adds to each job's number in the first tensor, and keeps what came of the other arguments."""
    for n in range(start, stop):
        marks[where[n]] += factor
    for n in range(3):
        seen[n] = sizes[n]
    seen[6] = named.second
    seen[3], seen[4], seen[5] = last, len(marks), len(where)


@loop
def broken(start, stop):
    raise ValueError


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("grain", [1, 6])
@pytest.mark.parametrize("count", [1, 7, 100])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_job_is_done_once_and_the_arguments_arrive(threads, count, grain, dtype):
    marks, seen = torch.zeros(count, dtype=dtype), torch.zeros(7, dtype=dtype)
    where = torch.randperm(count)
    given = (marks, seen, where, 3, (4, -5, 2**40), Sizes(6, 7, 8), True)
    run(marked, dtype, count - count // 2, threads, *given, first=count // 2, grain=grain)
    assert sorted(marks.tolist()) == [0] * (count // 2) + [3] * (count - count // 2)
    run(marked, dtype, count // 2, threads, *given, grain=grain)
    assert marks.tolist() == [3] * count
    assert seen.tolist() == [4, -5, 2**40, 1, count, count, 7]


def test_no_jobs_call_nothing():
    run(broken, torch.float32, 0, 2)


def test_other_tensors_are_refused():
    seen, where = torch.zeros(7), torch.arange(4)
    for marks in (torch.zeros(8)[::2], torch.zeros(4, dtype=torch.float64)):
        with pytest.raises(ValueError, match="marked needs contiguous tensors of"):
            run(marked, torch.float32, 4, 1, marks, seen, where, 1, (0, 0, 0), Sizes(0, 0, 0), 0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what was raised, to stderr
def test_jobs_that_were_left_are_told():
    with pytest.raises(RuntimeError, match="broken: 0 of 5 jobs were done"):
        run(broken, torch.float32, 5, 1)


LOCKED = """
import ctypes
from pathlib import Path
import torch
from convnotes import adder2d
from convnotes.kernels import backend
from convnotes.kernels.cpu import threads

torch.set_num_threads(2)
x, w = torch.randn(4, 8, 9, 9), torch.randn(8, 8, 3, 3)
with backend.use("numba"):
    adder2d(x, w)
    parallel = ctypes.PyDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_global_deps.so")).GOMP_parallel
    parallel.argtypes = (threads.CWork, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    parallel.restype, calls = None, []
    threads._openmp = lambda: lambda *given: calls.append(parallel(*given))
    adder2d(x, w)
print(len(calls))
"""


def test_no_thread_asks_for_pythons_lock():
    """Who calls the threads keeps it here, so that asking for it would wait for ever."""
    if threads._openmp() is None:
        pytest.skip("torch runs on no OpenMP that could be found")
    run = subprocess.run([sys.executable, "-c", LOCKED], capture_output=True, text=True, timeout=600)
    assert run.stdout == "1\n", run.stderr
