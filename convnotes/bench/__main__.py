"""Time each operator of this package against what one would use instead, and against the plain convolution.

    python -m convnotes.bench
    python -m convnotes.bench --op adder deformable --threads 2 --csv bench.csv
    python -m convnotes.bench --op adder shift --compile
    python -m convnotes.bench --op depthwise --shape 8x96x56 32x16x32 --device cuda
    MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 python -m convnotes.bench --csv bench.csv

Results are compared before anything is timed. All calls of a row are timed in turn, round by round, three at least, so
that a slow moment of the machine hits each of them; a time is the median, with the 20th and the 80th percentile. Rows
that the file holds already are not measured again, so a run that was broken off goes on where it stopped. A row knows
its processor, so the rows of several can share a file. What was measured is printed once more as one table. At last
comes what a start costs: the import, and each operator's first call, in fresh processes; its rows lie beside the file,
in start.csv. The last line above makes glibc's allocator keep the memory that it has ("steady").
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch

from convnotes.bench import memory, start
from convnotes.bench.operators import OPS, cases
from convnotes.bench.parts import Shape
from convnotes.bench.run import Unequal, machine_peak, measure
from convnotes.bench.table import Row
from convnotes.kernels import backend
from convnotes.measure import Table, processor, provenance
from convnotes.measure.command import Options, progress, say
from convnotes.measure.rows import Rows

_START = "start"  # no operator: what the imports and the first calls cost, in processes of their own


def _options() -> Options:
    options = Options("convnotes.bench", __doc__, rounds=7)
    options.names("--op", [*OPS, _START])
    options.names("--backend", ["auto", "torch", *backend.DEVICE], ["torch", "auto"])
    options.add_argument(
        "--shape", nargs="+", type=_shape, metavar="BxCxSIDE", help="inputs of this shape instead of its own"
    )
    options.add_argument("--compile", action="store_true", help="time the rivals as torch.compile makes them, too")
    options.add_argument("--note", default="", help="a word on the machine, kept with each row: shared, on battery …")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options()
    chosen = options.parse(arguments)
    try:
        for name in chosen.backend:
            with backend.use(name):
                pass
        rows = Rows.resume(Row, chosen.csv)
        starts = Rows.resume(start.Start, chosen.csv and chosen.csv.with_name(start.Start.FILE))
    except (OSError, RuntimeError, ValueError) as problem:
        options.error(str(problem))
    device, peak = chosen.device, machine_peak(chosen.device)
    here = {"device": device, "processor": processor(device), "threads": torch.get_num_threads()}
    here["allocator"] = memory.allocator(device)
    say(f"{provenance(device)}; allocator: {here['allocator']}")
    say(f"the most that it reached: {peak:.3g} billion multiply-adds per second in float32")
    how = {"peak": peak, "device": device, "backends": chosen.backend, "rounds": chosen.rounds, "note": chosen.note}
    how["compile"] = chosen.compile
    measured: list[Row] = []
    jobs = [case for op in chosen.op if op != _START for case in cases(op, chosen.shape)]
    try:
        for case in progress(jobs, lambda case: case.name):
            if rows.where(op=case.op, variant=case.variant, shape=case.shape_text, **here):
                say(f"{case.name}: there already")
                continue
            say(case.name)
            found = measure(case, say=say, **how)
            for row in found:
                say(f"  {row}")
            rows.keep(*found)
            measured += found
        if measured:
            say(repr(_table(measured)))
        if _START in chosen.op:
            known = {(row.what, row.op) for row in starts if row.processor == processor()}
            for one in start.measure_start(min(chosen.rounds, 3), chosen.note, known):
                starts.keep(one)
                say(one)
    except (Unequal, OSError, RuntimeError) as problem:
        print(f"stopped: {problem}", file=sys.stderr)
        return 1
    if chosen.csv:
        say(f"{len(rows)} rows in {chosen.csv}.")
    return 0


def _table(rows: Sequence[Row]) -> Table:
    lines = []
    for row in rows:
        what = " ".join(filter(None, (row.op, row.variant, row.shape)))
        lines.append(
            [what, row.mode, row.backend, f"{row.ms:.3g}", row.rival, f"{row.rival_ms:.3g}", f"{row.faster:.2f}"]
        )
    heads = ["operator", "pass", "by", "ms", "beside", "ms", "times as fast"]
    return Table("Times in milliseconds, medians", heads, lines)


def _shape(text: str) -> Shape:
    parts = text.replace("×", "x").split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"batch, channels and side are needed, such as 8x64x56, got {text!r}")
    batch, channels, side = map(int, parts)
    return batch, channels, side


if __name__ == "__main__":
    sys.exit(main())
