"""Time the layers of this package against the plain convolution that they stand in for.

    python -m convnotes.bench [--op NAME …] [--device cuda] [--threads 2] [--csv FILE]

All calls of one row are timed in turn, round by round, so that a slow moment of the machine hits each of them. A row
gives the median with its 20th and 80th percentile, and the ratio to the plain convolution in time beside the ratio in
multiply-adds: the two differ.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from convnotes.compression.inception import FactorisedConv2d
from convnotes.compression.residual import Bottleneck
from convnotes.compression.separable import SeparableConv2d
from convnotes.compression.small_kernels import KernelStack
from convnotes.measure import compare, cost, provenance

# (batch, channels, height = width): large maps with few channels, small maps with many, and between
SHAPES = ((8, 64, 56), (32, 64, 8), (32, 16, 32), (2, 256, 14))

# name → (what is timed, the plain convolution in its place), both from the number of channels to the same number
OPS: dict[str, tuple[Callable[[int], nn.Module], Callable[[int], nn.Module]]] = {
    "pointwise": (lambda c: nn.Conv2d(c, c, 1), lambda c: nn.Conv2d(c, c, 3, padding=1)),
    "separable": (lambda c: SeparableConv2d(c, c, 3, padding=1), lambda c: nn.Conv2d(c, c, 3, padding=1)),
    "grouped": (lambda c: nn.Conv2d(c, c, 3, padding=1, groups=4), lambda c: nn.Conv2d(c, c, 3, padding=1)),
    "bottleneck": (lambda c: Bottleneck(c, c // 4), lambda c: nn.Conv2d(c, c, 3, padding=1)),
    "factorised": (lambda c: FactorisedConv2d(c, c, 3), lambda c: nn.Conv2d(c, c, 3, padding=1)),
    "stack of two": (lambda c: KernelStack(c, c, 5), lambda c: nn.Conv2d(c, c, 5, padding=2)),
    "stack of three": (lambda c: KernelStack(c, c, 7), lambda c: nn.Conv2d(c, c, 7, padding=3)),
}


@dataclass(frozen=True)
class Row:
    """One operator on one shape: milliseconds of the operator and of the plain convolution, and their ratios."""

    op: str
    shape: str
    mode: str
    macs_ratio: float
    time_ratio: float
    ms: float
    ms_p20: float
    ms_p80: float
    plain_ms: float
    machine: str


def measure(op: str, shape: tuple[int, int, int], device: str = "cpu", backward: bool = False, rounds: int = 7) -> Row:
    """Time one operator of `OPS` against its plain convolution on `shape` (batch, channels, side in pixels).

    With `backward` the gradients of the input and of all weights are computed too. Raises `ValueError` for an unknown
    operator.
    """
    if op not in OPS:
        raise ValueError(f"there is no operator {op!r}; the names are {', '.join(OPS)}")
    batch, channels, side = shape
    x = torch.randn(batch, channels, side, side, device=device, requires_grad=backward)
    layers = dict(zip(("plain", op), (make(channels).to(device).eval() for make in reversed(OPS[op])), strict=True))
    if backward:
        calls = {name: _training_step(layer, x) for name, layer in layers.items()}
        timed = compare(calls, rounds=rounds, device=device)
    else:
        with torch.inference_mode():
            timed = compare({n: (lambda f=f: f(x)) for n, f in layers.items()}, rounds=rounds, device=device)
    macs = {name: cost(layer, tuple(x.shape)).macs for name, layer in layers.items()}
    ours, plain = timed[op], timed["plain"]
    return Row(
        op, "×".join(map(str, x.shape)), "forward+backward" if backward else "forward", macs[op] / macs["plain"],
        timed.ratio(op), ours.median * 1e3, ours.p20 * 1e3, ours.p80 * 1e3, plain.median * 1e3, provenance(device),
    )  # fmt: skip


def _training_step(layer: nn.Module, x: torch.Tensor) -> Callable[[], Any]:
    wanted = [x, *layer.parameters()]
    g = torch.randn_like(layer(x).detach())
    return lambda: torch.autograd.grad(layer(x), wanted, g)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m convnotes.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--op", action="append", choices=list(OPS), help="only this operator (may be repeated)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 …")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads; torch's own number without it")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each timing")
    parser.add_argument("--csv", help="write the rows to this file too")
    chosen = parser.parse_args(arguments)
    if torch.device(chosen.device).type == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device {chosen.device}: torch finds no CUDA device here")
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    print(provenance(chosen.device))
    print("allocator:", os.environ.get("MALLOC_MMAP_MAX_", "glibc's default"))
    print(f"{'operator':15} {'shape':13} {'mode':17} {'MACs':>6} {'time':>6}   milliseconds (20 % to 80 %)")
    jobs = [(op, shape, backward) for op in chosen.op or OPS for shape in SHAPES for backward in (False, True)]
    rows = []
    for number, (op, shape, backward) in enumerate(jobs, 1):
        if sys.stderr.isatty():
            print(f"\r[{number}/{len(jobs)}] {op} …", end="\r", file=sys.stderr, flush=True)
        row = measure(op, shape, chosen.device, backward, chosen.rounds)
        rows.append(row)
        print(
            f"{row.op:15} {row.shape:13} {row.mode:17} {row.macs_ratio:6.2f} {row.time_ratio:6.2f}   "
            f"{row.ms:.3g} ({row.ms_p20:.3g} to {row.ms_p80:.3g}); plain {row.plain_ms:.3g}",
            flush=True,
        )
    if chosen.csv:
        with open(chosen.csv, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(asdict(rows[0])))
            writer.writeheader()
            writer.writerows(map(asdict, rows))
        print(f"Wrote {len(rows)} rows to {chosen.csv}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
