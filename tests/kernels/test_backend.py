import asyncio
import contextvars
import importlib
import threading

import pytest
import torch

from convnotes import Adder2d, DeformConv2d, SeparableConv2d, Shift2d, checks
from convnotes.kernels import backend

CPU = (torch.zeros(1), None, torch.zeros(2))
HAS_NUMBA = "numba" in backend.available()
needs_numba = pytest.mark.skipif(not HAS_NUMBA, reason="numba is not installed")
FASTEST = "numba" if HAS_NUMBA else "torch"


@pytest.fixture(autouse=True)
def _no_choice_from_outside(monkeypatch):
    monkeypatch.delenv(backend.VARIABLE, raising=False)


@pytest.fixture
def without(monkeypatch):
    """Let an import fail: `without(name, problem)`."""
    problems = {}
    real = importlib.import_module

    def imported(name, *rest):
        if name in problems:
            raise problems[name]
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", imported)
    checks.obstacle.cache_clear()
    yield problems.__setitem__
    checks.obstacle.cache_clear()


def alone(function):
    """In a context of its own, so that a choice made there ends there."""
    return contextvars.Context().run(function)


def test_by_itself_it_takes_the_fastest_that_can_run():
    assert backend.chosen("adder", CPU) == FASTEST
    assert backend.available()[-1] == "torch"


@pytest.mark.parametrize("name", ["auto", pytest.param("numba", marks=needs_numba)])
def test_what_has_no_kernel_goes_to_torch(name):
    with backend.use(name):
        assert backend.chosen("adder", [torch.zeros(1, dtype=torch.bfloat16)]) == "torch"
        assert backend.chosen("adder", [torch.zeros(1), torch.zeros(1, dtype=torch.float64)]) == "torch"
        assert backend.chosen("an operator of tomorrow", CPU) == "torch"


def test_by_itself_it_leaves_other_devices_to_torch():
    assert backend.chosen("adder", [torch.zeros(1, device="meta")]) == "torch"


@needs_numba
def test_a_choice_lasts_for_its_block_and_blocks_nest():
    with backend.use("torch"):
        assert backend.chosen("adder", CPU) == "torch"
        with backend.use("numba") as inner:
            assert repr(inner) == "use('numba')"
            assert backend.chosen("adder", CPU) == "numba"
        assert backend.chosen("adder", CPU) == "torch"
        with pytest.raises(ArithmeticError), backend.use("auto"):
            raise ArithmeticError
        assert backend.chosen("adder", CPU) == "torch"
    assert backend.chosen("adder", CPU) == "numba"


def test_a_call_chooses_from_there_on():
    def session():
        backend.use("torch")
        return backend.chosen("adder", CPU)

    assert alone(session) == "torch"
    assert backend.chosen("adder", CPU) == FASTEST


def test_each_thread_chooses_for_itself():
    seen = []
    with backend.use("torch"):
        thread = threading.Thread(target=lambda: seen.append(backend.chosen("adder", CPU)))
        thread.start()
        thread.join()
        assert backend.chosen("adder", CPU) == "torch"
    assert seen == [FASTEST]


@needs_numba
@pytest.mark.parametrize("op", ["adder", "deform_conv2d", "depthwise_conv2d", "shift"])
def test_a_backward_pass_in_another_thread_takes_the_backend_of_its_forward_pass(op, monkeypatch):
    x, seen, real = torch.randn(1, 4, 9, 7, requires_grad=True), [], backend.chosen
    layers = {
        "adder": lambda: Adder2d(4, 4, 3),
        "deform_conv2d": lambda: DeformConv2d(4, 4, 3),
        "depthwise_conv2d": lambda: SeparableConv2d(4, 4, 5).depthwise,
        "shift": lambda: Shift2d(4),
    }
    monkeypatch.setattr(backend, "chosen", lambda *given: seen.append((given[0], real(*given))) or seen[-1][1])
    monkeypatch.setenv(backend.VARIABLE, "torch")
    with backend.use("numba"):
        y = layers[op]()(x).sum()
    assert set(seen) == {(op, "numba")}
    seen.clear()
    thread = threading.Thread(target=y.backward)
    thread.start()
    thread.join()
    assert x.grad is not None
    assert set(seen) == {(op, "numba")}


def test_each_task_chooses_for_itself():
    async def one(name):
        with backend.use(name):
            await asyncio.sleep(0)  # the other task goes on here
            return backend.chosen("adder", CPU)

    async def both():
        return await asyncio.gather(one("torch"), one("auto"))

    assert asyncio.run(both()) == ["torch", FASTEST]


def test_the_environment_chooses_where_nobody_else_does(monkeypatch):
    monkeypatch.setenv(backend.VARIABLE, "torch")
    assert backend.chosen("adder", CPU) == "torch"
    with backend.use("auto"):
        assert backend.chosen("adder", CPU) == FASTEST
    monkeypatch.setenv(backend.VARIABLE, "")
    assert backend.chosen("adder", CPU) == FASTEST
    monkeypatch.setenv(backend.VARIABLE, "fortran")
    with pytest.raises(ValueError, match=r"CONVNOTES_BACKEND must be .* got 'fortran'"):
        Adder2d(2, 3, 1)(torch.zeros(1, 2, 4, 4))


def test_an_unknown_name_is_refused_and_changes_nothing():
    with pytest.raises(ValueError, match=r"the backend must be .* got 'cuda'"):
        backend.use("cuda")
    assert backend.chosen("adder", CPU) == FASTEST


def test_what_is_not_installed_is_refused_by_name_and_left_out_by_itself(without):
    without("numba", ModuleNotFoundError("No module named 'numba'"))
    without("triton", ModuleNotFoundError("No module named 'triton'"))
    assert backend.available() == ("torch",)
    assert backend.chosen("adder", CPU) == "torch"
    with pytest.raises(RuntimeError, match=r"'numba' cannot run: .*\"convnotes\[fast\]\"; what can: torch"):
        backend.use("numba")
    with pytest.raises(RuntimeError, match=r"triton is not installed"):
        backend.use("triton")


def test_what_does_not_import_is_refused_with_its_reason(without):
    without("numba", ImportError("Numba needs NumPy 2.9 or less"))
    assert backend.chosen("adder", CPU) == "torch"
    with pytest.raises(RuntimeError, match=r"importing numba fails \(Numba needs NumPy 2.9 or less\)"):
        backend.use("numba")


@needs_numba
def test_a_named_backend_refuses_another_device():
    with (
        backend.use("numba"),
        pytest.raises(
            RuntimeError, match="'numba' serves cpu, and adder got tensors on meta; what can run there: torch"
        ),
    ):
        backend.chosen("adder", [torch.zeros(1, device="meta")])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_triton_needs_a_gpu():
    with pytest.raises(RuntimeError, match=r"no CUDA device|not installed"):
        backend.use("triton")


@needs_numba
def test_a_traced_model_chooses_when_it_runs(monkeypatch):
    from convnotes.kernels.adder import in_numba

    calls, real = [], in_numba.contract
    monkeypatch.setattr(in_numba, "contract", lambda *inputs: calls.append(1) or real(*inputs))
    layer, x = Adder2d(2, 3, 3), torch.randn(1, 2, 6, 5)
    torch.compiler.reset()
    with backend.use("torch"):
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        exported = torch.export.export(layer, (x,)).module()
        expected = compiled(x)
    assert not calls
    with backend.use("numba"):
        torch.testing.assert_close(compiled(x), expected)
        torch.testing.assert_close(exported(x), expected)
    assert len(calls) == 2
