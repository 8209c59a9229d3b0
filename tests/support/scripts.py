"""The scripts beside the book, as modules: they belong to no package."""

import importlib.util
from pathlib import Path
from types import ModuleType

BOOK = Path(__file__).parents[2] / "book"


def script(name: str) -> ModuleType:
    """book/<name>.py, newly loaded."""
    spec = importlib.util.spec_from_file_location(name, BOOK / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
