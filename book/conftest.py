"""Cells that print measured numbers are compared within the tolerance that they state; kernels use one thread each."""

import os

from support.measured import pytest_itemcollected
from support.scripts import script

__all__ = ["pytest_itemcollected"]

os.environ |= script("execute").ONE_THREAD
