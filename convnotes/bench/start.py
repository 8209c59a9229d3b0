"""What a start costs, in seconds of the processor, each figure from fresh processes::

    import convnotes     beyond torch, which is imported before
    every layer          the same, with all public names looked up
    first call           forward and backward by numba, where nothing was compiled before; numba's own import left out
    next process         the same call in the next process, which finds on the disk what the first one compiled

Such figures belong to a machine, so no test asserts them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from convnotes.checks import missing
from convnotes.kernels import backend
from convnotes.measure import Timing, provenance
from convnotes.measure.rows import Measured
from convnotes.measure.timing import summarise

_TIMED = "start = time.process_time()\n{}\nprint(time.process_time() - start)"
_IMPORT = "import time, torch\n" + _TIMED
_CALL = (
    "import time, torch, numba, convnotes, convnotes.operations.quantized_adder\n"
    "from convnotes.kernels.depthwise.operator import depthwise_conv2d\n"
    "from convnotes.kernels.shift_pointwise.operator import shift_pointwise\n"
    "torch.set_num_threads({})\n{}\n" + _TIMED
)

IMPORTS = {
    "import convnotes": "import convnotes",
    "every layer": "import convnotes\nfor name in convnotes.__all__: getattr(convnotes, name)",
}
# operator → its tensors, and the call
CALLS = {
    "adder": ("w = torch.randn(4, 3, 3, 3, requires_grad=True)", "convnotes.adder2d(x, w).sum().backward()"),
    "quantized adder": (
        "layer = convnotes.operations.quantized_adder.QuantizedAdder2d(3, 4, 3)",
        "layer(x)",  # it does not train
    ),
    "deformable": (
        "w, offset = torch.randn(4, 3, 3, 3, requires_grad=True), torch.randn(2, 18, 7, 7)",
        "convnotes.deform_conv2d(x, offset, w).sum().backward()",
    ),
    "aggregation": (
        "offset, mask = torch.randn(2, 18, 7, 7), torch.randn(2, 9, 7, 7)",
        "convnotes.deform_aggregate2d(x, offset, mask, 3).sum().backward()",
    ),
    "depthwise": (
        "w = torch.randn(3, 1, 5, 5, requires_grad=True)",
        "depthwise_conv2d(x, w, None, (1, 1), (2, 2), (1, 1)).sum().backward()",
    ),
    "depthwise, wide and dilated": (
        "w = torch.randn(3, 1, 7, 7, requires_grad=True)",
        "depthwise_conv2d(x, w, None, (1, 1), (9, 9), (3, 3)).sum().backward()",
    ),
    "shift": ("", "convnotes.shift2d(x, [(0, 1), (1, 0), (0, -1)]).sum().backward()"),
    "shift and 1×1 in one pass": (
        "x, w = x.detach().to(memory_format=torch.channels_last).requires_grad_(), torch.randn(4, 3, 1, 1)\n"
        "w.requires_grad_()",
        "shift_pointwise(x, w, torch.tensor([(0, 1), (1, 0), (0, -1)]), 1).sum().backward()",
    ),
}


@dataclass(frozen=True)
class Start(Measured):
    """One figure: `what` (see above) of the operator `op`, seconds of the processor over `rounds` fresh processes.

    The rows of several processors can share a file.
    """

    TABLE = "table of starts"
    FILE = "start.csv"
    KEY = ("what", "op", "processor")

    what: str
    op: str
    seconds: float
    p20: float
    p80: float
    rounds: int
    machine: str
    note: str

    @property
    def processor(self) -> str:
        """The name of it, with which `machine` begins."""
        return self.machine.partition(",")[0]

    def __str__(self) -> str:
        return f"{f'{self.what} {self.op}':24} {Timing(self.seconds, self.p20, self.p80, self.rounds)}"


def program(what: str, op: str = "") -> str:
    """The program whose last line of output is the figure."""
    if what in IMPORTS:
        return _IMPORT.format(IMPORTS[what])
    tensors, call = CALLS[op]
    made = f"x = torch.randn(2, 3, 9, 9, requires_grad=True)\n{tensors}"
    return _CALL.format(torch.get_num_threads(), made, call)


def measure_start(
    rounds: int = 3, note: str = "", known: Collection[tuple[str, str]] = (), say: Callable[[str], Any] = print
) -> Iterator[Start]:
    """The rows that are not `known` as (what, op). What is skipped goes to `say`."""
    for what in IMPORTS:
        if (what, "") not in known:
            yield _row(what, "", [_seconds(program(what), {}) for _ in range(rounds)], note)
    if "numba" not in backend.available():
        say(f"the first calls are skipped: {missing('numba')}")
        return
    for op in CALLS:
        if not {("first call", op), ("next process", op)} <= set(known):
            first, later = zip(*(_first_and_next(op) for _ in range(rounds)), strict=True)
            yield _row("first call", op, first, note)
            yield _row("next process", op, later, note)


def _first_and_next(op: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as empty:
        settings = {"NUMBA_CACHE_DIR": empty, backend.VARIABLE: "numba"}
        return _seconds(program("first call", op), settings), _seconds(program("next process", op), settings)


def _seconds(code: str, settings: dict[str, str]) -> float:
    run = subprocess.run([sys.executable, "-c", code], env=os.environ | settings, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"a fresh process failed: {run.stderr.strip().splitlines()[-1]}")
    return float(run.stdout.split()[-1])


def _row(what: str, op: str, seconds: Sequence[float], note: str) -> Start:
    timing = summarise(seconds)
    middle, low, high = (round(value, 5) for value in (timing.median, timing.p20, timing.p80))
    return Start(what, op, middle, low, high, timing.rounds, provenance(), note)
