"""What is kept of compiled loops on the disk can only help: a damaged file, or none, costs a compilation."""

import os
import shutil
import subprocess
import sys

import pytest

from convnotes.kernels import backend

pytest.importorskip("numba", reason="the loops need numba")

SHIFT = """
import torch
from convnotes import shift2d
print(shift2d(torch.arange(4.0).view(1, 1, 2, 2), [(0, 1)]).flatten().tolist())
"""
FULL = "import builtins, errno\n" + SHIFT.replace(
    "print(",
    """
from numba.core import caching
def full(*given):
    raise OSError(errno.ENOSPC, "No space left on device")
caching.IndexDataCacheFile.save = full
print(""",
)


def run(folder, program=SHIFT):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder), backend.VARIABLE: "numba"}
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert found.stdout == "[1.0, 0.0, 3.0, 0.0]\n", found.stderr
    return found.stderr


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with what one process has compiled."""
    folder = tmp_path_factory.mktemp("kept")
    run(folder)
    return folder


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [(".nbi", lambda data: b""), (".nbi", lambda data: data[:-20]), (".nbc", lambda data: data[: len(data) // 2])],
    ids=["an empty index", "a cut index", "a cut object"],
)
def test_a_damaged_file_is_compiled_again_and_then_kept(suffix, damage, kept, tmp_path):
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    files = list(tmp_path.rglob(f"*{suffix}"))
    assert files
    for file in files:
        file.write_bytes(damage(file.read_bytes()))
    assert "numba compiles" in run(tmp_path)
    assert run(tmp_path) == ""


def test_where_the_disk_is_full_nothing_is_kept(tmp_path):
    assert "numba compiles" in run(tmp_path, FULL)
    assert not list(tmp_path.rglob("*.nbc"))
