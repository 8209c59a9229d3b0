"""Training in several processes and over several lives: the numbers of the one uninterrupted process."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.data_sets import two_classes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from convnotes.train import fit, over_seeds
from convnotes.train.batches import batches

SCRIPT = Path(__file__).parents[1] / "support" / "train_script.py"
RUN = [sys.executable]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


DROPOUT, LOADERS = {"dropout": 0.3}, {"loaders": True}
UNUSED, STREAM = {"unused": True, "find_unused_parameters": True}, {"stream": True}


def train(out: Path, *options: dict, command=RUN, expected: int | None = 0) -> list[list[dict]]:
    """What each process of one start of the script left behind: one result for each of the trainings."""
    arguments = [json.dumps(one, default=str) for one in options]
    run = subprocess.run([*command, SCRIPT, out, *arguments], capture_output=True, text=True, timeout=900)
    if expected is not None:
        assert run.returncode == expected, run.stderr[-3000:]
    return [json.loads(file.read_text()) for file in sorted(out.parent.glob(f"{out.name}.*.json"))]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process, never stopped: plain, with dropout, with DataLoaders, with an unused parameter, with streams."""
    (results,) = train(tmp_path_factory.mktemp("alone") / "run", {}, DROPOUT, LOADERS, UNUSED, STREAM)
    return results


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Two processes: for each the results of the same trainings, but for the one with dropout."""
    return train(tmp_path_factory.mktemp("together") / "run", {}, LOADERS, UNUSED, STREAM, command=TORCHRUN)


def test_two_processes_give_the_losses_of_one(alone, together):
    (first, *_), (second, *_) = together
    expected = alone[0]
    assert first["steps"] == second["steps"] == expected["steps"] == 18
    assert first["history"] == second["history"]
    assert first["weights"] == second["weights"]
    for name in ("step_loss", "loss"):
        assert first["history"][name] == pytest.approx(expected["history"][name], rel=1e-5), name
    for name in ("train_accuracy", "test_accuracy", "train_samples", "test_samples"):
        assert first["history"][name] == expected["history"][name], name
    assert (first["history"]["train_samples"], first["history"]["test_samples"]) == (53, 21)


def test_two_processes_count_every_sample_of_a_data_loader_once(alone, together):
    for _, result, *_ in together:
        assert result["steps"] == alone[2]["steps"] == 18
        assert (result["history"]["train_samples"], result["history"]["test_samples"]) == (53, 21)
        whole_batches = slice(0, 5)  # the sixth has three samples, which two processes do not share evenly
        assert result["history"]["step_loss"][whole_batches] == pytest.approx(
            alone[2]["history"]["step_loss"][whole_batches], rel=1e-5
        )


def test_a_parameter_that_no_loss_reaches_and_a_stream_are_no_obstacle_to_two_processes(alone, together):
    for results in together:
        for result, expected in zip(results[2:], alone[3:], strict=True):
            assert result["history"]["step_loss"][:5] == pytest.approx(expected["history"]["step_loss"][:5], rel=1e-5)
            assert (result["history"]["train_samples"], result["history"]["test_samples"]) == (53, 21)


def test_killed_midway_and_started_again_it_gives_the_uninterrupted_run(alone, tmp_path):
    saving = {"checkpoint": tmp_path / "state", "checkpoint_every": 4, **DROPOUT}
    assert train(tmp_path / "run", saving | {"kill_at": 11}, expected=-9) == []
    (state,) = (tmp_path / "state").iterdir()
    assert state.name == "step-00000008"
    assert (state / "model.safetensors").exists()
    ((result,),) = train(tmp_path / "run", saving)
    assert result["steps"] == 18 - 8, "it went on from the saved step"
    assert result["history"] == alone[1]["history"]
    assert result["weights"] == alone[1]["weights"]


def test_two_processes_killed_midway_go_on(alone, tmp_path):
    saving = {"checkpoint": tmp_path / "state"}
    assert train(tmp_path / "run", saving | {"kill_at": 9}, command=TORCHRUN, expected=None) == []
    (first,), (second,) = train(tmp_path / "run", saving, command=TORCHRUN)
    assert first["history"] == second["history"]
    assert first["steps"] == 12, "one epoch of six steps was saved"
    assert first["history"]["step_loss"] == pytest.approx(alone[0]["history"]["step_loss"], rel=1e-5)
    assert first["history"]["test_accuracy"] == alone[0]["history"]["test_accuracy"]


def test_two_processes_killed_midway_go_on_with_their_data_loaders(together, tmp_path):
    saving = {"checkpoint": tmp_path / "state", "checkpoint_every": 4, **LOADERS}
    assert train(tmp_path / "run", saving | {"kill_at": 11}, command=TORCHRUN, expected=None) == []
    for (result,), (_, whole, *_) in zip(train(tmp_path / "run", saving, command=TORCHRUN), together, strict=True):
        assert result["steps"] == 18 - 8
        assert result["history"] == whole["history"]
        assert result["weights"] == whole["weights"]


class Stopped(Exception):
    pass


def stopping(at: int):
    """A model that stops its training at step `at`."""

    class Net(nn.Sequential):
        steps = 0

        def forward(self, x):
            Net.steps += self.training
            if self.training and Net.steps == at:
                raise Stopped
            return super().forward(x)

    return lambda: Net(nn.Flatten(), nn.Linear(20, 2))


OPTIONS = {"epochs": 2, "batch_size": 8, "lr": 1e-2}  # 5 steps an epoch


def test_data_loaders_go_on_in_the_middle_of_an_epoch(tmp_path):
    data = two_classes()
    parts = TensorDataset(data.train_x, data.train_y), TensorDataset(data.test_x, data.test_y)
    loaders = tuple(DataLoader(part, batch_size=8, shuffle=part is parts[0]) for part in parts)
    with pytest.raises(Stopped):
        fit(stopping(at=9), loaders, checkpoint=tmp_path, checkpoint_every=4, **OPTIONS)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000008"]
    resumed = fit(stopping(at=3), loaders, checkpoint=tmp_path, checkpoint_every=4, **OPTIONS)
    assert resumed == fit(stopping(at=0), loaders, **OPTIONS)


def test_a_half_written_state_is_not_gone_on_from(tmp_path):
    with pytest.raises(Stopped):
        fit(stopping(at=8), two_classes(), checkpoint=tmp_path, **OPTIONS)
    whole = tmp_path / "step-00000005"
    shutil.copytree(whole, tmp_path / "step-00000007.part")
    (tmp_path / "step-00000009").mkdir()
    resumed = fit(stopping(at=0), two_classes(), checkpoint=tmp_path, **OPTIONS)
    assert resumed == fit(stopping(at=0), two_classes(), **OPTIONS)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000010"]


def test_a_finished_training_is_given_back_at_once(tmp_path):
    first = fit(stopping(at=0), two_classes(), checkpoint=tmp_path, **OPTIONS)
    second = fit(stopping(at=1), two_classes(), checkpoint=tmp_path, **OPTIONS)
    assert first == second
    assert torch.equal(first.model[1].weight, second.model[1].weight)


def test_each_seed_has_a_folder_of_its_own(tmp_path):
    options = {"seeds": (0, 3), "checkpoint": tmp_path, **OPTIONS}
    assert over_seeds(stopping(at=0), two_classes(), **options) == over_seeds(stopping(at=1), two_classes(), **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["seed-0", "seed-3"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.1}, r"step-00000010 is of another training \(lr 0.01 there, 0.1 here\): choose another folder"),
        ({"seed": 1, "epochs": 3}, r"seed 0 there, 1 here; epochs 2 there, 3 here"),
        ({"optimizer": torch.optim.SGD}, r"optimizer 'AdamW' there, 'SGD' here"),
    ],
)
def test_the_state_of_another_training_is_refused_and_kept(changes, message, tmp_path):
    fit(stopping(at=0), two_classes(), checkpoint=tmp_path, **OPTIONS)
    with pytest.raises(ValueError, match=message):
        fit(stopping(at=0), two_classes(), checkpoint=tmp_path, **(OPTIONS | changes))
    assert (tmp_path / "step-00000010" / "model.safetensors").exists()


def test_checkpoint_options_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(ValueError, match="checkpoint_every=3 needs a folder"):
        fit(stopping(at=0), two_classes(), checkpoint_every=3, **OPTIONS)
    with pytest.raises(ValueError, match="checkpoint_every must be at least 1, got 0"):
        fit(stopping(at=0), two_classes(), checkpoint=tmp_path, checkpoint_every=0, **OPTIONS)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"checkpoint must be a folder, but .*file is a file"):
        fit(stopping(at=0), two_classes(), checkpoint=tmp_path / "file", **OPTIONS)


def test_too_small_a_batch_for_the_processes_is_refused():
    accelerator = SimpleNamespace(device=torch.device("cpu"), num_processes=4, process_index=1)
    with pytest.raises(ValueError, match="a batch of 2 samples cannot be dealt to 4 processes: raise batch_size"):
        batches(two_classes(), 3, 0, accelerator)
