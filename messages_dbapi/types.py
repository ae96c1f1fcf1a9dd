"""The type objects, type codes and constructors of PEP 249.

A type code is a plain ``str``, the declared type of a column: ``VARCHAR``, ``BIGINT``, ``JSON`` or
``TIMESTAMP`` for the service's columns, whatever was declared for a local table's. It compares equal
to the type object that stands for its kind: ``cursor.description[0][1] == STRING``.
"""

from __future__ import annotations

import datetime
from typing import Any

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime
Binary = bytes

# SQL values, both ways: what SQLite stores, and what a row holds. Which of them a column holds is known
# to its declaration only, so a row is a tuple of Any.
SQLValue = None | int | float | str | bytes
Row = tuple[Any, ...]

# The bytes of a value or a row in SQLite: more than a page of the longest messages has as JSON in JSON, and
# little enough that no function fills the memory.
LONGEST_VALUE = 268_435_456

# (name, type_code, display_size, internal_size, precision, scale, null_ok), PEP 249 "description".
Column = tuple[str, str | None, None, None, None, None, bool | None]


def DateFromTicks(ticks: float) -> datetime.date:
    """Give the local date of a number of seconds since the epoch."""
    return datetime.date.fromtimestamp(ticks)


def TimeFromTicks(ticks: float) -> datetime.time:
    """Give the local time of day of a number of seconds since the epoch."""
    return datetime.datetime.fromtimestamp(ticks).time()


def TimestampFromTicks(ticks: float) -> datetime.datetime:
    """Give the local date and time of a number of seconds since the epoch."""
    return datetime.datetime.fromtimestamp(ticks)


class TypeObject:
    """Equal every type code of one kind, whatever its length or precision: ``VARCHAR(20) == STRING``."""

    def __init__(self, name: str, *codes: str) -> None:
        self._name = name
        self._codes = frozenset(codes)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TypeObject):
            return self._codes == other._codes
        if not isinstance(other, str):
            return NotImplemented
        return other.partition("(")[0].strip().upper() in self._codes

    def __hash__(self) -> int:
        return hash(self._codes)

    def __repr__(self) -> str:
        return self._name


STRING = TypeObject("STRING", "VARCHAR", "JSON", "TEXT", "CHAR", "CLOB", "NVARCHAR", "NCHAR", "STRING")
BINARY = TypeObject("BINARY", "BLOB", "BINARY", "VARBINARY")
NUMBER = TypeObject(
    "NUMBER",
    "BIGINT",
    "INTEGER",
    "INT",
    "SMALLINT",
    "TINYINT",
    "NUMERIC",
    "NUM",
    "DECIMAL",
    "REAL",
    "FLOAT",
    "DOUBLE",
    "BOOLEAN",
)
DATETIME = TypeObject("DATETIME", "TIMESTAMP", "DATETIME", "DATE", "TIME")
ROWID = TypeObject("ROWID", "ROWID")
