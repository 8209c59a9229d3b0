"""Every kernel design of the book in one frame: the same small network, in which the spatial block is exchanged::

    python -m convnotes.designs --csv designs.csv

Each design is brought to the same number of parameters by its widths, counted, trained from several seeds and timed in
turn with the others (chapter choosing).
"""

from convnotes.designs.blocks import DESIGNS, LATER, Design
from convnotes.designs.measured import BATCH, BUDGETS, count, pictures, time_all, train_all, train_design
from convnotes.designs.network import TOLERANCE, Fit, Network, fit_budget
from convnotes.designs.table import Counts, Row, front, noise, overview, read

__all__ = [
    "BATCH",
    "BUDGETS",
    "DESIGNS",
    "LATER",
    "TOLERANCE",
    "Counts",
    "Design",
    "Fit",
    "Network",
    "Row",
    "count",
    "fit_budget",
    "front",
    "noise",
    "overview",
    "pictures",
    "read",
    "time_all",
    "train_all",
    "train_design",
]
