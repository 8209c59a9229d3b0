import copy
import pickle

import pytest
import torch
from support.close import assert_close
from support.conv_cases import every_case, every_kernel
from torch import nn

from convnotes import Adder2d, adder_resnet20, definitions
from convnotes.kernels import backend
from convnotes.kernels.quantized_adder import operator
from convnotes.measure import receptive_field
from convnotes.operations.quantized_adder import QuantizedAdder2d, quantize_adders, quantized_adder2d

SCALE, ZERO_POINT = 0.02, 100  # images and templates beyond −2 and 3.1 are cut


def layer_and_images(case=None, kernel=(3, 3), channels=4, outputs=12, size=(11, 7)):
    """An adder, its quantised form and images; the outputs are no multiple of a block in every group."""
    layer = Adder2d(channels, outputs, kernel, **(case or {}))
    nn.init.normal_(layer.weight, std=1.5)
    nn.init.normal_(layer.bias)
    return layer, QuantizedAdder2d.from_float(layer, SCALE, ZERO_POINT), 1.5 * torch.randn(2, channels, *size)


def by_torch(layer, x):
    with backend.use("torch"):
        return layer(x)


@every_kernel
@every_case
@pytest.mark.usefixtures("each_backend")
def test_it_is_its_definition(case, kernel):
    layer, quantised, x = layer_and_images(case, kernel)
    y = quantised(x)
    expected = definitions.quantized_adder2d(x, layer.weight, SCALE, ZERO_POINT, layer.bias, **case)
    assert y.shape == expected.shape
    assert_close(y, expected.detach())
    assert not y.requires_grad


SIZES = [  # input and output channels, groups, images
    *((1, 1, 1, (11, 7)), (3, 5, 1, (1, 19)), (8, 4, 1, (19, 1)), (9, 6, 1, (8, 8)), (17, 3, 1, (5, 33))),
    *((6, 6, 6, (9, 8)), (18, 10, 2, (7, 16))),
]


@every_kernel
@pytest.mark.parametrize(("channels", "outputs", "groups", "size"), SIZES, ids=str)
@pytest.mark.parametrize("stride", [1, (2, 3)], ids=str)
def test_both_ways_give_the_same_bits(channels, outputs, groups, size, stride, kernel):
    case = dict(groups=groups, padding=(1, 2), stride=stride)
    _, quantised, x = layer_and_images(case, kernel, channels, outputs, size)
    assert torch.equal(quantised(x), by_torch(quantised, x))


@pytest.mark.parametrize("loops", [True, False], ids=["with the instruction", "without"])
def test_many_taps_are_summed_exactly(monkeypatch, loops):
    if "numba" in backend.available():
        monkeypatch.setattr("convnotes.kernels.quantized_adder.loops.POSSIBLE", loops)
    channels = operator._EXACT + 3  # more than float32 could count
    x = torch.full((1, channels, 1, 1), 255.0)
    weight = torch.zeros(1, channels, 1, 1, dtype=torch.uint8)
    weight[0, 0] = 254
    exact = 255 * channels - 254
    y = quantized_adder2d(x, weight, torch.tensor(1.0), torch.tensor(0))
    assert y.item() == -torch.tensor(exact, dtype=torch.float64).float().item()


def test_the_bits_do_not_depend_on_the_number_of_threads():
    _, quantised, x = layer_and_images(dict(padding=1), channels=9, size=(33, 31))
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(quantised(x))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.usefixtures("each_backend")
def test_a_padded_pixel_is_one_of_value_0():
    _, quantised, x = layer_and_images(dict(padding=(1, 2)))
    unpadded = QuantizedAdder2d.from_float(Adder2d(4, 12, 3), SCALE, ZERO_POINT)
    unpadded.load_state_dict(quantised.state_dict())
    assert torch.equal(quantised(x), unpadded(nn.functional.pad(x, (2, 2, 1, 1))))


@pytest.mark.usefixtures("each_backend")
def test_templates_beyond_the_images_lose_nothing():
    layer = Adder2d(3, 5, 3, padding=1)
    nn.init.normal_(layer.weight, std=50)
    x = torch.randint(0, 256, (2, 3, 9, 8)) / 255
    with torch.no_grad():
        layer.weight.copy_((255 * layer.weight).round() / 255)
        nearest = QuantizedAdder2d.from_float(layer, 1 / 255, 0)
        assert ((layer.weight < 0) | (layer.weight > 1)).float().mean() > 0.9
        torch.testing.assert_close(nearest(x), layer(x), rtol=1e-6, atol=1e-3)


def test_the_templates_are_off_by_half_a_step_at_most_where_they_are_not_cut():
    layer, quantised, _ = layer_and_images()
    found, w = quantised.dequantize(), layer.weight.detach()
    kept = (w > -ZERO_POINT * SCALE) & (w < (255 - ZERO_POINT) * SCALE)
    assert 0.5 < kept.float().mean() < 1
    assert (found - w)[kept].abs().max() <= 0.5001 * SCALE
    assert (found[~kept].max().item(), found.min().item()) == pytest.approx((155 * SCALE, -100 * SCALE))


@pytest.mark.usefixtures("each_backend")
def test_one_image_an_empty_batch_other_layouts_and_dtypes():
    _, quantised, x = layer_and_images(dict(padding=1))
    y = quantised(x)
    assert torch.equal(quantised(x[0]), y[0])
    assert quantised(x[:0]).shape == (0, *y.shape[1:])
    last = quantised(x.to(memory_format=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(last, y)
    strided = torch.stack([x, torch.full_like(x, torch.nan)], -1)[..., 0]
    assert torch.equal(quantised(strided), y)
    for dtype in (torch.bfloat16, torch.float64):
        narrow = x.to(dtype)
        assert torch.equal(quantised(narrow), quantised(narrow.float()).to(dtype))


def test_its_state_is_saved_copied_pickled_and_compiled():
    _, quantised, x = layer_and_images(dict(stride=2, groups=2))
    y = quantised(x)
    assert {*quantised.state_dict()} == {"weight", "bias", "scale", "zero_point"}
    assert not [*quantised.parameters()]
    fresh = QuantizedAdder2d(4, 12, 3, stride=2, groups=2)
    fresh.load_state_dict(quantised.state_dict())
    for other in (fresh, copy.deepcopy(quantised), pickle.loads(pickle.dumps(quantised))):
        assert torch.equal(other(x), y)
    torch.compiler.reset()
    assert torch.equal(torch.compile(quantised, fullgraph=True, backend="aot_eager")(x), y)
    assert torch.equal(torch.export.export(quantised, (x,)).module()(x), y)
    assert torch.equal(torch.fx.symbolic_trace(nn.Sequential(quantised))(x), y)
    assert quantised.to("meta")(x.to("meta")).shape == y.shape


def test_what_it_says_of_itself_and_what_it_sees():
    layer, quantised, _ = layer_and_images(dict(stride=(2, 1), dilation=2, padding="valid"))
    assert "4, 12, kernel_size=(3, 3), stride=(2, 1)" in repr(quantised)
    assert receptive_field(quantised) == receptive_field(layer)


def test_a_network_is_calibrated_by_the_images_it_is_given():
    net, x = adder_resnet20(), torch.rand(4, 3, 8, 9)
    for _ in range(30):
        net(x)  # the norms learn what they meet
    net.eval()
    quantised = quantize_adders(net, x[:2], x[2:])
    kinds = [type(module) for module in quantised.modules()]
    assert kinds.count(QuantizedAdder2d) == sum(isinstance(module, Adder2d) for module in net.modules()) == 20
    assert not any(issubclass(kind, Adder2d) for kind in kinds)
    seen = []
    net.layer2[0].conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net(x)
    layer = quantised.layer2[0].conv1
    assert layer.scale.item() == pytest.approx(seen[0].max().item() / 255)
    assert layer.zero_point == 0  # behind a ReLU
    assert not quantised.training
    assert quantised(x).shape == (4, 10)


def test_a_layer_alone_and_a_shared_one():
    layer = Adder2d(3, 3, 3, padding=1)
    assert isinstance(quantize_adders(layer, torch.randn(2, 3, 6, 5)), QuantizedAdder2d)
    twice = quantize_adders(nn.Sequential(layer, nn.Tanh(), layer), torch.randn(2, 3, 6, 5))
    assert [type(module) for module in twice] == [QuantizedAdder2d, nn.Tanh, QuantizedAdder2d]


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.left = Adder2d(3, 3, 1), Adder2d(3, 3, 1)

    def forward(self, x):
        return self.used(x)


X, LAYER, BYTES = torch.rand(1, 3, 6, 5), Adder2d(3, 4, 3), torch.zeros(4, 3, 3, 3, dtype=torch.uint8)
STEP, ZERO = torch.tensor(0.1), torch.tensor(3)


@pytest.mark.parametrize(
    ("build", "problem", "says"),
    [
        (lambda: quantize_adders(LAYER), ValueError, "not calibrated: it needs images that the model takes, got none"),
        (lambda: quantize_adders(Unused(), X), ValueError, "adder 'left' is not calibrated: none of the images"),
        (lambda: quantize_adders(nn.Conv2d(3, 4, 3), X), ValueError, "Conv2d holds no Adder2d"),
        (lambda: quantize_adders(LAYER, X / 0), ValueError, "must meet finite numbers in its calibration, got"),
        (lambda: quantize_adders(LAYER.forward, X), TypeError, "model must be a torch.nn.Module, got method"),
        (lambda: QuantizedAdder2d.from_float(LAYER, 0.0, 3), ValueError, r"scale must lie in \(0, inf\), got 0.0"),
        (lambda: QuantizedAdder2d.from_float(LAYER, 0.1, 256), ValueError, "zero_point must be from 0 to 255"),
        (lambda: QuantizedAdder2d.from_float(nn.Conv2d(3, 4, 3), 0.1, 3), TypeError, "must be an Adder2d, got Conv2d"),
        (lambda: QuantizedAdder2d(3, 4, 3, groups=2), ValueError, "groups must divide in_channels=3"),
        (lambda: QuantizedAdder2d(3, 4, 3)(X[:, :2]), ValueError, r"must be \[B, 3, H, W\], got shape \(1, 2, 6, 5\)"),
        (lambda: QuantizedAdder2d(3, 4, 7)(X), ValueError, "a kernel of 7×7"),
        (lambda: QuantizedAdder2d(3, 4, 3)(X.byte()), ValueError, "must hold real numbers on cpu .* got torch.uint8"),
        (lambda: QuantizedAdder2d(3, 4, 3)(X.to("meta")), ValueError, "on cpu like the weight, got .* on meta"),
        (
            lambda: quantized_adder2d(X, LAYER.weight, STEP, ZERO),
            TypeError,
            "must be of torch.uint8, got torch.float32",
        ),
        (lambda: quantized_adder2d(X, BYTES, STEP, ZERO, torch.zeros(3)), ValueError, r"bias .* must be \[4\]"),
        (lambda: quantized_adder2d(X, BYTES, 0.1, ZERO), TypeError, r"scale .* must be a tensor \[\], got float"),
        (lambda: quantized_adder2d(X, BYTES, STEP, ZERO, groups=3), ValueError, "groups must divide out_channels=4"),
    ],
)
def test_bad_arguments_are_refused(build, problem, says):
    with pytest.raises(problem, match=says):
        build()
