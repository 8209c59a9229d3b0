"""What every room refuses in the same words. Ground floor: any room may import it, and it imports none.

An optional package is imported where it is used, by `optional` or inside `with naming_extras():`. Where it is missing,
the error names it and the extra that brings it.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from types import ModuleType

# What is imported → the extra of pyproject.toml that brings it.
EXTRA = {
    "skimage": "data",
    "sklearn": "data",
    "pooch": "data",
    "PIL": "data",
    "accelerate": "train",
    "safetensors": "train",
    "tqdm": "train",
    "matplotlib": "viz",
    "ipywidgets": "viz",
    "anywidget": "viz",
    "traitlets": "viz",
    "IPython": "viz",
    "numba": "fast",
    "llvmlite": "fast",
    "triton": "gpu",
}


def missing(package: str) -> str:
    """The sentence that asks for an optional package."""
    return f'{package} is not installed: pip install "convnotes[{EXTRA[package]}]"'


@contextlib.contextmanager
def naming_extras() -> Iterator[None]:
    """Inside: the `ModuleNotFoundError` of an optional package says which extra brings it."""
    try:
        yield
    except ModuleNotFoundError as problem:
        package = (problem.name or "").split(".")[0]
        if package not in EXTRA:
            raise
        raise ModuleNotFoundError(missing(package), name=problem.name) from problem


def optional(module: str) -> ModuleType:
    """Import a module of an optional package. Raises `ModuleNotFoundError` with the extra that brings it."""
    with naming_extras():
        return importlib.import_module(module)
