"""What is installed here, by the metadata of the distributions."""

from importlib.metadata import PackageNotFoundError, distribution, metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(*names: str) -> set[str]:
    """These distributions and all that they require here, without extras, as far as it is installed."""
    found, open_ = set(), list(names)
    while open_:
        name = canonicalize_name(open_.pop())
        try:
            lines = () if name in found else distribution(name).requires or ()
        except PackageNotFoundError:
            continue
        found.add(name)
        required = map(Requirement, lines)
        open_ += [r.name for r in required if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def licence(name: str) -> str:
    """What a distribution says of its licence: the expression, the classifiers, and the first line in words."""
    data = metadata(name)
    classifiers = [line for line in data.get_all("Classifier") or [] if line.startswith("License")]
    first = (data.get("License") or "").partition("\n")[0]
    return " ".join([data.get("License-Expression") or "", *classifiers, first])
