"""What is frozen stays so: in training, through toggles, copies and pickles, until it is released."""

import copy
import io
import pickle

import pytest
import torch
from support.networks import small, trained
from torch import nn

from convnotes import transfer
from convnotes.data import Split
from convnotes.fundamentals.transfer import hold, release
from convnotes.train import fit

every_freeze = pytest.mark.parametrize("freeze", ["none", "stem", "all"])


def task(classes: int = 4) -> Split:
    y = torch.arange(24) % classes
    x = torch.randn(24, 1, 11, 7, dtype=torch.float64) + y.view(-1, 1, 1, 1)
    return Split(x, y, x, y, tuple(map(str, range(classes))))


@every_freeze
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", [None, torch.optim.SGD], ids=["AdamW", "SGD"])
def test_training_moves_what_is_free_and_nothing_that_is_frozen(freeze, weight_decay, optimizer):
    """Weights and running statistics, with weight decay too, which an optimiser must not apply to the frozen."""
    net = transfer(trained(), 4, freeze)
    before = copy.deepcopy(net.state_dict())
    fit(net, task(), epochs=2, lr=0.05, batch_size=8, weight_decay=weight_decay, optimizer=optimizer)
    moved = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    first, norm = {"0.weight"}, {f"1.{part}" for part in ("weight", "bias", "running_mean", "running_var")}
    counter = {"1.num_batches_tracked"}
    stem, head = first | norm | counter, {"9.weight", "9.bias"}
    assert moved == {"none": set(before), "stem": set(before) - stem, "all": head}[freeze]
    assert all((p.grad is None) == (not p.requires_grad) for p in net.parameters())


def test_a_held_norm_computes_the_same_in_training_and_out_of_it():
    net = transfer(trained(), 4, "all")
    x = torch.randn(5, 1, 11, 7, dtype=torch.float64) * 3 + 1
    trunk = net[:8]
    assert torch.equal(trunk.train()(x), trunk.eval()(x))
    free = transfer(trained(), 4, "none")[:8]
    assert not torch.equal(free.train()(x), free.eval()(x))


def test_freezing_the_parameters_alone_would_let_the_statistics_move():
    net = trained()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    before = net[1].running_mean.clone()
    net.train()(torch.randn(4, 1, 11, 7, dtype=torch.float64))
    assert not torch.equal(net[1].running_mean, before)


def remade(net: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(net))


def saved(net: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "again", [lambda net: net, copy.deepcopy, remade, saved], ids=["self", "copy", "pickle", "save"]
)
def test_the_modes_outlive_toggles_copies_and_pickles(again):
    net = again(transfer(trained(), 4, "stem"))
    for mode in (True, False, True):
        assert net.train(mode) is net
        assert [net[n].training for n in (0, 1, 4, 8, 9)] == [mode, False, mode, mode, mode]
    assert net[1].train() is net[1], "a copy's norm must hold itself, not the norm that it was copied from"
    assert not net[1].training
    assert [p.requires_grad for p in net.parameters()] == [False] * 3 + [True] * 5


def test_release_undoes_hold():
    net = transfer(trained(), 4, "all")
    net.train()
    release(net)
    assert all(module.training for module in net.modules())
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert not [module for module in net.modules() if "train" in vars(module)]
    assert net.eval()[1].training is False
    hold(net[0])
    assert [p.requires_grad for p in net.parameters()] == [False] + [True] * 7


def test_hold_forgets_a_gradient_that_would_still_move_the_kernels():
    net = trained()
    net(torch.randn(2, 1, 11, 7, dtype=torch.float64)).sum().backward()
    hold(net[0])
    before = net[0].weight.clone()
    torch.optim.SGD(net.parameters(), lr=1.0).step()
    assert torch.equal(net[0].weight, before)


def test_a_frozen_network_transfers_again_and_none_frees_all_of_it():
    again = transfer(transfer(trained(), 4, "all"), 5, "none")
    assert all(parameter.requires_grad for parameter in again.parameters())
    assert again.train()[1].training
    assert again[-1].out_features == 5


@every_freeze
def test_the_state_loads_into_the_plain_network_and_back(freeze):
    net, plain = transfer(trained(), 4, freeze), small(4)
    plain.load_state_dict(net.state_dict(), strict=True)
    x = torch.randn(2, 1, 11, 7, dtype=torch.float64)
    assert torch.equal(plain.eval()(x), net.eval()(x))
    net.load_state_dict(plain.state_dict(), strict=True)
