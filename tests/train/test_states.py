"""Where states lie, and what else loads them."""

import json
import re
from pathlib import Path

import pytest
import torch
from support.data_sets import two_classes
from support.resuming import OPTIONS, stopping
from torch import nn

from convnotes.train import fit


def test_a_home_folder_is_meant_by_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fit(stopping(), two_classes(), checkpoint="~/runs", **(OPTIONS | {"epochs": 1}))
    assert json.loads((tmp_path / "runs" / "step-00000005" / "run.json").read_text())["step"] == 5
    assert not (tmp_path / "~").exists()


def test_a_lazy_model_does_not_go_on_and_says_why(tmp_path):
    def lazy():
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(2))

    fit(lazy, two_classes(), checkpoint=tmp_path, **(OPTIONS | {"epochs": 1}))
    with pytest.raises(ValueError, match=r"the model has lazy layers: run it once on a batch to go on from .*step-"):
        fit(lazy, two_classes(), checkpoint=tmp_path, **OPTIONS)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(20, 20), nn.Linear(20, 20)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x.flatten(1)))


def test_weights_that_two_layers_share_go_on_and_load_elsewhere_as_the_guide_says(tmp_path):
    guide = (Path(__file__).parents[2] / "book" / "reference" / "training.md").read_text(encoding="utf-8")
    (loading,) = re.findall(r"^```python\n(from safetensors.*?)^```", guide, flags=re.M | re.S)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        history = fit(Tied(), two_classes(), checkpoint="runs/digits", **OPTIONS)
        assert fit(Tied(), two_classes(), checkpoint="runs/digits", **OPTIONS) == history
        (state,) = (tmp_path / "runs" / "digits").iterdir()
        scope = {"net": Tied}
        exec(loading.replace("step-00000176", state.name), scope)
    for name, value in history.model.state_dict().items():
        assert torch.equal(scope["model"].state_dict()[name], value)
    assert scope["model"].first.weight is scope["model"].second.weight
