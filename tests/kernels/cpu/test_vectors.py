"""Vectors of either width, the ends of the memory that is read, and the dates that numba's cache looks at."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")
from llvmlite import binding

from convnotes.kernels.adder import loops as adder
from convnotes.kernels.cpu import compile, product
from convnotes.kernels.deform import loops as deform
from convnotes.kernels.depthwise import loops as depthwise
from convnotes.kernels.shift import loops as shift
from convnotes.kernels.shift_pointwise import loops as shift_pointwise

# Inputs that end, or begin, where the memory of the process does: one element too far is the end of the process.
SCRIPT = """
import ctypes, mmap, sys
import llvmlite.binding, numpy, torch

if sys.argv[1] == "narrow":
    features = llvmlite.binding.get_host_cpu_features()
    features.update((name, False) for name in features if name.startswith("avx512"))
    llvmlite.binding.get_host_cpu_features = lambda: features

from convnotes.kernels import backend
from convnotes.kernels.adder import in_torch
from convnotes.kernels.adder.operator import Contraction, contract
from convnotes.kernels.cpu import vectors

assert vectors.WIDE == (sys.argv[1] == "wide")
libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
page, kept = mmap.PAGESIZE, []

def at_the_edge(tensor, end):
    size = tensor.numel() * tensor.element_size()
    room = -(-size // page) * page
    kept.append(mmap.mmap(-1, room + 2 * page))
    start = ctypes.addressof(ctypes.c_char.from_buffer(kept[-1]))
    for closed in (start, start + page + room):
        assert libc.mprotect(closed, page, 0) == 0
    first = page + (room - size if end else 0)
    view = numpy.frombuffer(kept[-1], tensor.numpy().dtype, tensor.numel(), first)
    placed = torch.from_numpy(view).view(tensor.shape)
    return placed.copy_(tensor)

torch.manual_seed(0)
for dtype, shape, stride, padding, dilation in (
    (torch.float32, (2, 3, 7, 5), (1, 1), (1, 1, 1, 1), (1, 1)),
    (torch.float32, (1, 9, 8, 8), (1, 1), (1, 1, 1, 1), (1, 1)),
    (torch.float64, (3, 2, 9, 11), (2, 1), (1, 0, 2, 1), (1, 2)),
    (torch.float32, (1, 2, 20, 37), (1, 1), (0, 0, 0, 0), (3, 1)),
):
    for end in (False, True):
        x = at_the_edge(torch.randn(shape, dtype=dtype), end)
        w = torch.randn(10, shape[1], 3, 3, dtype=dtype)
        geometry = (stride, padding, dilation, 1)
        distance, clamp = Contraction("output", "distance", *geometry), Contraction("input", "clamp", *geometry)
        plain = in_torch.contract(x, w, None, None, None, distance)
        g = at_the_edge(torch.randn(plain.shape, dtype=dtype), end)
        with backend.use("numba"):
            y = contract(x, w, None, None, None, distance)
            back = contract(x, w, g, None, None, clamp)
        torch.testing.assert_close(y, plain, rtol=1e-5, atol=1e-4)
        wanted = in_torch.contract(x, w, g, None, None, clamp)
        torch.testing.assert_close(back, wanted, rtol=1e-5, atol=1e-4)
print("equal")
"""


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_the_adder_reads_nothing_outside_its_inputs(width, tmp_path):
    if sys.platform != "linux":
        pytest.skip("the script closes pages of memory as Linux does")
    if width == "wide" and not binding.get_host_cpu_features().get("avx512f"):
        pytest.skip("no AVX-512 on this machine")
    environment = dict(os.environ)  # the loops of this processor are those that other tests have compiled
    if width == "narrow" and binding.get_host_cpu_features().get("avx512f"):
        environment |= {"NUMBA_CPU_NAME": "haswell", "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", SCRIPT, width], capture_output=True, text=True, env=environment)
    assert run.stdout == "equal\n", run.stderr


def test_what_is_kept_on_the_disk_hangs_on_every_file_of_loops(tmp_path):
    of_loops = ("cpu/jobs.py", "cpu/vectors.py", "cpu/product.py", "one/loops.py", "other/loops.py")
    for name in (*of_loops, "one/other.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    before = compile._dates.__wrapped__(tmp_path)
    (tmp_path / "one/other.py").write_text("1 + 1")
    assert compile._dates.__wrapped__(tmp_path) == before
    for name in of_loops:
        (tmp_path / name).write_text("1 + 1")
        after = compile._dates.__wrapped__(tmp_path)
        assert after != before
        before = after

    dates = compile._dates(Path(compile.__file__).parents[1])
    loops = (adder.sum_tiles, deform.sample, depthwise.by_weight, product.multiply_rows, shift.move_planes)
    for loop in (*loops, shift_pointwise.outputs):
        assert loop._cache._cache_file._source_stamp[1] == dates
