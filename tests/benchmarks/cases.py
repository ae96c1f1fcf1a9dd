"""What is measured: each case a piece of work, beside the same work of the two baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from messages_dbapi.connection import Connection
from messages_dbapi.resources import MESSAGES

from .baselines import Loop, Official
from .library import LISTED, WRITTEN

NEWEST = 10
INSERTED = 200

Rows = Sequence[tuple[Any, ...]]
Subject = Literal["driver", "loop", "official client"]


class Counter(Protocol):
    """Whoever counts the requests that it makes."""

    requests: int


class Case(NamedTuple):
    """A piece of work on ``messages`` messages, done ``times`` times in one measurement.

    Cases of a group are compared with its loop and its official client.
    """

    group: str
    name: str
    subject: Subject
    work: Callable[[], Rows]
    counter: Counter
    rows: int
    messages: int
    times: int = 1


class Driver:
    """The driver on one connection, counting its requests."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.requests = 0

    def select(self, sql: str, *values: str) -> Rows:
        """Run a SELECT and fetch all its rows."""
        cursor = self._connection.execute(sql, values)
        rows = cursor.fetchall()
        self.requests += cursor.stats.requests
        cursor.close()
        return rows

    def insert(self, rows: Rows) -> Rows:
        """Insert a row for each thread and content."""
        cursor = self._connection.cursor()
        cursor.executemany("INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)", rows)
        self.requests += cursor.stats.requests
        cursor.close()
        return rows


def cases(connection: Connection, loop: Loop, official: Official, messages: int) -> list[Case]:
    """List the cases in the order in which they are measured."""
    driver = Driver(connection)
    return [
        *_listings(driver, loop, official, messages),
        *_single_requests(driver, loop, official, loop.newest(1)[0][0], messages),
        *_inserts(driver, loop, official),
    ]


def _listings(driver: Driver, loop: Loop, official: Official, messages: int) -> list[Case]:
    columns = ", ".join(field.name for field in MESSAGES.fields)
    statements = {
        "SELECT *": ("SELECT * FROM messages WHERE thread_id = ?", messages),
        "SELECT the 14 columns": (f"SELECT {columns} FROM messages WHERE thread_id = ?", messages),
        "SELECT id, role": ("SELECT id, role FROM messages WHERE thread_id = ?", messages),
        "COUNT(*)": ("SELECT COUNT(*) FROM messages WHERE thread_id = ?", 1),
        "GROUP BY role": (
            "SELECT role, COUNT(*) FROM messages WHERE thread_id = ? GROUP BY role",
            min(messages, 2),
        ),
    }
    baselines = [
        Case("list", "requests + msgspec", "loop", loop.list_all, loop, messages, messages),
        Case("list", "openai, auto-pager", "official client", official.list_all, official, messages, messages),
    ]
    return baselines + [
        Case("list", name, "driver", _bound(driver, sql), driver, rows, messages)
        for name, (sql, rows) in statements.items()
    ]


def _bound(driver: Driver, sql: str) -> Callable[[], Rows]:
    return lambda: driver.select(sql, LISTED)


def _single_requests(driver: Driver, loop: Loop, official: Official, key: str, messages: int) -> list[Case]:
    count = min(NEWEST, messages)
    newest = f"SELECT * FROM messages WHERE thread_id = ? ORDER BY created_at DESC LIMIT {count}"
    point = "SELECT * FROM messages WHERE thread_id = ? AND id = ?"
    return [
        Case("newest 10", "requests + msgspec", "loop", lambda: loop.newest(count), loop, count, count, 20),
        Case("newest 10", "openai", "official client", lambda: official.newest(count), official, count, count, 20),
        Case("newest 10", "newest 10", "driver", lambda: driver.select(newest, LISTED), driver, count, count, 20),
        Case("point read", "requests + msgspec", "loop", lambda: loop.point(key), loop, 1, 1, 50),
        Case("point read", "openai", "official client", lambda: official.point(key), official, 1, 1, 50),
        Case("point read", "point read", "driver", lambda: driver.select(point, LISTED, key), driver, 1, 1, 50),
    ]


def _inserts(driver: Driver, loop: Loop, official: Official) -> list[Case]:
    content = "a message as people write them, with an é and a 🙂 " * 10
    found: list[Case] = []
    for threads in (WRITTEN[:1], WRITTEN):
        ids = [threads[place % len(threads)] for place in range(INSERTED)]
        group = f"INSERT {INSERTED} into {len(threads)}"
        found += [
            Case(group, "requests + msgspec", "loop", _bound_create(loop, ids, content), loop, INSERTED, INSERTED),
            Case(
                group, "openai", "official client", _bound_create(official, ids, content), official, INSERTED, INSERTED
            ),
            Case(group, group, "driver", _bound_insert(driver, ids, content), driver, INSERTED, INSERTED),
        ]
    return found


def _bound_create(client: Loop | Official, thread_ids: list[str], content: str) -> Callable[[], Rows]:
    return lambda: client.create(thread_ids, content)


def _bound_insert(driver: Driver, thread_ids: list[str], content: str) -> Callable[[], Rows]:
    return lambda: driver.insert([(thread_id, content) for thread_id in thread_ids])
