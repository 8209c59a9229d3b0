"""Files from the network that are either whole, checked and in their place, or not there at all."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where what a killed process left stays
    fcntl = None  # type: ignore[assignment]

from convnotes.checks import optional
from convnotes.files import not_written, to_disk

_STAGE = ".convnotes-"
_OF_THE_DISK = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def fetch(archives: dict[str, str], target: Path, by_hand: str) -> None:
    """Make the folder `target` out of `archives`, URL → SHA-256: tar archives unpacked, other files as they are.

    A digest may be given by its first digits, where no more was published. Addresses and redirects without https are
    refused, but for this machine's own.

    All happens in a hidden folder beside `target`, which is moved into place by one rename at the end and removed
    whatever goes wrong; parents of `target` that had to be made go with it. What a process left there that was killed
    goes too. A folder `target` that is there already gets the files that it lacks. `by_hand` closes the message of the
    `ConnectionError` (the file does not come) or `ValueError` (it is not the file that was published, or an archive
    with anything but plain files and folders inside its own folder). `OSError` is for a disk that is full or closed.
    """
    missing = [folder for folder in target.parents if not folder.exists()]  # deepest first
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            _in_use(target.parent),
            tempfile.TemporaryDirectory(prefix=_STAGE, dir=target.parent, ignore_cleanup_errors=True) as stage,
        ):
            made = Path(stage) / target.name
            made.mkdir()
            for url, sha256 in archives.items():
                file = _download(url, sha256, made, by_hand)
                if file.name.endswith(".tar.gz"):
                    _unpack(file, made, url, by_hand)
                    file.unlink()
            for path in (*made.rglob("*"), made):
                to_disk(path)
            if target.is_dir():  # made by hand, or by another process that was faster
                for path in made.iterdir():
                    if not (target / path.name).exists():
                        os.replace(path, target / path.name)
            else:
                os.replace(made, target)
    except BaseException as problem:
        for folder in missing:
            with contextlib.suppress(OSError):  # not empty: somebody else uses it by now
                folder.rmdir()
        if isinstance(problem, OSError) and not isinstance(problem, ConnectionError):
            raise not_written(target, problem, "nothing was kept") from problem
        raise


def _unpack(file: Path, made: Path, url: str, by_hand: str) -> None:
    """Unpack a tar archive that holds the folder `made`. Raises `ValueError` for one that holds anything else."""
    try:
        with tarfile.open(file, "r:gz") as archive:
            for member in archive:
                parts = member.name.removeprefix("./").split("/")
                if not (member.isreg() or member.isdir()) or ".." in parts or parts[0] not in (made.name, ".", ""):
                    raise tarfile.TarError(f"{member.name!r} is no plain file inside {made.name}")
                if member.name.startswith("/"):
                    raise tarfile.TarError(f"{member.name!r} names a place on this disk")
            archive.extractall(made.parent, filter="data")
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise ValueError(
            f"the archive of {url} was not unpacked, and nothing was kept: {problem}. Try again, or {by_hand}."
        ) from problem
    if [path.name for path in made.iterdir()] == [file.name]:
        raise ValueError(f"the archive of {url} holds no file in {made.name}, and nothing was kept: {by_hand}.")


@contextlib.contextmanager
def _in_use(parent: Path) -> Iterator[None]:
    """Inside: no other process removes hidden folders from `parent`. Those of killed processes are removed before.

    The lock goes with its process. Where the system or its disk knows none, such folders stay.
    """
    if fcntl is None:
        yield
        return
    place = os.open(parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody else is at work here
            for folder in parent.glob(f"{_STAGE}*"):
                shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            fcntl.flock(place, fcntl.LOCK_SH)
        yield
    finally:
        os.close(place)


def check(file: Path, sha256: str) -> None:
    """Raise `ValueError` unless the SHA-256 of `file` begins with `sha256` (hexadecimal digits)."""
    found = optional("pooch").file_hash(str(file), alg="sha256")
    if not found.startswith(sha256):
        raise ValueError(f"{file.name} has SHA-256 {found}, and {sha256} was needed.")


def _https(url: str) -> None:
    """Raise `OSError` unless nobody between here and the server can change what `url` gives."""
    parts = urlsplit(url)
    if parts.scheme != "https" and (parts.scheme, parts.hostname) != ("http", "127.0.0.1"):
        raise OSError(f"downloads need an address with https, got {url}")


def _follow(response: Any, *_: Any, **__: Any) -> None:
    """A hook of requests, called before a redirect is followed."""
    if "location" in response.headers:
        _https(urljoin(response.url, response.headers["location"]))


def _download(url: str, sha256: str, folder: Path, by_hand: str) -> Path:
    pooch = optional("pooch")
    try:
        _https(url)
        file = pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}" if len(sha256) == 64 else None,
            fname=url.rsplit("/", 1)[-1],
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=30, hooks={"response": _follow}),
        )
        check(Path(file), sha256)
    except OSError as problem:  # every error of requests is one
        if problem.errno in _OF_THE_DISK:
            raise
        raise ConnectionError(f"could not fetch {url}: {problem}. Without a network: {by_hand}.") from problem
    except ValueError as problem:
        raise ValueError(
            f"{url} gave something else than what was published (SHA-256 {sha256} was needed), and nothing was kept: "
            f"{problem} Try again, or {by_hand}."
        ) from problem
    return Path(file)
