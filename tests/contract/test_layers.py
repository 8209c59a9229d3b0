"""What every public layer promises of what goes in and comes out: shapes, dtypes, devices, memory formats, counts."""

import re

import pytest
import torch
from support.close import assert_close
from support.contract import everything, images, made, takes_one_image
from support.layer_cases import ALL, LAYERS
from torch.utils.flop_counter import FlopCounterMode

import convnotes


@everything
def test_the_output_has_the_promised_shape_and_dtype(layer):
    for dtype in (torch.float64, torch.float32):
        y = made(layer, dtype=dtype)(images(layer, dtype))
        assert y.shape == layer.output
        assert y.dtype == dtype


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


@pytest.mark.parametrize("name", [name for name, layer in LAYERS.items() if layer.flops is not None])
def test_torch_counts_its_flops(name):
    layer = LAYERS[name]
    with FlopCounterMode(display=False) as counter:
        made(layer, device="meta")(torch.empty(layer.input, device="meta"))
    assert counter.get_total_flops() == layer.flops


@everything
def test_bad_inputs_are_refused_in_words(layer):
    module, x = made(layer, dtype=torch.float32), images(layer, torch.float32)
    name = re.escape(type(module).__name__)
    for wrong in (x[0, 0], x[None], *(() if takes_one_image(module) else (x[0],))):
        with pytest.raises(ValueError, match=rf"input of {name} must be \[B, {x.shape[1]}, H, W\], got shape"):
            module(wrong)
    with pytest.raises(
        ValueError, match=rf"input of {name} must be \[B, {x.shape[1]}, .* got shape \(\d+, {x.shape[1] + 1}, "
    ):
        module(torch.cat([x, x[:, :1]], 1))
    if any(True for _ in module.parameters()):  # without weights every dtype and device fits
        with pytest.raises(ValueError, match=rf"input of {name} must be of torch.float32 like .* got torch.float64"):
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
    classes = {getattr(convnotes, n) for n in convnotes.__all__ if isinstance(getattr(convnotes, n), type)}
    modules = {kind.__name__ for kind in classes}  # `mobilenet_v1` is another name of `MobileNetV1`
    assert modules <= set(ALL), "a public layer without a line in LAYERS or NETWORKS"
