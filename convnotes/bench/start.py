"""What a start costs, in seconds of the processor, each figure from fresh processes.

    import convnotes     beyond torch, which is imported before
    every layer          the same, with all public names looked up
    first call           forward and backward by numba, where nothing was compiled before; numba's own import left out
    next process         the same call in the next process, which finds on the disk what the first one compiled

Such figures belong to a machine, so no test asserts them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from convnotes.checks import missing
from convnotes.kernels import backend
from convnotes.measure import provenance
from convnotes.measure.rows import read_rows, write_rows

FILE = "start.csv"  # beside the table of times

_TIMED = "start = time.process_time()\n{}\nprint(time.process_time() - start)"
_IMPORT = "import time, torch\n" + _TIMED
_CALL = (
    "import time, torch, numba, convnotes\nfrom convnotes.kernels.depthwise.operator import depthwise_conv2d\n"
    "torch.set_num_threads({})\n{}\n" + _TIMED
)

IMPORTS = {
    "import convnotes": "import convnotes",
    "every layer": "import convnotes\nfor name in convnotes.__all__: getattr(convnotes, name)",
}
# operator → its tensors, and the call
CALLS = {
    "adder": ("w = torch.randn(4, 3, 3, 3, requires_grad=True)", "convnotes.adder2d(x, w)"),
    "deformable": (
        "w, offset = torch.randn(4, 3, 3, 3, requires_grad=True), torch.randn(2, 18, 7, 7)",
        "convnotes.deform_conv2d(x, offset, w)",
    ),
    "depthwise": (
        "w = torch.randn(3, 1, 5, 5, requires_grad=True)",
        "depthwise_conv2d(x, w, None, (1, 1), (2, 2), (1, 1))",
    ),
    "shift": ("", "convnotes.shift2d(x, [(0, 1), (1, 0), (0, -1)])"),
}


@dataclass(frozen=True)
class Start:
    """One figure: `what` (see above) of the operator `op`, seconds of the processor over `rounds` fresh processes."""

    what: str
    op: str
    seconds: float
    p20: float
    p80: float
    rounds: int
    machine: str
    note: str

    def __str__(self) -> str:
        unit, scale = ("ms", 1e3) if self.seconds < 1 else ("s", 1)
        low, middle, high = (scale * value for value in (self.p20, self.seconds, self.p80))
        return f"{' '.join((self.what, self.op)).strip():24} {middle:.3g} {unit} ({low:.3g} to {high:.3g})"


def program(what: str, op: str = "") -> str:
    """The program whose last line of output is the figure."""
    if what in IMPORTS:
        return _IMPORT.format(IMPORTS[what])
    tensors, call = CALLS[op]
    made = f"x = torch.randn(2, 3, 9, 9, requires_grad=True)\n{tensors}"
    return _CALL.format(torch.get_num_threads(), made, f"{call}.sum().backward()")


def measure_start(
    rounds: int = 3, note: str = "", known: Iterable[tuple[str, str]] = (), say: Callable[[str], Any] = print
) -> Iterator[list[Start]]:
    """The rows that are not `known` as (what, op), those of one operator at a time. What is skipped goes to `say`."""
    known = set(known)
    for what in IMPORTS:
        if (what, "") not in known:
            yield [_row(what, "", [_seconds(program(what), {}) for _ in range(rounds)], note)]
    if "numba" not in backend.available():
        say(f"the first calls are skipped: {missing('numba')}")
        return
    for op in CALLS:
        if {("first call", op), ("next process", op)} <= known:
            continue
        pairs = [_first_and_next(op) for _ in range(rounds)]
        first, later = zip(*pairs, strict=True)
        yield [_row("first call", op, first, note), _row("next process", op, later, note)]


def _first_and_next(op: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as empty:
        settings = {"NUMBA_CACHE_DIR": empty, backend.VARIABLE: "numba"}
        return _seconds(program("first call", op), settings), _seconds(program("next process", op), settings)


def _seconds(code: str, settings: dict[str, str]) -> float:
    run = subprocess.run([sys.executable, "-c", code], env=os.environ | settings, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"a fresh process failed: {run.stderr.strip().splitlines()[-1]}")
    return float(run.stdout.split()[-1])


def _row(what: str, op: str, seconds: Iterable[float], note: str) -> Start:
    values = sorted(seconds)
    fifths = statistics.quantiles(values, n=5, method="inclusive") if len(values) > 1 else values
    middle, low, high = (round(value, 5) for value in (statistics.median(values), fifths[0], fifths[-1]))
    return Start(what, op, middle, low, high, len(values), provenance(), note)


def read(file: str | os.PathLike[str]) -> list[Start]:
    """The rows of `file`; none where it is not there. Raises `ValueError` for another file than `write` makes."""
    return read_rows(file, Start, "table of starts") if Path(file).exists() else []


def write(file: str | os.PathLike[str], rows: Iterable[Start]) -> None:
    """Write `rows` in their order. What was there is replaced as a whole, or not at all."""
    write_rows(file, Start, rows)
