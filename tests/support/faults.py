"""Faults at every point where a call writes to the disk: the process is killed there, the disk is full or closed.

A script: it imports what is needed once and forks a child for each fault, so that no thread is forked, and prints what
went wrong as JSON: `faults.py FOLDER SCENARIO:STEP …`. Every STEP-th point is taken. A point is a call that Python
reports to its audit hooks (open for writing, mkdir, rename, remove, rmdir), or fsync; what C++ and Rust write between
two of them meets the limit on the size of a file.
"""

import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
EVENTS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.fsync"}
SIZES = (0, 1, 64, 300, 900, 1500, 3000, 6000)  # bytes that a file may have


@dataclass(frozen=True)
class Scenario:
    """`act` writes; `look` tells what a reader finds; both get the folder, which `prepare` filled, and give JSON."""

    prepare: Callable[[Path], object]
    act: Callable[[Path], Any]
    look: Callable[[Path], Any]
    keeps: bool = False  # where `act` fails it leaves what the next call goes on from


def points(folder: Path, meet: Callable[[int, str], object]) -> None:
    """Call `meet` with number and name before each point from here on, in this process."""
    met, sync = 0, os.fsync

    def hook(event: str, given: tuple[Any, ...]) -> None:
        nonlocal met
        if event == "open":
            counts = given[2] & WRITES and str(given[0]).startswith(str(folder))
        else:  # rmtree names what is in an open folder by its bare name
            counts = event in EVENTS and (event == "os.fsync" or not str(given[0]).startswith(("/dev", "/proc")))
        if counts:
            met += 1
            meet(met, f"{event} {given[0]}")

    def audited(place: int) -> None:
        sys.audit("os.fsync", place)
        sync(place)

    os.fsync = audited
    sys.addaudithook(hook)


def killed(number: int, name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refused(number: int, name: str) -> None:
    raise OSError(28, "No space left on device")


def closed(number: int, name: str) -> None:
    raise PermissionError(13, "Permission denied")


def full(number: int, name: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def arm(kind: str, at: int, folder: Path) -> None:
    """Let the fault come: at point `at`, or where a file grows beyond `at` bytes."""
    if kind in ("small", "killed as it writes"):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN if kind == "small" else signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, resource.RLIM_INFINITY))
        return
    fault = {"killed": killed, "refused": refused, "closed": closed, "full": full}[kind]
    points(folder, lambda number, name: fault(number, name) if number == at or kind == "closed" else None)


def child(work: Callable[[], Any], seconds: float = 60) -> Any:
    """What `work` gives in a forked child, as JSON; None where it is killed."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            answer = work()
        except BaseException as problem:
            answer = {"error": f"{type(problem).__name__}: {problem}", "is OSError": isinstance(problem, OSError)}
        os.write(write, json.dumps(answer).encode())
        os._exit(0)
    os.close(write)
    end = time.monotonic() + seconds
    with os.fdopen(read, "rb") as stream:
        os.set_blocking(stream.fileno(), False)
        content = b""
        while True:
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return {"error": f"it hung for {seconds} s"}
            if piece := stream.read():
                content += piece
            elif piece == b"":
                break
            else:
                time.sleep(0.002)
    os.waitpid(pid, 0)
    return json.loads(content) if content else None


def names(folder: Path) -> list[str]:
    """What lies there, but for an empty hidden folder, which the next download removes."""
    found = [path for path in folder.rglob("*") if not path.name.startswith(".convnotes-") or any(path.iterdir())]
    return sorted(str(path.relative_to(folder)) for path in found)


def count(act: Callable[[Path], Any], folder: Path) -> int:
    met: list[str] = []
    points(folder, lambda number, name: met.append(name))
    act(folder)
    return len(met)


def faults(scenario: Scenario, folder: Path, step: int) -> Iterator[tuple[str, int]]:
    trial = folder / "counted"
    shutil.copytree(folder / "old", trial)
    last = child(lambda: count(scenario.act, trial))
    assert isinstance(last, int), last
    for kind in ("killed", "refused", "full"):
        yield from ((kind, at) for at in sorted({*range(1, last + 1, step), last}))
    yield "closed", 1
    for kind in ("small", "killed as it writes"):
        yield from ((kind, size) for size in SIZES[:: min(step, 2)])


def tried(scenario: Scenario, folder: Path, step: int) -> dict[str, Any]:
    """{"faults": how many, "wrong": what went wrong}."""
    old = folder / "old"
    old.mkdir(parents=True)
    child(lambda: scenario.prepare(old))
    new = folder / "new"
    shutil.copytree(old, new)
    before = {"seen": child(lambda: scenario.look(old)), "names": names(old)}
    expected = {"result": child(lambda: scenario.act(new)), "seen": child(lambda: scenario.look(new))}
    expected["names"] = names(new)
    wrong, number = [], 0
    for kind, at in faults(scenario, folder, step):
        number += 1
        trial = folder / "trial"
        shutil.copytree(old, trial)

        def faulty(kind: str = kind, at: int = at, trial: Path = trial) -> Any:
            arm(kind, at, trial)
            return scenario.act(trial)

        answer, bad = child(faulty), []
        left, seen = names(trial), child(lambda trial=trial: scenario.look(trial))
        failed = isinstance(answer, dict) and "error" in answer
        if seen not in (before["seen"], expected["seen"]):
            bad.append(f"a reader finds {seen}")
        if failed:
            said = answer["error"]
            if not answer.get("is OSError") or str(trial) not in said or "could not be written" not in said:
                bad.append(f"it says {said}")
            if not scenario.keeps and left not in (before["names"], expected["names"]):
                bad.append(f"it leaves {sorted(set(left) ^ set(before['names']))}")
        elif answer is not None and answer != expected["result"]:
            bad.append(f"it gives {answer}")
        again = child(lambda trial=trial: scenario.act(trial))
        if again != expected["result"]:
            bad.append(f"the next call gives {again}")
        if names(trial) != expected["names"]:
            bad.append(f"the next call leaves {sorted(set(names(trial)) ^ set(expected['names']))}")
        shutil.rmtree(trial)
        wrong += [f"{kind} at {at}: {one}" for one in bad]
    return {"faults": number, "wrong": wrong}


def main() -> None:
    from support.fault_scenarios import SCENARIOS

    folder, *chosen = sys.argv[1:]
    answers = {}
    for name, step in (one.split(":") for one in chosen):
        answers[name] = tried(SCENARIOS[name], Path(folder) / name, int(step))
    print(json.dumps(answers))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
