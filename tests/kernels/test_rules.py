"""What "auto" takes, as the tables of `kernels.rules` say it, and what `backend.explain` says of it."""

import itertools

import pytest
import torch
from torch import nn

from convnotes import Shift2d
from convnotes.kernels import backend, rules
from convnotes.kernels.depthwise import operator as depthwise
from convnotes.kernels.shift_pointwise.operator import fuses

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
FASTEST = "numba" if "numba" in backend.available() else "torch"


@pytest.fixture(autouse=True)
def _no_choice_from_outside(monkeypatch):
    monkeypatch.delenv(backend.VARIABLE, raising=False)


@pytest.mark.parametrize("table", rules.RULES.values(), ids=rules.RULES)
def test_the_last_rule_of_a_table_holds_for_whatever_comes(table):
    assert table.rules[-1].holds(None)
    assert len({rule.because for rule in table.rules}) == len(table.rules)


@pytest.mark.parametrize(("op", "dtype", "device"), [*itertools.product(backend.KERNELS, DTYPES, ("cpu", "meta"))])
def test_explain_names_the_backend_that_is_chosen_and_gives_a_reason_for_each_other(op, dtype, device):
    tensors = [torch.zeros(2, 2, 5, 5, dtype=dtype, device=device), torch.zeros(2, 2, 1, 1, dtype=dtype, device=device)]
    lines = str(backend.explain(op, tensors)).splitlines()
    assert lines[0].startswith(f"{op} of 2×2×5×5, 2×2×1×1, {str(dtype)[6:]} on {device}: ")
    said = dict(line.strip().split(": ", 1) for line in lines[1 : 1 + len(backend.DEVICE)])
    able = [name for name, reason in said.items() if reason == "it has kernels"]
    assert backend.chosen(op, tensors) == (able[0] if able else "torch")
    if op not in rules.RULES:
        assert lines[0].endswith(f": {backend.chosen(op, tensors)}")


X, W = torch.zeros(1, 8, 64, 64), torch.zeros(8, 1, 9, 9)
DEPTHWISE = {  # tensors, whether they train, options → the way, and words of the rule that decides
    "inference": ((X, W), False, {}, "torch", "nothing is differentiated"),
    "small kernel": ((X, W[..., :3, :3]), True, {}, "torch", "no dilation"),
    "inference, wide and dilated": ((X, W), False, {"dilation": (2, 2)}, FASTEST, "compiled loops"),
    "dilated": ((X, W[..., :3, :3]), True, {"dilation": (2, 2)}, FASTEST, "compiled loops"),
    "large": ((X, W), True, {}, FASTEST, "compiled loops"),
    "strided": ((X, W), True, {"stride": (2, 2)}, "torch", "a stride"),
    "half": ((X.half(), W.half()), True, {}, "torch", "float32 or float64"),
    "more padding": ((X, W), True, {"padding": 9}, "torch", "more padding"),
    "two per channel": ((X[:, :4], W), True, {}, "torch", "one kernel per channel"),
}


@pytest.mark.parametrize(("given", "trains", "options", "way", "words"), DEPTHWISE.values(), ids=DEPTHWISE)
def test_a_depthwise_convolution_goes_the_way_that_is_explained(given, trains, options, way, words, monkeypatch):
    tensors = [t.detach().clone().requires_grad_(trains) for t in given]
    said = str(backend.explain("depthwise_conv2d", tensors, **options)).splitlines()
    if FASTEST == "torch" and "compiled" in words:  # without numba
        way, words = ("torch, tap by tap or by columns", "large enough") if trains else ("torch", "nothing is diff")
    assert said[0].endswith(f": {way}")
    assert words in said[-1]
    assert ": yes" in said[-1]
    assert all(": yes" not in line for line in said[1:-1])
    calls, own = [], depthwise._operator
    monkeypatch.setattr(depthwise, "_operator", lambda *inputs: (calls.append(1), own(*inputs))[1])
    full = {"stride": (1, 1), "padding": 0, "dilation": (1, 1)} | options
    if words != "one kernel per channel":
        depthwise.depthwise_conv2d(*tensors, None, **full)
        assert bool(calls) == (way != "torch")


def test_a_choice_by_name_is_said_to_be_one():
    with backend.use("torch"):
        assert "torch was chosen by name" in backend.explain("adder", [X])
        assert "tap by tap" in backend.explain("depthwise_conv2d", [X.clone().requires_grad_(), W])


def test_it_shows_itself_line_by_line():
    said = backend.explain("adder", [X])
    assert repr(said) == str(said)
    assert len(repr(said).splitlines()) == 1 + len(backend.DEVICE)


def test_an_unknown_operator_or_option_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match=r"op must be one of adder, deform_conv2d, .* got 'conv9d'"):
        backend.explain("conv9d", [X])
    with pytest.raises(TypeError, match="know the options stride, padding, dilation, got groups"):
        backend.explain("depthwise_conv2d", [X, W], groups=2)
    with pytest.raises(TypeError, match="adder has no rules beside those of device and dtype, got stride"):
        backend.explain("adder", [X], stride=2)


PAIRS = {  # the map, the outputs → the way on a CPU, and words of the rule that decides
    "planes": (X, 16, rules.APART, "channels last"),
    "channels last": (X.to(memory_format=torch.channels_last), 16, FASTEST, "in one pass"),
    "a part of a vector": (X.to(memory_format=torch.channels_last), 24, rules.APART, "no multiple of 16"),
    "double": (X.double().to(memory_format=torch.channels_last), 16, rules.APART, "not float32"),
}


@pytest.mark.skipif(FASTEST != "numba", reason="numba is not installed")
@pytest.mark.parametrize(("x", "outputs", "way", "words"), PAIRS.values(), ids=PAIRS)
def test_a_pair_of_shift_and_convolution_goes_the_way_that_is_explained(x, outputs, way, words):
    conv = nn.Conv2d(8, outputs, 1, dtype=x.dtype)
    said = str(backend.explain("shift_pointwise", [x, conv.weight])).splitlines()
    assert said[0].endswith(f": {way}")
    assert words in said[-1]
    assert fuses(x, Shift2d(8), conv) == (way != rules.APART)


def test_by_torch_no_pair_is_fused():
    x, conv = X.to(memory_format=torch.channels_last), nn.Conv2d(8, 16, 1)
    with backend.use("torch"):
        assert str(backend.explain("shift_pointwise", [x, conv.weight])).splitlines()[0].endswith(rules.APART)
        assert not fuses(x, Shift2d(8), conv)
