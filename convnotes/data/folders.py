"""A folder of images a class, on the disk: <name>/<split>/<class>/…/*.png."""

from __future__ import annotations

import os
from pathlib import Path

SPLITS = ("train", "test")
SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
    ".pnm", ".jp2", ".tga", ".avif", ".heic", ".heif", ".jxl",
}  # fmt: skip
_OF_PROGRAMS = {"__macosx", "__pycache__", "@eadir"}  # what archives, Python and disk stations leave behind


def classes_of(folder: Path) -> list[str]:
    """The names of the class folders of both splits together, sorted: a label means the same in each."""
    parts = [folder / split for split in SPLITS if (folder / split).is_dir()]
    return sorted({path.name for part in parts for path in part.iterdir() if path.is_dir() and not _hidden(path)})


def images_of(folder: Path) -> list[Path]:
    """Every image in a class folder and the folders inside it, sorted; none where there is no such folder.

    Hidden ones are left out. Whether Pillow can read the others shows when they are read. Raises `OSError` for a folder
    that cannot be read: its images would else be missing without a word.
    """
    found, seen = [], set()

    def refuse(problem: OSError) -> None:
        if not isinstance(problem, FileNotFoundError):
            raise problem

    for place, inside, files in os.walk(folder, onerror=refuse, followlinks=True):
        at = Path(place)
        seen.add(at.resolve())
        inside[:] = [name for name in inside if not _hidden(at / name) and (at / name).resolve() not in seen]
        found += [at / name for name in files if _image(at / name)]
    return sorted(found)


def loose_images(folder: Path) -> list[Path]:
    """The images beside the class folders, which belong to no class."""
    return sorted(path for path in folder.iterdir() if path.is_file() and _image(path))


def _image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not _hidden(file)


def _hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _OF_PROGRAMS
