import datetime
import time

import pytest
import torch

from convnotes.measure import Timing, compare, provenance, time_call


def test_a_call_that_sleeps_is_timed():
    timing = time_call(lambda: time.sleep(0.004), rounds=3, warmup=0, min_seconds=0)
    assert 0.004 <= timing.p20 <= timing.median <= timing.p80
    assert timing.rounds == 3


def test_calls_are_timed_in_turn_and_compared_with_the_first():
    order = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    found = compare(calls, rounds=3, warmup=0, min_seconds=0)
    assert order == ["a", "b"] + ["a", "b"] * 3  # one call each to see how long it takes, then the rounds
    assert found.ratio("a") == 1
    assert [line.split()[0] for line in str(found).splitlines()] == ["a", "b"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.5 s (2 to 3)"), (0.00123, "1.23 ms (1 to 1.5)"), (4e-7, "0.4 µs (0.3 to 0.5)")],
)
def test_a_timing_is_printed_in_its_own_unit(seconds, text):
    low, high = {2.5: (2, 3), 0.00123: (0.001, 0.0015), 4e-7: (3e-7, 5e-7)}[seconds]
    assert str(Timing(seconds, low, high, 5)) == text


@pytest.mark.parametrize(
    ("call", "problem", "says"),
    [
        (lambda: time_call(3), TypeError, "must be a function without arguments, got int"),
        (lambda: time_call(lambda: 1, rounds=0), ValueError, "rounds must be at least 1, got 0"),
        (lambda: compare({}), ValueError, "at least one call"),
    ],
)
def test_bad_arguments_are_refused(call, problem, says):
    with pytest.raises(problem, match=says):
        call()


def test_a_time_comes_with_the_machine_it_was_measured_on():
    line = provenance()
    assert torch.__version__ in line
    assert "1 thread," in line
    assert datetime.date.today().isoformat() in line
