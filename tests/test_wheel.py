"""The wheel alone: beside torch and numpy, in an environment outside the repository with nothing else."""

import os
import re
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from support.distributions import closure

from convnotes.checks import EXTRA

ROOT = Path(__file__).parents[1]
SUPPORT = ROOT / "tests" / "support"


def entries(name: str) -> list[Path]:
    """What a distribution has put into its site-packages."""
    parts = distribution(name)
    tops = {file.parts[0] for file in parts.files or () if file.suffix != ".pth"} - {"..", "__pycache__"}
    return [Path(parts.locate_file(top)) for top in sorted(tops)]


@pytest.fixture(scope="module")
def lent() -> list[Path]:
    """The files of torch, numpy and what they require."""
    return [path for name in sorted(closure("torch", "numpy")) for path in entries(name)]


@pytest.fixture(scope="module")
def empty(tmp_path_factory, wheel, lent):
    """Run the Python of a new environment, in a folder outside the repository; gives what it prints."""
    home, elsewhere = tmp_path_factory.mktemp("env"), tmp_path_factory.mktemp("elsewhere")
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    (python,) = (path for path in (home / "bin" / "python", home / "Scripts" / "python.exe") if path.exists())
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip())
    for path in lent:
        if not (site / path.name).exists():  # two distributions may share a folder
            (site / path.name).symlink_to(path, target_is_directory=path.is_dir())
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, capture_output=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CONVNOTES"))}

    def run(*words: str | Path) -> str:
        done = subprocess.run([python, "-s", *words], cwd=elsewhere, env=kept, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (elsewhere / "support").mkdir()
    for file in ("layer_cases.py", "beyond_cases.py", "network_cases.py", "layer_definitions.py", "public_calls.py"):
        (elsewhere / "support" / file).write_text((SUPPORT / file).read_text())
    return run


def test_the_environment_is_empty(empty, lent):
    listed = set(empty("-c", "import pkgutil; print(*(m.name for m in pkgutil.iter_modules()))").split())
    assert {"torch", "numpy", "convnotes"} <= listed
    assert not {"pytest", "yaml", "pip", *EXTRA} - {path.name for path in lent} & listed
    folders = empty("-c", "import sys; print(*sys.path, sep='\\n')").splitlines()
    assert not [folder for folder in folders if folder and ROOT in (Path(folder), *Path(folder).parents)]


def readme_example() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    return code


def test_the_readme_s_example_runs(empty):
    printed = empty("-c", f"{readme_example()}\nimport convnotes; print(convnotes.__file__)")
    assert "site-packages" in printed.splitlines()[-1], "the example ran from the repository, not from the wheel"
    assert str(ROOT) not in printed.splitlines()[-1]


def test_every_public_name_is_called(empty):
    names = empty("-c", "import convnotes; print(*convnotes.__all__)").split()
    called = set(empty("-m", "support.public_calls", "names").split())
    assert set(names) - called == set(), "public names without a call in public_calls.py or a case in layer_cases.py"


def test_every_missing_extra_is_asked_for(empty, lent):
    there = {path.name for path in lent} & set(EXTRA)  # torch for CUDA brings triton
    asked = empty("-m", "support.public_calls", "extras", *sorted(there)).split()
    assert {EXTRA[package] for package in (*asked, *there)} == set(EXTRA.values())


def test_the_stored_rows_are_found_where_the_package_is_installed(empty):
    code = "from convnotes import bench, designs; from convnotes.bench.start import Start; "
    code += "from convnotes.measure.rows import Rows; "
    code += "print(len(bench.read()), len(designs.read()), len(Rows.read(Start)))"
    names = ("bench/rows/bench.csv", "designs/rows/designs.csv", "bench/rows/start.csv")
    stored = [len((ROOT / "convnotes" / name).read_text().splitlines()) - 1 for name in names]
    assert [int(number) for number in empty("-c", code).split()] == stored
    assert min(stored) > 0


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name) for name in archive.namelist() if not name.endswith("/")}
    inside = {path for path in names if path.parts[0] == "convnotes"}
    assert {path.parts[0].split("-")[0] for path in names} == {"convnotes"}, "the package and its metadata"
    assert Path("convnotes/py.typed") in inside
    kinds = {".py", ".js", ".css", ".csv"}
    here = {path.relative_to(ROOT) for path in (ROOT / "convnotes").rglob("*") if path.suffix in kinds}
    assert here <= inside
    assert {path.suffix for path in here} == kinds
    assert {path.suffix for path in inside - {Path("convnotes/py.typed")}} <= {*kinds, ".pyi"}
    assert {str(path.parent) for path in here if path.suffix == ".csv"} == {
        "convnotes/bench/rows",
        "convnotes/designs/rows",
    }
    assert not [path for path in names if {"tests", "book"} & set(path.parts) or path.name.startswith("test_")]
