"""Where the default threads come from: files of thread ids, and columns of attached databases."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal, TextIO

from .errors import DataError, OperationalError

Format = Literal["text", "csv", "jsonl"]

_FORMATS: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_COLUMN = "thread_id"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


@dataclass(frozen=True)
class FileSource:
    """A file of thread ids; ``column`` None: ``thread_id``, or the only column."""

    path: str
    format: Format
    column: str | None = None

    def __str__(self) -> str:
        return self.path if self.column is None else f"{self.path}#{self.column}"


@dataclass(frozen=True)
class TableSource:
    """A column of thread ids in a table or view of an attached database."""

    schema: str
    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}.{self.column}"


ThreadSource = FileSource | TableSource
_Ids = Iterator[tuple[int, object]]


def parse_source(text: str, schemas: Collection[str]) -> ThreadSource:
    """Read a ``threads`` option; ``schemas`` are the names of the attached databases.

    Three names with dots between them, the first of an attached database, are a column even where a
    file is called so. Raises ValueError that says what is expected.
    """
    names = text.split(".")
    schema = next((name for name in schemas if name.lower() == names[0].lower()), None)
    if schema is not None and len(names) == 3 and all(map(_IDENTIFIER.fullmatch, names)):
        return TableSource(schema, names[1], names[2])
    return _parse_file(text)


def _parse_file(text: str) -> FileSource:
    path, mark, column = text.rpartition("#") if "#" in text else (text, "", "")
    kind = _FORMATS.get(os.path.splitext(path)[1].lower(), "text")
    if not path or "\0" in path:
        raise ValueError("a file, or NAME.table.column of an attached database")
    if mark and (kind == "text" or not column):
        raise ValueError("a column after '#', and only for a .csv, .jsonl or .ndjson file")
    return FileSource(absolute_path(path), kind, column or None)


def absolute_path(text: str) -> str:
    """Give the full path of a file that need not exist, with ``~`` expanded and links followed."""
    return os.path.realpath(os.path.expanduser(text))


def problem_of_id(value: object) -> str | None:
    """Say what keeps a value from being the id of a thread; None where nothing does."""
    if not isinstance(value, str):
        return f"{value!r} is not text"
    if not value.strip() or value in (".", ".."):
        return f"{value!r} is not the id of a thread"
    if not _encodable(value):
        return f"{value!r} is not Unicode text"
    return None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_thread_ids(source: FileSource) -> tuple[str, ...]:
    """Read the ids of a file, each once and in its order.

    Raises OperationalError for a file that cannot be read, DataError for what it holds.
    """
    try:
        with open(source.path, encoding="utf-8-sig", newline="") as file:
            return tuple(dict.fromkeys(_checked_ids(file, source)))
    except OSError as error:
        reason = error.strerror or str(error)
        raise OperationalError(f"threads={source}: the file {source.path} cannot be read: {reason}") from error
    except UnicodeDecodeError as error:
        raise OperationalError(f"threads={source}: the file {source.path} is not UTF-8 text: {error}") from error


def _checked_ids(file: TextIO, source: FileSource) -> Iterator[str]:
    for line, value in _READERS[source.format](file, source):
        problem = problem_of_id(value)
        if not isinstance(value, str) or problem:
            raise DataError(f"threads={source}: line {line}: {problem}")
        yield value


def _read_text(file: TextIO, source: FileSource) -> _Ids:
    for number, line in enumerate(file, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, text


def _read_csv(file: TextIO, source: FileSource) -> _Ids:
    rows = csv.reader(file)
    try:
        header = [name.strip() for name in next(filter(None, rows), [])]
        index = header.index(_choose_column(header, source, rows.line_num))
        for row in filter(None, rows):
            yield rows.line_num, row[index].strip() if index < len(row) else ""
    except csv.Error as error:
        raise DataError(f"threads={source}: line {rows.line_num}: {error}") from error


def _read_jsonl(file: TextIO, source: FileSource) -> _Ids:
    for number, line in enumerate(file, 1):
        if line.strip():
            entry = _parse_line(line, number, source)
            yield number, entry[_choose_column(list(entry), source, number)]


def _parse_line(line: str, number: int, source: FileSource) -> dict[str, object]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"threads={source}: line {number} is not JSON: {error}") from error
    if not isinstance(entry, dict):
        raise DataError(f"threads={source}: line {number} is not a JSON object")
    return entry


def _choose_column(names: list[str], source: FileSource, line: int) -> str:
    wanted = source.column or (names[0] if len(names) == 1 else _COLUMN)
    if wanted in names:
        return wanted
    found = ", ".join(names) or "none"
    raise DataError(
        f"threads={source}: line {line} has no column '{wanted}' (it has: {found}). "
        f"Name the column after the file: {source.path}#COLUMN"
    )


_READERS: dict[Format, Callable[[TextIO, FileSource], _Ids]] = {
    "text": _read_text,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
}
