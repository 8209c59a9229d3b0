"""Archives that would leave their folder are refused, and a full or closed disk is told from a network that is down."""

import errno
import gzip
import hashlib
import io
import os
import tarfile

import pytest

from convnotes.data import download

URL = "https://localhost/set.tar.gz"


def member(name, kind=tarfile.REGTYPE, link="", size=3):
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size = kind, link, size if kind == tarfile.REGTYPE else 0
    return found


def packed(*members, whole=True):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for one in (member("set/first"), *members) if whole else members:
            archive.addfile(one, io.BytesIO(b"abc") if one.isreg() else None)
    return stream.getvalue()


def fetch(content, folder, monkeypatch):
    def arrived(url, known_hash, fname, path, downloader):
        (path / fname).write_bytes(content)
        return str(path / fname)

    monkeypatch.setattr("pooch.retrieve", arrived)
    download.fetch({URL: hashlib.sha256(content).hexdigest()}, folder / "data" / "set", "put it there by hand")
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


HARMFUL = {
    "a folder above": [member("../outside")],
    "above from inside": [member("set/../../outside")],
    "beside": [member("other/outside")],
    "a hidden way up": [member("./set/a/../../../outside")],
    "absolute": [member("/tmp/own-outside")],
    "absolute inside": [member("/set/outside")],
    "a symbolic link": [member("set/link", tarfile.SYMTYPE, "../../outside")],
    "a link and a file behind it": [member("set/link", tarfile.SYMTYPE, "../.."), member("set/link/outside")],
    "a link inside": [member("set/link", tarfile.SYMTYPE, "first")],
    "a hard link": [member("set/link", tarfile.LNKTYPE, "../../outside")],
    "a device": [member("set/null", tarfile.CHRTYPE)],
    "a block device": [member("set/disk", tarfile.BLKTYPE)],
    "a pipe": [member("set/pipe", tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("members", HARMFUL.values(), ids=HARMFUL)
def test_what_is_no_plain_file_in_the_folder_is_refused_and_nothing_is_written(members, tmp_path, monkeypatch):
    said = rf"the archive of {URL} was not unpacked, and nothing was kept: .*Try again, or put it there by hand"
    with pytest.raises(ValueError, match=said):
        fetch(packed(*members), tmp_path, monkeypatch)
    assert not list(tmp_path.iterdir())
    assert not os.path.exists("/tmp/own-outside")


def test_a_plain_archive_is_unpacked_whether_or_not_it_names_its_folder(tmp_path, monkeypatch):
    for n, more in enumerate(([], [member("set", tarfile.DIRTYPE)], [member("./set/z/second")])):
        files = fetch(packed(*more), tmp_path / str(n), monkeypatch)
        assert files == ["data/set/first", *["data/set/z/second"] * (n == 2)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        gzip.compress(b"no archive" * 100),
        packed()[:-20],
        packed()[:30],
        packed()[:40] + b"?" + packed()[41:],
        packed(member("other/file"), whole=False),
        packed(whole=False),
        packed(member("set", tarfile.DIRTYPE), whole=False),
    ],
    ids=["empty", "text", "packed text", "cut", "cut early", "changed", "another folder", "no member", "no file"],
)
def test_an_archive_that_cannot_be_read_is_named_and_nothing_is_kept(content, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=rf"the archive of {URL} .*nothing was kept: .*put it there by hand"):
        fetch(content, tmp_path, monkeypatch)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_takes_nothing_is_no_network_that_is_down(number, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pooch.retrieve", broken)
    said = rf"set could not be written \({os.strerror(number)}\), and nothing was kept: make room on the disk"
    with pytest.raises(OSError, match=said) as raised:
        download.fetch({URL: "0" * 64}, tmp_path / "data" / "set", "put it there by hand")
    assert not isinstance(raised.value, ConnectionError)
    assert not list(tmp_path.iterdir())


def test_a_file_where_a_folder_is_needed_is_named(tmp_path, monkeypatch):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(OSError, match=r"data/set could not be written .*: make room on the disk, or choose a folder"):
        fetch(packed(), tmp_path, monkeypatch)
    assert (tmp_path / "data").read_text() == "a file"


def test_a_folder_that_is_there_gets_what_it_lacks(tmp_path, monkeypatch):
    """One was made by hand, or another process was faster."""
    (tmp_path / "data" / "set").mkdir(parents=True)
    (tmp_path / "data" / "set" / "first").write_text("mine")
    assert fetch(packed(member("set/second")), tmp_path, monkeypatch) == ["data/set/first", "data/set/second"]
    assert (tmp_path / "data" / "set" / "first").read_text() == "mine"


@pytest.mark.skipif(download.fcntl is None, reason="this system has no locks that go with their process")
def test_the_hidden_folder_of_a_killed_process_goes_and_that_of_a_living_one_stays(tmp_path, monkeypatch):
    parent = tmp_path / "data"
    (parent / ".convnotes-dead" / "set").mkdir(parents=True)
    with download._in_use(parent):
        assert not list(parent.iterdir())
        (parent / ".convnotes-living").mkdir()
        fetch(packed(), tmp_path, monkeypatch)
        assert sorted(path.name for path in parent.iterdir()) == [".convnotes-living", "set"]
