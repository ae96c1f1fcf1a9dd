"""What plain SQL may do: read and write the declared tables and local ones, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import apsw

from .resources import RESOURCES, SCHEMA

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
_CLOSED_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})
_DECLARED = frozenset(resource.name for resource in RESOURCES)
RETURNED_PREFIX = "_returned_"

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

    def __call__(
        self, action: int, first: str | None, second: str | None, schema: str | None, cause: str | None
    ) -> int:
        """Answer SQLite; see https://sqlite.org/c3ref/c_alter_table.html for the arguments of each action."""
        self.refusal = self._problem(action, first or "", second or "", schema or "", cause)
        return apsw.SQLITE_OK if self.refusal is None else apsw.SQLITE_DENY

    def _problem(self, action: int, first: str, second: str, schema: str, cause: str | None) -> str | None:
        if action == apsw.SQLITE_READ:
            return self._reading(first.lower(), second.lower())
        if action in _CHANGES:
            return self._changing(_CHANGES[action], first.lower(), schema, cause)
        if action == apsw.SQLITE_FUNCTION:
            return f"the function {second} is not available" if second.lower() in _CLOSED_FUNCTIONS else None
        if action == apsw.SQLITE_PRAGMA:
            return _pragma(first.lower(), second)
        if action in (apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH):
            return "ATTACH, DETACH and VACUUM are not available: name files as options, attach.NAME=FILE"
        if action in (apsw.SQLITE_CREATE_VTABLE, apsw.SQLITE_DROP_VTABLE):
            return "virtual tables cannot be made or dropped"
        if action == apsw.SQLITE_ALTER_TABLE:
            return _schema_change(first)
        if action in _SCHEMA_CHANGES:
            return _schema_change(schema)
        return None

    def _reading(self, table: str, column: str) -> str | None:
        if table in _DECLARED:
            self._note_read(table, column)
            return None
        if table.startswith("pragma_"):
            return _pragma(table.removeprefix("pragma_"), None)
        if table in _CLOSED_MODULES or (table.startswith(RETURNED_PREFIX) and not self.opens_returned):
            return f"the table {table} is not available"
        return None

    def _changing(self, verb: str, table: str, schema: str, cause: str | None) -> str | None:
        if schema.lower() == SCHEMA or (table in _DECLARED and schema in ("main", "temp")):
            if table not in _DECLARED:
                return f"{SCHEMA} holds the service's tables only: use main"
            return f"a trigger ({cause}) cannot {verb} on the service" if cause is not None else None
        return None


def _schema_change(schema: str) -> str | None:
    if schema.lower() != SCHEMA:
        return None
    return f"{SCHEMA} holds the service's tables only, which cannot be changed: use main"


def _pragma(name: str, argument: str | None) -> str | None:
    takes_argument = _READING_PRAGMAS.get(name)
    if takes_argument or (takes_argument is False and not argument):
        return None
    return f"PRAGMA {name} is not available; those that read the schema are: {', '.join(_READING_PRAGMAS)}"
