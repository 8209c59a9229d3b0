"""The licences of what pip installs: `LICENCES.md` lists what each requirement names, and copyleft has a note."""

import re
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.distributions import closure, licence

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LISTED = re.findall(r"^\| ([\w-]+) \| (the package|`\w+`) \| (.+) \|$", (ROOT / "LICENCES.md").read_text(), flags=re.M)
SPELLED = {"Apache-2.0": "Apache", "PSF": "Python Software Foundation"}  # as classifiers have it
SILENT = {"axe-playwright-python"}  # its metadata name no licence; its repository does
RUNTIME = {"data", "train", "viz", "fast", "gpu", "onnx"}
FREE = re.compile(r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Zlib|0BSD|CC0|BSL-1\.0|HPND")
COPYLEFT = re.compile(r"\b(?:[AL]?GPL|MPL|EPL|CDDL|EUPL|GNU|Mozilla|SSPL)", re.IGNORECASE)
# Copyleft of single files: it asks nothing of code that only imports them.
NOTED = {
    "certifi": "MPL-2.0, for the list of certificates; used unchanged",
    "tqdm": "MPL-2.0 and MIT; used unchanged",
}


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


def test_every_requirement_is_listed_once_in_the_order_of_pyproject():
    assert [(name, extra) for name, extra, _ in LISTED] == needed()


@pytest.mark.parametrize(("name", "listed"), [(name, listed) for name, _, listed in LISTED])
def test_the_licence_is_the_one_that_the_package_names(name, listed):
    try:
        words = licence(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    assert not re.search(r"\bA?GPL|General Public", words), words
    if name in SILENT:
        assert words.strip() == "", "it names one by now: take it from SILENT"
        return
    for one in listed.split(", "):
        assert one in words or SPELLED.get(one, one) in words, words


def test_every_dependency_says_its_licence_and_copyleft_has_a_note():
    """Of the package and its runtime extras, with all that they require."""
    extras = [line for extra in RUNTIME for line in PROJECT["optional-dependencies"][extra]]
    direct = [Requirement(line).name for line in (*PROJECT["dependencies"], *extras)]
    licences = {name: licence(name) for name in closure(*direct)}
    assert {"torch", "numpy"} <= set(licences)
    own = {name for name in licences if not name.startswith(("nvidia-", "cuda-"))}  # what torch for CUDA brings
    assert {name: licences[name] for name in own - set(NOTED) if not FREE.search(licences[name])} == {}
    assert {name for name in own if COPYLEFT.search(licences[name])} <= set(NOTED)
