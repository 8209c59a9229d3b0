"""A file is replaced as a whole or not at all."""

import os
import re

import pytest

from convnotes.files import replacing, to_disk


def write(file, content):
    with replacing(file) as part:
        part.write_text(content)


def test_the_new_file_takes_the_place_of_the_old_one_with_its_rights(tmp_path):
    file = tmp_path / "file.txt"
    write(file, "first")
    file.chmod(0o640)
    write(file, "second")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("second", 0o640)
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_a_link_is_followed(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    write(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), ValueError("bad"), KeyboardInterrupt()])
def test_whatever_goes_wrong_the_old_file_is_kept_and_nothing_else_is_left(problem, tmp_path):
    file = tmp_path / "file.txt"
    file.write_text("old")

    def write_half():
        with replacing(file) as part:
            part.write_text("half")
            raise problem

    with pytest.raises(type(problem)) as raised:
        write_half()
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
    if isinstance(problem, OSError):
        assert raised.value.errno == 28
        said = f"{file} could not be written (No space left on device), and what was there is kept: make room"
        assert said in str(raised.value)


def test_what_a_killed_process_left_is_replaced(tmp_path):
    (tmp_path / "file.txt.part").write_text("half of something longer")
    write(tmp_path / "file.txt", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file.txt", "new")]


@pytest.mark.parametrize("name", ["folder", "nowhere/file.txt", "file/file.txt"])
def test_a_path_that_cannot_be_a_file_is_named(name, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    with pytest.raises(OSError, match=rf"{re.escape(str(tmp_path / name))} could not be written .*: make room .* or"):
        write(tmp_path / name, "new")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is always full")
def test_a_device_is_written_to_as_it_is():
    write("/dev/null", "away")
    with pytest.raises(OSError, match=r"/dev/full could not be written \(No space left on device\)"):
        write("/dev/full", "x" * 100)
    assert not os.path.exists("/dev/full.part")


def test_a_folder_and_a_file_are_brought_to_the_disk(tmp_path):
    (tmp_path / "file").write_text("x")
    to_disk(tmp_path / "file")
    to_disk(tmp_path)
