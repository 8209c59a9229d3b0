"""What the Triton kernels must fulfil. `test_triton.py` runs this file in a process of its own, in Triton's interpreter
on CPU tensors, and where there is a CUDA device once more on that.

Memory that is made without a value is filled with NaN: what a kernel leaves unwritten shows. Tolerance: the error is at
most 1e-5 of the largest number in float32 (1e-10 in float64), and one unit in the last place of that number in bfloat16
and float16, 2⁻⁷ and 2⁻¹⁰: twice what rounding the exact result costs. The interpreter cuts off where a GPU rounds.
"""

import copy
import os

import pytest
import torch

import convnotes
from convnotes import adder2d, definitions
from convnotes.kernels import backend
from convnotes.kernels.adder import in_triton as adder_triton
from convnotes.kernels.deform import in_triton as deform_triton
from convnotes.kernels.deform.sampling import Sampling
from convnotes.kernels.gpu import launch as launching
from convnotes.kernels.shift_pointwise import in_triton as shift_triton
from convnotes.kernels.shift_pointwise.operator import shift_pointwise

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}
LOW = (torch.float32, torch.bfloat16, torch.float16)
dtypes = pytest.mark.parametrize("dtype", LOW, ids=str)

ADDER = {  # images, weight, options
    "strided and dilated": ((2, 5, 7, 6), (3, 5, 3, 3), dict(stride=2, dilation=2, padding=2)),
    "rectangular": ((2, 3, 7, 6), (5, 3, 3, 2), dict(stride=(2, 1), padding=(1, 0), dilation=(1, 2))),
    "grouped": ((1, 4, 5, 6), (6, 2, 2, 3), dict(groups=2, padding=1)),
    "more rows than a tile": ((1, 17, 4, 4), (19, 17, 1, 1), dict(stride=3)),
    "stride beyond the picture": ((2, 3, 4, 5), (4, 3, 3, 3), dict(stride=(9, 7))),
}
DEFORM = {  # images, weight, offset groups, stride, padding, dilation, mask?
    "v2": ((2, 4, 5, 4), (6, 2, 1, 3), 2, (2, 1), (1, 2), (1, 2), True),
    "v1, its groups across the others": ((1, 6, 5, 4), (4, 3, 2, 1), 3, (2, 2), (2, 1), (2, 2), False),
    "more channels than a step": ((1, 41, 5, 4), (67, 41, 1, 1), 1, (1, 1), (0, 0), (1, 1), True),
}


def once_in_low_precision(cases):
    """All cases in float32, the first one in bfloat16 and float16 too: the interpreter is slow."""
    first, *_ = cases
    return [*((case, torch.float32) for case in cases), (first, torch.bfloat16), (first, torch.float16)]


@pytest.fixture(autouse=True)
def _unwritten_memory_is_nan(monkeypatch):
    torch.use_deterministic_algorithms(True)
    monkeypatch.setattr(shift_triton, "precision", lambda convolution: "ieee")  # convolutions have TF32 by default
    assert torch.empty(3).isnan().all()
    if INTERPRETED:
        monkeypatch.setitem(backend.DEVICE, "triton", "cpu")
        monkeypatch.setattr(launching, "_PROGRAMS", 4)  # the interpreter takes one after the other
    with backend.use("triton"):
        yield
    torch.use_deterministic_algorithms(False)


def close(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape
        bound = TOLERANCE[a.dtype] * max(1e-3, e.abs().max().item())
        torch.testing.assert_close(a.double(), e, rtol=0, atol=bound)


def random(*shape, dtype=torch.float32):
    return torch.randn(shape, device=DEVICE).to(dtype).requires_grad_()


def doubled(*tensors):
    return [None if t is None else t.detach().double().requires_grad_() for t in tensors]


def pull(y, leaves, g):
    return y, *torch.autograd.grad(y, [t for t in leaves if t is not None], g.to(y.dtype))


@pytest.fixture
def kernels_run(monkeypatch):
    """The names of the kernels that are launched."""
    names, real = [], launching.launch

    def launch(kernel, *rest, **constants):
        names.append(kernel.fn.__name__)
        real(kernel, *rest, **constants)

    for module in (adder_triton, shift_triton, deform_triton):
        monkeypatch.setattr(module, "launch", launch)
    return names


@pytest.mark.parametrize(("case", "dtype"), once_in_low_precision(ADDER), ids=str)
def test_the_adder_and_its_gradients_are_the_definition_s(case, dtype, kernels_run):
    images, weight, options = ADDER[case]
    x, w = random(*images, dtype=dtype), random(*weight, dtype=dtype)
    X, W = doubled(x, w)
    expected = definitions.adder2d(X, W, **options)
    g = torch.randn_like(expected).to(dtype)
    close(pull(adder2d(x, w, **options, gradient="exact"), [x], g), pull(expected, [X], g.double()))
    with backend.use("torch"):
        expected = adder2d(X, W, **options)
        expected = pull(expected, [X, W], g.double())
    close(pull(adder2d(x, w, **options), [x, w], g), expected)
    assert kernels_run == ["_sum_distances", "_sum_slopes"] * 2


def test_the_adder_of_float64_sums_in_float64():
    x, w = random(1, 3, 4, 5, dtype=torch.float64), random(2, 3, 2, 2, dtype=torch.float64)
    X, W = doubled(x, w)
    y, expected = adder2d(x, w, gradient="exact"), definitions.adder2d(X, W)
    close(pull(y, [x], torch.ones_like(y)), pull(expected, [X], torch.ones_like(y)))


@pytest.mark.parametrize("gradient", ["paper", "exact"])
@pytest.mark.parametrize("where", [0, 1, 2], ids=["images", "weight", "gradient"])
def test_nan_and_infinity_go_through_the_adder_as_in_torch(where, gradient):
    images, weight, options = (1, 2, 5, 7), (3, 2, 2, 1), dict(stride=(3, 2), padding=(0, 1))
    tensors = [random(*images), random(*weight), torch.randn(1, 3, 2, 5, device=DEVICE)]
    with torch.no_grad():
        tensors[where].view(-1)[0], tensors[where].view(-1)[-1] = torch.nan, torch.inf
        tensors[0][0, 0, 2, 2] = torch.nan  # no tap meets it
    x, w, g = tensors
    ours = pull(adder2d(x, w, **options, gradient=gradient), [x], g)
    with backend.use("torch"):
        theirs = pull(adder2d(x, w, **options, gradient=gradient), [x], g)
    torch.testing.assert_close(ours, theirs, equal_nan=True)


@pytest.mark.parametrize(("C", "O", "stride", "last"), [(19, 5, 1, False), (9, 17, 2, True), (40, 3, 3, False)])
@dtypes
def test_shift_and_1x1_in_one_are_the_two_definitions(C, O, stride, last, dtype, kernels_run):
    x, w = random(2, C, 7, 6, dtype=dtype), random(O, C, 1, 1, dtype=dtype)
    if last:
        x = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    moves = torch.randint(-3, 4, (C, 2), device=DEVICE)
    moves[0] = torch.tensor([-9, 0])  # out of the picture
    X, W = doubled(x, w)
    expected = definitions.conv2d(definitions.shift2d(X, moves), W, stride=stride)
    g = torch.randn_like(expected).to(dtype)
    y = shift_pointwise(x, w, moves, stride)
    assert y.is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    close(pull(y, [x, w], g), pull(expected, [X, W], g.double()))
    assert kernels_run == ["_output", "_by_input", "_by_weight"]


def test_shift_and_1x1_in_one_can_be_differentiated_twice():
    x, w, g, a, b = (random(*s) for s in ((1, 4, 5, 3), (2, 4, 1, 1), (1, 2, 5, 3), (1, 4, 5, 3), (2, 4, 1, 1)))
    moves = torch.tensor([[0, 0], [1, 0], [0, -1], [-1, 2]], device=DEVICE)

    def second(y, x, w, g, a, b):
        by_x, by_w = torch.autograd.grad(y, (x, w), g, create_graph=True)
        return torch.autograd.grad((by_x * a).sum() + (by_w * b).sum(), (x, w, g))

    wide = doubled(x, w, g, a, b)
    y = definitions.conv2d(definitions.shift2d(wide[0], moves), wide[1])
    close(second(shift_pointwise(x, w, moves, 1), x, w, g, a, b), second(y, *wide))


def test_a_shift_block_fuses_where_nobody_looks_inside(kernels_run):
    block = convnotes.ShiftBlock(3, 20, 2, device=DEVICE)
    x = random(2, 3, 7, 6)
    with backend.use("torch"):
        expected = copy.deepcopy(block)(x)
    assert kernels_run == []
    torch.testing.assert_close(block(x), expected)
    assert kernels_run == ["_output"]
    kernels_run.clear()
    hook = block.shift.register_forward_hook(lambda *_: None)
    block(x)
    hook.remove()
    torch.func.functional_call(block, {}, x)
    assert kernels_run == ["_output"]
    kernels_run.clear()
    block.eval()
    y = block(x)
    vmapped = torch.vmap(block)(torch.stack([x, x]))
    torch.testing.assert_close(vmapped[0], y)
    _, tangent = torch.func.jvp(block, (x,), (torch.ones_like(x),))
    assert tangent.isfinite().all()
    assert kernels_run == ["_output"]
    wide = convnotes.ShiftBlock(3, 128, device=DEVICE)
    wide(x)
    assert kernels_run == ["_output"], "so many outputs do not pay"


def test_a_shift_block_fuses_no_displacements_that_are_learned(kernels_run):
    """They are real numbers, and the fused kernel moves by whole ones."""
    block = convnotes.ShiftBlock(3, 20, device=DEVICE)
    block.shift = convnotes.ActiveShift2d(20, device=DEVICE)
    x = random(2, 3, 7, 6)
    with backend.use("torch"):
        expected = copy.deepcopy(block)(x)
    torch.testing.assert_close(block(x), expected)
    assert kernels_run == []


@pytest.mark.parametrize(("case", "dtype"), once_in_low_precision(DEFORM), ids=str)
@pytest.mark.parametrize("deterministic", [True, False])
def test_deformable_convolution_and_its_gradients_are_the_definition_s(case, deterministic, dtype, monkeypatch):
    images, weight, G, stride, padding, dilation, masked = DEFORM[case]
    x, w, (KH, KW) = random(*images, dtype=dtype), random(*weight, dtype=dtype), weight[2:]
    sizes = zip(images[2:], padding, dilation, (KH, KW), stride, strict=True)
    h, v = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in sizes)
    offset = torch.randint(-3, 4, (images[0], 2 * KH * KW * G, h, v)) + 0.125 * torch.randint(1, 8, (1, 1, h, v))
    offset = offset.to(DEVICE, dtype)  # fractions that every dtype holds, none of them 0
    mask = torch.rand(images[0], KH * KW * G, h, v).to(DEVICE, dtype) if masked else None
    wide = doubled(x, offset, w, mask)
    expected = definitions.deform_conv2d(*wide[:3], None, stride, padding, dilation, wide[3])
    g = torch.randn_like(expected).to(dtype)
    sampling = Sampling(stride, padding, dilation)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: deterministic)
    ours = [deform_triton.forward(x, offset, w, mask, sampling)]
    ours += deform_triton.backward(g, x, offset, w, mask, sampling, (True,) * 4)
    close([t for t in ours if t is not None], pull(expected, wide, g.double()))


def test_nan_and_infinite_offsets_act_as_they_do_in_torch():
    x, w, offset = random(1, 3, 4, 5), random(2, 3, 1, 1), torch.full((1, 2, 4, 5), 0.3, device=DEVICE)
    offset[0, 0, 0, 0], offset[0, 1, 1, 1], offset[0, 0, 2, 2], offset[0, 0, 3, 3] = (
        torch.nan,
        torch.nan,
        torch.inf,
        -1e30,
    )
    y = deform_triton.forward(x, offset, w, None, Sampling((1, 1), (0, 0), (1, 1)))
    with backend.use("torch"):
        torch.testing.assert_close(y, convnotes.deform_conv2d(x, offset, w), equal_nan=True)
    assert y.isnan().sum() == 4


def test_an_empty_batch_needs_no_kernel():
    x, w = random(0, 3, 5, 4), random(2, 3, 1, 1)
    moves = torch.zeros(3, 2, dtype=torch.int64, device=DEVICE)
    for y in (adder2d(x, w), shift_pointwise(x, w, moves, 1)):
        by_x, by_w = torch.autograd.grad(y.sum(), (x, w))
        assert (y.shape, by_x.shape) == ((0, 2, 5, 4), x.shape)
        assert by_w.abs().max() == 0
    offset = torch.zeros(0, 2, 5, 4, device=DEVICE)
    assert deform_triton.forward(x, offset, w, None, Sampling((1, 1), (0, 0), (1, 1))).shape == (0, 2, 5, 4)


def test_numbers_of_places_may_need_64_bits(monkeypatch):
    for module in (adder_triton, shift_triton, deform_triton):
        monkeypatch.setattr(module, "wide", lambda places: True)
    x, w = random(2, 3, 7, 6), random(2, 3, 3, 3)
    close([adder2d(x, w, stride=2)], [definitions.adder2d(*doubled(x, w), stride=2)])
    moves, w = torch.ones(3, 2, dtype=torch.int64, device=DEVICE), random(2, 3, 1, 1)
    X, W = doubled(x, w)
    close([shift_pointwise(x, w, moves, 1)], [definitions.conv2d(definitions.shift2d(X, moves), W)])


def test_tf32_is_used_where_torch_uses_it():
    before = torch.backends.cuda.matmul.fp32_precision if hasattr(torch.backends.cudnn, "conv") else None
    if before is None:
        pytest.skip("this torch has one setting only")
    assert launching.precision(convolution=False) == "ieee"
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        assert launching.precision(convolution=False) == "tf32"
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def test_the_deformable_layer_takes_the_kernels_forward_and_backward():
    (shape, kernel, groups, stride, padding, dilation, _), dtype = next(iter(DEFORM.values())), torch.float32
    x, w = random(*shape, dtype=dtype), random(*kernel, dtype=dtype)
    places = definitions.conv2d(x, w, None, stride, padding, dilation, shape[1] // kernel[1]).shape[2:]
    taps = groups * kernel[2] * kernel[3]
    offset, mask = random(shape[0], 2 * taps, *places, dtype=dtype), random(shape[0], taps, *places, dtype=dtype)
    leaves = (x, offset, w, mask)
    wide = doubled(*leaves)
    expected = definitions.deform_conv2d(*wide[:3], None, stride, padding, dilation, wide[3])
    g = torch.randn_like(expected)
    ours = convnotes.deform_conv2d(x, offset, w, None, stride, padding, dilation, mask)
    assert type(ours.grad_fn).__name__ != "ViewBackward0"
    close(pull(ours, leaves, g), pull(expected, wide, g))
