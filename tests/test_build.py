"""What is released is the same, byte for byte, wherever and whenever it is built, and holds what it should."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("convnotes", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff")
SCATTERED = shutil.ignore_patterns("__pycache__")


@pytest.fixture(scope="module")
def builds(tmp_path_factory) -> list[Path]:
    """Wheel and sdist out of two folders: the files of the second are of another year."""
    folders = []
    for name, year in (("here", None), ("elsewhere", 1_500_000_000)):
        source = tmp_path_factory.mktemp(name) / name
        source.mkdir()
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, source / part, ignore=SCATTERED)
            else:
                shutil.copy2(ROOT / part, source / part)
        if year:
            for path in source.rglob("*"):
                os.utime(path, (year, year))
        made = source.parent / "dist"
        kept = {word: value for word, value in os.environ.items() if word != "SOURCE_DATE_EPOCH"}
        build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", made, source]
        run = subprocess.run(build, env=kept, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        folders.append(made)
    return folders


def test_two_builds_are_equal_byte_for_byte(builds):
    one, two = ({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in d.iterdir()} for d in builds)
    assert len(one) == 2, "a wheel and an sdist"
    assert one == two


def test_the_sdist_holds_the_package_and_no_data_set(builds):
    (file,) = builds[0].glob("*.tar.gz")
    with tarfile.open(file) as archive:
        members = archive.getmembers()
    names = {Path(*Path(member.name).parts[1:]).as_posix() for member in members if member.isfile()}
    assert {"convnotes/py.typed", "convnotes/bench/rows/bench.csv", "LICENSE", "pyproject.toml", "PKG-INFO"} <= names
    assert {Path(name).suffix for name in names if name.startswith("convnotes/")} <= {
        ".py",
        ".pyi",
        ".js",
        ".css",
        ".csv",
        ".toml",
        ".typed",
        "",
    }
    assert max(member.size for member in members) < 500_000, "a data set or a build has come in"
