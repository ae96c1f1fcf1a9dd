"""The function that is told how far a statement is: after each reply, one call at a time, never after the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from messages_dbapi import InterfaceError, OperationalError
from messages_dbapi.connection import Connection
from messages_dbapi.options import resolve

from .service import Service
from .test_requests import ANY, fill, run

Told = list[tuple[int, int, int | None]]


class Listener:
    """Keep what was told, and see that one call waits for the other."""

    def __init__(self) -> None:
        self.told: Told = []
        self.threads: set[int] = set()
        self.raises: BaseException | None = None
        self._busy = threading.Lock()

    def __call__(self, done: int, rows: int, expected: int | None) -> None:
        assert self._busy.acquire(blocking=False)
        try:
            self.told.append((done, rows, expected))
            self.threads.add(threading.get_ident())
            time.sleep(0.001)
            if self.raises is not None and done == 2:
                raise self.raises
        finally:
            self._busy.release()

    def take(self) -> Told:
        """Give what was told since the last time."""
        told, self.told = self.told, []
        return told


@pytest.fixture
def listener() -> Listener:
    """Give a function that listens."""
    return Listener()


@pytest.fixture(params=["in process", "one by one", "side by side"])
def told(service: Service, listener: Listener, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """Give a connection that tells the listener, to a service with threads of 257, 5 and 3 messages."""
    for n in (257, 5, 3):
        fill(service, n, f"thread_{n}")
    connect: Any = service.connect if request.param == "in process" else service.connect_over_http
    with connect(progress=listener, concurrency=8 if request.param == "side by side" else 1) as connection:
        yield connection


def test_each_reply_is_told(service: Service, told: Connection, listener: Listener) -> None:
    cursor, seen = run(service, told, ANY.format(t="thread_257"))
    heard = listener.take()
    assert [done for done, _, _ in heard] == list(range(1, len(heard) + 1))
    # What both ends of a thread have asked for beyond what is needed may come when all is over.
    assert 3 <= len(heard) <= len(seen)
    assert sorted(rows for _, rows, _ in heard) == [rows for _, rows, _ in heard]
    assert 257 <= heard[-1][1] <= cursor.stats.rows_received
    assert {expected for _, _, expected in heard} == {None}


def test_of_a_thread_that_was_read_it_is_known_how_many_to_expect(
    service: Service, told: Connection, listener: Listener
) -> None:
    run(service, told, ANY.format(t="thread_257"))
    listener.take()
    run(service, told, ANY.format(t="thread_257"))
    assert [(done, expected) for done, _, expected in listener.take()] == [(1, 3), (2, 3), (3, 3)]
    run(service, told, f"{ANY} AND role = 'user' LIMIT 200".format(t="thread_257"))
    assert {expected for _, _, expected in listener.take()} == {None}


def test_single_messages_are_expected(service: Service, told: Connection, listener: Listener) -> None:
    ids = ", ".join(f"'msg_thread_5_{place}'" for place in range(4))
    run(service, told, f"{ANY} AND id IN ({ids}, 'msg_none')".format(t="thread_5"))
    assert [(done, expected) for done, _, expected in listener.take()] == [(done, 5) for done in range(1, 6)]


def test_writes_are_expected(service: Service, told: Connection, listener: Listener) -> None:
    sql = "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', 'x')"
    told.cursor().executemany(sql, [("thread_5",), ("thread_3",), ("thread_5",)])
    assert listener.take() == [(1, 0, 3), (2, 0, 3), (3, 0, 3)]
    told.execute("DELETE FROM messages WHERE thread_id = 'thread_257' AND created_at < 1700000002")
    heard = listener.take()
    assert [expected for _, _, expected in heard] == [None] * (len(heard) - 2) + [len(heard)] * 2


def test_nothing_is_told_after_the_end(service: Service, listener: Listener) -> None:
    fill(service, 257, "thread_257")
    fill(service, 15, "thread_15")
    with service.connect_over_http(progress=listener, page_size=10) as connection:
        cursor = connection.execute(ANY.format(t="thread_257"))
        cursor.fetchmany(150)
        cursor.close()
        heard = len(listener.told)
        assert heard > 1
        time.sleep(0.1)
        assert len(listener.told) == heard
        listener.take()
        # The page from the other end comes when that from this end has ended the statement.
        service.on_seen = lambda seen: time.sleep(0.1 if seen.query.get("order") == "desc" else 0)
        cursor = connection.execute(ANY.format(t="thread_15"))
        assert len(cursor.fetchall()) == 15
        heard = len(listener.told)
        time.sleep(0.3)
        assert len(listener.told) == heard


def test_a_statement_may_be_cancelled_from_within(service: Service, listener: Listener) -> None:
    for n in range(6):
        fill(service, 5, f"thread_{n}")

    def cancel(done: int, rows: int, expected: int | None) -> None:
        listener(done, rows, expected)
        connection.cancel()

    threads = ", ".join(f"'thread_{n}'" for n in range(6))
    service.on_seen = lambda seen: time.sleep(0.02)
    with service.connect_over_http(progress=cancel, page_size=10) as connection:
        with pytest.raises(OperationalError, match="cancelled"):
            connection.execute(f"SELECT count(*) FROM messages WHERE thread_id IN ({threads})").fetchall()
        time.sleep(0.1)
        assert len(listener.told) == 1


RAISED = (ValueError("enough"), KeyboardInterrupt(), OperationalError("of mine"))


@pytest.mark.parametrize("error", RAISED)
@pytest.mark.parametrize(
    "sql", [ANY, "SELECT count(*) FROM messages WHERE thread_id IN ('{t}', 'thread_5', 'thread_3')"]
)
def test_what_it_raises_ends_the_statement(
    told: Connection, listener: Listener, sql: str, error: BaseException
) -> None:
    listener.raises = error
    cursor = told.cursor()
    with pytest.raises(type(error)) as caught:
        cursor.execute(sql.format(t="thread_257")).fetchall()
    assert caught.value is error
    listener.raises = None
    assert len(listener.told) == 2
    if cursor.description is not None:
        with pytest.raises(OperationalError):
            cursor.fetchone()
    assert told.execute(f"{ANY} LIMIT 3".format(t="thread_5")).fetchall()


@pytest.mark.parametrize("error", RAISED[:2])
def test_what_it_raises_ends_a_write_and_what_was_written_is_said(
    service: Service, told: Connection, listener: Listener, error: BaseException
) -> None:
    listener.raises = error
    sql = "INSERT INTO messages (thread_id, role, content) VALUES ('thread_5', 'user', ?)"
    with service.counting() as seen, pytest.raises(type(error)) as caught:
        told.cursor().executemany(sql, [(str(place),) for place in range(5)])
    assert caught.value is error
    assert len(seen) == 2
    assert "2 rows of the statement were written" in "".join(caught.value.__notes__)
    with service.connect() as plain:
        assert len(plain.execute(ANY.format(t="thread_5")).fetchall()) == 7


def test_it_is_a_function_and_stands_in_no_url() -> None:
    with pytest.raises(InterfaceError, match=r"progress.*expected a function"):
        resolve("messages://", {"progress": "yes"}, {})
    with pytest.raises(InterfaceError, match=r"progress cannot stand .* connect\(\)"):
        resolve("messages://?progress=1", {}, {})
    assert resolve("messages://", {"progress": print}, {}).progress is print
