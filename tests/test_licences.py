"""The licences of all that a reader installs with the package, from the metadata of what is installed."""

import re
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

RUNTIME = {"data", "train", "viz", "fast", "gpu", "onnx"}
FREE = re.compile(r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Zlib|0BSD|CC0|BSL-1\.0|HPND")
COPYLEFT = re.compile(r"\b(?:[AL]?GPL|MPL|EPL|CDDL|EUPL|GNU|Mozilla|SSPL)", re.IGNORECASE)
# Copyleft of single files: it asks nothing of code that only imports them.
NOTED = {
    "certifi": "MPL-2.0, for the list of certificates; used unchanged",
    "tqdm": "MPL-2.0 and MIT; used unchanged",
}


def licence(name: str) -> str:
    """What a distribution says of its licence: the expression, else the classifiers, else the first line in words."""
    told = distribution(name).metadata
    classified = [line.split(" :: ")[-1] for line in told.get_all("Classifier") or () if line.startswith("License ::")]
    words = (told.get("License") or "").splitlines()[:1]
    return told.get("License-Expression") or "; ".join(classified) or "".join(words)


def required() -> dict[str, str]:
    """Every distribution that the runtime extras bring, as far as it is installed → its licence."""
    open_ = [
        Requirement(line).name
        for line in distribution("convnotes").requires or ()
        if "extra ==" not in line or RUNTIME & set(re.findall(r"extra == ['\"](\w+)", line))
    ]
    found: dict[str, str] = {}
    while open_:
        name = canonicalize_name(open_.pop())
        if name in found or name == "convnotes":
            continue
        try:
            found[name] = licence(name)
        except PackageNotFoundError:
            continue
        lines = map(Requirement, distribution(name).requires or ())
        open_ += [line.name for line in lines if line.marker is None or line.marker.evaluate({"extra": ""})]
    return found


def test_every_dependency_says_its_licence_and_copyleft_has_a_note():
    licences = required()
    assert {"torch", "numpy"} <= set(licences)
    own = {name for name in licences if not name.startswith(("nvidia-", "cuda-"))}  # what torch for CUDA brings
    assert {name: licences[name] for name in own - set(NOTED) if not FREE.search(licences[name])} == {}
    assert {name for name in own if COPYLEFT.search(licences[name])} <= set(NOTED)
