"""Measure every kernel design of the book in one frame, at equal budgets, and write the table.

    python -m convnotes.designs --csv designs.csv
    python -m convnotes.designs --csv designs.csv --retime
    python -m convnotes.designs --data cifar10 --budget 100000 --epochs 40 --device cuda --csv cifar10.csv

Seed 0 of all designs is trained first, then seed 1, and so on. A row is written after each seed, in place of that of
fewer seeds; at the end the designs of each budget are timed in turn. Rows that the file holds already are not measured
again, and the training that runs keeps its state after each epoch in FILE.states: the same command goes on where a run
was broken off. One thread, as for the book, takes sums in one order. CIFAR-10 and other larger sets are read from
$CONVNOTES_DATA.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from convnotes.data import Split
from convnotes.designs import table
from convnotes.designs.blocks import DESIGNS
from convnotes.designs.measured import (
    BATCH,
    BUDGETS,
    BUNDLED,
    Trained,
    count,
    pictures,
    precision,
    time_all,
    train_all,
)
from convnotes.designs.network import TOLERANCE, BudgetTooSmall
from convnotes.designs.table import Row
from convnotes.measure import provenance
from convnotes.measure.command import Options, positive, progress, say
from convnotes.measure.rows import Rows


def measure(split: Split, budget: int, design: str, frame: Mapping[str, Any], checkpoint: Path | None = None) -> Row:
    """Count and train one design at one budget; the times are still missing.

    `frame` holds what the rows of a run have in common, `checkpoint` the states of the trainings. Raises
    `BudgetTooSmall` where the narrowest network of the design has more parameters than the budget.
    """
    counts = count(design, budget, split)
    trained = train_all(design, counts.widths, _images(split, frame), **_how(frame), checkpoint=checkpoint)
    return Row(
        budget=budget,
        design=design,
        picture="×".join(map(str, split.train_x.shape[1:])),
        trained_on=provenance(frame["device"]),
        **frame,
        **dataclasses.asdict(counts),
        **dataclasses.asdict(trained),
    )


def with_more_seeds(row: Row, split: Split, frame: Mapping[str, Any], checkpoint: Path | None = None) -> Row:
    """The row with trainings from the seeds that it lacks of those in `frame`."""
    how = {**_how(frame), "begun": Trained(row.lr, row.accuracies), "checkpoint": checkpoint}
    trained = train_all(row.design, row.widths, _images(split, frame), **how)
    return dataclasses.replace(
        row, seeds=frame["seeds"], accuracies=trained.accuracies, trained_on=provenance(frame["device"])
    )


def _images(split: Split, frame: Mapping[str, Any]) -> Split:
    return split.to(dtype=getattr(torch, frame["dtype"]))


def _how(frame: Mapping[str, Any]) -> dict[str, Any]:
    return {name: frame[name] for name in ("seeds", "epochs", "device")}


def _train(rows: Rows[Row], split: Split, budget: int, design: str, frame: Mapping[str, Any], seeds: int) -> str:
    """Bring the row of one design to `seeds` of the seeds that `frame` asks for; gives what to say of it.

    Raises `BudgetTooSmall`, and `FloatingPointError` where the training diverges.
    """
    same = {name: value for name, value in frame.items() if name != "seeds"}
    found = [row for row in rows.where(budget=budget, design=design, **same) if row.seeds <= frame["seeds"]]
    before = max(found, key=lambda row: row.seeds, default=None)
    if before and before.seeds >= seeds:
        return "there already"
    start, states, now = time.perf_counter(), _states(rows.file), {**frame, "seeds": seeds}
    if states:
        what = "-".join(map(str, (budget, design, *same.values())))
        states /= re.sub(r"[^\w.-]+", "-", what.replace("×", "x"))
    if before:
        row = with_more_seeds(before, split, now, states)
        rows.remove(before)
    else:
        row = measure(split, budget, design, now, states)
    rows.keep(row)
    if states:
        shutil.rmtree(states, ignore_errors=True)
    missed = "" if abs(row.off) <= TOLERANCE else f" (off by {row.off:+.1%})"
    accuracy = f"{row.accuracy:.3f} ({min(row.accuracies):.3f} to {max(row.accuracies):.3f})"
    of = f"{seeds} of {frame['seeds']} seeds"
    return f"{row.params:,} parameters{missed}, {of}, test accuracy {accuracy}, {time.perf_counter() - start:.0f} s"


def _states(file: Path | None) -> Path | None:
    """Where the trainings of the rows in `file` keep their states."""
    return file and file.with_name(f"{file.name}.states")


def _train_all(rows: Rows[Row], split: Split, jobs: Sequence[tuple[int, str]], frame: Mapping[str, Any]) -> None:
    """Bring the rows of all `jobs`, each a budget and a design, to the seeds that `frame` asks for, seed by seed."""
    left_out = set()
    for seeds in range(1, frame["seeds"] + 1):
        for number, job in enumerate(progress(jobs, lambda job: f"{job[1]}, {job[0]:,}"), 1):
            if job in left_out:
                continue
            try:
                told = _train(rows, split, *job, frame, seeds)
            except (BudgetTooSmall, FloatingPointError) as problem:
                left_out.add(job)
                told = f"left out, {problem}"
            say(f"[{number}/{len(jobs)}] {frame['data']}, {job[0]:,} parameters, {job[1]}: {told}")
    if states := _states(rows.file):
        shutil.rmtree(states, ignore_errors=True)  # of what diverged


def _options() -> Options:
    options = Options("convnotes.designs", __doc__, rounds=9, threads=1)
    add, shown = options.add_argument, " ".join(map(str, BUDGETS))
    add("--data", nargs="+", default=["scaled_digits"], metavar="NAME", help=f"{', '.join(BUNDLED)}, cifar10, …")
    add("--budget", nargs="+", type=positive, default=BUDGETS, metavar="N", help=f"parameters ({shown})")
    options.names("--design", DESIGNS)
    add("--seeds", type=positive, default=3, help="trainings of each network (3)")
    add("--epochs", type=positive, default=8, help="epochs of each training (8)")
    add("--retime", action="store_true", help="train nothing: time the rows of the file again")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options()
    chosen = options.parse(arguments)
    if chosen.retime and not (chosen.csv and chosen.csv.is_file()):
        options.error("--retime needs the rows of an earlier run: --csv FILE")
    say(provenance(chosen.device))
    how = {"seeds": chosen.seeds, "epochs": chosen.epochs, "batch": BATCH, "device": chosen.device}
    jobs = [(budget, design) for budget in chosen.budget for design in chosen.design]
    try:
        rows = Rows.resume(Row, chosen.csv)
        splits = {name: pictures(name) for name in chosen.data}  # what is missing is said before anything is trained
        for name, split in splits.items():
            frame = {"data": name, "dtype": str(precision(name, chosen.device)).removeprefix("torch."), **how}
            if not chosen.retime:
                _train_all(rows, split, jobs, frame)
            for budget in dict.fromkeys(chosen.budget):
                group = {row.design: row for row in rows.where(budget=budget, **frame) if row.design in DESIGNS}
                if not group:
                    continue
                if chosen.retime or not all(row.timed_on for row in group.values()):
                    say(f"timing {len(group)} designs of {name}, {budget:,} parameters, in turn …")
                    widths = {design: row.widths for design, row in group.items()}
                    times = time_all(widths, split, rounds=chosen.rounds, device=chosen.device)
                    here = provenance(chosen.device)
                    rows.keep(*(row.timed(*times[design], here) for design, row in group.items()))
                say(f"\n{name}, {budget:,} parameters\n{table.overview(rows.where(budget=budget, **frame))}")
    except (OSError, ValueError, ImportError) as problem:
        options.error(str(problem))
    if chosen.csv:
        say(f"\n{len(rows)} rows in {chosen.csv}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
