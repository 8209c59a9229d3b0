"""Initialisation: the variances are those of the formulas, and nothing else changes."""

import copy
import math

import pytest
import torch
from support.close import assert_close
from support.networks import deep
from torch import nn

from convnotes import (
    ActiveConv2d,
    Adder2d,
    DeformConv2d,
    NonLocal2d,
    SeparableConv2d,
    adder_resnet20,
    initialise,
    shiftresnet20,
)
from convnotes.fundamentals.initialisation import fans

# name → (a layer, the products in one output value, those in the gradient of one input value)
LAYERS = {
    "conv": (lambda: nn.Conv2d(24, 40, (3, 5)), 24 * 15, 40 * 15),
    "strided": (lambda: nn.Conv2d(24, 40, 3, stride=(2, 1)), 24 * 9, 40 * 9 / 2),
    "grouped": (lambda: nn.Conv2d(64, 96, 5, groups=4, dilation=2), 16 * 25, 24 * 25),
    "depthwise": (lambda: nn.Conv2d(256, 256, 7, groups=256), 49, 49),
    "pointwise": (lambda: nn.Conv2d(96, 128, 1), 96, 128),
    "one axis": (lambda: nn.Conv1d(48, 64, 5), 240, 320),
    "three axes": (lambda: nn.Conv3d(12, 20, (1, 3, 3)), 108, 180),
    "transposed": (lambda: nn.ConvTranspose2d(24, 40, 3), 24 * 9, 40 * 9),
    "transposed, strided": (lambda: nn.ConvTranspose2d(24, 40, 4, stride=2), 24 * 4, 40 * 16),
    "transposed, grouped": (lambda: nn.ConvTranspose2d(64, 96, 3, groups=4, stride=3), 16, 24 * 9),
    "linear": (lambda: nn.Linear(300, 50), 300, 50),
    "active": (lambda: ActiveConv2d(32, 48, 9), 32 * 9, 48 * 9),
    "deformable": (lambda: DeformConv2d(32, 48, 3, groups=2), 16 * 9, 24 * 9),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def made(name: str) -> tuple[nn.Module, float, float]:
    make, fan_in, fan_out = LAYERS[name]
    return make(), fan_in, fan_out


def relative_deviation(weight: torch.Tensor, expected: float) -> float:
    """How many of its own standard errors the weights' deviation lies off what was expected."""
    return abs(weight.std(correction=0).item() / expected - 1) * math.sqrt(2 * weight.numel())


@every_layer
def test_fans_count_the_products(name):
    layer, fan_in, fan_out = made(name)
    assert fans(layer) == (fan_in, fan_out)


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in ("active", "deformable", "linear")])
def test_fans_are_the_taps_that_a_layer_of_ones_sums_away_from_the_border(name):
    layer, fan_in, fan_out = made(name)
    layer = layer.double()
    with torch.no_grad():
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    axes = layer.weight.dim() - 2
    x = torch.ones(1, layer.in_channels, *[30] * axes, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    (grad,) = torch.autograd.grad(y.sum(), x)
    inner = (..., *[slice(12, 18)] * axes)  # a whole number of strides, wider than a dilated kernel from the border
    assert y[inner].mean().item() == pytest.approx(fan_in)
    assert grad[inner].mean().item() == pytest.approx(fan_out)


@every_layer
def test_he_has_two_over_the_fan(name):
    layer, fan_in, fan_out = made(name)
    assert initialise(layer, "he") is layer
    assert relative_deviation(layer.weight, math.sqrt(2 / fan_in)) < 4
    initialise(layer, mode="fan_out", nonlinearity="linear")
    assert relative_deviation(layer.weight, math.sqrt(1 / fan_out)) < 4
    assert abs(layer.weight.mean().item()) < 4 * layer.weight.std().item() / math.sqrt(layer.weight.numel())


@every_layer
def test_xavier_has_two_over_both_fans_and_normal_the_deviation_that_is_asked_for(name):
    layer, fan_in, fan_out = made(name)
    initialise(layer, "xavier")
    assert relative_deviation(layer.weight, math.sqrt(2 / (fan_in + fan_out))) < 4
    initialise(layer, "xavier", nonlinearity="tanh")
    assert relative_deviation(layer.weight, 5 / 3 * math.sqrt(2 / (fan_in + fan_out))) < 4
    initialise(layer, "normal")
    assert relative_deviation(layer.weight, 0.01) < 4
    initialise(layer, "normal", std=0.3)
    assert relative_deviation(layer.weight, 0.3) < 4


@pytest.mark.parametrize(
    ("scheme", "options", "of_torch"),
    [
        ("he", {}, lambda w, g: nn.init.kaiming_normal_(w, nonlinearity="relu", generator=g)),
        ("he", {"mode": "fan_out"}, lambda w, g: nn.init.kaiming_normal_(w, 0, "fan_out", "relu", generator=g)),
        ("xavier", {}, lambda w, g: nn.init.xavier_normal_(w, generator=g)),
        ("xavier", {"nonlinearity": "tanh"}, lambda w, g: nn.init.xavier_normal_(w, 5 / 3, generator=g)),
        ("orthogonal", {"nonlinearity": "relu"}, lambda w, g: nn.init.orthogonal_(w, 2**0.5, generator=g)),
    ],
)
def test_without_groups_and_strides_the_numbers_are_torch_s_own(scheme, options, of_torch):
    layer = initialise(nn.Conv2d(6, 10, (3, 5)), scheme, generator=torch.Generator().manual_seed(3), **options)
    assert_close(layer.weight.detach(), of_torch(torch.empty(10, 6, 3, 5), torch.Generator().manual_seed(3)))


@every_layer
def test_orthogonal_rows_or_columns_are_orthonormal_group_by_group(name):
    layer = initialise(made(name)[0].double(), "orthogonal", nonlinearity="relu")
    for part in layer.weight.detach().chunk(getattr(layer, "groups", 1)):
        matrix = part.flatten(1)
        smaller = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
        assert_close(smaller, 2 * torch.eye(len(smaller), dtype=torch.float64))


def test_he_keeps_the_mean_square_through_thirty_relu_layers_and_too_small_a_normal_loses_it():
    layers = [layer for _ in range(30) for layer in (nn.Linear(512, 512), nn.ReLU())]
    net, x = nn.Sequential(*layers[:-1]), torch.randn(64, 512)
    with torch.no_grad():
        assert 0.4 < initialise(net, "he")(x).square().mean().item() / 2 < 2.5
        assert initialise(net, "xavier")(x).square().mean().item() < 1e-7
        assert initialise(net, "normal", std=0.01)(x).square().mean().item() < 1e-40


@pytest.mark.parametrize("scheme", ["he", "xavier", "normal", "orthogonal", "lsuv"])
def test_the_same_generator_gives_the_same_numbers_and_another_seed_others(scheme):
    options = {"input": torch.rand(2, 3, 16, 16)} if scheme == "lsuv" else {}

    def weights(seed):
        net = initialise(deep(), scheme, generator=torch.Generator().manual_seed(seed), **options)
        return torch.cat([p.detach().flatten() for p in net.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))
    torch.manual_seed(5)
    first = initialise(deep(), scheme, **options)[0].weight
    torch.manual_seed(5)
    assert torch.equal(first, initialise(deep(), scheme, **options)[0].weight)


@pytest.mark.parametrize("scheme", ["he", "orthogonal"])
def test_dtype_layout_and_frozen_weights_stay_and_do_not_change_the_numbers(scheme):
    def drawn(net):
        return initialise(net, scheme, generator=torch.Generator().manual_seed(0))

    plain = drawn(deep())
    last = drawn(deep().to(memory_format=torch.channels_last))
    half = drawn(deep().bfloat16())
    frozen = drawn(deep().requires_grad_(False))
    assert last[0].weight.is_contiguous(memory_format=torch.channels_last)
    for a, b, c, d in zip(plain.parameters(), last.parameters(), half.parameters(), frozen.parameters(), strict=True):
        assert torch.equal(a, b)
        assert c.dtype == torch.bfloat16
        assert torch.equal(a.bfloat16(), c)
        assert torch.equal(a, d)
        assert not d.requires_grad


def test_biases_and_norms_are_drawn_again_and_nothing_else_changes():
    net = nn.ModuleDict(
        {
            "conv": nn.Conv2d(3, 4, 3),
            "batch": nn.BatchNorm2d(4),
            "instance": nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
            "group": nn.GroupNorm(2, 4),
            "layer": nn.LayerNorm(4),
            "bare": nn.Conv2d(4, 4, 1, bias=False),
            "embedding": nn.Embedding(5, 4),
            "prelu": nn.PReLU(4),
            "active": ActiveConv2d(2, 2, 4),
            "adder": Adder2d(2, 3, 3),
        }
    )
    with torch.no_grad():
        for tensor in [*net.parameters(), *net.buffers()]:
            tensor.copy_(torch.rand(tensor.shape) * 9)
    before = copy.deepcopy(net.state_dict())
    parameters = list(net.parameters())
    initialise(net)
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))
    after = net.state_dict()
    for name in ("batch", "instance", "group", "layer"):
        assert (after[f"{name}.weight"] == 1).all()
        assert (after[f"{name}.bias"] == 0).all()
    assert (after["batch.running_mean"] == 0).all()
    assert (after["instance.running_var"] == 1).all()
    assert after["batch.num_batches_tracked"] == 0
    for name in ("conv", "active"):
        assert (after[f"{name}.bias"] == 0).all()
    drawn = {name for name in after if not torch.equal(after[name], before[name])}
    kept = {"embedding.weight", "prelu.weight", "active.positions", "adder.weight", "adder.bias"}
    assert drawn == set(after) - kept


def test_what_starts_at_zero_still_does():
    image = torch.rand(2, 4, 7, 11)
    for block in (NonLocal2d(4), NonLocal2d(4, norm=False, mode="concat")):
        for options in ({"scheme": "he"}, {"scheme": "lsuv", "input": image}):
            assert torch.equal(initialise(block, **options).eval()(image), image)
            assert block.g.weight.count_nonzero() == block.g.weight.numel()
    layer = initialise(DeformConv2d(4, 6, 3, padding=1, modulated=False), "he")
    assert_close(layer(image), nn.functional.conv2d(image, layer.weight, layer.bias, padding=1))


def test_networks_of_the_book_are_initialised_whole():
    picture = torch.rand(2, 3, 32, 32)
    for net in (shiftresnet20(expansion=1), adder_resnet20(), SeparableConv2d(3, 5, 3)):
        for options in ({"scheme": "he"}, {"scheme": "lsuv", "input": picture}):
            with torch.no_grad():
                assert initialise(net, **options).eval()(picture).isfinite().all()


def test_shared_weights_are_drawn_once():
    net = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    net[2].weight = net[0].weight
    initialise(net, "lsuv", input=torch.randn(9, 6))
    assert net[2].weight is net[0].weight
    assert not net[0].bias.any()
    assert not net[2].bias.any()
    alone = initialise(nn.Linear(6, 6), generator=torch.Generator().manual_seed(0))
    initialise(net, generator=torch.Generator().manual_seed(0))
    assert torch.equal(net[0].weight, alone.weight)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"scheme": "kaiming"}, 'scheme must be "he", "xavier", "normal", "orthogonal" or "lsuv", got .kaiming.'),
        ({"mode": "fan_avg"}, 'mode must be "fan_in" or "fan_out", got \'fan_avg\''),
        ({"nonlinearity": "swish"}, "(?i)nonlinearity swish"),
        ({"scheme": "normal", "std": 0.0}, r"std must lie in \(0, inf\), got 0"),
        ({"scheme": "normal", "std": math.nan}, r"std must lie in \(0, inf\), got nan"),
        ({"scheme": "he", "std": 0.1}, "'he' takes mode, nonlinearity and a generator, but std was given"),
        ({"scheme": "xavier", "mode": "fan_in"}, "'xavier' takes nonlinearity .* mode was given"),
        ({"scheme": "orthogonal", "input": torch.rand(1)}, "input was given"),
        ({"scheme": "lsuv"}, "give it as input="),
    ],
)
def test_bad_arguments_are_refused_before_anything_changes(arguments, says):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    net[1].running_mean += 1
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=says):
        initialise(net, **arguments)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))


def normed() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))


@pytest.mark.parametrize(
    ("make", "problem", "says"),
    [
        (lambda: nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)), ValueError, "Sequential holds no convolution"),
        (lambda: Adder2d(3, 4, 3), ValueError, "Adder2d holds no convolution"),
        (lambda: nn.Sequential(nn.LazyConv2d(4, 3)), ValueError, r"weight of 0 \(LazyConv2d\) is lazy"),
        (lambda: nn.Conv2d(3, 4, 3, device="meta"), ValueError, r"weight of the module \(Conv2d\) is on meta"),
        (lambda: nn.Sequential(normed()), ValueError, r"weight of 0 .* is computed by a parametrisation"),
        (lambda: nn.Conv2d(3, 4, 3, dtype=torch.complex64), TypeError, r"is torch\.complex64"),
        (lambda: torch.rand(3), TypeError, "module must be a torch.nn.Module, got Tensor"),
    ],
)
def test_what_cannot_be_initialised_is_refused(make, problem, says):
    with pytest.raises(problem, match=says):
        initialise(make())


def test_a_batch_that_is_no_tensor_is_refused():
    with pytest.raises(TypeError, match="input must be a batch, a tensor, got list"):
        initialise(nn.Linear(2, 2), "lsuv", input=[1.0, 2.0])
