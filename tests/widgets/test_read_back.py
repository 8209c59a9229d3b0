"""What can be read back: its module computes what torch computes of the same blocks, and solves as lstsq does."""

import math

import numpy as np
import pytest
import torch
from support.javascript import call, refused_by_both
from support.photographs import no_photographs
from torch import nn

from convnotes import Bottleneck, definitions
from convnotes.widgets import ReadBack

CHANNELS, MIDDLE, HEIGHT, WIDTH = 8, 3, 5, 7
PLACES = HEIGHT * WIDTH


def parts(count: int = 2) -> tuple[nn.Conv2d, list[Bottleneck]]:
    torch.manual_seed(0)
    return nn.Conv2d(3, CHANNELS, 3, padding=1), [Bottleneck(CHANNELS, 2, width_per_group=96) for _ in range(count)]


def noise() -> torch.Tensor:
    return torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


def reader(count: int = 2, **state) -> ReadBack:
    return ReadBack(noise(), *parts(count), alt="Noise", **state)


def flat(tensor: torch.Tensor) -> list[float]:
    return tensor.detach().flatten().tolist()


def run(expression: str, **values):
    """Lists of numbers come as Float64Array."""
    lists = [name for name, value in values.items() if isinstance(value, list)]
    packed = ", ".join(f"Float64Array.from({name})" for name in lists)
    return call("read_back", f"(({', '.join(lists)}) => {expression})({packed})", **values)


def cut(block: Bottleneck) -> Bottleneck:
    block.downsample = torch.zeros_like
    return block


@pytest.mark.parametrize(("inputs", "outputs", "side"), [(3, 2, 3), (4, 5, 1), (1, 1, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_its_convolution_is_the_definition(inputs, outputs, side, bias):
    layer = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=bias).double()
    x = torch.rand(1, inputs, HEIGHT, WIDTH, dtype=torch.float64)
    expected = definitions.conv2d(x, layer.weight, layer.bias, padding=side // 2)
    values = {"x": flat(x), "weight": flat(layer.weight), "outputs": outputs, "side": side}
    values["bias"] = flat(layer.bias) if bias else None
    found = run("convolve(x, weight, outputs, side, 5, 7, bias)", **values)
    np.testing.assert_allclose(found, flat(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shortcut", [True, False])
def test_a_block_of_the_page_is_the_definition(shortcut):
    block = parts()[1][1].double()
    x = torch.rand(1, CHANNELS, HEIGHT, WIDTH, dtype=torch.float64)
    kernels = [block.conv1.weight, block.conv2.weight, block.conv3.weight]
    norms = [block.bn1, block.bn2, block.bn3]
    z = x
    for conv, norm in zip([block.conv1, block.conv2, block.conv3], norms, strict=True):
        y = conv(z).detach()
        norm.running_mean, norm.running_var = y.mean((0, 2, 3)), y.var((0, 2, 3), correction=0)
        z = torch.relu(norm.eval()(y))
    nothing = (torch.zeros(CHANNELS, CHANNELS, 1, 1).double(), nn.BatchNorm2d(CHANNELS).double().eval())
    expected = definitions.bottleneck(x, kernels, norms, shortcut=None if shortcut else nothing)
    values = {"x": flat(x), "first": flat(kernels[0]), "second": flat(kernels[1]), "third": flat(kernels[2])}
    found = run("block(x, [first, second, third], 5, 7, shortcut)", **values, shortcut=shortcut)
    np.testing.assert_allclose(found, flat(expected), rtol=1e-10, atol=1e-10)


def test_reading_back_is_the_least_squares_fit_with_a_constant():
    x, target = torch.randn(4, PLACES, dtype=torch.float64), torch.randn(3, PLACES, dtype=torch.float64)
    known = torch.cat([x, torch.ones(1, PLACES)]).T
    expected = (known @ torch.linalg.lstsq(known, target.T).solution).T
    found = run("readBack(x, target, 35)", x=flat(x), target=flat(target))
    np.testing.assert_allclose(found["found"], flat(expected), rtol=1e-10, atol=1e-10)
    spread = (target - target.mean(1, keepdim=True)).square().sum()
    assert found["share"] == pytest.approx(1 - ((target - expected).square().sum() / spread).item(), abs=1e-12)


@pytest.mark.parametrize("kind", ["a copy", "a constant", "zeros", "a sum"])
def test_maps_that_tell_nothing_new_change_nothing(kind):
    x, target = torch.randn(2, PLACES, dtype=torch.float64), torch.randn(3, PLACES, dtype=torch.float64)
    more = {"a copy": x[:1], "a constant": torch.full((1, PLACES), 0.3), "zeros": 0 * x[:1], "a sum": x.sum(0)[None]}
    with_it = torch.cat([x, more[kind]])
    few, many = (run("readBack(x, target, 35)", x=flat(each), target=flat(target)) for each in (x, with_it))
    np.testing.assert_allclose(many["found"], few["found"], rtol=1e-7, atol=1e-7)


def test_what_is_among_the_maps_is_read_back_whole():
    target = torch.randn(3, PLACES, dtype=torch.float64)
    mixed = torch.randn(3, 3, dtype=torch.float64) @ target + 0.5
    assert run("readBack(x, target, 35).share", x=flat(mixed), target=flat(target)) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("shortcut", [True, False])
def test_the_page_and_python_read_back_the_same(shortcut):
    widget = reader(3, depth=2, shortcut=shortcut)
    found = call(
        "read_back",
        "readings(photograph(Uint8Array.from(image)), unpack(Uint8Array.from(weights), 8, 3), 5, 7, shortcut)",
        image=list(widget.image),
        weights=list(widget.weights),
        shortcut=shortcut,
    )
    np.testing.assert_allclose([one["share"] for one in found], widget.shares(shortcut), rtol=1e-9)
    np.testing.assert_allclose(found[2]["found"], flat(widget.read()[0]), rtol=1e-7, atol=1e-8)
    assert widget.read()[1] == widget.shares(shortcut)[2]


@pytest.mark.parametrize("shortcut", [True, False])
def test_python_s_maps_are_those_of_the_modules(shortcut):
    stem, blocks = parts(3)
    widget = ReadBack(noise(), stem, blocks)
    pixels = torch.frombuffer(bytearray(widget.image), dtype=torch.uint8).view(1, 3, HEIGHT, WIDTH).double() / 255
    net = [nn.Sequential(stem, nn.BatchNorm2d(CHANNELS), nn.ReLU()), *(b if shortcut else cut(b) for b in blocks)]
    expected = [pixels]
    for part in net:
        expected.append(part.double()(expected[-1]))
    found = widget._maps(shortcut, 3)
    assert len(found) == 4
    for one, other in zip(found, expected[1:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_shares_never_leave_0_to_1_and_a_map_more_never_reads_less():
    shares = reader(4).shares()
    assert all(0 <= share <= 1 for share in shares)
    x, target = torch.randn(5, PLACES, dtype=torch.float64), torch.randn(3, PLACES, dtype=torch.float64)
    grown = [run("readBack(x, target, 35).share", x=flat(x[:n]), target=flat(target)) for n in range(1, 6)]
    assert grown == sorted(grown)


@pytest.mark.parametrize("shortcut", [True, False])
def test_the_copied_code_makes_the_network_that_is_shown(shortcut):
    scope: dict = {}
    exec(call("read_back", "torchCode(8, 3, 2, shortcut)", shortcut=shortcut), scope)
    net = scope["net"]
    assert [len(scope["blocks"]), net[3].conv1.out_channels, net[0].out_channels] == [2, MIDDLE, CHANNELS]
    for block in scope["blocks"]:
        nn.init.zeros_(block.conv3.weight)  # F is 0: the input passes, or nothing does
    x = torch.rand(1, 3, HEIGHT, WIDTH)
    torch.testing.assert_close(net(x), net[:3](x) if shortcut else torch.zeros(1, CHANNELS, HEIGHT, WIDTH))


@pytest.mark.parametrize(
    ("state", "says"),
    [({"depth": 3}, "depth must be from 0 to 2, got 3"), ({"depth": -1}, "depth"), ({"shortcut": "no"}, "shortcut")],
)
def test_python_and_the_page_refuse_the_same(state, says):
    refused_by_both(reader, state, says, blocks=2)


def bad(stem=None, blocks=None):
    good = parts()
    return ReadBack(noise(), stem or good[0], good[1] if blocks is None else blocks)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        *no_photographs(lambda image: ReadBack(image, *parts())),
        (lambda: bad(stem=nn.Linear(3, 8)), "stem must be a torch.nn.Conv2d, got Linear"),
        (lambda: bad(stem=nn.Conv2d(3, 8, 3)), "stem must have 3 input channels, 3×3 taps, stride 1 and padding 1"),
        (lambda: bad(blocks=[]), "blocks must hold at least one Bottleneck, got none"),
        (lambda: bad(blocks=[nn.Identity()]), r"blocks\[0\] must be a Bottleneck, got Identity"),
        (lambda: bad(blocks=[Bottleneck(8, 2, stride=2)]), r"blocks\[0\] must be 8 → 2 → 8 without stride"),
        (lambda: bad(blocks=[Bottleneck(8, 2), Bottleneck(8, 2, groups=2)]), r"blocks\[1\] must be 8 → 2 → 8"),
    ],
)
def test_what_does_not_fit_is_refused(build, says):
    with pytest.raises((TypeError, ValueError), match=says):
        build()


def test_it_says_what_it_shows():
    widget = reader(depth=1, shortcut=False)
    assert repr(widget) == "ReadBack(image 5×7, 1 of 2 blocks without the shortcut)"
    share = widget.read()[1]
    assert f"{share:.0%} of it" in widget._alt()
    assert math.isclose(share, widget.shares(False)[1])
