"""Hooks of the caller take part in every measure, and see nothing of it."""

import functools
import threading

import pytest
import torch
import torch.nn.functional as F
from support.fields import conv
from torch import nn

from convnotes.measure import cost, effective_receptive_field, measured_receptive_field, receptive_field

SEEN, COUNT = [], 0


def plain():
    return nn.Sequential(conv(1, 2, 3), nn.ReLU(), conv(2, 1, 3))


class Keeper:
    def __init__(self):
        self.kept = []

    def __call__(self, module, args, output):
        self.kept.append(output)

    def keep(self, module, args, output):
        self.kept.append(output)

    @staticmethod
    def doubled(module, args, output):
        return torch.from_numpy(output.numpy() * 2)


def globally(module, args, output):
    global COUNT
    COUNT += 1
    SEEN.append(output)


def to_numpy(kept):
    def hook(module, args, output):
        kept.append(output.detach().cpu().numpy())

    return hook


def sizes(net):
    return receptive_field(net).size, measured_receptive_field(net, (1, 1, 30, 30))


def test_what_a_forward_hook_gives_goes_on():
    net = plain()
    net[0].register_forward_hook(lambda module, args, output: F.max_pool2d(output, 2))
    assert sizes(net) == (8, 8)
    net[2].register_forward_hook(lambda module, args, kwargs, output: output[:, :, ::2], with_kwargs=True)
    assert receptive_field(net).stride == (4, 2)
    assert effective_receptive_field(net, (1, 1, 20, 20), samples=64).gt(0).any(1).sum() == 8


def test_what_a_pre_hook_gives_goes_in():
    net = plain()
    net[2].register_forward_pre_hook(lambda module, args: (F.avg_pool2d(args[0], 3),))
    assert sizes(net) == (11, 11)
    net = plain()
    net[2].register_forward_pre_hook(lambda module, args, kwargs: ((args[0][..., ::2],), kwargs), with_kwargs=True)
    assert sizes(net) == ((5, 7), (5, 7))


def test_what_a_hook_writes_in_place_counts():
    net = plain()
    wide = nn.Conv2d(2, 2, 7, padding=3)

    def added(module, args, output):
        output.add_(wide(output))

    net[0].register_forward_hook(added)
    assert sizes(net) == (11, 11)


def written(module, args, output):
    output.copy_(torch.from_numpy(output.numpy()))


@pytest.mark.parametrize(
    "hook",
    [
        lambda module, args, output: torch.from_numpy(output.numpy() * 2),
        lambda module, args, output: output.numpy() and None,
        lambda module, args, output: output if output.sum() > 0 else None,
        written,
        Keeper.doubled,
    ],
)
def test_a_hook_that_does_not_run_without_values_is_passed_over_only_if_it_changes_nothing(hook):
    net = plain()
    net[0].register_forward_hook(to_numpy([]))
    assert receptive_field(net).size == 5
    assert cost(net, (1, 1, 9, 9)).macs == 81 * 36
    net[0].register_forward_hook(hook)
    for measure in (receptive_field, lambda net: cost(net, (1, 1, 9, 9))):
        with pytest.raises(ValueError, match=r"a hook of Conv2d may change what passes.*: remove it to measure the"):
            measure(net)


def test_a_layer_that_only_a_hook_has_is_counted_and_left_alone():
    net, adapter = plain(), nn.Conv2d(1, 2, 1, bias=False)
    before = cost(net, (1, 1, 10, 10))
    net[0].register_forward_hook(lambda module, args, output: output + adapter(args[0]))
    now = cost(net, (1, 1, 10, 10))
    assert now.macs - before.macs == 200
    assert now.layers[0].macs - before.layers[0].macs == 200
    assert now.params == before.params, "it is no layer of the model"
    assert adapter.weight.dtype == torch.float32
    assert adapter.weight.requires_grad
    assert sizes(net) == (5, 5)


def test_what_hooks_keep_is_not_the_caller_s():
    net, kept, keeper, named = plain(), [], Keeper(), {}
    net[0].register_forward_hook(lambda module, args, output: kept.append(output))
    net[0].register_forward_hook(to_numpy(kept))
    net[0].register_forward_hook(keeper)
    net[0].register_forward_hook(keeper.keep)
    net[0].register_forward_hook(globally)
    net[0].register_forward_pre_hook(functools.partial(lambda store, module, args: store.update(x=args), named))
    net[0].register_forward_hook(lambda module, args, output, store=kept: store.append(output))
    assert sizes(net) == (5, 5)
    cost(net, (1, 1, 9, 9))
    effective_receptive_field(net, (1, 1, 9, 9))
    assert (kept, keeper.kept, SEEN, named, COUNT) == ([], [], [], {}, 0)
    net(torch.rand(1, 1, 9, 9))
    assert (len(kept), len(keeper.kept), len(SEEN), len(named), COUNT) == (3, 2, 1, 1, 1), "they are still there"


def test_a_hook_that_belongs_to_the_model_works_on_the_copy():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.calls = conv(1, 1, 3), conv(1, 1, 5), 0
            self.a.register_forward_hook(self.gate)

        def gate(self, module, args, output):
            self.calls += 1
            return self.b(output)

        def forward(self, x):
            return self.a(x)

    net = Gated()
    assert sizes(net) == (7, 7)
    assert cost(net, (1, 1, 9, 9)).macs == 81 * (9 + 25)
    assert net.calls == 0


def test_hooks_of_a_wrapper_are_refused():
    net = nn.DataParallel(plain())
    assert receptive_field(net).size == 5
    net.register_forward_hook(lambda module, args, output: output[:, :, ::2])
    with pytest.raises(ValueError, match="DataParallel has hooks of its own: put them on the module inside"):
        receptive_field(net)


def test_what_cannot_be_copied_is_shared():
    net, lock = plain(), threading.Lock()

    def locked(module, args, output):
        with lock:
            return output[:, :, ::2]

    net[0].register_forward_hook(locked)
    assert sizes(net) == ((7, 5), (7, 5))
