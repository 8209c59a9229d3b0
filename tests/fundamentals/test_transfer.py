"""Transfer: which layer is the head, what is frozen, and that the rest is the old network to the bit."""

import copy
import json
import re
from pathlib import Path

import pytest
import torch
from support.networks import small, trained
from support.publishing import publish
from torch import nn

import convnotes
from convnotes import pretrained, transfer
from convnotes.compression.pointwise import NIN
from convnotes.fundamentals.transfer import find_head
from convnotes.measure import cost
from convnotes.operations.cifar_resnet import resnet20

CHAPTER = Path(__file__).parents[2] / "book" / "fundamentals" / "transfer_learning.ipynb"

# network → (its classifier, what "stem" freezes)
NETWORKS = {
    "vgg16": ("classifier.6", ("features.0.weight", "features.0.bias")),
    "googlenet": ("fc", ("conv1.conv.weight", "conv1.bn.weight", "conv1.bn.bias")),
    "mobilenet_v1": ("fc", ("stem.0.weight", "stem.1.0.weight", "stem.1.0.bias")),
    "xception": ("fc", ("stem.0.weight", "stem.1.0.weight", "stem.1.0.bias")),
    "squeezenet1_0": ("classifier.1", ("features.0.weight", "features.0.bias")),
    "squeezenet1_1": ("classifier.1", ("features.0.weight", "features.0.bias")),
    "resnet50": ("fc", ("conv1.weight", "bn1.weight", "bn1.bias")),
    "resnext50_32x4d": ("fc", ("conv1.weight", "bn1.weight", "bn1.bias")),
    "deeplabv3_resnet50": (
        "classifier.4",
        ("backbone.conv1.weight", "backbone.bn1.weight", "backbone.bn1.bias"),
    ),
    "shiftresnet20": ("fc", ("conv1.weight", "bn1.weight", "bn1.bias")),
    "adder_resnet20": ("fc", ("conv1.weight", "bn1.weight", "bn1.bias")),
    "resnet20": ("fc", ("conv1.weight", "bn1.weight", "bn1.bias")),
    "nin": ("features.6.mlp.1", ("features.0.conv.weight", "features.0.conv.bias")),
}
MAKE = {name: getattr(convnotes, name, None) for name in NETWORKS} | {"resnet20": resnet20, "nin": NIN}
every_network = pytest.mark.parametrize("name", NETWORKS)
every_freeze = pytest.mark.parametrize("freeze", ["none", "stem", "all"])


@every_network
@every_freeze
def test_the_head_is_new_the_rest_is_old_and_only_what_was_asked_is_frozen(name, freeze):
    backbone = MAKE[name](device="meta")
    head, stem = NETWORKS[name]
    net = transfer(backbone, 7, freeze)
    assert find_head(net) == find_head(backbone) == head
    assert net.num_classes == 7
    for key, value in net.state_dict().items():
        old = backbone.state_dict()[key]
        assert value.dtype == old.dtype
        assert value.shape == ((7, *old.shape[1:]) if key.rpartition(".")[0] == head else old.shape)
    frozen = {key for key, parameter in net.named_parameters() if not parameter.requires_grad}
    assert (
        frozen
        == {
            "none": set(),
            "stem": set(stem),
            "all": {key for key, _ in net.named_parameters() if key.rpartition(".")[0] != head},
        }[freeze]
    )
    assert cost(net, (2, 3, 64, 64)).params == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet20", "nin", "shiftresnet20", "adder_resnet20"])
def test_a_network_of_the_book_computes_the_old_features_and_new_logits(name):
    backbone = MAKE[name](num_classes=10).eval()
    net = transfer(backbone, 3, "all").eval()
    x, seen = torch.rand(2, 3, 32, 32), {}
    for key, which in (("old", backbone), ("new", net)):
        layer = which.get_submodule(NETWORKS[name][0])
        layer.register_forward_pre_hook(lambda _, inputs, key=key: seen.__setitem__(key, inputs[0]))
    assert backbone(x).shape == (2, 10)
    assert net(x).shape == (2, 3)
    assert torch.equal(seen["old"], seen["new"])


def test_the_backbone_is_not_changed_and_shares_no_memory():
    backbone = trained()
    before = copy.deepcopy(backbone.state_dict())
    net = transfer(backbone, 5, "all")
    with torch.no_grad():
        for value in (*net.parameters(), *net.buffers()):
            value.add_(1)
    assert backbone[-1].out_features == 3
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    assert backbone.train()[1].training


def test_the_new_head_is_drawn_as_torch_draws_it_and_has_the_old_one_s_form():
    backbone = nn.Sequential(nn.Conv2d(2, 6, 1), nn.Conv2d(6, 3, 1, bias=False, dtype=torch.bfloat16)).eval()
    torch.manual_seed(5)
    new = transfer(backbone, 4)[1]
    torch.manual_seed(5)
    assert torch.equal(new.weight, nn.Conv2d(6, 4, 1, bias=False, dtype=torch.bfloat16).weight)
    assert new.bias is None
    assert not new.training
    assert new.weight.abs().max() <= 6**-0.5


def test_the_modules_around_the_head_tell_the_new_number():
    net = transfer(NIN(), 4)
    assert net.features[6].out_channels == 4
    assert "192 → 192 → 192 → 4" in repr(net)
    assert "num_classes=4" in repr(net)


def test_it_compiles_whole_and_exports():
    net = transfer(trained(), 4, "stem").train()
    net[8] = nn.Identity()
    x = torch.randn(3, 1, 11, 7, dtype=torch.float64)
    expected = net.eval()(x)
    net.train()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    assert compiled(x).shape == (3, 4)
    torch.testing.assert_close(torch.export.export(net.eval(), (x,)).module()(x), net(x))
    assert expected.shape == (3, 4)


def test_side_classifiers_are_named_or_refused():
    backbone = convnotes.googlenet(aux_logits=True, device="meta")
    with pytest.raises(ValueError, match=r"several layers with 1000 outputs may be the head: aux1.fc2, aux2.fc2, fc"):
        transfer(backbone, 5)
    net = transfer(backbone, 5, "all", head=("fc", "aux1.fc2", "aux2.fc2"))
    assert [net.fc.out_features, net.aux1.fc2.out_features, net.aux2.fc2.out_features] == [5, 5, 5]
    assert {n.rpartition(".")[0] for n, p in net.named_parameters() if p.requires_grad} == {
        "fc", "aux1.fc2", "aux2.fc2",
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"classifier.4, aux_classifier.4"):
        transfer(convnotes.deeplabv3_resnet50(aux_loss=True, device="meta"), 5)


def test_published_weights_get_a_new_head(publisher, tmp_path, monkeypatch):
    folder, _ = publisher
    state = torch.load(publish(folder, "squeezenet1_1", monkeypatch), weights_only=True)
    net = transfer(pretrained.load_pretrained("squeezenet1_1", root=tmp_path / "cache"), 10, freeze="stem")
    for key, value in net.state_dict().items():
        if key.startswith("classifier.1."):
            assert len(value) == 10
        else:
            assert torch.equal(value, state[key])
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    assert not net.features[0].weight.requires_grad


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: transfer(small, 3), TypeError, "backbone must be a torch.nn.Module, got function"),
        (lambda: transfer(small(), 0), ValueError, "num_classes must be at least 1, got 0"),
        (lambda: transfer(small(), 2.5), TypeError, "num_classes must be an int"),
        (lambda: transfer(small(), 3, "some"), ValueError, '"none", "stem" or "all", got \'some\''),
        (lambda: transfer(small()[:3], 3), ValueError, r"no head found.*got '0', Conv2d\(1, 4.*say head="),
        (lambda: transfer(nn.ReLU(), 3), ValueError, "no head found.*no layer with weights"),
        (lambda: transfer(small(), 3, head="fc"), ValueError, r"'fc' must be a Linear or 1×1 Conv2d.*those are 9"),
        (lambda: transfer(small(), 3, head="0"), ValueError, r"'0' must be a Linear or 1×1 Conv2d"),
        (lambda: transfer(nn.Conv2d(8, 8, 1, groups=2), 3), ValueError, "no head found"),
        (lambda: transfer(nn.Linear(8, 8), 3), ValueError, "a layer inside the network"),
        (lambda: transfer(small(), 3, head=()), ValueError, "a layer inside the network"),
        (
            lambda: transfer(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), 3),
            ValueError,
            "several layers with 4 outputs may be the head: 0, 1; say head=",
        ),
    ],
)
def test_bad_input_is_refused(build, error, says):
    with pytest.raises(error, match=says):
        build()


def test_a_named_head_settles_which_of_several_it_is():
    net = transfer(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), 3, "all", head="1")
    assert net(torch.rand(2, 4)).shape == (2, 3)
    assert [p.requires_grad for p in net.parameters()] == [False, False, True, True]


def test_the_block_of_the_chapter_runs_on_a_file_of_the_published_names(publisher, tmp_path, monkeypatch):
    """It is not run in the page, for want of a network: here it is, as it stands in the notebook."""
    notebook = json.loads(CHAPTER.read_text(encoding="utf-8"))
    texts = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    blocks = re.findall(r"```python\n(.*?)```", "\n".join(texts), flags=re.S)
    assert len(blocks) == 1
    folder, _ = publisher
    publish(folder, "resnet50", monkeypatch)
    monkeypatch.setenv("CONVNOTES_DATA", str(tmp_path))
    scope = {}
    exec(blocks[0], scope)
    net = scope["net"]
    assert net.fc.out_features == 10
    assert [net.conv1.weight.requires_grad, net.layer1[0].conv1.weight.requires_grad] == [False, True]
    assert net(torch.rand(1, 3, 32, 32)).shape == (1, 10)
