"""Groups of parameters and scaled steps: what all layers share of them, and the old names, which warn."""

import pytest
import torch
from torch import nn

from convnotes import Adder2d, parameters, scale_adder_steps
from convnotes.operations.active_shift import ActiveShift2d, normalise_active_shift_steps
from convnotes.receptive_field import active


class Row(nn.Module):
    def __init__(self):
        super().__init__()
        self.at = nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        self.other = nn.Parameter(torch.ones(2))


def stepping(model, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, **options)
    for parameter in model.parameters():
        parameter.grad = parameter.detach().clone()
    return optimizer


def test_a_parameter_that_two_layers_share_is_found_once():
    first, second = Row(), Row()
    second.at = first.at
    (found,) = parameters.named(nn.Sequential(first, nn.ReLU(), second), Row, "at")
    assert found is first.at


def test_the_others_of_a_group_take_the_decay_of_the_optimiser_or_their_own():
    row = Row()
    others, apart = parameters.groups(row, [row.at], lr=0.5, factor=0.1, weight_decay=None)
    assert others == {"params": [row.other], "lr": 0.5}
    assert apart == {"params": [row.at], "lr": 0.05, "weight_decay": 0.0}
    assert parameters.groups(row, [row.at], 0.5, 0.1, 0.2)[0]["weight_decay"] == 0.2
    optimizer = torch.optim.SGD([others, apart], lr=1.0, weight_decay=0.3)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]


def test_steps_are_scaled_until_the_handle_is_removed():
    row, calls = Row(), []
    optimizer = stepping(row)
    handle = parameters.scale_steps(optimizer, [row.at], parameters.scale_rows, lambda: calls.append(1))
    optimizer.step()
    torch.testing.assert_close(row.at.detach(), torch.tensor([[3 - 0.6, 4 - 0.8], [0, 0]]))
    assert row.other.tolist() == [0, 0]
    handle.remove()
    row.at.grad.fill_(5.0)
    optimizer.step()
    assert row.at.grad.unique().tolist() == [5]
    assert calls == [1]


def test_only_what_the_optimiser_steps_is_scaled():
    mine, other = Row(), Row()
    optimizer = stepping(mine)
    other.at.grad = other.at.detach().clone()
    parameters.scale_steps(optimizer, [mine.at, other.at], parameters.scale_rows)
    optimizer.step()
    assert other.at.grad.tolist() == [[3, 4], [0, 0]]
    with pytest.raises(ValueError, match=r"the optimizer must step .*, got one that steps none of them"):
        parameters.scale_steps(optimizer, [other.at], parameters.scale_rows)


def test_the_old_names_warn_and_do_what_they_did():
    layer = active.ActiveConv2d(1, 1, 3)
    with pytest.warns(DeprecationWarning, match="parameter_groups is now active_groups"):
        others, positions = active.parameter_groups(layer, 0.5, 1e-4, slower=10)
    assert (others["lr"], others["weight_decay"]) == (0.5, 1e-4)
    assert (positions["lr"], positions["weight_decay"]) == (0.05, 0.0)
    with pytest.warns(DeprecationWarning, match="parameter_groups"):
        (only,) = active.parameter_groups(nn.Conv2d(3, 4, 3), lr=0.1)
    assert (only["lr"], only["weight_decay"]) == (0.1, 0.0)

    layer.positions.grad = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 2.0]])
    with pytest.warns(DeprecationWarning, match="normalise_position_gradients is now scale_active_steps"):
        active.normalise_position_gradients(layer)
    torch.testing.assert_close(layer.positions.grad, torch.tensor([[0.6, 0.8], [0, 0], [0, 1]]))

    optimizer = torch.optim.SGD(layer.parameters(), lr=10.0)
    with pytest.warns(DeprecationWarning, match="steer_positions is now scale_active_steps"):
        assert active.steer_positions(optimizer, layer) is None
    optimizer.step()
    assert layer.positions.abs().max() == 3

    shift = ActiveShift2d(2)
    optimizer = stepping(shift)
    with pytest.warns(DeprecationWarning, match="normalise_active_shift_steps is now scale_active_shift_steps"):
        normalise_active_shift_steps(shift, optimizer)
    optimizer.step()
    torch.testing.assert_close(shift.displacements.grad.norm(dim=1), torch.ones(2))

    adder = Adder2d(3, 4, 3, bias=False)
    handles = scale_adder_steps(adder, stepping(adder))
    with pytest.warns(DeprecationWarning, match="is now its handle's remove"):
        (hook,) = handles
    hook.remove()
