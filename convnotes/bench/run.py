"""Equal results first, then the times of all calls in turn."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from convnotes.bench.memory import allocator, extra_memory
from convnotes.bench.operators import Case
from convnotes.bench.parts import Call, Make
from convnotes.bench.rivals import no_compiler
from convnotes.bench.table import MODES, Row
from convnotes.kernels import backend
from convnotes.kernels.backend import Name
from convnotes.measure import compare, processor, provenance

TOLERANCE = 1e-4  # of float32 results: the largest difference over the largest value
_LEAST_ROUNDS = 3


class Unequal(ValueError):
    """Two calls that should compute the same do not.

    Example:
        >>> from convnotes.bench import check_equal
        >>> check_equal((torch.ones(2), {}), (torch.ones(3), {}), "a rival")
        Traceback (most recent call last):
            ...
        convnotes.bench.run.Unequal: a rival gives (3,), ours (2,)
    """


Results = tuple[Tensor, dict[str, Tensor]]


def results(call: Call) -> Results:
    """What a call gives, and the gradients of a fixed sum of it by the names of its inputs, if it trains.

    Args:
        call: a `Call` of `convnotes.bench.parts`: a function and its named tensors.

    Example:
        >>> from convnotes.bench.parts import Call
        >>> y, gradients = convnotes.bench.results(Call(torch.square, {"input": torch.ones(2, requires_grad=True)}))
        >>> y, [*gradients]
        (tensor([1., 1.]), ['input'])
    """
    y = call.forward().detach()
    if not call.trains:
        return y, {}
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    return y, call.gradients(cotangent)


def check_equal(ours: Results, rival: Results, name: str, tolerance: float = TOLERANCE) -> float:
    """The largest difference between two `results`, as a share of the largest value of each tensor.

    Gradients of tensors that only one of the two has are not compared.

    Args:
        ours: what `results` gave for the operator of this package.
        rival: what it gave for the rival.
        name: of the rival, for the error.
        tolerance: the largest share that is accepted.

    Raises:
        Unequal: where the shapes differ or the share is larger, saying where.

    Example:
        >>> y = torch.tensor([1.0, 2.0])
        >>> convnotes.bench.check_equal((y, {"x": y}), (y, {"x": y + 1e-4}), "a rival") < 1e-4
        True
    """
    (y, gradients), (y_rival, gradients_rival) = ours, rival
    if y.shape != y_rival.shape:
        raise Unequal(f"{name} gives {tuple(y_rival.shape)}, ours {tuple(y.shape)}")
    common = [n for n in gradients if n in gradients_rival]
    pairs = {"the result": (y, y_rival)}
    pairs |= {f"the gradient of {n}": (gradients[n], gradients_rival[n]) for n in common}
    worst = 0.0
    for what, (a, b) in pairs.items():
        difference = ((a - b).abs().max() / b.abs().max().clamp(min=1e-30)).item()
        if not difference <= tolerance:  # NaN is refused too
            raise Unequal(f"{name}: {what} differs by {difference:.2g} of its largest value, allowed are {tolerance:g}")
        worst = max(worst, difference)
    return worst


def machine_peak(device: str = "cpu", rounds: int = 60) -> float:
    """The most multiply-adds per second, in billions, of a matrix product and of a convolution in float32.

    It is the best of many short calls: what else the machine does can only slow them down.

    Args:
        device: of the tensors, such as "cpu" or "cuda".
        rounds: how often each of the two is called.

    Example:
        >>> row = convnotes.bench.read().where(device="cpu")[0]
        >>> row.of_peak < 1  # the share of the machine's peak at which the operator ran
        True
    """
    side, batch = (8192, 512) if torch.device(device).type == "cuda" else (640, 8)
    generator = torch.Generator().manual_seed(0)
    sizes = ((side, side), (side, side), (batch, 128, 14, 14), (128, 128, 3, 3))
    a, b, x, w = (torch.randn(size, generator=generator).to(device) for size in sizes)
    calls = {"product": lambda: a @ b, "convolution": lambda: torch.conv2d(x, w, padding=1)}
    macs = {"product": side**3, "convolution": batch * 14**2 * w.numel()}
    with torch.inference_mode(), full_float32():
        timed = [compare(calls, rounds=1, warmup=0, min_seconds=0, device=device) for _ in range(rounds)]
    return max(macs[name] / one[name].median for one in timed for name in calls) / 1e9


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """No rounding to TF32 on a GPU: it would be a race between two precisions."""
    flags: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = False
    try:
        yield
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


def measure(
    case: Case,
    *,
    peak: float,
    device: str = "cpu",
    backends: Sequence[Name] = ("torch", "auto"),
    rounds: int = 7,
    seconds: float = 3.0,
    compile: bool = False,
    min_seconds: float = 0.02,
    note: str = "",
    say: Callable[[str], Any] = print,
) -> list[Row]:
    """Time one case: ours by each backend that has a kernel, the rivals and the plain convolution, in turn.

    Results are compared before anything is timed. There is a row for each backend, rival and mode.

    Args:
        case: one of `cases`.
        peak: what `machine_peak` gave.
        device: of the tensors, such as "cpu" or "cuda".
        backends: names of `convnotes.kernels.backend`.
        rounds: the most rounds of a mode.
        seconds: about how long a mode may take: fewer rounds then, but at least three.
        compile: whether each rival that trains is timed as `torch.compile` makes it too, where it can.
        min_seconds: least time of a call in a round; shorter calls are repeated.
        note: a remark for the rows.
        say: takes a line about each rival that is skipped.

    Raises:
        Unequal: where a rival that should compute the same does not.
        RuntimeError: for a backend that cannot run.

    Example:
        >>> case = convnotes.bench.cases("adder")[0]
        >>> stored = convnotes.bench.read().where(op=case.op, shape=case.shape_text)  # as `measure` gave them
        >>> sorted({row.mode for row in stored})
        ['forward', 'forward+backward']
    """
    with full_float32():
        made, rivals = case.build(Make(device)), dict[str, Call]()
        for name, rival in made.rivals.items():
            if isinstance(rival, Call):
                rivals[name] = rival
            else:
                say(f"{case.name}: {name} is skipped, {rival}")
        if compile:
            rivals |= _compiled(rivals, device, case.name, say)
        ours = _by_backend(case, made.ours, backends)
        differences = _differences(case, ours, rivals) if made.same else {}
        calls = {"conv": made.conv} | {f"rival {name}": call for name, call in rivals.items()}
        calls |= {f"ours {name}": call for name, call in ours.items()}
        rows = []
        for mode in MODES if made.ours.trains else MODES[:1]:
            jobs = {key: _job(call, mode) for key, call in calls.items() if call.trains or mode == "forward"}
            with torch.inference_mode(mode == "forward"):
                start = time.perf_counter()
                bytes = {key: extra_memory(job, device) for key, job in jobs.items()}
                once = time.perf_counter() - start + min_seconds * len(jobs)
                fewer = min(rounds, max(_LEAST_ROUNDS, int(seconds / once)))
                times = compare(jobs, rounds=fewer, warmup=0, min_seconds=min_seconds, device=device)
            work = made.macs and made.macs * (1 if mode == "forward" else 3)
            them = {name: f"rival {name}" for name in rivals if f"rival {name}" in jobs}
            if not any(rival.trains for rival in rivals.values()):
                them[made.conv_name] = "conv"
            for by, (name, key) in itertools.product(ours, them.items()):
                mine = times[f"ours {by}"]
                rows.append(
                    Row(
                        case.op, case.variant, case.shape_text, mode, by, name,
                        *mine.ms, bytes[f"ours {by}"], made.macs,
                        *times[key].ms, bytes[key],
                        made.conv_name, *times["conv"].ms, bytes["conv"], made.conv_macs,
                        round(times[key].median / mine.median, 4), round(mine.median / times["conv"].median, 4),
                        round(peak, 2), work and round(work / mine.median / 1e9 / peak, 4),
                        differences.get((by, name)), mine.rounds,
                        device, processor(device), torch.get_num_threads(), allocator(device), provenance(device), note,
                    )
                )  # fmt: skip
        return rows


def _compiled(rivals: dict[str, Call], device: str, name: str, say: Callable[[str], Any]) -> dict[str, Call]:
    if obstacle := no_compiler(device):
        say(f"{name}: torch.compile is skipped, {obstacle}")
        return {}
    return {
        f"{rival}, torch.compile": Call(torch.compile(call.run, dynamic=False), call.inputs)
        for rival, call in rivals.items()
        if call.trains
    }


def _by_backend(case: Case, call: Call, backends: Sequence[Name]) -> dict[str, Call]:
    """Our call by each backend that really runs, under its name."""
    found: dict[str, Call] = {}
    for name in backends:
        with backend.use(name):
            ran = backend.chosen(case.kernel, call.inputs.values())
        found.setdefault(ran, Call(call.run, call.inputs, ran))
    return found


def _differences(case: Case, ours: dict[str, Call], rivals: dict[str, Call]) -> dict[tuple[str, str], float]:
    """Backend and rival → how far apart their results are; raises `Unequal`. One rival's results at a time."""
    own = {by: results(call) for by, call in ours.items()}
    found = {}
    for name, rival in rivals.items():
        theirs = results(rival)
        for by, given in own.items():
            found[by, name] = check_equal(given, theirs, f"{case.name} by {by}, {name}")
    return found


def _job(call: Call, mode: str) -> Callable[[], Any]:
    if mode == "forward":
        return call.forward
    cotangent = torch.randn_like(call.forward().detach())
    return lambda: call.gradients(cotangent)
