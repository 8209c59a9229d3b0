import pytest
import torch
from support.close import assert_close, assert_same
from support.layer_definitions import mlpconv_definition

from convnotes import NIN, MLPConv

CASES = {
    "plain": dict(kernel_size=3),
    "pointwise": dict(kernel_size=1),
    "strided-padded-rectangular": dict(kernel_size=(3, 5), stride=(2, 1), padding=(0, 2)),
    "dilated": dict(kernel_size=3, dilation=2, padding=2),
    "same": dict(kernel_size=(4, 3), padding="same"),
    "one-hidden-width": dict(kernel_size=3, hidden_channels=(7,)),
    "four-layers": dict(kernel_size=3, hidden_channels=(7, 2, 6)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_mlpconv_matches_its_definition_forward_and_gradient(case):
    layer = MLPConv(3, 5, **case, dtype=torch.float64)
    x = torch.randn(2, 3, 11, 7, dtype=torch.float64, requires_grad=True)
    assert_same(layer(x), mlpconv_definition(layer, x), (x, *layer.parameters()))


def test_every_layer_of_the_block_ends_in_a_relu():
    layer = MLPConv(3, 4, 3)
    with torch.no_grad():
        layer.mlp[-1].bias.fill_(-1e3)
    assert layer(torch.randn(1, 3, 5, 5)).abs().max() == 0


def test_the_default_block_is_the_paper_s_one_spatial_layer_and_two_pointwise():
    layer = MLPConv(3, 8, 5)
    assert [tuple(c.weight.shape) for c in (layer.conv, *layer.mlp)] == [(8, 3, 5, 5), (8, 8, 1, 1), (8, 8, 1, 1)]


@pytest.mark.parametrize(("variant", "published"), [("cifar10", 966_986), ("imagenet", 7_595_176)])
def test_nin_has_the_published_number_of_parameters(variant, published):
    net = NIN(variant=variant, device="meta")
    assert sum(p.numel() for p in net.parameters()) == published


@pytest.mark.parametrize(
    ("variant", "side", "maps"), [("cifar10", 32, [32, 16, 8]), ("imagenet", 224, [54, 27, 13, 6])]
)
def test_nin_s_maps_have_the_sizes_of_the_authors_network(variant, side, maps):
    net = NIN(variant=variant, device="meta")
    x, seen = torch.empty(2, 3, side, side, device="meta"), []
    for block in net.features:
        x = block(x)
        if isinstance(block, MLPConv):
            seen.append(x.shape[2])
    assert seen == maps


@pytest.mark.parametrize(("variant", "least"), [("cifar10", 4), ("imagenet", 39)])
def test_nin_runs_from_its_least_size_on_and_refuses_less(variant, least):
    net = NIN(variant=variant).eval()
    assert net(torch.randn(2, 3, least, least + 1)).shape == (2, net.num_classes)
    with pytest.raises(ValueError, match=f"at least {least}×{least} pixels, got {least}×{least - 1}"):
        net(torch.randn(1, 3, least, least - 1))


def test_nin_sees_no_order_of_the_places_in_its_last_layer():
    """Global average pooling: the logits are the means of the last maps."""
    net = NIN().eval()
    x = torch.randn(1, 3, 32, 32)
    assert_close(net(x), net.features(x).mean((2, 3)))


def test_nin_trains_a_step():
    net = NIN(num_classes=3)
    loss = torch.nn.functional.cross_entropy(net(torch.randn(4, 3, 32, 32)), torch.tensor([0, 1, 2, 0]))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize(
    ("build", "problem", "says"),
    [
        (lambda: MLPConv(0, 4, 3), ValueError, "in_channels must be at least 1, got 0"),
        (lambda: MLPConv(3, 4, 0), ValueError, "kernel_size must be at least 1, got 0"),
        (lambda: MLPConv(3, 4, 3, stride=0), ValueError, "stride must be at least 1"),
        (lambda: MLPConv(3, 4, 3, padding=-1), ValueError, "padding must be at least 0, got -1"),
        (lambda: MLPConv(3, 4, 3, hidden_channels=()), ValueError, r"hidden_channels must hold at least 1, got \(\)"),
        (
            lambda: MLPConv(3, 4, 3, hidden_channels=(4, -1)),
            ValueError,
            r"hidden_channels\[1\] must be at least 1",
        ),
        (lambda: NIN(variant="mnist"), ValueError, "'mnist'"),
        (lambda: NIN(num_classes=0), ValueError, "num_classes must be at least 1"),
        (lambda: NIN(dropout=1.5), ValueError, r"dropout must lie in \[0, 1\), got 1.5"),
        (lambda: MLPConv(3, 4, 5)(torch.randn(1, 3, 4, 9)), ValueError, "MLPConv: a kernel of 5×5 .* 4×9"),
    ],
)
def test_bad_arguments_are_refused(build, problem, says):
    with pytest.raises(problem, match=says):
        build()
