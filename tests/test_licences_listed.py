"""`LICENCES.md` lists each direct requirement with the licence that it names itself."""

import re
import sys
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
