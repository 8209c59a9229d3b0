"""Measure every kernel design of the book in one frame, at equal budgets, and write the table.

    python -m convnotes.designs --csv designs.csv
    python -m convnotes.designs --csv designs.csv --retime
    python -m convnotes.designs --data cifar10 --budget 100000 --epochs 40 --device cuda --csv cifar10.csv

Rows that the file holds already are not measured again, so a run that was broken off goes on where it stopped. Each row
is written as soon as it is trained; then the designs of each budget are timed in turn. One thread, as for the book,
takes sums in one order. CIFAR-10 and other larger sets are read from $CONVNOTES_DATA.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from convnotes.data import Split
from convnotes.designs import table
from convnotes.designs.blocks import DESIGNS
from convnotes.designs.measured import BATCH, BUDGETS, BUNDLED, count, pictures, precision, time_all, train_all
from convnotes.designs.network import TOLERANCE, BudgetTooSmall
from convnotes.designs.table import Row
from convnotes.measure import provenance
from convnotes.measure.command import Options, positive, progress, say
from convnotes.measure.rows import Rows


def measure(split: Split, budget: int, design: str, frame: Mapping[str, Any]) -> Row:
    """Count and train one design at one budget; the times are still missing.

    `frame` holds what the rows of a run have in common. Raises `BudgetTooSmall` where the narrowest network of the
    design has more parameters than the budget.
    """
    counts, device = count(design, budget, split), frame["device"]
    how = {name: frame[name] for name in ("seeds", "epochs", "device")}
    trained = train_all(design, counts.widths, split.to(dtype=precision(frame["data"], device)), **how)
    return Row(
        budget=budget,
        design=design,
        picture="×".join(map(str, split.train_x.shape[1:])),
        trained_on=provenance(device),
        **frame,
        **dataclasses.asdict(counts),
        **dataclasses.asdict(trained),
    )


def _train(rows: Rows[Row], split: Split, budget: int, design: str, frame: Mapping[str, Any]) -> str:
    """Keep the row of one design, unless it is there; gives what to say of it."""
    if rows.where(budget=budget, design=design, **frame):
        return "there already"
    start = time.perf_counter()
    try:
        row = measure(split, budget, design, frame)
    except (BudgetTooSmall, FloatingPointError) as problem:
        return f"left out, {problem}"
    rows.keep(row)
    missed = "" if abs(row.off) <= TOLERANCE else f" (off by {row.off:+.1%})"
    accuracy = f"{row.accuracy:.3f} ({min(row.accuracies):.3f} to {max(row.accuracies):.3f})"
    return f"{row.params:,} parameters{missed}, test accuracy {accuracy}, {time.perf_counter() - start:.0f} s"


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
                for number, (budget, design) in enumerate(progress(jobs, lambda job: f"{job[1]}, {job[0]:,}"), 1):
                    told = _train(rows, split, budget, design, frame)
                    say(f"[{number}/{len(jobs)}] {name}, {budget:,} parameters, {design}: {told}")
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
    except (FileNotFoundError, ValueError, ImportError) as problem:
        options.error(str(problem))
    if chosen.csv:
        say(f"\n{len(rows)} rows in {chosen.csv}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
