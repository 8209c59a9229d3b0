"""What the package takes from the private parts of torch and numba can be missing, and every result stays right."""

import ast
import contextlib
import importlib.util
import operator
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.close import assert_close
from torch import nn

from convnotes import (
    SeparableConv2d,
    adder2d,
    deform_conv2d,
    initialise,
    non_local2d,
    shift2d,
)
from convnotes.kernels import private
from convnotes.kernels.attention import operator as attention
from convnotes.kernels.cpu import threads
from convnotes.measure import effective_receptive_field, memory

HOOKS = ["forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks"]
NAMES = [
    "_C._are_functorch_transforms_active",
    "utils._python_dispatch.is_in_torch_dispatch_mode",
    "autograd._profiler_enabled",
    "_fused_sdp_choice",
    "ops.aten._scaled_dot_product_flash_attention_for_cpu",
    "ops.aten._scaled_dot_product_flash_attention_for_cpu_backward",
    "ops.aten._embedding_bag_per_sample_weights_backward",
    "nn.modules.conv._ConvNd",
    "nn.modules.batchnorm._BatchNorm",
    "nn.modules.batchnorm._NormBase",
    "utils._python_dispatch.TorchDispatchMode",
    *(f"nn.modules.module._global_{kind}" for kind in HOOKS),
]


@contextlib.contextmanager
def without(*names):
    """Inside, the package works as if torch had lacked these names when it was imported."""
    spec = importlib.util.spec_from_file_location("private_without", private.__file__)
    fresh = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            owner, _, own = name.rpartition(".")
            owner = operator.attrgetter(owner)(torch) if owner else torch
            if owner is torch.ops.aten:  # what is deleted there is looked up again
                patch.setattr(owner, own, None)
            else:
                patch.delattr(owner, own)
        spec.loader.exec_module(fresh)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in vars(fresh).items():
            if not name.startswith("__"):
                patch.setattr(private, name, value)
        yield


def test_every_private_name_of_torch_is_taken_away_here():
    calls = [node for node in ast.walk(ast.parse(Path(private.__file__).read_text())) if isinstance(node, ast.Call)]
    looked_up = {
        call.args[0].value
        for call in calls
        if getattr(call.func, "id", "") in ("_torch", "_or", "_classes") and isinstance(call.args[0], ast.Constant)
    }
    assert looked_up == set(NAMES[: -len(HOOKS)])
    assert list(private._HOOKS) == HOOKS


OPERATORS = {
    "adder": lambda x: adder2d(x, torch.linspace(-1, 1, 5 * 4 * 9, dtype=x.dtype).reshape(5, 4, 3, 3), padding=1),
    "attention": lambda x: non_local2d(x, x.flip(1), x * 2, scale=0.7),
    "deform": lambda x: deform_conv2d(
        x,
        0.3 * x[:, :1].expand(-1, 18, -1, -1) + 0.21,
        torch.linspace(-1, 1, 5 * 4 * 9, dtype=x.dtype).reshape(5, 4, 3, 3),
        padding=1,
    ),
    "separable": SeparableConv2d(4, 6, 5, padding=2, dtype=torch.float64),
    "shift": lambda x: shift2d(x, ((0, 1), (-1, 0), (0, 0), (2, -1))),
}


MAPPED = ("attention", "shift")  # those that take many gradients in one backward pass


def derivatives(name):
    """The operator's value, and its derivatives in every way that it knows."""
    call = OPERATORS[name]
    torch.manual_seed(0)
    x, t = torch.randn(2, 2, 4, 7, 6, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    y = call(leaf)
    weight = torch.randn_like(y)

    def total(x):
        return (call(x).sin() * weight).sum()

    (first,) = torch.autograd.grad((y.sin() * weight).sum(), leaf)
    (recorded,) = torch.autograd.grad(total(leaf), leaf, create_graph=True)
    (second,) = torch.autograd.grad((recorded * t).sum(), leaf)
    many = torch.stack([weight, 2 * weight])
    mapped = torch.autograd.grad(call(leaf), leaf, many, is_grads_batched=True) if name in MAPPED else (first,)
    return {
        "value": y.detach(),
        "without a graph": call(x),
        "reverse": first,
        "reverse twice": second,
        "forward": torch.func.jvp(call, (x,), (t,))[1],
        "torch.func.grad": torch.func.grad(total)(x),
        "vmap": torch.vmap(call)(torch.stack([x, t])),
        "vmap of grad": torch.vmap(torch.func.grad(total))(torch.stack([x, t])),
        "many reverse": mapped[0],
    }


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(attention, "_queries", lambda q: 10)
    monkeypatch.setattr(attention, "_KEYS", 6)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_derivative_is_the_same_whichever_name_is_missing(name):
    expected = derivatives(name)
    for names in ([name] for name in NAMES[:7]), [NAMES]:
        for missing in names:
            with without(*missing):
                found = derivatives(name)
            for way, value in expected.items():
                assert_close(found[way], value)


def test_without_the_halves_of_attention_it_goes_no_more_by_blocks(monkeypatch):
    calls, own = [], attention._backward
    monkeypatch.setattr(attention, "_backward", lambda *given: calls.append(1) or own(*given))
    derivatives("attention")
    assert calls
    calls.clear()
    for name in NAMES[3:6]:
        with without(name):
            derivatives("attention")
    assert not calls


def test_hooks_are_seen_and_are_taken_to_be_there_where_none_can_be_seen():
    layer, other = nn.Conv2d(1, 1, 1), nn.ReLU()
    assert not private.hooked(layer, other)
    for register in (layer.register_forward_hook, nn.modules.module.register_module_forward_pre_hook):
        handle = register(lambda *_: None)
        assert private.hooked(other, layer)
        handle.remove()
    assert not private.hooked(layer, other)
    for kind in HOOKS:
        with without(f"nn.modules.module._global_{kind}"):
            assert private.hooked(layer)
    assert private.hooked(object())


@pytest.mark.parametrize(
    ("name", "classes"), [*zip(NAMES[7:10], ("CONVOLUTIONS", "BATCH_NORMS", "STATISTIC_NORMS"), strict=True)]
)
def test_layers_of_torch_are_known_without_their_base_class(name, classes):
    base = operator.attrgetter(name)(torch)
    own = [kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, base)]
    others = [kind for kind in vars(nn).values() if isinstance(kind, type) and not issubclass(kind, base)]
    with without(name):
        assert base not in getattr(private, classes)
        assert all(issubclass(kind, getattr(private, classes)) for kind in own)
        assert not any(issubclass(kind, getattr(private, classes)) for kind in others)


def test_what_asks_for_the_class_of_a_layer_does_as_before():
    def made():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3))
        initialise(net, "lsuv", input=torch.randn(2, 2, 12, 12))
        return net[3].weight.detach(), effective_receptive_field(net, (1, 2, 12, 12), samples=2)

    expected = made()
    with without(*NAMES[7:10]):
        found = made()
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))


def test_without_torch_s_mode_no_memory_is_counted_and_it_is_said_why():
    spec = importlib.util.spec_from_file_location("memory_without", memory.__file__)
    fresh = importlib.util.module_from_spec(spec)
    with without("utils._python_dispatch.TorchDispatchMode"):
        spec.loader.exec_module(fresh)
    with pytest.raises(RuntimeError, match="has no TorchDispatchMode"):
        fresh.peak_memory(lambda: None)


def test_without_torch_s_openmp_threads_of_ones_own_do_the_work(monkeypatch):
    pytest.importorskip("numba", reason="the loops need numba")
    monkeypatch.setattr(torch, "__file__", str(Path("elsewhere", "torch", "__init__.py")))
    assert private.of_openmp("GOMP_parallel") is None
    used, own = [], threads._executor
    monkeypatch.setattr(threads, "_executor", lambda workers: used.append(workers) or own(workers))
    monkeypatch.setattr(threads, "_openmp", threads._openmp.__wrapped__)
    before, x = torch.get_num_threads(), torch.randn(4, 8, 9, 9)
    try:
        results = []
        for number in (1, 2):
            torch.set_num_threads(number)
            results.append(adder2d(x, torch.ones(8, 8, 3, 3)))
    finally:
        torch.set_num_threads(before)
    assert used
    assert torch.equal(*results)


NOT_KEPT = """
import torch
from convnotes import shift2d
from convnotes.kernels import backend, private

{missing}
x, offsets = torch.randn(2, 3, 6, 6), [(0, 1), (1, 0), (0, -1)]
with backend.use("torch"):
    expected = shift2d(x, offsets)
with backend.use("numba"):
    torch.testing.assert_close(shift2d(x, offsets), expected)
from convnotes.kernels.shift import loops
print(type(loops.move_planes._cache).__name__)
"""
NUMBA = {
    "the cache's file": "private.add_to_cache_key = lambda compiled, more: own(object(), more)",
    "its key": "private.add_to_cache_key = lambda compiled, more: own(Keyless(), more)",
    "the class of C functions": "from numba.core import ccallback; del ccallback.CFunc.enable_caching",
}
KEYLESS = (
    "own = private.add_to_cache_key\nclass Keyless:\n    _cache = type('Cache', (), {'_cache_file': object()})()\n"
)


@pytest.mark.parametrize("missing", NUMBA)
def test_what_numba_cannot_keep_is_compiled_again(missing):
    pytest.importorskip("numba", reason="the loops need numba")
    program = NOT_KEPT.format(missing=KEYLESS + NUMBA[missing])
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == ("FunctionCache" if "class" in missing else "NullCache")
