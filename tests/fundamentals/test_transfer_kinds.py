"""Networks of every kind transfer: pruned, with norms of weights, with tokens, with large heads, converted."""

import copy
import io
import pickle

import pytest
import torch
from support.networks import small, trained
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import convnotes
from convnotes import transfer
from convnotes.fundamentals.transfer import find_head, hold, release

SIZE = (2, 3, 9, 9)


def plain():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def with_a_cached_output(net):
    class Remembering(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.seen = net, {"features": []}

        def forward(self, x):
            y = self.net(x)
            self.seen["features"].append(y)
            return y

    made = Remembering()
    made(torch.rand(SIZE))
    return made


REPARAMETRISED = {
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    "pruned twice": lambda layer: prune.random_structured(
        prune.l1_unstructured(layer, "weight", 0.3), "weight", 1, dim=0
    ),
    "old weight norm": lambda layer: nn.utils.weight_norm(layer),
    "old spectral norm": lambda layer: nn.utils.spectral_norm(layer),
    "weight norm": lambda layer: parametrizations.weight_norm(layer),
    "spectral norm": lambda layer: parametrizations.spectral_norm(layer),
    "orthogonal": lambda layer: parametrizations.orthogonal(layer),
}
every_kind = pytest.mark.parametrize("kind", REPARAMETRISED)
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")


@every_kind
@pytest.mark.parametrize("where", ["kernel", "head", "both"])
@pytest.mark.parametrize("freeze", ["none", "stem", "all"])
def test_reparametrised_networks_transfer(kind, where, freeze):
    net = plain()
    for index in {"kernel": [0], "head": [4], "both": [0, 4]}[where]:
        REPARAMETRISED[kind](net[index])
    net(torch.rand(SIZE)).sum().backward()  # what a hook computes now has a history
    before = copy.deepcopy(net.state_dict())
    assert find_head(net) == "4"
    new = transfer(net, 3, freeze)
    assert type(new[4]) is nn.Linear
    assert new[4].weight.shape == (3, 4)
    x = torch.rand(SIZE)
    assert torch.equal(new.eval()[:4](x), net.eval()[:4](x))
    new.train()(x).sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in new.parameters())
    frozen = {name.split(".")[0] for name, p in new.named_parameters() if not p.requires_grad}
    assert frozen == (set() if freeze == "none" else {"0"})
    torch.optim.SGD([p for p in new.parameters() if p.requires_grad], lr=1.0).step()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items()), "nothing is shared"


@every_kind
@pytest.mark.parametrize("freeze", ["stem", "all"])
def test_a_frozen_kernel_stays_what_it_is_in_training(kind, freeze):
    net = plain()
    REPARAMETRISED[kind](net[0])
    new = transfer(net, 3, freeze).train()
    x = torch.rand(SIZE)
    first = new[0](x)
    for _ in range(5):
        new(torch.rand(SIZE)).sum().backward()
    assert torch.equal(new[0](x), first)
    release(new)
    assert all(module.training for module in new.modules())


def test_pruning_goes_on_in_the_copy():
    net = plain()
    prune.l1_unstructured(net[0], "weight", 0.5)
    new = transfer(net, 3)
    prune.remove(new[0], "weight")
    assert prune.is_pruned(net)
    assert not prune.is_pruned(new)
    assert (new[0].weight == 0).sum() == 54
    assert not parametrize.is_parametrized(new[0])


def test_outputs_that_a_module_keeps_are_copied_as_values():
    net = with_a_cached_output(plain())
    new = transfer(net, 3)
    (kept,) = new.seen["features"]
    assert kept.grad_fn is None
    assert torch.equal(kept, net.seen["features"][0])
    assert new(torch.rand(SIZE)).shape == (2, 3)


def test_a_lazy_layer_is_named_with_what_to_do():
    lazy = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(5))
    for call in (lambda: transfer(lazy, 3), lambda: transfer(lazy, 3, head="2"), lambda: find_head(lazy)):
        with pytest.raises(ValueError, match=r"2 is lazy: its sizes are not known .*run it once, then transfer it"):
            call()
    with pytest.raises(ValueError, match="0 is lazy"):
        transfer(nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.Linear(4, 2)), 3)
    lazy(torch.rand(SIZE))
    assert transfer(lazy, 3)(torch.rand(SIZE)).shape == (2, 3)


@pytest.mark.parametrize("freeze", ["none", "stem", "all"])
@pytest.mark.parametrize("once_more", [lambda net: net, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_norms_that_are_converted_stay_frozen(freeze, once_more):
    """As the guide to training in several processes does it, after the transfer."""
    net = nn.SyncBatchNorm.convert_sync_batchnorm(transfer(trained(), 4, freeze))
    net = once_more(net)
    for mode in (True, False, True):
        net.train(mode)
        wanted = {"none": (mode, mode), "stem": (False, mode), "all": (False, False)}[freeze]
        assert (net[1].training, net[4].training) == wanted
    release(net)
    assert all(module.training for module in net.modules())
    assert net.train(False)[1].training is False
    assert net.train()[1].training


def test_all_norms_of_a_deep_network_stay_frozen_when_converted():
    net = transfer(convnotes.resnet50(10, device="meta"), 3, freeze="all")
    net = nn.SyncBatchNorm.convert_sync_batchnorm(net).train()
    norms = [module for module in net.modules() if isinstance(module, nn.SyncBatchNorm)]
    assert len(norms) == 53
    assert not any(norm.training for norm in norms)
    net.layer3.train()
    assert not any(norm.training for norm in norms)
    assert net.training
    assert net.fc.training
    release(net)
    assert all(norm.training for norm in norms)


def test_a_norm_that_the_user_puts_in_place_of_a_held_one_trains():
    net = transfer(trained(), 4, "all")
    net[1] = nn.BatchNorm2d(4).double()
    assert net.train()[1].training


def test_a_network_whose_norms_do_not_train_takes_one_picture():
    net = convnotes.deeplabv3_resnet50(3)
    frozen = transfer(net, 2, freeze="all").train()
    assert frozen(torch.rand(1, 3, 32, 32)).shape == (1, 2, 32, 32)
    with pytest.raises(ValueError, match="ASPP in training needs a batch of at least 2"):
        net.train()(torch.rand(1, 3, 32, 32))
    hold(net.classifier[0])
    assert net.classifier[0](torch.rand(1, 2048, 4, 4)).shape == (1, 256, 4, 4)


class ViT(nn.Module):
    """As torchvision and others register it: the token and the places before, beside or after the kernels."""

    def __init__(self, tokens_at="root"):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.pos_embed = nn.Parameter(torch.zeros(1, 17, 8))
        self.patch = nn.Module()
        self.patch.scale = nn.Parameter(torch.ones(1, 1, 8)) if tokens_at == "patch" else None
        self.patch.proj = nn.Conv2d(3, 8, 4, 4)
        self.patch.norm = nn.LayerNorm(8)
        self.blocks = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.patch.norm(self.patch.proj(x).flatten(2).transpose(1, 2))
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return self.head(self.blocks(x)[:, 0])


@pytest.mark.parametrize("tokens_at", ["root", "patch"])
def test_the_stem_of_a_network_with_tokens_is_its_first_kernel(tokens_at):
    net = transfer(ViT(tokens_at), 3, "stem")
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {"patch.proj.weight", "patch.proj.bias", "patch.norm.weight", "patch.norm.bias"}
    assert net(torch.rand(2, 3, 16, 16)).shape == (2, 3)
    everything = transfer(ViT(tokens_at), 3, "all")
    assert {name for name, p in everything.named_parameters() if p.requires_grad} == {"head.weight", "head.bias"}


def test_the_stem_may_be_a_layer_of_several_parts():
    """A deformable convolution holds the convolution that predicts its offsets."""
    net = nn.Sequential(
        convnotes.DeformConv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Flatten(),
        nn.Linear(4, 2),
    )  # fmt: skip
    frozen = {name.split(".")[0] for name, p in transfer(net, 3, "stem").named_parameters() if not p.requires_grad}
    assert frozen == {"0", "1"}
    assert not any(p.requires_grad for p in transfer(net, 3, "stem")[0].parameters())


def segmenter(*after, **options):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 21, 3, **options), *after
    )


@pytest.mark.parametrize("head", [None, "3"])
@pytest.mark.parametrize("after", [(), (nn.Upsample(scale_factor=2),), (nn.Dropout(0.1), nn.Softmax(1))])
def test_a_segmentation_head_of_3x3_is_replaced(head, after):
    net = segmenter(*after, padding=2, dilation=2, padding_mode="reflect", bias=False)
    new = transfer(net, 5, "all", head=head)
    assert (new[3].kernel_size, new[3].dilation, new[3].padding) == ((3, 3), (2, 2), (2, 2))
    assert (new[3].padding_mode, new[3].bias, new[3].out_channels) == ("reflect", None, 5)
    x = torch.rand(2, 3, 12, 12)
    assert new(x).shape == (2, 5, *net(x).shape[2:])
    assert [name for name, p in new.named_parameters() if p.requires_grad] == ["3.weight"]


def test_side_heads_of_3x3_are_named():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Conv2d(3, 4, 3)
            self.side = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 21, 3))
            self.head = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 21, 3))

    new = transfer(Net(), 5, head=("head.2", "side.2"))
    assert (new.head[2].out_channels, new.side[2].out_channels) == (5, 5)


@pytest.mark.parametrize(
    "after", [nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(21), nn.AdaptiveAvgPool2d(1)], ids=lambda m: type(m).__name__
)
def test_a_last_convolution_that_makes_features_is_no_head_unless_named(after):
    with pytest.raises(ValueError, match=r"no head found.*say head="):
        transfer(segmenter(after), 5)
    if isinstance(after, nn.BatchNorm2d):
        with pytest.raises(ValueError, match="head '3' must be a Linear or 1×1 Conv2d of the network, or a larger one"):
            transfer(segmenter(after), 5, head="3")
    else:
        assert transfer(segmenter(after), 5, head="3")[3].out_channels == 5


def test_the_rest_is_as_it_was():
    net = transfer(small(), 4, "all")
    stream = io.BytesIO()
    torch.save(net, stream)
    stream.seek(0)
    again = torch.load(stream, weights_only=False).train()
    assert [again[n].training for n in (0, 1, 4, 8, 9)] == [True, False, False, True, True]
