"""Wherever a process is killed while it writes, or the disk is full, the old file or the new one is there, whole.

Every fifth point of a training's state and every second one of the others is tried; `make faults` tries them all.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="a full disk is made by a limit that Windows does not have")
pytest.importorskip("accelerate", reason="the state of a training needs accelerate")
pytest.importorskip("matplotlib", reason="a figure needs matplotlib")

SCRIPT = Path(__file__).parent / "support" / "faults.py"
STEPS = {"rows": 2, "figure": 2, "download": 3, "training": 5}
if os.environ.get("FAULTS") == "all":
    STEPS = dict.fromkeys(STEPS, 1) | {"designs": 3}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Scenario → {"faults": how many were tried, "wrong": what went wrong}."""
    chosen = [f"{name}:{step}" for name, step in STEPS.items()]
    command = [sys.executable, SCRIPT, tmp_path_factory.mktemp("faults"), "careless:1", *chosen]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("scenario", STEPS)
def test_the_old_is_whole_the_error_says_what_to_do_and_the_next_call_gives_the_same(scenario, found):
    """The error names the file; nothing half written is left by it, and nothing at all after the next call."""
    assert found[scenario]["wrong"] == []
    assert found[scenario]["faults"] >= 15


def test_a_writer_that_empties_the_old_file_first_is_found(found):
    """By a kill, by a full disk, and by an error that does not say what to do."""
    wrong = found["careless"]["wrong"]
    for said in (
        "full at 1: a reader finds",
        "killed as it writes at 64: a reader finds",
        "small at 0: it says OSError",
    ):
        assert any(one.startswith(said) for one in wrong), wrong
