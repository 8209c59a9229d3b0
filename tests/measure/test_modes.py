"""What a model writes by a mask, and measures in the caller's inference mode."""

import pytest
import torch
from support.fields import Net, conv
from torch import nn

from convnotes.measure import cost, effective_receptive_field, measured_receptive_field, receptive_field


def cut(net, x):
    y = net.a(x)
    y[y < 0] = 0
    return net.b(y)


def marked(net, x):
    y = net.a(x)
    marks = torch.zeros_like(y.detach())
    marks[y < 0] = 1
    return net.b(marks)


def test_what_is_written_where_a_mask_says_is_position_by_position():
    net = Net(cut, a=conv(1, 4, 3), b=conv(4, 1, 3))
    assert measured_receptive_field(net, (1, 1, 20, 20)) == 5


def test_a_mask_whose_gradient_is_lost_is_refused():
    net = Net(marked, a=conv(1, 4, 3), b=conv(4, 1, 3))
    with pytest.raises(ValueError, match=r"no linear stand-in for writing by a mask: use torch\.where"):
        measured_receptive_field(net, (1, 1, 20, 20))


def test_every_measure_answers_in_inference_mode():
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), nn.Conv2d(1, 1, 3))
    with torch.inference_mode():
        assert receptive_field(net).size == measured_receptive_field(net, (1, 1, 12, 12)) == 5
        assert cost(net, (1, 1, 12, 12)).macs == 9 * (100 + 64)
        assert effective_receptive_field(net, (1, 1, 12, 12)).gt(0).any(1).sum() == 5
