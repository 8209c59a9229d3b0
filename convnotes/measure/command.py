"""What the commands that measure have in common: their options, what they refuse, and how they tell where they are."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

Job = TypeVar("Job")


class Options(argparse.ArgumentParser):
    """The options that `python -m <module>` shares with other commands; `threads` of None leaves torch's own number."""

    def __init__(self, module: str, about: str | None, *, rounds: int, threads: int | None = None) -> None:
        form = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=f"python -m {module}", description=about, formatter_class=form)
        add, shown = self.add_argument, threads or "torch's own number"
        add("--device", default="cpu", help="cpu, cuda, cuda:1 … (cpu)")
        add("--threads", type=positive, default=threads, help=f"CPU threads ({shown})")
        add("--rounds", type=positive, default=rounds, help=f"rounds of each timing ({rounds})")
        add("--csv", type=Path, metavar="FILE", help="keep the rows here, and do not measure again what it holds")

    def names(self, option: str, names: Iterable[str], default: Sequence[str] = ()) -> None:
        """An option that takes some of `names`, all of them where it is not given and there is no `default`."""
        known = list(names)
        shown = ", ".join(known) + (f" ({' and '.join(default)})" if default else "")
        self.add_argument(option, nargs="+", choices=known, default=default or known, metavar="NAME", help=shown)

    def parse(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """What was asked for, with the number of threads set; refuses a device and a folder that are not there."""
        chosen = self.parse_args(arguments)
        if torch.device(chosen.device).type == "cuda" and not torch.cuda.is_available():
            self.error(f"--device {chosen.device}: torch finds no CUDA device here")
        if chosen.csv and not chosen.csv.parent.is_dir():
            self.error(f"--csv {chosen.csv}: there is no folder {chosen.csv.parent}")
        if chosen.threads is not None:
            torch.set_num_threads(chosen.threads)
        return chosen


def positive(text: str) -> int:
    """A whole number of 1 at least, such as 5000, 5_000 or 5,000."""
    digits = text.replace("_", "").replace(",", "")
    if not digits.isdecimal() or int(digits) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of 1 at least is needed, got {text!r}")
    return int(digits)


def progress(jobs: Sequence[Job], name: Callable[[Job], str]) -> Iterator[Job]:
    """The jobs one by one under a bar where somebody watches; without tqdm a line in the place of the bar."""
    tqdm = _tqdm()
    if tqdm is None:
        for number, job in enumerate(jobs, 1):
            if sys.stderr.isatty():
                print(f"[{number}/{len(jobs)}] {name(job)} …", end="\r", file=sys.stderr, flush=True)
            yield job
        return
    with tqdm(jobs, unit="case", disable=None, dynamic_ncols=True) as bar:
        for job in bar:
            bar.set_description(name(job))
            yield job


def say(line: object) -> None:
    """Print a line beside the bar of `progress`."""
    tqdm = _tqdm()
    with tqdm.external_write_mode(file=sys.stdout) if tqdm else contextlib.nullcontext():
        print(line, flush=True)


def _tqdm() -> Any:
    """The class of tqdm's bar, or None."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    return tqdm
