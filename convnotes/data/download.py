"""Files from the network that are either whole, checked and in their place, or not there at all."""

from __future__ import annotations

import contextlib
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from convnotes.checks import optional


def fetch(archives: dict[str, str], target: Path, by_hand: str) -> None:
    """Make the folder `target` out of `archives`, URL → SHA-256: tar archives unpacked, other files as they are.

    A digest may be given by its first digits, where no more was published. Addresses and redirects without https are
    refused, but for this machine's own.

    All happens in a hidden folder beside `target`, which is moved into place by one rename at the end and removed
    whatever goes wrong; parents of `target` that had to be made go with it. `by_hand` closes the message of the
    `ConnectionError` (the file does not come) or `ValueError` (it is not the file that was published).
    """
    missing = [folder for folder in target.parents if not folder.exists()]  # deepest first
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".convnotes-", dir=target.parent) as stage:
            made = Path(stage) / target.name
            made.mkdir()
            for url, sha256 in archives.items():
                file = _download(url, sha256, made, by_hand)
                if file.name.endswith(".tar.gz"):
                    with tarfile.open(file) as archive:
                        archive.extractall(stage, filter="data")  # holds a folder of the name of `made`
                    file.unlink()
            if not target.exists():  # another process may have been faster
                os.replace(made, target)
    except BaseException:
        for folder in missing:
            with contextlib.suppress(OSError):  # not empty: somebody else uses it by now
                folder.rmdir()
        raise


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
        raise ConnectionError(f"could not fetch {url}: {problem}. Without a network: {by_hand}.") from problem
    except ValueError as problem:
        raise ValueError(
            f"{url} gave something else than what was published (SHA-256 {sha256} was needed), and nothing was kept: "
            f"{problem} Try again, or {by_hand}."
        ) from problem
    return Path(file)
