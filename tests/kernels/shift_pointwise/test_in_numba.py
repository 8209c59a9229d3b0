import pytest
import torch
from support.close import assert_close

from convnotes import ShiftBlock, definitions
from convnotes.kernels import backend
from convnotes.kernels.shift_pointwise.operator import shift_pointwise
from convnotes.measure import peak_memory
from convnotes.operations.shift import Shift2d

if "numba" not in backend.available():
    pytest.skip("numba is not installed", allow_module_level=True)

from convnotes.kernels.shift_pointwise import in_numba

pytestmark = pytest.mark.usefixtures("by_numba")
LAYOUTS = [torch.contiguous_format, torch.channels_last]
SIZES = [(1, 1), (1, 9), (9, 1), (2, 3), (11, 7), (5, 120), (23, 19)]


@pytest.fixture
def taken(monkeypatch):
    """One entry for each call of a compiled loop."""
    calls, real = [], in_numba.run
    monkeypatch.setattr(in_numba, "run", lambda *inputs, **kw: calls.append(1) or real(*inputs, **kw))
    return calls


def with_gradients(x, w, d, stride, g):
    y = shift_pointwise(x, w, d, stride)
    return y, *torch.autograd.grad(y, (x, w), g)


def factors(channels, outputs, size, stride, dtype, layout=torch.channels_last, batch=2):
    x = torch.randn(batch, channels, *size, dtype=dtype).to(memory_format=layout).requires_grad_()
    w = torch.randn(outputs, channels, 1, 1, dtype=dtype, requires_grad=True)
    places = [-(-n // stride) for n in size]
    return x, w, torch.randn(batch, outputs, *places, dtype=dtype).to(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("channels", "outputs"), [(9, 5), (37, 16), (20, 70)])
def test_it_is_the_two_definitions_forward_and_gradient(channels, outputs, size, stride, layout, taken):
    x, w, g = factors(channels, outputs, size, stride, torch.float64, layout)
    for d in (Shift2d(channels).displacements, torch.randint(-4, 5, (channels, 2))):
        found = with_gradients(x, w, d, stride, g)
        expected = definitions.conv2d(definitions.shift2d(x, d), w, stride=stride)
        for a, b in zip(found, (expected, *torch.autograd.grad(expected, (x, w), g)), strict=True):
            assert_close(a, b)
        assert found[0].is_contiguous(memory_format=layout)
    assert len(taken) == 6


@pytest.mark.parametrize("stride", [1, 2])
def test_float32_errs_no_more_than_twice_as_much_as_torch(stride):
    layer, (x, w, g) = Shift2d(64), factors(64, 48, (30, 21), stride, torch.float32)
    found = with_gradients(x, w, layer.displacements, stride, g)
    torchs, exact = [], []
    for dtype, results in ((torch.float32, torchs), (torch.float64, exact)):
        inputs = [t.detach().to(dtype).requires_grad_() for t in (x, w)]
        y = torch.nn.functional.conv2d(layer(inputs[0]), inputs[1], stride=stride)
        results += [y, *torch.autograd.grad(y, inputs, g.to(dtype))]
    for a, b, true in zip(found, torchs, exact, strict=True):
        assert (a - true).abs().max() <= 2 * (b - true).abs().max() + 1e-6 * true.abs().max()


@pytest.mark.parametrize(("channels", "outputs"), [(20, 16), (64, 64)])
def test_any_number_of_threads_gives_the_same_bits(channels, outputs):
    x, w, g = factors(channels, outputs, (23, 29), 1, torch.float32, batch=4)
    d, before, found = Shift2d(channels).displacements, torch.get_num_threads(), []
    try:
        for threads in (1, 2, 2, 3):
            torch.set_num_threads(threads)
            found.append(with_gradients(x, w, d, 1, g))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(map(torch.equal, other, found[0]))


def test_what_is_no_number_reaches_what_sees_it_and_no_more():
    x, w, g = factors(18, 16, (6, 5), 1, torch.float64)
    x.detach()[0, 0, 3, 2], g[1, 4, 2, 2] = torch.nan, torch.inf
    found = with_gradients(x, w, Shift2d(18).displacements, 1, g)
    y = torch.nn.functional.conv2d(Shift2d(18)(x), w)
    for a, b in zip(found, (y, *torch.autograd.grad(y, (x, w), g)), strict=True):
        assert torch.equal(a.isfinite(), b.isfinite())


def test_training_takes_little_more_memory_than_its_results():
    """Of 12 MiB of gradients and output, and 3.1 MiB of sums."""
    x, w, g = factors(64, 64, (56, 56), 1, torch.float32, batch=8)
    results = 4 * (2 * x.numel() + w.numel())
    peak = peak_memory(lambda: with_gradients(x, w, Shift2d(64).displacements, 1, g))
    assert peak <= results + 10 * 2**20


def test_a_block_fuses_in_channels_last_and_trains_as_before(taken):
    block, x = ShiftBlock(9, 32, 2), torch.randn(2, 9, 11, 8).to(memory_format=torch.channels_last)
    found = torch.autograd.grad(block(x).square().sum(), list(block.parameters()))
    assert len(taken) == 3
    with backend.use("torch"):
        expected = torch.autograd.grad(block(x).square().sum(), list(block.parameters()))
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max() + 1e-5
    assert len(taken) == 3


APART = {
    "planes": lambda block, x: (block, x.contiguous()),
    "float64": lambda block, x: (block.double(), x.double()),
    "hooked": lambda block, x: (block.shift.register_forward_hook(lambda *_: None) and block, x),
    "20 outputs": lambda block, x: (ShiftBlock(9, 20), x),
}


@pytest.mark.parametrize("change", APART.values(), ids=APART)
def test_where_it_does_not_pay_or_somebody_looks_a_block_calls_shift_and_convolution(change, taken):
    block, x = change(ShiftBlock(9, 32), torch.randn(2, 9, 11, 8).to(memory_format=torch.channels_last))
    block(x)
    assert not taken
