"""What all tests share: fixed seeds and threads, and the one table of tolerances."""

import pytest
import torch

# (relative, absolute) of a comparison with the definition. Never loosened for one machine or for CI.
TOLERANCE = {
    torch.float64: (1e-10, 1e-10),
    torch.float32: (1e-5, 1e-5),
}


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal within the table's tolerance for the dtype of `actual`; shape and dtype must agree too."""
    relative, absolute = TOLERANCE[actual.dtype]
    torch.testing.assert_close(actual, expected, rtol=relative, atol=absolute)


@pytest.fixture(autouse=True)
def _same_numbers_every_time():
    torch.manual_seed(0)
    torch.set_num_threads(1)
