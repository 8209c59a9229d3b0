import pytest
import torch
from support.close import assert_close
from torch import nn

from convnotes import RepConv2d, RepVGG, definitions, fuse_branches, repvgg_a0
from convnotes.measure import cost


def params(model):
    return sum(p.numel() for p in model.parameters())


def test_the_branches_have_the_names_of_the_authors_code():
    names = {name for name, _ in RepConv2d(4, 4).named_parameters()}
    dense = {f"rbr_{kind}.{part}" for kind in ("dense", "1x1") for part in ("conv.weight", "bn.weight", "bn.bias")}
    assert names == dense | {"rbr_identity.weight", "rbr_identity.bias"}
    assert {"stage0.rbr_dense.conv.weight", "stage3.13.rbr_1x1.bn.running_var", "linear.bias"} <= set(
        repvgg_a0(device="meta").state_dict()
    )


def test_the_identity_is_left_out_where_shapes_differ_and_a_kind_may_come_twice():
    assert [name for name, _ in RepConv2d(4, 6).named_children()] == ["rbr_dense", "rbr_1x1"]
    assert [name for name, _ in RepConv2d(4, 4, stride=2).named_children()] == ["rbr_dense", "rbr_1x1"]
    twice = RepConv2d(4, 4, branches=("kxk", "kxk", "1x1"))
    assert [name for name, _ in twice.named_children()] == ["rbr_dense", "rbr_dense_1", "rbr_1x1"]


def test_in_training_each_branch_has_the_statistics_of_its_own():
    layer, x = RepConv2d(3, 3, dtype=torch.float64), torch.randn(4, 3, 7, 6, dtype=torch.float64)
    y = layer(x)
    expected = definitions.batch_norm_in_training(x, layer.rbr_identity)[0]
    for branch in (layer.rbr_dense, layer.rbr_1x1):
        made = definitions.conv2d(x, branch.conv.weight, padding=branch.conv.padding)
        expected = expected + definitions.batch_norm_in_training(made, branch.bn)[0]
    assert_close(y, expected)


def test_published_counts():
    net = repvgg_a0(device="meta")
    assert round(params(net) / 1e6, 2) == 9.11
    fused = fuse_branches(net.eval())
    assert round(params(fused) / 1e6, 2) == 8.31
    assert [type(block) for block in fused.stage1] == [nn.Conv2d, nn.Conv2d]
    assert cost(fused, (1, 3, 224, 224)).macs / 1e9 == pytest.approx(1.4, abs=0.04)  # the paper: 1.4 billion


def test_a_fused_network_gives_the_logits_of_its_branches():
    net = RepVGG((1, 2, 1, 1), (4, 6, 6, 8), 5, dtype=torch.float64)
    x = torch.randn(8, 3, 33, 35, dtype=torch.float64)
    for _ in range(3):
        net(x)  # statistics
    net.eval()
    assert_close(fuse_branches(net)(x), net(x))


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: RepConv2d(4, 4, 2), ValueError, "kernel_size must be odd"),
        (lambda: RepConv2d(4, 6, groups=4), ValueError, "groups"),
        (lambda: RepConv2d(4, 4, branches=("5x5",)), ValueError, "branches must be .* got '5x5'"),
        (lambda: RepConv2d(4, 6, branches=("identity",)), ValueError, "one branch at least"),
        (lambda: RepConv2d(4, 4, branches=()), ValueError, "one branch at least"),
        (lambda: RepConv2d(4, 4)(torch.zeros(1, 3, 5, 5)), ValueError, "input of RepConv2d"),
        (lambda: RepConv2d(4, 4).fuse(), ValueError, "call eval"),
        (lambda: RepVGG((1, 1, 1), (4, 4, 4, 4)), ValueError, "layers"),
    ],
)
def test_bad_arguments_are_refused(build, error, says):
    with pytest.raises(error, match=says):
        build()
