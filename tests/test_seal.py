"""The sealed engine: every door that plain SQL might open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from messages_dbapi import DatabaseError, NotSupportedError, ProgrammingError
from messages_dbapi.connection import Connection
from messages_dbapi.seal import _READING_PRAGMAS

from .service import Service


@pytest.fixture
def connection(service: Service) -> Iterator[Connection]:
    """Give a connection with a local table, beside a service with one thread."""
    service.thread(3, thread_id="thread_a")
    with service.connect() as connection:
        connection.execute("CREATE TABLE t (a)")
        yield connection


DOORS = (
    "ATTACH '{file}' AS other",
    "ATTACH DATABASE ':memory:' AS other",
    "ATTACH 'file:{file}?mode=rwc' AS other",
    'DETACH "openai.assistants"',
    "DETACH main",
    "VACUUM",
    "VACUUM INTO '{file}'",
    "VACUUM main INTO '{file}'",
    "SELECT load_extension('{file}')",
    "SELECT load_extension('{file}', 'entry')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT readfile('{file}')",
    "SELECT writefile('{file}', 'x')",
    "SELECT edit('x')",
    "PRAGMA writable_schema = 1",
    "PRAGMA writable_schema",
    "PRAGMA main.writable_schema(ON)",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA journal_mode",
    "PRAGMA trusted_schema = 1",
    "PRAGMA temp_store_directory = '/'",
    "PRAGMA data_store_directory = '/'",
    "PRAGMA user_version = 5",
    "PRAGMA encoding = 'UTF-16'",
    "PRAGMA schema_version = 5",
    "PRAGMA integrity_check",
    "PRAGMA foreign_keys = 0",
    "PRAGMA mmap_size = 1",
    "PRAGMA cache_size = 1000000",
    "PRAGMA hard_heap_limit = 1",
    "PRAGMA wal_checkpoint",
    "PRAGMA optimize",
    "PRAGMA module_list",
    "SELECT * FROM pragma_integrity_check",
    "SELECT * FROM pragma_journal_mode",
    "SELECT * FROM PRAGMA_Writable_Schema",
    "WITH x AS (SELECT * FROM pragma_integrity_check) SELECT * FROM x",
    "SELECT (SELECT count(*) FROM pragma_journal_mode)",
    "CREATE VIRTUAL TABLE v USING fts5(a)",
    "CREATE VIRTUAL TABLE temp.v USING messages",
    'CREATE VIRTUAL TABLE "openai.assistants".v USING messages',
    "SELECT * FROM sqlite_dbpage",
    "SELECT * FROM dbstat",
    "SELECT * FROM sqlite_stmt",
    "SELECT * FROM bytecode('SELECT 1')",
    "SELECT * FROM tables_used('SELECT 1')",
    "SELECT * FROM _returned_messages",
    "SELECT * FROM _returned_threads",
    "UPDATE sqlite_schema SET sql = 'x'",
    "DELETE FROM sqlite_schema",
    "INSERT INTO sqlite_schema VALUES ('table', 'x', 'x', 0, 'CREATE TABLE x (a)')",
    "DROP TABLE messages",
    "DROP TABLE openai.assistants.messages",
    'DROP TABLE IF EXISTS "openai.assistants".threads',
    "DROP TABLE assistants.messages",
    "DROP VIEW messages",
    "ALTER TABLE messages RENAME TO other",
    "ALTER TABLE openai.assistants.messages ADD COLUMN x",
    "ALTER TABLE messages DROP COLUMN role",
    "CREATE INDEX i ON messages (role)",
    'CREATE INDEX "openai.assistants".i ON messages (role)',
    "CREATE TABLE openai.assistants.mine (a)",
    "CREATE TABLE assistants.mine (a)",
    "CREATE VIEW assistants.mine AS SELECT 1",
    'CREATE TABLE "openai.assistants".mine AS SELECT 1',
    "CREATE TRIGGER r INSTEAD OF DELETE ON messages BEGIN SELECT 1; END",
)


@pytest.mark.parametrize("sql", DOORS)
def test_a_door_is_closed(service: Service, connection: Connection, sql: str, tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    with service.counting() as seen, pytest.raises((NotSupportedError, ProgrammingError)):
        connection.execute(sql.format(file=file)).fetchall()
    assert not seen
    assert not file.exists()
    connection.rollback()
    assert connection.execute("SELECT count(*) FROM messages WHERE thread_id = 'thread_a'").fetchone() == (3,)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM pragma_journal_mode",
        "SELECT * FROM sqlite_dbpage",
        "SELECT load_extension('x')",
        "SELECT * FROM _returned_messages",
    ],
)
def test_a_door_is_closed_inside_a_view_and_a_trigger(connection: Connection, sql: str) -> None:
    for schema in ("main", "temp"):
        with pytest.raises(DatabaseError):
            run_all(connection, f"CREATE VIEW {schema}.v AS {sql}", "SELECT * FROM v")
        connection.execute(f"DROP VIEW IF EXISTS {schema}.v")
    trigger = f"CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN {sql}; END"
    with pytest.raises(DatabaseError):
        run_all(connection, trigger, "INSERT INTO t VALUES (1)")


def run_all(connection: Connection, *statements: str) -> None:
    """Run statements to their ends."""
    for sql in statements:
        list(connection.execute(sql)) if sql.startswith("SELECT") else connection.execute(sql)


@pytest.mark.parametrize(
    "action",
    [
        "DELETE FROM messages WHERE thread_id = 'thread_a'",
        "INSERT INTO messages (thread_id, role, content) VALUES ('thread_a', 'user', 'x')",
        "UPDATE messages SET metadata = '{}' WHERE thread_id = 'thread_a'",
        "DELETE FROM threads WHERE id = 'thread_a'",
    ],
)
@pytest.mark.parametrize("temporary", ["", "TEMP"])
def test_a_trigger_does_not_write_to_the_service(
    service: Service, connection: Connection, action: str, temporary: str
) -> None:
    trigger = f"CREATE {temporary} TRIGGER r AFTER INSERT ON t BEGIN {action}; END"
    with service.counting() as seen, pytest.raises(NotSupportedError, match="trigger"):
        run_all(connection, trigger, "INSERT INTO t VALUES (1)")
    assert not seen


def test_a_trigger_of_a_file_does_not_write_to_the_service(service: Service, tmp_path: Path) -> None:
    service.thread(3, thread_id="thread_a")
    with service.connect(local=tmp_path / "local.db") as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute(
            "CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM messages WHERE thread_id = 'thread_a'; END"
        )
    with service.connect(local=tmp_path / "local.db") as connection:
        with service.counting() as seen, pytest.raises(NotSupportedError, match="trigger"):
            connection.execute("INSERT INTO t VALUES (1)")
        assert not seen


def test_a_trigger_may_read_the_service_and_write_locally(connection: Connection) -> None:
    connection.execute("CREATE TABLE log (a)")
    connection.execute("CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO log SELECT new.a; END")
    connection.execute("INSERT INTO t SELECT content_text FROM messages WHERE thread_id = 'thread_a'")
    assert connection.execute("SELECT count(*) FROM log").fetchone() == (3,)


@pytest.mark.parametrize("name", sorted(_READING_PRAGMAS))
def test_a_pragma_that_reads_the_schema_passes(connection: Connection, name: str) -> None:
    assert connection.execute(f"PRAGMA {name}").description is not None or name == "read_uncommitted"


def test_the_schema_is_read(connection: Connection) -> None:
    names = [row[1] for row in connection.execute("PRAGMA table_info(messages)").fetchall()]
    assert names[:2] == ["id", "assistant_id"]
    for sql in (
        "PRAGMA openai.assistants.table_info(messages)",
        'PRAGMA "openai.assistants".table_info("messages")',
        "SELECT * FROM pragma_table_info('messages')",
    ):
        assert len(connection.execute(sql).fetchall()) == len(names)
    assert ("t",) in connection.execute("SELECT name FROM sqlite_schema").fetchall()
    connection.execute("PRAGMA read_uncommitted = 1")


def test_a_refusal_says_what_to_do(connection: Connection) -> None:
    with pytest.raises(NotSupportedError, match=r"attach\.NAME"):
        connection.execute("ATTACH 'x' AS y")
    with pytest.raises(NotSupportedError, match="table_info"):
        connection.execute("PRAGMA journal_mode")
