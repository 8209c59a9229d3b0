"""The dynamic kernel: Python and the page mix alike, and both are the layers with weights made by hand."""

import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close
from support.javascript import call, refused_by_both

from convnotes import DynamicConv2d, Involution2d
from convnotes.widgets import DynamicKernel
from convnotes.widgets.dynamic_kernel import EXPERTS, MODES, PARTS, SLOPES, STARTS

every_mode = pytest.mark.parametrize("mode", MODES)
H, W = 11, 9


def mixing(**state) -> DynamicKernel:
    images = torch.rand(2, 3, H, W, generator=torch.Generator().manual_seed(0))
    return DynamicKernel(images, ["Noise", "More noise"], **state)


def in_page(widget: DynamicKernel, expression: str):
    """What an expression gives in the page, where `view` is what the widget sees."""
    state = {name: getattr(widget, name) for name in ("mode", "temperature", "noise", "picture")}
    view = "((photo) => seen(photo, height, width, noiseOf(height * width), state.noise))(photo)"
    found = f"((view) => {expression})({view})"
    return call("dynamic_kernel", found, photo=widget.photo().flatten().tolist(), height=H, width=W, state=state)


@every_mode
@pytest.mark.parametrize("picture", [0, 1])
def test_the_page_gives_what_python_gives(mode, picture):
    widget = mixing(mode=mode, picture=picture, noise=0.07, temperature=2, probe=[3, 7])
    answer = torch.tensor(in_page(widget, "output(state.mode, view, state.temperature)"), dtype=torch.float64)
    assert_close(answer.view(H, W), widget.output())
    kernel = in_page(
        widget, "((m) => mixed(m.kernels, m.shares(3 * width + 7)))(mixture(state.mode, view, state.temperature))"
    )
    assert_close(torch.tensor(kernel, dtype=torch.float64), widget.kernel())
    assert in_page(widget, "error(output(state.mode, view, state.temperature), photo)") == pytest.approx(widget.error())


def test_the_page_sees_the_same_noise_roughness_and_edges():
    widget = mixing(noise=0.2)
    found = in_page(widget, "[view.x, view.rough, ...view.edges]")
    expected = torch.cat([widget.seen()[None], widget.channels()])
    assert_close(torch.tensor(found, dtype=torch.float64).view(6, H, W), expected)


@every_mode
def test_the_kernel_at_the_ring_gives_the_output_at_the_ring(mode):
    """A mixture of kernels is the mixture of their outputs."""
    widget = mixing(mode=mode, probe=[0, 4])
    window = F.pad(widget.seen()[None, None], (2, 2, 2, 2), mode="replicate")[0, 0, :5, 4:9]
    assert_close((widget.kernel() * window).sum(), widget.output()[0, 4])
    assert widget.kernel().sum().item() == pytest.approx(1)


def test_shares_are_positive_and_add_up_to_one():
    for mode in MODES:
        shares = mixing(mode=mode).shares()
        assert shares.min() >= 0
        assert_close(shares.sum(0), torch.ones_like(shares[0]))


@pytest.mark.parametrize("temperature", [1.0, 7.0])
def test_per_image_it_is_the_layer_of_dynamic_convolution(temperature):
    layer = DynamicConv2d(2, 1, 5, bias=False, num_experts=3, reduction=2, temperature=temperature, dtype=torch.float64)
    with torch.no_grad():
        for expert, kernel in zip(layer.experts, EXPERTS, strict=True):
            expert.weight.zero_()[0, 0] = kernel
        layer.fc1.weight.copy_(torch.tensor([[0.0, 1.0]]))
        layer.fc1.bias.zero_()
        layer.fc2.weight.copy_(torch.tensor(SLOPES)[:, None])
        layer.fc2.bias.copy_(torch.tensor(STARTS))
    widget = mixing(mode="image", temperature=temperature)
    x = torch.stack([widget.seen(), widget.channels()[0]])[None]
    assert_close(layer.coefficients(x)[0], widget.shares().flatten())
    assert_close(layer(x)[0, 0], widget.output()[2:-2, 2:-2])


def test_per_position_it_is_the_layer_of_involution():
    layer = Involution2d(5, 5, reduction=1, dtype=torch.float64).eval()
    with torch.no_grad():
        layer.conv1.bn.running_var.fill_(1 - layer.conv1.bn.eps)
        layer.conv1.conv.weight.copy_(torch.eye(5)[:, :, None, None])
        layer.conv2.conv.weight.zero_()
        layer.conv2.conv.weight[:, 1:, 0, 0] = (PARTS[1:] - PARTS[0]).flatten(1).T
        layer.conv2.conv.bias.copy_(PARTS[0].flatten())
    widget = mixing(mode="position", probe=[4, 2])
    x = torch.cat([widget.seen()[None], widget.channels()[1:]])[None]
    assert_close(layer.generate(x)[0, 0, :, :, 4, 2], widget.kernel())
    assert_close(layer(x)[0, 0, 2:-2, 2:-2], widget.output()[2:-2, 2:-2])


def test_the_kernel_lies_along_the_edge():
    columns = torch.arange(9.0).expand(3, 9, 9)
    steps = {"column": columns > 4, "row": columns.mT > 4, "rising": columns + columns.mT > 8}
    steps["falling"] = columns - columns.mT > 0
    for n, (name, step) in enumerate(steps.items(), 1):
        widget = DynamicKernel(step.float()[None], [name], mode="position", noise=0.0, probe=[4, 4])
        shares = widget.shares()[:, 4, 4]
        assert shares.argmax() == n, name
        assert shares[n] > 0.9


def test_even_light_gets_the_round_kernel_and_a_rough_image_the_wide_one():
    even = DynamicKernel(torch.full((1, 3, 9, 9), 0.5), ["grey"], mode="position", noise=0.0)
    assert_close(even.kernel(), PARTS[0])
    grey = DynamicKernel(torch.full((1, 3, 9, 9), 0.5), ["grey"], mode="image", noise=0.0)
    assert grey.shares().argmax() == 0
    assert mixing(mode="image", noise=0.2).shares().argmax() == 2


def test_a_hot_softmax_makes_the_fixed_kernel():
    fixed, hot = mixing(mode="fixed"), mixing(mode="image", temperature=30.0)
    assert (hot.kernel() - fixed.kernel()).abs().max() < (mixing(mode="image").kernel() - fixed.kernel()).abs().max()


@every_mode
def test_the_copied_code_is_the_layer_that_is_shown(mode):
    widget = mixing(mode=mode, temperature=3.0)
    scope = {}
    exec(in_page(widget, "torchCode(state)"), scope)
    torch.testing.assert_close(scope["kernels"].double(), widget.kernels(), rtol=1e-5, atol=1e-7)
    if mode == "position":
        x = torch.cat([widget.seen()[None], widget.channels()[1:]])[None].float()
    else:
        x = torch.stack([widget.seen(), widget.channels()[0]])[None].float()
        assert scope["y"].shape == (1, 1, 64, 64)
    inner = scope["layer"](x)[0, 0, 2:-2, 2:-2].double()
    torch.testing.assert_close(inner, widget.output()[2:-2, 2:-2], rtol=1e-4, atol=1e-5)


BAD = [
    ({"mode": "pixel"}, 'mode must be "fixed", "image" or "position", got \'pixel\''),
    ({"picture": 2}, "picture must be .*, got 2"),
    ({"noise": 0.3}, r"noise must lie in \[0, 0.2\], got 0.3"),
    ({"temperature": 0.5}, r"temperature must lie in \[1, 30\], got 0.5"),
    ({"probe": [11, 0]}, "inside 11×9"),
]


@pytest.mark.parametrize(("state", "says"), BAD, ids=str)
def test_bad_state_is_refused_by_python_and_by_the_page(state, says):
    refused_by_both(mixing, state, says, height=H, width=W, captions=["Noise", "More noise"])


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: DynamicKernel(torch.rand(3, 8, 8), ["one"]), "images"),
        (lambda: DynamicKernel(torch.rand(1, 3, 8, 8), []), "captions must name each of the 1 images, got 0"),
    ],
)
def test_what_are_no_photographs_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
