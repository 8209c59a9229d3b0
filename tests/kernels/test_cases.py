"""What holds for every operator, by every backend: a new one joins by a line of `cases.CASES`."""

import importlib

import pytest
import torch
from kernels.cases import CASES
from support.close import assert_close

from convnotes.kernels import backend

every_operator = pytest.mark.parametrize("name", CASES)


def made(name):
    file, function, arguments = CASES[name]
    operator = importlib.import_module(f"convnotes.kernels.{file}.operator")
    *tensors, options = arguments(operator)
    return getattr(operator, function), tensors, options


def floating(tensors):
    return [t for t in tensors if t is not None and t.is_floating_point()]


def test_no_operator_is_left_out():
    assert set(backend.KERNELS) <= set(CASES)


@every_operator
@pytest.mark.parametrize("by", [name for name in backend.available() if name != "torch"])
def test_values_and_gradients_are_those_of_plain_torch(name, by):
    call, tensors, options = made(name)
    found = []
    for chosen in ("torch", by):
        with backend.use(chosen):
            y = call(*tensors, options)
            g = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
            found.append((y, *torch.autograd.grad(y, floating(tensors), g)))
    for ours, expected in zip(*found, strict=True):
        assert_close(ours, expected)


@every_operator
@pytest.mark.usefixtures("each_backend")
def test_it_keeps_torch_s_rules(name):
    _, tensors, options = made(name)
    torch.library.opcheck(getattr(torch.ops.convnotes, name), (*tensors, *options))


@every_operator
@pytest.mark.usefixtures("each_backend")
def test_derivatives_of_both_modes_and_of_second_order_are_the_numerical_ones(name):
    call, tensors, options = made(name)

    def of_floats(*leaves):
        given = iter(leaves)
        return call(*(next(given) if t is not None and t.is_floating_point() else t for t in tensors), options)

    leaves = floating(tensors)
    assert torch.autograd.gradcheck(of_floats, leaves, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(of_floats, leaves, fast_mode=True)


@every_operator
@pytest.mark.usefixtures("each_backend")
def test_vmap_is_a_loop_whatever_is_mapped(name):
    _, tensors, options = made(name)
    operator = getattr(torch.ops.convnotes, name)
    for n, tensor in enumerate(tensors):
        if tensor is None:
            continue
        slices = [tensor.detach(), tensor.detach().flip(0), -tensor.detach()]
        given = [None if t is None else t.detach() for t in tensors]
        given[n] = torch.stack(slices, -1)
        dims = tuple(-1 if m == n else None for m in range(len(given)))
        mapped = torch.vmap(lambda *t: operator(*t, *options), dims)(*given)
        for found, one in zip(mapped, slices, strict=True):
            given[n] = one
            assert_close(found, operator(*given, *options))


@every_operator
@pytest.mark.usefixtures("each_backend")
def test_compiled_and_seen_by_a_mode_it_is_one_call_with_the_same_values(name):
    call, tensors, options = made(name)
    expected, seen = call(*tensors, options), []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(function)
            return function(*args, **(kwargs or {}))

    with Watch(), torch.no_grad():
        found = call(*tensors, options)
    assert_close(found, expected.detach())
    assert seen == [getattr(torch.ops.convnotes, name).default]
    torch.compiler.reset()
    compiled = torch.compile(lambda *t: call(*t, options), fullgraph=True, backend="aot_eager")
    assert_close(compiled(*tensors), expected)
