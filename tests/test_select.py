"""SELECT: names, columns, values, the parameters of the listing, functions, description and parameters."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from messages_dbapi import NUMBER, STRING, DataError, NotSupportedError, ProgrammingError
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.documents import JSON, Draft
from messages_dbapi.resources import MESSAGES, THREADS

from .service import Service

THREAD = "thread_a"


@pytest.fixture
def service(service: Service) -> Service:
    """Give a service with two threads, of five messages and of none."""
    service.thread(5, thread_id=THREAD, metadata={"kind": "test"})
    service.thread(thread_id="thread_empty")
    return service


def ids(connection: Connection, sql: str, *parameters: object) -> list[str]:
    """Give the last column of the rows of a statement, which is a number in the content."""
    return [row[-1].rpartition(" ")[2] for row in connection.execute(sql, parameters).fetchall()]


# The statement of the resource.

DOCUMENTED = """
SELECT id, assistant_id, attachments, completed_at, content, created_at, incomplete_at, incomplete_details,
       metadata, object, role, run_id, status, thread_id
FROM openai.assistants.messages WHERE thread_id = 'thread_a';"""


def test_the_documented_select(connection: Connection) -> None:
    cursor = connection.execute(DOCUMENTED)
    rows = cursor.fetchall()
    assert len(rows) == 5
    first = dict(zip([column[0] for column in cursor.description or ()], rows[0], strict=True))
    assert first.pop("id").startswith("msg_")
    assert first == {
        "assistant_id": None,
        "attachments": "[]",
        "completed_at": None,
        "content": '[{"type":"text","text":{"value":"message 0","annotations":[]}}]',
        "created_at": 1_700_000_000,
        "incomplete_at": None,
        "incomplete_details": None,
        "metadata": '{"kind":"test"}',
        "object": "thread.message",
        "role": "user",
        "run_id": None,
        "status": "completed",
        "thread_id": THREAD,
    }


def test_star_is_the_fourteen_fields_in_order(connection: Connection) -> None:
    cursor = connection.execute("SELECT * FROM messages WHERE thread_id = ?", (THREAD,))
    assert [column[0] for column in cursor.description or ()] == [field.name for field in MESSAGES.fields]
    assert len(MESSAGES.fields) == 14
    documented = connection.execute(DOCUMENTED)
    assert cursor.fetchall() == documented.fetchall()


# Names.

TABLES = (
    "openai.assistants.messages",
    '"openai.assistants".messages',
    '"openai.assistants"."messages"',
    '"openai"."assistants"."messages"',
    "[openai].[assistants].[messages]",
    "`openai`.`assistants`.`messages`",
    "[openai.assistants].messages",
    "`openai.assistants`.messages",
    '"openai.assistants.messages"',
    "assistants.messages",
    "messages",
    '"messages"',
    "OpenAI.Assistants.Messages",
    '"OPENAI.ASSISTANTS".MESSAGES',
    "openai . assistants . messages",
    "openai/* a */./* b */assistants -- c\n.messages",
    "openai\n.assistants\n.messages AS m",
)


@pytest.mark.parametrize("table", TABLES)
def test_the_table_goes_by_many_names(connection: Connection, table: str) -> None:
    assert connection.execute(f"SELECT count(*) FROM {table} WHERE thread_id = 'thread_a'").fetchone() == (5,)


COLUMNS = (
    ("openai.assistants.messages", "openai.assistants.messages.content"),
    ("openai.assistants.messages", '"openai.assistants".messages.content'),
    ("openai.assistants.messages", "messages.content"),
    ("openai.assistants.messages", "OPENAI.ASSISTANTS.MESSAGES.CONTENT"),
    ("openai.assistants.messages", '"openai"."assistants"."messages"."content"'),
    ("assistants.messages", "assistants.messages.content"),
    ("messages", "messages.content"),
    ("messages m", "m.content"),
    ("openai.assistants.messages m", "m.[content]"),
)


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_column_may_be_qualified(connection: Connection, table: str, column: str) -> None:
    qualifier = column.rpartition(".")[0]
    rows = connection.execute(f"SELECT {column} FROM {table} WHERE {qualifier}.thread_id = 'thread_a'").fetchall()
    assert len(rows) == 5


@pytest.mark.parametrize(
    ("table", "star"),
    [
        ("openai.assistants.messages", "openai.assistants.messages.*"),
        ("openai.assistants.messages", "messages.*"),
        ('"openai.assistants".messages', '"openai.assistants".messages.*'),
        ("messages", "messages.*"),
        ("messages AS m", "m.*"),
    ],
)
def test_all_columns_of_a_table(connection: Connection, table: str, star: str) -> None:
    cursor = connection.execute(f"SELECT {star} FROM {table} WHERE thread_id = 'thread_a'")
    assert len(cursor.description or ()) == 14


@pytest.mark.parametrize("sql", ["SELECT * FROM openai.assistants.mesages", "SELECT nothing FROM messages"])
def test_an_unknown_name_is_named(connection: Connection, sql: str) -> None:
    with pytest.raises(ProgrammingError, match=r"mesages|nothing"):
        connection.execute(sql)


def test_a_mistyped_column_is_suggested(connection: Connection) -> None:
    with pytest.raises(ProgrammingError, match=r"no such column: contnt.*content"):
        connection.execute("SELECT contnt FROM messages WHERE thread_id = 'thread_a'")


def test_a_mistyped_column_in_double_quotes_is_no_text(connection: Connection) -> None:
    with pytest.raises(ProgrammingError, match="no such column"):
        connection.execute('SELECT "contnt" FROM messages')


# Hidden columns.


def test_hidden_columns_stand_for_fields(connection: Connection) -> None:
    sql = (
        "SELECT message_id = id, data__role = role, data__content = content, data__attachments = attachments, "
        "data__metadata = metadata FROM messages WHERE thread_id = 'thread_a'"
    )
    assert set(connection.execute(sql).fetchall()) == {(1, 1, 1, 1, 1)}


def test_content_text_joins_the_text_parts(service: Service, connection: Connection) -> None:
    image: JSON = {"type": "image_file", "image_file": {"file_id": "file_1", "detail": "auto"}}
    one, two = ({"type": "text", "text": text} for text in "ab")
    service.thread_of(
        [
            Draft(content="one\ntwo"),
            Draft(content=[one, image, two]),
            Draft(content=[image]),
        ],
        thread_id="thread_parts",
    )
    rows = connection.execute("SELECT content_text FROM messages WHERE thread_id = 'thread_parts'").fetchall()
    assert rows == [("one\ntwo",), ("a\nb",), ("",)]


def test_message_id_narrows_as_id_does(connection: Connection) -> None:
    (message,) = connection.execute("SELECT id FROM messages WHERE thread_id = 'thread_a' LIMIT 1").fetchall()
    for name in ("id", "message_id"):
        sql = f"SELECT {name} FROM messages WHERE thread_id = 'thread_a' AND {name} = ?"
        assert connection.execute(sql, message).fetchall() == [message]


# Parameters of the listing.

SCOPED = "FROM messages WHERE thread_id = 'thread_a'"


def test_order_is_the_order_of_delivery(connection: Connection) -> None:
    assert ids(connection, f"SELECT content_text {SCOPED} AND \"order\" = 'asc'") == list("01234")
    assert ids(connection, f"SELECT content_text {SCOPED} AND \"order\" = 'desc'") == list("43210")
    assert ids(connection, f"SELECT content_text {SCOPED} AND \"order\" = 'desc' ORDER BY created_at") == list("01234")
    assert ids(connection, f"SELECT content_text {SCOPED} AND \"order\" = 'desc' LIMIT 2") == list("43")


@pytest.mark.parametrize("size", [1, 2, 5, 100, "3", 2.0])
def test_limit_is_the_size_of_a_page_only(connection: Connection, size: object) -> None:
    cursor = connection.execute(f'SELECT content_text {SCOPED} AND "limit" = ?', (size,))
    assert len(cursor.fetchall()) == 5
    pages = -(-5 // int(float(str(size))))
    # From both ends, over a socket, it may be two more.
    assert pages <= cursor.stats.pages <= pages + 2 * (not connection.options.embedded)


def test_after_and_before_lie_in_the_order(connection: Connection) -> None:
    rows = connection.execute(f"SELECT id {SCOPED}").fetchall()
    (second,), (fourth,) = rows[1], rows[3]
    text = f"SELECT content_text {SCOPED}"
    assert ids(connection, f"{text} AND after = ?", second) == list("234")
    assert ids(connection, f"{text} AND before = ?", fourth) == list("012")
    assert ids(connection, f"{text} AND after = ? AND before = ?", second, fourth) == list("2")
    assert ids(connection, f"{text} AND after = ? AND before = ?", fourth, second) == []
    assert ids(connection, f"{text} AND after = ? AND \"order\" = 'desc'", fourth) == list("210")
    assert ids(connection, f"{text} AND before = ? AND \"order\" = 'desc'", second) == list("432")
    assert ids(connection, f"{text} AND after = ? ORDER BY created_at DESC", second) == list("432")
    assert ids(connection, f"{text} AND after = ? LIMIT 1 OFFSET 1", second) == list("3")
    assert ids(connection, f"{text} AND before = ? LIMIT 2", fourth) == list("01")
    assert ids(connection, f"{text} AND before = ? ORDER BY created_at DESC LIMIT 2", fourth) == list("21")


def test_parameters_of_the_listing_read_back_or_null(connection: Connection) -> None:
    (first,) = connection.execute(f"SELECT id {SCOPED} LIMIT 1").fetchall()
    sql = f'SELECT "limit", "order", after, before {SCOPED}'
    assert set(connection.execute(sql).fetchall()) == {(None, None, None, None)}
    sql += ' AND "limit" = 2 AND "order" = \'asc\' AND after = ?'
    assert set(connection.execute(sql, first).fetchall()) == {(2, "asc", first[0], None)}


@pytest.mark.parametrize(
    "use",
    [
        '"limit" > 5',
        '"limit" IN (1, 2)',
        '"limit" IN (SELECT 5)',
        "\"limit\" = 1 OR role = 'user'",
        '"limit" = created_at',
        '"limit" IS NOT NULL',
        '"limit" BETWEEN 1 AND 5',
        "\"order\" LIKE 'asc'",
        "\"order\" <> 'asc'",
        "upper(\"order\") = 'ASC'",
        "after > 'msg_1'",
        "after = id",
        "NOT after = 'msg_1'",
        "length(before) = 3",
        "before IN ('a', 'b')",
    ],
)
def test_another_use_of_a_parameter_is_refused(service: Service, connection: Connection, use: str) -> None:
    with pytest.raises(NotSupportedError, match="parameter of the listing"):
        connection.execute(f"SELECT id {SCOPED} AND ({use})").fetchall()


@pytest.mark.parametrize("use", ['"limit" > 5', "after > 'msg_1'", "\"order\" IN ('asc', 'desc')"])
def test_another_use_is_refused_without_rows_too(connection: Connection, use: str) -> None:
    with pytest.raises(NotSupportedError, match="parameter of the listing"):
        connection.execute(f"SELECT id FROM messages WHERE thread_id = 'thread_empty' AND {use}").fetchall()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", 0),
        ("limit", 101),
        ("limit", -1),
        ("limit", 1.5),
        ("limit", "many"),
        ("order", "ASC"),
        ("order", "up"),
        ("order", 1),
        ("after", ""),
        ("after", 5),
        ("before", ""),
    ],
)
def test_a_bad_value_of_a_parameter_is_refused(
    service: Service, connection: Connection, name: str, value: object
) -> None:
    with service.counting() as seen, pytest.raises(DataError, match=f'"{name}" = '):
        connection.execute(f'SELECT id {SCOPED} AND "{name}" = ?', (value,))
    assert not seen


def test_a_parameter_that_is_null_has_no_rows(connection: Connection) -> None:
    for name in ("limit", "order", "after", "before"):
        assert connection.execute(f'SELECT id {SCOPED} AND "{name}" = NULL').fetchall() == []


# Threads.


def test_the_threads(service: Service, connection: Connection) -> None:
    cursor = connection.execute("SELECT * FROM openai.assistants.threads")
    assert [column[0] for column in cursor.description or ()] == [field.name for field in THREADS.fields]
    rows = {row[0]: row[2:] for row in cursor.fetchall()}
    assert rows == {THREAD: ("{}", "thread", "{}"), "thread_empty": ("{}", "thread", "{}")}
    assert connection.execute("SELECT thread_id FROM threads WHERE id = 'thread_a'").fetchall() == [(THREAD,)]


def test_messages_of_all_threads(connection: Connection) -> None:
    sql = "SELECT count(*) FROM messages WHERE thread_id IN (SELECT id FROM threads)"
    assert connection.execute(sql).fetchone() == (5,)


# Order.


def test_without_an_order_the_oldest_come_first(connection: Connection) -> None:
    assert ids(connection, f"SELECT content_text {SCOPED}") == list("01234")


def test_ties_keep_the_order_of_the_service(service: Service, connection: Connection) -> None:
    service.thread(5, thread_id="thread_ties", step=0)
    scoped = "SELECT content_text FROM messages WHERE thread_id = 'thread_ties'"
    assert ids(connection, scoped) == list("01234")
    assert ids(connection, f"{scoped} ORDER BY created_at") == list("01234")
    assert ids(connection, f"{scoped} ORDER BY created_at DESC") == list("43210")
    assert ids(connection, f"{scoped} ORDER BY created_at DESC LIMIT 1") == ["4"]
    assert ids(connection, f"{scoped} AND created_at >= 5 ORDER BY created_at DESC LIMIT 2 OFFSET 1") == list("32")


# An IN that lists nothing: APSW 3.54 fails to hand that over.

EMPTY = "(SELECT value FROM json_each('[]'))"


def test_an_empty_in_has_no_rows(connection: Connection) -> None:
    for column in ("thread_id", "id", "created_at", "run_id", "role"):
        sql = f"SELECT id {SCOPED} AND {column} IN {EMPTY}"
        assert connection.execute(sql).fetchall() == []
    assert connection.execute(f"SELECT count(*) FROM messages WHERE thread_id IN {EMPTY}").fetchone() == (0,)


def test_an_empty_in_leaves_the_other_rows(connection: Connection) -> None:
    some = "(SELECT value FROM json_each('[\"thread_a\"]'))"
    arms = [f"SELECT content_text FROM messages WHERE thread_id IN {values}" for values in (some, EMPTY, some)]
    cursor = connection.execute(" UNION ALL ".join(arms))
    assert [row[0][-1] for row in cursor.fetchmany(2) + cursor.fetchmany(5) + cursor.fetchall()] == list("0123401234")
    cursor.execute(f"{arms[0]} UNION ALL {arms[1]} ORDER BY 1 DESC LIMIT 2")
    assert cursor.fetchall() == [("message 4",), ("message 3",)]


def test_an_empty_in_beside_a_full_one_keeps_order_and_limit(service: Service, connection: Connection) -> None:
    service.thread(5, thread_id="thread_b", created_at=1_700_000_010)
    some = '(SELECT value FROM json_each(\'["thread_a", "thread_b"]\'))'
    newest = f"SELECT created_at FROM messages WHERE thread_id IN {some} ORDER BY created_at DESC LIMIT 6"
    plain = connection.execute(newest).fetchall()
    again = connection.execute(
        f"SELECT * FROM ({newest}) WHERE (SELECT count(*) FROM messages WHERE thread_id IN {EMPTY}) = 0"
    ).fetchall()
    assert again == plain
    assert [at - 1_700_000_000 for (at,) in plain] == [14, 13, 12, 11, 10, 4]


def test_writes_with_an_empty_in_write_what_they_must(service: Service, connection: Connection) -> None:
    cursor = connection.execute(f"DELETE FROM messages WHERE thread_id IN {EMPTY}")
    assert cursor.rowcount == 0
    copied = (
        "INSERT INTO messages (thread_id, role, content) SELECT 'thread_empty', role, content_text FROM messages "
        f"WHERE thread_id = 'thread_a' AND role NOT IN (SELECT role FROM messages WHERE thread_id IN {EMPTY})"
    )
    assert connection.execute(copied).rowcount == 5
    assert ids(connection, "SELECT content_text FROM messages WHERE thread_id = 'thread_empty'") == list("01234")


def test_a_missing_thread_under_an_empty_in_is_still_an_error(connection: Connection) -> None:
    with pytest.raises(ProgrammingError, match="thread_missing"):
        connection.execute(
            f"SELECT id FROM messages WHERE thread_id IN {EMPTY} UNION ALL "
            "SELECT id FROM messages WHERE thread_id = 'thread_missing'"
        )


# Ids that are no ids.


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_message_of_such_an_id_is_not_there(service: Service, connection: Connection, value: str) -> None:
    with service.counting() as seen:
        assert connection.execute(f"SELECT id {SCOPED} AND id = ?", (value,)).fetchall() == []
    assert not seen


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_thread_of_such_an_id_is_refused(service: Service, connection: Connection, value: str) -> None:
    with service.counting() as seen, pytest.raises(DataError, match="thread_id"):
        connection.execute("SELECT id FROM messages WHERE thread_id = ?", (value,))
    assert not seen


@pytest.mark.parametrize("value", ["a/b", "a?b", "a#b", "a%2fb", "../x", "a b", "ä", "a\\b", "a&b=c", "a;b", "%", "\t"])
def test_an_id_is_encoded_in_the_path(service: Service, connection: Connection, value: str) -> None:
    service.thread_of([Draft(content="here", id=f"msg_{value}")], thread_id=value)
    scoped = "SELECT content_text FROM messages WHERE thread_id = ?"
    assert connection.execute(scoped, (value,)).fetchall() == [("here",)]
    assert connection.execute(f"{scoped} AND id = ?", (value, f"msg_{value}")).fetchall() == [("here",)]
    changed = connection.execute(
        "UPDATE messages SET metadata = '{}' WHERE thread_id = ? AND id = ?", (value, f"msg_{value}")
    )
    assert changed.rowcount == 1


# Values.


def test_json_is_compact_and_shows_its_characters(service: Service, connection: Connection) -> None:
    service.thread_of([Draft(content='Grüße 👋 " \\ / \x01 \u2028', metadata={"ä": "日本"})], thread_id="thread_u")
    cursor = connection.execute("SELECT content, metadata, content_text FROM messages WHERE thread_id = 'thread_u'")
    content, metadata, text = cursor.fetchone() or ()
    assert content == ('[{"type":"text","text":{"value":"Grüße 👋 \\" \\\\ / \\u0001 \u2028","annotations":[]}}]')
    assert metadata == '{"ä":"日本"}'
    assert text == json.loads(content)[0]["text"]["value"]


def test_values_have_their_types(connection: Connection) -> None:
    row = connection.execute(f"SELECT id, created_at, content, metadata, run_id {SCOPED}").fetchone() or ()
    assert [type(value) for value in row] == [str, int, str, str, type(None)]
    assert type(row) is tuple


# Functions.


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("regexp('b+', 'abbc')", 1),
        ("'abbc' REGEXP '^b'", 0),
        ("'abbc' NOT REGEXP '^b'", 1),
        ("regexp_like('abbc', 'B')", 0),
        ("regexp_like('abbc', '(?i)B')", 1),
        ("regexp(NULL, 'a')", None),
        ("regexp_like(NULL, 'a')", None),
        ("regexp_substr('order 66 and 77', '[0-9]+')", "66"),
        ("regexp_substr('none', '[0-9]+')", None),
        ("regexp_replace('a1b22', '[0-9]+', '#')", "a#b#"),
        ("regexp_replace('John Smith', '(\\w+) (\\w+)', '$2 $1')", "Smith John"),
        ("regexp_replace('ab', 'a', NULL)", None),
        ("split_part('a,b,c', ',', 1)", "a"),
        ("split_part('a,b,c', ',', 3)", "c"),
        ("split_part('a,b,c', ',', -1)", "c"),
        ("split_part('a,b,c', ',', -3)", "a"),
        ("split_part('a,b,c', ',', 4)", ""),
        ("split_part('a,b,c', ',', -4)", ""),
        ("split_part(NULL, ',', 1)", None),
        ('json_equal(\'{"a": 1, "b": [true]}\', \'{"b":[true],"a":1}\')', 1),
        ("json_equal('{\"a\": 1}', '{\"a\": true}')", 0),
        ("json_equal('[1, 2]', '[2, 1]')", 0),
        ("json_equal(NULL, '1')", None),
        ('json_extract_scalar(\'{"a": {"b": "text"}}\', \'$.a.b\')', "text"),
        ("json_extract_scalar('{\"a\": 5}', '$.a')", 5),
        ("json_extract_scalar('{\"a\": 5}', '$.b')", None),
    ],
)
def test_functions(alone: Connection, expression: str, value: object) -> None:
    assert alone.execute(f"SELECT {expression}").fetchone() == (value,)


@pytest.mark.parametrize(
    "expression",
    ["regexp('(', 'a')", "regexp_replace('a', 'a', '$1')", "split_part('a', ',', 0)", "json_equal('{', '{}')"],
)
def test_functions_refuse_what_has_no_meaning(alone: Connection, expression: str) -> None:
    with pytest.raises(DataError):
        alone.execute(f"SELECT {expression}")


@pytest.mark.parametrize(
    "expression", ["json_extract('{', '$.a')", "json_extract_scalar('{', '$.a')", "abs()", "nope(1)"]
)
def test_functions_of_sqlite_report_their_own(alone: Connection, expression: str) -> None:
    with pytest.raises(ProgrammingError):
        alone.execute(f"SELECT {expression}")


# Description.


def described(connection: Connection, sql: str) -> list[tuple[str, Any]]:
    """Give name and type code of the columns of a statement."""
    return [(column[0], column[1]) for column in connection.execute(sql).description or ()]


def test_description_has_seven_items(connection: Connection) -> None:
    cursor = connection.execute("SELECT id, created_at, content, run_id FROM messages WHERE thread_id = 'thread_a'")
    assert cursor.description == (
        ("id", "VARCHAR", None, None, None, None, False),
        ("created_at", "BIGINT", None, None, None, None, False),
        ("content", "JSON", None, None, None, None, False),
        ("run_id", "VARCHAR", None, None, None, None, True),
    )
    assert [column[1] == STRING for column in cursor.description] == [True, False, True, True]
    assert cursor.description[1][1] == NUMBER
    assert all(isinstance(column[1], str) for column in cursor.description)


@pytest.mark.parametrize(
    "source",
    [
        "messages WHERE 1=0",
        "messages LIMIT 0",
        "messages WHERE thread_id = 'thread_empty'",
        "(SELECT * FROM messages WHERE thread_id = 'thread_a') AS virtual_table",
        "(SELECT * FROM messages WHERE thread_id = 'thread_a' UNION ALL SELECT * FROM messages WHERE 1=0)",
        "talk",
        "temporary_talk",
    ],
)
def test_description_shows_types_through_everything(connection: Connection, source: str) -> None:
    connection.execute("CREATE VIEW talk AS SELECT * FROM messages WHERE thread_id = 'thread_a'")
    connection.execute("CREATE TEMP VIEW temporary_talk AS SELECT * FROM messages WHERE thread_id = 'thread_a'")
    assert described(connection, f"SELECT * FROM {source}") == [
        (field.name, field.type_code) for field in MESSAGES.fields
    ]


def test_description_of_what_is_computed(connection: Connection) -> None:
    sql = "SELECT count(*) AS n, upper(role), created_at + 1, CAST(id AS TEXT), NULL, 'x' y FROM messages LIMIT 0"
    assert [code for _, code in described(connection, sql)] == [None] * 6
    assert [name for name, _ in described(connection, sql)][::5] == ["n", "y"]


def test_description_of_local_columns(alone: Connection) -> None:
    alone.execute("CREATE TABLE t (a INTEGER, b VARCHAR(20), c, d TIMESTAMP)")
    assert described(alone, "SELECT * FROM t") == [
        ("a", "INTEGER"),
        ("b", "VARCHAR(20)"),
        ("c", None),
        ("d", "TIMESTAMP"),
    ]


def test_description_is_never_stale(alone: Connection) -> None:
    for columns in ("a INTEGER", "b TEXT, c REAL"):
        alone.execute(f"CREATE TABLE t ({columns})")
        expected = [tuple(column.split()) for column in columns.split(", ")]
        assert described(alone, "SELECT * FROM t") == expected
        alone.execute("DROP TABLE t")


def test_description_makes_no_request_before_the_rows(service: Service, connection: Connection) -> None:
    with service.counting() as seen:
        assert len(connection.execute("SELECT * FROM messages WHERE 1=0").description or ()) == 14
    assert not seen


def test_description_of_a_write_is_none(connection: Connection) -> None:
    cursor = connection.execute("UPDATE messages SET metadata = '{}' WHERE thread_id = 'thread_a' AND id = 'msg_x'")
    assert cursor.description is None


# Texts and parameters.


@pytest.mark.parametrize("text", ["", "  \n", ";", "-- nothing", "/* nothing */ ;", "/*+ hint */ -- and\n;;"])
def test_a_text_of_comments_has_no_result(alone: Connection, text: str) -> None:
    cursor = alone.execute(text)
    assert cursor.description is None
    assert cursor.rowcount == -1


@pytest.mark.parametrize(
    "text", ["SELECT 1;", "SELECT 1 ;;", "/*+ hint */ SELECT 1", "SELECT 1 -- ;", "-- a\nSELECT 1 /* ; */;"]
)
def test_comments_and_a_semicolon_change_nothing(alone: Connection, text: str) -> None:
    assert alone.execute(text).fetchall() == [(1,)]


@pytest.mark.parametrize(
    "text", ["SELECT 1; SELECT 2", "SELECT 1; DELETE FROM messages", "CREATE TABLE t (a); SELECT 1"]
)
def test_two_statements_are_refused(alone: Connection, text: str) -> None:
    with pytest.raises(ProgrammingError, match="one statement"):
        alone.execute(text)


@pytest.mark.parametrize("text", ["SELEC 1", "SELECT FROM", "SELECT 'open", "SELECT \x00", "SELECT '\ud800'"])
def test_wrong_sql_is_a_programming_error(alone: Connection, text: str) -> None:
    with pytest.raises(ProgrammingError):
        alone.execute(text)


@pytest.mark.parametrize("text", [None, 5, b"SELECT 1"])
def test_a_statement_is_a_str(alone: Connection, text: Any) -> None:
    with pytest.raises(ProgrammingError, match="must be a str"):
        alone.execute(text)


@pytest.mark.parametrize(
    ("sql", "parameters", "row"),
    [
        ("SELECT ?, ?", (1, "a"), (1, "a")),
        ("SELECT ?2, ?1", [1, 2], (2, 1)),
        ("SELECT :a, :b, :a", {"a": 1, "b": 2, "more": 3}, (1, 2, 1)),
        ("SELECT @a, $b", {"a": 1, "b": 2}, (1, 2)),
        ("SELECT :a, :b", (1, 2), (1, 2)),
        ("SELECT ?", (None,), (None,)),
        ("SELECT ?", (True,), (1,)),
        ("SELECT ?", (1.5,), (1.5,)),
        ("SELECT ?", (b"\x00\xff",), (b"\x00\xff",)),
        ("SELECT ?", (bytearray(b"a"),), (b"a",)),
        ("SELECT ?", (memoryview(b"a"),), (b"a",)),
        ("SELECT ?", (["a", 1, None, "ä"],), ('["a",1,null,"ä"]',)),
        ("SELECT ?", ({"a": [1.5, True]},), ('{"a":[1.5,true]}',)),
        ("SELECT ?", (2**63 - 1,), (2**63 - 1,)),
        ('SELECT \'?\', "a?" FROM (SELECT 1 AS "a?") WHERE 1 = ? -- ?', (1,), ("?", 1)),
        ("SELECT 1", None, (1,)),
        ("SELECT 1", {}, (1,)),
    ],
)
def test_parameters(alone: Connection, sql: str, parameters: Any, row: tuple[object, ...]) -> None:
    assert alone.execute(sql, parameters).fetchone() == row


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT ?", ()),
        ("SELECT ?", (1, 2)),
        ("SELECT ?", None),
        ("SELECT 1", (1,)),
        ("SELECT :a", {"b": 1}),
        ("SELECT ?", {"a": 1}),
        ("SELECT ?", "a"),
        ("SELECT ?", b"a"),
        ("SELECT ?", {1}),
        ("SELECT ?", 5),
        ("SELECT ?", (object(),)),
        ("SELECT ?", ([object()],)),
        ("SELECT ?", ({1, 2},)),
        ("SELECT ?", ([float("nan")],)),
    ],
)
def test_wrong_parameters_are_a_programming_error(alone: Connection, sql: str, parameters: Any) -> None:
    with pytest.raises(ProgrammingError):
        alone.execute(sql, parameters)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "\ud800", ["\ud800"]])
def test_values_that_sqlite_cannot_hold_are_a_data_error(alone: Connection, value: object) -> None:
    with pytest.raises(DataError):
        alone.execute("SELECT ?", (value,))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02 03:04:05"),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, 600), "2026-01-02 03:04:05.000600"),
        (datetime.datetime(1, 1, 1), "0001-01-01 00:00:00"),
        (
            datetime.datetime(2026, 1, 1, 0, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
            "2025-12-31 23:30:00",
        ),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.time(1, 2, 3), "01:02:03"),
        (datetime.time(1, 2, 3, 4), "01:02:03.000004"),
    ],
)
def test_moments_are_bound_as_text(alone: Connection, value: object, text: str) -> None:
    assert alone.execute("SELECT ?, typeof(?)", (value, value)).fetchone() == (text, "text")


def test_a_moment_that_has_no_time_in_utc_is_a_data_error(alone: Connection) -> None:
    early = datetime.datetime(1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    with pytest.raises(DataError, match="0001-01-01 00:00:00"):
        alone.execute("SELECT ?", (early,))


def test_what_cannot_be_bound_is_told_what_can_be(alone: Connection) -> None:
    with pytest.raises(ProgrammingError, match=r"timedelta cannot be bound: .* a date, datetime or time"):
        alone.execute("SELECT ?", (datetime.timedelta(1),))


def test_any_number_of_ids_can_be_bound(service: Service, connection: Connection) -> None:
    wanted = [f"thread_n{number}" for number in range(50)]
    for thread in wanted:
        service.thread(1, thread_id=thread)
    sql = "SELECT count(*) FROM messages WHERE thread_id IN (SELECT value FROM json_each(?))"
    assert connection.execute(sql, (wanted,)).fetchone() == (50,)


# Views.


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "local.db"


def test_a_view_in_a_file_works_when_it_is_opened_again(service: Service, file: Path) -> None:
    with service.connect(local=file) as connection:
        connection.execute("CREATE VIEW talk AS SELECT content_text, thread_id FROM openai.assistants.messages")
        connection.execute(
            "CREATE VIEW named AS SELECT messages.id FROM messages WHERE messages.thread_id = 'thread_a'"
        )
    with service.connect(local=file) as connection:
        assert ids(connection, "SELECT content_text FROM talk WHERE thread_id = 'thread_a'") == list("01234")
        assert len(connection.execute("SELECT * FROM named").fetchall()) == 5
        assert described(connection, "SELECT id FROM named") == [("id", "VARCHAR")]
