"""Second derivatives of operators whose arguments come from each other, as an offset may come from the picture."""

import pytest
import torch

from convnotes import deform_conv2d, non_local2d
from convnotes.kernels import backend
from convnotes.kernels.attention import operator as attention
from convnotes.kernels.depthwise.operator import depthwise_conv2d

WEIGHT = torch.linspace(-1, 1, 2 * 2 * 9, dtype=torch.float64).reshape(2, 2, 3, 3)
CALLS = {
    "an offset from the input": lambda x: deform_conv2d(
        x, 0.3 * x[:, :1].expand(-1, 18, -1, -1) + 0.21, WEIGHT, padding=1
    ),
    "a kernel from the input": lambda x: depthwise_conv2d(
        x, x.mean((0, 2, 3)).view(2, 1, 1, 1) * WEIGHT[:, :1], None, (1, 1), (2, 2), (2, 2)
    ),
    "queries, keys and values alike": lambda x: non_local2d(x, x, x, scale=0.7),
}


@pytest.mark.parametrize("name", ["torch", "auto"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_argument_s_share_in_another_is_counted_once(call, name, monkeypatch):
    monkeypatch.setattr(attention, "_queries", lambda q: 10)
    monkeypatch.setattr("convnotes.kernels.rules.TAPS_PAY_FROM", 0)
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    with backend.use(name):
        (once,) = torch.autograd.grad(call(x).sin().sum(), x)
        (recorded,) = torch.autograd.grad(call(x).sin().sum(), x, create_graph=True)
        torch.testing.assert_close(recorded, once)
        assert torch.autograd.gradgradcheck(call, x)
