"""Files that are whole or not there: what is written takes the place of the old file by one renaming.

Ground floor: any room may import it, and it imports nothing of the package.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(file: str | os.PathLike[str]) -> Iterator[Path]:
    """Inside: the path to write to. Afterwards: what was written there is `file`, whole and on the disk.

    Where anything fails, `file` is as it was and nothing else is left. A process that is killed may leave
    `<file>.part`, which the next one replaces. A link is followed, and a device is written to as it is.

    Raises:
        OSError: with the file, the reason, what has become of the old file and what to do.
    """
    path = Path(os.path.realpath(file))
    is_new = not os.path.exists(path)  # also where a folder on the way to it is closed
    part = path.with_name(f"{path.name}.part") if is_new or os.path.isfile(path) else path
    try:
        yield part
        if part != path:
            to_disk(part)
            if not is_new:
                shutil.copymode(path, part)
            os.replace(part, path)
    except BaseException as problem:
        if part != path:
            with contextlib.suppress(OSError):
                part.unlink()
        if isinstance(problem, OSError):
            raise not_written(path, problem, "nothing is left" if is_new else "what was there is kept") from problem
        raise
    with contextlib.suppress(OSError):  # the file is in place by now
        to_disk(path.parent)


def not_written(path: str | os.PathLike[str], problem: BaseException, left: str) -> OSError:
    """The error of what could not be written to `path`; `left` says what is there now."""
    reason = getattr(problem, "strerror", None) or str(problem)
    return OSError(
        getattr(problem, "errno", None) or 0,
        f"{path} could not be written ({reason}), and {left}: make room on the disk, or choose a folder that can be "
        f"written, and try again",
    )


def to_disk(path: str | os.PathLike[str]) -> None:
    """Wait until a file, or the names in a folder, have left the memory (Windows opens no folder)."""
    with contextlib.suppress(PermissionError):
        place = os.open(path, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
