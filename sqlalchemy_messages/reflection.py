"""What SQLAlchemy's inspector is told: of the service's tables their declaration, of all others what SQLite says."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine import Connection
from sqlalchemy.exc import NoSuchTableError

from messages_dbapi.resources import RESOURCES, SCHEMA, SHORT_SCHEMA, Resource

from .tables import primary_key
from .types import COLUMN_TYPES

_TABLES = {resource.name: resource for resource in RESOURCES}
_SCHEMAS = (SCHEMA, SHORT_SCHEMA)
# The service fills such a column by itself. SQL has no word for that; NULL is what an INSERT then leaves out.
_FILLED = "NULL"


def declared(table_name: str, schema: str | None) -> Resource | None:
    """Find the service's table of that name; None where it is a local one."""
    return _TABLES.get(table_name.lower()) if schema is None or schema.lower() in _SCHEMAS else None


def _columns(resource: Resource) -> list[dict[str, Any]]:
    key = primary_key(resource)
    return [
        {
            "name": field.name,
            "type": COLUMN_TYPES[field.type](),
            "nullable": field.nullable,
            "default": _FILLED if field.generated else None,
            "autoincrement": False,
            "primary_key": key.index(field.name) + 1 if field.name in key else 0,
            "comment": field.description,
        }
        for field in resource.fields
    ]


def _empty(_resource: Resource) -> list[Any]:
    return []


_Answer = Callable[[Resource], Any]


def _answered(name: str, answer: _Answer) -> Any:
    """Make a method that answers for the service's tables, and leaves others to SQLite's dialect."""
    of_sqlite = getattr(SQLiteDialect, name)

    @wraps(of_sqlite)
    def method(self: Reflection, connection: Connection, table_name: str, schema: str | None = None, **kw: Any) -> Any:
        resource = declared(table_name, schema)
        if resource is not None:
            return answer(resource)
        if schema is not None and schema.lower() in _SCHEMAS:
            raise NoSuchTableError(f"{schema}.{table_name}")
        found = of_sqlite(self, connection, table_name, schema, **kw)
        if not found and not self.has_table(connection, table_name, schema):  # SQLAlchemy 1.4 does not look
            raise NoSuchTableError(table_name)
        return found

    return method


class Reflection(SQLiteDialect):
    """SQLite's reflection, with the service's tables in front of the local ones; it makes no request.

    The service's tables are listed in their schema, and without a schema together with the local ones
    unless ``lists_service_tables`` is switched off.
    """

    supports_statement_cache = True
    lists_service_tables = True

    get_columns = _answered("get_columns", _columns)
    get_pk_constraint = _answered(
        "get_pk_constraint", lambda resource: {"constrained_columns": primary_key(resource), "name": None}
    )
    get_foreign_keys = _answered("get_foreign_keys", _empty)
    get_indexes = _answered("get_indexes", _empty)
    get_unique_constraints = _answered("get_unique_constraints", _empty)
    get_check_constraints = _answered("get_check_constraints", _empty)
    if hasattr(SQLiteDialect, "get_table_options"):  # not in SQLAlchemy 1.4, which then does not ask
        get_table_options = _answered("get_table_options", lambda _resource: {})

    def _get_default_schema_name(self, connection: Connection) -> str:
        return SCHEMA

    def get_schema_names(self, connection: Connection, **kw: Any) -> list[str]:
        """List the service's schema, main, and each attached file."""
        local = [name for name in super().get_schema_names(connection, **kw) if name.lower() not in _SCHEMAS]
        return [SCHEMA, *local]

    def get_table_names(  # type: ignore[override]  # SQLite's further argument is in **kw
        self, connection: Connection, schema: str | None = None, **kw: Any
    ) -> list[str]:
        """List the service's tables, and those of SQLite's file."""
        if schema is not None and schema.lower() in _SCHEMAS:
            return list(_TABLES)
        local: list[str] = super().get_table_names(connection, schema, **kw)
        if schema is not None or not self.lists_service_tables:
            return local
        return [*_TABLES, *(name for name in local if name.lower() not in _TABLES)]

    def get_temp_table_names(  # type: ignore[override]  # SQLite's further argument is in **kw
        self, connection: Connection, **kw: Any
    ) -> list[str]:
        """List temporary tables, less those by which the driver keeps a name the service's."""
        return [name for name in super().get_temp_table_names(connection, **kw) if name.lower() not in _TABLES]

    def get_view_names(  # type: ignore[override]  # SQLite's further argument is in **kw
        self, connection: Connection, schema: str | None = None, **kw: Any
    ) -> list[str]:
        """List the local views."""
        if schema is not None and schema.lower() in _SCHEMAS:
            return []
        return list(super().get_view_names(connection, schema, **kw))

    def has_table(self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any) -> bool:
        """Tell whether there is such a table or view."""
        if declared(table_name, schema) is not None:
            return True
        if schema is not None and schema not in self.get_schema_names(connection):
            return False
        return bool(super().has_table(connection, table_name, schema, **kw))

    def get_table_comment(  # type: ignore[override]  # the type of its answer is new in SQLAlchemy 2
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> dict[str, str | None]:
        """Give the description of a table; SQLite keeps none."""
        resource = declared(table_name, schema)
        if resource is None and not self.has_table(connection, table_name, schema):
            raise NoSuchTableError(table_name)
        return {"text": None if resource is None else resource.description}
