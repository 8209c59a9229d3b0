"""Measure every kernel design of the book in one frame, at equal budgets, and write the table.

    python -m convnotes.designs --csv designs.csv
    python -m convnotes.designs --csv designs.csv --retime
    python -m convnotes.designs --data cifar10 --budget 100000 --epochs 40 --device cuda --csv cifar10.csv

Rows that the file holds already are not measured again, so a run that was broken off goes on where it stopped. Each row
is written as soon as it is trained; then the designs of each budget are timed in turn. CIFAR-10 and other larger sets
are read from $CONVNOTES_DATA.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from convnotes.data import Split
from convnotes.designs import table
from convnotes.designs.blocks import DESIGNS
from convnotes.designs.measured import BATCH, BUDGETS, BUNDLED, count, pictures, precision, time_all, train_all
from convnotes.designs.network import TOLERANCE, BudgetTooSmall
from convnotes.designs.table import Row
from convnotes.measure import provenance


def measure(
    name: str, split: Split, budget: int, design: str, seeds: int = 3, epochs: int = 8, device: str = "cpu"
) -> Row:
    """Count and train one design at one budget; the times are still missing.

    Raises `BudgetTooSmall` where the narrowest network of the design has more parameters than the budget.
    """
    counts, dtype = count(design, budget, split), precision(name, device)
    trained = train_all(design, counts.widths, split.to(dtype=dtype), seeds=seeds, epochs=epochs, device=device)
    return Row(
        data=name,
        budget=budget,
        design=design,
        seeds=seeds,
        epochs=epochs,
        batch=BATCH,
        dtype=str(dtype).removeprefix("torch."),
        device=device,
        picture="×".join(map(str, split.train_x.shape[1:])),
        lr=trained.lr,
        accuracies=trained.accuracies,
        trained_on=provenance(device),
        **dataclasses.asdict(counts),
    )


class Run:
    """The rows so far, and the file that they are kept in (None: nowhere)."""

    def __init__(self, file: Path | None, say: Callable[[str], None] = print) -> None:
        self.file, self.say = file, say
        known = table.read(file) if file and file.exists() else []
        self.rows = {row.key: row for row in known}

    def keep(self, *rows: Row) -> None:
        self.rows |= {row.key: row for row in rows}
        if self.file:
            table.write(self.file, self.rows.values())

    def train(
        self, name: str, split: Split, jobs: Sequence[tuple[int, str]], seeds: int, epochs: int, device: str
    ) -> None:
        """Every row of `jobs`, (budget, design), that is not there yet."""
        dtype = str(precision(name, device)).removeprefix("torch.")
        for number, (budget, design) in enumerate(jobs, 1):
            start, at = time.perf_counter(), f"[{number}/{len(jobs)}] {name}, {budget:,} parameters, {design}:"
            if (name, budget, design, seeds, epochs, BATCH, dtype, device) in self.rows:
                self.say(f"{at} there already")
                continue
            if sys.stderr.isatty():
                print(f"{at} …", end="\r", file=sys.stderr, flush=True)
            try:
                row = measure(name, split, budget, design, seeds, epochs, device)
            except (BudgetTooSmall, FloatingPointError) as problem:
                self.say(f"{at} left out, {problem}")
                continue
            self.keep(row)
            missed = "" if abs(row.off) <= TOLERANCE else f" (off by {row.off:+.1%})"
            accuracy = f"{row.accuracy:.3f} ({min(row.accuracies):.3f} to {max(row.accuracies):.3f})"
            seconds = time.perf_counter() - start
            self.say(f"{at} {row.params:,} parameters{missed}, test accuracy {accuracy}, {seconds:.0f} s")

    def time(self, split: Split, wanted: list[tuple[Any, ...]], again: bool, rounds: int, device: str) -> None:
        """Time the rows of each group of `wanted` in turn, where one lacks its times or all shall be timed again."""
        for group in dict.fromkeys(wanted):
            rows = [row for row in self.rows.values() if row.group == group]
            if not again and all(row.timed_on for row in rows):
                continue
            first, known = rows[0], {row.design: row for row in rows if row.design in DESIGNS}
            self.say(f"timing {len(known)} designs of {first.data}, {first.budget:,} parameters, in turn …")
            widths = {design: row.widths for design, row in known.items()}
            times = time_all(widths, split, rounds=rounds, device=device)
            here = provenance(device)
            self.keep(*(row.timed(times[n].inference, times[n].step, here) for n, row in known.items()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m convnotes.designs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, shown = parser.add_argument, " ".join(map(str, BUDGETS))
    add("--data", nargs="+", default=["scaled_digits"], metavar="NAME", help=f"{', '.join(BUNDLED)}, cifar10, …")
    add("--budget", nargs="+", type=_positive, default=BUDGETS, metavar="N", help=f"parameters ({shown})")
    add(
        "--design",
        nargs="+",
        choices=list(DESIGNS),
        default=list(DESIGNS),
        metavar="NAME",
        help=f"{', '.join(DESIGNS)}",
    )
    add("--seeds", type=_positive, default=3, help="trainings of each network (3)")
    add("--epochs", type=_positive, default=8, help="epochs of each training (8)")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 … (cpu)")
    add("--threads", type=_positive, default=1, help="CPU threads (1, as for the book: sums are taken in one order)")
    add("--rounds", type=_positive, default=9, help="rounds of each timing (9)")
    add("--csv", type=Path, metavar="FILE", help="keep the rows here, and do not measure again what it holds")
    add("--retime", action="store_true", help="train nothing: time the rows of the file again")
    return parser


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if torch.device(chosen.device).type == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device {chosen.device}: torch finds no CUDA device here")
    if chosen.csv and not chosen.csv.parent.is_dir():
        parser.error(f"--csv {chosen.csv}: there is no folder {chosen.csv.parent}")
    if chosen.retime and not (chosen.csv and chosen.csv.is_file()):
        parser.error("--retime needs the rows of an earlier run: --csv FILE")
    torch.set_num_threads(chosen.threads)
    print(provenance(chosen.device), flush=True)
    try:
        run = Run(chosen.csv, lambda text: print(text, flush=True))
        jobs = [(budget, design) for budget in chosen.budget for design in chosen.design]
        splits = {name: pictures(name) for name in chosen.data}  # what is missing is said before anything is trained
        for name, split in splits.items():
            if not chosen.retime:
                run.train(name, split, jobs, chosen.seeds, chosen.epochs, chosen.device)
            asked = [
                row.group
                for row in run.rows.values()
                if (row.data, row.seeds, row.epochs, row.device) == (name, chosen.seeds, chosen.epochs, chosen.device)
                and row.budget in chosen.budget
            ]
            run.time(split, asked, chosen.retime, chosen.rounds, chosen.device)
            for group in dict.fromkeys(asked):
                rows = [row for row in run.rows.values() if row.group == group]
                print(f"\n{name}, {rows[0].budget:,} parameters\n{table.overview(rows)}")
    except (FileNotFoundError, ValueError, ImportError) as problem:
        parser.error(str(problem))
    if chosen.csv:
        print(f"\n{len(run.rows)} rows in {chosen.csv}.")
    return 0


def _positive(text: str) -> int:
    try:
        number = int(text.replace("_", "").replace(",", ""))
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number of 1 at least is needed, got {text!r}")
    return number


if __name__ == "__main__":
    sys.exit(main())
