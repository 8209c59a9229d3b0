"""Cells that print measured numbers are compared within the tolerance that they state; kernels use one thread each."""

import os

from support.measured import pytest_itemcollected

__all__ = ["pytest_itemcollected"]

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}  # pytest runs two notebooks at a time
