"""The Triton kernels: in Triton's interpreter, compiled for a GPU that need not be there, and on one where there is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from convnotes.kernels import backend

pytest.importorskip("triton", reason="the kernels need triton")
HERE = Path(__file__).parent
needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")


def run(*command, **variables):
    environment = {k: v for k, v in os.environ.items() if k not in ("TRITON_INTERPRET", backend.VARIABLE)}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment | variables)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def cases(*options, **variables):
    plain = ("-q", "-n0", "-p", "no:nbval", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib")
    files = (str(HERE / name) for name in ("triton_cases.py", "aggregate_cases.py"))
    return run("-m", "pytest", *files, *plain, *options, **variables)


def test_the_kernels_in_the_interpreter_are_their_definitions():
    """Slow: about 20 s."""
    assert " passed" in cases(TRITON_INTERPRET="1")


COMPILE = """
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from convnotes.kernels.adder import in_triton as adder
from convnotes.kernels.aggregate import in_triton as aggregate
from convnotes.kernels.aggregate.sampling import Taps
from convnotes.kernels.adder.operator import Contraction
from convnotes.kernels.deform import in_triton as deform
from convnotes.kernels.deform.sampling import Sampling
from convnotes.kernels.shift_pointwise import in_triton as shift
from convnotes.kernels.shift_pointwise.operator import Mixing

TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.int32: "*i32", torch.int64: "*i64"}
seen = set()

def compiled(kernel, programs, where, *tensors, **numbers):
    options = {name: numbers.pop(name) for name in ("num_warps",)} | {"enable_fp_fusion": True}
    constants = {name: value for name, value in numbers.items() if name.isupper() and len(name) > 2}
    if "FACTOR" in constants:
        constants["FACTOR"] = triton.language.bfloat16
    values = dict(zip(kernel.arg_names, tensors, strict=False)) | numbers | constants
    assert values.keys() == set(kernel.arg_names)
    fixed = {name: value for name, value in values.items() if name in constants or type(value) is int and value == 1}
    types = {name: "constexpr" if name in fixed else TYPES[v.dtype] if isinstance(v, torch.Tensor) else "i32"
             for name, v in values.items()}
    if triton.__version__ < "3.3":  # constants by their names, and by those alone
        types, constants = {name: kind for name, kind in types.items() if kind != "constexpr"}, fixed
    else:
        constants = {(kernel.arg_names.index(name),): value for name, value in fixed.items()}
    source = ASTSource(kernel, types, constants)
    code = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert code.asm["cubin"]
    seen.add(kernel.fn.__name__)

for module in (adder, aggregate, deform, shift):
    module.launch = compiled
b = dict(dtype=torch.bfloat16)
x, w, g = torch.zeros(2, 4, 7, 6, **b), torch.zeros(6, 2, 3, 3, **b), torch.zeros(2, 6, 5, 4, **b)
geometry = ((1, 1), (0, 0, 0, 0), (1, 1), 2)
adder.contract(x, w, None, None, None, Contraction("output", "paper", *geometry))
for slope in ("clamp", "sign"):
    adder.contract(x, w, g, None, None, Contraction("input", slope, *geometry))
moves, weight, sent = torch.zeros(4, 2, dtype=torch.int64), torch.zeros(6, 4, **b), torch.zeros(2, 6, 4, 3, **b)
for factors in ((x, weight, None), (None, weight, sent), (x, None, sent)):
    shift.derivative(*factors, moves, Mixing((7, 6), 2))
offset, mask = torch.zeros(2, 36, 5, 4, **b), torch.zeros(2, 18, 5, 4, **b)
sampling = Sampling((1, 1), (0, 0), (1, 1))
deform.forward(x, offset, w, mask, sampling)
deform.backward(g, x, offset, w, None, sampling, (True,) * 4)
aggregate.forward(x, offset, mask, Taps((3, 3), *sampling))
aggregate.backward(g[:, :4], x, offset, mask, Taps((3, 3), *sampling), (True,) * 3)
torch.use_deterministic_algorithms(True)
deform.table_gradient = lambda weights, columns, index, rows: torch.zeros(rows, columns.shape[1])
deform.backward(g, x, offset, w, mask, sampling, (True, True, False, True))
print(*sorted(seen))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="triton compiles on Linux only")
def test_every_kernel_compiles_for_an_h100(tmp_path):
    """What the interpreter forgives, types that change in a loop among it, the compiler does not. Slow: about 20 s."""
    names = run("-c", COMPILE, TRITON_CACHE_DIR=str(tmp_path)).split()
    mixing, sampling = ["_output", "_by_input", "_by_weight"], ["forward", "by_samples", "by_weight", "aggregate"]
    assert names == sorted(["_sum_distances", "_sum_slopes", *mixing, *sampling])


def test_it_serves_cuda_tensors_only():
    assert backend.DEVICE["triton"] == "cuda"
    for op in backend.KERNELS:
        half = op in ("shift", "deform_conv2d", "deform_aggregate2d")  # half precision on the CPU too
        by_numba = half and "numba" in backend.available()
        assert backend.chosen(op, [torch.zeros(1, dtype=torch.bfloat16)]) == ("numba" if by_numba else "torch")


@needs_a_gpu
def test_the_kernels_on_the_gpu_are_their_definitions():
    assert " passed" in cases(CUBLAS_WORKSPACE_CONFIG=":4096:8")


@needs_a_gpu
def test_the_adder_on_the_gpu_is_torch_s_on_a_map_of_many_tiles():
    """How long they take is measured: `python -m convnotes.bench --op adder --device cuda --backend torch triton`."""
    from convnotes import adder2d

    x, w = torch.randn(32, 64, 56, 56, device="cuda"), torch.randn(64, 64, 3, 3, device="cuda")

    def by(name):
        with backend.use(name):
            return adder2d(x, w, padding=1)

    plain = by("torch")
    assert (by("triton") - plain).abs().max() <= 2e-5 * plain.abs().max()  # either errs by 1e-5 at most
