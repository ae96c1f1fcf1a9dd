"""How SQLAlchemy's test runner makes this dialect's databases; in all else it is told what it knows of SQLite."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import pool
from sqlalchemy.testing import provision

from .requirements import VERSION

# All engines of a run are to see the same tables. The folder is gone when the run is.
_FOLDER = tempfile.TemporaryDirectory(prefix="compliance-")
_SCHEMAS = ("test_schema", "test_schema_2")


@provision.generate_driver_url.for_db("messages")  # type: ignore[untyped-decorator]
def generate_url(url: Any, driver: str, query_str: str) -> Any:
    """Put main and the schemas of the tests into files."""
    attached = {f"attach.{name}": str(Path(_FOLDER.name, f"{name}.db")) for name in _SCHEMAS}
    for file in attached.values():
        Path(file).touch()
    query = {"local": str(Path(_FOLDER.name, "main.db")), **attached}
    return url.set(drivername=f"messages+{driver}").update_query_dict(query)


@provision.post_configure_engine.for_db("messages")  # type: ignore[untyped-decorator]
def configure(url: Any, engine: Any, follower_ident: str | None) -> None:
    """List local tables only: whole lists are compared."""
    engine.dialect.lists_service_tables = False


@provision.update_db_opts.for_db("messages")  # type: ignore[untyped-decorator]
def update_options(url: Any, options: dict[str, Any], *_: Any) -> None:
    """Give SQLAlchemy 1.4 one connection: its tests look for temporary tables on whichever comes."""
    if VERSION < (2, 0):
        options["poolclass"] = pool.StaticPool


@provision.temp_table_keyword_args.for_db("messages")  # type: ignore[untyped-decorator]
def temporary(config: Any, engine: Any) -> dict[str, list[str]]:
    """Say how a temporary table is made."""
    return {"prefixes": ["TEMPORARY"]}


@provision.stop_test_class_outside_fixtures.for_db("messages")  # type: ignore[untyped-decorator]
def stop(config: Any, engine: Any, cls: type) -> None:
    """Close the connections of a class of tests."""
    engine.dispose()


if hasattr(provision, "upsert"):

    @provision.upsert.for_db("messages")  # type: ignore[untyped-decorator]
    def upsert(config: Any, table: Any, returning: Any, **options: Any) -> Any:
        """Write SQLite's ON CONFLICT."""
        return provision.upsert.fns["sqlite"](config, table, returning, **options)
