import threading

import pytest
import torch
from support.close import assert_close
from torch.utils.flop_counter import FlopCounterMode

from convnotes import Shift2d, ShiftBlock, definitions, shift2d
from convnotes.kernels import backend
from convnotes.kernels.cpu import threads as kernel_threads

if "numba" not in backend.available():
    pytest.skip("numba is not installed", allow_module_level=True)

from convnotes.kernels.shift import in_numba

pytestmark = pytest.mark.usefixtures("by_numba")

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SIZES = [(11, 7), (7, 11), (1, 1), (1, 9), (9, 1), (2, 3), (5, 600), (61, 130)]


@pytest.fixture
def taken(monkeypatch):
    """One entry for each call of the compiled loop."""
    calls, real = [], in_numba.run
    monkeypatch.setattr(in_numba, "run", lambda *inputs: calls.append(1) or real(*inputs))
    return calls


def random_displacements(channels, reach):
    return torch.randint(-reach, reach + 1, (channels, 2)).tolist()


def with_gradient(x, displacements, g):
    y = shift2d(x, displacements)
    return y, *torch.autograd.grad(y, x, g)


def by_torch(x, displacements, g):
    with backend.use("torch"):
        return with_gradient(x, displacements, g)


@pytest.mark.parametrize("reach", [1, 3, 12])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_loop_matches_the_definition_forward_and_gradient(size, reach, taken):
    x = torch.randn(2, 13, *size, dtype=torch.float64, requires_grad=True)
    d, g = random_displacements(13, reach), torch.randn(2, 13, *size, dtype=torch.float64)
    y, by_input = with_gradient(x, d, g)
    expected = definitions.shift2d(x, torch.tensor(d))
    assert_close(y, expected)
    assert_close(by_input, *torch.autograd.grad(expected, x, g))
    assert len(taken) == 2


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_numba_and_torch_give_the_same_bits(size, dtype, taken):
    for reach in (1, 2, 5):
        x = torch.randn(3, 7, *size).to(dtype).requires_grad_()
        d, g = random_displacements(7, reach), torch.randn(3, 7, *size).to(dtype)
        for ours, theirs in zip(with_gradient(x, d, g), by_torch(x, d, g), strict=True):
            assert torch.equal(ours, theirs)
    assert len(taken) == 6


@pytest.mark.parametrize("order", ["contiguous", "interleaved"])
@pytest.mark.parametrize("channels", [9, 20, 64])
def test_the_layer_gives_the_same_bits_in_either_order(channels, order, taken):
    layer, x = Shift2d(channels, order=order), torch.randn(2, channels, 11, 7)
    y = layer(x)
    assert len(taken) == 1
    with backend.use("torch"):
        assert torch.equal(y, layer(x))


@pytest.mark.parametrize("by", [7, -7, 20, -(2**63), 2**63 - 1])
def test_beyond_the_picture_nothing_is_left(by, taken):
    x = torch.randn(2, 3, 5, 7)
    y = shift2d(x, torch.tensor([[by, 0], [0, by], [0, 0]]))
    assert taken
    assert y[:, :2].abs().max() == 0
    assert torch.equal(y[:, 2], x[:, 2])
    assert torch.equal(shift2d(x, [(10 * by, 0), (0, 10 * by), (0, 0)]), y)


def test_what_is_no_number_moves_like_a_number():
    x = torch.full((1, 9, 5, 4), torch.nan)
    x[:, :, 2] = -torch.inf
    x[:, :, 3] = -0.0
    layer = Shift2d(9)
    y = layer(x)
    with backend.use("torch"):
        assert torch.equal(y.view(torch.int32), layer(x).view(torch.int32))
    assert y[0, 0, 0].tolist() == [0, 0, 0, 0]
    assert y[0, 4].isnan().sum() == 12


@pytest.mark.parametrize("fallback", [False, True], ids=["OpenMP", "plain threads"])
def test_any_number_of_threads_gives_the_same_bits(fallback, monkeypatch):
    if fallback:
        monkeypatch.setattr(kernel_threads, "_openmp", lambda: None)
    x, before = torch.randn(3, 67, 29, 31), torch.get_num_threads()
    d = random_displacements(67, 3)
    with backend.use("torch"):
        expected = shift2d(x, d)
    try:
        for threads in (1, 2, 3, 16):
            torch.set_num_threads(threads)
            for _ in range(20):
                assert torch.equal(shift2d(x, d), expected)
    finally:
        torch.set_num_threads(before)


def test_several_threads_may_call_at_once():
    x, d = torch.randn(4, 32, 32, 32), random_displacements(32, 2)
    with backend.use("torch"):
        expected = shift2d(x, d)
    equal = []

    def call():
        with backend.use("numba"):
            equal.extend(torch.equal(shift2d(x, d), expected) for _ in range(10))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(20)
    assert equal == [True] * 40


@pytest.mark.parametrize("shape", [(0, 3, 5, 4), (2, 3, 0, 4), (2, 3, 5, 0)], ids=str)
def test_where_there_are_no_numbers_none_are_moved(shape):
    x = torch.randn(shape, requires_grad=True)
    y, by_input = with_gradient(x, [(1, 0), (0, 1), (-1, -1)], torch.randn(shape))
    assert y.shape == by_input.shape == shape


def strided(x):
    return torch.randn(2, 9, 5, 8)[..., ::2].copy_(x)


def channels_last(x):
    return x.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("kept", [strided, channels_last, torch.Tensor.int, torch._neg_view])
def test_what_does_not_lie_in_turn_goes_to_torch(kept, taken):
    layer, x = Shift2d(9), kept(10 * torch.randn(2, 9, 5, 4))
    y = layer(x)
    assert not taken
    assert y.is_contiguous(memory_format=torch.channels_last) == (kept is channels_last)
    assert torch.equal(y, layer(x.clone(memory_format=torch.contiguous_format)))


def test_a_gradient_that_is_expanded_is_moved_too():
    layer, x = Shift2d(9), torch.randn(2, 9, 5, 4, dtype=torch.float64, requires_grad=True)
    (ours,) = torch.autograd.grad(layer(x).sum(), x)
    assert_close(ours, *torch.autograd.grad(definitions.shift2d(x, layer.displacements).sum(), x))


def test_it_is_differentiated_twice_and_mapped():
    layer, x = Shift2d(9), torch.randn(2, 9, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(layer, x)
    several = torch.randn(3, 2, 9, 5, 4, dtype=torch.float64)
    mapped = torch.vmap(torch.func.grad(lambda x: (layer(x) ** 3).sum()))(several)
    for one, found in zip(several, mapped, strict=True):
        one.requires_grad_()
        assert_close(found, *torch.autograd.grad((layer(one) ** 3).sum(), one))


def test_a_tensor_that_is_left_over_from_a_transformation_is_moved():
    layer, x, left = Shift2d(9), torch.randn(2, 9, 5, 4), []
    torch.func.grad(lambda x: left.append(x) or x.sum())(x)
    assert torch.equal(layer(left[0]), layer(x))


@pytest.mark.filterwarnings("ignore")  # that checks of sizes become constants, and that tracing is going out of use
@pytest.mark.parametrize("wanted", [False, True], ids=["without gradient", "with gradient"])
def test_a_trace_holds_torch_alone(wanted, taken):
    layer, x = Shift2d(9), torch.randn(2, 9, 5, 4)
    traced = torch.jit.trace(layer, torch.randn(2, 9, 5, 4, requires_grad=wanted), check_trace=False)
    assert torch.equal(traced(x), layer(x))
    assert len(taken) == 1  # for the layer itself
    program = torch.export.export(layer, (x,))
    assert {str(node.target).split(".")[0] for node in program.graph.nodes if node.op == "call_function"} == {"aten"}


def test_a_mode_of_torchs_sees_every_call(taken):
    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(function)
            return function(*args, **(kwargs or {}))

    seen, layer, x = [], Shift2d(9), torch.randn(2, 9, 5, 4)
    with Watch():
        layer(x)
    assert seen == [torch.ops.convnotes.shift.default]
    assert len(taken) == 1


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
def test_the_operator_keeps_torch_s_rules(sign, memory):
    x = torch.randn(2, 3, 5, 4).to(memory_format=memory).requires_grad_()
    moves = [1, 0, 0, 3, 2, 0, -9, 1, 2, 1]  # channels 0 and 2 by (1, 0), channel 1 out of the picture
    torch.library.opcheck(torch.ops.convnotes.shift, (x, moves, sign))
    several = torch.stack([x.detach(), 2 * x.detach()], 1)
    found = torch.vmap(lambda x: torch.ops.convnotes.shift(x, moves, sign), 1)(several)
    assert torch.equal(found, torch.stack([torch.ops.convnotes.shift(t, moves, sign) for t in several.unbind(1)]))


def test_it_has_no_multiply_adds_forward_or_backward():
    layer, x = Shift2d(9), torch.randn(2, 9, 5, 4, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        layer(x).sum().backward()
    assert counter.get_total_flops() == 0


def test_a_block_trains_as_by_torch(taken):
    block, x = ShiftBlock(9, 18).double(), torch.randn(2, 9, 11, 7, dtype=torch.float64)
    found = torch.autograd.grad(block(x).square().sum(), list(block.parameters()))
    assert len(taken) == 2
    with backend.use("torch"):
        expected = torch.autograd.grad(block(x).square().sum(), list(block.parameters()))
    assert all(map(torch.equal, found, expected))


def test_under_autocast_half_precision_is_moved(taken):
    block, x = ShiftBlock(9, 18), torch.randn(2, 9, 11, 7)
    with torch.autocast("cpu", torch.bfloat16):
        y = block(x)
    assert len(taken) == 1
    with torch.autocast("cpu", torch.bfloat16), backend.use("torch"):
        assert torch.equal(block(x), y)
