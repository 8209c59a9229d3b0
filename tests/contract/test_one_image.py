"""One image `[C, H, W]` is a batch of one, wherever torch's own counterpart takes it."""

import pytest
import torch
from support.close import assert_close
from support.contract import ONE_IMAGE, images, made
from support.layer_cases import LAYERS

import convnotes

TAKING = {name: layer for name, layer in LAYERS.items() if name.split(",")[0] in ONE_IMAGE}
every_one = pytest.mark.parametrize("layer", TAKING.values(), ids=TAKING)


@every_one
def test_it_gives_what_a_batch_of_one_gives_and_the_same_gradients(layer):
    module, x = made(layer, dtype=torch.float64), images(layer, requires_grad=True)
    expected = module(x[:1])
    found = module(x[0])
    assert found.shape == layer.output[1:]
    assert torch.equal(found, expected[0])
    leaves, g = (x, *module.parameters()), torch.randn_like(found)
    ours, theirs = torch.autograd.grad(found, leaves, g), torch.autograd.grad(expected, leaves, g[None])
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert torch.equal(module(input=x[0]), found)


@every_one
def test_it_trains_on_one(layer):
    module, x = made(layer, dtype=torch.float64).train(), images(layer)
    assert_close(module(x[0]), module(x[:1])[0])


@every_one
def test_graphs_and_maps_take_one(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    expected = module(x[0])
    torch.compiler.reset()
    assert_close(torch.compile(module, fullgraph=True, backend="aot_eager")(x[0]), expected)
    assert_close(torch.export.export(module, (x[0],)).module()(x[0]), expected)
    assert_close(torch.vmap(module)(x), module(x))


@every_one
def test_one_of_other_channels_is_refused(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    with pytest.raises(ValueError, match=r"input of \w+ must be \[B, \d+, H, W\], got shape \(1, "):
        module(torch.cat([x[0], x[0]]))


def noise(*shape):
    return torch.randn(shape, dtype=torch.float64)


FUNCTIONS = {  # the arguments that are maps, and the others
    "active_conv2d": (
        dict(input=(3, 11, 7)),
        lambda: dict(weight=noise(4, 3, 5), positions=noise(5, 2), padding=(1, 2)),
    ),
    "deform_conv2d": (
        dict(input=(4, 11, 7), offset=(2 * 6 * 2, 10, 5), mask=(6 * 2, 10, 5)),
        lambda: dict(weight=noise(6, 4, 2, 3), bias=noise(6)),
    ),
    "deform_aggregate2d": (
        dict(input=(4, 11, 7), offset=(2 * 6 * 2, 10, 5), mask=(6 * 2, 10, 5)),
        lambda: dict(kernel_size=(2, 3), groups=2),
    ),
    "non_local2d": (dict(query=(4, 11, 7), key=(4, 5, 3), value=(3, 5, 3)), dict),
    "shift2d": (dict(input=(3, 11, 7)), lambda: dict(displacements=[(0, 1), (2, 0), (-1, -1)])),
    "active_shift2d": (dict(input=(3, 11, 7)), lambda: dict(displacements=noise(3, 2))),
    "adder2d": (dict(input=(4, 11, 7)), lambda: dict(weight=noise(6, 2, 3, 5), bias=noise(6), groups=2)),
    "involution2d": (dict(input=(4, 11, 7), weight=(2, 3, 5, 11, 7)), lambda: dict(padding=(1, 2))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_takes_one_and_its_other_maps_without_a_batch(name):
    function, (shapes, others) = getattr(convnotes, name), FUNCTIONS[name]
    maps, others = {n: noise(*shape) for n, shape in shapes.items()}, others()
    expected = function(**{n: t[None] for n, t in maps.items()}, **others)[0]
    assert torch.equal(function(**maps, **others), expected)
    for other in list(maps)[1:]:
        with pytest.raises(ValueError, match=r"\[B, "):
            function(**maps | {other: maps[other][None]}, **others)


def test_the_layer_of_given_offsets_takes_one():
    layer = convnotes.DeformConv2d(4, 6, (2, 3), dtype=torch.float64)
    x, offset, mask = noise(1, 4, 11, 7), noise(1, 12, 10, 5), noise(1, 6, 10, 5)
    assert torch.equal(layer(x[0], offset[0], mask[0]), layer(x, offset, mask)[0])
    for of_one, of_batch in zip(layer.predict(x[0]), layer.predict(x), strict=True):
        assert torch.equal(of_one, of_batch[0])


def test_arguments_may_come_by_position():
    x, offset, weight = noise(4, 11, 7), noise(18, 9, 5), noise(6, 4, 3, 3)
    expected = convnotes.deform_conv2d(x[None], offset[None], weight)[0]
    assert torch.equal(convnotes.deform_conv2d(x, offset, weight), expected)
    assert torch.equal(convnotes.deform_conv2d(x, weight=weight, offset=offset), expected)
