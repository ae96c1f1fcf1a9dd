"""Any text at all, through the whole driver: what comes out is rows or our errors, and nothing is done unasked."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

import pytest

import messages_dbapi
from messages_dbapi.connection import Connection
from messages_dbapi.lexer import meaningful, tokenize

from .service import Service

THREAD = "thread_a"
INSERT = f"INSERT INTO messages (thread_id, role, content) VALUES ('{THREAD}', 'user', 'x')"

# What an error must not show: names of the driver's own, and of Python.
INTERNALS = re.compile(r"_returned_|\b_key\b|Traceback|object at 0x|NoneType|messages_dbapi|apsw|please report")

VALID = (
    f"SELECT id, role, content_text FROM messages WHERE thread_id = '{THREAD}' ORDER BY created_at DESC LIMIT 2",
    f"SELECT m.*, t.a FROM openai.assistants.messages m LEFT JOIN t ON t.a = m.role WHERE m.thread_id IN ('{THREAD}')",
    "WITH x(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM x WHERE a < 5) SELECT sum(a) FROM x",
    f"SELECT role, count(*) OVER (PARTITION BY role) FROM messages WHERE thread_id = '{THREAD}' AND id > 'a'",
    f"SELECT (SELECT max(id) FROM messages WHERE thread_id = t.id) FROM threads t WHERE id = '{THREAD}'",
    f"SELECT * FROM messages WHERE thread_id = '{THREAD}' OR (role, id) IN ((1, 2)) COLLATE nocase",
    f"{INSERT} RETURNING id, content_text AS c",
    f"INSERT INTO messages (thread_id, role, content) SELECT '{THREAD}', 'assistant', a FROM t",
    f"UPDATE messages SET metadata = '{{\"a\": \"b\"}}' WHERE thread_id = '{THREAD}' AND role = 'user' RETURNING *",
    f"DELETE FROM messages AS m WHERE m.thread_id = '{THREAD}' AND m.id = 'msg_x' RETURNING m.id",
    "INSERT INTO threads (metadata) VALUES ('{}') RETURNING threads.id",
    "INSERT INTO t VALUES (1), ('x') ON CONFLICT DO NOTHING RETURNING a",
    "UPDATE t SET a = a || 'y' FROM (SELECT 1 AS b) WHERE b = 1",
    "CREATE TABLE u AS SELECT * FROM t",
    f"CREATE VIEW v AS SELECT content_text FROM openai.assistants.messages WHERE thread_id = '{THREAD}'",
    "CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM messages WHERE thread_id = 'thread_a'; END",
    "DROP TABLE IF EXISTS u",
    "ALTER TABLE t ADD COLUMN b DEFAULT (random())",
    "PRAGMA table_info(messages)",
    "EXPLAIN QUERY PLAN DELETE FROM messages WHERE thread_id = 'thread_a'",
    "SELECT regexp_replace('abc', '(b)', '<$1>'), split_part('a,b', ',', 2), json_equal('[1]', '[ 1]')",
    "SELECT * FROM json_each('[1,2]') JOIN pragma_table_info('t')",
    "SAVEPOINT a",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "ANALYZE t",
    "REINDEX",
    'SELECT "limit", "order", after, before FROM messages WHERE thread_id = \'thread_a\' AND "limit" = 2',
    "SELECT transcript.created FROM transcript WHERE thread_id = 'thread_a' AND created > '2020-01-01'",
)
SOUP = (
    *("SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "REGEXP", "BETWEEN", "CASE", "WHEN"),
    *("THEN", "ELSE", "END", "AS", "JOIN", "LEFT", "FULL", "ON", "USING", "GROUP BY", "ORDER BY", "LIMIT", "UNION"),
    *("INSERT INTO", "VALUES", "UPDATE", "SET", "DELETE FROM", "RETURNING", "CREATE", "VIEW", "TABLE", "TRIGGER"),
    *("BEGIN", "DROP", "ALTER TABLE", "PRAGMA", "EXPLAIN", "WITH", "RECURSIVE", "ATTACH", "VACUUM", "DEFAULT"),
    *("messages", "threads", "transcript", "openai.assistants.messages", "main.messages", "temp.threads", "t", "u"),
    *("_returned_messages", "_key", "sqlite_schema", "pragma_table_info", "json_each", "excluded", "new", "old"),
    *("id", "thread_id", "role", "content", "metadata", "message_id", "created_at", "created", '"limit"', "after"),
    *("a", "rowid", "*", "m.*", "m", "'thread_a'", "'user'", "'x'", "''", "1", "-1", "1e999", "9223372036854775808"),
    *("x'ff'", "0x1F", "?", "?1", ":a", "(", ")", "(", ")", ",", ".", ";", "=", "<", "||", "->", "->>", "+", "-"),
    *("count(", "max(", "regexp(", "split_part(", "json_extract_scalar(", "json_equal(", "group_concat(", "OVER ("),
    *("'", '"', "`", "[", "]", "/*", "*/", "--", "\n", "\x0b", "\x0c", "\xa0", "\u2028", "\ufeff", "\0", "\ud800"),
    *("ä", "😀", "\\", "$", "@", "#", "{", "!", "&", "~"),
)


def soup(pick: random.Random) -> str:
    """Write words in no order."""
    return pick.choice([" ", "", " "]).join(pick.choice(SOUP) for _ in range(pick.randrange(1, 25)))


def mutated(pick: random.Random) -> str:
    """Take a statement that is right and put some of its tokens elsewhere, or others in their place."""
    tokens = [token.text for token in tokenize(pick.choice(VALID))]
    for _ in range(pick.randrange(1, 4)):
        place = pick.randrange(len(tokens))
        other = pick.choice([pick.choice(SOUP), pick.choice(tokens), "", pick.choice(VALID)])
        tokens[place : place + pick.randrange(3)] = [other]
        tokens = tokens or ["SELECT"]
    return "".join(tokens)


@pytest.fixture
def connection(service: Service) -> Iterator[Connection]:
    """Give a connection with a local table, beside a service with one thread."""
    service.thread(3, thread_id=THREAD)
    # The deadline ends what SQLite would take hours for, such as a join of everything.
    with service.connect(deadline=10.0) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES ('user')")
        connection.commit()
        yield connection


def run(connection: Connection, sql: str) -> messages_dbapi.Error | None:
    """Execute a text and fetch some rows; what comes out otherwise than as one of our errors fails the test."""
    try:
        cursor = connection.execute(sql, [1] * sql.count("?") if "?" in sql else ())
        if cursor.description is not None:
            cursor.fetchmany(50)
        cursor.close()
    except messages_dbapi.Error as error:
        return error
    return None


def stored(service: Service) -> str:
    """Give all that the service holds, as text."""
    with service.connect() as connection:
        rows = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("threads", "messages")]
    return repr(rows)


def is_write(sql: str) -> bool:
    return not {token.keyword for token in meaningful(tokenize(sql))}.isdisjoint(
        ("INSERT", "REPLACE", "UPDATE", "DELETE")
    )


@pytest.mark.parametrize("write", [soup, mutated])
@pytest.mark.filterwarnings("ignore::messages_dbapi.Warning")
def test_any_text_gives_rows_or_our_errors(
    service: Service, connection: Connection, write: Callable[[random.Random], str], many: Callable[[int, int], int]
) -> None:
    pick = random.Random(7)
    before = stored(service)
    for _ in range(many(1_500, 100_000)):
        sql = write(pick)
        with service.counting() as seen:
            error = run(connection, sql)
        said = "" if error is None else str(error)
        assert all(found in sql for found in INTERNALS.findall(said)), (sql, said)
        assert len(said) < 1500, (sql, said)
        if any(request.method != "GET" for request in seen):
            assert is_write(sql), sql
            before = stored(service)
        if error is not None:
            connection.rollback()
    assert stored(service) == before
    connection.rollback()
    assert connection.execute("SELECT 1").fetchall() == [(1,)]
