"""Linear modules and the one convolution that each equals, in float64 to 1e-12."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.drawn import at_least
from torch import nn

import convnotes
from convnotes import RepConv2d, fuse, fuse_branches
from convnotes.beyond.fusing import Branches
from convnotes.beyond.reparameterise import _KINDS

DOUBLE = {"dtype": torch.float64}


def trained(module, seed=0):
    """In eval mode, with the numbers of norms and biases that a training leaves: none at its start."""
    generator = torch.Generator().manual_seed(seed)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor, low, high in ((norm.running_mean, -1, 1), (norm.running_var, 0.3, 2)):
                if tensor is not None:
                    tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))
    with torch.no_grad():
        for p in module.parameters():
            p += 0.5 * torch.randn(p.shape, generator=generator)
    return module.eval()


def assert_fused(module, channels, size=(13, 10), **options):
    x = torch.randn(2, channels, *size, **DOUBLE)
    conv = fuse(module, **options)
    if not [*module.parameters(), *module.buffers()]:
        conv = conv.double()
    assert type(conv) is nn.Conv2d
    assert not conv.training
    expected = module(x)
    assert conv(x).shape == expected.shape
    assert (conv(x) - expected).abs().max() <= 1e-12 * expected.abs().max()
    return conv


def norm(channels):
    return nn.BatchNorm2d(channels, **DOUBLE)


def conv(*args, **kw):
    return nn.Conv2d(*args, **kw, **DOUBLE)


LINEAR = {  # a module of 4 input channels
    "a convolution": lambda: conv(4, 6, (3, 5), (2, 1), (1, 2)),
    "a dilated one": lambda: conv(4, 6, 3, padding=3, dilation=(3, 2)),
    "groups": lambda: conv(4, 6, 3, groups=2, bias=False),
    "a norm": lambda: norm(4),
    "a norm without weights": lambda: nn.BatchNorm2d(4, affine=False, **DOUBLE),
    "convolution, norm": lambda: nn.Sequential(conv(4, 6, 3, padding=1), norm(6)),
    "norm, convolution": lambda: nn.Sequential(norm(4), conv(4, 6, 3)),
    "1×1 and 3×3": lambda: nn.Sequential(conv(4, 3, 1, padding=1), norm(3), conv(3, 5, 3), norm(5)),
    "padding after a 1×1 without a bias": lambda: nn.Sequential(conv(4, 3, 1, 2, bias=False), conv(3, 5, 3, 2, 1)),
    "3×3, 3×3, 3×3": lambda: nn.Sequential(conv(4, 4, 3, padding=3), conv(4, 4, 3, 2), conv(4, 4, (1, 3))),
    "depthwise, 1×1": lambda: nn.Sequential(conv(4, 4, 5, padding=2, groups=4), conv(4, 6, 1)),
    "groups of two kinds": lambda: nn.Sequential(conv(4, 12, 3, groups=4), conv(12, 12, 3, groups=6)),
    "1×1 and a mean": lambda: nn.Sequential(conv(4, 3, 1, padding=1), nn.AvgPool2d(3, 2), norm(3)),
    "a mean and a convolution": lambda: nn.Sequential(nn.AvgPool2d((2, 3), 1, (1, 1)), conv(4, 3, 2)),
    "identity and dropout": lambda: nn.Sequential(nn.Identity(), nn.Dropout(0.5), conv(4, 3, 3), nn.Dropout2d(0.5)),
    "a sum": lambda: Branches(a=conv(4, 4, 5, 2, 2), b=conv(4, 4, 1, 2), c=conv(4, 4, (3, 1), 2, (1, 0), groups=2)),
    "sums in a series": lambda: nn.Sequential(
        Branches(a=conv(4, 4, 1, padding=2), b=conv(4, 4, 3, padding=3, groups=4)),
        norm(4),
        Branches(a=nn.Identity(), b=norm(4)),
        conv(4, 2, 3),
    ),
    "a mean beside the identity": lambda: Branches(a=nn.AvgPool2d(3, 1, 1), b=nn.Identity(), c=norm(4)),
    "dilated ones beside a dense one": lambda: Branches(
        a=conv(4, 4, 3, padding=1), b=conv(4, 4, 3, padding=4, dilation=4), c=conv(4, 4, 5, padding=4, dilation=2)
    ),
}


@pytest.mark.parametrize("make", LINEAR.values(), ids=LINEAR)
def test_one_convolution_equals_a_linear_module(make):
    module = trained(make())
    before = copy.deepcopy(module.state_dict())
    assert_fused(module, 4)
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())


def test_groups_stay_as_many_as_all_parts_have():
    grouped = Branches(a=conv(8, 8, 3, padding=1, groups=4), b=norm(8), c=conv(8, 8, 1, groups=8))
    assert assert_fused(trained(grouped), 8).groups == 4
    assert assert_fused(trained(nn.Sequential(conv(8, 16, 3, groups=8), norm(16))), 8).groups == 8


def test_what_has_no_weights_is_told_its_channels():
    assert_fused(nn.Sequential(nn.AvgPool2d(4, 2, 1), nn.Identity()), 5, in_channels=5)  # sixteenths: exact in float32
    with pytest.raises(ValueError, match="fuse needs in_channels for AvgPool2d, which has no weights"):
        fuse(nn.AvgPool2d(3))


@at_least(60)
@given(
    kinds=st.lists(st.sampled_from([*_KINDS]), min_size=1, max_size=5),
    kernel_size=st.sampled_from([1, 3, 5, 7]),
    stride=st.integers(1, 3),
    groups=st.sampled_from([1, 2, 4]),
    widen=st.booleans(),
    size=st.tuples(st.integers(7, 13), st.integers(7, 13)),
    seed=st.integers(0, 2**20),
)
def test_any_branches_are_one_convolution(kinds, kernel_size, stride, groups, widen, size, seed):
    if set(kinds) == {"identity"} and (stride > 1 or widen):
        kinds = [*kinds, "1x1"]
    layer = RepConv2d(4, 8 if widen else 4, kernel_size, stride, groups, kinds, **DOUBLE)
    fused = assert_fused(trained(layer, seed), 4, size)
    assert fused.kernel_size[0] <= kernel_size
    assert fused.groups == groups or set(kinds) == {"identity"}


def test_float32_errs_no_more_than_the_branches_do():
    layer = trained(RepConv2d(8, 8, branches=(*_KINDS,)))
    exact, x = copy.deepcopy(layer).double(), torch.randn(2, 8, 11, 7)
    true = exact(x.double())
    fused, branches = layer.fuse(), layer
    assert fused.weight.dtype == torch.float32
    assert (fused(x) - true).abs().max() <= 2 * (branches(x) - true).abs().max()


def test_a_network_is_fused_in_a_copy_and_once():
    inner = Branches(a=RepConv2d(4, 4, **DOUBLE), b=conv(4, 4, 3, padding=1))
    net = nn.Sequential(RepConv2d(3, 4, stride=2, **DOUBLE), nn.ReLU(), nn.ModuleDict({"in": inner})["in"], nn.ReLU())
    net, x = trained(net), torch.randn(2, 3, 11, 7, **DOUBLE)
    fused = fuse_branches(net)
    assert [type(part) for part in fused] == [nn.Conv2d, nn.ReLU, nn.Conv2d, nn.ReLU]
    assert isinstance(net[0], RepConv2d)
    torch.testing.assert_close(fused(x), net(x))
    assert isinstance(fuse_branches(inner), nn.Conv2d)


def test_what_is_fused_can_be_trained_and_has_the_gradient_of_its_branches():
    layer = trained(RepConv2d(4, 4, **DOUBLE))
    fused, x = layer.fuse(), torch.randn(2, 4, 9, 7, **DOUBLE, requires_grad=True)
    g = torch.randn(2, 4, 9, 7, **DOUBLE)
    for a, b in zip(torch.autograd.grad(fused(x), x, g), torch.autograd.grad(layer(x), x, g), strict=True):
        torch.testing.assert_close(a, b)
    assert all(p.requires_grad for p in fused.parameters())
    assert fused.weight.grad_fn is None


def two(a, b):
    return nn.Sequential(a, b).eval()


REFUSED = {
    "a ReLU": (lambda: two(conv(4, 4, 3), nn.ReLU()), TypeError, r"Sequential\.1 is of ReLU"),
    "no module": (lambda: None, TypeError, "module must be"),
    "training": (lambda: nn.Sequential(conv(4, 4, 3), norm(4)), ValueError, r"Sequential\.1 is training: call eval"),
    "a dropout in training": (lambda: nn.Sequential(conv(4, 4, 3), nn.Dropout()), ValueError, "is training"),
    "no statistics": (
        lambda: nn.BatchNorm2d(4, track_running_stats=False, **DOUBLE).eval(),
        ValueError,
        "running statistics",
    ),
    "padding after a kernel": (
        lambda: two(conv(4, 4, 3), conv(4, 4, 3, padding=1)),
        ValueError,
        r"adds \(1, 1\) after",
    ),
    "padding after a bias": (lambda: two(trained(norm(4)), conv(4, 4, 3, padding=1)), ValueError, "its first kernel"),
    "other channels": (lambda: two(conv(4, 6, 3), conv(4, 6, 3)), ValueError, "takes 4 channels, .* gives 6"),
    "reflection": (lambda: conv(4, 4, 3, padding=1, padding_mode="reflect"), ValueError, 'padding_mode="zeros"'),
    "more padding after": (lambda: conv(4, 4, 4, padding="same"), ValueError, "as much padding before as after"),
    "ceil": (lambda: nn.Sequential(conv(4, 4, 1), nn.AvgPool2d(2, ceil_mode=True)), ValueError, "ceil_mode=False"),
    "padding that does not count": (
        lambda: nn.Sequential(conv(4, 4, 1), nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
        ValueError,
        "counts as zeros",
    ),
    "branches of other outputs": (
        lambda: Branches(a=conv(4, 4, 1), b=conv(4, 6, 1)),
        ValueError,
        r"agree in their outputs: Branches\.b has 6, Branches\.a 4",
    ),
    "branches of other strides": (lambda: Branches(a=conv(4, 4, 1), b=conv(4, 4, 1, 2)), ValueError, "their strides"),
    "branches of other sizes": (
        lambda: Branches(a=conv(4, 4, 1), b=conv(4, 4, 3)),
        ValueError,
        "the sizes of their maps",
    ),
}


@pytest.mark.parametrize(("make", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_convolution_is_refused_with_the_part_and_the_reason(make, error, words):
    with pytest.raises(error, match=words):
        fuse(make())


def test_bad_branches_are_refused():
    with pytest.raises(ValueError, match="one branch at least"):
        Branches()
    with pytest.raises(TypeError, match="a must be"):
        Branches(a=3)
    with pytest.raises(TypeError, match="model must be"):
        fuse_branches("net")
    with pytest.raises(ValueError, match="in_channels must be at least 1"):
        convnotes.fuse(nn.Identity(), in_channels=0)
