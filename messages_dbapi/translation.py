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
from .types import LONGEST_VALUE

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
    OverflowError: DataError,
}
_DECLARED = {resource.name: resource for resource in RESOURCES}
# SQLite quotes the token at fault, which may be of any length.
_QUOTED = 500
# What SQLite's limits are, and what to write instead, by how its text begins.
_LIMITS = {
    "string or blob too big": f"a value or a row has at most {LONGEST_VALUE:,} bytes; take parts of it, or fewer rows",
    # So SQLite says where json_group_array() grows over the size of a value.
    "out of memory": f"or a value would have more than {LONGEST_VALUE:,} bytes; take parts of it, or fewer rows",
    "Recursion limit": "the statement is nested too deeply; write it flatter: IN (…) for a chain of OR, a WITH table "
    "or a view for what stands in parentheses",
    "Expression tree is too large": "write it flatter: IN (…) for a chain of OR, parentheses around parts of a chain",
    "too many columns": "SQLite takes at most 2,000",
    "too many terms in compound SELECT": "SQLite takes at most 500; write VALUES, or fill a local table first",
    "too many terms in": "SQLite takes at most 2,000",
    "too many arguments on function": "SQLite takes at most 1,000",
    "LIKE or GLOB pattern too complex": "a pattern has at most 5,000 bytes; instr(text, part) finds longer ones",
}
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
    except (apsw.Error, UnicodeError, OverflowError, MemoryError) as error:
        raise _translate(error, seal, statement) from error
    except RecursionError as error:
        raise ProgrammingError("the statement is nested too deeply") from error


def _translate(error: Exception, seal: Seal, statement: Statement | None) -> Error:
    if isinstance(error, apsw.InterruptError) and statement is not None:
        return _stopped(statement)
    cls = next((cls for kind, cls in _CLASSES.items() if isinstance(error, kind)), OperationalError)
    text = str(error) if len(str(error)) <= _QUOTED else f"{str(error)[:_QUOTED]}…"
    if isinstance(error, UnicodeError):
        return DataError(f"a text in the result is not Unicode: {text}; to get its bytes, CAST(… AS BLOB)")
    if isinstance(error, MemoryError):
        return OperationalError(f"the memory ran out{text and f': {text}'}")
    if (seal.refusal is not None and "authorized" in text) or isinstance(error, apsw.AuthError):
        return _refused(seal.refusal or text)
    return cls(text + _hint(text))


def _refused(refusal: str) -> Error:
    cls = ProgrammingError if refusal.startswith("no such") else NotSupportedError
    return cls(refusal)


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
    limit = next((limit for beginning, limit in _LIMITS.items() if text.startswith(beginning)), None)
    if limit is not None:
        return f": {limit}"
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
