"""Break a module in many small ways, one at a time, and see which of them its tests do not notice (`make mutation`).

cosmic-ray makes the mutants and runs the tests. A session is kept in `_build/mutation`: a second call goes on with it.
The module is changed on the disk while a mutant is tested, and put back afterwards. A run that is killed can leave a
mutant behind, so a module with uncommitted changes is refused: `git checkout` it first. Loops of numba and Triton
are left out: give no module that holds them.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

ROOT = Path(__file__).parents[2]


def tests_of(module: Path) -> list[str]:
    """The test files that mirror a module: test_y.py, test_y_*.py, or those of its folder if there is none."""
    folder = ROOT / "tests" / module.parent.relative_to("convnotes")
    named = [*folder.glob(f"test_{module.stem}.py"), *folder.glob(f"test_{module.stem}_*.py")]
    return [str(path.relative_to(ROOT)) for path in sorted(named) or sorted(folder.glob("test_*.py"))]


def start(module: Path, session: Path) -> None:
    pytest = [Path(sys.executable).as_posix(), "-m", "pytest", "-n0", "-x", "-q", "-p", "no:cacheprovider"]
    config = {"module-path": str(module), "timeout": 300.0, "excluded-modules": [],
              "test-command": " ".join(pytest + tests_of(module))}  # fmt: skip
    lines = [f"{key} = {json.dumps(value)}" for key, value in config.items()]
    text = "\n".join(["[cosmic-ray]", *lines, "[cosmic-ray.distributor]", 'name = "local"', ""])
    session.with_suffix(".toml").write_text(text)
    command = [sys.executable, "-m", "cosmic_ray.cli"]
    subprocess.run([*command, "baseline", session.with_suffix(".toml")], cwd=ROOT, check=True)
    subprocess.run([*command, "init", session.with_suffix(".toml"), session], cwd=ROOT, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", type=Path)
    parser.add_argument("--sample", default="40", help="how many mutants, drawn with a fixed seed, or `all`")
    given = parser.parse_args()
    folder = ROOT / "_build" / "mutation"
    folder.mkdir(parents=True, exist_ok=True)
    session = folder / f"{'.'.join(given.module.with_suffix('').parts)}-{given.sample}.sqlite"
    if subprocess.run(["git", "diff", "--quiet", "HEAD", "--", given.module], cwd=ROOT).returncode:
        sys.exit(f"{given.module} has uncommitted changes, perhaps a mutant of a killed run: undo them.")
    if not session.exists():
        start(given.module, session)
        with use_db(session, WorkDB.Mode.open) as db:
            items = sorted(db.work_items, key=lambda item: str(item.mutations))
            kept = len(items) if given.sample == "all" else min(int(given.sample), len(items))
            chosen = {item.job_id for item in random.Random(0).sample(items, kept)}
            for item in items:
                if item.job_id not in chosen:
                    db.set_result(item.job_id, WorkResult(WorkerOutcome.SKIPPED))
    subprocess.run([sys.executable, "-m", "cosmic_ray.cli", "exec", session.with_suffix(".toml"), session], cwd=ROOT)
    with use_db(session, WorkDB.Mode.open) as db:
        done = [(job, r) for job, r in db.results if r.worker_outcome != WorkerOutcome.SKIPPED]
    survived = [result for _, result in done if result.test_outcome == TestOutcome.SURVIVED]
    for result in survived:
        print(result.diff)
    print(f"{given.module}: {len(done)} mutants tested, {len(survived)} survived.")


if __name__ == "__main__":
    main()
