"""LSUV: every layer's output has unit variance on the batch, in the order in which they run."""

import pytest
import torch
from support.close import assert_close
from support.networks import deep
from torch import nn

from convnotes import (
    initialise,
)


@pytest.mark.parametrize("nonlinearity", [nn.ReLU, nn.Tanh])
def test_lsuv_gives_every_layer_of_a_deep_net_unit_variance_on_its_batch(nonlinearity):
    net, batch = deep(nonlinearity=nonlinearity), torch.rand(8, 3, 16, 16)
    assert initialise(net, "lsuv", input=batch) is net
    with torch.no_grad():
        for layer in net:
            batch = layer(batch)
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                assert batch.var(correction=0).item() == pytest.approx(1, abs=1e-4)


def test_lsuv_directions_are_those_of_orthogonal():
    batch = torch.rand(4, 3, 16, 16)
    plain = initialise(deep(), "orthogonal", generator=torch.Generator().manual_seed(1))
    scaled = initialise(deep(), "lsuv", input=batch, generator=torch.Generator().manual_seed(1))
    for a, b in zip(plain.parameters(), scaled.parameters(), strict=True):
        ratio = b.norm() / a.norm() if a.norm() else 1
        assert_close(b.detach(), (a * ratio).detach())


class Reversed(nn.Module):
    """Layers made in another order than they run in; one runs twice, one never."""

    def __init__(self):
        super().__init__()
        self.last, self.twice, self.first = nn.Linear(8, 3), nn.Linear(8, 8), nn.Linear(5, 8)
        self.never = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.9)

    def forward(self, x):
        return self.last(self.drop(self.twice(torch.tanh(self.twice(torch.tanh(self.first(x)))))))


def test_lsuv_goes_by_the_order_of_execution_counts_a_layer_once_and_leaves_what_is_not_reached():
    net, x = Reversed(), torch.randn(64, 5)
    state = torch.get_rng_state()
    initialise(net, "lsuv", input=x, generator=torch.Generator())
    assert torch.equal(state, torch.get_rng_state()), "no dropout may draw"
    with torch.no_grad():
        first = net.first(x)
        once = net.twice(torch.tanh(first))
        last = net.last(net.twice(torch.tanh(once)))
    for output in (first, once, last):
        assert output.var(correction=0).item() == pytest.approx(1, abs=1e-4)
    assert_close((net.never.weight @ net.never.weight.T).detach(), torch.eye(4))


def test_lsuv_puts_modes_hooks_and_running_statistics_back():
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Sequential(nn.ReLU(), nn.Dropout()), nn.Conv2d(6, 2, 1)
    )
    net.train()
    net[1].eval()
    initialise(net, "lsuv", input=torch.rand(4, 3, 8, 8))
    assert [part.training for part in net.modules()] == [True, True, False, True, True, True, True]
    assert not any(part._forward_hooks for part in net.modules())
    assert net[1].num_batches_tracked == 0
    assert torch.equal(net[1].running_mean, torch.zeros(6))
    assert torch.equal(net[1].running_var, torch.ones(6))
    assert all(p.grad_fn is None and p.requires_grad for p in net.parameters())


def test_lsuv_measures_behind_norms_that_normalise_by_the_batch_as_in_training():
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.BatchNorm2d(6), nn.Conv2d(6, 2, 1))
    batch = torch.rand(4, 3, 8, 8) + 5
    initialise(net, "lsuv", input=batch)
    with torch.no_grad():
        assert net.train()(batch).var(correction=0).item() == pytest.approx(1, abs=1e-4)
    assert net[2].num_batches_tracked == 1, "by the pass above alone"


def test_lsuv_refuses_a_layer_whose_output_has_no_variance_and_puts_modes_and_hooks_back():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    for batch, says in ((torch.zeros(2, 3, 5, 5), "deviation 0"), (torch.full((2, 3, 5, 5), torch.nan), "nan")):
        with pytest.raises(ValueError, match=f"lsuv: the output of 0 has the {says}|has the deviation {says}"):
            initialise(net, "lsuv", input=batch)
        assert net.training
        assert not any(part._forward_hooks for part in net.modules())
