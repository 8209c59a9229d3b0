"""States that were changed at any byte, models that are never half loaded, full disks, and clocks that go back."""

import itertools
import json
import os
import shutil
import time

import pytest
import torch
from support.data_sets import two_classes
from support.resuming import OPTIONS, stopping
from torch import nn

from convnotes.train import checkpoint, fit


def trained(folder, epochs=1, **options):
    return fit(stopping(), two_classes(), checkpoint=folder, **(OPTIONS | {"epochs": epochs} | options))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    trained(folder)
    return folder / "step-00000005"


def test_every_changed_byte_of_run_json_is_found(whole, tmp_path):
    """It says where the training goes on, and all that was measured: a digit that changed would be believed."""
    state = shutil.copytree(whole, tmp_path / "step-00000005")
    file, run = state / "run.json", checkpoint._read(whole)
    content = file.read_bytes()
    assert len(content) > 500
    for at in range(0, len(content), 5):
        for changed in (content[at] ^ 1, 0):
            file.write_bytes(content[:at] + bytes([changed]) + content[at + 1 :])
            try:
                found = checkpoint._read(state)
            except checkpoint.Damaged:
                continue
            assert {name: found[name] for name in run} == run, f"byte {at} changed to {changed}"
    for at in range(0, len(content), 7):
        file.write_bytes(content[:at])
        with pytest.raises(checkpoint.Damaged):
            checkpoint._read(state)


@pytest.mark.parametrize(
    "changed",
    [{"files": []}, {"files": {"a": 1}}, {"files": {"a": [1]}}, {"history": {}}, {"history": None}, {"step": None}],
)
def test_a_run_json_of_other_contents_is_damage_and_one_of_an_older_version_is_none(changed, whole, tmp_path):
    state = shutil.copytree(whole, tmp_path / "step-00000005")
    run = json.loads((state / "run.json").read_text())
    del run["checksum"]  # as older versions wrote it
    (state / "run.json").write_text(json.dumps(run))
    assert checkpoint._read(state)["step"] == 5
    (state / "run.json").write_text(json.dumps(run | changed))
    with pytest.raises(checkpoint.Damaged):
        checkpoint._read(state)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.bin", "scheduler.bin", "random_states_0.pkl"])
def test_a_folder_in_the_place_of_a_file_of_a_state_is_named(name, whole, tmp_path):
    state = shutil.copytree(whole, tmp_path / "step-00000005")
    (state / name).unlink()
    (state / name).mkdir()
    with pytest.raises(ValueError, match=rf"no state in .* is whole: .*{name} is missing.* Put back a copy, or remove"):
        trained(tmp_path, 2)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(ValueError, match=r"checkpoint must be a folder, but .*run is a file"):
        trained(tmp_path / "run")


def test_a_model_is_loaded_as_a_whole_or_not_at_all(whole, tmp_path):
    """Its weights fit, and the state of the optimiser, which is read after them, does not."""
    shutil.copytree(whole, tmp_path / "step-00000005")
    model = stopping()()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def two_groups(parameters, lr, weight_decay):
        return torch.optim.AdamW([{"params": [one]} for one in parameters], lr=lr, weight_decay=weight_decay)

    with pytest.raises(ValueError, match=r"cannot be loaded into this training"):
        fit(model, two_classes(), checkpoint=tmp_path, optimizer=two_groups, **OPTIONS)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_a_killed_process_has_not_removed_goes_when_the_training_goes_on(whole, tmp_path):
    for name in ("step-00000003", "step-00000005", "step-00000004.part", "step-00000005.old"):
        shutil.copytree(whole, tmp_path / name)
    (tmp_path / "mine").mkdir()
    trained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "step-00000005"]


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), RuntimeError("writing failed")])
def test_a_full_disk_is_told_with_the_state_that_is_kept(problem, whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "step-00000005")

    def broken(*_, **__):
        raise problem

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", broken)
        said = (
            r"step-00000010 could not be written .*step-00000005 is kept, from which the same call goes on: make room"
        )
        with pytest.raises(OSError, match=said):
            trained(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005"]
    assert trained(tmp_path, 2) == fit(stopping(), two_classes(), **(OPTIONS | {"epochs": 2}))


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(OSError, match=r"step-00000005 could not be written .*no state is there: make room on the disk"):
        trained(tmp_path / "file" / "run")


@pytest.fixture
def backwards(monkeypatch):
    """Clocks of the wall go back by an hour at each call; the files of a state get ever older dates."""
    hours, replace = itertools.count(), os.replace

    def replaced(source, target):
        replace(source, target)
        os.utime(target, (2e9 - 3600 * next(hours),) * 2)

    monkeypatch.setattr(time, "time", lambda: 2e9 - 3600 * next(hours))
    monkeypatch.setattr(os, "replace", replaced)


def test_a_clock_that_goes_back_changes_nothing(backwards, tmp_path, capsys):
    """The newest state is that of the most steps, and seconds come from a clock that never goes back."""
    expected = fit(stopping(), two_classes(), **OPTIONS)
    trained(tmp_path / "run", 1, progress=True)
    shutil.copytree(tmp_path / "run", tmp_path / "kept")
    second = trained(tmp_path / "run", 2, progress=True)
    shutil.copytree(tmp_path / "kept" / "step-00000005", tmp_path / "run" / "step-00000005")
    history = trained(tmp_path / "run", 3, progress=True)
    assert history == expected
    assert history.seconds[:2] == second.seconds, "the second epoch was not trained again"
    assert all(seconds > 0 for seconds in history.seconds)
    assert isinstance(history.model, nn.Sequential)
    capsys.readouterr()
