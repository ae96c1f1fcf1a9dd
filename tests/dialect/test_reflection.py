"""The inspector: the declaration for the service's tables, SQLite's word for local ones, and no request at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.schema import CreateTable

import sqlalchemy_messages
from messages_dbapi.resources import RESOURCES
from sqlalchemy_messages import JSON

from ..service import Service
from .conftest import Engines

NAMES = [resource.name for resource in RESOURCES]
SCHEMAS = ["openai.assistants", "assistants", None]


@pytest.fixture
def engine(engines: Engines, service: Service, url: str, tmp_path: Path) -> Iterator[Engine]:
    """Give an engine with a local table, a view on the service and an attached file; nothing is requested."""
    (tmp_path / "crm.db").touch()
    engine = engines(url, connect_args={"attach": {"crm": tmp_path / "crm.db"}})
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT NOT NULL DEFAULT 'x')"))
        connection.execute(text("CREATE TABLE crm.customers (id INTEGER PRIMARY KEY, thread TEXT)"))
        connection.execute(text("CREATE VIEW recent AS SELECT id, created_at, metadata FROM messages"))
    yield engine
    assert service.seen == []


def test_schemas(engine: Engine) -> None:
    """The service's first, then main and what is attached."""
    inspector = inspect(engine)
    assert inspector.default_schema_name == "openai.assistants"
    assert inspector.get_schema_names() == ["openai.assistants", "main", "crm"]


@pytest.mark.parametrize("schema", ["openai.assistants", "assistants"])
def test_tables_of_the_service(engine: Engine, schema: str) -> None:
    """Its tables, and no views."""
    inspector = inspect(engine)
    assert inspector.get_table_names(schema=schema) == NAMES
    assert inspector.get_view_names(schema=schema) == []


def test_tables_elsewhere(engine: Engine) -> None:
    """Without a schema the service's and the local ones."""
    inspector = inspect(engine)
    assert inspector.get_table_names() == [*NAMES, "notes"]
    assert inspector.get_table_names(schema="main") == ["notes"]
    assert inspector.get_table_names(schema="crm") == ["customers"]
    assert inspector.get_view_names() == inspector.get_view_names(schema="main") == ["recent"]
    assert "recent" in inspector.get_view_definition("recent")


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_a_table_is_its_declaration(engine: Engine, resource: Any, schema: str | None) -> None:
    """Columns, key, comments, and nothing that is not there, the same by every schema."""
    inspector = inspect(engine)
    columns = inspector.get_columns(resource.name, schema=schema)
    ready = getattr(sqlalchemy_messages, resource.name)
    assert [(found["name"], found["nullable"], found["comment"]) for found in columns] == [
        (field.name, field.nullable, field.description) for field in resource.fields
    ]
    assert [type(found["type"]) for found in columns] == [type(ready.c[found["name"]].type) for found in columns]
    filled = {found["name"] for found in columns if found["default"] is not None}
    assert filled == {field.name for field in resource.fields if field.generated}
    key = inspector.get_pk_constraint(resource.name, schema=schema)["constrained_columns"]
    assert key == [column.name for column in ready.primary_key]
    assert inspector.get_table_comment(resource.name, schema=schema) == {"text": resource.description}
    for ask in ("get_foreign_keys", "get_indexes", "get_unique_constraints", "get_check_constraints"):
        assert getattr(inspector, ask)(resource.name, schema=schema) == []
    assert inspector.has_table(resource.name, schema=schema)


def test_many_at_once(engine: Engine) -> None:
    """SQLAlchemy 2's own way to ask, with and without a schema."""
    inspector = inspect(engine)
    if not hasattr(inspector, "get_multi_columns"):
        pytest.skip("SQLAlchemy 1.4 asks table by table")
    for ask in (
        "get_multi_columns",
        "get_multi_pk_constraint",
        "get_multi_foreign_keys",
        "get_multi_indexes",
        "get_multi_unique_constraints",
        "get_multi_check_constraints",
        "get_multi_table_comment",
    ):
        assert {name for _, name in getattr(inspector, ask)()} == {*NAMES, "notes"}, ask
        assert {name for _, name in getattr(inspector, ask)(schema="openai.assistants")} == set(NAMES), ask


@pytest.mark.parametrize("schema", [*SCHEMAS, "main", "crm", "nowhere"])
def test_what_is_not_there(engine: Engine, schema: str | None) -> None:
    """A NoSuchTableError whatever is asked, and has_table says no."""
    inspector = inspect(engine)
    assert not inspector.has_table("nothing", schema=schema)
    if schema == "nowhere":
        return  # of which SQLite says that it is an unknown database
    # Of a local table that is not there, SQLAlchemy 1.4 says that it has no key.
    knows_better = hasattr(inspector, "get_multi_columns") or schema in SCHEMAS[:2]
    further = ("get_pk_constraint",) if knows_better else ()
    for ask in ("get_columns", "get_foreign_keys", "get_indexes", "get_table_comment", *further):
        with pytest.raises(NoSuchTableError):
            getattr(inspector, ask)("nothing", schema=schema)
    with pytest.raises(NoSuchTableError):
        Table("nothing", MetaData(), autoload_with=engine, schema=schema)


@pytest.mark.parametrize("name", ["MESSAGES", "Messages"])
def test_names_have_no_case(engine: Engine, name: str) -> None:
    """As everywhere in SQLite."""
    assert inspect(engine).has_table(name)
    assert len(inspect(engine).get_columns(name)) == 14


@pytest.mark.parametrize("schema", SCHEMAS)
def test_metadata_reflects_everything(engine: Engine, schema: str | None) -> None:
    """In one call, views too, and the reflected table can be queried."""
    metadata = MetaData()
    metadata.reflect(engine, schema=schema, views=True)
    prefix = "" if schema is None else f"{schema}."
    local = {"notes", "recent"} if schema is None else set()
    assert set(metadata.tables) == {prefix + name for name in NAMES} | local
    table = metadata.tables[f"{prefix}messages"]
    assert [column.name for column in table.primary_key] == ["thread_id", "id"]
    assert table.c.id.server_default is not None
    assert table.c.role.server_default is None


def test_a_view_on_the_service_has_its_types(engine: Engine) -> None:
    """JSON stays JSON."""
    types = [type(column["type"]) for column in inspect(engine).get_columns("recent")]
    assert issubclass(types[0], String)
    assert issubclass(types[1], BigInteger)
    assert types[2] is JSON


def test_local_tables_are_as_in_sqlite(engine: Engine) -> None:
    """Types, keys and defaults."""
    columns: Any = inspect(engine).get_columns("notes")
    note_id, note = columns
    assert (note_id["name"], note_id["primary_key"]) == ("id", 1)
    assert isinstance(note_id["type"], Integer)
    assert (note["nullable"], note["default"]) == (False, "'x'")
    assert inspect(engine).get_table_comment("notes") == {"text": None}


def test_a_copy_of_a_reflected_table_can_be_made(engine: Engine) -> None:
    """Its DDL is legal, so that rows can be kept locally."""
    table = Table("messages", MetaData(), autoload_with=engine)
    copy = table.to_metadata(MetaData(), name="kept")
    ready = sqlalchemy_messages.messages.to_metadata(MetaData(), schema="main", name="kept_too")
    with engine.begin() as connection:
        for made in (copy, ready):
            connection.execute(CreateTable(made))
            assert inspect(connection).get_pk_constraint(made.name)["constrained_columns"] == ["thread_id", "id"]


@pytest.mark.parametrize("other", [sqlite, postgresql])
def test_a_copy_can_be_made_elsewhere(other: Any) -> None:
    """An archive of messages in one's own database has that database's JSON."""
    copy = sqlalchemy_messages.messages.to_metadata(MetaData(), schema="archive")
    assert "metadata JSON" in str(CreateTable(copy).compile(dialect=other.dialect()))


def test_the_listing_can_leave_the_service_out(engine: Engine) -> None:
    """A switch for programs that compare whole lists; the tables are found all the same."""
    engine.dialect.lists_service_tables = False  # type: ignore[attr-defined]  # this dialect's own
    inspector = inspect(engine)
    assert inspector.get_table_names() == ["notes"]
    assert inspector.has_table("messages")


def test_a_local_table_of_a_declared_name(engines: Engines, url: str) -> None:
    """In main it is the local one, without a schema the service's."""
    engine = engines(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE main.messages (a INTEGER)"))
        inspector = inspect(connection)
        assert [column["name"] for column in inspector.get_columns("messages", schema="main")] == ["a"]
        assert len(inspector.get_columns("messages")) == 14
        assert inspector.get_table_names() == NAMES
        assert inspector.get_temp_table_names() == []
        assert inspector.get_table_names(schema="main") == ["messages"]


def test_temporary_tables(engines: Engines) -> None:
    """They are listed where SQLite lists them."""
    engine = engines("messages://")
    with engine.begin() as connection:
        Table("passing", MetaData(), Column("a", Integer), prefixes=["TEMPORARY"]).create(connection)
        assert inspect(connection).get_temp_table_names() == ["passing"]
