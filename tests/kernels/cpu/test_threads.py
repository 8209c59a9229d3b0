import ctypes
import os
import signal
import threading
import warnings

import pytest

from convnotes.kernels.cpu import threads as module
from convnotes.kernels.cpu.threads import CWork, thread_number, together

HANGING = 300  # seconds: no measure of speed, only that a test which hangs comes to an end


@pytest.fixture(autouse=True, params=["OpenMP", "plain threads"])
def _threads(request, monkeypatch):
    if request.param == "plain threads":
        monkeypatch.setattr(module, "_openmp", lambda: None)
    elif module._openmp() is None:
        pytest.skip("torch runs on no OpenMP that could be found")


def share_out(jobs, threads):
    """What the threads did of the jobs, which they take one by one."""
    left, done = list(range(jobs)), []

    def work(data):
        try:
            while True:
                done.append(left.pop())
        except IndexError:
            return

    together(CWork(work), None, threads)
    return sorted(done)


@pytest.mark.parametrize("threads", [1, 2, 3, 9])
@pytest.mark.parametrize("jobs", [0, 1, 2, 7, 100])
def test_every_job_is_done_once(jobs, threads):
    assert share_out(jobs, threads) == list(range(jobs))


def test_others_help():
    meet = threading.Barrier(2, timeout=HANGING)  # each waits for another thread
    together(CWork(lambda data: meet.wait() and None), None, 2)
    assert not meet.broken


def test_openmps_threads_know_their_numbers():
    if not thread_number():
        pytest.skip("torch runs on no OpenMP that could be found")
    number, seen, meet = ctypes.CFUNCTYPE(ctypes.c_int)(thread_number()), [], threading.Barrier(2, timeout=HANGING)

    def work(data):
        meet.wait()
        seen.append((data, number()))

    together(CWork(work), 17, 2)
    assert sorted(seen) == ([(17, 0), (17, 1)] if module._openmp() else [(17, 0), (17, 0)])


def test_several_threads_may_share_at_once():
    callers = [threading.Thread(target=share_out, args=(100, 2)) for _ in range(5)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(HANGING)
        assert not caller.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork processes")
def test_a_forked_process_makes_threads_of_its_own():
    share_out(8, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that threads and forks do not mix: what is tested here
        child = os.fork()
    if child == 0:
        signal.alarm(HANGING)  # rather than wait for ever for threads that are not there
        os._exit(0 if share_out(8, 2) == list(range(8)) else 1)
    assert os.waitpid(child, 0)[1] == 0
