"""What Alembic is told of the dialect: migrations as on SQLite, of local tables alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from alembic.ddl.sqlite import SQLiteImpl

from messages_dbapi.resources import SCHEMA, SHORT_SCHEMA

from .reflection import declared

_MAIN = "main"


class MessagesImpl(SQLiteImpl):
    """Alembic's operations on SQLite; the service's tables are never created, dropped or altered."""

    __dialect__ = "messages"

    # The parameters are Alembic's own, and another release may have others.
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._restrict(self.context_opts)

    def _restrict(self, options: dict[str, Any]) -> None:
        """Put filters of ours before those that env.py may have set.

        A local table belongs to the schema main and is listed without a schema too: it is compared where
        the metadata has it, else without a schema.
        """
        in_main = _names_in_main(options.get("target_metadata"))
        if options.get("version_table_schema") == _MAIN:
            in_main.add(options.get("version_table") or "alembic_version")
        every_schema = bool(options.get("include_schemas"))

        def include_name(name: str | None, kind: str, parents: dict[str, str | None]) -> bool:
            if kind == "schema":
                return bool(in_main) if name == _MAIN else name is None or every_schema
            if kind != "table" or name is None:
                return True
            schema = parents["schema_name"]
            if schema is None:
                return name not in in_main
            return schema != _MAIN or name in in_main

        options["include_name"] = _both(include_name, options.get("include_name"))
        options["include_object"] = _both(_include_object, options.get("include_object"))
        options["include_schemas"] = every_schema or bool(in_main)


def _include_object(item: Any, _name: str | None, kind: str, _reflected: bool, _compare_to: Any) -> bool:
    return kind != "table" or not _is_of_the_service(item.name, item.schema)


def _is_of_the_service(name: str, schema: str | None) -> bool:
    return declared(name, None) is not None if schema is None else schema.lower() in (SCHEMA, SHORT_SCHEMA)


def _names_in_main(metadata: Any) -> set[str]:
    """Name the tables that one or several MetaData have in the schema main."""
    several: Iterable[Any] = metadata if isinstance(metadata, list | tuple) else filter(None, [metadata])
    return {table.name for one in several for table in one.tables.values() if table.schema == _MAIN}


def _both(ours: Callable[..., bool], theirs: Callable[..., bool] | None) -> Callable[..., bool]:
    return ours if theirs is None else lambda *args: ours(*args) and theirs(*args)
