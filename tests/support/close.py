"""Comparison with a definition: the one table of tolerances, and values together with their gradients."""

from collections.abc import Iterable

import torch
from torch import Tensor

# (relative, absolute) of a comparison with the definition. Never loosened for one machine or for CI.
TOLERANCE = {
    torch.float64: (1e-10, 1e-10),
    torch.float32: (1e-5, 1e-5),
}


def assert_close(actual: Tensor, expected: Tensor) -> None:
    """Equal within the table's tolerance for the dtype of `actual`; shape and dtype must agree too."""
    relative, absolute = TOLERANCE[actual.dtype]
    torch.testing.assert_close(actual, expected, rtol=relative, atol=absolute)


def assert_same(actual: Tensor, expected: Tensor, leaves: Iterable[Tensor | None]) -> None:
    """Close, and so are the gradients of all leaves (but None) for one random direction."""
    assert_close(actual, expected)
    leaves, g = [leaf for leaf in leaves if leaf is not None], torch.randn_like(expected)
    ours = torch.autograd.grad(actual, leaves, g)
    theirs = torch.autograd.grad(expected, leaves, g, retain_graph=True)  # it may be compared with again
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other)
