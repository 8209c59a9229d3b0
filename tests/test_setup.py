"""The files that set an environment up agree with each other."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

tomllib = pytest.importorskip("tomllib", reason="reading pyproject.toml needs Python 3.11")
ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# conda-forge's name → PyPI's.
ON_PYPI = {"pytorch-cpu": "torch", "brotli-python": "brotli"}


def requirements(*extras: str) -> dict[str, Requirement]:
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    parsed = map(Requirement, lines)
    return {canonicalize_name(r.name): r for r in parsed if r.name != "convnotes"}


def constraints() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def conda() -> dict[str, str]:
    rows = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    rows = [r for r in rows if isinstance(r, str)] + [p for r in rows if isinstance(r, dict) for p in r["pip"]]
    split = [re.match(r"([\w-]+)(.*)", row).groups() for row in rows if not row.startswith("-")]
    return {canonicalize_name(ON_PYPI.get(name, name)): versions for name, versions in split}


def test_conda_asks_for_the_ranges_of_pyproject():
    wanted = requirements("fast", "data", "train", "viz", "book")
    listed = conda()
    assert set(listed) - {"python", "pip"} == set(wanted)
    for name, requirement in wanted.items():
        assert set(listed[name].split(",")) == {str(s) for s in requirement.specifier}, name


def test_conda_s_python_is_supported():
    assert conda()["python"].lstrip("=") in Requirement(f"python{PROJECT['requires-python']}").specifier


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.13"])
def test_every_constraint_lies_in_its_range_and_none_is_missing(python):
    pinned = {}
    for r in constraints():
        if r.marker is None or r.marker.evaluate({"python_version": python}):
            assert canonicalize_name(r.name) not in pinned, f"{r.name} is pinned twice for Python {python}"
            (pin,) = r.specifier
            assert pin.operator == "=="
            pinned[canonicalize_name(r.name)] = pin.version
    for name, requirement in requirements("fast", "data", "train", "viz", "book", "test").items():
        assert name in pinned, f"{name} has no line in constraints.txt"
        assert pinned[name] in requirement.specifier, name


def test_the_version_is_said_once_and_the_same_everywhere():
    import convnotes

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert convnotes.__version__ == PROJECT["version"] == cited
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_make_says_what_it_can_make_and_refuses_an_old_python(tmp_path):
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("book", "test", "serve", "notebooks", "bench", "clean", "help"):
        assert f"make {target}" in told
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.1"\nexit 1\n')
    old.chmod(0o755)
    refused = subprocess.run(
        ["make", f"PYTHON={old}", f"VENV={tmp_path / 'none'}", "test"], cwd=ROOT, capture_output=True, text=True
    )
    assert refused.returncode != 0
    assert "needs Python 3.10 or newer" in refused.stdout
    assert "3.8.1" in refused.stdout
    assert not (tmp_path / "none").exists()


def test_the_linter_of_javascript_is_pinned_and_its_lock_file_names_no_address():
    wanted = json.loads((ROOT / "package.json").read_text())
    assert wanted["private"] is True
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    for name, version in wanted["devDependencies"].items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), f"{name} is not pinned exactly"
        assert locked[f"node_modules/{name}"]["version"] == version
    assert not any("resolved" in package for package in locked.values())


def test_no_file_names_a_registry_or_a_path_of_somebody_s_machine():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    forbidden = re.compile("/" + r"(root|home|Users)/|pypi\.org|/opt/py|registry\.npmjs")
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in {".png", ".ico", ".woff"} or not path.exists():
            continue
        found = forbidden.search(path.read_text(errors="replace"))
        assert not found or name == "tests/test_setup.py", f"{name}: {found.group()}"


def test_the_stored_numbers_ask_for_no_processor():
    """Nothing chooses an instruction set or a library's code path: the numbers hold on every processor."""
    for file in ("Makefile", ".ci/run", "book/execute.py", "book/conftest.py", "tests/conftest.py"):
        text = (ROOT / file).read_text()
        assert not re.search("ATEN_CPU_CAPABILITY|MKL_CBWR|ONEDNN_MAX_CPU_ISA|MKL_ENABLE_INSTRUCTIONS", text), file
