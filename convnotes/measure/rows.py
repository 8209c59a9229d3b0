"""Measured rows: a frozen dataclass for each kind, its fields the columns of a file of comma-separated values."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_type_hints

from convnotes.files import replacing

_READ: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    int | None: lambda text: int(text) if text else None,
    float | None: lambda text: float(text) if text else None,
    tuple[int, ...]: lambda text: tuple(map(int, text.split())),
    tuple[float, ...]: lambda text: tuple(map(float, text.split())),
}


@dataclass(frozen=True)
class Measured:
    """The base of every kind of row. Those that come with the package lie in `rows/` beside the kind's module."""

    TABLE: ClassVar[str]  # what many of them are: "table of times"
    FILE: ClassVar[str]  # name of their file
    KEY: ClassVar[tuple[str, ...]]  # rows equal in these fields are one row

    @property
    def key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.KEY)

    @property
    def place(self) -> tuple[Any, ...]:
        """Rows are written in its order, and as they come where it is the same."""
        return ()

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        return tuple(field.name for field in dataclasses.fields(cls))


Row = TypeVar("Row", bound=Measured)


class Rows(list[Row]):
    """A list of measured rows of one kind, and the file that they are kept in.

    Args:
        kind: a frozen dataclass that says with `TABLE`, `FILE` and `KEY` what its rows are, what their file is called,
            and in which fields two rows must differ.
        rows: those that it starts with.
        file: where `keep` writes them, None for nowhere.

    Example:
        >>> from convnotes.bench import Row
        >>> from convnotes.measure import Rows
        >>> len(Rows(Row)), len(Rows.read(Row)) > 0
        (0, True)
    """

    def __init__(self, kind: type[Row], rows: Iterable[Row] = (), file: Path | None = None) -> None:
        super().__init__(rows)
        self.kind, self.file = kind, file

    @classmethod
    def read(cls, kind: type[Row], file: str | os.PathLike[str] | None = None) -> Rows[Row]:
        """The rows of `file`, or those that come with the package.

        Raises `ValueError` for another file than `write` makes, naming the line, and for one that was cut.
        """
        path = resources.files(kind.__module__.rpartition(".")[0]) / "rows" / kind.FILE if file is None else Path(file)
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as problem:
            raise ValueError(f"{path} is no {kind.TABLE}: it is no text in UTF-8 ({problem})") from problem
        names, lines = kind.columns(), csv.reader(io.StringIO(text), strict=True)
        try:
            heads = next(lines, [])
        except csv.Error as problem:
            raise ValueError(f"{path} is no {kind.TABLE}: {problem}") from problem
        if tuple(heads) != names:
            missing = [name for name in names if name not in heads]
            raise ValueError(f"{path} is no {kind.TABLE}: it lacks the columns {', '.join(missing) or 'in order'}")
        if not text.endswith("\n"):
            raise ValueError(f"{path} was cut: its last line has no end. Put back a copy, or remove that line")
        types = get_type_hints(kind)
        reads = {name: _READ[types[name]] for name in names}
        rows = Rows(kind)
        try:
            for line in filter(None, lines):
                if len(line) != len(names):
                    raise ValueError(f"it has {len(line)} columns, and {len(names)} were needed")
                values = zip(names, line, strict=True)
                rows.append(kind(**{name: reads[name](value) for name, value in values}))
        except (TypeError, ValueError, csv.Error) as problem:
            raise ValueError(f"line {len(rows) + 2} of {path} is no row of a {kind.TABLE}: {problem}") from problem
        return rows

    @classmethod
    def resume(cls, kind: type[Row], file: Path | None) -> Rows[Row]:
        """What `file` holds so far, if it is there; `keep` adds to it."""
        return Rows(kind, Rows.read(kind, file) if file and file.exists() else (), file)

    def keep(self, *rows: Row) -> None:
        """Add `rows`, each instead of the one with its key if there is one, and write the file."""
        self[:] = ({row.key: row for row in self} | {row.key: row for row in rows}).values()
        if self.file:
            self.write(self.file)

    def write(self, file: str | os.PathLike[str]) -> None:
        """Write the rows to `file`. What was there is replaced as a whole, or not at all: then `OSError` says why."""
        names = self.kind.columns()
        with replacing(file) as part, open(part, "w", newline="", encoding="utf-8") as stream:
            lines = csv.writer(stream, lineterminator="\n")
            lines.writerow(names)
            lines.writerows(
                [_text(getattr(row, name)) for name in names] for row in sorted(self, key=lambda row: row.place)
            )

    def where(self, **wanted: Any) -> Rows[Row]:
        """The rows whose fields have the values `wanted`, in their order. Raises `TypeError` for an unknown field."""
        unknown = wanted.keys() - set(names := self.kind.columns())
        if unknown:
            raise TypeError(f"rows have no {', '.join(sorted(unknown))}; their fields are {', '.join(names)}")
        rows = (row for row in self if all(getattr(row, name) == value for name, value in wanted.items()))
        return Rows(self.kind, rows)

    def select(self, **wanted: Any) -> Rows[Row]:
        """The same as `where`; raises `ValueError` where no row is left."""
        found = self.where(**wanted)
        if not found:
            raise ValueError(f"no row has {', '.join(f'{name}={value!r}' for name, value in wanted.items())}")
        return found


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else str(value)
