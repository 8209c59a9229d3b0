"""Time the operators of this package against what one would use instead, and against the plain convolution::

    python -m convnotes.bench [--op adder …] [--device cuda] [--backend torch numba] [--threads 2] [--csv FILE]

    rivals      what is used instead, written from its published definition
    operators   what is timed: ours, its rivals, and the convolution that is the yardstick, on one set of tensors
    layers      designs of the book, which stand in for a plain layer and do not equal it
    run         equal results first, then the times of all calls in turn: the rows
    start       what the import and the first calls cost
    table       the rows; those that come with the package lie in rows/
    memory      the allocator that a time belongs to, and what fits

Results are compared before anything is timed.
"""

from convnotes.bench.operators import OPS, SHAPES, cases
from convnotes.bench.run import Unequal, check_equal, machine_peak, measure, results
from convnotes.bench.table import Row, by_processor, on_each_processor, pairs, read

__all__ = [
    "OPS",
    "SHAPES",
    "Row",
    "Unequal",
    "by_processor",
    "cases",
    "check_equal",
    "machine_peak",
    "measure",
    "on_each_processor",
    "pairs",
    "read",
    "results",
]
