"""EXPLAIN REQUESTS: it asks for nothing, writes nothing, and what it says of a statement comes true."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from messages_dbapi import Error, NotSupportedError, ProgrammingError
from messages_dbapi.connection import Connection

from .differential.campaign import chosen
from .differential.oracle import text_of
from .differential.world import World
from .service import Service
from .test_requests import (
    ANY,
    BY_KEY,
    LISTINGS,
    NEWEST,
    NOTHING,
    SMALL,
    fill,
    library,
    pages,
    reading,
    run,
    spare,
    writing,
)

__all__ = ["library", "reading", "writing"]

NAMES = ["table", "threads", "pushed_down", "afterwards", "direction", "requests", "at_least", "at_most"]
LONG = pytest.mark.long
Explained = list[dict[str, Any]]


def explain(service: Service, connection: Connection, sql: str, *parameters: object) -> Explained:
    """Explain a statement, without a request."""
    cursor, seen = run(service, connection, f"EXPLAIN REQUESTS {sql}", *parameters)
    assert not seen
    assert cursor.description is not None
    assert [column[0] for column in cursor.description] == NAMES
    return [
        dict(zip(NAMES, row, strict=True))
        for row in connection.execute(f"explain /* */ Requests\n{sql};", parameters).fetchall()
    ]


def check(service: Service, connection: Connection, sql: str, *parameters: object) -> Explained:
    """Explain a statement, run it, and see that it kept to that."""
    rows = explain(service, connection, sql, *parameters)
    total = rows[-1]
    _, seen = run(service, connection, sql, *parameters)
    assert total["table"] == "total"
    most = len(seen) if total["at_most"] is None else total["at_most"]
    assert total["at_least"] <= len(seen) <= most, rows
    assert total["at_least"] == sum(row["at_least"] for row in rows[:-1])
    return rows


def test_a_side_of_intersect_may_be_read_in_part(library: Service) -> None:
    with library.connect() as connection:
        run(library, connection, ANY.format(t="thread_257"))
        sql = f"{ANY.format(t='thread_257')} INTERSECT {ANY.format(t='small_1')} ORDER BY 1"
        check(library, connection, sql.replace("SELECT id", "SELECT created_at"))


@pytest.mark.parametrize("reading", [pytest.param("in process", marks=LONG), "side by side"], indirect=True)
@pytest.mark.parametrize("n", [pytest.param(0, marks=LONG), 257])
@pytest.mark.parametrize("name", LISTINGS)
def test_a_listing_keeps_to_what_is_said(library: Service, reading: Connection, name: str, n: int) -> None:
    check(library, reading, LISTINGS[name].sql.format(t=f"thread_{n}", n=n))


@pytest.mark.parametrize("sql", [sql for sql in NOTHING if sql.startswith("SELECT")])
def test_what_needs_no_request_is_said_to_need_none(library: Service, reading: Connection, sql: str) -> None:
    total = check(library, reading, sql.format(t="thread_100"))[-1]
    assert (total["requests"], total["at_least"], total["at_most"]) == ("0", 0, 0)


@pytest.mark.parametrize("name", SMALL)
def test_several_threads_keep_to_what_is_said(library: Service, reading: Connection, name: str) -> None:
    check(library, reading, SMALL[name][0])


# What the statement itself tells.
TOLD = {
    "newest 250": (f"{NEWEST} LIMIT 250", "1 named", "newest first", "1 to 3"),
    "all": (ANY, "1 named", "oldest first", "1 or more, 1 for each 100 messages"),
    "one": (f"{ANY} AND id = 'msg'", "1 named", None, "1"),
    "three": (f"{ANY} AND id IN ('a', 'b', 'c')", "1 named", None, "3"),
    "in and order": (SMALL["in and order"][0], "2 named", "newest first", "2"),
    "in": (SMALL["in"][0], "2 named", "oldest first", "2 or more, 1 for each 100 messages of a thread"),
    "local": (SMALL["in of a local table"][0], "3 named", "oldest first", None),
    "join": (SMALL["join"][0], "3 named", "oldest first", "3 or more, 1 for each 100 messages of a thread"),
    "of each its last": (SMALL["of each its last"][0], "3 named", "newest first", "3"),
    "of every thread": (SMALL["messages of every thread"][0], "from a join or subquery", None, None),
    "threads": (SMALL["threads"][0], "every thread", "oldest first", "1 or more, 1 for each 100 threads"),
    "one thread": (SMALL["one thread"][0], "1 named", None, "1"),
    "impossible": (f"{ANY} AND thread_id = 'another'", "0 named", None, "0"),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_is_said(library: Service, reading: Connection, name: str) -> None:
    sql, threads, direction, requests = TOLD[name]
    row = explain(library, reading, sql.format(t="thread_257"))[-2]
    assert (row["threads"], row["direction"]) == (threads, direction)
    assert requests is None or row["requests"] == requests


def test_what_the_service_answers_and_what_is_left_to_sqlite(library: Service, reading: Connection) -> None:
    sql = f"{NEWEST.replace('ORDER', 'AND created_at > 5 AND run_id = 1 AND role LIKE :r ORDER')} LIMIT 5"
    row, total = explain(library, reading, sql.format(t="thread_257").replace(":r", "'u%'"))
    assert row["pushed_down"] == "thread_id =, created_at >, run_id =, ORDER BY created_at DESC"
    assert (row["afterwards"], total["afterwards"]) == ("filters, may stop early", "stops after so many rows")
    row, total = explain(library, reading, "SELECT role, count(*) FROM messages WHERE thread_id = 'a' GROUP BY role")
    assert (row["pushed_down"], row["afterwards"]) == ("thread_id =", "reads all")
    assert total["afterwards"] == "sorts, aggregates"
    row, _ = explain(library, reading, f"{NEWEST} LIMIT 5 OFFSET 2".format(t="thread_257"))
    assert row["pushed_down"] == "thread_id =, ORDER BY created_at DESC, LIMIT, OFFSET"
    row, _ = explain(library, reading, SMALL["join"][0])
    assert row["afterwards"] == "reads all, again for each row of another table"


def test_scans_stand_in_the_order_in_which_they_are_done(library: Service, reading: Connection) -> None:
    rows = explain(library, reading, SMALL["messages of some threads"][0])
    assert [row["table"] for row in rows] == ["threads", "messages", "total"]
    assert [row["requests"] for row in rows] == ["2", "0 or more, 1 for each 100 messages of a thread", "2 or more"]


# Statements in which rows of the service decide what else is read: nothing may be promised of that.
FED = (
    "WITH RECURSIVE r(n) AS (VALUES(1) UNION SELECT r.n + length((SELECT m.role FROM messages m WHERE "
    "m.thread_id = mine.thread LIMIT 1)) / 4 FROM r JOIN mine ON mine.rowid = r.n) SELECT count(*) FROM r",
    "SELECT thread FROM mine t WHERE (t.rowid = 1 OR (SELECT 1 FROM messages WHERE thread_id = 'small_5' LIMIT 1) = 1) "
    "AND (SELECT id FROM messages m WHERE m.thread_id = t.thread LIMIT 1) IS NOT NULL",
    "SELECT m.id FROM threads t JOIN messages m ON m.thread_id = t.id",
    "SELECT count(*) FROM messages WHERE thread_id IN (SELECT id FROM threads WHERE id LIKE 'small_%')",
    "WITH RECURSIVE r(t) AS (VALUES('small_1') UNION SELECT 'small_' || (substr(m.thread_id, 7) + 1) FROM r "
    "JOIN messages m ON m.thread_id = r.t WHERE m.thread_id < 'small_4') SELECT count(*) FROM r",
    "WITH RECURSIVE r(t) AS (VALUES('small_1') UNION SELECT m.run_id FROM r JOIN mine ON true "
    "JOIN messages m ON m.thread_id = mine.thread AND mine.rowid < 9) SELECT count(*) FROM r",
    "SELECT thread FROM mine t WHERE (SELECT count(*) FROM messages WHERE thread_id = 'small_5') > 1 "
    "AND (SELECT count(*) FROM messages m WHERE m.thread_id = t.thread) > 0",
    "SELECT thread FROM mine t WHERE thread = 'small_2' OR (SELECT count(*) FROM messages WHERE thread_id = 'small_5') "
    "> 1 AND (SELECT count(*) FROM messages m WHERE m.thread_id = t.thread) > 0",
    "SELECT CASE WHEN (SELECT count(*) FROM messages WHERE thread_id = 'small_1') = 0 THEN "
    "(SELECT count(*) FROM messages WHERE thread_id = 'small_2') END",
    "SELECT id FROM messages WHERE thread_id = (SELECT 'small_' || count(*) FROM messages WHERE thread_id = 'small_3')",
    "SELECT id FROM messages WHERE thread_id = 'small_5' AND created_at > "
    "(SELECT max(created_at) - 2 FROM messages WHERE thread_id = 'small_5')",
    "SELECT thread FROM mine t WHERE (SELECT count(*) FROM messages m WHERE m.thread_id = t.thread) > 0 LIMIT 1",
    "SELECT id FROM messages WHERE thread_id = 'thread_257' AND id IN (SELECT 'msg_thread_257_' || value "
    "FROM json_each('[1,2,3,4,5,6,7,8,9,10,11,12]'))",
    "SELECT m.id, j.value FROM messages m, json_each(m.content) j WHERE m.thread_id = 'thread_257' LIMIT 3",
)


@pytest.mark.parametrize("sql", FED)
def test_nothing_is_promised_of_what_rows_decide(library: Service, reading: Connection, sql: str) -> None:
    check(library, reading, sql)


def test_random_statements_keep_to_what_is_said(many: Callable[[int, int], int]) -> None:
    for first in range(0, many(100, 20_000), 50):
        world = World(first)
        try:
            for number in range(first, first + 50):
                mode, select = chosen(world, 5, number)
                sql = text_of(select)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    check_or_fail(world.service, world.connections[mode], sql.text, *sql.values)
        finally:
            world.close()


def check_or_fail(service: Service, connection: Connection, sql: str, *parameters: object) -> None:
    """Check a statement that may be refused: what is refused when it is explained is refused when it is run."""
    try:
        check(service, connection, sql, *parameters)
    except Error:
        with pytest.raises(Error):
            connection.execute(sql, parameters).fetchall()


def test_default_scope_and_every_thread(library: Service) -> None:
    with library.connect(thread_id=["thread_101", "small_1"]) as connection:
        row = check(library, connection, "SELECT count(*) FROM messages")[0]
        assert (row["threads"], row["at_least"], row["at_most"]) == ("default scope: 2", 2, None)
        assert (
            check(library, connection, "SELECT id FROM messages LIMIT 5")[0]["requests"]
            == "1 to 2, as it was read last"
        )
    with library.connect(unscoped="scan") as connection:
        row = check(library, connection, "SELECT count(*) FROM messages")[0]
        assert (row["threads"], row["at_least"], row["at_most"]) == ("every thread", 1, None)


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("sql", [ANY, f"{ANY} AND role = 'user'", f"{NEWEST} LIMIT 120", f'{ANY} AND "limit" = 30'])
def test_of_a_thread_that_was_read_the_length_is_known(library: Service, concurrency: int, sql: str) -> None:
    with library.connect_over_http(concurrency=concurrency) as connection:
        run(library, connection, ANY.format(t="thread_257"))
        total = check(library, connection, sql.format(t="thread_257"))[-1]
        assert total["at_most"] is not None
        if "limit" not in sql:
            assert total["at_most"] == (2 if "LIMIT" in sql else pages(257))
            assert total["at_least"] == (1 if "LIMIT" in sql else pages(257))
            row = explain(library, connection, ANY.format(t="thread_257"))[0]
            assert row["requests"] == "3, as it was read last"
        assert (
            spare(connection, 3) == 0 or explain(library, connection, ANY.format(t="thread_101"))[0]["at_most"] is None
        )


@pytest.mark.parametrize("sql", BY_KEY)
def test_a_write_by_key_is_one_request(service: Service, writing: Connection, sql: str) -> None:
    thread = fill(service, 3, "thread_w")
    total = check(service, writing, sql.format(t=thread, m=f"msg_{thread}_1"))[-1]
    assert (total["at_least"], total["at_most"]) == (1, 1)


WRITES = (
    "UPDATE messages SET metadata = '{}' WHERE thread_id = 'thread_w' AND role = 'user'",
    "DELETE FROM messages WHERE thread_id = 'thread_w' AND role = 'user' RETURNING id",
    "DELETE FROM messages WHERE thread_id = 'thread_w' AND id = 'msg_thread_w_1' RETURNING content",
    "INSERT INTO messages (thread_id, role, content) SELECT thread_id, role, content_text FROM messages "
    "WHERE thread_id = 'thread_w'",
    "INSERT INTO messages (thread_id, role, content) VALUES ('thread_w', 'user', 'a'), ('thread_v', 'user', 'b')",
    "INSERT INTO messages (thread_id, role, content) VALUES ('thread_w', 'user', "
    "(SELECT content_text FROM messages WHERE thread_id = 'thread_w' LIMIT 1)) RETURNING id",
    "INSERT INTO messages (thread_id, role, content) SELECT 'thread_w', 'user', 'x' WHERE NOT EXISTS "
    "(SELECT 1 FROM messages WHERE thread_id = 'thread_w')",
    "INSERT INTO threads (metadata) VALUES ('{}'), ('{}')",
)


@pytest.mark.parametrize("sql", WRITES)
def test_writes_keep_to_what_is_said(service: Service, writing: Connection, sql: str) -> None:
    fill(service, 5, "thread_w")
    fill(service, 1, "thread_v")
    check(service, writing, sql)


def test_rows_of_an_insert_are_counted(service: Service, writing: Connection) -> None:
    row, total = explain(service, writing, WRITES[4])
    assert (row["table"], row["threads"], row["requests"]) == ("messages", "2 named", "2, 1 for each row")
    assert (total["at_least"], total["at_most"]) == (2, 2)


def test_parameters_are_bound(library: Service, reading: Connection) -> None:
    sql = "EXPLAIN REQUESTS SELECT id FROM messages WHERE thread_id = :thread LIMIT :n"
    assert reading.execute(sql, {"thread": "small_1", "n": 250}).fetchall()[-1][-2:] == (1, 3)
    with pytest.raises(ProgrammingError):
        reading.execute(sql)


def test_other_explanations_stay_sqlites(reading: Connection) -> None:
    assert reading.execute("EXPLAIN SELECT * FROM messages WHERE thread_id = 'a'").fetchone()[1] == "Init"  # type: ignore[index]
    assert "VIRTUAL TABLE" in str(reading.execute("EXPLAIN QUERY PLAN SELECT * FROM messages").fetchall())


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "EXPLAIN SELECT 1",
        "EXPLAIN REQUESTS SELECT 1",
        "CREATE TABLE t (x)",
        "INSERT INTO mine SELECT id FROM threads",
        "PRAGMA table_info(messages)",
        "nonsense",
    ],
)
def test_what_makes_no_sense_is_refused(reading: Connection, sql: str) -> None:
    with pytest.raises(ProgrammingError, match="takes a SELECT"):
        reading.execute(f"EXPLAIN REQUESTS {sql}")


def test_the_errors_are_those_of_the_statement(library: Service, reading: Connection) -> None:
    with library.counting() as seen:
        with pytest.raises(ProgrammingError, match="names no thread_id"):
            reading.execute("EXPLAIN REQUESTS SELECT * FROM messages")
        with pytest.raises(ProgrammingError, match="no such column"):
            reading.execute("EXPLAIN REQUESTS SELECT nowhere FROM messages WHERE thread_id = 'a'")
        with pytest.raises(ProgrammingError, match="names no thread_id"):
            reading.execute("EXPLAIN REQUESTS DELETE FROM messages")
        with pytest.raises(NotSupportedError):
            reading.execute("EXPLAIN REQUESTS DELETE FROM transcript WHERE thread_id = 'a'")
        assert not seen


def test_nothing_is_written(service: Service, writing: Connection) -> None:
    thread = fill(service, 3, "thread_w")
    for verb in ("DELETE FROM messages", 'UPDATE messages SET metadata = \'{"a": "b"}\''):
        for row in (f"AND id = 'msg_{thread}_1'", ""):
            writing.execute(f"EXPLAIN REQUESTS {verb} WHERE thread_id = 'thread_w' {row}").fetchall()
    writing.rollback()
    assert writing.execute(ANY.format(t=thread) + " AND metadata = '{}'").fetchall() == [
        (f"msg_{thread}_{place}",) for place in range(3)
    ]


def test_sqlalchemy_gives_the_rows() -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    with sqlalchemy.create_engine("messages://").connect() as connection:
        sql = sqlalchemy.text("EXPLAIN REQUESTS SELECT id FROM messages WHERE thread_id = :thread LIMIT 5")
        row = connection.execute(sql, {"thread": "a"}).mappings().first()
        assert (row["table"], row["requests"]) == ("messages", "1")
