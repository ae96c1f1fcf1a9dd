"""INSERT, UPDATE and DELETE on the service: what is sent, what is refused before, and what is reported."""

from __future__ import annotations

import json
from typing import Any

import pytest

import messages_dbapi
from messages_dbapi import DataError, IntegrityError, NotSupportedError, OperationalError, ProgrammingError
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.documents import Draft

from .service import Service

THREAD = "thread_a"


@pytest.fixture
def service(service: Service) -> Service:
    """Give a service with two threads, of three messages and of none."""
    drafts = [Draft(content=f"message {n}", id=f"msg_{n}", created_at=1_700_000_000 + n) for n in range(3)]
    service.thread_of(drafts, thread_id=THREAD)
    service.thread(thread_id="thread_b")
    return service


def texts(connection: Connection, thread: str = THREAD) -> list[str]:
    """Give the texts of a thread's messages, oldest first."""
    rows = connection.execute("SELECT content_text FROM messages WHERE thread_id = ?", (thread,)).fetchall()
    return [text for (text,) in rows]


def only(connection: Connection, columns: str, thread: str = "thread_b") -> Any:
    """Give the one row of a thread; of one column, its value."""
    (row,) = connection.execute(f"SELECT {columns} FROM messages WHERE thread_id = ?", (thread,)).fetchall()
    return row if len(row) > 1 else row[0]


INSERT = "INSERT INTO messages (thread_id, role, content) VALUES (?, ?, ?)"

# The statements of the resource.


def test_the_documented_insert(connection: Connection) -> None:
    cursor = connection.execute("""/*+ create */
    INSERT INTO openai.assistants.messages (data__role, data__content, data__attachments, data__metadata, thread_id)
    SELECT 'user', 'Where to?', '[{"file_id": "file_1", "tools": [{"type": "file_search"}]}]',
           '{"topic": "travel"}', 'thread_b' ;
    """)
    assert cursor.rowcount == 1
    role, content, attachments, metadata = only(connection, "role, content_text, attachments, metadata")
    assert (role, content, json.loads(metadata)) == ("user", "Where to?", {"topic": "travel"})
    assert json.loads(attachments) == [{"file_id": "file_1", "tools": [{"type": "file_search"}]}]
    assert only(connection, "id") == cursor.lastrowid


def test_the_documented_insert_of_what_is_required(connection: Connection) -> None:
    cursor = connection.execute("""/*+ create */
    INSERT INTO openai.assistants.messages (data__role, data__content, thread_id)
    SELECT 'assistant', 'To Paris', 'thread_b' ;""")
    assert cursor.rowcount == 1
    row = only(connection, "role, content_text, attachments, metadata")
    assert row == ("assistant", "To Paris", "[]", "{}")


def test_the_documented_update(connection: Connection) -> None:
    cursor = connection.execute("""/*+ update */
    UPDATE openai.assistants.messages SET metadata = '{"a": "b"}'
    WHERE message_id = 'msg_1' AND thread_id = 'thread_a';""")
    assert cursor.rowcount == 1
    rows = connection.execute("SELECT id, metadata FROM messages WHERE thread_id = 'thread_a'").fetchall()
    assert rows == [("msg_0", "{}"), ("msg_1", '{"a":"b"}'), ("msg_2", "{}")]


def test_the_documented_delete(connection: Connection) -> None:
    cursor = connection.execute("""/*+ delete */
    DELETE FROM openai.assistants.messages WHERE message_id = 'msg_1' AND thread_id = 'thread_a';""")
    assert cursor.rowcount == 1
    assert texts(connection) == ["message 0", "message 2"]


# What is sent.


@pytest.mark.parametrize("names", ["role, content, metadata", "data__role, data__content, data__metadata"])
def test_a_field_goes_by_both_of_its_names(connection: Connection, names: str) -> None:
    sql = f"INSERT INTO messages (thread_id, {names}) VALUES ('thread_b', 'user', 'text', '{{\"a\": \"b\"}}')"
    connection.execute(sql)
    assert only(connection, "content_text, metadata") == ("text", '{"a":"b"}')


CONTENTS = (
    " ",
    "plain",
    "[]",
    "[1]",
    "{}",
    "null",
    '"quoted"',
    '[{"type": "text"}]',
    '[{"type": "text", "text": 5}]',
    '[{"type": "text", "text": "a"}, 1]',
    '[{"type": "text", "text": "a", "more": 1}]',
    '[{"type": "video", "video": "a"}]',
    '[{"type": "image_url", "image_url": "http://x"}]',
    '{"type": "text", "text": "a"}',
    "{{ content }}",
    "{% raw %}",
    "line\nline\r\n\ttab",
    'it\'s "quoted" \\ back\\\\slash \\n',
    "?:name@x$1",
    "/* not a comment */ -- nor this",
    "Grüße 👋🏽 日本 \u2028 \ufeff \U0010ffff",
    "\x01\x1f\x7f",
)


@pytest.mark.parametrize("text", CONTENTS)
def test_text_is_sent_as_it_is(connection: Connection, text: str) -> None:
    connection.execute(INSERT, ("thread_b", "user", text))
    assert only(connection, "content_text") == text
    quoted = text.replace("'", "''")
    connection.execute(f"INSERT INTO messages (thread_id, role, content) SELECT 'thread_b', 'user', '{quoted}'")
    assert texts(connection, "thread_b") == [text, text]


def test_a_list_of_whole_parts_is_sent_as_parts(connection: Connection) -> None:
    parts = [
        {"type": "text", "text": "a"},
        {"type": "text", "text": {"value": "b", "annotations": []}},
        {"type": "image_file", "image_file": {"file_id": "file_1"}},
        {"type": "image_url", "image_url": {"url": "https://host/x.png", "detail": "low"}},
    ]
    for content in (parts, tuple(parts), json.dumps(parts)):
        cursor = connection.execute(f"{INSERT} RETURNING content, content_text", ("thread_b", "user", content))
        shown, text = cursor.fetchone() or ()
        assert text == "a\nb"
        assert [part["type"] for part in json.loads(shown)] == ["text", "text", "image_file", "image_url"]


@pytest.mark.parametrize("text", ["[]", '[{"type": "text", "text": "a"}]', "plain", '{"a": 1}'])
def test_any_text_is_text_inside_a_part(connection: Connection, text: str) -> None:
    connection.execute(INSERT, ("thread_b", "user", [{"type": "text", "text": text}]))
    assert only(connection, "content_text") == text


@pytest.mark.parametrize("content", [[], [1], ["text"], [{"type": "text"}], [{"type": "text", "text": "a"}, {}], ({},)])
def test_a_bound_list_must_be_parts(service: Service, connection: Connection, content: Any) -> None:
    with service.counting() as seen, pytest.raises(DataError, match="whole parts"):
        connection.execute(INSERT, ("thread_b", "user", content))
    assert not seen


def test_numbers_are_sent_as_their_text(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO messages (thread_id, role, content) VALUES ('thread_b', 'user', 5), ('thread_b', 'user', 1.50)"
    )
    connection.cursor().executemany(INSERT, [("thread_b", "user", 5), ("thread_b", "user", 1e100)])
    assert texts(connection, "thread_b") == ["5", "1.5", "5", "1.0e+100"]


def test_lists_and_dicts_are_bound_as_json(connection: Connection) -> None:
    sql = "INSERT INTO messages (thread_id, role, content, attachments, metadata) VALUES (?, ?, ?, ?, ?)"
    attachments = [{"file_id": "file_1", "tools": [{"type": "code_interpreter"}]}]
    connection.execute(sql, ("thread_b", "user", "text", attachments, {"ä": "\n"}))
    assert tuple(map(json.loads, only(connection, "attachments, metadata"))) == (attachments, {"ä": "\n"})


def test_null_leaves_an_optional_field_out(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO messages (thread_id, role, content, attachments, metadata, run_id) "
        "VALUES ('thread_b', 'user', 'text', NULL, NULL, NULL)"
    )
    assert only(connection, "attachments, metadata") == ("[]", "{}")


def test_set_null_empties_the_map(connection: Connection) -> None:
    update = "UPDATE messages SET metadata = ? WHERE thread_id = 'thread_a' AND id = 'msg_0' RETURNING metadata"
    assert connection.execute(update, ({"a": "b", "c": "d"},)).fetchone() == ('{"a":"b","c":"d"}',)
    assert connection.execute(update, ({"a": "e"},)).fetchone() == ('{"a":"e"}',)
    assert connection.execute(update, (None,)).fetchone() == ("{}",)


def test_inserts_of_one_thread_keep_their_order(connection: Connection) -> None:
    rows = [(f"thread_{'ab'[n % 2]}", "user", f"{n}") for n in range(40)]
    assert connection.cursor().executemany(INSERT, rows).rowcount == 40
    assert texts(connection, "thread_b") == [str(n) for n in range(1, 40, 2)]
    assert texts(connection)[3:] == [str(n) for n in range(0, 40, 2)]


def test_messages_can_be_copied_into_another_thread(service: Service, connection: Connection) -> None:
    strange = ["plain", "[]", "a\nb", '[{"type": "text", "text": "x"}]', "{{ x }}"]
    service.thread_of([Draft(content=[{"type": "text", "text": text}]) for text in strange], thread_id="thread_s")
    connection.execute(
        "INSERT INTO messages (thread_id, role, content, metadata) "
        "SELECT 'thread_b', role, content, metadata FROM messages WHERE thread_id = 'thread_s' ORDER BY created_at"
    )
    assert texts(connection, "thread_b") == strange


def test_messages_can_be_copied_into_their_own_thread(connection: Connection) -> None:
    source = "SELECT thread_id, role, content FROM messages WHERE thread_id = ?"
    sql = f"INSERT INTO messages (thread_id, role, content) {source}"
    assert connection.execute(sql, (THREAD,)).rowcount == 3
    assert texts(connection) == ["message 0", "message 1", "message 2"] * 2


def test_messages_can_come_from_a_local_table(connection: Connection) -> None:
    connection.execute("CREATE TABLE drafts (place INTEGER, text TEXT)")
    connection.cursor().executemany("INSERT INTO drafts VALUES (?, ?)", [(2, "second"), (1, "first")])
    connection.execute(
        "INSERT INTO messages (thread_id, role, content) SELECT 'thread_b', 'user', text FROM drafts ORDER BY place"
    )
    assert texts(connection, "thread_b") == ["first", "second"]


# What is refused, before any request of the statement.

LONG = "x" * 256_001
PAIRS = {f"key{n}": "" for n in range(17)}

BAD_INSERTS: tuple[tuple[str, tuple[object, ...], type[Exception], str], ...] = (
    ("thread_id, role", ("thread_b", "user"), IntegrityError, "content"),
    ("thread_id, content", ("thread_b", "a"), IntegrityError, "role"),
    ("role, content", ("user", "a"), IntegrityError, "thread_id"),
    ("thread_id, role, content", ("thread_b", "user", None), IntegrityError, "content"),
    ("thread_id, role, content", ("thread_b", None, "a"), IntegrityError, "role"),
    ("thread_id, role, content", (None, "user", "a"), IntegrityError, "thread_id"),
    ("thread_id, role, content", ("", "user", "a"), DataError, "thread_id"),
    ("thread_id, role, content", (".", "user", "a"), DataError, "thread_id"),
    ("thread_id, role, content", ("..", "user", "a"), DataError, "thread_id"),
    ("thread_id, role, content", ("thread_b", "system", "a"), DataError, "role"),
    ("thread_id, role, content", ("thread_b", "User", "a"), DataError, "role"),
    ("thread_id, role, content", ("thread_b", "user", LONG), DataError, "256001"),
    ("thread_id, role, content", ("thread_b", "user", [{"type": "text", "text": LONG}]), DataError, "256001"),
    ("thread_id, role, content", ("thread_b", "user", b"a"), DataError, "BLOB"),
    ("thread_id, role, content", (b"thread_b", "user", "a"), DataError, "BLOB"),
    ("thread_id, role, content, id", ("thread_b", "user", "a", "msg_9"), NotSupportedError, "id"),
    ("thread_id, role, content, created_at", ("thread_b", "user", "a", 5), NotSupportedError, "created_at"),
    ("thread_id, role, content, status", ("thread_b", "user", "a", "completed"), NotSupportedError, "status"),
    ("thread_id, role, content, message_id", ("thread_b", "user", "a", "msg_9"), NotSupportedError, "message_id"),
    ("thread_id, role, content, content_text", ("thread_b", "user", "a", "b"), NotSupportedError, "content_text"),
    ('thread_id, role, content, "limit"', ("thread_b", "user", "a", 5), NotSupportedError, "limit"),
    ("thread_id, role, content, data__content", ("thread_b", "user", "a", "a"), ProgrammingError, "data__content"),
    ("thread_id, role, content, data__role", ("thread_b", "user", "a", "user"), ProgrammingError, "data__role"),
    ("thread_id, role, content, nothing", ("thread_b", "user", "a", "a"), ProgrammingError, "nothing"),
    ("thread_id, role, content, metadata", ("thread_b", "user", "a", "[]"), DataError, "metadata"),
    ("thread_id, role, content, metadata", ("thread_b", "user", "a", "text"), DataError, "metadata"),
    ("thread_id, role, content, metadata", ("thread_b", "user", "a", {"a": 1}), DataError, "metadata"),
    ("thread_id, role, content, metadata", ("thread_b", "user", "a", {"a": None}), DataError, "metadata"),
    ("thread_id, role, content, metadata", ("thread_b", "user", "a", PAIRS), DataError, "17"),
    ("thread_id, role, content, metadata", ("thread_b", "user", "a", {"x" * 65: ""}), DataError, "65"),
    ("thread_id, role, content, metadata", ("thread_b", "user", "a", {"x": "y" * 513}), DataError, "513"),
    ("thread_id, role, content, attachments", ("thread_b", "user", "a", "{}"), DataError, "attachments"),
    ("thread_id, role, content, attachments", ("thread_b", "user", "a", [1]), DataError, "attachments"),
)


@pytest.mark.parametrize(("columns", "values", "cls", "names"), BAD_INSERTS)
def test_a_bad_row_sends_nothing(
    service: Service, connection: Connection, columns: str, values: tuple[object, ...], cls: type[Exception], names: str
) -> None:
    marks = ", ".join("?" * len(values))
    statements = [(f"INSERT INTO messages ({columns}) VALUES ({marks})", values)]
    if "thread_id, role, content" in columns:
        good = ("thread_b", "user", "good", *(None,) * (len(values) - 3))
        twice = f"INSERT INTO messages ({columns}) VALUES ({marks}), ({marks})"
        statements.append((twice, (*good, *values)))
    for sql, parameters in statements:
        with service.counting() as seen, pytest.raises(cls, match=names):
            connection.execute(sql, parameters)
        assert not seen


def test_a_column_that_cannot_be_written_reads_nothing(service: Service, connection: Connection) -> None:
    copied = "INSERT INTO messages (thread_id, role, content, {0}) SELECT 'thread_b', role, content, {0} FROM messages"
    with service.counting() as seen:
        for column in ("id", "created_at", "status"):
            with pytest.raises(NotSupportedError, match=column):
                connection.execute(f"{copied.format(column)} WHERE thread_id = 'thread_a'")
        with pytest.raises(IntegrityError, match="content"):
            connection.execute("INSERT INTO messages (thread_id, role) SELECT thread_id, role FROM messages")
    assert not seen


def test_a_bad_set_of_many_sends_nothing(service: Service, connection: Connection) -> None:
    rows = [("thread_b", "user", "good"), ("thread_b", "user", "good"), ("thread_b", "nobody", "bad")]
    with service.counting() as seen, pytest.raises(DataError, match="nobody"):
        connection.cursor().executemany(INSERT, rows)
    with pytest.raises(ProgrammingError, match="3 values"):
        connection.cursor().executemany(INSERT, [rows[0], ("thread_b", "user")])
    assert not seen


def test_the_limits_are_code_points(connection: Connection) -> None:
    metadata = {"ä" * 64: "👋" * 512} | {f"key{n}": "" for n in range(15)}
    sql = "INSERT INTO messages (thread_id, role, content, metadata) VALUES ('thread_b', 'user', ?, ?)"
    connection.execute(sql, ("👋" * 256_000, metadata))
    text, labels = only(connection, "content_text, metadata")
    assert text == "👋" * 256_000
    assert json.loads(labels) == metadata


@pytest.mark.parametrize(
    ("assignment", "cls"),
    [
        ("role = 'user'", NotSupportedError),
        ("content = 'new'", NotSupportedError),
        ("id = 'msg_9'", NotSupportedError),
        ("thread_id = 'thread_b'", NotSupportedError),
        ("message_id = 'msg_9'", NotSupportedError),
        ("created_at = 5", NotSupportedError),
        ("data__content = 'new'", NotSupportedError),
        ("\"order\" = 'asc'", NotSupportedError),
        ("content_text = 'new'", NotSupportedError),
        ("metadata = '{}', data__metadata = '{}'", ProgrammingError),
        ("nothing = 5", ProgrammingError),
        ("metadata = '[]'", DataError),
        ("metadata = 'text'", DataError),
        ("metadata = 5", DataError),
        ("metadata = x'00'", DataError),
        ("metadata = '{\"a\": 1}'", DataError),
    ],
)
def test_a_bad_update_sends_nothing(
    service: Service, connection: Connection, assignment: str, cls: type[Exception]
) -> None:
    with service.counting() as seen:
        with pytest.raises(cls):
            connection.execute(f"UPDATE messages SET {assignment} WHERE thread_id = 'thread_a' AND id = 'msg_0'")
        assert not seen
        with pytest.raises(cls):
            connection.execute(f"UPDATE messages SET {assignment} WHERE thread_id = 'thread_a'")
    # A value may be made of the row that it changes; whether a column can be written is known beforehand.
    assert {request.method for request in seen} <= (set() if cls is NotSupportedError else {"GET"})


@pytest.mark.parametrize("verb", ["UPDATE messages SET metadata = '{}'", "DELETE FROM messages"])
@pytest.mark.parametrize("where", ["", "WHERE id = 'msg_0'", "WHERE role = 'user'", "WHERE thread_id <> 'thread_b'"])
def test_a_write_names_its_threads_itself(service: Service, verb: str, where: str) -> None:
    with (
        service.connect(thread_id=THREAD, unscoped="scan") as connection,
        service.counting() as seen,
        pytest.raises(ProgrammingError, match="names no thread_id"),
    ):
        connection.execute(f"{verb} {where}")
    assert not seen


@pytest.mark.parametrize("verb", ["UPDATE threads SET metadata = '{}'", "DELETE FROM threads"])
@pytest.mark.parametrize("where", ["", "WHERE created_at > 5"])
def test_a_write_of_threads_names_them(service: Service, connection: Connection, verb: str, where: str) -> None:
    with service.counting() as seen, pytest.raises(ProgrammingError, match="names no id"):
        connection.execute(f"{verb} {where}")
    assert not seen


@pytest.mark.parametrize("value", ["", ".", ".."])
@pytest.mark.parametrize("verb", ["UPDATE messages SET metadata = '{}'", "DELETE FROM messages"])
def test_a_write_to_no_id_is_refused(service: Service, connection: Connection, verb: str, value: str) -> None:
    with service.counting() as seen:
        for where in ("thread_id = ? AND id = 'msg_0'", "thread_id = 'thread_a' AND id = ?"):
            with pytest.raises(DataError, match="is not an id"):
                connection.execute(f"{verb} WHERE {where}", (value,))
    assert not seen


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT OR REPLACE INTO messages (thread_id, role, content) VALUES ('thread_b', 'user', 'a')",
        "INSERT OR IGNORE INTO messages (thread_id, role, content) VALUES ('thread_b', 'user', 'a')",
        "REPLACE INTO messages (thread_id, role, content) VALUES ('thread_b', 'user', 'a')",
        "INSERT INTO messages (thread_id, role, content) VALUES ('thread_b', 'user', 'a') ON CONFLICT DO NOTHING",
        "UPDATE OR IGNORE messages SET metadata = '{}' WHERE thread_id = 'thread_a'",
    ],
)
def test_conflict_clauses_are_refused(service: Service, connection: Connection, sql: str) -> None:
    with service.counting() as seen, pytest.raises(NotSupportedError, match="not available"):
        connection.execute(sql)
    assert not seen


@pytest.mark.parametrize("sql", [INSERT, "UPDATE messages SET metadata = ? WHERE thread_id = ? AND id = ?"])
def test_read_only_refuses_writes(service: Service, sql: str) -> None:
    with service.connect(read_only=True) as connection, service.counting() as seen:
        with pytest.raises(NotSupportedError, match="read_only"):
            connection.execute(sql, ("thread_b", "user", "a"))
        with pytest.raises(NotSupportedError, match="read_only"):
            connection.execute("DELETE FROM messages WHERE thread_id = 'thread_a'")
        with pytest.raises(NotSupportedError, match="read_only"):
            connection.execute("INSERT INTO threads (metadata) VALUES ('{}')")
        assert not seen
        connection.execute("CREATE TABLE t (a)")
        assert connection.execute("INSERT INTO t SELECT id FROM messages WHERE thread_id = 'thread_a'").rowcount == 3


# What is reported.


def test_rowcount_counts_what_was_there(connection: Connection) -> None:
    update = "UPDATE messages SET metadata = '{}' WHERE thread_id = 'thread_a' AND id IN ('msg_0', 'msg_9', 'msg_2')"
    assert connection.execute(update).rowcount == 2
    delete = "DELETE FROM messages WHERE thread_id = 'thread_a' AND id IN ('msg_0', 'msg_9', 'msg_2')"
    assert connection.execute(delete).rowcount == 2
    assert connection.execute(delete).rowcount == 0
    assert connection.execute("DELETE FROM messages WHERE thread_id = 'thread_a'").rowcount == 1
    assert connection.execute("DELETE FROM messages WHERE thread_id = 'thread_a'").rowcount == 0
    assert connection.execute("DELETE FROM messages WHERE thread_id IS NULL").rowcount == 0


def test_executemany_updates_and_deletes(connection: Connection) -> None:
    cursor = connection.cursor()
    update = "UPDATE messages SET metadata = ? WHERE thread_id = 'thread_a' AND id = ?"
    assert cursor.executemany(update, [({"n": "0"}, "msg_0"), ({"n": "1"}, "msg_1"), ({}, "msg_9")]).rowcount == 2
    rows = connection.execute("SELECT metadata FROM messages WHERE thread_id = 'thread_a'").fetchall()
    assert rows == [('{"n":"0"}',), ('{"n":"1"}',), ("{}",)]
    delete = "DELETE FROM messages WHERE thread_id = 'thread_a' AND id = :id"
    assert cursor.executemany(delete, [{"id": "msg_0"}, {"id": "msg_0"}, {"id": "msg_2"}]).rowcount == 2
    assert texts(connection) == ["message 1"]


def test_a_later_set_sees_what_an_earlier_one_wrote(connection: Connection) -> None:
    cursor = connection.cursor()
    doubled = (
        "INSERT INTO messages (thread_id, role, content) SELECT thread_id, role, ? FROM messages WHERE thread_id = ?"
    )
    assert cursor.executemany(doubled, [("one", THREAD), ("two", THREAD)]).rowcount == 3 + 6


def test_lastrowid_is_the_id_of_the_last_message(connection: Connection) -> None:
    cursor = connection.cursor()
    cursor.executemany(INSERT, [("thread_b", "user", "a"), ("thread_b", "user", "b")])
    rows = connection.execute("SELECT id FROM messages WHERE thread_id = 'thread_b'").fetchall()
    assert (cursor.lastrowid,) == rows[-1]
    cursor.execute("UPDATE messages SET metadata = '{}' WHERE thread_id = 'thread_b'")
    assert cursor.lastrowid is None


# RETURNING.


def test_insert_returning_gives_the_values_of_the_service(connection: Connection) -> None:
    cursor = connection.execute(f"{INSERT} RETURNING *", ("thread_b", "user", "a"))
    assert cursor.rowcount == 1
    assert [column[:2] for column in cursor.description or ()][:2] == [("id", "VARCHAR"), ("assistant_id", "VARCHAR")]
    (row,) = cursor.fetchall()
    assert connection.execute("SELECT * FROM messages WHERE thread_id = 'thread_b'").fetchall() == [row]
    assert row[0] == cursor.lastrowid


RETURNING = (
    ("id = message_id", 1),
    ("messages.content_text", "a"),
    ("openai.assistants.messages.content_text AS said", "a"),
    ('"openai.assistants".messages.role', "user"),
    ("upper(role) || '!'", "USER!"),
    ("length(content_text) + 1", 2),
    ("(SELECT count(*) FROM messages m WHERE m.thread_id = 'thread_a')", 3),
    ("(SELECT max(created_at) FROM openai.assistants.messages WHERE thread_id = 'thread_a')", 1_700_000_002),
    ("json_extract(content, '$[0].text.value')", "a"),
    ("metadata ->> '$.k'", "v"),
    ("CASE WHEN created_at > 0 THEN thread_id END", "thread_b"),
    ("'RETURNING id'", "RETURNING id"),
    ('"limit"', None),
    ('coalesce("order", after, before, "limit", 5)', 5),
)


@pytest.mark.parametrize(("columns", "value"), RETURNING)
def test_returning_takes_expressions(connection: Connection, columns: str, value: object) -> None:
    sql = "INSERT INTO openai.assistants.messages (thread_id, role, content, metadata) VALUES (?, ?, ?, ?) RETURNING "
    cursor = connection.execute(sql + columns, ("thread_b", "user", "a", {"k": "v"}))
    assert cursor.fetchall() == [(value,)]


def test_returning_takes_parameters_and_an_alias(connection: Connection) -> None:
    sql = (
        "INSERT INTO messages AS m (thread_id, role, content) VALUES (?, ?, ?) RETURNING ?, m.role, m.content_text AS x"
    )
    cursor = connection.execute(sql, ("thread_b", "user", "a", "mark"))
    assert cursor.fetchall() == [("mark", "user", "a")]
    assert [column[0] for column in cursor.description or ()][-1] == "x"
    named = "INSERT INTO messages (thread_id, role, content) VALUES (:t, 'user', :c) RETURNING :c || content_text, :t"
    assert connection.execute(named, {"t": "thread_b", "c": "b"}).fetchall() == [("bb", "thread_b")]


def test_returning_gives_the_rows_in_the_order_of_the_statement(connection: Connection) -> None:
    rows = [(f"thread_{'ab'[n % 2]}", "user", str(n)) for n in range(10)]
    values = ", ".join(["(?, ?, ?)"] * 10)
    sql = f"INSERT INTO messages (thread_id, role, content) VALUES {values} RETURNING content_text"
    returned = connection.execute(sql, [value for row in rows for value in row]).fetchall()
    assert returned == [(str(n),) for n in range(10)]


def test_update_returning(connection: Connection) -> None:
    sql = "UPDATE messages SET metadata = ? WHERE thread_id = 'thread_a' AND id > 'msg_0' RETURNING id, metadata, role"
    cursor = connection.execute(sql, ({"a": "b"},))
    assert cursor.fetchall() == [("msg_1", '{"a":"b"}', "user"), ("msg_2", '{"a":"b"}', "user")]
    assert cursor.rowcount == 2


def test_delete_returning(connection: Connection) -> None:
    sql = "DELETE FROM messages WHERE thread_id = 'thread_a' AND id <> 'msg_1' RETURNING id, content_text, metadata"
    cursor = connection.execute(sql)
    assert cursor.fetchall() == [("msg_0", "message 0", "{}"), ("msg_2", "message 2", "{}")]
    assert cursor.rowcount == 2
    cursor.execute("DELETE FROM messages WHERE thread_id = 'thread_a' AND id = 'msg_9' RETURNING *")
    assert (cursor.fetchall(), cursor.rowcount) == ([], 0)


@pytest.mark.parametrize("columns", ["nothing", "id, messages.nothing", "count(*) OVER (ORDER", "*, m.id"])
def test_a_wrong_returning_sends_nothing(service: Service, connection: Connection, columns: str) -> None:
    with service.counting() as seen:
        for sql in (
            "INSERT INTO messages (thread_id, role, content) VALUES ('thread_b', 'user', 'a')",
            "UPDATE messages SET metadata = '{}' WHERE thread_id = 'thread_a' AND id = 'msg_0'",
            "DELETE FROM messages WHERE thread_id = 'thread_a' AND id = 'msg_0'",
        ):
            with pytest.raises(ProgrammingError):
                connection.execute(f"{sql} RETURNING {columns}")
    assert not seen


def test_executemany_with_returning_keeps_all_rows(connection: Connection) -> None:
    cursor = connection.cursor()
    cursor.executemany(f"{INSERT} RETURNING content_text", [("thread_b", "user", "a"), ("thread_b", "user", "b")])
    assert cursor.fetchall() == [("a",), ("b",)]


# Failures on the way.


def test_what_was_applied_is_on_the_error(service: Service, connection: Connection) -> None:
    rows = [("thread_b", "user", "a"), ("thread_b", "user", "b"), ("thread_missing", "user", "c")]
    with pytest.raises(ProgrammingError, match="thread_missing") as caught:
        connection.execute(INSERT, rows[2])
    assert (caught.value.applied, caught.value.ids, caught.value.outcome) == (0, (), "failed")
    with service.connect(concurrency=1) as slow, pytest.raises(ProgrammingError, match="thread_missing") as caught:
        slow.cursor().executemany(INSERT, rows)
    assert (caught.value.applied, caught.value.outcome) == (2, "failed")
    found = connection.execute("SELECT id FROM messages WHERE thread_id = 'thread_b'").fetchall()
    assert [(name,) for name in caught.value.ids] == found


def test_nothing_is_sent_after_a_failure(service: Service, connection: Connection) -> None:
    rows = [("thread_missing", "user", str(n)) for n in range(20)]
    with service.counting() as seen, pytest.raises(ProgrammingError) as caught:
        connection.cursor().executemany(INSERT, rows)
    assert len([request for request in seen if request.method == "POST"]) == 1
    assert caught.value.applied == 0


def test_a_statement_that_needs_too_many_requests_says_what_it_did(service: Service) -> None:
    with (
        service.connect(max_requests=2) as connection,
        pytest.raises(OperationalError, match="max_requests=2") as caught,
    ):
        connection.cursor().executemany(INSERT, [("thread_b", "user", str(n)) for n in range(5)])
    assert (caught.value.applied, len(caught.value.ids), caught.value.outcome) == (2, 2, "failed")


# Transactions.


def test_a_write_stands_at_once_and_rollback_warns(service: Service, connection: Connection) -> None:
    connection.execute(INSERT, ("thread_b", "user", "a"))
    with service.connect() as other:
        assert texts(other, "thread_b") == ["a"]
    with pytest.warns(messages_dbapi.Warning, match="rollback cannot undo the 1 row"):
        connection.rollback()
    assert texts(connection, "thread_b") == ["a"]
    connection.rollback()


def test_a_commit_forgets_what_was_written(connection: Connection) -> None:
    connection.execute(INSERT, ("thread_b", "user", "a"))
    connection.commit()
    connection.rollback()


def test_a_rollback_in_sql_warns_too(connection: Connection) -> None:
    connection.execute("BEGIN")
    connection.execute(INSERT, ("thread_b", "user", "a"))
    with pytest.warns(messages_dbapi.Warning, match="rollback"):
        connection.execute("ROLLBACK")


def test_a_failed_write_counts_what_it_applied(service: Service) -> None:
    with service.connect(max_requests=1) as connection:
        with pytest.raises(OperationalError):
            connection.cursor().executemany(INSERT, [("thread_b", "user", str(n)) for n in range(5)])
        with pytest.warns(messages_dbapi.Warning, match="1 row"):
            connection.rollback()


# Threads.


def test_threads_are_made_changed_and_deleted(connection: Connection) -> None:
    cursor = connection.execute('INSERT INTO threads (metadata) VALUES (\'{"a": "b"}\') RETURNING id, metadata')
    ((thread, metadata),) = cursor.fetchall()
    assert (metadata, cursor.lastrowid) == ('{"a":"b"}', thread)
    connection.execute(INSERT, (thread, "user", "hello"))
    assert texts(connection, thread) == ["hello"]
    update = "UPDATE threads SET metadata = NULL WHERE id = ? RETURNING metadata"
    assert connection.execute(update, (thread,)).fetchall() == [("{}",)]
    assert connection.execute("DELETE FROM threads WHERE id = ?", (thread,)).rowcount == 1
    assert connection.execute("DELETE FROM threads WHERE id = ?", (thread,)).rowcount == 0
    with pytest.raises(ProgrammingError, match=thread):
        connection.execute(INSERT, (thread, "user", "hello"))


def test_a_thread_needs_no_column(connection: Connection) -> None:
    assert connection.execute("INSERT INTO threads DEFAULT VALUES").rowcount == 1


def test_a_thread_takes_no_other_column(service: Service, connection: Connection) -> None:
    with service.counting() as seen:
        with pytest.raises(NotSupportedError, match="id"):
            connection.execute("INSERT INTO threads (id) VALUES ('thread_mine')")
        with pytest.raises(DataError, match="tool_resources"):
            connection.execute("INSERT INTO threads (tool_resources) VALUES ('[]')")
    assert not seen


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("INSERT INTO messages (thread_id, role, content, attachments) VALUES (?, 'user', ?, ?)", ("[]", [])),
        ("INSERT INTO messages (thread_id, role, content, attachments) VALUES (?, 'user', '[]', ?)", ([],)),
    ],
)
def test_a_text_stays_text_beside_a_list_that_looks_like_it(
    connection: Connection, operation: str, parameters: tuple[object, ...]
) -> None:
    """A message that says [] may have no attachments; earlier rows do not matter either."""
    thread = connection.execute("INSERT INTO threads DEFAULT VALUES").lastrowid
    cursor = connection.cursor()
    cursor.executemany(operation, [(thread, *parameters), (thread, *parameters)])
    cursor.execute("SELECT content_text, attachments FROM messages WHERE thread_id = ?", (thread,))
    assert cursor.fetchall() == [("[]", "[]")] * 2
