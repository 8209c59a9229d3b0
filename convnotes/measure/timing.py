"""How long a call takes: medians with their spread, several calls in turn, so that a slow moment hits all of them."""

from __future__ import annotations

import datetime
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from convnotes import checks


@dataclass(frozen=True)
class Timing:
    """How long one call takes; printed in the unit that fits.

    Args:
        median, p20, p80: seconds of a call: median, 20th and 80th percentile of the rounds.
        rounds: how many there were.

    Example:
        >>> from convnotes.measure import Timing
        >>> print(Timing(0.00123, 0.001, 0.0015, 7))
        1.23 ms (1 to 1.5)
    """

    median: float
    p20: float
    p80: float
    rounds: int

    @property
    def ms(self) -> tuple[float, float, float]:
        """The three in milliseconds, to a tenth of a microsecond."""
        return round(1e3 * self.median, 4), round(1e3 * self.p20, 4), round(1e3 * self.p80, 4)

    def __str__(self) -> str:
        unit, scale = next((u, s) for u, s in (("s", 1), ("ms", 1e3), ("µs", 1e6)) if self.median * s >= 1 or u == "µs")
        return f"{self.median * scale:.3g} {unit} ({self.p20 * scale:.3g} to {self.p80 * scale:.3g})"


class Comparison(dict[str, Timing]):
    """A dictionary from names to the `Timing` of calls that were timed in turn; printed with their ratio to the first.

    Args:
        timings: by the names of the calls, the first of which the others are compared with.

    Example:
        >>> from convnotes.measure import Comparison, Timing
        >>> found = Comparison({"one": Timing(0.002, 0.002, 0.002, 7), "two": Timing(0.004, 0.004, 0.005, 7)})
        >>> found.ratio("two")
        2.0
    """

    def __init__(self, timings: Mapping[str, Timing]) -> None:
        super().__init__(timings)

    def ratio(self, name: str) -> float:
        """How many times as long as the first call the call `name` takes."""
        return self[name].median / next(iter(self.values())).median

    def __str__(self) -> str:
        width = max(map(len, self))
        return "\n".join(f"{name:{width}}  {self.ratio(name):6.2f}×  {timing}" for name, timing in self.items())


def time_call(
    fn: Callable[[], object], *, rounds: int = 7, warmup: int = 2, min_seconds: float = 0.02, device: str = "cpu"
) -> Timing:
    """Time `fn()`: `rounds` rounds, each of as many calls as take `min_seconds`, after `warmup` calls.

    Args:
        fn: the call, without arguments.
        rounds: how many are measured.
        warmup: calls before them that do not count.
        min_seconds: how long a round lasts at least.
        device: what the call runs on. Each round waits for a CUDA device, for that of the number that is given.

    Raises:
        TypeError, ValueError: for bad arguments.

    Example:
        >>> from convnotes.measure import time_call
        >>> timing = time_call(lambda: torch.zeros(10) + 1, rounds=3, min_seconds=0.001)
        >>> timing.p20 <= timing.median <= timing.p80
        True
    """
    return compare({"call": fn}, rounds=rounds, warmup=warmup, min_seconds=min_seconds, device=device)["call"]


def compare(
    calls: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 7,
    warmup: int = 2,
    min_seconds: float = 0.02,
    device: str = "cpu",
) -> Comparison:
    """Time several calls in turn, round by round, so that a slow moment of the machine hits all of them.

    Args:
        calls: names, and functions without arguments.
        rounds, warmup, min_seconds, device: as for `time_call`.

    Raises:
        TypeError, ValueError: for bad arguments.

    Example:
        >>> from convnotes.measure import compare
        >>> x = torch.rand(100, 100)
        >>> found = compare({"once": lambda: x @ x, "twice": lambda: x @ x @ x}, rounds=3, min_seconds=0.001)
        >>> list(found), found.ratio("once")
        (['once', 'twice'], 1.0)
    """
    checks.some("calls", calls, "call")
    for name, fn in calls.items():
        checks.instance(name, fn, Callable, "a function without arguments")
    checks.whole("rounds", rounds)
    checks.whole("warmup", warmup, 0)
    checks.number("min_seconds", min_seconds, "[0, inf)")
    wait = _waiting(device)
    loops = dict.fromkeys(calls, 0)
    for name, fn in calls.items():
        for _ in range(warmup):
            fn()
        wait()
        start = time.perf_counter()  # one call alone, the first of its kind, would not tell how many fill the time
        while loops[name] == 0 or time.perf_counter() - start < min_seconds:
            fn()
            wait()
            loops[name] += 1
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, fn in calls.items():
            seconds[name].append(_seconds(fn, loops[name], wait))
    return Comparison({name: summarise(values) for name, values in seconds.items()})


def _waiting(device: str) -> Callable[[], None]:
    """What waits until a device has done all it was given."""
    if torch.device(device).type != "cuda":
        return lambda: None
    return lambda: torch.cuda.synchronize(torch.device(device))


def provenance(device: str = "cpu") -> str:
    """What a measured time belongs to, in one line: processor, threads, torch, date.

    Args:
        device: "cpu", or the CUDA device that was measured.

    Example:
        >>> from convnotes.measure import provenance
        >>> torch.__version__ in provenance()
        True
    """
    name = processor(device)
    if torch.device(device).type != "cuda":
        name += f", {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
    return f"{name}, torch {torch.__version__}, {datetime.date.today().isoformat()}"


def processor(device: str = "cpu") -> str:
    """The name of the processor of a device, as it gives it.

    Args:
        device: "cpu", or a CUDA device.

    Example:
        >>> from convnotes.measure import processor, provenance
        >>> provenance().startswith(processor())
        True
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:  # no Linux
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _seconds(fn: Callable[[], object], loops: int, wait: Callable[[], None]) -> float:
    start = time.perf_counter()
    for _ in range(loops):
        fn()
    wait()
    return (time.perf_counter() - start) / loops


def summarise(values: Sequence[float]) -> Timing:
    """The `Timing` of seconds that were measured."""
    if len(values) == 1:
        return Timing(values[0], values[0], values[0], 1)
    fifths = statistics.quantiles(values, n=5, method="inclusive")
    return Timing(statistics.median(values), fifths[0], fifths[-1], len(values))
