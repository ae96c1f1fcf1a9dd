"""Rows as they come: pages on demand, what a statement has cost, cancelling it, and threads that share a connection."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from messages_dbapi import InterfaceError, OperationalError
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.documents import Draft

from .service import Seen, Service

SELECT = "SELECT content_text FROM messages WHERE thread_id = 'thread_a'"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def service(service: Service) -> Service:
    """Give a service with a thread of three pages."""
    service.thread(250, thread_id="thread_a")
    return service


def test_a_page_is_requested_when_a_row_of_it_is_needed(service: Service, connection: Connection) -> None:
    with service.counting() as seen:
        cursor = connection.execute(SELECT)
        requests = []
        for _ in range(250):
            cursor.fetchone()
            requests.append(len(seen))
        assert cursor.fetchone() is None
    assert requests == [1] * 100 + [2] * 100 + [3] * 50
    assert len(seen) == 3


def test_two_cursors_stream_side_by_side(service: Service, connection: Connection) -> None:
    one, two = connection.execute(SELECT), connection.execute(f"{SELECT} ORDER BY created_at DESC")
    rows = [(one.fetchone(), two.fetchone()) for _ in range(250)]
    assert rows == [((f"message {n}",), (f"message {249 - n}",)) for n in range(250)]
    assert (one.stats.requests, two.stats.requests) == (3, 3)


def test_a_statement_that_is_dropped_requests_no_more(service: Service, connection: Connection) -> None:
    cursor = connection.execute(SELECT)
    with service.counting() as seen:
        cursor.execute("SELECT 1")
        connection.execute(SELECT).close()
    assert len(seen) == 1


def test_stats_tell_what_a_statement_cost(connection: Connection) -> None:
    cursor = connection.execute(SELECT)
    stats = cursor.stats
    cursor.fetchmany(120)
    assert (stats.requests, stats.pages, stats.rows_received, stats.rows_returned) == (2, 2, 200, 120)
    cursor.fetchall()
    assert stats.rows_returned == 250
    # From both ends, over a socket, it may be a page more.
    spare = 0 if connection.options.embedded else 1
    assert 3 <= stats.pages <= stats.requests <= 3 + spare
    assert 250 <= stats.rows_received <= 250 + 100 * spare
    assert (stats.retries, stats.threads_missing) == (0, 0)
    assert stats.bytes_received > 250 * 100
    assert stats.seconds > 0
    cursor.execute("SELECT 1")
    assert cursor.stats is not stats
    assert cursor.stats.requests == 0


def test_stats_are_live_in_other_threads(service: Service) -> None:
    seen: list[int] = []
    with service.connect() as connection:
        cursor = connection.cursor()
        service.on_seen = lambda _: seen.append(cursor.stats.requests)
        cursor.execute("SELECT count(*) FROM messages WHERE thread_id = 'thread_a'")
    assert seen == [1, 2, 3]


# Cancelling.


def cancel_at(service: Service, page: int, cancel: Any) -> None:
    """Have another thread cancel while a page is being answered."""
    pages: list[Seen] = []

    def on_seen(seen: Seen) -> None:
        pages.append(seen)
        if len(pages) == page:
            other = threading.Thread(target=cancel)
            other.start()
            other.join()

    service.on_seen = on_seen


@pytest.mark.parametrize("of", ["cursor", "connection"])
def test_cancel_from_another_thread_ends_the_statement(service: Service, connection: Connection, of: str) -> None:
    cursor = connection.cursor()
    cancel_at(service, 2, cursor.cancel if of == "cursor" else connection.cancel)
    with pytest.raises(OperationalError, match="cancelled"):
        cursor.execute(f"{SELECT} ORDER BY role, content_text").fetchall()
    assert 2 <= cursor.stats.requests <= (2 if connection.options.embedded else 4)
    for fetch in (cursor.fetchone, cursor.fetchall):
        with pytest.raises(InterfaceError, match="no rows"):
            fetch()
    service.on_seen = None
    assert len(cursor.execute(SELECT).fetchall()) == 250
    assert len(connection.execute(SELECT).fetchall()) == 250


def test_cancel_of_a_cursor_leaves_the_others(service: Service, connection: Connection) -> None:
    one, two = connection.execute(SELECT), connection.execute(SELECT)
    one.cancel()
    assert len(two.fetchall()) == 250
    with pytest.raises(OperationalError, match="cancelled"):
        one.fetchall()


def test_cancel_ends_what_sqlite_computes(connection: Connection) -> None:
    cursor = connection.cursor()
    timer = threading.Timer(0.05, cursor.cancel)
    timer.start()
    with pytest.raises(OperationalError, match="cancelled"):
        cursor.execute(ENDLESS)
    timer.join()
    assert cursor.execute("SELECT 1").fetchone() == (1,)


def test_cancel_of_nothing_does_nothing(connection: Connection) -> None:
    cursor = connection.cursor()
    cursor.cancel()
    connection.cancel()
    assert cursor.execute("SELECT 1").fetchone() == (1,)


def test_an_interrupt_stops_paging(service: Service) -> None:
    def interrupt(_: Seen) -> None:
        if len(service.seen) == 2:
            raise KeyboardInterrupt

    with service.connect() as connection:
        service.on_seen = interrupt
        cursor = connection.cursor()
        with service.counting() as seen, pytest.raises(KeyboardInterrupt):
            cursor.execute("SELECT count(*) FROM messages WHERE thread_id = 'thread_a'")
        assert len(seen) == 2
        service.on_seen = None
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_interrupt_while_fetching_fails_the_cursor(service: Service) -> None:
    def interrupt(_: Seen) -> None:
        raise KeyboardInterrupt

    with service.connect() as connection:
        cursor = connection.execute(SELECT)
        service.on_seen = interrupt
        with pytest.raises(KeyboardInterrupt):
            cursor.fetchall()
        service.on_seen = None
        with pytest.raises(OperationalError, match="interrupted"):
            cursor.fetchone()


# Threads.


def test_threads_share_a_connection(service: Service, connection: Connection) -> None:
    connection.execute("CREATE TABLE t (a)")
    start = threading.Barrier(8)

    def work(number: int) -> tuple[int, int]:
        start.wait()
        with connection.cursor() as cursor:
            cursor.execute(SELECT)
            rows = list(iter(lambda: cursor.fetchmany(7), []))
            cursor.execute(
                "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)",
                (f"thread_{number}", str(number)),
            )
            cursor.execute("INSERT INTO t VALUES (?)", (number,))
            return sum(map(len, rows)), cursor.rowcount

    for number in range(8):
        service.thread(thread_id=f"thread_{number}")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [(250, 1)] * 8
    assert connection.execute("SELECT count(*), sum(a) FROM t").fetchone() == (8, 28)
    sql = "SELECT thread_id, content_text FROM messages WHERE thread_id IN (SELECT 'thread_' || a FROM t)"
    assert sorted(connection.execute(sql).fetchall()) == [(f"thread_{n}", str(n)) for n in range(8)]


def test_a_slow_statement_does_not_block_cancel(service: Service, connection: Connection) -> None:
    slow = connection.cursor()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            slow.execute(ENDLESS)
        except OperationalError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        connection.cancel()
        time.sleep(0.001)
    thread.join()
    assert len(failures) == 1


def test_seconds_are_live(connection: Connection) -> None:
    """Another thread sees time pass in a statement under way, and no more of it afterwards."""
    cursor = connection.cursor()
    seen: list[float] = []

    def look() -> None:
        while not seen or (seen[-1] == 0 and len(seen) < 10_000):
            seen.append(cursor.stats.seconds)
            time.sleep(0.001)

    watcher = threading.Thread(target=look)
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT max(i) FROM n"
    watcher.start()
    cursor.execute(numbers)
    watcher.join()
    assert seen[-1] > 0
    assert cursor.stats.seconds == cursor.stats.seconds >= seen[-1]


def test_a_closed_cursor_holds_no_rows(service: Service) -> None:
    """However long a program keeps it, for what it can still be asked."""
    thread = service.thread_of(Draft(content="x" * 10_000) for _ in range(100))
    with service.connect() as connection:
        closed = []
        tracemalloc.start()
        try:
            for _ in range(5):
                cursor = connection.execute("SELECT content FROM messages WHERE thread_id = ?", (thread,))
                assert len(cursor.fetchall()) == 100
                cursor.close()
                closed.append(cursor)
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert held < 500_000, "one listing is a million"
    assert [cursor.rowcount for cursor in closed] == [-1] * 5
