"""What is as large as it may be works, in flat memory where it is streamed; what is larger says which limit it met."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy

import messages_dbapi
from messages_dbapi import DataError, ProgrammingError
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.server import Server

from .front import after_applying, fronting, lose, truncate
from .generated import Generated, key
from .service import Service

# Without its types, which are a package of their own.
pd = pytest.importorskip("pandas")

Many = Callable[[int, int], int]

SELECT = "SELECT * FROM messages WHERE thread_id = 'thread_a'"
INSERT = "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)"


# Many rows.


def _iterated(url: str) -> Iterator[int]:
    with messages_dbapi.connect(url) as connection:
        for _ in connection.execute(SELECT):
            yield 1


def _in_frames(url: str) -> Iterator[int]:
    engine = sqlalchemy.create_engine(url)
    with engine.connect().execution_options(stream_results=True) as connection:
        for frame in pd.read_sql_query(sqlalchemy.text(SELECT), connection, chunksize=500):
            yield len(frame)
    engine.dispose()


def _yielded(url: str) -> Iterator[int]:
    engine = sqlalchemy.create_engine(url)
    with engine.connect().execution_options(yield_per=500) as connection:
        for _ in connection.execute(sqlalchemy.text(SELECT)):
            yield 1
    engine.dispose()


@pytest.mark.parametrize(
    "streamed", [_iterated, *(pytest.param(way, marks=pytest.mark.long) for way in (_in_frames, _yielded))]
)
def test_rows_stream_in_flat_memory(many: Many, streamed: Callable[[str], Iterator[int]]) -> None:
    """The second half of them takes no more than the first."""
    count = many(12_000, 1_000_000)
    # Either half is more than a statement keeps for its other scans.
    text = "x" * (40_000_000 // min(count, 100_000))
    peaks: list[int] = []
    rows = 0
    with Server(Generated(count, text=text)) as server:
        tracemalloc.start(1)
        try:
            for number in streamed(server.base_url.replace("http://", "messages+http://")):
                rows += number
                if rows >= count * (len(peaks) + 1) / 2:
                    peaks.append(tracemalloc.get_traced_memory()[1])
                    tracemalloc.reset_peak()
        finally:
            tracemalloc.stop()
    assert rows == count
    assert peaks[1] < peaks[0] * 1.1 + 1_000_000, "bytes; half of the rows are twenty million or more"
    assert peaks[1] < 100_000_000


def test_pages_of_one_row(service: Service) -> None:
    service.thread(250, thread_id="thread_a")
    with service.connect(page_size=1) as small, service.counting() as seen:
        rows = small.execute("SELECT content_text FROM messages WHERE thread_id = 'thread_a'").fetchall()
    assert rows == [(f"message {n}",) for n in range(250)]
    assert [request.query["limit"] for request in seen] == ["1"] * 250


def test_an_update_of_ten_thousand_rows(many: Many) -> None:
    count = many(2_000, 10_000)
    app = Generated(count)
    with Service.connect_to(app) as connection:
        cursor = connection.execute("UPDATE messages SET metadata = '{\"a\": \"b\"}' WHERE thread_id = 'thread_a'")
    assert cursor.rowcount == len(app.bodies) == count
    assert app.bodies == [{"metadata": {"a": "b"}}] * count


# Many ids.

IDS = [key(number) for number in range(0, 20_000, 2)]
LISTS: dict[str, tuple[str, tuple[object, ...]]] = {
    "a bound list": ("SELECT value FROM json_each(?)", (IDS,)),
    "a text": (", ".join(f"'{name}'" for name in IDS), ()),
    "parameters": (", ".join("?" * len(IDS)), tuple(IDS)),
}


@pytest.mark.parametrize("form", LISTS)
def test_ten_thousand_messages_by_id(form: str) -> None:
    """Read one by one or in pages, whichever is less."""
    sql, values = LISTS[form]
    app = Generated(25_000)
    with Service.connect_to(app) as connection:
        cursor = connection.execute(f"SELECT id FROM messages WHERE thread_id = 'thread_a' AND id IN ({sql})", values)
        assert sorted(row[0] for row in cursor) == IDS
    assert app.asked < 1_000


@pytest.mark.parametrize("form", LISTS)
def test_ten_thousand_threads_by_id(many: Many, form: str) -> None:
    count = many(1_000, 10_000)
    names = [f"thread_{number:05}" for number in range(count)]
    sql, values = {
        "a bound list": ("SELECT value FROM json_each(?)", (names,)),
        "a text": (", ".join(f"'{name}'" for name in names), ()),
        "parameters": (", ".join("?" * count), tuple(names)),
    }[form]
    app = Generated(2)
    with Service.connect_to(app) as connection:
        cursor = connection.execute(f"SELECT thread_id, id FROM messages WHERE thread_id IN ({sql})", values)
        assert sorted(cursor.fetchall()) == [(name, key(number)) for name in names for number in range(2)]
    assert app.asked == count


# The longest message.

CHARACTERS = {"ascii": "a", "four bytes": "\U0001f600", "escapes": "\x01", "quotes": '"'}


@pytest.mark.parametrize("character", CHARACTERS)
def test_the_longest_message(service: Service, connection: Connection, character: str) -> None:
    """Is written, read, found, and refused where it is one character longer."""
    text, thread = CHARACTERS[character] * 256_000, service.thread()
    cursor = connection.execute(INSERT, (thread, text))
    read = connection.execute(
        "SELECT content_text, length(content_text), content FROM messages WHERE thread_id = ? AND content_text = ?",
        (thread, text),
    ).fetchall()
    assert [row[:2] for row in read] == [(text, 256_000)]
    assert json.loads(read[0][2])[0]["text"]["value"] == text
    with service.counting() as seen, pytest.raises(DataError, match=r"256,?000"):
        connection.execute(INSERT, (thread, text + "a"))
    assert (seen, cursor.rowcount) == ([], 1)


@pytest.mark.parametrize("fault", [lose, truncate])
@pytest.mark.parametrize("character", CHARACTERS)
def test_the_longest_message_is_found_again_after_a_lost_reply(character: str, fault: object) -> None:
    text = CHARACTERS[character] * 256_000
    with fronting() as front, front.connect() as connection:
        thread = front.thread("before")
        assert connection.execute(f"SELECT count(*) FROM messages WHERE thread_id = '{thread}'").fetchone() == (1,)
        front.faults.append(truncate if fault is truncate else after_applying(lose))
        cursor = connection.execute(INSERT, (thread, text))
        assert front.texts(thread)[1:] == [(cursor.lastrowid, text)]


# Wide results and large statements. Each limit is SQLite's own; what is beyond says which it is.


def _columns(count: int) -> str:
    return f"SELECT {', '.join(['id'] * count)} FROM messages WHERE thread_id = 'thread_a'"


def _join(count: int) -> str:
    tables = ", ".join(f"messages m{n}" for n in range(count))
    same = " AND ".join(f"m{n}.thread_id = 'thread_a' AND m{n}.id = m0.id" for n in range(count))
    return f"SELECT count(*) FROM {tables} WHERE {same}"


def _compound(count: int) -> str:
    return " UNION ALL ".join([SELECT.replace("*", "id")] * count)


def _nested(count: int) -> str:
    return f"SELECT {' + '.join(['1'] * count)}"


LIMITS: dict[str, tuple[Callable[[int], str], int, str]] = {
    "columns": (_columns, 2_000, "too many columns in result set"),
    "joined tables": (_join, 64, "at most 64 tables in a join"),
    "terms of a UNION": (_compound, 500, "too many terms in compound SELECT"),
    "depth of an expression": (_nested, 1_000, r"maximum depth 1000"),
}


@pytest.mark.parametrize("what", LIMITS)
def test_a_statement_as_large_as_it_may_be(service: Service, what: str) -> None:
    """And one that is larger by one."""
    statement, most, said = LIMITS[what]
    service.thread(3, thread_id="thread_a")
    with service.connect() as connection:
        rows = connection.execute(statement(most)).fetchall()
        expected = {"columns": (3, 2_000), "joined tables": (1, 1), "terms of a UNION": (1_500, 1)}.get(what, (1, 1))
        assert (len(rows), len(rows[0])) == expected
        if what == "joined tables":
            assert rows == [(3,)]
        with service.counting() as seen, pytest.raises(ProgrammingError, match=said):
            connection.execute(statement(most + 1))
        assert seen == []
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_a_thousand_wide_columns(service: Service, connection: Connection) -> None:
    thread = service.thread()
    text = "x" * 10_000
    connection.execute(INSERT, (thread, text))
    sql = f"SELECT {', '.join(['content_text'] * 1_000)} FROM messages WHERE thread_id = ?"
    assert connection.execute(sql, (thread,)).fetchall() == [(text,) * 1_000]


# Many at once.


def test_a_hundred_threads_on_one_connection(service: Service, connection: Connection) -> None:
    for number in range(100):
        service.thread(3, thread_id=f"thread_{number}")

    def work(number: int) -> tuple[int, int]:
        with connection.cursor() as cursor:
            sent = cursor.execute(INSERT, (f"thread_{number}", "x")).rowcount
            sql = "SELECT id FROM messages WHERE thread_id = ?"
            return sent, len(cursor.execute(sql, (f"thread_{number}",)).fetchall())

    with ThreadPoolExecutor(100) as pool:
        assert list(pool.map(work, range(100), timeout=300)) == [(1, 4)] * 100


def test_a_hundred_requests_at_once(service: Service) -> None:
    for number in range(300):
        service.thread(thread_id=f"thread_{number}")
    with service.connect_over_http(concurrency=100) as connection:
        sql = "INSERT INTO messages (thread_id, role, content) SELECT id, 'user', id FROM threads"
        assert connection.execute(sql).rowcount == 300
        found = connection.execute(
            "SELECT thread_id, content_text FROM messages WHERE thread_id IN (SELECT id FROM threads)"
        ).fetchall()
    assert sorted(found) == sorted((f"thread_{n}", f"thread_{n}") for n in range(300))
