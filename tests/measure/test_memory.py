import pytest
import torch
from torch import nn

from convnotes.measure import peak_memory

MIB = 2**20


def floats(mib: int) -> torch.Tensor:
    return torch.empty(mib * MIB // 4)


def test_what_lives_at_once_is_summed_and_what_is_given_back_is_not():
    def call():
        first = floats(2)
        del first
        kept = floats(1)
        return kept + 1  # 1 and 1

    assert peak_memory(call) == 2 * MIB


def test_views_and_what_was_there_before_count_nothing():
    before = floats(4)
    assert peak_memory(lambda: before.view(2, -1)[0].t()) == 0
    assert peak_memory(lambda: before.add_(1)) == 0
    assert peak_memory(lambda: before.view(2, -1).add(1)) == 4 * MIB


def test_a_new_tensor_at_the_place_of_a_forgotten_one_counts():
    def call():
        for _ in range(5):
            floats(1)
        return floats(1)

    assert peak_memory(call) == MIB


def test_a_training_step_holds_its_activations_and_gradients():
    net = nn.Sequential(nn.Linear(512, 512, bias=False), nn.Sigmoid(), nn.Linear(512, 512, bias=False))
    x = torch.rand(512, 512)  # 1 MiB, as each weight and each map

    with torch.no_grad():
        assert peak_memory(lambda: net(x)) == 2 * MIB
    # The backward of the sigmoid needs its output and the gradient, and makes another; the last weight has its own.
    assert 4 * MIB <= peak_memory(lambda: net(x).sum().backward()) < 4 * MIB + 64


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="call must be something to call, got Tensor"):
        peak_memory(torch.zeros(1))
