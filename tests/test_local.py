"""Local tables and views: transactions, files, attached files, and names that the service has too."""

from __future__ import annotations

import gc
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import messages_dbapi
from messages_dbapi import IntegrityError, InterfaceError, NotSupportedError, OperationalError, ProgrammingError
from messages_dbapi.connection import Connection

from .service import Service


@pytest.fixture
def connection(service: Service) -> Iterator[Connection]:
    """Give a connection with a local table, beside a service with one thread."""
    service.thread(3, thread_id="thread_a")
    with service.connect() as connection:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        connection.commit()
        yield connection


def rows(connection: Connection, sql: str = "SELECT a, b FROM t") -> list[tuple[object, ...]]:
    """Give the rows of a statement."""
    return connection.execute(sql).fetchall()


# Transactions.


def test_a_transaction_ends_with_commit_or_rollback(connection: Connection) -> None:
    connection.execute("INSERT INTO t VALUES (1, 'x')")
    connection.commit()
    connection.execute("INSERT INTO t VALUES (2, 'y')")
    connection.execute("UPDATE t SET b = 'z'")
    connection.execute("DELETE FROM t WHERE a = 1")
    connection.rollback()
    assert rows(connection) == [(1, "x")]


def test_autocommit_lets_each_statement_stand(connection: Connection) -> None:
    assert connection.autocommit is False
    connection.execute("INSERT INTO t VALUES (1, 'x')")
    connection.autocommit = True
    connection.execute("INSERT INTO t VALUES (2, 'y')")
    connection.rollback()
    assert rows(connection) == [(1, "x"), (2, "y")]
    connection.autocommit = False
    connection.execute("DELETE FROM t")
    connection.rollback()
    assert len(rows(connection)) == 2


def test_transactions_can_be_written_in_sql(connection: Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (1, 'x')")
    connection.execute("SAVEPOINT s")
    connection.execute("INSERT INTO t VALUES (2, 'y')")
    connection.execute("ROLLBACK TO s")
    connection.execute("COMMIT")
    assert rows(connection) == [(1, "x")]


def test_tables_are_made_and_dropped_in_transactions(connection: Connection) -> None:
    connection.execute("INSERT INTO t VALUES (1, 'x')")
    connection.execute("CREATE TABLE u (a)")
    connection.rollback()
    with pytest.raises(ProgrammingError, match="no such table: u"):
        connection.execute("SELECT * FROM u")
    assert rows(connection) == []


def test_a_failed_statement_leaves_the_transaction(connection: Connection) -> None:
    connection.execute("INSERT INTO t VALUES (1, 'x')")
    with pytest.raises(IntegrityError):
        connection.execute("INSERT INTO t VALUES (2, 'y'), (1, 'z')")
    connection.commit()
    assert rows(connection) == [(1, "x")]


def test_local_writes_report_as_in_sqlite(connection: Connection) -> None:
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO t VALUES (?, ?)", [(5, "x"), (6, "y"), (7, "z")])
    assert (cursor.rowcount, cursor.lastrowid) == (3, 7)
    assert cursor.execute("UPDATE t SET b = 'n' WHERE a > 5").rowcount == 2
    assert cursor.execute("DELETE FROM t WHERE a > 50").rowcount == 0
    cursor.execute("INSERT INTO t (b) VALUES ('r') RETURNING a, b")
    assert cursor.fetchall() == [(8, "r")]
    assert cursor.rowcount == 1


def test_local_and_remote_tables_join(connection: Connection) -> None:
    connection.execute("INSERT INTO t VALUES (1, 'thread_a'), (2, NULL)")
    sql = "SELECT t.a, count(m.id) FROM t LEFT JOIN messages m ON m.thread_id = t.b GROUP BY t.a"
    assert rows(connection, sql) == [(1, 3), (2, 0)]
    copied = connection.execute("CREATE TABLE copy AS SELECT * FROM messages WHERE thread_id = 'thread_a'")
    assert copied.description is None
    assert rows(connection, "SELECT count(*), typeof(content), typeof(created_at) FROM copy") == [
        (3, "text", "integer")
    ]


def test_a_rollback_of_local_changes_warns_of_nothing(connection: Connection) -> None:
    connection.execute("INSERT INTO t VALUES (1, 'x')")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        connection.rollback()


def test_a_stream_outlives_the_end_of_a_transaction(service: Service, connection: Connection) -> None:
    service.thread(250, thread_id="thread_long")
    cursor = connection.execute("SELECT id FROM messages WHERE thread_id = 'thread_long'")
    for end in (connection.commit, connection.rollback, connection.commit):
        connection.execute("INSERT INTO t (b) VALUES ('x')")
        cursor.fetchmany(50)
        end()
    connection.execute("DELETE FROM messages WHERE thread_id = 'thread_a'")
    assert len(cursor.fetchall()) == 100
    assert len(rows(connection)) == 2


def test_a_table_that_is_being_read_is_not_dropped(connection: Connection) -> None:
    connection.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    cursor = connection.execute("SELECT a FROM t")
    with pytest.raises(OperationalError, match="locked"):
        connection.execute("DROP TABLE t")
    assert cursor.fetchall() == [(1,), (2,)]
    connection.execute("DROP TABLE t")


# Files.


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "local.db"


def test_a_local_file_keeps_its_tables(service: Service, file: Path) -> None:
    with service.connect(local=file) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
    with service.connect(local=file) as connection:
        assert rows(connection, "SELECT a FROM t") == [(1,)]
    plain = apsw.Connection(str(file))
    assert plain.execute("SELECT name FROM sqlite_schema").fetchall() == [("t",)]
    plain.close()


def test_a_file_that_cannot_be_opened_is_named(service: Service, tmp_path: Path) -> None:
    text, folder = tmp_path / "notes.txt", tmp_path / "nowhere" / "local.db"
    text.write_text("no database, and longer than the heading of one: " * 4)
    for option, path, options in (
        ("local", text, {"local": text}),
        ("local", folder, {"local": folder}),
        ("attach.app", text, {"attach": {"app": text}}),
        ("attach.app", folder, {"attach": {"app": folder}}),
    ):
        with pytest.raises(InterfaceError, match=re.escape(f"{option}={path}: ")):
            service.connect(**options)


def test_a_close_undoes_an_open_transaction(service: Service, file: Path) -> None:
    with service.connect(local=file) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection = service.connect(local=file)
    connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    with service.connect(local=file) as connection:
        assert rows(connection, "SELECT a FROM t") == []


def test_a_local_table_of_a_declared_name_warns_and_is_reached_by_its_schema(service: Service, file: Path) -> None:
    service.thread(3, thread_id="thread_a")
    plain = apsw.Connection(str(file))
    plain.execute("CREATE TABLE messages (own); INSERT INTO messages VALUES ('local')")
    plain.close()
    with pytest.warns(messages_dbapi.Warning, match=r"main\.messages"):
        connection = service.connect(local=file)
    with connection:
        count = "SELECT count(*) FROM {} WHERE thread_id = 'thread_a'"
        for name in ("messages", "openai.assistants.messages", "assistants.messages"):
            assert rows(connection, count.format(name)) == [(3,)]
        assert rows(connection, "SELECT own FROM main.messages") == [("local",)]
        assert connection.execute("DELETE FROM messages WHERE thread_id = 'thread_a'").rowcount == 3
        assert connection.execute("DELETE FROM main.messages").rowcount == 1


def test_a_declared_name_may_be_made_in_a_local_schema(connection: Connection) -> None:
    connection.execute("CREATE TABLE main.messages (own)")
    connection.execute("INSERT INTO main.messages VALUES ('local')")
    assert rows(connection, "SELECT own FROM main.messages") == [("local",)]
    assert rows(connection, "SELECT count(*) FROM messages WHERE thread_id = 'thread_a'") == [(3,)]
    connection.execute("DROP TABLE main.messages")
    assert rows(connection, "SELECT count(*) FROM messages WHERE thread_id = 'thread_a'") == [(3,)]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE messages (a)",
        "CREATE TABLE IF NOT EXISTS threads (a)",
        "CREATE TEMP TABLE messages (a)",
        "CREATE TEMP VIEW Messages AS SELECT 1",
        "CREATE VIEW messages AS SELECT 1",
        "CREATE TABLE openai.assistants.mine (a)",
        'CREATE TABLE "openai.assistants".mine (a)',
        "CREATE TABLE messages AS SELECT 1",
        "ALTER TABLE t RENAME TO messages",
    ],
)
def test_a_name_of_the_service_is_not_hidden(connection: Connection, sql: str) -> None:
    with pytest.raises(ProgrammingError, match=r"main\."):
        connection.execute(sql)


def test_an_attached_file_joins(service: Service, tmp_path: Path) -> None:
    service.thread(3, thread_id="thread_a")
    plain = apsw.Connection(str(tmp_path / "crm.db"))
    plain.execute("CREATE TABLE customers (name, thread); INSERT INTO customers VALUES ('Ada', 'thread_a')")
    plain.close()
    with service.connect(attach={"crm": tmp_path / "crm.db"}) as connection:
        sql = "SELECT c.name, count(*) FROM crm.customers c JOIN messages m ON m.thread_id = c.thread GROUP BY 1"
        assert rows(connection, sql) == [("Ada", 3)]
        connection.execute("UPDATE crm.customers SET name = 'Bob'")
        connection.commit()
        assert rows(connection, "SELECT name FROM crm.customers") == [("Bob",)]
        assert ("crm",) in rows(connection, "SELECT name FROM pragma_database_list")


def test_a_file_to_attach_must_be_there(service: Service, tmp_path: Path) -> None:
    with pytest.raises(InterfaceError, match=r"attach\.crm"):
        service.connect(attach={"crm": tmp_path / "none.db"})


def test_a_file_that_is_no_database_is_an_error(service: Service, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database, but a text that is long enough to be looked at" * 20)
    for options in ({"local": tmp_path / "text.db"}, {"attach": {"x": tmp_path / "text.db"}}):
        with pytest.raises(messages_dbapi.Error):
            service.connect(**options)


# Views.


def test_views_are_listed_and_dropped(connection: Connection) -> None:
    connection.execute(
        "CREATE VIEW talk (id, said) AS SELECT id, content_text FROM assistants.messages WHERE thread_id = 'thread_a'"
    )
    assert rows(connection, "SELECT said FROM main.talk LIMIT 1") == [("message 0",)]
    assert rows(connection, "SELECT type, name FROM sqlite_schema WHERE name = 'talk'") == [("view", "talk")]
    connection.execute("DROP VIEW talk")
    with pytest.raises(ProgrammingError, match="no such table"):
        connection.execute("SELECT * FROM talk")


def test_a_view_cannot_be_written(connection: Connection) -> None:
    connection.execute("CREATE VIEW talk AS SELECT * FROM messages")
    for sql in ("DELETE FROM talk", "UPDATE talk SET metadata = NULL", "INSERT INTO talk (id) VALUES (1)"):
        with pytest.raises((ProgrammingError, NotSupportedError)):
            connection.execute(sql)


def test_a_cursor_that_is_dropped_lets_go_of_its_tables() -> None:
    """At once: a reference circle would hold them until a collection."""
    gc.disable()
    try:
        with messages_dbapi.connect("messages://") as connection:
            connection.execute("CREATE TABLE numbers (n)")
            connection.execute("INSERT INTO numbers VALUES (1), (2)")
            connection.commit()
            cursor = connection.execute("SELECT n FROM numbers")
            cursor.fetchone()
            del cursor
            connection.execute("DROP TABLE numbers")
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["inner", '"in ner"', "[Inner]"])
def test_a_rollback_to_a_savepoint_warns_of_what_stays(service: Service, name: str) -> None:
    """Of what was written since then, and of that once."""
    service.thread(thread_id="thread_a")
    insert = "INSERT INTO messages (thread_id, role, content) VALUES ('thread_a', 'user', 'x')"
    with service.connect() as connection:
        connection.execute(insert)
        connection.execute(f"SAVEPOINT {name}")
        connection.execute(f"ROLLBACK TO {name.upper()}")  # nothing was written since
        connection.execute(insert)
        connection.execute("SAVEPOINT further")
        connection.execute(insert)
        with pytest.warns(messages_dbapi.Warning, match="cannot undo the 2 rows"):
            connection.execute(f"ROLLBACK /* all */ TRANSACTION TO SAVEPOINT {name}")
        connection.execute(insert)
        connection.execute(f"RELEASE {name}")
        with pytest.warns(messages_dbapi.Warning, match="cannot undo the 2 rows"):
            connection.rollback()
        assert connection.execute("SELECT count(*) FROM messages WHERE thread_id = 'thread_a'").fetchone() == (4,)


def test_an_unknown_savepoint_is_sqlites_error() -> None:
    with messages_dbapi.connect("messages://") as connection:
        connection.execute("SAVEPOINT 'quoted'")
        connection.execute("ROLLBACK TO quoted")
        connection.rollback()
        connection.execute("BEGIN")
        with pytest.raises(ProgrammingError, match="no such savepoint: nowhere"):
            connection.execute("ROLLBACK TO nowhere")
