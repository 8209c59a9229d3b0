"""The promises that every public layer keeps: a new layer joins by one line of `layer_cases.LAYERS`.

The promises that need derivatives of a tiny function (gradcheck and the like) are not asked of the networks: they are
left to the layers that those are made of.
"""

import copy
import gc
import io
import pickle
import re

import pytest
import torch
from conftest import assert_close
from layer_cases import ALL, LAYERS
from layer_definitions import Layer
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import convnotes
from convnotes.kernels import backend

LOW_PRECISION = (torch.bfloat16,)

every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
with_derivative = {name: layer for name, layer in LAYERS.items() if not layer.surrogate}
everything = pytest.mark.parametrize("layer", ALL.values(), ids=ALL)


@pytest.fixture(autouse=True)
def _backend(request):
    layer = request.node.callspec.params.get("layer") if hasattr(request.node, "callspec") else None
    name = layer.backend if layer else "auto"
    if name != "auto" and name not in backend.available():
        pytest.skip(f"{name} is not installed")
    with backend.use(name):
        yield


def made(layer: Layer, **kw) -> nn.Module:
    torch.manual_seed(0)
    module = layer.make(**kw).eval()
    layer.wake(module)
    return module


def images(layer: Layer, dtype=torch.float64, **kw) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(layer.input, dtype=dtype, generator=generator, **kw)


@everything
def test_the_output_has_the_promised_shape_and_dtype(layer):
    for dtype in (torch.float64, torch.float32):
        y = made(layer, dtype=dtype)(images(layer, dtype))
        assert y.shape == layer.output
        assert y.dtype == dtype


@every_layer
def test_it_equals_its_definition_forward_and_gradient(layer):
    module, x = made(layer, dtype=torch.float64), images(layer, requires_grad=True)
    actual, expected = module(x), layer.definition(module, x)
    assert_close(actual, expected)
    wanted = (x, *module.parameters())
    g = torch.randn_like(expected)
    for ours, defined in zip(
        torch.autograd.grad(actual, wanted, g), torch.autograd.grad(expected, wanted, g), strict=True
    ):
        assert_close(ours, defined)


def pure(module: nn.Module):
    """The module as a function of its input and parameters, and the parameters."""
    named = dict(module.named_parameters())

    def call(x, *parameters):
        return torch.func.functional_call(module, dict(zip(named, parameters, strict=True)), (x,))

    return call, tuple(named.values())


def smallest(layer: Layer) -> Tensor:
    """One picture: the numerical derivatives take a call an element."""
    return images(layer)[:1].requires_grad_()


@pytest.mark.parametrize("layer", with_derivative.values(), ids=with_derivative)
def test_gradients_are_the_numerical_ones(layer):
    call, parameters = pure(made(layer, dtype=torch.float64))
    assert torch.autograd.gradcheck(call, (smallest(layer), *parameters), fast_mode=True)


@every_layer
def test_gradients_of_gradients_are_the_numerical_ones(layer):
    call, parameters = pure(made(layer, dtype=torch.float64))
    assert torch.autograd.gradgradcheck(call, (smallest(layer), *parameters), fast_mode=True)


@every_layer
def test_forward_mode_agrees_with_reverse_mode(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    direction = torch.randn_like(x)
    y, tangent = torch.func.jvp(module, (x,), (direction,))
    g = torch.randn_like(y)
    (pulled,) = torch.func.vjp(module, x)[1](g)
    assert_close((tangent * g).sum(), (direction * pulled).sum())
    assert tangent.abs().max() > 0


@everything
def test_vmap_is_a_loop(layer):
    module, x = made(layer, dtype=torch.float64), images(layer).unsqueeze(0).repeat(3, 1, 1, 1, 1)
    x = x * torch.arange(1, 4, dtype=x.dtype).view(3, 1, 1, 1, 1)
    assert_close(torch.vmap(module)(x), torch.stack([module(one) for one in x]))


@everything
def test_an_empty_batch_gives_an_empty_batch_and_zero_gradients(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)[:0].requires_grad_()
    y = module(x)
    assert y.shape == (0, *layer.output[1:])
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert all(p.grad is None or p.grad.abs().max() == 0 for p in module.parameters())


@everything
def test_strides_of_the_input_do_not_matter(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    expected = module(x)
    wide = torch.stack([x, torch.full_like(x, torch.nan)], -1)  # every other element is NaN
    assert_close(module(wide[..., 0]), expected)
    assert_close(module(x.transpose(2, 3).contiguous().transpose(2, 3)), expected)


@everything
def test_channels_last_comes_out_as_it_went_in(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    y = module.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert_close(y, made(layer, dtype=torch.float64)(x))
    if y.dim() == 4:
        assert y.is_contiguous(memory_format=torch.channels_last)


@every_layer
@pytest.mark.parametrize("dtype", LOW_PRECISION, ids=str)
def test_low_precision_errs_at_most_twice_as_much_as_the_definition_in_torch(layer, dtype):
    module, x = made(layer, dtype=torch.float64), images(layer)
    exact = layer.definition(module, x)
    low, x = copy.deepcopy(module).to(dtype), x.to(dtype)
    ours = (low(x).double() - exact).abs().max()
    torchs = (layer.definition(low, x).double() - exact).abs().max()
    assert ours <= 2 * torchs


@everything
def test_nan_passes_through_as_nan(layer):
    x = images(layer)
    x[0, :, 4:6, 2:4] = torch.nan  # a stride of 2 may overlook one pixel, not all four
    y = made(layer, dtype=torch.float64)(x)
    assert y[0].isnan().any()
    assert not y[1].isnan().any()


@everything
def test_it_works_on_the_meta_device_and_can_be_filled_later(layer):
    module = layer.make(device="meta", dtype=torch.float32)
    y = module(torch.empty(layer.input, device="meta"))
    assert y.device.type == "meta"
    assert y.shape == layer.output
    filled = module.to_empty(device="cpu")
    for tensor in (*filled.parameters(), *filled.buffers()):
        if tensor.is_floating_point():
            tensor.data.fill_(torch.nan)
    torch.manual_seed(0)
    filled.reset_parameters()
    assert all(p.isfinite().all() for p in filled.parameters())
    torch.manual_seed(0)
    for name, value in layer.make(dtype=torch.float32).state_dict().items():
        assert torch.equal(filled.state_dict()[name], value), f"reset_parameters leaves {name} another way"


@everything
def test_it_pickles_and_its_state_makes_a_round_trip(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    expected = module(x)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), expected)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    torch.manual_seed(9)
    other = layer.make(dtype=torch.float64).eval()
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.equal(other(x), expected)


@everything
def test_it_compiles_to_one_graph(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    torch.compiler.reset()
    assert_close(torch.compile(module, fullgraph=True, backend="aot_eager")(x), module(x))


@everything
def test_it_exports_with_any_batch(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},))
    more = torch.cat([x, x, x])
    assert_close(program.module()(more), module(more))
    del program
    if layer.definition is None:
        gc.collect()  # a program is a cycle, and this one holds a copy of a network's weights


@everything
def test_autocast_computes_in_low_precision(layer):
    module, x = made(layer, dtype=torch.float32), images(layer, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x)
    assert y.isfinite().all()
    torch.testing.assert_close(y.float(), module(x), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", [name for name, layer in LAYERS.items() if layer.flops is not None])
def test_torch_counts_its_flops(name):
    layer = LAYERS[name]
    with FlopCounterMode(display=False) as counter:
        made(layer, device="meta")(torch.empty(layer.input, device="meta"))
    assert counter.get_total_flops() == layer.flops


@everything
def test_extra_repr_says_how_it_was_made(layer):
    text = made(layer).extra_repr()
    for word in layer.words:
        assert word in text


@everything
def test_bad_inputs_are_refused_in_words(layer):
    module, x = made(layer, dtype=torch.float32), images(layer, torch.float32)
    name = re.escape(type(module).__name__)
    with pytest.raises(ValueError, match=rf"input of {name} must be \[B, {x.shape[1]}, H, W\], got shape"):
        module(x[0])
    with pytest.raises(
        ValueError, match=rf"input of {name} must be \[B, {x.shape[1]}, H, W\], got shape \(\d+, {x.shape[1] + 1}, "
    ):
        module(torch.cat([x, x[:, :1]], 1))
    if any(True for _ in module.parameters()):  # without weights every dtype and device fits
        with pytest.raises(
            ValueError, match=rf"input of {name} must be of torch.float32 like the rest, got torch.float64"
        ):
            module(x.double())
        with pytest.raises(ValueError, match=rf"input of {name} must be on cpu like the rest, got a tensor on meta"):
            module(x.to("meta"))
    with pytest.raises(TypeError, match=rf"input of {name} must be a tensor \[B, {x.shape[1]}, H, W\], got ndarray"):
        module(x.numpy())


@everything
def test_training_and_inference_leave_the_input_alone(layer):
    module, x = layer.make(dtype=torch.float64), images(layer)
    before = x.clone()
    module.train()(x)
    module.eval()(x)
    assert torch.equal(x, before)


def test_every_public_layer_is_under_contract():
    modules = {n for n in convnotes.__all__ if isinstance(getattr(convnotes, n), type)}
    assert modules <= set(ALL), "a public layer without a line in LAYERS or NETWORKS"
