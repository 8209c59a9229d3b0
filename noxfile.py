"""The package's own tests at both ends of what is supported: `make matrix`, or one end by `nox -s oldest`.

No version is capped but those that make the old end old. An environment is kept in `.nox` and used again, as torch
brings gigabytes for CUDA. What is given after `--` takes the place of pytest's `tests`.
"""

import json
import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nox

nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["oldest", "newest", "table"]

NEEDED = ["-e", ".[data,train,viz,fast]", "pytest", "pytest-xdist", "hypothesis", "pyyaml", "build", "hatchling"]
# Those of the project's own options that need no plugin beside pytest-xdist: notebooks and pages are not tested here.
OPTIONS = "--import-mode=importlib --strict-markers -n=2 --dist=loadscope"
VERSIONS = """
import json, platform, numpy, torch
print(json.dumps([platform.python_version(), torch.__version__, numpy.__version__]))
"""
RESULTS = Path("_build", "matrix")

if shutil.which("pyenv"):  # it offers `python3.10` and its like only once their versions are named
    versions = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=True).stdout
    os.environ["PYENV_VERSION"] = ":".join(versions.split())


@nox.session(python="3.10")
def oldest(session: nox.Session) -> None:
    """Test on the oldest Python, torch and numpy that pyproject.toml allows."""
    session.install(*NEEDED, "torch==2.6.*", "numpy==1.26.*")
    test(session)


@nox.session(python="3.13")
def newest(session: nox.Session) -> None:
    """Test on the newest of everything that pip finds."""
    session.install("--upgrade", "--upgrade-strategy=eager", *NEEDED)
    test(session)


def test(session: nox.Session) -> None:
    results = RESULTS.absolute() / session.name
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    (results / "versions.json").write_text(session.run("python", "-c", VERSIONS, silent=True) or "")
    given = session.posargs or ["tests"]
    options = ["-o", f"addopts={OPTIONS}", "--ignore=tests/book", f"--junitxml={results / 'tests.xml'}"]
    session.run("python", "-m", "pytest", *options, *given)


@nox.session(venv_backend="none")
def table(session: nox.Session) -> None:
    """Print what the sessions before have found."""
    print(f"{'Python':10}{'torch':16}{'numpy':10}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for results in sorted(RESULTS.iterdir(), reverse=True):
        if not (results / "tests.xml").exists():
            print(f"{results.name} has not come to its end")
            continue
        python, torch, numpy = json.loads((results / "versions.json").read_text())
        (suite,) = ElementTree.parse(results / "tests.xml").getroot().iter("testsuite")
        total, skipped = int(suite.get("tests")), int(suite.get("skipped"))
        failed = int(suite.get("failures")) + int(suite.get("errors"))
        counts = f"{total - failed - skipped:8}{failed:8}{skipped:9}{float(suite.get('time')):9.0f}"
        print(f"{python:10}{torch:16}{numpy:10}{counts}")
