"""SQLAlchemy's SQLite dialect, spoken through ``messages_dbapi``.

    engine = create_engine("messages://:KEY@host/v1")

Every URL of ``messages_dbapi.connect`` is one of ``create_engine``, and every option may stand in
``connect_args``. Pools: a connection holds an HTTP session, and a file or a server takes many at once, so
each kind of URL gets a QueuePool; what is in memory belongs to the engine, and its connections share it.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from types import ModuleType
from typing import Any

import sqlalchemy
from sqlalchemy import pool
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import base
from sqlalchemy.engine import URL, Transaction
from sqlalchemy.sql import expression

import messages_dbapi

from . import types
from .reflection import Reflection

# Alembic learns of the dialect where it is there. An entry point would be no way: its releases 1.18 to 1.20.0
# fail on it, and with them every program that imports them.
with suppress(ImportError):
    importlib.import_module(f"{__package__}.alembic")

_VERSION = tuple(int(part) for part in sqlalchemy.__version__.split(".")[:2])


class Compiler(base.SQLiteCompiler):
    """SQLite's SQL and the driver's functions; the one of SQLAlchemy 1.4 knows no RETURNING yet."""

    def visit_regexp_replace_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """Write what SQLite has no function for."""
        # SQLAlchemy 1.4 has the replacement apart from the pattern.
        parts = [
            binary.left,
            binary.right,
            *filter(lambda part: part is not None, [binary.modifiers.get("replacement")]),
        ]
        return f"regexp_replace({', '.join(self.process(part, **kw) for part in parts)})"

    def visit_cast(self, cast: Any, **kwargs: Any) -> str:
        """Take the day out of a time, of which SQLite's CAST would keep the number of the year."""
        if not isinstance(cast.type, sqltypes.Date):
            return str(super().visit_cast(cast, **kwargs))
        return f"date({self.process(cast.clause, **kwargs)})"

    if _VERSION < (2, 0):

        def returning_clause(self, stmt: Any, returning_cols: Any) -> str:  # type: ignore[override]  # as in 1.4
            """Write the columns of a RETURNING, which SQLite has bare of their table."""
            columns = [
                self._label_select_column(None, column, True, False, {"include_table": False})
                for column in expression._select_iterables(returning_cols)
            ]
            return "RETURNING " + ", ".join(columns)


class MessagesDialect(Reflection):
    """The dialect of ``messages://``: a service over https, or the embedded one."""

    name = "messages"
    driver = "https"
    supports_statement_cache = True
    default_paramstyle = "qmark"
    returns_native_bytes = True
    implicit_returning = True
    full_returning = True
    statement_compiler = Compiler
    colspecs = base.SQLiteDialect.colspecs | {
        sqltypes.DateTime: types.DateTime,
        # These stay what they are; for subclasses SQLAlchemy would take one of the types above.
        sqlite.DATETIME: sqlite.DATETIME,
        types.JSON: types.JSON,
        types.Timestamp: types.Timestamp,
    }
    ischema_names = base.SQLiteDialect.ischema_names | {
        "JSON_TEXT": types.JSON,
        "TIMESTAMP_TEXT": types.Timestamp,
    }
    _isolation_lookup = base.SQLiteDialect._isolation_lookup.union({"AUTOCOMMIT": None})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._shared = messages_dbapi.Shared()

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """Give the driver."""
        return messages_dbapi

    if _VERSION < (2, 0):

        @classmethod
        def dbapi(cls) -> ModuleType:  # type: ignore[override]  # later it is an attribute
            """Give the driver, as SQLAlchemy 1.4 asks for it."""
            return messages_dbapi

    @classmethod
    def get_pool_class(cls, url: URL) -> type[pool.Pool]:
        """Choose the pool; see the head of this module."""
        return pool.QueuePool

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """Give the driver its own URL, and the key beside it: not every version would write it as it was."""
        scheme = "messages+http" if self.driver == "http" else "messages"
        own = url.set(drivername=scheme)
        if not url.host or url.password is None:
            return [own.render_as_string(hide_password=False)], {}
        # No key remains, and a user name only where there was one, which the driver will refuse.
        keyless = own._replace(username=url.username or None, password=None)
        return [keyless.render_as_string(hide_password=False)], {"api_key": str(url.password)}

    def connect(self, *cargs: Any, **cparams: Any) -> Any:
        """Open a connection, which shares what is in memory with the engine's others."""
        try:
            return self._shared.connect(*cargs, **cparams)
        except messages_dbapi.Error:
            # A traceback may be shown with its variables.
            del cargs, cparams
            raise

    def _get_server_version_info(self, connection: Any) -> tuple[int, ...]:
        return messages_dbapi.sqlite_version_info

    def retrieve_dbapi_version(self, dbapi: Any) -> Any:
        """Give the version of the driver, which SQLAlchemy 2.1 asks for."""
        return sqlalchemy.util.parse_version_string(messages_dbapi.__version__)

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:
        """Set one of SQLite's levels, or AUTOCOMMIT; they concern local tables."""
        # SQLAlchemy 1.4 may give the pool's wrapper, which would keep the attribute to itself.
        dbapi_connection = getattr(dbapi_connection, "dbapi_connection", dbapi_connection)
        dbapi_connection.autocommit = level == "AUTOCOMMIT"
        if level != "AUTOCOMMIT":
            super().set_isolation_level(dbapi_connection, level)

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        """Give the level as it is."""
        return "AUTOCOMMIT" if dbapi_connection.autocommit else super().get_isolation_level(dbapi_connection)

    def detect_autocommit_setting(self, dbapi_conn: Any) -> bool:
        """Tell whether each statement stands for itself."""
        return bool(dbapi_conn.autocommit)

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Undo the changes of local tables; warn of writes to the service only where somebody asked for it.

        Connections and pools roll back whatever is given back to them, which is nobody's wish.
        """
        if not _is_asked_for():
            dbapi_connection.reset()
        super().do_rollback(dbapi_connection)

    def is_disconnect(self, e: Exception, connection: Any, cursor: Any) -> bool:
        """Tell whether the connection is of no more use: closed, that is. One to a service that fails stays good."""
        return connection is not None and bool(connection.closed)


def _is_asked_for() -> bool:
    frame = sys._getframe(2)
    for _ in range(_ROLLBACK_DEPTH):
        if frame.f_code is Transaction.rollback.__code__:
            return True
        if frame.f_back is None:
            break
        frame = frame.f_back
    return False


# Calls of SQLAlchemy's own between Transaction.rollback and the dialect's: five in 1.4, 2.0 and 2.1.
_ROLLBACK_DEPTH = 8


class MessagesHTTPDialect(MessagesDialect):
    """The dialect of ``messages+http://``: a service over plain http, on this machine."""

    driver = "http"
    supports_statement_cache = True
