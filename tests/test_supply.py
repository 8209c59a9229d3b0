"""What the package needs and what it is shipped as: licences are listed, and a build can be made again to the byte."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SHIPPED = ("convnotes", "tests", "README.md", "CHANGELOG.md", "LICENSE", "LICENCES.md", "CITATION.cff")  # the sdist
LISTED = re.findall(r"^\| ([\w-]+) \| (the package|`\w+`) \| (.+) \|$", (ROOT / "LICENCES.md").read_text(), flags=re.M)
SPELLED = {"Apache-2.0": "Apache", "PSF": "Python Software Foundation"}  # as classifiers have it
SILENT = {"axe-playwright-python"}  # its metadata name no licence; its repository does


def needed() -> list[tuple[str, str]]:
    """Each direct requirement, with the extra that first asks for it."""
    asked = [("the package", PROJECT["dependencies"])]
    asked += [(f"`{extra}`", lines) for extra, lines in PROJECT["optional-dependencies"].items()]
    found: dict[str, str] = {}
    for extra, lines in asked:
        for line in lines:
            found.setdefault(Requirement(line).name, extra)
    del found["convnotes"]
    return list(found.items())


def said(name: str) -> str:
    """What a distribution says of its licence: by expression, by classifiers, or in words."""
    data = metadata(name)
    classifiers = [line for line in data.get_all("Classifier") or [] if line.startswith("License")]
    first = (data.get("License") or "").partition("\n")[0]
    return " ".join([data.get("License-Expression") or "", *classifiers, first])


def test_every_requirement_is_listed_once_in_the_order_of_pyproject():
    assert [(name, extra) for name, extra, _ in LISTED] == needed()


@pytest.mark.parametrize(("name", "licence"), [(name, licence) for name, _, licence in LISTED])
def test_the_licence_is_the_one_that_the_package_names(name, licence):
    try:
        words = said(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    assert not re.search(r"\bA?GPL|General Public", words), words
    if name in SILENT:
        assert words.strip() == "", "it names one by now: take it from SILENT"
        return
    for one in licence.split(", "):
        assert one in words or SPELLED.get(one, one) in words, words


def builds(folder: Path, into: Path, epoch: int) -> dict[str, bytes]:
    """A wheel and an sdist of a copy of the repository, whose files are all of one time."""
    for name in ("pyproject.toml", ".gitignore", *SHIPPED):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    for path in folder.rglob("*"):
        os.utime(path, (epoch, epoch))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", into, folder]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return {path.name: path.read_bytes() for path in into.iterdir()}


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    places = [tmp_path_factory.mktemp(name) for name in ("one", "another-place", "wheels", "others")]
    return builds(places[0], places[2], 1_600_000_000), builds(places[1], places[3], 1_700_000_000)


def test_two_builds_are_the_same_bytes(twice):
    one, other = ({name: hashlib.sha256(data).hexdigest() for name, data in made.items()} for made in twice)
    assert one == other
    assert sorted(name.rsplit(".", 1)[-1] for name in one) == ["gz", "whl"]


def test_the_sdist_holds_the_package_its_tests_and_no_data(twice, tmp_path):
    (name,) = (name for name in twice[0] if name.endswith(".tar.gz"))
    (tmp_path / name).write_bytes(twice[0][name])
    with tarfile.open(tmp_path / name) as archive:
        inside = {Path(*Path(member.name).parts[1:]) for member in archive.getmembers() if member.isfile()}
    tops = {path.parts[0] for path in inside}
    extra = {".gitignore", "pyproject.toml", "PKG-INFO"}
    assert tops == {*SHIPPED, *extra}
    assert Path("convnotes/py.typed") in inside
    kinds = {path.suffix for path in inside if path.parts[0] == "convnotes"}
    assert kinds == {".py", ".pyi", ".js", ".css", ".csv", ".typed", ".toml"}
    assert not [path for path in inside if path.suffix in (".png", ".jpg", ".pt", ".npz", ".gz", ".pkl")]
