"""The training loop: the same numbers for the same seed, every sample counted, bad input refused."""

import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from support.data_sets import two_classes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from convnotes.train import History, Runs, evaluate, fit, over_seeds, set_seed


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(18, 2))


def test_the_same_seed_gives_the_same_numbers_whatever_was_drawn_before():
    set_seed(1)
    first = fit(small, two_classes(), epochs=3, batch_size=8, lr=1e-2, seed=5)
    torch.rand(123), np.random.rand(4), random.random()  # noqa: NPY002
    second = fit(small, two_classes(), epochs=3, batch_size=8, lr=1e-2, seed=5)
    assert first == second
    assert first.loss != fit(small, two_classes(), epochs=3, batch_size=8, lr=1e-2, seed=6).loss


def test_fit_leaves_the_generators_as_it_found_them():
    set_seed(3)
    expected = torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002
    set_seed(3)
    fit(small, two_classes(), epochs=1)
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected  # noqa: NPY002


def test_one_step_is_the_step_of_the_optimiser_on_the_mean_cross_entropy():
    data = two_classes(6)
    set_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(20, 2))
    weight = model[1].weight.detach().clone().requires_grad_()
    loss = nn.functional.cross_entropy(data.train_x.flatten(1) @ weight.T + model[1].bias.detach(), data.train_y)
    loss.backward()
    history = fit(model, data, epochs=1, batch_size=6, lr=0.5, optimizer=torch.optim.SGD)
    torch.testing.assert_close(model[1].weight.detach(), weight.detach() - 0.5 * weight.grad)
    assert history.loss == pytest.approx([loss.item()], rel=1e-6)


def test_every_sample_is_trained_on_once_an_epoch_and_counted():
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x):
            if self.training:
                seen.append(x[:, 0, 0, 0])
            return torch.stack([x.mean((1, 2, 3)), -x.mean((1, 2, 3))], 1) * self.scale

    data = two_classes(37)
    history = fit(Spy, data, epochs=2, batch_size=16)
    for epoch in (seen[:3], seen[3:]):
        assert sorted(len(batch) for batch in epoch) == [12, 12, 13], "batches are equal, and at most 16"
        assert torch.equal(torch.cat(epoch).sort().values, data.train_x[:, 0, 0, 0].sort().values)
    assert not torch.equal(torch.cat(seen[:3]), torch.cat(seen[3:])), "the order changes from epoch to epoch"
    assert (history.train_samples, history.test_samples) == (37, 11)


def test_it_learns_and_the_last_number_is_what_evaluate_says():
    data = two_classes(200)
    history = fit(small, data, epochs=20, lr=1e-2, schedule="cosine")
    assert history.test_accuracy[-1] == evaluate(history.model, data.test_x, data.test_y, batch_size=3)
    assert history.train_accuracy[-1] == evaluate(history.model, data.train_x, data.train_y)
    assert history.train_accuracy[-1] > 0.95
    assert history.loss[-1] < history.loss[0]


def test_evaluating_once_at_the_end_changes_no_number():
    each, once = (
        fit(small, two_classes(), epochs=3, batch_size=8, evaluate_each_epoch=wanted) for wanted in (True, False)
    )
    assert once.loss == each.loss
    assert once.train_accuracy == each.train_accuracy[-1:]
    assert once.test_accuracy == each.test_accuracy[-1:]
    last = each.table().splitlines()[-1]
    assert once.table().splitlines()[-1] == last
    assert once.table().splitlines()[1].split() == ["1", f"{each.loss[0]:.4f}", "–", "–"]


def test_accuracy_is_the_share_of_right_answers():
    x = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 1.0]])
    assert evaluate(nn.Identity(), x, torch.tensor([0, 1, 1])) == pytest.approx(2 / 3)


def test_evaluating_puts_every_module_back_into_its_mode():
    model = small().train()
    model[2].eval()
    evaluate(model, *two_classes()[:2])
    assert model.training
    assert model[0].training
    assert not model[2].training


def test_the_cosine_schedule_falls_from_lr_to_zero_over_all_steps():
    rates = []

    class Watching(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    fit(small, two_classes(16), epochs=2, batch_size=8, lr=0.4, optimizer=Watching, schedule="cosine")
    assert rates == pytest.approx([0.4, 0.4 * (1 + 0.5**0.5) / 2, 0.2, 0.4 * (1 - 0.5**0.5) / 2])


def test_data_loaders_train_as_well_as_a_split():
    data = two_classes(40)
    train = DataLoader(TensorDataset(data.train_x, data.train_y), batch_size=16, shuffle=True)
    test = DataLoader(TensorDataset(data.test_x, data.test_y), batch_size=4)
    first, second = (fit(small, (train, test), epochs=4, lr=1e-2) for _ in range(2))
    assert first == second
    assert (first.train_samples, first.test_samples) == (40, 11)


def test_bfloat16_trains_and_leaves_a_float32_model_behind():
    history = fit(small, two_classes(), epochs=2, mixed_precision="bf16", device="cpu")
    assert history.model(torch.zeros(1, 1, 5, 4)).dtype == torch.float32
    assert "forward" not in vars(history.model), "accelerate's wrapper is still there"
    assert fit(small, two_classes(), epochs=1, device="cpu").loss, "the precision of one run is not that of the next"


def test_several_seeds_are_summed_up_by_mean_and_range():
    runs = over_seeds(small, two_classes(), seeds=(0, 1, 4), epochs=1, batch_size=8)
    assert runs.seeds == [0, 1, 4]
    assert runs.accuracies == [history.test_accuracy[-1] for history in runs.histories]
    assert runs.min <= runs.mean <= runs.max
    made = Runs([History(seed, test_accuracy=[0.5, a]) for seed, a in enumerate((0.75, 0.8, 1.0))])
    assert str(made) == "0.85 (0.75 to 1.00, 3 seeds)"
    assert f"{made:.4f}" == "0.8500 (0.7500 to 1.0000, 3 seeds)"


def test_the_table_and_the_repr_hold_no_times():
    history = History(0, 4, 2, [0.5], [0.75], [1.0], seconds=[123.456])
    assert history.table() == "epoch      loss     train      test\n    1    0.5000    0.7500    1.0000"
    assert "123" not in repr(history)


def test_training_says_nothing_unless_asked(capfd):
    fit(small, two_classes(), epochs=1)
    assert capfd.readouterr() == ("", "")
    fit(small, two_classes(), epochs=1, progress=True)
    assert "step" in capfd.readouterr().err


def test_importing_it_imports_neither_accelerate_nor_matplotlib():
    heavy = "{'accelerate', 'matplotlib', 'sklearn', 'pooch'}"
    code = f"import convnotes.train, convnotes.data, sys; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_accelerate_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match=r'pip install "convnotes\[train\]"'):
        fit(small, two_classes(), epochs=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_x": torch.zeros(0, 1, 5, 4), "train_y": torch.zeros(0, dtype=torch.int64)}, "train_x is empty"),
        ({"test_x": torch.zeros(3, 1, 5, 4)}, "test_x has 3 samples, but test_y has 11 labels"),
        ({"train_y": torch.full((37,), 2)}, r"labels must lie in 0…1 for 2 logits, got 2…2"),
        ({"train_y": torch.full((37,), -1)}, r"labels must lie in 0…1 for 2 logits, got -1…-1"),
        ({"train_y": torch.zeros(37)}, r"train_y must hold integer labels \[N\] or \[N, H, W\], got torch.float32"),
        ({"train_y": torch.zeros(37, 2, dtype=torch.int64)}, r"integer labels \[N\] or \[N, H, W\].*\(37, 2\)"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        fit(small, two_classes()._replace(**changes), epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": -1}, "epochs must be at least 1, got -1"),
        ({"epochs": 1, "batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"epochs": 1, "lr": 0.0}, r"lr must lie in \(0, inf\), got 0.0"),
        ({"epochs": 1, "weight_decay": -0.1}, r"weight_decay must lie in \[0, inf\), got -0.1"),
        ({"epochs": 1, "schedule": "linear"}, 'schedule must be "constant" or "cosine", got \'linear\''),
        ({"epochs": 1, "device": "meta"}, "device 'meta' was asked for, but accelerate finds"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fit(small, two_classes(), **options)


def test_a_loss_that_is_not_finite_stops_with_epoch_and_step():
    data = two_classes(16)
    data.train_x[3] = float("nan")
    with pytest.raises(FloatingPointError, match=r"the loss became nan in epoch 1, step 1 \(lr 0.001\)"):
        fit(small, data, epochs=2, batch_size=16)


def test_wrong_kinds_of_model_and_data_are_refused():
    with pytest.raises(TypeError, match=r"epochs must be an int, got 1\.5"):
        fit(small, two_classes(), epochs=1.5)
    with pytest.raises(TypeError, match="model must be a module or a function that makes one, got int"):
        fit(lambda: 3, two_classes(), epochs=1)
    with pytest.raises(TypeError, match=r"data must be a Split or a pair of DataLoaders .*got list"):
        fit(small, [1, 2], epochs=1)
    with pytest.raises(TypeError, match="make_model must be a function"):
        over_seeds(small(), two_classes(), epochs=1)
    with pytest.raises(ValueError, match="at least one seed"):
        over_seeds(small, two_classes(), seeds=(), epochs=1)
    with pytest.raises(ValueError, match=r"must give logits \[37, classes\], got shape \(37, 1, 5, 4\)"):
        fit(lambda: nn.Conv2d(1, 1, 1), two_classes(), epochs=1)
    with pytest.raises(ValueError, match="x is empty"):
        evaluate(small(), torch.zeros(0, 1, 5, 4), torch.zeros(0, dtype=torch.int64))
