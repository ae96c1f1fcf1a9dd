"""The transcript: messages in their readable form, with times that are texts and cannot be written."""

from __future__ import annotations

import datetime as dt
import re
from random import Random
from typing import Any

import apsw
import pytest

from messages_dbapi import (
    DATETIME,
    STRING,
    InternalError,
    NotSupportedError,
    ProgrammingError,
    Timestamp,
)
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.documents import JSON, Draft
from messages_dbapi.resources import MESSAGES, TRANSCRIPT
from messages_dbapi.timestamps import EARLIEST, LATEST, first_after, first_from, timestamp

from .front import fronting
from .service import Service

THREAD = "thread_a"
FIRST = 1_700_000_000  # 2023-11-14 22:13:20
TYPES = [
    ("thread_id", "VARCHAR"),
    ("id", "VARCHAR"),
    ("created", "TIMESTAMP"),
    ("role", "VARCHAR"),
    ("text", "VARCHAR"),
    ("run_id", "VARCHAR"),
    ("assistant_id", "VARCHAR"),
    ("metadata", "JSON"),
]


@pytest.fixture
def service(service: Service) -> Service:
    """Give a service with two threads, of five messages and of none."""
    service.thread(5, thread_id=THREAD, metadata={"kind": "test"})
    service.thread(thread_id="thread_empty")
    return service


def rows(connection: Connection, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Give the rows of a statement."""
    return connection.execute(sql, parameters).fetchall()


def described(connection: Connection, sql: str) -> list[tuple[str, str | None]]:
    """Give the names and type codes of a result."""
    return [column[:2] for column in connection.execute(sql).description or ()]


# Columns and values.


@pytest.mark.parametrize(
    "table", ["transcript", "assistants.transcript", "OPENAI.Assistants.transcript", '"openai.assistants".[Transcript]']
)
def test_all_columns(connection: Connection, table: str) -> None:
    cursor = connection.execute(f"SELECT * FROM {table} WHERE thread_id = ?", (THREAD,))
    first = cursor.fetchone() or ()
    assert [column[:2] for column in cursor.description or ()] == TYPES
    assert first[1].startswith("msg_")
    assert (first[0], *first[2:]) == (
        THREAD,
        dt.datetime(2023, 11, 14, 22, 13, 20),
        "user",
        "message 0",
        None,
        None,
        '{"kind":"test"}',
    )
    assert [type(value) for value in first] == [str, str, dt.datetime, str, str, type(None), type(None), str]


def test_created_is_a_moment_wherever_it_stands_for_itself(connection: Connection) -> None:
    """Through subqueries and views too; what is computed is SQLite's text, and so is what is no time."""
    connection.execute("CREATE VIEW talk AS SELECT created AS at FROM transcript WHERE thread_id = 'thread_a'")
    first = dt.datetime(2023, 11, 14, 22, 13, 20)
    last = dt.datetime(2023, 11, 14, 22, 13, 24)
    assert rows(connection, "SELECT at FROM (SELECT * FROM talk) LIMIT 1") == [(first,)]
    assert rows(connection, "SELECT max(at), at || '' FROM talk") == [(str(last), str(last))]
    assert connection.execute("SELECT at FROM talk ORDER BY at DESC").fetchone() == (last,)
    assert rows(connection, "SELECT at FROM talk WHERE at < ? UNION ALL SELECT '20' UNION ALL SELECT NULL", last)[
        -3:
    ] == [
        (dt.datetime(2023, 11, 14, 22, 13, 23),),
        ("20",),
        (None,),
    ]
    odd = "2023-W46-2 22:13:20"
    assert rows(connection, "SELECT at FROM talk WHERE at = ? UNION ALL SELECT ?", first, odd) == [(first,), (odd,)]
    assert rows(connection, "SELECT text FROM transcript WHERE thread_id = ? AND created = ?", THREAD, last) == [
        ("message 4",)
    ]


def test_it_is_declared_by_what_messages_are() -> None:
    assert TRANSCRIPT.methods == tuple(method for method in MESSAGES.methods if method.verb == "SELECT")
    assert TRANSCRIPT.read_only
    assert not MESSAGES.read_only
    assert [column.name for column in TRANSCRIPT.hidden] == ["message_id", "limit", "order", "after", "before"]


def test_the_type_of_created_is_that_of_times(connection: Connection) -> None:
    cursor = connection.execute("SELECT created, text FROM transcript LIMIT 0")
    (_, created, *_, null_ok), (_, text, *_) = cursor.description or ()
    assert created == DATETIME
    assert created != STRING
    assert text == STRING
    assert null_ok is False


@pytest.mark.parametrize(
    "source",
    [
        "transcript WHERE 1=0",
        "transcript LIMIT 0",
        "transcript WHERE thread_id = 'thread_empty'",
        "(SELECT * FROM transcript WHERE thread_id = 'thread_a') AS virtual_table",
        "(SELECT * FROM transcript WHERE thread_id = 'thread_a' UNION ALL SELECT * FROM transcript WHERE 1=0)",
        "talk",
        "temporary_talk",
    ],
)
def test_description_shows_types_through_everything(connection: Connection, source: str) -> None:
    connection.execute("CREATE VIEW talk AS SELECT * FROM openai.assistants.transcript WHERE thread_id = 'thread_a'")
    connection.execute("CREATE TEMP VIEW temporary_talk AS SELECT * FROM transcript WHERE thread_id = 'thread_a'")
    assert described(connection, f"SELECT * FROM {source}") == TYPES


def test_a_local_table_made_of_it_keeps_texts(connection: Connection) -> None:
    connection.execute("CREATE TABLE kept AS SELECT id, created FROM transcript WHERE thread_id = ?", (THREAD,))
    assert rows(connection, "SELECT max(created), typeof(created) FROM kept") == [("2023-11-14 22:13:24", "text")]


def test_text_is_what_content_text_is(service: Service, connection: Connection) -> None:
    parts: list[JSON] = [{"type": "text", "text": text} for text in ("Grüße 👋", '日本 " \\ \u2028', "")]
    image: JSON = {"type": "image_file", "image_file": {"file_id": "file_1"}}
    drafts = [Draft(content=[*parts[:1], image, *parts[1:]]), Draft(content=[image]), Draft(content="{{x}}\n")]
    service.thread_of(drafts, thread_id="thread_u")
    said = rows(connection, "SELECT text FROM transcript WHERE thread_id = 'thread_u'")
    assert said == [('Grüße 👋\n日本 " \\ \u2028\n',), ("",), ("{{x}}\n",)]
    assert said == rows(connection, "SELECT content_text FROM messages WHERE thread_id = 'thread_u'")
    assert rows(connection, "SELECT count(*) FROM transcript WHERE thread_id = 'thread_u' AND text = ?", *said[0]) == [
        (1,)
    ]


def test_the_key_has_two_names(connection: Connection) -> None:
    ((key,),) = rows(connection, "SELECT id FROM transcript WHERE thread_id = ? LIMIT 1 OFFSET 2", THREAD)
    for name in ("id", "message_id"):
        sql = f"SELECT text, message_id FROM transcript WHERE thread_id = ? AND {name} = ?"
        assert rows(connection, sql, THREAD, key) == [("message 2", key)]


@pytest.mark.parametrize("column", ["content", "content_text", "created_at", "data__role", "status", "_seq"])
def test_columns_of_messages_are_not_all_here(connection: Connection, column: str) -> None:
    with pytest.raises(ProgrammingError, match="no such column"):
        connection.execute(f"SELECT {column} FROM transcript WHERE thread_id = 'thread_a'")


# Times.


def test_a_timestamp_is_what_sqlite_makes_of_the_seconds() -> None:
    sqlite = apsw.Connection(":memory:")
    random = Random(1)
    edges = [EARLIEST, EARLIEST + 1, -1, 0, 1, FIRST, 951_782_400, LATEST - 1, LATEST]
    for seconds in (*edges, *(random.randint(EARLIEST, LATEST) for _ in range(2000))):
        assert timestamp(seconds) == sqlite.execute("SELECT datetime(?, 'unixepoch')", (seconds,)).get


@pytest.mark.parametrize("seconds", [EARLIEST - 1, LATEST + 1, 2**63 - 1, -(2**63)])
def test_seconds_of_other_years_have_no_timestamp(seconds: int) -> None:
    with pytest.raises(OverflowError):
        timestamp(seconds)


def _near_a_timestamp(random: Random) -> str:
    """Make a text that is nearly a timestamp: cut off, changed in one place, or longer."""
    text = timestamp(random.choice((FIRST + random.randint(-5, 5), random.randint(EARLIEST, LATEST))))
    place = random.randint(0, len(text))
    other = random.choice("0123456789-: T/;.\0aé🍚")
    return random.choice((text, text[:place], text[:place] + other + text[place + 1 :], text + other, other))


def test_the_bounds_of_a_text_stand_where_it_would_be_sorted_in() -> None:
    random = Random(2)
    for _ in range(3000):
        text = _near_a_timestamp(random)
        first, after = first_from(text), first_after(text)
        assert EARLIEST <= first <= after <= first + 1 <= LATEST + 2
        assert first == LATEST + 1 or timestamp(first).encode() >= text.encode()
        assert first == EARLIEST or timestamp(first - 1).encode() < text.encode()
        assert (after > first) == (first <= LATEST and timestamp(first) == text)


_EDGES = (EARLIEST, EARLIEST + 1, -1, 0, FIRST, LATEST - 1, LATEST)
_BEYOND = ("", "\0", "0", "0000-12-31 23:59:59", "9999-12-31 23:59:59.5", "9999-12-31 23:59:59\0", "a", "é", "🍚")
_NO_TEXTS = (None, -1, 0, 1, 1970, 9999, 9999.5, 10000, 1e300, float("-inf"), b"", b"9999-12-31 23:59:59", b"\xff")


@pytest.mark.parametrize("operator", ["=", "<", "<=", ">", ">=", "IS", "<>", "BETWEEN '1970' AND"])
def test_the_first_and_the_last_times_compare_like_texts(
    service: Service, connection: Connection, operator: str
) -> None:
    service.thread_of([Draft(content="x", created_at=seconds) for seconds in _EDGES], thread_id="thread_edges")
    plain = apsw.Connection(":memory:")
    plain.execute("CREATE TABLE transcript (created TEXT)")
    plain.executemany("INSERT INTO transcript VALUES (?)", [(timestamp(seconds),) for seconds in _EDGES])
    for value in (*map(timestamp, _EDGES), *_BEYOND, *_NO_TEXTS):
        for clause in ("ORDER BY created", "ORDER BY created DESC LIMIT 3", "ORDER BY created LIMIT 2 OFFSET 1"):
            sql = f"SELECT created FROM transcript WHERE {{}} created {operator} ? {clause}"
            wanted = plain.execute(sql.format(""), (value,)).fetchall()
            given = rows(connection, sql.format("thread_id = 'thread_edges' AND"), value)
            assert [(str(created),) for (created,) in given] == wanted, value


_SAID = (
    "",
    "\0",
    "a",
    "a\0",
    "a\0b",
    "a ",
    "A",
    "5",
    "5.0",
    "é",
    "e\u0301",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "🍚",
    "x" * 70_000,
)


@pytest.mark.parametrize("condition", ["= ?", "IS ?", "IN (?, 5, NULL)", "> ?", "<= ?", "= ? COLLATE NOCASE", "LIKE ?"])
def test_said_texts_compare_as_sqlite_compares_them(service: Service, connection: Connection, condition: str) -> None:
    service.thread_of([Draft(content=[{"type": "text", "text": said}]) for said in _SAID], thread_id="thread_said")
    plain = apsw.Connection(":memory:")
    plain.execute("CREATE TABLE transcript (text TEXT)")
    plain.executemany("INSERT INTO transcript VALUES (?)", [(said,) for said in _SAID])
    for value in (*_SAID[:-1], 5, 5.0, None, b"a"):
        sql = f"SELECT text FROM transcript WHERE {{}} text {condition} ORDER BY text"
        wanted = plain.execute(sql.format(""), (value,)).fetchall()
        assert rows(connection, sql.format("thread_id = 'thread_said' AND"), value) == wanted, value


def test_the_last_of_a_thread_is_the_first_in_descending_order(service: Service, connection: Connection) -> None:
    service.thread(3, thread_id="thread_ties", step=0)
    sql = "SELECT text FROM transcript WHERE thread_id = 'thread_ties' ORDER BY created"
    assert rows(connection, f"{sql} DESC LIMIT 1") == [("message 2",)]
    assert rows(connection, f"{sql} LIMIT 1") == [("message 0",)]


@pytest.mark.parametrize(
    ("moment", "found"),
    [
        (dt.datetime(2023, 11, 14, 22, 13, 22), "234"),
        (dt.datetime(2023, 11, 14, 22, 13, 22, 1), "34"),
        (dt.datetime(2023, 11, 14, 22, 13, 22, tzinfo=dt.UTC), "234"),
        (dt.datetime(2023, 11, 15, 0, 13, 23, tzinfo=dt.timezone(dt.timedelta(hours=2))), "34"),
        (dt.date(2023, 11, 14), "01234"),
        (dt.date(2023, 11, 15), ""),
        (Timestamp(2023, 11, 14, 22, 13, 24), "4"),
    ],
)
def test_times_are_compared_with_bound_moments(connection: Connection, moment: object, found: str) -> None:
    sql = "SELECT text FROM transcript WHERE thread_id = 'thread_a' AND created >= ?"
    assert [text[-1] for (text,) in rows(connection, sql, moment)] == list(found)


@pytest.mark.parametrize("sent", [None, "left out"])
def test_a_message_without_a_time(sent: str | None) -> None:
    def dress(message: dict[str, Any]) -> None:
        message["created_at"] = None
        if sent:
            del message["created_at"]

    with fronting() as front, front.connect() as connection:
        thread = front.thread("a", "b")
        front.dress = dress
        assert rows(connection, "SELECT text, created FROM transcript WHERE thread_id = ?", thread) == [
            ("a", None),
            ("b", None),
        ]
        for comparison in ("> ''", "< 'z'", "> 5", "< x''"):
            sql = f"SELECT text FROM transcript WHERE thread_id = ? AND created {comparison}"
            assert rows(connection, sql, thread) == []


@pytest.mark.parametrize("seconds", [EARLIEST - 1, LATEST + 1])
def test_a_time_that_would_break_the_order_is_an_internal_error(seconds: int) -> None:
    with fronting() as front, front.connect() as connection:
        thread = front.thread("a")
        front.dress = lambda message: message.update(created_at=seconds)
        for sql in ("SELECT created", "SELECT text", "SELECT count(*)"):
            with pytest.raises(InternalError, match=f"transcript of {thread}.*{seconds}"):
                rows(connection, f"{sql} FROM transcript WHERE thread_id = ? AND created > ''", thread)
        assert rows(connection, "SELECT created_at FROM messages WHERE thread_id = ?", thread) == [(seconds,)]


# Which threads, and what it is joined with.


def test_a_statement_that_names_no_thread_is_told_how(service: Service) -> None:
    with service.connect(unscoped="error") as connection, service.counting() as seen:
        with pytest.raises(ProgrammingError, match="SELECT from transcript names no thread_id") as caught:
            rows(connection, "SELECT * FROM transcript")
        assert not seen
    assert "get_message needs thread_id, message_id and list_messages needs thread_id" in str(caught.value)


def test_scopes(service: Service) -> None:
    service.thread(2, thread_id="thread_b")
    count = "SELECT count(*) FROM transcript"
    with service.connect() as connection:
        assert rows(connection, count) == [(7,)]
    with service.connect(thread_id="thread_b", unscoped="error") as connection:
        assert rows(connection, count) == [(2,)]
        assert rows(connection, f"{count} WHERE thread_id = 'thread_a'") == [(5,)]
    with service.connect(missing_thread="skip") as connection:
        sql = f"{count} WHERE thread_id IN ('thread_a', 'nobody')"
        with pytest.warns(Warning, match="nobody"):
            assert rows(connection, sql) == [(5,)]
    with service.connect() as connection, pytest.raises(ProgrammingError, match="knows no thread 'nobody'"):
        rows(connection, f"{count} WHERE thread_id = 'nobody'")


def test_joins(connection: Connection) -> None:
    connection.execute("CREATE TABLE notes (created TIMESTAMP, note TEXT)")
    connection.execute(
        "INSERT INTO notes VALUES ('2023-11-14 22:13:21', 'one'), (?, 'three')", (Timestamp(2023, 11, 14, 22, 13, 23),)
    )
    noted = "SELECT text, note FROM transcript t JOIN notes n ON n.created = t.created WHERE thread_id = 'thread_a'"
    assert sorted(rows(connection, noted)) == [("message 1", "one"), ("message 3", "three")]
    both = (
        "SELECT count(*) FROM openai.assistants.transcript t JOIN openai.assistants.messages m "
        "ON m.id = t.id AND m.thread_id = t.thread_id AND m.content_text = t.text "
        "AND t.created = datetime(m.created_at, 'unixepoch') WHERE t.thread_id = 'thread_a'"
    )
    assert rows(connection, both) == [(5,)]
    follows = (
        "SELECT a.text, b.text FROM transcript a JOIN transcript b ON b.thread_id = a.thread_id "
        "AND b.created = datetime(a.created, '+1 second') WHERE a.thread_id = 'thread_a' ORDER BY a.created LIMIT 1"
    )
    assert rows(connection, follows) == [("message 0", "message 1")]
    of_threads = "SELECT h.id, count(t.id) FROM threads h LEFT JOIN transcript t ON t.thread_id = h.id GROUP BY h.id"
    assert sorted(rows(connection, of_threads)) == [("thread_a", 5), ("thread_empty", 0)]


def test_what_was_said_can_be_said_again_in_its_own_thread(connection: Connection) -> None:
    again = (
        "INSERT INTO messages (thread_id, role, content) "
        "SELECT thread_id, role, text FROM transcript WHERE thread_id = ? ORDER BY created"
    )
    assert connection.execute(again, (THREAD,)).rowcount == 5
    said = [text for (text,) in rows(connection, "SELECT text FROM transcript WHERE thread_id = ?", THREAD)]
    assert said == [f"message {number}" for number in (*range(5), *range(5))]


# It is read-only.


WRITES = (
    "INSERT INTO transcript (thread_id, role, text) VALUES ('thread_a', 'user', 'Hi')",
    "INSERT INTO openai.assistants.transcript SELECT * FROM transcript",
    "INSERT INTO transcript DEFAULT VALUES",
    "INSERT OR IGNORE INTO transcript (thread_id) VALUES ('thread_a')",
    "REPLACE INTO transcript (thread_id) VALUES ('thread_a')",
    "INSERT INTO transcript (nope) VALUES (1) RETURNING id",
    "WITH w AS (SELECT 1) UPDATE transcript SET metadata = '{}' WHERE thread_id = 'thread_a'",
    "UPDATE transcript SET text = 'x' WHERE thread_id = 'thread_a' RETURNING *",
    "UPDATE transcript SET metadata = '{}' WHERE thread_id = 'thread_a' AND id = 'msg_1'",
    'DELETE FROM "openai.assistants".transcript',
    "DELETE FROM transcript WHERE thread_id = 'thread_a' RETURNING id",
)


@pytest.mark.parametrize("sql", WRITES)
@pytest.mark.parametrize("read_only", [False, True])
def test_it_cannot_be_written(service: Service, sql: str, *, read_only: bool) -> None:
    with service.connect(read_only=read_only) as connection, service.counting() as seen:
        with pytest.raises(NotSupportedError, match=r"transcript is read-only.*write to openai\.assistants\.messages"):
            connection.execute(sql)
        with pytest.raises(NotSupportedError, match="read-only"):
            connection.cursor().executemany(sql, [(), ()])
        with pytest.raises(NotSupportedError, match="read-only"):
            connection.execute(f"EXPLAIN {sql.partition(' RETURNING')[0]}")
        assert not seen


def test_a_trigger_cannot_write_it(connection: Connection) -> None:
    connection.execute("CREATE TABLE t (a)")
    connection.execute("CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM transcript; END")
    with pytest.raises(NotSupportedError, match="trigger"):
        connection.execute("INSERT INTO t VALUES (1)")


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("CREATE TABLE transcript (a)", ProgrammingError),
        ("CREATE TEMP VIEW Transcript AS SELECT 1", ProgrammingError),
        ("CREATE TABLE openai.assistants.transcript (a)", ProgrammingError),
        ("DROP TABLE transcript", NotSupportedError),
        ("ALTER TABLE transcript RENAME TO t", NotSupportedError),
        ("CREATE INDEX i ON transcript (created)", (NotSupportedError, ProgrammingError)),
    ],
)
def test_its_name_is_the_service_s(alone: Connection, sql: str, error: Any) -> None:
    with pytest.raises(error, match=re.compile("transcript", re.IGNORECASE)):
        alone.execute(sql)


def test_a_local_table_of_that_name_is_another(alone: Connection) -> None:
    alone.execute("CREATE TABLE main.transcript (a)")
    alone.execute("INSERT INTO main.transcript VALUES (1)")
    assert rows(alone, "SELECT * FROM main.transcript") == [(1,)]
    assert len(rows(alone, "SELECT * FROM transcript")) == 5
