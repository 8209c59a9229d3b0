"""Rows and the file that keeps them."""

import re
from dataclasses import dataclass

import pytest

from convnotes.measure.command import positive
from convnotes.measure.rows import Measured, Rows


@dataclass(frozen=True)
class Step(Measured):
    TABLE = "table of steps"
    KEY = ("name", "size")

    name: str
    size: int
    share: float | None
    sizes: tuple[int, ...] = ()

    @property
    def place(self):
        return (self.name,)


def test_a_row_takes_the_place_of_one_with_its_key_and_the_file_is_written_in_order(tmp_path):
    file = tmp_path / "steps.csv"
    rows = Rows.resume(Step, file)
    assert rows == []
    rows.keep(Step("b", 1, 0.5, (1, 2)), Step("a", 2, None))
    rows.keep(Step("b", 1, 0.25), Step("a", 1, 1.0))
    assert [row.share for row in rows] == [0.25, None, 1.0]
    assert file.read_text() == "name,size,share,sizes\na,2,,\na,1,1.0,\nb,1,0.25,\n"
    assert Rows.resume(Step, file) == Rows.read(Step, file) == sorted(rows, key=lambda row: row.name)
    assert not list(tmp_path.glob("*.part"))


def test_without_a_file_rows_are_kept_in_memory_alone():
    rows = Rows.resume(Step, None)
    rows.keep(Step("a", 1, None))
    assert rows.where(size=1) == [Step("a", 1, None)]


def test_a_number_may_be_grouped():
    assert [positive(text) for text in ("5000", "5_000", "5,000")] == [5000] * 3


WHOLE = "name,size,share,sizes\na,1,0.5,1 2\nb,12,,\n"


@pytest.mark.parametrize("content", [WHOLE, WHOLE.replace("\n", "\r\n")], ids=["", "of Windows"])
def test_a_file_that_was_cut_at_any_byte_is_refused_or_has_whole_rows_only(content, tmp_path):
    file = tmp_path / "steps.csv"
    file.write_bytes(content.encode())
    whole = Rows.read(Step, file)
    assert len(whole) == 2
    refused = []
    for at in range(len(content)):
        file.write_bytes(content[:at].encode())
        try:
            rows = Rows.read(Step, file)
        except ValueError as problem:
            refused.append(str(problem))
        else:
            assert content[:at].endswith(("\n", "\r"))
            assert rows == whole[: len(rows)]
    assert all(str(file) in said for said in refused)


def test_a_file_that_was_changed_at_any_byte_is_refused_by_name_or_read(tmp_path):
    file, read, refused = tmp_path / "steps.csv", 0, []
    for at, byte in enumerate(WHOLE.encode()):
        for other in (byte ^ 1, byte ^ 128, 0, ord('"'), ord(","), ord("\n")):
            file.write_bytes(WHOLE.encode()[:at] + bytes([other]) + WHOLE.encode()[at + 1 :])
            try:
                read += len(Rows.read(Step, file)) >= 1
            except ValueError as problem:
                refused.append(str(problem))
    assert len(refused) > read
    assert all(str(file) in said for said in refused)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no table of steps: it lacks the columns name, size, share, sizes"),
        (b"size,name,share,sizes\n", "it lacks the columns in order"),
        (WHOLE.encode("utf-16"), "it is no text in UTF-8"),
        (WHOLE.encode().replace(b"a,", b"\xe9,"), "it is no text in UTF-8"),
        (WHOLE.encode() + b"c,1\n", "line 4 of .* is no row of a table of steps: it has 2 columns, and 4 were needed"),
        (WHOLE.encode() + b"c,1,,,5\n", "line 4 of .* it has 5 columns, and 4 were needed"),
        (WHOLE.encode() + b"c,many,,\n", "line 4 of .* invalid literal"),
        (WHOLE.encode() + b"c,1,,", "was cut: its last line has no end. Put back a copy, or remove that line"),
        (WHOLE.encode() + b"c" * 200_000 + b",1,,\n", "line 4 of .* field larger than field limit"),
        (WHOLE.encode() + b'"c,1,,\n', "line 4 of .* unexpected end of data"),
    ],
)
def test_what_is_no_such_file_is_told_from_it_in_words(content, says, tmp_path):
    file = tmp_path / "steps.csv"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{re.escape(str(file))}|line 4") as refused:
        Rows.resume(Step, file)
    assert re.search(says, str(refused.value))


def test_where_they_cannot_be_written_the_rows_are_still_there(tmp_path):
    (tmp_path / "steps.csv").mkdir()
    rows = Rows(Step, file=tmp_path / "steps.csv")
    with pytest.raises(OSError, match=r"steps\.csv could not be written .*: make room on the disk, or choose a folder"):
        rows.keep(Step("a", 1, None))
    assert rows == [Step("a", 1, None)]
    with pytest.raises(OSError, match=r"steps\.csv"):
        Rows.resume(Step, tmp_path / "steps.csv")
