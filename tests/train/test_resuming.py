"""A training that goes on is the training that was never stopped, whatever its data draw; what is damaged is named."""

import os
import re
import shutil

import pytest
import torch
from support.data_sets import two_classes
from support.resuming import OPTIONS, TRAIN_SETS, Stopped, loaders, stopping
from torch import nn
from torch.utils.data import WeightedRandomSampler

from convnotes.train import fit

every_kind = pytest.mark.parametrize("kind", TRAIN_SETS)


def weights(history):
    return {name: value.tolist() for name, value in history.model.state_dict().items()}


def gone_on(make, folder, at, every=4, **options):
    """The history of a training that was stopped at step `at` and went on, with new data each time."""
    options = OPTIONS | options
    with pytest.raises(Stopped):
        fit(stopping(at), make(), checkpoint=folder, checkpoint_every=every, **options)
    return fit(stopping(), make(), checkpoint=folder, checkpoint_every=every, **options)


@every_kind
@pytest.mark.parametrize("at", [10, 6, 3], ids=["middle", "end of an epoch", "first epoch"])
@pytest.mark.parametrize("generator", [None, 5], ids=["", "own generator"])
def test_a_data_loader_goes_on_as_if_it_had_not_been_stopped(kind, at, generator, tmp_path):
    expected = fit(stopping(), loaders(kind, generator), **OPTIONS)
    resumed = gone_on(lambda: loaders(kind, generator), tmp_path, at, every=2 if at < 5 else 4)
    assert resumed == expected
    assert weights(resumed) == weights(expected)
    assert len(set(expected.step_loss)) == len(expected.step_loss) == 15


@pytest.mark.parametrize("kind", ["all in a subset", "its own", "stream"])
@pytest.mark.parametrize("persistent", [False, True], ids=["", "persistent"])
def test_so_does_one_with_two_workers(kind, persistent, tmp_path):
    options = {"num_workers": 2, "persistent_workers": persistent, "generator": 5}
    expected = fit(stopping(), loaders(kind, **options), **OPTIONS)
    assert gone_on(lambda: loaders(kind, **options), tmp_path, 10) == expected


def test_so_does_one_with_a_sampler_of_its_own(tmp_path):
    def make():
        torch.manual_seed(1)
        sampler = WeightedRandomSampler(torch.arange(1.0, 38), 37, generator=torch.Generator().manual_seed(3))
        return loaders("torch", sampler=sampler)

    expected = fit(stopping(), make(), **OPTIONS)
    assert gone_on(make, tmp_path, 10) == expected


def test_the_same_loaders_train_twice_with_the_same_numbers(tmp_path):
    """Their own generators are left as they were found, also by a training that was stopped."""
    pair = loaders("its own", generator=5)
    expected = fit(stopping(), pair, **OPTIONS)
    assert fit(stopping(), pair, **OPTIONS) == expected
    assert gone_on(lambda: pair, tmp_path, 10) == expected


def test_a_loader_is_the_caller_s_own_afterwards(tmp_path):
    """accelerate would put a sampler of its own into it, whose generator a later start would look for."""
    pair = loaders("torch")
    sampler = pair[0].sampler
    first = fit(stopping(), pair, checkpoint=tmp_path, **(OPTIONS | {"epochs": 1}))
    assert pair[0].batch_sampler.sampler is pair[0].sampler is sampler
    assert sampler.generator is None
    assert fit(stopping(), pair, checkpoint=tmp_path, **OPTIONS).step_loss[:5] == first.step_loss


def test_evaluating_a_loader_that_draws_changes_no_number_of_the_training():
    each, once = (
        fit(stopping(), loaders("its own"), evaluate_each_epoch=wanted, **OPTIONS) for wanted in (True, False)
    )
    assert once.step_loss == each.step_loss
    assert once.test_accuracy == each.test_accuracy[-1:]


def test_the_epochs_of_a_loader_differ_and_those_of_another_seed_too():
    history = fit(stopping(), loaders("torch"), **OPTIONS)
    assert history.step_loss[:5] != history.step_loss[5:10]
    assert history.step_loss[0] != fit(stopping(), loaders("torch"), seed=1, **OPTIONS).step_loss[0]


def saved(folder, *steps):
    """States after the epochs of `steps`, side by side, as after a crash between the renaming and the removal."""
    for step in steps:
        fit(stopping(), loaders("torch"), checkpoint=folder / "run", **(OPTIONS | {"epochs": step // 5}))
        shutil.copytree(folder / "run" / f"step-{step:08d}", folder / "kept" / f"step-{step:08d}")
    shutil.rmtree(folder / "run")
    shutil.copytree(folder / "kept", folder / "run")
    return folder / "run"


FILES = ["run.json", "model.safetensors", "optimizer.bin", "scheduler.bin", "random_states_0.pkl"]
DAMAGE = {
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "missing": lambda file: file.unlink(),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "other": lambda file: file.write_bytes(file.read_bytes()[:-3] + b"abc"),
}
every_damage = pytest.mark.parametrize("damage", DAMAGE)


@every_damage
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_state_is_passed_over_for_the_one_before(file, damage, tmp_path):
    folder = saved(tmp_path, 5, 10)
    DAMAGE[damage](folder / "step-00000010" / file)
    with pytest.warns(UserWarning, match=rf"step-00000010 is damaged \({file}.*\): going on from .*step-00000005"):
        resumed = fit(stopping(), loaders("torch"), checkpoint=folder, **OPTIONS)
    assert resumed == fit(stopping(), loaders("torch"), **OPTIONS)
    assert [p.name for p in folder.iterdir()] == ["step-00000015"]


@every_damage
@pytest.mark.parametrize("file", FILES)
def test_where_it_is_the_only_one_folder_and_remedy_are_named(file, damage, tmp_path):
    folder = saved(tmp_path, 5)
    DAMAGE[damage](folder / "step-00000005" / file)
    said = rf"no state in {re.escape(str(folder))} is whole: .*{file}.* Put back a copy, or remove .*{folder.name}"
    with pytest.raises(ValueError, match=said):
        fit(stopping(), loaders("torch"), checkpoint=folder, **OPTIONS)
    assert (folder / "step-00000005").exists(), "what is damaged is left for its owner"


@pytest.mark.parametrize("content", ["[]", "{}", '{"settings": 1}', "null"])
def test_a_run_json_that_is_something_else_is_damage(content, tmp_path):
    folder = saved(tmp_path, 5)
    (folder / "step-00000005" / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"is whole: .*run.json"):
        fit(stopping(), loaders("torch"), checkpoint=folder, **OPTIONS)


def test_a_damaged_state_of_the_same_step_is_replaced(tmp_path):
    """The training that goes on from the one before comes by the same step again."""
    folder = saved(tmp_path, 5, 10)
    DAMAGE["cut"](folder / "step-00000010" / "optimizer.bin")
    with pytest.warns(UserWarning, match="is damaged"):
        fit(stopping(), loaders("torch"), checkpoint=folder, **(OPTIONS | {"epochs": 2}))
    assert [p.name for p in folder.iterdir()] == ["step-00000010"]
    fit(stopping(1), loaders("torch"), checkpoint=folder, **(OPTIONS | {"epochs": 2}))


def test_every_file_and_folder_is_on_the_disk_before_the_state_has_its_name(tmp_path, monkeypatch):
    done = []

    def noting(module, name):
        call = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, **options: (done.append(name), call(*args, **options))[1])

    fit(stopping(), two_classes(), checkpoint=tmp_path, **(OPTIONS | {"epochs": 1}))
    for module, name in ((os, "fsync"), (os, "replace"), (shutil, "rmtree")):
        noting(module, name)
    fit(stopping(), two_classes(), checkpoint=tmp_path, **(OPTIONS | {"epochs": 2}))
    (state,) = tmp_path.iterdir()
    files = len(list(state.iterdir()))
    expected = ["rmtree", *["fsync"] * (files + 1), "replace", "fsync", "rmtree"]
    assert done == expected, "what was cut earlier goes; files and folder; the new name; the state before goes last"


@pytest.mark.parametrize("stop", range(10, 16))
def test_a_process_that_ends_while_it_saves_leaves_a_whole_state(stop, tmp_path, monkeypatch):
    """Wherever it ends: in the calls that bring the second epoch's state to the disk and rename it."""
    calls = []

    def dying(call):
        def counted(*args, **options):
            calls.append(call)
            if len(calls) == stop:
                raise Stopped
            return call(*args, **options)

        return counted

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying(os.replace))
        patch.setattr(os, "fsync", dying(os.fsync))
        with pytest.raises(Stopped):
            fit(stopping(), two_classes(), checkpoint=tmp_path, **OPTIONS)
    again = fit(stopping(), two_classes(), checkpoint=tmp_path, **OPTIONS)
    assert again == fit(stopping(), two_classes(), **OPTIONS)


def other(*layers):
    return lambda: nn.Sequential(nn.Flatten(), *layers)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (other(nn.Dropout(0.3), nn.Identity(), nn.Linear(20, 2)), r"2\.weight float32 \[2, 20\] there, missing here"),
        (other(nn.Dropout(0.3), nn.Linear(20, 3)), r"2\.weight float32 \[2, 20\] there, float32 \[3, 20\] here"),
        (other(nn.Dropout(0.3), nn.Linear(20, 2).double()), r"2\.weight float32 \[2, 20\] there, float64 \[2, 20\]"),
        (other(nn.Linear(20, 2, bias=False), nn.Linear(2, 1, bias=False)), "is of another training"),
        (other(nn.Unflatten(1, (4, 5)), nn.Flatten(), nn.Linear(20, 2)), r"3\.bias missing|missing there"),
    ],
)
def test_another_architecture_is_refused_by_its_weights(model, says, tmp_path):
    folder = saved(tmp_path, 5)
    data = loaders("torch")
    if "float64" in says:
        split = two_classes()
        data = split._replace(train_x=split.train_x.double(), test_x=split.test_x.double())
    with pytest.raises(ValueError, match=says) as refused:
        fit(model, data, checkpoint=folder, **OPTIONS)
    assert "step-00000005 is of another training" in str(refused.value)
    assert (folder / "step-00000005" / "model.safetensors").exists()


def test_another_optimiser_of_the_same_name_is_refused_in_words(tmp_path):
    def two_groups(parameters, lr, weight_decay):
        weight, bias = parameters
        return torch.optim.AdamW([{"params": [weight]}, {"params": [bias]}], lr=lr, weight_decay=weight_decay)

    folder = saved(tmp_path, 5)
    with pytest.raises(
        ValueError, match=r"step-00000005 cannot be loaded into this training .*: choose another folder"
    ):
        fit(stopping(), loaders("torch"), checkpoint=folder, optimizer=two_groups, **OPTIONS)


def test_data_with_other_generators_are_refused(tmp_path):
    fit(stopping(), loaders("its own"), checkpoint=tmp_path, **(OPTIONS | {"epochs": 1}))
    with pytest.raises(ValueError, match="the training data hold 5 generators there, 6 here"):
        fit(stopping(), loaders("its own", generator=3), checkpoint=tmp_path, **OPTIONS)


@pytest.mark.parametrize("evaluate", [True, False], ids=["each epoch", "at the end"])
def test_more_epochs_go_on_from_a_finished_training(evaluate, tmp_path):
    options = OPTIONS | {"evaluate_each_epoch": evaluate}
    fit(stopping(), loaders("torch"), checkpoint=tmp_path, **(options | {"epochs": 1}))
    longer = fit(stopping(), loaders("torch"), checkpoint=tmp_path, **options)
    assert longer == fit(stopping(), loaders("torch"), **options)
    with pytest.raises(ValueError, match="3 epochs are done there, 2 are wanted here"):
        fit(stopping(), loaders("torch"), checkpoint=tmp_path, **(options | {"epochs": 2}))


def test_more_epochs_of_a_cosine_take_the_longer_one_and_say_so(tmp_path):
    rates = []

    class Watching(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    options = OPTIONS | {"schedule": "cosine", "optimizer": Watching}
    fit(stopping(), loaders("torch"), **options)
    expected, rates[:] = list(rates), []
    fit(stopping(), loaders("torch"), checkpoint=tmp_path, **(options | {"epochs": 2}))
    rates.clear()
    with pytest.warns(UserWarning, match="the cosine schedule was begun for another number of epochs"):
        history = fit(stopping(), loaders("torch"), checkpoint=tmp_path, **options)
    assert rates == pytest.approx(expected[10:])
    assert len(history.loss) == 3
