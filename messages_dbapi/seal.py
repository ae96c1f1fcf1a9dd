"""What plain SQL may do: read and write the declared tables and local ones, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import apsw

from .body import problem_of_update, problem_of_write
from .resources import RESOURCES, SCHEMA, SHORT_SCHEMA, Resource

# Pragmas that only read the schema, by whether they may have an argument.
_READING_PRAGMAS = {
    "table_info": True,
    "table_xinfo": True,
    "table_list": True,
    "index_list": True,
    "index_info": True,
    "index_xinfo": True,
    "foreign_key_list": True,
    "database_list": False,
    "collation_list": False,
    "function_list": False,
    "pragma_list": False,
    "compile_options": False,
    "encoding": False,
    "schema_version": False,
    "user_version": False,
    "read_uncommitted": True,
}
_CLOSED_MODULES = frozenset(
    {"dbstat", "sqlite_dbpage", "sqlite_stmt", "bytecode", "tables_used", "fsdir", "zipfile", "csv", "carray"}
)
_CLOSED_FUNCTIONS = frozenset({"sqlite_log", "load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})
_DECLARED = {resource.name: resource for resource in RESOURCES}
_SCHEMAS = (SCHEMA, SHORT_SCHEMA)
# Names of the driver's own, which SQL text may not use: tables by their beginning, and a column.
RETURNED_PREFIX = "_returned_"
KEY_COLUMN = "_key"
NO_ATTACH = "ATTACH, DETACH and VACUUM are not available: name files as options, attach.NAME=FILE"

_SCHEMA_CHANGES = {getattr(apsw, name) for name in dir(apsw) if name.startswith(("SQLITE_CREATE_", "SQLITE_DROP_"))}
_CHANGES = {apsw.SQLITE_INSERT: "INSERT", apsw.SQLITE_UPDATE: "UPDATE", apsw.SQLITE_DELETE: "DELETE"}


class Seal:
    """Authorize what a statement compiles to; the reason of the last refusal is in ``refusal``.

    ``note_read`` hears of every column of a declared table that a statement reads by name.
    """

    def __init__(self, note_read: Callable[[str, str], None]) -> None:
        self._note_read = note_read
        self.refusal: str | None = None
        self.opens_returned = False
        # Whether what is written to the service is sent on, or the statement only explained.
        self.writes_service = False
        # Local tables that have the name of a declared one, as (schema, name) in lower case.
        self.local_tables: frozenset[tuple[str, str]] = frozenset()

    def __call__(
        self, action: int, first: str | None, second: str | None, schema: str | None, cause: str | None
    ) -> int:
        """Answer SQLite; see https://sqlite.org/c3ref/c_alter_table.html for the arguments of each action."""
        self.refusal = self._problem(action, first or "", second or "", schema or "", cause)
        return apsw.SQLITE_OK if self.refusal is None else apsw.SQLITE_DENY

    def _problem(self, action: int, first: str, second: str, schema: str, cause: str | None) -> str | None:
        if action == apsw.SQLITE_READ:
            return self._reading(first.lower(), second.lower(), schema)
        if action in _CHANGES:
            return self._changing(_CHANGES[action], first.lower(), second.lower(), schema, cause)
        if action == apsw.SQLITE_FUNCTION:
            return f"the function {second} is not available" if second.lower() in _CLOSED_FUNCTIONS else None
        if action == apsw.SQLITE_PRAGMA:
            return _pragma(first.lower(), second)
        if action in (apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH):
            return NO_ATTACH
        if action in (apsw.SQLITE_CREATE_VTABLE, apsw.SQLITE_DROP_VTABLE):
            return "virtual tables cannot be made or dropped"
        if action == apsw.SQLITE_ALTER_TABLE:
            return _schema_change(first)
        if action in _SCHEMA_CHANGES:
            return _schema_change(schema)
        return None

    def _resource(self, table: str, schema: str) -> Resource | None:
        """Find the resource behind a table, unless it is a local one that happens to have its name."""
        return None if (schema.lower(), table) in self.local_tables else _DECLARED.get(table)

    def _reading(self, table: str, column: str, schema: str) -> str | None:
        if column == KEY_COLUMN and table.removeprefix(RETURNED_PREFIX) in _DECLARED:
            return f"no such column: {column}"
        if self._resource(table, schema) is not None:
            self._note_read(table, column)
            return None
        if table.startswith("pragma_"):
            return _pragma(table.removeprefix("pragma_"), None)
        if table in _CLOSED_MODULES or (table.startswith(RETURNED_PREFIX) and not self.opens_returned):
            return f"the table {table} is not available"
        return None

    def _changing(self, verb: str, table: str, column: str, schema: str, cause: str | None) -> str | None:
        resource = self._resource(table, schema)
        if resource is None:
            return f"{SCHEMA} holds the service's tables only: use main" if schema.lower() in _SCHEMAS else None
        if cause is not None:
            return f"a trigger ({cause}) cannot {verb} on the service"
        if not self.writes_service:
            return f"no such table: {schema}.{table}; to {verb} on the service, write {SCHEMA}.{table}"
        # Asked while the statement is compiled, so that nothing is read for an UPDATE that cannot be.
        return problem_of_write(resource, verb) or (problem_of_update(resource, column) if verb == "UPDATE" else None)


def _schema_change(schema: str) -> str | None:
    if schema.lower() not in _SCHEMAS:
        return None
    return f"{SCHEMA} holds the service's tables only, which cannot be changed: use main"


def _pragma(name: str, argument: str | None) -> str | None:
    takes_argument = _READING_PRAGMAS.get(name)
    if takes_argument or (takes_argument is False and not argument):
        return None
    return f"PRAGMA {name} is not available; those that read the schema are: {', '.join(_READING_PRAGMAS)}"
