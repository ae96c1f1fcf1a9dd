"""Which threads a statement reads: those it names, the default scope, all of them, and those that are missing."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import pytest

import messages_dbapi
from messages_dbapi import DataError, NotSupportedError, OperationalError, ProgrammingError
from messages_dbapi.connection import Connection

from .service import Service

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

COUNT = "SELECT count(*) FROM messages"


@pytest.fixture
def service(service: Service) -> Service:
    """Give a service with threads of one, two and three messages."""
    for n in (1, 2, 3):
        service.thread(n, thread_id=f"thread_{n}")
    return service


def count(connection: Connection, sql: str = COUNT) -> int:
    """Give the one number that a statement answers with."""
    (row,) = connection.execute(sql).fetchall()
    return int(row[0])


# No thread.


@pytest.mark.parametrize(
    "sql",
    [
        COUNT,
        "SELECT * FROM messages WHERE role = 'user'",
        "SELECT * FROM messages WHERE id = 'msg_1'",
        "SELECT * FROM messages WHERE thread_id <> 'thread_1'",
        "SELECT * FROM messages WHERE thread_id > 'a'",
        "SELECT * FROM messages WHERE thread_id LIKE 'thread_1'",
        "SELECT * FROM messages WHERE thread_id COLLATE NOCASE = 'thread_1'",
        "SELECT * FROM messages WHERE thread_id = 'thread_1' OR role = 'user'",
        "SELECT * FROM messages a JOIN messages b ON a.thread_id = b.thread_id",
        "SELECT (SELECT count(*) FROM messages)",
    ],
)
def test_no_thread_is_an_error_before_any_request(service: Service, sql: str) -> None:
    with (
        service.connect_over_http() as connection,
        service.counting() as seen,
        pytest.raises(ProgrammingError, match="thread_id") as caught,
    ):
        connection.execute(sql).fetchall()
    assert not seen
    text = str(caught.value)
    for hint in (
        "get_message",
        "list_messages",
        "WHERE thread_id = 'thread_…'",
        "IN (SELECT id FROM threads)",
        "threads=",
    ):
        assert hint in text


def test_an_embedded_service_reads_every_thread(service: Service) -> None:
    with service.connect() as connection:
        assert count(connection) == 6
        assert count(connection, f"{COUNT} WHERE thread_id > 'thread_1'") == 5
    with service.connect(unscoped="error") as connection, pytest.raises(ProgrammingError):
        count(connection)


def test_a_remote_one_does_so_when_asked(service: Service) -> None:
    with service.connect_over_http(unscoped="scan") as connection:
        assert count(connection) == 6


def test_an_or_of_threads_is_a_union(service: Service) -> None:
    with service.connect(unscoped="error") as connection:
        assert count(connection, f"{COUNT} WHERE thread_id = 'thread_1' OR thread_id = 'thread_3'") == 4
        both = "(thread_id = 'thread_1' AND role = 'user') OR (thread_id = 'thread_3' AND role = 'assistant')"
        assert count(connection, f"{COUNT} WHERE {both}") == 1
        assert (
            count(connection, f"{COUNT} WHERE thread_id = 'thread_3' OR (thread_id = 'thread_3' AND role = 'user')")
            == 3
        )


# The default scope.


def test_the_default_scope_counts_where_no_thread_is_named(service: Service) -> None:
    with service.connect(thread_id=["thread_1", "thread_3"]) as connection:
        assert count(connection) == 4
        assert count(connection, f"{COUNT} WHERE thread_id = 'thread_2'") == 2
        assert count(connection, f"{COUNT} WHERE thread_id <> 'thread_1'") == 3
        assert count(connection, "SELECT count(*) FROM messages a, messages b WHERE b.thread_id = 'thread_2'") == 8
    with messages_dbapi.connect(
        service.base_url.replace("http", "messages+http", 1) + "?thread_id=thread_1&thread_id=thread_2"
    ) as connection:
        assert count(connection) == 3


FILES: tuple[tuple[str, str, str], ...] = (
    ("ids.txt", "thread_1\n# no id\n\n thread_3 \nthread_1\n", "thread_2\n"),
    ("ids.csv", "name,thread_id\na,thread_1\nb,thread_3\n", "thread_id\nthread_2\n"),
    ("ids.csv#who", "who,thread_id\nthread_1,x\nthread_3,y\n", "who\nthread_2\n"),
    ("ids.jsonl", '{"thread_id": "thread_1"}\n{"thread_id": "thread_3"}\n', '{"thread_id": "thread_2"}\n'),
    ("ids.jsonl#t", '{"t": "thread_1"}\n{"t": "thread_3"}\n', '{"t": "thread_2"}'),
)


@pytest.mark.parametrize(("source", "first", "second"), FILES)
def test_a_file_of_threads_is_read_anew(service: Service, tmp_path: Path, source: str, first: str, second: str) -> None:
    path = tmp_path / source.partition("#")[0]
    path.write_text(first)
    with service.connect(threads=str(tmp_path / source)) as connection:
        assert count(connection) == 4
        path.write_text(second)
        assert count(connection) == 2
        path.unlink()
        with pytest.raises(OperationalError, match="cannot be read"):
            count(connection)
        assert count(connection, f"{COUNT} WHERE thread_id = 'thread_3'") == 3


def test_a_column_of_an_attached_file_is_read_anew(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "crm.db"
    other = apsw.Connection(str(file))
    other.execute(
        "CREATE TABLE customers (thread); INSERT INTO customers VALUES ('thread_1'), ('thread_3'), (NULL), ('thread_1')"
    )
    with service.connect(attach={"crm": file}, threads="crm.customers.thread") as connection:
        assert count(connection) == 4
        other.execute("UPDATE customers SET thread = 'thread_2'")
        assert count(connection) == 2
        other.execute("UPDATE customers SET thread = 5")
        with pytest.raises(DataError, match=r"crm\.customers\.thread"):
            count(connection)
    other.close()


def test_both_sources_are_one_scope(service: Service, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("thread_2\nthread_3\n")
    with service.connect(thread_id="thread_3", threads=str(tmp_path / "ids.txt")) as connection:
        assert count(connection) == 5


def test_an_empty_scope_is_no_rows(service: Service, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("")
    with service.connect(threads=str(tmp_path / "ids.txt")) as connection, service.counting() as seen:
        assert count(connection) == 0
    assert not seen


# Threads that are missing.

MISSING = f"{COUNT} WHERE thread_id IN ('thread_1', 'thread_none', 'thread_3', 'thread_zero')"


def test_a_missing_thread_is_an_error_that_names_it(service: Service) -> None:
    for connect in (service.connect, service.connect_over_http):
        with connect() as connection, pytest.raises(ProgrammingError, match=r"'thread_none'.*\b2\b") as caught:
            count(connection, MISSING)
        assert (caught.value.status, caught.value.param) == (404, "thread_id")


def test_a_missing_thread_is_skipped_where_asked(service: Service) -> None:
    for connect in (service.connect, service.connect_over_http):
        with connect(missing_thread="skip") as connection:
            cursor = connection.cursor()
            with pytest.warns(messages_dbapi.Warning, match="thread_none") as caught:
                cursor.execute(MISSING)
            assert cursor.fetchall() == [(4,)]
            assert len(caught) == 1
            assert [cls for cls, _ in cursor.messages] == [messages_dbapi.Warning] * 2
            assert [
                str(warning).count(name)
                for (_, warning), name in zip(cursor.messages, ("thread_none", "thread_zero"), strict=True)
            ] == [1, 1]
            assert cursor.stats.threads_missing == 2
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                cursor.execute(f"{COUNT} WHERE thread_id = 'thread_1'")
            assert cursor.messages == []


def test_a_missing_thread_is_skipped_once_in_a_join(service: Service) -> None:
    sql = f"{COUNT} a JOIN messages b ON a.thread_id = b.thread_id WHERE a.thread_id = 'thread_none'"
    with service.connect(missing_thread="skip") as connection, pytest.warns(messages_dbapi.Warning):
        assert connection.execute(sql).stats.threads_missing == 1


# Listing threads.


def test_a_service_that_lists_no_threads(service: Service) -> None:
    def without_listing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/v1/threads":
            return service.app(environ, start_response)
        start_response("405 Method Not Allowed", [("Content-Type", "application/json")])
        return [b'{"error": {"message": "no", "type": "x", "param": null, "code": null}}']

    with service.connect_to(without_listing, thread_id=["thread_1", "thread_2"]) as connection:
        assert connection.execute("SELECT id FROM threads").fetchall() == [("thread_1",), ("thread_2",)]
        assert connection.execute("SELECT id FROM threads WHERE id = 'thread_3'").fetchall() == [("thread_3",)]
    with service.connect_to(without_listing) as connection:
        for sql in ("SELECT id FROM threads", COUNT):
            with pytest.raises(NotSupportedError, match="does not list threads"):
                connection.execute(sql)
        assert not connection.check().can_list_threads


@pytest.mark.parametrize("options", [{"unscoped": "error"}, {"thread_id": ["shop"]}, {"unscoped": "scan"}])
@pytest.mark.parametrize(
    "more",
    ["json_each('[1]') AS j WHERE j.value = 1", "(SELECT 1) WHERE EXISTS (SELECT 1 FROM notes AS o WHERE o.id = m.id)"],
)
def test_a_table_that_many_refer_to_is_not_scanned_first(service: Service, options: dict[str, Any], more: str) -> None:
    """SQLite would make it the outermost at any price; then the join's threads would not count."""
    for name in ("shop", "travel"):
        service.thread(3, thread_id=name)
    with service.connect(**options) as connection:
        connection.execute("CREATE TABLE notes (id, note)")
        connection.execute("INSERT INTO notes SELECT id, 'x' FROM messages WHERE thread_id IN ('shop', 'travel')")
        rows = connection.execute(
            f"SELECT count(n.note) FROM threads AS t JOIN messages AS m ON t.id = m.thread_id "
            f"JOIN notes AS n ON n.id = m.id, {more}"
        )
        assert rows.fetchall() == [(6,)]


@pytest.mark.parametrize("options", [{"unscoped": "error"}, {"thread_id": ["other"]}, {"unscoped": "scan"}])
def test_an_or_names_its_threads_in_a_join_of_three(service: Service, options: dict[str, Any]) -> None:
    """SQLite remembers only the three cheapest ways through a branch; the one it needs must be among them."""
    for name in ("shop", "travel", "other"):
        service.thread(3, thread_id=name)
    with service.connect(**options) as connection:
        connection.execute("CREATE TABLE notes (id, note)")
        connection.execute("INSERT INTO notes SELECT id, 'x' FROM messages WHERE thread_id IN ('shop', 'travel')")
        rows = connection.execute(
            "SELECT count(*) FROM messages AS a JOIN messages AS b ON b.thread_id = a.thread_id "
            "WHERE (a.thread_id = 'shop' OR a.thread_id IN ('shop', 'travel', NULL)) "
            "AND EXISTS (SELECT 1 FROM notes AS n WHERE n.id = a.id)"
        )
        assert rows.fetchall() == [(18,)]


HIDDEN = (
    "SELECT id FROM messages WHERE thread_id = 'travel' OR (thread_id = 'shop' AND role = 'x' COLLATE NOCASE)",
    "SELECT a.id FROM messages AS a FULL JOIN (SELECT 'x' AS x) AS b ON b.x = a.id WHERE a.thread_id = 'travel'",
    "SELECT a.id FROM messages AS a RIGHT JOIN (SELECT 'travel' AS x) AS b ON b.x = a.thread_id",
    "SELECT a.id FROM messages AS a RIGHT JOIN (SELECT 'travel' AS thread_id) AS b USING (thread_id)",
)


@pytest.mark.parametrize("operation", HIDDEN)
def test_the_default_scope_does_not_answer_for_named_threads(service: Service, operation: str) -> None:
    """Where SQLite does not show the table the threads that are named, there is an error or the right rows."""
    for name in ("shop", "travel"):
        service.thread(3, thread_id=name)
    for options in ({"thread_id": ["shop"]}, {"unscoped": "error"}):
        with service.connect(**options) as connection, service.counting() as seen:
            with pytest.raises(messages_dbapi.ProgrammingError, match="thread_id"):
                connection.execute(operation)
            assert not seen
    with service.connect(unscoped="scan") as connection:
        assert len(connection.execute(operation).fetchall()) == 3


def test_the_default_scope_answers_beside_an_or(service: Service) -> None:
    """The words alone do not matter, only a thread that is named."""
    service.thread(3, thread_id="shop")
    with service.connect(thread_id=["shop"]) as connection:
        operation = "SELECT thread_id, id FROM messages WHERE role = 'USER' COLLATE NOCASE OR status = 'x'"
        assert len(connection.execute(operation).fetchall()) == 3
