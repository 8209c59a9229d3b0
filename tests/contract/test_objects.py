"""Every public layer as an object: on the meta device, pickled, saved and loaded, and in words."""

import io
import pickle

import torch
from support.contract import everything, images, made


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
def test_extra_repr_says_how_it_was_made(layer):
    text = made(layer).extra_repr()
    for word in layer.words:
        assert word in text
