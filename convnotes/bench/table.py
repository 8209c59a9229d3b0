"""The rows of the benchmark."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from convnotes.measure.rows import Measured, Rows
from convnotes.measure.table import Table

MODES = ("forward", "forward+backward")


@dataclass(frozen=True)
class Row(Measured):
    """One operator of this package against one rival, and against the plain convolution.

    Times are in milliseconds: the median, 20th and 80th percentile of `rounds` rounds in turn. Bytes are the most bytes
    of tensors that live at once, without those that were there before.

    Args:
        op, variant: what was timed.
        shape: of its input, batch×channels×height×width.
        mode: "forward", or "forward+backward": the gradients of all inputs and weights too.
        backend: the code that computed ours (see `convnotes.kernels.backend`).
        rival: what one would use instead.
        ms, p20, p80: time of ours.
        bytes: of ours.
        macs: multiply-adds of a forward pass, a tap of an adder as one; None: none to speak of.
        rival_ms, rival_p20, rival_p80: time of the rival.
        rival_bytes: of the rival.
        conv: the plain convolution that is the yardstick.
        conv_ms, conv_p20, conv_p80: time of the plain convolution.
        conv_bytes, conv_macs: of the plain convolution.
        faster: rival_ms / ms.
        of_conv: ms / conv_ms.
        peak: the most multiply-adds per second that this machine reached, in billions.
        of_peak: share of `peak` at which ours ran; forward+backward counts as three forward passes.
        difference: largest difference from the rival, over its largest value; None: another function.
        rounds: how often each was timed.
        device, processor, threads, allocator, machine, note: where, how and when.

    Example:
        >>> row = convnotes.bench.read()[0]
        >>> row.op, row.shape, row.rival
        ('adder', '32×16×32×32', 'unfold and broadcast')
    """

    TABLE = "table of times"
    FILE = "bench.csv"
    KEY = ("op", "variant", "shape", "mode", "backend", "rival", "device", "processor", "threads", "allocator")

    op: str
    variant: str
    shape: str
    mode: str
    backend: str
    rival: str
    ms: float
    p20: float
    p80: float
    bytes: int
    macs: int | None
    rival_ms: float
    rival_p20: float
    rival_p80: float
    rival_bytes: int
    conv: str
    conv_ms: float
    conv_p20: float
    conv_p80: float
    conv_bytes: int
    conv_macs: int
    faster: float
    of_conv: float
    peak: float
    of_peak: float | None
    difference: float | None
    rounds: int
    device: str
    processor: str
    threads: int
    allocator: str
    machine: str
    note: str

    def __str__(self) -> str:
        """One line; the operator and the shape are left out."""
        share = "" if self.of_peak is None else f", {self.of_peak:.0%} of peak"
        return (
            f"{self.mode:16} {self.backend:6} {self.ms:.3g} ms ({self.p20:.3g} to {self.p80:.3g}), "
            f"{self.faster:.3g}× as fast as {self.rival} ({self.rival_ms:.3g} ms), "
            f"{self.of_conv:.3g}× the time of {self.conv}{share}, "
            f"{self.bytes / 2**20:.3g} MiB against {self.rival_bytes / 2**20:.3g}"
        )


def read(file: str | os.PathLike[str] | None = None) -> Rows[Row]:
    """The rows of a file, or those that come with the package. They have `where` and `select` to choose by field.

    Args:
        file: one that `python -m convnotes.bench --csv` wrote; None: the package's own.

    Raises:
        ValueError: for another kind of file, naming the line.

    Example:
        >>> rows = convnotes.bench.read().where(op="adder", mode="forward")
        >>> {row.op for row in rows}
        {'adder'}
    """
    return Rows.read(Row, file)


def pairs(rows: Iterable[Row]) -> list[tuple[Row, Row]]:
    """The rows in pairs (forward, forward+backward) that differ in nothing else that they are known by, in their order.

    An engine, or a layer for inference, is timed forwards only: such a row is in no pair.

    Args:
        rows: of both modes.

    Raises:
        ValueError: where the forward pass is missing.

    Example:
        >>> forward, both = convnotes.bench.pairs(convnotes.bench.read())[0]
        >>> forward.mode, both.mode
        ('forward', 'forward+backward')
    """
    found: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in rows:
        found.setdefault(dataclasses.replace(row, mode="").key, {})[row.mode] = row
    for modes in found.values():
        if MODES[0] not in modes:
            raise ValueError(f"no pair: {' '.join(map(str, next(iter(modes.values())).key))} alone")
    return [(modes[MODES[0]], modes[MODES[1]]) for modes in found.values() if MODES[1] in modes]


def by_processor(rows: Iterable[Row]) -> dict[str, Rows[Row]]:
    """The rows of each processor by its name, in their order.

    Args:
        rows: of any number of processors.

    Example:
        >>> rows = convnotes.bench.read()
        >>> sum(map(len, convnotes.bench.by_processor(rows).values())) == len(rows)
        True
    """
    found: dict[str, Rows[Row]] = {}
    for row in rows:
        found.setdefault(row.processor, Rows(Row)).append(row)
    return found


def on_each_processor(rows: Iterable[Row], ratio: Literal["of_conv", "faster"] = "of_conv") -> Table:
    """A ratio of each case, beside each other for all processors. A case is named by what tells the rows apart.

    A mode has a column where the processor has rows of it, and "–" where it has none of the case.

    Args:
        rows: of one number of threads, one allocator and one run, so that a case has one ratio on a processor.
        ratio: "of_conv", time of ours ÷ that of the plain convolution; or "faster", time of the rival ÷ that of ours.

    Raises:
        ValueError: where a case has two, with the case.

    Example:
        >>> rows = convnotes.bench.read().select(op="fire", threads=2, allocator="steady")
        >>> convnotes.bench.on_each_processor(rows).heads[0]
        'case'
    """
    rows = list(rows)
    fields = ("op", "variant", "shape", "backend", *(["rival"] if ratio == "faster" else []))
    telling = [field for field in fields if field == "shape" or len({getattr(row, field) for row in rows}) > 1]
    names, ratios = dict[str, str](), dict[str, dict[tuple[str, str], float]]()
    for row in rows:
        case = ", ".join(filter(None, (getattr(row, field) for field in telling)))
        place, value = (row.processor, row.mode), getattr(row, ratio)
        if ratios.setdefault(case, {}).setdefault(place, value) != value:
            one = "one number of threads, one allocator and one run"
            raise ValueError(f"{case} has two times on {row.processor}: select {one}")
        names[row.processor] = re.split(r"\W", row.processor)[0]  # Intel, AMD
    if len({*names.values()}) < len(names):
        names = {name: name for name in names}
    columns = {
        f"{short}, {words}": (name, mode)
        for name, short in names.items()
        for words, mode in zip("ft", MODES, strict=True)
        if any((name, mode) in found for found in ratios.values())
    }
    lines = [
        [case, *(f"{found[place]:.2f}" if place in found else "–" for place in columns.values())]
        for case, found in ratios.items()
    ]
    yardsticks = " or ".join(dict.fromkeys(row.conv for row in rows))
    rivals = {row.rival for row in rows}
    rival = "the rival" if len(rivals) != 1 else rivals.pop()
    what = f"Time of {rival} ÷ ours" if ratio == "faster" else f"Time ÷ that of {yardsticks}"
    shown = {mode for _, mode in columns.values()}
    modes = [words for words, mode in zip(("forward (f)", "training step (t)"), MODES, strict=True) if mode in shown]
    dash = "; –: not measured" if any("–" in line[1:] for line in lines) else ""
    return Table(f"{what}, {' and '.join(modes)}, on each processor{dash}", ["case", *columns], lines)
