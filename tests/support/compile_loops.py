"""Calls each operator that numba compiles, so that its loops lie on the disk: `conftest.py` runs this in a process of
its own, since numba never gives back the memory that compiling takes (150 to 200 MB for all of them).

What is not called here is compiled where it is first needed.
"""

import sys

import torch

from convnotes import adder2d, deform_aggregate2d, deform_conv2d, shift2d
from convnotes.kernels import backend
from convnotes.kernels.depthwise.operator import depthwise_conv2d

DTYPES = (torch.float32, torch.float64)


def leaf(dtype, *shape):
    return torch.randn(shape, dtype=dtype, requires_grad=True)


def deform(dtype):
    for groups in (1, 2):  # one group is multiplied by loops of the package, several by torch
        for mask in (None, leaf(dtype, 2, 9, 7, 5)):
            x, w = leaf(dtype, 2, 4, 9, 7), leaf(dtype, 6, 4 // groups, 3, 3)
            deform_conv2d(x, leaf(dtype, 2, 18, 7, 5), w, mask=mask).sum().backward()


def aggregate(dtype):
    x, offset, mask = leaf(dtype, 2, 4, 9, 7), leaf(dtype, 2, 18, 7, 5), leaf(dtype, 2, 9, 7, 5)
    deform_aggregate2d(x, offset, mask, 3).sum().backward()


def adder(dtype):
    for gradient in ("paper", "exact"):
        adder2d(leaf(dtype, 2, 3, 9, 7), leaf(dtype, 5, 3, 3, 3), gradient=gradient).sum().backward()


def depthwise(dtype):
    for size, dilation in ((3, 2), (5, 1)):
        w, padding = leaf(dtype, 4, 1, size, size), (2, 2)
        depthwise_conv2d(leaf(dtype, 2, 4, 9, 7), w, None, (1, 1), padding, (dilation, dilation)).sum().backward()


def shift(dtype):
    shift2d(leaf(dtype, 2, 3, 9, 7), [(0, 1), (1, 0), (0, -1)]).sum().backward()


SHARES = {"deform": (deform,), "others": (adder, depthwise, shift, aggregate)}  # about as long as each other

if __name__ == "__main__":
    torch.set_num_threads(1)
    with backend.use("numba"):
        for call in SHARES[sys.argv[1]]:
            for dtype in DTYPES:
                call(dtype)
