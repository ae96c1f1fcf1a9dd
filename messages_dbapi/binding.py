"""Python parameters to SQL values: which types a statement takes, and how they match its placeholders."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

from .errors import DataError, ProgrammingError
from .types import LONGEST_VALUE, SQLValue

Parameters = Sequence[Any] | Mapping[str, Any]


class Bound(NamedTuple):
    """The values of a statement's parameters, in its order; ``lists`` are the texts that only lists became."""

    values: tuple[SQLValue, ...]
    lists: frozenset[str]


def bind(names: Sequence[str | None], parameters: Parameters | None) -> Bound:
    """Match parameters with the placeholders of a statement, ``None`` standing for one without a name.

    Raise ProgrammingError for a wrong number, a missing name or a type that SQL has nothing for, and
    DataError for a value that SQLite cannot hold.
    """
    given = _ordered(names, () if parameters is None else parameters)
    values = tuple(_value(value) for value in given)
    lists = {str(new) for old, new in zip(given, values, strict=True) if _is_list(old)}
    return Bound(values, frozenset(lists - {value for value in given if isinstance(value, str)}))


def _ordered(names: Sequence[str | None], parameters: Parameters) -> Sequence[Any]:
    if isinstance(parameters, Mapping):
        return _by_name(names, parameters)
    # A set has no order in which its values could meet the placeholders.
    if isinstance(parameters, str | bytes | set | frozenset) or not isinstance(parameters, Collection):
        raise ProgrammingError(
            f"parameters must be a sequence or a mapping, not {type(parameters).__name__}: for one value write (value,)"
        )
    if len(parameters) != len(names):
        values = "1 value" if len(names) == 1 else f"{len(names)} values"
        raise ProgrammingError(f"the statement takes {values}, not {len(parameters)}")
    return list(parameters)


def _by_name(names: Sequence[str | None], parameters: Mapping[str, Any]) -> Sequence[Any]:
    if None in names:
        raise ProgrammingError("a mapping needs named parameters such as :name; for ? give a sequence")
    missing = [name for name in names if name not in parameters]
    if missing:
        raise ProgrammingError(f"no value was given for parameter :{missing[0]}")
    return [parameters[name] for name in names if name is not None]


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _value(value: Any) -> SQLValue:
    for types, convert in _CONVERSIONS:
        if isinstance(value, types):
            return convert(value)
    return _number(value)


def _text(value: str) -> str:
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise DataError(f"a text holds half a character (a lone surrogate) at position {error.start}") from error
    _check_size("text", size)
    return str(value)


def _blob(value: bytes | bytearray | memoryview) -> bytes:
    blob = bytes(value)
    _check_size("BLOB", len(blob))
    return blob


def _check_size(kind: str, size: int) -> None:
    if size > LONGEST_VALUE:
        raise DataError(f"a {kind} of {size:,} bytes is bound, and a value has at most {LONGEST_VALUE:,}")


def _integer(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise DataError(f"{value} does not fit into 64 bits: bind it as text")
    return int(value)


def _json(value: Any) -> str:
    try:
        return _text(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ProgrammingError(f"a {type(value).__name__} that is bound must be JSON: {error}") from error


def _moment(value: datetime) -> str:
    """Write a point in time as the service's are written: in UTC, a naive one as it is."""
    try:
        moment = value if value.utcoffset() is None else value.astimezone(UTC)
    except (OverflowError, ValueError) as error:  # ValueError: such as that of pandas.NaT
        raise DataError(f"{value} is no point in time in the years 1 to 9999, in UTC") from error
    return moment.replace(tzinfo=None).isoformat(" ")


def _number(value: Any) -> SQLValue:
    """Take numbers of other libraries (numpy), and refuse what has no meaning of its own in SQL."""
    try:
        return _integer(operator.index(value))
    except TypeError:
        pass
    raise ProgrammingError(
        f"a value of type {type(value).__name__} cannot be bound: bind None, int, float, str, bytes, a date, datetime "
        "or time, or a list or dict as JSON (for other objects str(value); where a column holds Unix seconds "
        "int(moment.timestamp()))"
    )


_CONVERSIONS: tuple[tuple[Any, Callable[[Any], SQLValue]], ...] = (
    (type(None), lambda value: None),
    (str, _text),
    (bool, int),
    (int, _integer),
    (float, float),
    ((bytes, bytearray, memoryview), _blob),
    ((list, tuple, dict), _json),
    (datetime, _moment),  # before date, of which it is a subclass
    ((date, time), lambda value: value.isoformat()),
)
