"""SQLite's errors as PEP 249's: which class each is, and what its text should add."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from .errors import (
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from .resources import RESOURCES, Resource
from .seal import Seal
from .statement import Statement

_CLASSES: dict[type[Exception], type[Error]] = {
    apsw.SQLError: ProgrammingError,
    apsw.BindingsError: ProgrammingError,
    apsw.RangeError: ProgrammingError,
    apsw.ConstraintError: IntegrityError,
    apsw.MismatchError: DataError,
    apsw.TooBigError: DataError,
    apsw.AuthError: NotSupportedError,
    apsw.MisuseError: InterfaceError,
    apsw.ThreadingViolationError: InterfaceError,
    apsw.ForkingViolationError: InterfaceError,
    apsw.ConnectionClosedError: InterfaceError,
    apsw.CursorClosedError: InterfaceError,
    apsw.InternalError: InternalError,
    # A text that is not Unicode, such as half a character taken out of JSON, cannot become a str.
    UnicodeError: DataError,
    OverflowError: DataError,
}
_DECLARED = {resource.name: resource for resource in RESOURCES}
_UNKNOWN_TABLE = re.compile(r"no such table: (?:[\w.]+\.)?(\w+)")
_NOT_IN_TABLE = re.compile(r"table (\w+) has no column named (\w+)")
_UNKNOWN_COLUMN = re.compile(r"no such column: (?:\w+\.)*\"?(\w+)")


@contextmanager
def translated(seal: Seal, statement: Statement | None = None) -> Iterator[None]:
    """Raise what SQLite raises as one of our errors, and ours as they are."""
    try:
        yield
    except Error:
        raise
    except (apsw.Error, UnicodeError, OverflowError) as error:
        raise _translate(error, seal, statement) from error
    except RecursionError as error:
        raise ProgrammingError("the statement is nested too deeply") from error


def _translate(error: Exception, seal: Seal, statement: Statement | None) -> Error:
    if isinstance(error, apsw.InterruptError) and statement is not None:
        return _stopped(statement)
    cls = next((cls for kind, cls in _CLASSES.items() if isinstance(error, kind)), OperationalError)
    if (seal.refusal is not None and "authorized" in str(error)) or isinstance(error, apsw.AuthError):
        return NotSupportedError(seal.refusal or str(error))
    return cls(str(error) + _hint(str(error)))


def _stopped(statement: Statement) -> Error:
    try:
        statement.check()
    except Error as error:
        return error
    return OperationalError("the statement was interrupted")


def _hint(text: str) -> str:
    unknown_column, unknown_table = _UNKNOWN_COLUMN.match(text), _UNKNOWN_TABLE.match(text)
    if unknown_column is not None:
        return _near(unknown_column[1], [column.name for resource in RESOURCES for column in resource.columns])
    if unknown_table is not None:
        return _near(unknown_table[1], list(_DECLARED))
    if text == "too many SQL variables":
        return "; bind the values as one list: IN (SELECT value FROM json_each(?))"
    not_there = _NOT_IN_TABLE.match(text)
    if not_there is None or not_there[1] not in _DECLARED:
        return ""
    return _writable(_DECLARED[not_there[1]], not_there[2])


def _near(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name.lower(), names, 1)
    return f" (did you mean {close[0]}?)" if close and close[0] != name.lower() else ""


def _writable(resource: Resource, name: str) -> str:
    """Say which columns an INSERT takes; ``index`` is what pandas adds to those of a frame."""
    able = ", ".join(filter(None, (resource.scope, *resource.create)))
    return f"; it takes {able}" + (" (to_sql of pandas: index=False)" if name == "index" else "")
