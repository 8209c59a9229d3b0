"""Run nbval on a notebook that a test has made."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat


def failed_cells(folder: Path, made: nbformat.NotebookNode) -> list[int]:
    """The cells of a notebook that nbval refuses, with the comparison of the book."""
    nbformat.write(made, folder / "made.ipynb")
    (folder / "conftest.py").write_text(f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
                                        "from support.measured import pytest_itemcollected\n")  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env",
         f"--nbval-sanitize-with={Path(__file__).with_name('nbval_sanitise.cfg')}", "--nbval-cell-timeout=300",
         "-rA", "-q", "made.ipynb"],
        cwd=folder, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    passed = re.findall(r"^PASSED .*::Cell (\d+)", run.stdout, flags=re.M)
    failed = sorted(int(n) for n in re.findall(r"^FAILED .*::Cell (\d+)", run.stdout, flags=re.M))
    assert len(passed) + len(failed) == sum(c.cell_type == "code" for c in made.cells), run.stdout[-3000:]
    return failed
