"""Measured rows in a file of comma-separated values: a frozen dataclass for each, its fields the columns."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


Row = TypeVar("Row", bound=_Dataclass)

_READ: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "int | None": lambda text: int(text) if text else None,
    "float | None": lambda text: float(text) if text else None,
    "tuple[int, ...]": lambda text: tuple(map(int, text.split())),
    "tuple[float, ...]": lambda text: tuple(map(float, text.split())),
}


def columns(kind: type[_Dataclass]) -> tuple[str, ...]:
    """The columns of rows of the dataclass `kind`."""
    return tuple(field.name for field in dataclasses.fields(kind))


def read_rows(file: str | os.PathLike[str], kind: type[Row], what: str) -> list[Row]:
    """The rows of `file`, each a `kind`. Raises `ValueError` for another file than `write_rows` makes, naming the line.

    `what` names such a file in the message: "table of designs".
    """
    names = columns(kind)
    with open(file, newline="", encoding="utf-8") as stream:
        lines = csv.DictReader(stream)
        if tuple(lines.fieldnames or ()) != names:
            missing = [name for name in names if name not in (lines.fieldnames or ())]
            raise ValueError(f"{file} is no {what}: it lacks the columns {', '.join(missing) or 'in order'}")
        kinds = {field.name: _READ[str(field.type)] for field in dataclasses.fields(kind)}
        return [_row(kind, line, kinds, f"line {n} of {file}", what) for n, line in enumerate(lines, 2)]


def _row(kind: type[Row], line: dict[str, str], kinds: dict[str, Callable[[str], Any]], where: str, what: str) -> Row:
    try:
        return kind(**{name: read(line[name]) for name, read in kinds.items()})
    except (TypeError, ValueError, AttributeError) as problem:
        raise ValueError(f"{where} is no row of a {what}: {problem}") from problem


def write_rows(file: str | os.PathLike[str], kind: type[Row], rows: Iterable[Row]) -> None:
    """Write `rows` of the dataclass `kind`. What was there is replaced as a whole, or not at all."""
    path, names = Path(file), columns(kind)
    staged = path.with_name(path.name + ".part")
    with open(staged, "w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        lines.writerow(names)
        lines.writerows([_text(getattr(row, name)) for name in names] for row in rows)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(staged, path)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else str(value)
