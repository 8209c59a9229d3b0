import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close, assert_same
from support.conv_cases import CASES, every_case, every_kernel
from support.largest import Largest
from torch import nn

from convnotes import Adder2d, AdderResNet, adder2d, adder_resnet20, definitions
from convnotes.kernels import backend
from convnotes.kernels.adder import in_torch
from convnotes.kernels.adder.operator import Contraction
from convnotes.measure import cost, measured_receptive_field, receptive_field
from convnotes.operations.cifar_resnet import CifarResNet, resnet20

pytestmark = pytest.mark.usefixtures("each_backend")


gradients = pytest.mark.parametrize("gradient", ["paper", "exact"])


def inputs(case, kernel=(3, 3), outputs=12, size=(11, 7)):
    """Images, weight and bias; the outputs are no multiple of a tile."""
    x = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    w = torch.randn(outputs, 4 // case.get("groups", 1), *kernel, dtype=torch.float64, requires_grad=True)
    b = torch.randn(outputs, dtype=torch.float64, requires_grad=True)
    return x, w, b


@every_kernel
@every_case
def test_forward_and_exact_gradient_match_the_definition(case, kernel):
    x, w, b = inputs(case, kernel)
    actual = adder2d(x, w, b, **case, gradient="exact")
    assert_same(actual, definitions.adder2d(x, w, b, **case), (x, w, b))


@pytest.mark.parametrize("elements", [1, 300, 1000, 7777])
@gradients
def test_tiles_of_any_size_give_the_same(monkeypatch, elements, gradient):
    case = CASES["everything"]
    x, w, b = inputs(case, outputs=22)
    whole = adder2d(x, w, b, **case, gradient=gradient)
    monkeypatch.setattr(in_torch, "_TILE", {"cpu": elements})
    backend.use("torch")
    assert_same(adder2d(x, w, b, **case, gradient=gradient), whole, (x, w, b))


def by_formula(x, w, g, case):
    """The paper's two formulas with everything spelled out: patches [B, K, places], kernels [O, K], one group."""
    options = {name: case[name] for name in ("stride", "padding", "dilation") if name in case}
    patches = F.unfold(x, w.shape[2:], **options)
    d = patches[:, None] - w.flatten(1)[None, :, :, None]  # [B, O, K, places]
    g = g.flatten(2)[:, :, None]
    by_input = F.fold(((-d).clamp(-1, 1) * g).sum(1), x.shape[2:], w.shape[2:], **options)
    return by_input, (d * g).sum((0, 3)).view_as(w)


@every_kernel
@pytest.mark.parametrize("name", ["plain", "strided", "padded-rectangular", "dilated"])
def test_the_paper_s_gradient_is_its_formula(name, kernel):
    x, w, _ = inputs(CASES[name], kernel)
    y = adder2d(x, w, **CASES[name])
    g = torch.randn_like(y)
    for ours, wanted in zip(torch.autograd.grad(y, (x, w), g), by_formula(x, w, g, CASES[name]), strict=True):
        assert_close(ours, wanted)


@every_case
@gradients
def test_derivatives_of_every_kind_agree(case, gradient):
    """The exact gradient is the derivative; of both, the second derivative is the derivative of the first."""
    x, w, _ = inputs(case, outputs=4, size=(6, 5))
    x = x.detach()[:1].requires_grad_()

    def call(x, w):
        return adder2d(x, w, **case, gradient=gradient)

    if gradient == "exact":
        assert torch.autograd.gradcheck(call, (x, w), fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, (x, w), fast_mode=True)
    tangents = torch.randn_like(x), torch.randn_like(w)
    y, forwards = torch.func.jvp(call, (x, w), tangents)
    g = torch.randn_like(y)
    backwards = torch.func.vjp(call, x, w)[1](g)
    assert_close((forwards * g).sum(), sum((t * b).sum() for t, b in zip(tangents, backwards, strict=True)))

    def first(x, w, g):
        return torch.func.vjp(call, x, w)[1](g)

    tangents = (*tangents, torch.randn_like(g))
    found, forwards = torch.func.jvp(first, (x, w, g), tangents)
    dual = tuple(torch.randn_like(t) for t in found)
    backwards = torch.func.vjp(first, x, w, g)[1](dual)
    assert_close(
        sum((f * d).sum() for f, d in zip(forwards, dual, strict=True)),
        sum((t * b).sum() for t, b in zip(tangents, backwards, strict=True)),
    )


@gradients
def test_vmap_maps_pictures_weights_and_gradients(gradient):
    case = CASES["everything"]
    x, w, _ = (t.detach() for t in inputs(case))
    xs, ws = torch.stack([x, 2 * x, -x]), torch.stack([w, w.flip(0), -w])

    def call(x, w):
        return adder2d(x, w, **case, gradient=gradient)

    def slopes(x, w):
        return torch.func.grad(lambda w: call(x, w).square().sum())(w)

    for function in (call, slopes):
        assert_close(torch.vmap(function)(xs, ws), torch.stack([function(*pair) for pair in zip(xs, ws, strict=True)]))
        assert_close(torch.vmap(function, (None, 0))(x, ws), torch.stack([function(x, one) for one in ws]))
        assert_close(torch.vmap(function, (0, None))(xs, w), torch.stack([function(one, w) for one in xs]))


def test_a_perfect_match_scores_zero_and_nothing_scores_more():
    x = torch.randn(1, 3, 9, 8) + 1000  # a form that cancels large terms would not give 0
    w = torch.stack([x[0, :, i : i + 3, j : j + 3] for i, j in ((0, 0), (2, 5), (6, 3))])
    y = adder2d(x, w)
    assert y.max() == 0
    for o, (i, j) in enumerate(((0, 0), (2, 5), (6, 3))):
        assert y[0, o, i, j] == 0
    assert (y == 0).sum() == 3


def test_a_padded_pixel_is_not_neutral():
    x, w = torch.zeros(1, 2, 4, 5, requires_grad=True), torch.randn(3, 2, 3, 3, requires_grad=True)
    y = adder2d(x, w, padding=1)
    torch.testing.assert_close(y, -w.abs().sum((1, 2, 3)).view(1, 3, 1, 1).expand_as(y))
    (by_weight,) = torch.autograd.grad(y.sum(), w)
    torch.testing.assert_close(by_weight, -20 * w)  # Σ (0 − w) over all 4·5 places, at the border as within


def test_moving_picture_and_templates_together_changes_nothing():
    x, w, _ = inputs({})
    assert_close(adder2d(x + 3.5, w + 3.5), adder2d(x, w))


def test_low_precision_is_summed_in_float32():
    x, w = torch.randn(1, 64, 9, 9).bfloat16(), torch.randn(4, 64, 3, 3).bfloat16()
    assert torch.equal(adder2d(x, w), adder2d(x.float(), w.float()).bfloat16())


def test_autocast_widens_what_a_convolution_narrowed():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), Adder2d(4, 5, 3))
    with torch.autocast("cpu", torch.bfloat16):
        assert net[0](torch.randn(1, 3, 8, 8)).dtype == torch.bfloat16
        y = net(torch.randn(1, 3, 8, 8))
    assert y.dtype == torch.float32
    y.sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in net.parameters())


@pytest.mark.parametrize(("slot", "slope"), [("output", "paper"), ("input", "clamp"), ("weight", "sign")])
def test_no_tensor_of_outputs_taps_and_places_is_made(slot, slope):
    x, w, g = torch.randn(2, 64, 40, 40), torch.randn(64, 64, 3, 3), torch.randn(2, 64, 40, 40)
    sent = None if slot == "output" else g
    with Largest() as largest:  # a mode does not look into an operator of ours: so without it
        in_torch.contract(x, w, sent, None, None, Contraction(slot, slope, (1, 1), (1, 1, 1, 1), (1, 1), 1))
    assert x.numel() < largest.elements <= in_torch._TILE["cpu"]
    assert 50 * in_torch._TILE["cpu"] < 64 * (64 * 9) * 3200


@pytest.mark.parametrize("slope", ["distance", "paper", "difference"])
@pytest.mark.parametrize("slot", ["output", "input", "weight"])
@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_the_operator_is_registered_as_torch_wants_it(slot, slope, last):
    def leaf(*size):
        return torch.randn(*size, dtype=torch.float64, requires_grad=True)

    x, w = leaf(2, 4, 11, 7), leaf(6, 2, 3, 3)
    if last:
        x = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    factors = {"output": leaf(2, 6, 5, 5), "input": leaf(2, 4, 11, 7), "weight": leaf(6, 2, 3, 3)}
    factors[slot] = None
    if slot == "weight":
        factors["input"] = None  # the way through the convolution
    arguments = (x, w, *factors.values(), slot, slope, (2, 1), (0, 1, 0, 0), (1, 1), 2, last)
    torch.library.opcheck(torch.ops.convnotes.adder.default, arguments)


@gradients
def test_the_compiled_gradient_is_the_eager_one(gradient):
    layer = Adder2d(4, 6, 3, 2, padding="valid", gradient=gradient, dtype=torch.float64)
    x = torch.randn(2, 4, 11, 7, dtype=torch.float64, requires_grad=True)
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert_same(compiled(x), layer(x), (x, *layer.parameters()))


def test_an_exported_adder_can_be_trained_on():
    layer = Adder2d(3, 5, 3, dtype=torch.float64)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    program = torch.export.export(layer, (x,)).module()
    program(x).square().sum().backward()
    layer(x).square().sum().backward()
    assert_close(program.weight.grad, layer.weight.grad)


def test_cost_counts_two_additions_a_tap_and_no_multiplication():
    found = cost(Adder2d(8, 6, 3, padding=1, groups=2), (2, 8, 5, 4))
    assert (found.macs, found.adds) == (0, 2 * (2 * 6 * 20) * (4 * 9) + 2 * 6 * 20)
    adders, plain = cost(adder_resnet20(device="meta"), (1, 3, 32, 32)), cost(resnet20(device="meta"), (1, 3, 32, 32))
    ordinary = 27 * 16 * 32**2 + 64 * 10  # the first convolution and the classifier
    assert adders.macs == ordinary
    assert adders.adds == 2 * (plain.macs - ordinary) == 80_740_352
    assert adders.params == plain.params == 272_474


def test_the_reach_is_that_of_a_convolution():
    for case in (dict(stride=(2, 3), padding=(1, 2)), dict(dilation=3, padding="same"), dict(padding="valid")):
        conv = nn.Conv2d(3, 4, (3, 5), **case)
        assert receptive_field(Adder2d(3, 4, (3, 5), **case)) == receptive_field(conv)
    assert receptive_field(AdderResNet(8)) == receptive_field(CifarResNet(8))
    net = nn.Sequential(Adder2d(3, 4, 3, stride=2), Adder2d(4, 5, (3, 5), padding="same", dilation=2))
    assert receptive_field(net).size == measured_receptive_field(net, (1, 3, 40, 40)) == (11, 19)


def test_only_the_first_kernel_and_the_classifier_of_the_network_multiply():
    net = adder_resnet20()
    multiply = [name for name, layer in net.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert multiply == ["conv1", "fc"]
    shortcuts = [net.layer2[0].downsample, net.layer3[0].downsample]
    assert all(isinstance(s[0], Adder2d) and s[0].kernel_size == (1, 1) and s[0].stride == (2, 2) for s in shortcuts)
    net.train()(torch.randn(2, 3, 9, 6)).sum().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


IMAGES, WEIGHT = torch.zeros(1, 4, 5, 5), torch.zeros(6, 4, 3, 3)


@pytest.mark.parametrize(
    ("build", "problem", "says"),
    [
        (lambda: adder2d(IMAGES, WEIGHT, gradient="sign"), ValueError, 'must be "paper" or "exact", got \'sign\''),
        (lambda: Adder2d(3, 4, 3, gradient="sign"), ValueError, 'must be "paper" or "exact"'),
        (
            lambda: adder2d(IMAGES, [1.0]),
            TypeError,
            r"weight of adder2d must be a tensor \[O, C/groups, KH, KW\], got list",
        ),
        (
            lambda: adder2d(IMAGES, WEIGHT[0]),
            ValueError,
            r"weight of adder2d must be \[O, C/groups, KH, KW\], got shape \(4, 3, 3\)",
        ),
        (
            lambda: adder2d(IMAGES, WEIGHT.long()),
            TypeError,
            r"weight of adder2d must hold real numbers, got torch\.int64",
        ),
        (lambda: adder2d(IMAGES, WEIGHT, groups=4), ValueError, "groups must divide out_channels=6, got 4"),
        (
            lambda: adder2d(IMAGES, WEIGHT, groups=2),
            ValueError,
            r"input of adder2d must be \[B, 8, H, W\], got shape \(1, 4, 5, 5\)",
        ),
        (lambda: adder2d(IMAGES, WEIGHT, groups=0), ValueError, "groups must be at least 1"),
        (
            lambda: adder2d(IMAGES[0, 0], WEIGHT),
            ValueError,
            r"input of adder2d must be \[B, 4, H, W\], got shape \(5, 5\)",
        ),
        (
            lambda: adder2d(IMAGES.double(), WEIGHT),
            ValueError,
            r"input of adder2d must be of torch\.float32 like the rest, got torch\.float64",
        ),
        (
            lambda: adder2d(IMAGES.to("meta"), WEIGHT),
            ValueError,
            "input of adder2d must be on cpu like the rest, got a tensor on meta",
        ),
        (
            lambda: adder2d(IMAGES, WEIGHT, torch.zeros(4)),
            ValueError,
            r"bias of adder2d must be \[6\], got shape \(4,\)",
        ),
        (
            lambda: adder2d(IMAGES, WEIGHT, torch.zeros(6).double()),
            ValueError,
            r"bias of adder2d must be of torch\.float32 like the rest, got torch\.float64",
        ),
        (lambda: adder2d(IMAGES, WEIGHT, dilation=3), ValueError, "adder2d: a kernel of 3×3 .* spans 7×7"),
        (lambda: adder2d(IMAGES, WEIGHT, stride=0), ValueError, "stride must be at least 1"),
        (lambda: adder2d(IMAGES, WEIGHT, stride=2, padding="same"), ValueError, "same"),
        (lambda: Adder2d(3, 4, 3, groups=2), ValueError, "groups must divide in_channels=3 and out_channels=4, got 2"),
        (lambda: Adder2d(3, 4, 3, padding="full"), ValueError, "padding must be"),
        (lambda: Adder2d(0, 4, 3), ValueError, "in_channels must be at least 1"),
        (lambda: AdderResNet(21), ValueError, r"depth must be 6n \+ 2"),
    ],
)
def test_bad_arguments_are_refused(build, problem, says):
    with pytest.raises(problem, match=says):
        build()
