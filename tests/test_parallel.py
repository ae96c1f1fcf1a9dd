"""Reading side by side: the same rows as one request after the other gives, and hardly a request more."""

from __future__ import annotations

import gc
import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest

import messages_dbapi
from messages_dbapi import OperationalError, ProgrammingError
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.documents import Draft
from messages_dbapi.embedded.server import Server

from .service import Seen, Service
from .test_paging import ANSWERS, THREAD, Forgetful

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

FIRST = 1_700_000_000
THREADS = [f"thread_{number:02}" for number in range(30)]
WHOLE = f"SELECT id FROM messages WHERE thread_id = '{THREAD}'"
ORDERS = ("", " ORDER BY created_at DESC")


@pytest.fixture
def wide(service: Service) -> Iterator[Connection]:
    """Give a connection over a socket, which may have eight requests in flight."""
    with service.connect_over_http() as connection:
        connection.check()
        yield connection


def connect_to(server: Server, **options: Any) -> Connection:
    """Connect to a server."""
    return messages_dbapi.connect(server.base_url.replace("http://", "messages+http://", 1), **options)


def keys(rows: Any) -> list[str]:
    """Give the only column of rows."""
    return [key for (key,) in rows]


def fill(service: Service, chance: random.Random, size: int, spread: int, thread_id: str = THREAD) -> list[str]:
    """Add a thread of messages, many of them of one second where the spread is small, and give their ids in order."""
    times = sorted(FIRST + chance.randint(0, spread) for _ in range(size))
    service.thread_of([Draft(content="x", created_at=time) for time in times], thread_id=thread_id)
    with service.connect(thread_id=thread_id) as connection:
        return keys(connection.execute("SELECT id FROM messages"))


def dawdle(chance: random.Random) -> Callable[[Seen], None]:
    """Answer after a moment that is long for one request in four."""
    return lambda seen: time.sleep(chance.choice((0, 0, 0.001, 0.004)))


# Shapes that read to the end, in one way or another.
SHAPES = (
    WHOLE,
    f"{WHOLE} ORDER BY created_at DESC",
    f"{WHOLE} AND role = 'user'",
    f"{WHOLE} ORDER BY role",
    f"SELECT count(*) FROM messages WHERE thread_id = '{THREAD}'",
    f"SELECT group_concat(id) FROM messages WHERE thread_id = '{THREAD}'",
    f"SELECT id, row_number() OVER (ORDER BY created_at DESC) FROM messages WHERE thread_id = '{THREAD}'",
    f"SELECT a.id, b.id FROM messages a JOIN messages b USING (thread_id, created_at) WHERE thread_id = '{THREAD}'",
    f"{WHOLE} UNION ALL {WHOLE} AND role = 'assistant'",
)


def test_every_setting_gives_the_same_rows(many: Callable[[int, int], int]) -> None:
    chance = random.Random(5)
    for _ in range(many(6, 400)):
        service = Service()
        fill(service, chance, chance.randint(0, 40), chance.choice((1, 4, 60)))
        service.on_seen = dawdle(chance)
        shapes = chance.sample(SHAPES, 3)
        with service.connect() as plain:
            wanted = [plain.execute(sql).fetchall() for sql in shapes]
        for concurrency in (1, 2, 8):
            with service.connect_over_http(concurrency=concurrency, page_size=chance.randint(1, 7)) as connection:
                # A second time the places of the first are known.
                for sql, rows in (*zip(shapes, wanted, strict=True), *zip(shapes, wanted, strict=True)):
                    assert connection.execute(sql).fetchall() == rows, (sql, concurrency)
        service.close()


@pytest.mark.parametrize("name", ANSWERS)
def test_changes_lose_and_double_nothing(name: str, many: Callable[[int, int], int]) -> None:
    """Whatever is deleted and whatever arrives meanwhile, with ties, and on services of every kind."""
    chance = random.Random(name)
    for _ in range(many(5, 300)):
        service = Service()
        known = fill(service, chance, chance.randint(1, 40), chance.choice((1, 4, 60)))
        forgetful = Forgetful(service, ANSWERS[name])
        gone: set[str] = set()
        lock = threading.Lock()

        def change(
            forgetful: Forgetful = forgetful, known: list[str] = known, gone: set[str] = gone, lock: Any = lock
        ) -> None:
            with lock:
                for key in known:
                    if key not in gone and chance.random() < 0.04:
                        gone.add(key)
                        forgetful.delete(key)
                if chance.random() < 0.2:
                    forgetful.service.store.add_message(THREAD, Draft(content="new", created_at=FIRST + 1_000))

        with forgetful.connect_over_http(page_size=chance.randint(1, 6), concurrency=8) as connection:
            for _ in range(3):
                before = set(known) - gone
                forgetful.listings, forgetful.between = 0, change
                descending = chance.random() < 0.5
                rows = keys(connection.execute(WHOLE + ORDERS[descending]).fetchall())
                forgetful.between = bool
                assert len(set(rows)) == len(rows)
                assert set(known) - gone <= set(rows)
                assert set(rows) & set(known) <= before
                # One that was deleted meanwhile may stand elsewhere among those of its second.
                left = [key for key in known[:: -1 if descending else 1] if key not in gone]
                assert [key for key in rows if key in left] == left
        service.close()


# What it costs.


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200, 257, 1000])
def test_both_ends_cost_two_requests_more_at_most(service: Service, wide: Connection, size: int, order: str) -> None:
    service.thread(size, thread_id=THREAD)
    floor = max(1, ceil(size / 100))
    for spare in (2 if floor > 1 else 0, 0):
        cursor = wide.execute(WHOLE + order)
        assert len(cursor.fetchall()) == size
        assert floor <= cursor.stats.requests <= floor + spare


@pytest.mark.parametrize("first", [0, 1])
def test_known_places_serve_the_other_order_too(service: Service, wide: Connection, first: int) -> None:
    service.thread(2_957, thread_id=THREAD)
    rows = keys(wide.execute(WHOLE + ORDERS[first]).fetchall())[::-1]
    with service.counting() as seen:
        assert keys(wide.execute(WHOLE + ORDERS[1 - first]).fetchall()) == rows
    assert len(seen) <= 30 + 1
    # From its beginning on, no more than twice the requests in flight ahead.
    places = [rows.index(request.query.get("after", rows[0])) for request in seen[:6]]
    assert max(places) <= 1_700


def test_known_places_are_found_again_after_changes(service: Service, wide: Connection) -> None:
    chance = random.Random(3)
    known = fill(service, chance, 1_000, 3_000)
    for _ in range(6):
        for key in chance.sample(known, 40):
            service.store.delete_message(THREAD, key)
            known.remove(key)
        known.append(service.store.add_message(THREAD, Draft(content="new", created_at=FIRST + 5_000)).id)
        cursor = wide.execute(WHOLE)
        assert keys(cursor.fetchall()) == known
        # A page for each place that is left, and one more where rows have gone from between them.
        assert cursor.stats.requests <= ceil(len(known) / 100) + 3


def test_places_of_other_pages_are_not_gone_on_from(service: Service, wide: Connection) -> None:
    service.thread(300, thread_id=THREAD)
    for limit, pages in ((1, 300), (100, 3), (7, 43), (100, 3)):
        cursor = wide.execute(f'{WHOLE} AND "limit" = {limit}')
        assert len(cursor.fetchall()) == 300
        assert pages <= cursor.stats.requests <= pages + 2


STOPS = {
    f"{WHOLE} LIMIT 10": 1,
    f"{WHOLE} ORDER BY created_at DESC LIMIT 10": 1,
    f"{WHOLE} AND created_at < {FIRST + 50}": 1,
    f"{WHOLE} AND created_at >= {FIRST + 950}": 1,
    f"{WHOLE} AND role = 'user' LIMIT 1": 1,
    f"SELECT max(created_at) FROM messages WHERE thread_id = '{THREAD}'": 1,
    f"SELECT 1 WHERE EXISTS ({WHOLE})": 1,
    f"SELECT ({WHOLE} LIMIT 1 OFFSET 5)": 1,
    f"SELECT id, row_number() OVER () FROM messages WHERE thread_id = '{THREAD}' LIMIT 2": 1,
    f"SELECT * FROM ({WHOLE}) LIMIT 150": 2,
    f"{WHOLE} AND length(id) > 1 LIMIT 150": 2,
    f"SELECT count(*) FROM ({WHOLE} AND length(id) > 1 LIMIT 250)": 3,
    f"SELECT value FROM json_each('[1, 2]') WHERE EXISTS ({WHOLE} AND length(id) > value)": 1,
    f"WITH m AS MATERIALIZED ({WHOLE} LIMIT 120) SELECT count(*) FROM m": 2,
}


# The loops of an OR share one piece of the program, which gives their rows.
EITHER = f"SELECT id FROM messages WHERE (thread_id = '{THREAD}' OR (thread_id = 'thread_b' AND role = 'user'))"
STOPS |= {
    f"{EITHER} LIMIT 150": 2,
    f"SELECT count(*) FROM ({EITHER} LIMIT 150)": 2,
    f"SELECT 1 WHERE EXISTS ({EITHER} AND created_at + 0 > {FIRST + 150})": 2,
}


@pytest.mark.parametrize("sql", STOPS)
def test_what_stops_early_asks_for_nothing_more(service: Service, wide: Connection, sql: str) -> None:
    service.thread(1_000, thread_id=THREAD)
    for _ in range(2):
        with service.counting() as seen:
            wide.execute(sql).fetchall()
            time.sleep(0.05)
        assert len(seen) == STOPS[sql]


OTHER = f"SELECT id FROM messages WHERE thread_id = '{THREADS[0]}'"
TOGETHER = (
    f"SELECT role FROM ({WHOLE.replace('id FROM', 'role FROM')}) INTERSECT SELECT 'nobody' ORDER BY 1",
    f"{WHOLE} INTERSECT {OTHER} ORDER BY 1",
    f"{WHOLE} AND length(id) > 1 OR thread_id = '{THREADS[0]}' LIMIT 120",
    f"{WHOLE} UNION ALL {OTHER} LIMIT 1020",
    f"SELECT id, count(*) OVER (PARTITION BY role) FROM messages WHERE thread_id = '{THREAD}' LIMIT 5",
)


@pytest.mark.parametrize("sql", TOGETHER)
@pytest.mark.parametrize("fetch", ["fetchone", "fetchall"])
def test_side_by_side_asks_for_little_more(service: Service, sql: str, fetch: str) -> None:
    """Where one part of a statement may end another, or rows leave it elsewhere than in the scan."""
    service.thread(1_000, thread_id=THREAD)
    service.thread(1_000, thread_id=THREADS[0])
    counts = []
    for concurrency in (1, 8):
        with service.connect_over_http(concurrency=concurrency, remember=False) as connection:
            cursor = connection.execute(sql)
            getattr(cursor, fetch)()
            time.sleep(0.05)
            counts.append(cursor.stats.requests)
    assert counts[0] <= counts[1] <= counts[0] + 2 * (1 + sql.count("SELECT"))


def test_rows_that_are_fetched_one_by_one_are_asked_for_when_needed(service: Service, wide: Connection) -> None:
    service.thread(1_000, thread_id=THREAD)
    cursor = wide.execute(WHOLE)
    for wanted, requests in ((100, 1), (1, 2), (99, 2), (1, 3)):
        for _ in range(wanted):
            cursor.fetchone()
        time.sleep(0.02)
        assert cursor.stats.requests == requests
    # Of many at once it is known that they are needed.
    assert len(cursor.fetchmany(450)) == 450
    assert cursor.stats.requests == 7


def test_rows_of_an_or_are_asked_for_when_needed(service: Service, wide: Connection) -> None:
    service.thread(1_000, thread_id=THREAD)
    cursor = wide.execute(EITHER)
    for _ in range(150):
        cursor.fetchone()
    time.sleep(0.05)
    assert cursor.stats.requests == 2


def test_a_subquery_is_read_ahead_only_where_the_rows_around_it_are_taken(service: Service, wide: Connection) -> None:
    wide.execute("CREATE TABLE mine (thread TEXT)")
    for thread in THREADS:
        service.thread(10, thread_id=thread)
        wide.execute("INSERT INTO mine VALUES (?)", (thread,))
    cursor = wide.execute("SELECT thread, (SELECT count(*) FROM messages WHERE thread_id = thread) FROM mine")
    assert cursor.fetchone() == (THREADS[0], 10)
    time.sleep(0.05)
    assert cursor.stats.requests == 1
    assert len(cursor.fetchall()) == len(THREADS) - 1
    assert cursor.stats.requests == len(THREADS)


def test_places_that_another_limit_set_apart_are_not_remembered(service: Service, wide: Connection) -> None:
    """Both scans of a statement read the one listing, by the pages of the first."""
    service.thread(1_000, thread_id=THREAD)
    assert len(wide.execute(f'{WHOLE} AND "limit" = 7 UNION ALL {WHOLE}').fetchall()) == 2_000
    cursor = wide.execute(WHOLE)
    assert len(cursor.fetchall()) == 1_000
    assert cursor.stats.requests <= 12


def test_known_places_need_no_more_than_the_bound_of_requests(service: Service) -> None:
    """Where some of them were deleted, pages by them are more than those of one walk."""
    known = fill(service, random.Random(2), 1_000, 2_000)
    with service.connect_over_http(max_requests=10) as connection:
        connection.check()
        assert len(connection.execute(WHOLE).fetchall()) == 1_000
        for key in known[99:500:100]:
            service.store.delete_message(THREAD, key)
        assert connection.execute(f"SELECT count(*) FROM messages WHERE thread_id = '{THREAD}'").fetchone() == (995,)


def test_nothing_is_asked_for_behind_the_end(service: Service, wide: Connection) -> None:
    """Of a thread that has become short, the places that were known are gone."""
    known = fill(service, random.Random(1), 2_500, 5_000)
    count = f"SELECT count(*) FROM messages WHERE thread_id = '{THREAD}'"
    wide.execute(count).fetchall()
    for key in known[40:]:
        service.store.delete_message(THREAD, key)
    ended = threading.Event()

    def wait_behind_the_first(seen: Seen) -> None:
        if "after" in seen.query:
            ended.wait(20)

    service.on_seen = wait_behind_the_first
    cursor = wide.execute(count)
    assert cursor.fetchone() == (40,)
    ended.set()
    time.sleep(0.3)
    # The first page, and what eight threads had begun before it came.
    assert cursor.stats.requests <= 9


THREADS = [f"thread_{number:02}" for number in range(30)]
MANY = {
    "list": "SELECT id FROM messages WHERE thread_id IN (SELECT value FROM json_each(:threads))",
    "literals": f"SELECT id FROM messages WHERE thread_id IN ({', '.join(map(repr, THREADS))})",
    "subquery": "SELECT id FROM messages WHERE thread_id IN (SELECT thread FROM mine)",
    "join": "SELECT id FROM mine JOIN messages ON thread_id = thread ORDER BY mine.rowid",
    "count": "SELECT count(*) FROM mine JOIN messages ON thread_id = thread",
    "left join": "SELECT thread, count(id) FROM mine LEFT JOIN messages ON thread_id = thread GROUP BY thread",
    "scalar": "SELECT thread, (SELECT count(*) FROM messages WHERE thread_id = thread) FROM mine",
    "threads": "SELECT t.id, count(*) FROM threads t JOIN messages m ON m.thread_id = t.id GROUP BY t.id",
    "merged": "SELECT id FROM messages WHERE thread_id IN (SELECT thread FROM mine) ORDER BY created_at DESC LIMIT 9",
    "points": "SELECT id FROM messages WHERE thread_id IN (SELECT thread FROM mine) AND id IN ('msg_1', 'msg_b')",
    "every": "SELECT count(*) FROM messages",
}


class Gauge:
    """Stand before a service, answer after a moment, and see how many requests are in flight."""

    def __init__(self, service: Service) -> None:
        self._app = service.app
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.01)
        try:
            return list(self._app(environ, start_response))
        finally:
            with self._lock:
                self._now -= 1


@pytest.mark.parametrize("name", MANY)
def test_many_threads_are_read_side_by_side(service: Service, name: str) -> None:
    for number, thread in enumerate(THREADS):
        service.thread(number % 4, thread_id=thread, created_at=FIRST + number * 10)
    service.store.add_message(THREADS[0], Draft(content="the first", id="msg_1"))
    counts = []
    rows = []
    for concurrency in (1, 8):
        gauge = Gauge(service)
        with Server(gauge) as server, connect_to(server, concurrency=concurrency, unscoped="scan") as connection:
            connection.check()
            connection.execute("CREATE TABLE mine (thread TEXT)")
            mine = [(thread,) for thread in (*THREADS, *THREADS[:4])]
            connection.cursor().executemany("INSERT INTO mine VALUES (?)", mine)
            gauge.most = 0
            with service.counting() as seen:
                rows.append(connection.execute(MANY[name], {"threads": json.dumps(THREADS)}).fetchall())
            counts.append(len(seen))
            assert 1 <= gauge.most <= concurrency
            assert concurrency == 1 or gauge.most >= 4
    assert rows[0] == rows[1]
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    "more",
    ["ORDER BY created_at", f"AND created_at >= {FIRST + 290}", f"AND created_at >= {FIRST + 290} ORDER BY role"],
)
def test_of_each_thread_no_more_than_its_first_page(service: Service, more: str) -> None:
    """A merge needs a row of each at once, and a bound in time ends each in its first page."""
    for thread in THREADS[:6]:
        service.thread(300, thread_id=thread)
    some = ", ".join(map(repr, THREADS[:6]))
    with service.connect_over_http() as connection:
        cursor = connection.execute(f"SELECT id FROM messages WHERE thread_id IN ({some}) {more}")
        assert len(cursor.fetchmany(5) if more.startswith("ORDER") else cursor.fetchall()) in (5, 60)
        time.sleep(0.05)
        assert cursor.stats.requests == 6


@pytest.mark.parametrize("order", ["", " ORDER BY created_at", " ORDER BY created_at DESC"])
def test_what_is_read_ahead_is_bounded_and_read_once(service: Service, order: str) -> None:
    """More than may be held ahead: who goes ahead waits for the reader, and nothing is asked for twice."""
    for thread in THREADS[:12]:
        service.thread_of([Draft(content="x" * 60_000)] * 110, thread_id=thread)
    with service.connect_over_http(thread_id=THREADS[:12]) as connection:
        cursor = connection.execute(f"SELECT content_text FROM messages{order}")
        cursor.fetchone()
        assert len(cursor.fetchall()) == 12 * 110 - 1
        assert cursor.stats.requests <= 12 * 2 + 2


# What goes wrong.


def test_a_thread_that_is_missing_is_the_error_that_it_was(service: Service) -> None:
    for thread in THREADS[:10]:
        service.thread(3, thread_id=thread)
    service.store.delete_thread(THREADS[4])
    errors = []
    for concurrency in (1, 8):
        with service.connect_over_http(concurrency=concurrency, thread_id=THREADS[:10]) as connection:
            connection.check()
            with pytest.raises(ProgrammingError, match=f"knows no thread '{THREADS[4]}'; 4 of the threads") as caught:
                connection.execute("SELECT count(*) FROM messages")
            errors.append(str(caught.value))
    assert errors[0] == errors[1]


def test_a_thread_that_was_read_for_many_rows_counts_once(service: Service, wide: Connection) -> None:
    service.thread(3, thread_id=THREAD)
    wide.execute("CREATE TABLE mine (thread TEXT)")
    wide.cursor().executemany("INSERT INTO mine VALUES (?)", [(THREAD,), (THREAD,), (THREAD,), ("thread_gone",)])
    with pytest.raises(ProgrammingError, match=r"knows no thread 'thread_gone'; 1 of the threads"):
        wide.execute("SELECT count(*) FROM mine JOIN messages ON thread_id = thread").fetchall()


def crew() -> list[threading.Thread]:
    """List the threads that work for connections."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("messages-dbapi")]


def eventually(happened: Callable[[], bool]) -> bool:
    """Wait for something, for as long as a slow machine may take."""
    ends = time.monotonic() + 20
    while not happened():
        if time.monotonic() > ends:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("how", ["cancel", "close", "drop", "interrupt"])
def test_a_statement_that_ends_early_ends_what_went_ahead(service: Service, how: str) -> None:
    for thread in THREADS:
        service.thread(300, thread_id=thread)
    connection = service.connect_over_http(thread_id=THREADS)
    cursor = connection.execute("SELECT id FROM messages")
    begun = threading.Event()

    def slowly(seen: Seen) -> None:
        begun.set()
        time.sleep(0.02)

    def cancel() -> None:
        begun.wait(20)
        cursor.cancel()

    service.on_seen = slowly
    if how == "cancel":
        threading.Thread(target=cancel).start()
        with pytest.raises(OperationalError, match="cancelled"):
            cursor.fetchall()
    elif how == "interrupt":
        service.on_seen = lambda seen: None
        calls = iter(range(5_000))

        def stop(row: object) -> object:
            if next(calls) == 1_500:
                raise KeyboardInterrupt
            return row

        with pytest.raises(KeyboardInterrupt):
            list(map(stop, cursor.fetchall()))
    elif how == "close":
        cursor.fetchmany(5_000)
        cursor.close()
    else:
        cursor.fetchmany(5_000)
        del cursor
        gc.collect()
    requests = len(service.seen)
    time.sleep(0.1)
    assert len(service.seen) <= requests + 8
    service.on_seen = None
    assert connection.execute(f"SELECT count(*) FROM messages WHERE thread_id = '{THREADS[0]}'").fetchone() == (300,)
    connection.close()
    assert eventually(lambda: not crew())
