"""Options of a convolution with 4 input channels, and sizes of its kernel."""

import pytest

CASES = {
    "plain": dict(),
    "strided": dict(stride=(2, 3)),
    "padded-rectangular": dict(padding=(0, 2)),
    "dilated": dict(dilation=(2, 1), padding=2),
    "grouped": dict(groups=2),
    "depthwise": dict(groups=4),
    "everything": dict(stride=(2, 1), padding=(1, 3), dilation=(1, 2), groups=2),
    "same": dict(padding="same", dilation=(2, 3)),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_kernel = pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5)], ids=str)
