"""Rows and the file that keeps them."""

from dataclasses import dataclass

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
