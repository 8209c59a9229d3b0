"""Time each operator of this package against what one would use instead, and against the plain convolution.

    python -m convnotes.bench
    python -m convnotes.bench --op adder deformable --threads 2 --allocator steady --csv bench.csv
    python -m convnotes.bench --op depthwise --shape 8x96x56 32x16x32 --device cuda

Results are compared before anything is timed. All calls of a row are timed in turn, round by round, so that a slow
moment of the machine hits each of them; a time is the median, with the 20th and the 80th percentile. Rows that the file
holds already are not measured again, so a run that was broken off goes on where it stopped. At last comes what a start
costs: the import, and each operator's first call, in fresh processes.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from convnotes.bench import memory, start, table
from convnotes.bench.operators import OPS, Case, cases
from convnotes.bench.parts import Shape
from convnotes.bench.run import Unequal, machine_peak, measure
from convnotes.kernels import backend
from convnotes.measure import provenance

_START = "start"  # no operator: what the imports and the first calls cost, in processes of their own


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m convnotes.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    parts = [*OPS, _START]
    add("--op", nargs="+", choices=parts, default=parts, metavar="NAME", help=", ".join(parts))
    add("--shape", nargs="+", type=_shape, metavar="BxCxSIDE", help="inputs of this shape in the place of its own")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 … (cpu)")
    add(
        "--backend",
        nargs="+",
        choices=["auto", "torch", *backend.DEVICE],
        default=["torch", "auto"],
        metavar="NAME",
        help=f"auto, torch, {', '.join(backend.DEVICE)} (torch and auto)",
    )
    add("--threads", type=_positive, help="CPU threads (torch's own number)")
    add("--allocator", choices=["default", "steady"], help="start again with glibc set so (as it is)")
    add("--rounds", type=_positive, default=7, help="rounds of each timing, 3 at least for slow calls (7)")
    add(
        "--csv",
        type=Path,
        metavar="FILE",
        help=f"keep the rows here ({_START}: {start.FILE} beside it), and do not measure them again",
    )
    add("--note", default="", help="a word on the machine, kept with each row: shared, on battery …")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if torch.device(chosen.device).type == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device {chosen.device}: torch finds no CUDA device here")
    if chosen.csv and not chosen.csv.parent.is_dir():
        parser.error(f"--csv {chosen.csv}: there is no folder {chosen.csv.parent}")
    try:
        if chosen.allocator:
            memory.start_again(chosen.allocator, arguments)
        for name in chosen.backend:
            with backend.use(name):
                pass
        rows = table.read(chosen.csv) if chosen.csv and chosen.csv.exists() else []
    except (RuntimeError, ValueError) as problem:
        parser.error(str(problem))
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    peak = machine_peak(chosen.device)
    print(f"{provenance(chosen.device)}; allocator: {memory.allocator(chosen.device)}")
    print(f"the most that it reached: {peak:.3g} thousand million multiply-adds a second in float32", flush=True)
    jobs = [case for op in chosen.op if op != _START for case in cases(op, chosen.shape and tuple(chosen.shape))]
    known = {row.group for row in rows}
    here = (chosen.device, torch.get_num_threads(), memory.allocator(chosen.device))
    try:
        with _progress(jobs) as (steps, say):
            for case in steps:
                if (case.op, case.variant, case.shape_text, *here) in known:
                    say(f"{case.name}: there already")
                    continue
                say(case.name)
                options = {"peak": peak, "device": chosen.device, "backends": chosen.backend, "rounds": chosen.rounds}
                for row in measure(case, note=chosen.note, say=say, **options):
                    rows.append(row)
                    say(f"  {row}")
                if chosen.csv:
                    table.write(chosen.csv, rows)
        if _START in chosen.op:
            _starts(chosen)
    except (Unequal, RuntimeError) as problem:
        print(f"stopped: {problem}", file=sys.stderr)
        return 1
    if chosen.csv:
        print(f"{len(rows)} rows in {chosen.csv}.")
    return 0


def _starts(chosen: argparse.Namespace) -> None:
    """Measure what a start costs; the rows go to a file beside that of the times."""
    file = chosen.csv and chosen.csv.with_name(start.FILE)
    rows = start.read(file) if file else []
    known = [(row.what, row.op) for row in rows]
    for found in start.measure_start(min(chosen.rounds, 3), chosen.note, known):
        rows += found
        print(*found, sep="\n", flush=True)
        if file:
            start.write(file, rows)


@contextlib.contextmanager
def _progress(jobs: Sequence[Case]) -> Iterator[tuple[Iterator[Case], Callable[[str], None]]]:
    """The cases one by one under a bar, and how to print beside it; without tqdm a line in the place of the bar."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield _counted(jobs), lambda text: print(text, flush=True)
        return
    with tqdm(jobs, unit="case", disable=None, dynamic_ncols=True) as bar:

        def steps() -> Iterator[Case]:
            for case in bar:
                bar.set_description(case.name)
                yield case

        yield steps(), lambda text: tqdm.write(text, file=sys.stdout)


def _counted(jobs: Sequence[Case]) -> Iterator[Case]:
    for number, case in enumerate(jobs, 1):
        if sys.stderr.isatty():
            print(f"[{number}/{len(jobs)}] {case.name} …", end="\r", file=sys.stderr, flush=True)
        yield case


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of 1 at least is needed, got {text!r}")
    return int(text)


def _shape(text: str) -> Shape:
    parts = text.replace("×", "x").split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"batch, channels and side are needed, such as 8x64x56, got {text!r}")
    batch, channels, side = map(int, parts)
    return batch, channels, side


if __name__ == "__main__":
    sys.exit(main())
