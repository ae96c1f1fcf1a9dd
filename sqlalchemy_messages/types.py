"""The column types of the service's tables, which leave to the driver what the driver knows how to bind."""

from __future__ import annotations

import datetime
import json
import operator
from collections.abc import Callable
from typing import Any

from sqlalchemy import BigInteger, String, func, literal, types
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles

from messages_dbapi.resources import FieldType


class JSON(sqlite.JSON):
    """An array or object of the service: a list or dict in Python.

    A list or dict is sent as JSON, a ``str`` as that text. Compared with a list or dict it is equal
    whatever the order of the keys.
    """

    cache_ok = True
    # A name of its own: tools that write models would take SQLAlchemy's type, which sends a text in quotes.
    __visit_name__ = "JSON_TEXT"

    def __init__(self, none_as_null: bool = True) -> None:
        super().__init__(none_as_null=none_as_null)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        """Bind values as they are: the driver tells a list, which must be parts, from a text."""
        # The service has no JSON null apart from nothing at all.
        return lambda value: None if value is JSON.NULL else value

    def literal_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        """Write a value into the SQL text."""

        def process(value: Any) -> str:
            if value is JSON.NULL:
                return "NULL"
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            return _quoted(text)

        return process

    class Comparator(types.JSON.Comparator):
        """Compare documents by what they mean."""

        def operate(self, op: Callable[..., Any], *other: Any, **kwargs: Any) -> Any:
            """Build the expression of an operator."""
            if op in (operator.eq, operator.ne) and isinstance(other[0], list | dict):
                document = literal(other[0], JSON())
                return func.json_equal(self.expr, document, type_=BigInteger) == int(op is operator.eq)
            return super().operate(op, *other, **kwargs)

    comparator_factory = Comparator  # type: ignore[assignment]  # of this type's own values only


@compiles(JSON, "messages")
def _name_here(_type: JSON, _compiler: Any, **_kw: Any) -> str:
    # As the service's tables declare it; JSON would have numeric affinity.
    return "JSON_TEXT"


@compiles(JSON)
def _name_elsewhere(type_: JSON, compiler: Any, **kw: Any) -> str:
    name: str = compiler.visit_JSON(type_, **kw)
    return name


class DateTime(sqlite.DATETIME):
    """SQLite's text for a ``datetime``, which the driver may have read already."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """Read what is still a text."""
        read: Any = super().result_processor(dialect, coltype)
        return lambda value: read(value) if isinstance(value, str) else value


class Timestamp(DateTime):
    """A point in time as a ``datetime`` in UTC without a zone; an aware one is bound as its time in UTC."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> None:
        """Bind values as they are: the driver writes them as the service's table has them."""

    def literal_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        """Write a value into the SQL text."""
        return lambda value: _quoted(_timestamp_text(value))


def _timestamp_text(value: datetime.datetime | datetime.date | str) -> str:
    if isinstance(value, datetime.datetime):
        moment = value if value.tzinfo is None else value.astimezone(datetime.UTC).replace(tzinfo=None)
        return moment.isoformat(sep=" ")
    return str(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


COLUMN_TYPES: dict[FieldType, type[types.TypeEngine[Any]]] = {
    "string": String,
    "integer": BigInteger,
    "timestamp": Timestamp,
    "array": JSON,
    "object": JSON,
}
