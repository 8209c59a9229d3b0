"""One, two and four processes, a group with an error in one process, and two groups as on two machines."""

import json
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SCRIPT = TESTS / "support" / "train_script.py"
PAGE = TESTS.parent / "book" / "reference" / "training.md"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
PLAIN, EVEN, CONSTANT = {}, {"even": True, "batch_size": 8}, {"schedule": "constant"}


def begin(command: list, out: Path, *options: dict) -> subprocess.Popen:
    arguments = [json.dumps(one, default=str) for one in options]
    return subprocess.Popen([*command, SCRIPT, out, *arguments], stdout=-1, stderr=subprocess.STDOUT, text=True)


def end(run: subprocess.Popen, expected: int = 0) -> str:
    """What the run printed; a group that hangs is ended, its workers by torchrun."""
    try:
        said, _ = run.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        run.terminate()
        said, _ = run.communicate(timeout=60)
        pytest.fail(f"no end after 120 seconds: {said[-3000:]}")
    assert run.returncode == expected, said[-3000:]
    return said


def results(out: Path) -> list[list[dict]]:
    return [json.loads(file.read_text()) for file in sorted(out.parent.glob(f"{out.name}.*.json"))]


def group(processes: int) -> list[str]:
    return [*TORCHRUN, "--standalone", f"--nproc-per-node={processes}"]


def assert_equal(result: dict, expected: dict) -> None:
    """Losses and weights within the rounding of float64, everything counted exactly."""
    for name in ("step_loss", "loss"):
        assert result["history"][name] == pytest.approx(expected["history"][name], rel=1e-9), name
    for name in ("train_accuracy", "test_accuracy", "train_samples", "test_samples"):
        assert result["history"][name] == expected["history"][name], name
    for name, values in expected["weights"].items():
        assert flat(result["weights"][name]) == pytest.approx(flat(values), rel=1e-7, abs=1e-9), name


def flat(values) -> list[float]:
    return [number for value in values for number in flat(value)] if isinstance(values, list) else [values]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """By the number of processes; the first two epochs of the third training are of two processes, not of four."""
    folder = tmp_path_factory.mktemp("groups")
    saved = {**CONSTANT, "checkpoint": folder / "state"}
    end(begin([sys.executable], folder / "1", EVEN, PLAIN, CONSTANT))
    end(begin(group(2), folder / "2", EVEN, PLAIN, saved | {"epochs": 2}, PLAIN))
    end(begin(group(4), folder / "4", EVEN, PLAIN, saved))
    return {processes: results(folder / str(processes)) for processes in (1, 2, 4)}


@pytest.mark.parametrize("case", [0, 1], ids=["even", "uneven"])
@pytest.mark.parametrize("processes", [2, 4])
def test_more_processes_give_the_numbers_of_one(processes, case, runs):
    ((*expected, _),) = runs[1]
    assert len(runs[processes]) == processes
    for result in runs[processes]:
        assert_equal(result[case], expected[case])


def test_the_same_seed_gives_two_processes_the_same_curve_again(runs):
    for _, first, _, again in runs[2]:
        assert first == again


def test_four_processes_go_on_where_two_stopped(runs):
    ((*_, expected),) = runs[1]
    for *_, result in runs[4]:
        assert result["steps"] == 6, "the third epoch alone"
        assert_equal(result, expected)


def test_the_error_of_one_process_ends_the_group_and_is_shown(tmp_path):
    said = end(begin(group(2), tmp_path / "run", {"raise_at": 3}), expected=1)
    assert "RuntimeError: the model of the last process failed" in said
    assert results(tmp_path / "run") == []


def test_the_command_for_several_machines_joins_two_groups(runs, tmp_path):
    (command,) = re.findall(r"^torchrun --nnodes=2.*?train_digits\.py$", PAGE.read_text("utf-8"), flags=re.M | re.S)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for there, here in {"HOST:29500": f"127.0.0.1:{port}", "--nproc-per-node=8": "--nproc-per-node=1"}.items():
        assert there in command
        command = command.replace(there, here)
    program, *arguments, script = shlex.split(command.replace("\\\n", " "))
    assert (program, script) == ("torchrun", "train_digits.py")
    for machine in [begin([*TORCHRUN, *arguments], tmp_path / "run", PLAIN) for _ in range(2)]:
        end(machine)
    assert len(results(tmp_path / "run")) == 2
    for (result,) in results(tmp_path / "run"):
        assert_equal(result, runs[1][0][1])
