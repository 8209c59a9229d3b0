"""The operators of the book, and which of them contains which.

An operator contains another one when some value of its arguments makes it that other one, in its output and in its
gradients. `INCLUSIONS` says which value; `tests/contract/test_lattice.py` proves each line, and the page "The map of
operators" draws them. `OPERATORS` also builds each operator for one standard case, so that costs can be compared.
"""

from convnotes.lattice.inclusions import INCLUSIONS, Inclusion
from convnotes.lattice.operators import CHANNELS, OPERATORS, SIZE, Operator

__all__ = ["CHANNELS", "INCLUSIONS", "OPERATORS", "SIZE", "Inclusion", "Operator"]
