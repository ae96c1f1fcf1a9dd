"""The request oracle: how many requests each shape of statement makes, and what they ask for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from math import ceil
from typing import NamedTuple

import pytest

from messages_dbapi.connection import Connection
from messages_dbapi.cursor import Cursor
from messages_dbapi.embedded.documents import Draft

from .service import Seen, Service

SIZES = (0, 100, 101, 257)
FIRST = 1_700_000_000
RUNS = 3

Count = Callable[[int], int]


def fill(service: Service, n: int, thread_id: str) -> str:
    """Add a thread of ``n`` messages, a second apart, by two speakers and in three runs."""
    drafts = [
        Draft(
            content=f"message {place}",
            id=f"msg_{thread_id}_{place}",
            role="assistant" if place % 2 else "user",
            run_id=f"run_{place % RUNS}",
            created_at=FIRST + place,
        )
        for place in range(n)
    ]
    return service.thread_of(drafts, thread_id=thread_id)


@pytest.fixture(scope="module")
def library() -> Iterator[Service]:
    """Give a service with a thread of each size, and five small ones."""
    service = Service()
    for n in SIZES:
        fill(service, n, f"thread_{n}")
    for n in range(1, 6):
        fill(service, n, f"small_{n}")
    yield service
    service.close()


@pytest.fixture(scope="module", params=["in process", "one by one", "side by side"])
def reading(library: Service, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """Give a connection that is known to reach the service, with local tables of thread ids."""
    connect = library.connect if request.param == "in process" else library.connect_over_http
    with connect(
        unscoped="error", concurrency=8 if request.param == "side by side" else 1, remember=False
    ) as connection:
        connection.check()
        connection.execute("CREATE TABLE mine (thread TEXT)")
        mine = [("small_1",), ("small_2",), ("small_1",), ("small_3",), (None,)]
        connection.cursor().executemany("INSERT INTO mine VALUES (?)", mine)
        connection.commit()
        yield connection


@pytest.fixture(params=["in process", "over http"])
def writing(service: Service, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """Give a connection that is known to reach a service of its own."""
    connect = service.connect if request.param == "in process" else service.connect_over_http
    with connect() as connection:
        connection.check()
        yield connection


def run(service: Service, connection: Connection, sql: str, *parameters: object) -> tuple[Cursor, list[Seen]]:
    """Run a statement to its end, and give its cursor and what the service saw."""
    cursor = connection.cursor()
    with service.counting() as seen:
        cursor.execute(sql, parameters)
        if cursor.description is not None:
            cursor.fetchall()
        # A page that turned out not to be needed may still be under way.
        ends = time.monotonic() + 20
        while cursor.stats.requests != len(seen) and time.monotonic() < ends:
            time.sleep(0.001)
        assert cursor.stats.requests == len(seen)
        return cursor, list(seen)


def spare(connection: Connection, requests: int) -> int:
    """Count the requests that reading a whole thread from both its ends may cost beside those it must."""
    crosses = connection.options.concurrency > 1 and not connection.options.embedded
    return 2 if crosses and requests > 1 else 0


def pages(n: int) -> int:
    """Count the pages of a listing of ``n`` rows; an empty one is a page too."""
    return max(1, ceil(n / 100))


def up_to(k: int) -> Count:
    """Count the pages of the first ``k`` rows of ``n``."""
    return lambda n: pages(min(k, n))


def newer(k: int) -> Count:
    """Count the pages until a row that is older than the newest ``k`` ends the scan."""
    return lambda n: pages(min(k + 1, n))


def of_a_run(n: int) -> int:
    """Count the pages of one of the runs."""
    return pages(len(range(1, n, RUNS)))


class Shape(NamedTuple):
    """A SELECT over ``{t}``, a thread of n messages: its requests, and the rows they must ask for at most."""

    sql: str
    requests: Count
    wanted: int | None = None
    order: str = "asc"


def one(n: int) -> int:
    """Count one request whatever the size."""
    return 1


NEWEST = "SELECT id FROM messages WHERE thread_id = '{t}' ORDER BY created_at DESC"
OLDEST = "SELECT id FROM messages WHERE thread_id = '{t}' ORDER BY created_at"
ANY = "SELECT id FROM messages WHERE thread_id = '{t}'"

LISTINGS = {
    "all": Shape("SELECT * FROM openai.assistants.messages WHERE thread_id = '{t}'", pages),
    "only id": Shape("SELECT id FROM messages WHERE thread_id = '{t}'", pages),
    "count": Shape("SELECT count(*) FROM messages WHERE thread_id = '{t}'", pages),
    "group by": Shape("SELECT role, count(*) FROM messages WHERE thread_id = '{t}' GROUP BY role", pages),
    "distinct": Shape("SELECT DISTINCT status FROM messages WHERE thread_id = '{t}'", pages),
    "window": Shape("SELECT lag(id) OVER (ORDER BY created_at) FROM messages WHERE thread_id = '{t}'", pages),
    "another order": Shape("SELECT id FROM messages WHERE thread_id = '{t}' ORDER BY role, id LIMIT 3", pages),
    "newest first": Shape(NEWEST, pages, order="desc"),
    "newest 1": Shape(f"{NEWEST} LIMIT 1", up_to(1), 1, "desc"),
    "newest 10": Shape(f"{NEWEST} LIMIT 10", up_to(10), 10, "desc"),
    "newest 100": Shape(f"{NEWEST} LIMIT 100", up_to(100), 100, "desc"),
    "newest 120": Shape(f"{NEWEST} LIMIT 120", up_to(120), 120, "desc"),
    "newest 250": Shape(f"{NEWEST} LIMIT 250", up_to(250), 250, "desc"),
    "newest 10 after 30": Shape(f"{NEWEST} LIMIT 10 OFFSET 30", up_to(40), 40, "desc"),
    "newest 10 after 95": Shape(f"{NEWEST} LIMIT 10 OFFSET 95", up_to(105), 105, "desc"),
    "newest 10, nulls last": Shape(f"{NEWEST} NULLS LAST LIMIT 10", up_to(10), 10, "desc"),
    "oldest 10": Shape(f"{OLDEST} LIMIT 10", up_to(10), 10),
    "oldest 120": Shape(f"{OLDEST} LIMIT 120", up_to(120), 120),
    "any 5": Shape(f"{ANY} LIMIT 5", up_to(5), 5),
    "any 120": Shape(f"{ANY} LIMIT 120", up_to(120), 120),
    "any 5 after 200": Shape(f"{ANY} LIMIT 5 OFFSET 200", up_to(205), 205),
    "no limit": Shape(f"{ANY} LIMIT -1", pages),
    "max": Shape("SELECT max(created_at) FROM messages WHERE thread_id = '{t}'", one, order="desc"),
    "min": Shape("SELECT min(created_at) FROM messages WHERE thread_id = '{t}'", one),
    "since": Shape(f"{ANY} AND created_at > (SELECT {FIRST - 1} + max(0, {{n}} - 150))", newer(150), order="desc"),
    "since, newest first": Shape(
        f"SELECT id FROM messages WHERE thread_id = '{{t}}' AND created_at >= {FIRST} + max(0, {{n}} - 50) "
        "ORDER BY created_at DESC",
        newer(50),
        order="desc",
    ),
    "until": Shape(f"{ANY} AND created_at < {FIRST} + 150", lambda n: pages(min(151, n))),
    "until, limited": Shape(f"{ANY} AND created_at < {FIRST} + 150 LIMIT 20", one),
    "five of a role": Shape(f"{ANY} AND role = 'user' LIMIT 5", one),
    "subquery": Shape("SELECT id FROM (SELECT * FROM messages WHERE thread_id = '{t}') AS virtual_table", pages),
    "subquery, scoped outside": Shape(
        "SELECT id FROM (SELECT * FROM messages) AS virtual_table WHERE thread_id = '{t}' LIMIT 50", up_to(50), 50
    ),
    "common table": Shape(
        "WITH m AS (SELECT * FROM messages WHERE thread_id = '{t}') SELECT id FROM m LIMIT 7", up_to(7), 7
    ),
    "common table, scoped outside": Shape(
        "WITH m AS (SELECT * FROM messages) SELECT id FROM m WHERE thread_id = '{t}'", pages
    ),
    "page size": Shape(f'{ANY} AND "limit" = 100', pages),
    "descending delivery": Shape(f"{ANY} AND \"order\" = 'desc'", pages, order="desc"),
    "self-join on run_id": Shape(
        "SELECT count(*) FROM messages a JOIN messages b ON a.run_id = b.run_id AND a.role = 'user' "
        "WHERE a.thread_id = '{t}' AND b.thread_id = '{t}'",
        pages,
    ),
    "self-join on id": Shape(
        "SELECT a.content, b.role FROM messages a JOIN messages b ON a.id = b.id AND a.thread_id = b.thread_id "
        "WHERE a.thread_id = '{t}'",
        pages,
    ),
    "self-join on a range": Shape(
        "SELECT count(*) FROM messages a JOIN messages b ON b.created_at BETWEEN a.created_at + 1 AND a.created_at + 9 "
        "WHERE a.thread_id = '{t}' AND b.thread_id = '{t}' AND b.role = 'assistant'",
        pages,
    ),
    "self-join, series limit": Shape(
        "SELECT m.role, count(*) FROM messages m JOIN (SELECT role, count(*) AS c FROM messages WHERE "
        "thread_id = '{t}' GROUP BY role ORDER BY c DESC LIMIT 5) s ON s.role = m.role WHERE thread_id = '{t}'",
        pages,
    ),
    "in of itself": Shape(
        "SELECT content FROM messages WHERE thread_id = '{t}' AND role IN (SELECT role FROM messages "
        "WHERE thread_id = '{t}')",
        pages,
    ),
    "exists": Shape(
        "SELECT id FROM messages a WHERE thread_id = '{t}' AND EXISTS (SELECT 1 FROM messages b "
        "WHERE b.thread_id = '{t}' AND b.run_id = a.run_id AND b.id <> a.id)",
        pages,
    ),
    "the same thread twice": Shape(
        "SELECT id FROM messages WHERE thread_id = '{t}' UNION ALL SELECT id FROM messages WHERE thread_id = '{t}'",
        pages,
    ),
    "union all, limited": Shape(
        "SELECT id FROM messages WHERE thread_id = '{t}' UNION ALL SELECT id FROM messages WHERE thread_id = 'small_1' "
        "LIMIT 5",
        lambda n: 1 if n else 2,
    ),
}
# What a statement on messages is on their transcript; times are compared in shapes of their own.
_IN_TRANSCRIPT = (
    *(("messages", "transcript"), ("created_at DESC", "created DESC"), ("BY created_at", "BY created")),
    *(
        ("max(created_at)", "max(created)"),
        ("min(created_at)", "min(created)"),
        ("content", "text"),
        ("status", "role"),
    ),
)


def of_transcript(sql: str) -> str:
    """Write a statement on messages as one on their transcript."""
    for old, new in _IN_TRANSCRIPT:
        sql = sql.replace(old, new)
    return sql


LISTINGS |= {
    f"transcript: {name}": shape._replace(sql=sql)
    for name, shape in LISTINGS.items()
    if "created_at" not in (sql := of_transcript(shape.sql))
}
IN_TRANSCRIPT = "SELECT id FROM transcript WHERE thread_id = '{t}'"
LISTINGS |= {
    "transcript: since": Shape(
        f"{IN_TRANSCRIPT} AND created > (SELECT datetime({FIRST - 1} + max(0, {{n}} - 150), 'unixepoch'))",
        newer(150),
        order="desc",
    ),
    "transcript: since, newest first": Shape(
        f"{IN_TRANSCRIPT} AND created >= datetime({FIRST} + max(0, {{n}} - 50), 'unixepoch') ORDER BY created DESC",
        newer(50),
        order="desc",
    ),
    "transcript: until": Shape(f"{IN_TRANSCRIPT} AND created < '2023-11-14 22:15:50'", lambda n: pages(min(151, n))),
    "transcript: until the end of the day": Shape(f"{IN_TRANSCRIPT} AND created < '2023-11-14T22:15:50'", pages),
    "transcript: before, newest 10": Shape(
        f"{IN_TRANSCRIPT} AND created < '2023-11-14T' ORDER BY created DESC LIMIT 10 OFFSET 5", one, order="desc"
    ),
    "transcript: until, limited": Shape(f"{IN_TRANSCRIPT} AND created < '2023-11-14 22:15:50' LIMIT 20", one),
    "transcript: between": Shape(
        f"{IN_TRANSCRIPT} AND created BETWEEN '2023-11-14' AND '2023-11-14 22:13:29'", pages, order="desc"
    ),
    "transcript: self-join on a range": Shape(
        "SELECT count(*) FROM transcript a JOIN transcript b ON b.created BETWEEN a.created AND "
        "datetime(a.created, '+9 seconds') WHERE a.thread_id = '{t}' AND b.thread_id = '{t}' AND b.role = 'assistant'",
        pages,
    ),
}


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", LISTINGS)
def test_listing(library: Service, reading: Connection, name: str, n: int) -> None:
    shape = LISTINGS[name]
    _, seen = run(library, reading, shape.sql.format(t=f"thread_{n}", n=n))
    more = spare(reading, shape.requests(n)) if shape.requests is pages else 0
    assert shape.requests(n) <= len(seen) <= shape.requests(n) + more
    assert {request.query["order"] for request in seen} <= ({"asc", "desc"} if more else {shape.order})
    assert seen[0].query["order"] == shape.order
    asked = [int(request.query["limit"]) for request in seen]
    if name.endswith("union all, limited"):
        assert asked == [5] * len(seen)
    else:
        assert asked == sizes(len(seen), shape.wanted)


def sizes(requests: int, wanted: int | None) -> list[int]:
    """Give the limit that each request must have: whole pages, and in the end no more than is wanted."""
    return [100 if wanted is None else min(100, wanted - 100 * page) for page in range(requests)]


@pytest.mark.parametrize("n", SIZES)
def test_pages_follow_one_another(library: Service, reading: Connection, n: int) -> None:
    _, seen = run(library, reading, ANY.format(t=f"thread_{n}"))
    followed = [None if not page else f"msg_thread_{n}_{page * 100 - 1}" for page in range(pages(n))]
    forwards = [request.query.get("after") for request in seen if request.query["order"] == "asc"]
    assert forwards == followed[: len(forwards)]
    assert spare(reading, pages(n)) or len(seen) == len(forwards) == pages(n)
    assert {request.path for request in seen} == {f"/v1/threads/thread_{n}/messages"}


@pytest.mark.parametrize("n", SIZES)
def test_a_run_is_narrowed_by_the_service(library: Service, reading: Connection, n: int) -> None:
    cursor, seen = run(library, reading, f"{ANY} AND run_id = 'run_1'".format(t=f"thread_{n}"))
    assert len(seen) == of_a_run(n)
    assert {request.query["run_id"] for request in seen} == {"run_1"}
    assert cursor.stats.rows_received == len(range(1, n, RUNS))


@pytest.mark.parametrize("n", SIZES)
def test_the_messages_behind_one_are_asked_for_alone(library: Service, reading: Connection, n: int) -> None:
    thread, last = f"thread_{n}", n - 10
    if n:
        after, behind = run(library, reading, f"{ANY} AND after = ?".format(t=thread), f"msg_{thread}_{last}")
        before, ahead = run(library, reading, f"{ANY} AND before = ?".format(t=thread), f"msg_{thread}_9")
        assert (after.stats.rows_received, before.stats.rows_received) == (9, 9)
        assert len(behind) == len(ahead) == 1


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("key", ["id", "message_id"])
@pytest.mark.parametrize("table", ["messages", "transcript"])
def test_point_read(library: Service, reading: Connection, table: str, key: str, n: int) -> None:
    last = f"msg_thread_{n}_{n - 1}"
    sql = f"SELECT * FROM {table} WHERE {key} = ? AND thread_id = ?"
    cursor, seen = run(library, reading, sql, last, f"thread_{n}")
    assert [request.path for request in seen] == [f"/v1/threads/thread_{n}/messages/{last}"]
    assert cursor.stats.rows_received == (1 if n else 0)


@pytest.mark.parametrize("n", SIZES)
def test_three_ids_are_three_reads(library: Service, reading: Connection, n: int) -> None:
    ids = json.dumps([f"msg_thread_{n}_{place}" for place in (3, 50, 99)])
    sql = f"{ANY} AND id IN (SELECT value FROM json_each(?))".format(t=f"thread_{n}")
    assert len(run(library, reading, sql, ids)[1]) == 3


NOTHING = (
    "SELECT * FROM messages WHERE 1=0",
    "SELECT * FROM messages WHERE 0 = 1 LIMIT 1",
    "SELECT * FROM messages LIMIT 0",
    f"{ANY} LIMIT 0",
    f"{NEWEST} LIMIT 0 OFFSET 5",
    f"{ANY} AND 1 = 0",
    "SELECT * FROM messages WHERE thread_id IN ()",
    "SELECT * FROM messages WHERE thread_id IN (SELECT value FROM json_each('[]'))",
    "SELECT * FROM messages WHERE thread_id IN (SELECT thread FROM mine WHERE 0)",
    "SELECT * FROM messages WHERE thread_id = NULL",
    "SELECT * FROM messages WHERE thread_id IS NULL",
    "SELECT * FROM messages WHERE thread_id = 'thread_100' AND thread_id = 'thread_101'",
    f"{ANY} AND created_at > 'text'",
    f"{ANY} AND created_at = 1.5",
    f"{ANY} AND created_at > 5 AND created_at < 5",
    f'{ANY} AND "limit" = NULL',
    "SELECT * FROM transcript WHERE 1=0",
    "SELECT * FROM transcript LIMIT 0",
    f"{IN_TRANSCRIPT} AND created > 'text'",
    f"{IN_TRANSCRIPT} AND created < '0001'",
    f"{IN_TRANSCRIPT} AND created = '2023-11-14T22:13:20'",
    f"{IN_TRANSCRIPT} AND created IN ('2023', 5, NULL)",
    f"{IN_TRANSCRIPT} AND created >= x'00'",
    f"{IN_TRANSCRIPT} AND created > '2024' AND created < '2024'",
    f"{IN_TRANSCRIPT} AND created = NULL",
    "EXPLAIN QUERY PLAN SELECT * FROM messages",
    "EXPLAIN SELECT * FROM messages WHERE thread_id = '{t}'",
    "EXPLAIN DELETE FROM messages WHERE thread_id = '{t}'",
    "SELECT 1",
    "PRAGMA table_info(messages)",
)


@pytest.mark.parametrize("sql", NOTHING)
def test_no_request(library: Service, reading: Connection, sql: str) -> None:
    cursor, seen = run(library, reading, sql.format(t="thread_100"))
    assert not seen
    assert cursor.description is not None


SMALL = {
    "in": ("SELECT id FROM messages WHERE thread_id IN ('small_1', 'small_2', 'small_1')", 2),
    "or": ("SELECT id FROM messages WHERE thread_id = 'small_1' OR thread_id = 'small_2'", 2),
    "or with more": (
        "SELECT id FROM messages WHERE (thread_id = 'small_1' AND role = 'user') OR "
        "(thread_id = 'small_2' AND role = 'assistant')",
        2,
    ),
    "in and order": (
        "SELECT id FROM messages WHERE thread_id IN ('small_3', 'small_2') ORDER BY created_at DESC LIMIT 2",
        2,
    ),
    "in, limited": ("SELECT id FROM messages WHERE thread_id IN ('small_3', 'small_4', 'small_5') LIMIT 2", 1),
    "in of a local table": ("SELECT id FROM messages WHERE thread_id IN (SELECT thread FROM mine)", 3),
    "in of a list": ("SELECT id FROM messages WHERE thread_id IN (SELECT value FROM json_each('[\"small_1\"]'))", 1),
    "join": ("SELECT m.id FROM mine t JOIN messages m ON m.thread_id = t.thread", 3),
    "join, other way": ("SELECT m.id FROM messages m JOIN mine t ON m.thread_id = t.thread", 3),
    "left join": ("SELECT m.id FROM mine t LEFT JOIN messages m ON m.thread_id = t.thread", 3),
    "of each its count": (
        "SELECT thread, (SELECT count(*) FROM messages m WHERE m.thread_id = t.thread) FROM mine t",
        3,
    ),
    "of each its last": (
        "SELECT thread, (SELECT content FROM messages m WHERE m.thread_id = t.thread ORDER BY created_at DESC LIMIT 1) "
        "FROM mine t",
        3,
    ),
    "exists": (
        "SELECT thread FROM mine t WHERE EXISTS (SELECT 1 FROM messages m WHERE m.thread_id = t.thread)",
        3,
    ),
    "threads": ("SELECT * FROM threads", 1),
    "one thread": ("SELECT * FROM threads WHERE id = 'small_1'", 1),
    "one thread by its other name": ("SELECT * FROM threads WHERE thread_id = 'small_1'", 1),
    "newest threads": ("SELECT id FROM threads ORDER BY created_at DESC LIMIT 2", 1),
    "messages of every thread": ("SELECT count(*) FROM messages WHERE thread_id IN (SELECT id FROM threads)", 1 + 12),
    "messages of some threads": (
        "SELECT m.id FROM threads t JOIN messages m ON m.thread_id = t.id WHERE t.id IN ('small_1', 'small_2')",
        2 + 2,
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_several_threads(library: Service, reading: Connection, name: str) -> None:
    sql, requests = SMALL[name]
    _, seen = run(library, reading, sql)
    assert len(seen) == requests
    assert len({(request.path, request.query.get("after")) for request in seen}) == requests


def test_newest_of_several_threads_ask_for_no_more(library: Service, reading: Connection) -> None:
    _, seen = run(library, reading, SMALL["in and order"][0])
    assert [(request.query["limit"], request.query["order"]) for request in seen] == [("2", "desc")] * 2


def test_a_view_is_as_good_as_its_table(library: Service, reading: Connection) -> None:
    reading.execute("CREATE VIEW talk AS SELECT id, thread_id, created_at AS at FROM openai.assistants.messages")
    try:
        _, seen = run(library, reading, "SELECT id FROM talk WHERE thread_id = 'thread_257' ORDER BY at DESC LIMIT 3")
        assert [(request.query["limit"], request.query["order"]) for request in seen] == [("3", "desc")]
    finally:
        reading.execute("DROP VIEW talk")


def test_default_scope(library: Service) -> None:
    with library.connect(thread_id=["thread_101", "small_1", "small_1"]) as connection:
        assert len(run(library, connection, "SELECT count(*) FROM messages")[1]) == 3
        assert len(run(library, connection, "SELECT id FROM messages LIMIT 5")[1]) == 1
        assert len(run(library, connection, "SELECT id FROM messages WHERE thread_id = 'small_2'")[1]) == 1
        assert len(run(library, connection, "SELECT a.id FROM messages a, messages b WHERE a.id = b.id")[1]) == 3


def test_every_thread(library: Service) -> None:
    with library.connect(unscoped="scan") as connection:
        cursor, seen = run(library, connection, "SELECT count(*) FROM messages")
        assert len(seen) == 1 + sum(map(pages, SIZES)) + 5
        assert cursor.execute("SELECT count(*) FROM messages").fetchone() == (sum(SIZES) + 15,)


def test_page_size_is_the_option_or_the_parameter(library: Service) -> None:
    with library.connect(page_size=30) as connection:
        _, seen = run(library, connection, ANY.format(t="thread_101"))
        assert [request.query["limit"] for request in seen] == ["30"] * 4
        _, seen = run(library, connection, f'{ANY} AND "limit" = ?'.format(t="thread_101"), 50)
        assert [request.query["limit"] for request in seen] == ["50"] * 3
        _, seen = run(library, connection, f"{ANY} LIMIT 40".format(t="thread_101"))
        assert [request.query["limit"] for request in seen] == ["30", "10"]


def test_fetching_some_rows_requests_some_pages(library: Service, reading: Connection) -> None:
    cursor = reading.cursor()
    with library.counting() as seen:
        cursor.execute("SELECT * FROM messages WHERE thread_id = 'thread_257'")
        assert len(seen) == 1
        cursor.fetchmany(5)
        cursor.fetchmany(95)
        assert len(seen) == cursor.stats.requests == 1
        cursor.fetchone()
        assert len(seen) == cursor.stats.requests == 2
        cursor.close()
        assert len(seen) == 2


def test_a_full_last_page_is_the_last(library: Service, reading: Connection) -> None:
    cursor = reading.cursor()
    with library.counting() as seen:
        cursor.execute("SELECT id FROM messages WHERE thread_id = 'thread_100'")
        assert len(cursor.fetchall()) == 100
        assert cursor.fetchone() is None
    assert len(seen) == 1


# What a 404 means.


def test_a_404_before_any_success_is_confirmed_once(service: Service) -> None:
    thread = service.thread(1)
    sql = f"SELECT * FROM messages WHERE thread_id = '{thread}' AND id = 'msg_missing'"
    with service.connect_over_http() as fresh:
        _, seen = run(service, fresh, sql)
        assert [request.path for request in seen] == [f"/v1/threads/{thread}/messages/msg_missing", "/v1/threads"]
        assert seen[1].query == {"limit": "1"}
        assert len(run(service, fresh, sql)[1]) == 1


def test_a_404_after_a_success_is_not_confirmed(service: Service) -> None:
    thread = service.thread(1)
    with service.connect_over_http() as connection:
        run(service, connection, ANY.format(t=thread))
        assert len(run(service, connection, f"{ANY} AND id = 'msg_missing'".format(t=thread))[1]) == 1


def test_a_404_of_the_embedded_service_is_not_confirmed(service: Service) -> None:
    with service.connect() as connection:
        assert len(run(service, connection, f"{ANY} AND id = 'msg_missing'".format(t=service.thread()))[1]) == 1


# Writes.

BY_KEY = (
    "UPDATE openai.assistants.messages SET metadata = '{{}}' WHERE message_id = '{m}' AND thread_id = '{t}'",
    "UPDATE openai.assistants.messages SET metadata = '{{}}' WHERE thread_id = '{t}' AND message_id = '{m}'",
    "UPDATE messages SET data__metadata = NULL WHERE id = '{m}' AND thread_id = '{t}'",
    "UPDATE messages SET metadata = '{{}}' WHERE (thread_id, id) = ('{t}', '{m}')",
    "UPDATE messages SET metadata = '{{}}' WHERE thread_id = '{t}' AND id = '{m}' RETURNING id, content",
    "DELETE FROM openai.assistants.messages WHERE message_id = '{m}' AND thread_id = '{t}'",
    "DELETE FROM openai.assistants.messages WHERE thread_id = '{t}' AND message_id = '{m}'",
    "DELETE FROM messages WHERE id = '{m}' AND thread_id = '{t}'",
    "DELETE FROM messages AS m WHERE m.id IN ('{m}') AND m.thread_id IN ('{t}')",
)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("sql", BY_KEY)
def test_a_write_by_key_is_one_request(service: Service, writing: Connection, sql: str, n: int) -> None:
    thread = fill(service, n, "thread_w")
    cursor, seen = run(service, writing, sql.format(t=thread, m=f"msg_{thread}_{n - 1}"))
    assert len(seen) == 1
    assert cursor.rowcount == (1 if n else 0)


@pytest.mark.parametrize("sql", [BY_KEY[0], BY_KEY[1], BY_KEY[2], BY_KEY[5], BY_KEY[6], BY_KEY[7]])
def test_a_bound_write_by_key_is_one_request(service: Service, writing: Connection, sql: str) -> None:
    thread = fill(service, 3, "thread_w")
    message = f"msg_{thread}_1"
    values = [message, thread] if sql.index("{m}") < sql.index("{t}") else [thread, message]
    bound = sql.replace("'{m}'", "?").replace("'{t}'", "?").replace("{{}}", "{}")
    assert len(run(service, writing, bound, *values)[1]) == 1


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("verb", ['UPDATE messages SET metadata = \'{"a": "b"}\'', "DELETE FROM messages"])
def test_a_write_by_predicate_lists_and_then_writes(service: Service, writing: Connection, verb: str, n: int) -> None:
    thread = fill(service, n, "thread_w")
    matching = len(range(0, n, 2))
    cursor, seen = run(service, writing, f"{verb} WHERE thread_id = ? AND role = 'user'", thread)
    assert cursor.rowcount == matching
    reads = [request.method for request in seen].count("GET")
    assert len(seen) == reads + matching
    assert pages(n) <= reads <= pages(n) + spare(writing, pages(n))
    assert [request.method for request in seen[: pages(n)]] == ["GET"] * pages(n)


@pytest.mark.parametrize("k", [1, 2, 20])
def test_an_insert_is_one_request_a_row(service: Service, writing: Connection, k: int) -> None:
    thread = service.thread()
    rows = ", ".join(["(?, 'user', 'text')"] * k)
    sql = f"INSERT INTO messages (thread_id, role, content) VALUES {rows}"
    cursor, seen = run(service, writing, sql, *[thread] * k)
    assert [request.method for request in seen] == ["POST"] * k
    assert cursor.rowcount == k


def test_an_insert_of_many_sets_is_one_request_a_row(service: Service, writing: Connection) -> None:
    threads = [service.thread() for _ in range(4)]
    cursor = writing.cursor()
    with service.counting() as seen:
        cursor.executemany(
            "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)", [(t, "x") for t in threads * 3]
        )
    assert len(seen) == cursor.stats.requests == cursor.rowcount == 12


def test_an_insert_from_a_select_reads_and_then_writes(service: Service, writing: Connection) -> None:
    source, target = fill(service, 101, "thread_a"), service.thread()
    sql = "INSERT INTO messages (thread_id, role, content) SELECT ?, role, content FROM messages WHERE thread_id = ?"
    _, seen = run(service, writing, sql, target, source)
    assert len(seen) == 2 + 101


def test_a_delete_that_gives_back_reads_what_it_deletes(service: Service, writing: Connection) -> None:
    thread = fill(service, 3, "thread_w")
    sql = "DELETE FROM messages WHERE thread_id = ? AND id = ? RETURNING content"
    _, seen = run(service, writing, sql, thread, f"msg_{thread}_1")
    assert [request.method for request in seen] == ["GET", "DELETE"]


def test_an_update_that_uses_the_old_value_reads_it(service: Service, writing: Connection) -> None:
    thread = fill(service, 3, "thread_w")
    sql = "UPDATE messages SET metadata = json_set(metadata, '$.a', 'b') WHERE thread_id = ? AND id = ?"
    _, seen = run(service, writing, sql, thread, f"msg_{thread}_1")
    assert [request.method for request in seen] == ["GET", "POST"]


def test_threads_are_written_by_one_request_each(service: Service, writing: Connection) -> None:
    cursor, seen = run(service, writing, "INSERT INTO threads (metadata) VALUES ('{}'), ('{}') RETURNING id")
    assert len(seen) == cursor.rowcount == 2
    thread = str(cursor.lastrowid)
    assert len(run(service, writing, "UPDATE threads SET metadata = NULL WHERE id = ?", thread)[1]) == 1
    assert len(run(service, writing, "DELETE FROM threads WHERE thread_id = ?", thread)[1]) == 1
