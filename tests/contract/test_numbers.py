"""The numbers of every operator function: derivatives of all kinds, maps, low precision and threads.

`test_values.py` has those of the layers. The arguments are drawn as in `test_properties.py`.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.close import assert_close
from support.legal import OPERATORS, Call

from convnotes.kernels import backend

every_operator = pytest.mark.parametrize("make", OPERATORS.values(), ids=OPERATORS)
few = settings(max_examples=max(5, settings.default.max_examples // 4))
drawn = given(data=st.data(), seed=st.integers(0, 2**20))


def called(make, data, seed) -> tuple[Call, list[int]]:
    """A call with an image at least, and which of its leaves are tensors."""
    torch.manual_seed(seed)
    call = make(data.draw)
    if call.leaves[0].numel() == 0:
        call.leaves = [one if one is None or one.numel() else grown(one) for one in call.leaves]
    return call, [k for k, one in enumerate(call.leaves) if one is not None]


def grown(one):
    """A leaf for one image instead of one for none."""
    return (torch.rand(1, *one.shape[1:], dtype=one.dtype) * 0.8 + 0.1).requires_grad_()


def of_tensors(call: Call, at: list[int]):
    def function(*tensors):
        leaves = list(call.leaves)
        for k, one in zip(at, tensors, strict=True):
            leaves[k] = one
        return call.function(*leaves, **call.options, **call.only_ours)

    return function, tuple(call.leaves[k] for k in at)


@every_operator
@few
@drawn
def test_derivatives_are_the_numerical_ones_twice(make, data, seed):
    function, leaves = of_tensors(*called(make, data, seed))
    with backend.use("torch"):
        assert torch.autograd.gradcheck(function, leaves, fast_mode=True, atol=1e-4)
        assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True, atol=1e-4)


@every_operator
@few
@drawn
def test_forward_mode_agrees_with_reverse_mode(make, data, seed):
    function, leaves = of_tensors(*called(make, data, seed))
    leaves = tuple(one.detach() for one in leaves)
    directions = tuple(torch.randn_like(one) for one in leaves)
    y, tangent = torch.func.jvp(function, leaves, directions)
    g = torch.randn_like(y)
    pulled = torch.func.vjp(function, *leaves)[1](g)
    by_reverse = sum((d * p).sum() for d, p in zip(directions, pulled, strict=True))
    torch.testing.assert_close((tangent * g).sum(), by_reverse, rtol=1e-9, atol=1e-9)


@every_operator
@few
@drawn
def test_vmap_over_images_is_a_loop(make, data, seed):
    call, at = called(make, data, seed)
    function, leaves = of_tensors(call, at)
    several = torch.stack([leaves[0].detach() * k for k in (1, 2, 3)])
    rest = tuple(one.detach() for one in leaves[1:])
    mapped = torch.vmap(lambda x: function(x, *rest))(several)
    assert_close(mapped, torch.stack([function(x, *rest) for x in several]))


@every_operator
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@few
@drawn
def test_low_precision_errs_at_most_twice_as_much_as_the_definition(make, dtype, data, seed):
    call, _ = called(make, data, seed)
    rounded = [one if one is None else one.detach().to(dtype) for one in call.leaves]
    call.leaves = [one if one is None else one.double() for one in rounded]
    exact = call.both()[1]
    call.leaves = rounded
    ours, theirs = call.both()
    step = torch.finfo(dtype).eps * exact.abs().max()  # the rounding of the result itself
    assert (ours.double() - exact).abs().max() <= 2 * max((theirs.double() - exact).abs().max(), step)


@every_operator
@pytest.mark.parametrize("name", ["torch", "numba"])
@few
@drawn
def test_two_threads_give_the_same_bits_as_one(make, name, data, seed):
    if name not in backend.available():
        pytest.skip(f"{name} is not installed")
    function, leaves = of_tensors(*called(make, data, seed))
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with backend.use(name):
                y = function(*leaves)
                results.append((y, *torch.autograd.grad(y.sum(), leaves)))
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))
