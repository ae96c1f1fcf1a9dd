"""What a statement may hold, and how much work a text can make: bounds with clear errors, and linear time."""

from __future__ import annotations

import contextlib
import gc
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

import messages_dbapi
from messages_dbapi import DataError, OperationalError, ProgrammingError
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.documents import Draft
from messages_dbapi.sql import _analyse
from messages_dbapi.types import LONGEST_VALUE

from .service import Service


@pytest.fixture
def connection(service: Service) -> Iterator[Connection]:
    """Give a connection with a local table, beside a service with one thread."""
    service.thread(3, thread_id="thread_a")
    with service.connect() as connection:
        connection.execute("CREATE TABLE t (a)")
        yield connection


def refused(connection: Connection, sql: str, cls: type[messages_dbapi.Error] = ProgrammingError) -> str:
    """Execute what is refused by this class, see that the connection goes on, and give the text."""
    with pytest.raises(cls) as caught:
        connection.execute(sql).fetchall()
    assert connection.execute("SELECT 1").fetchall() == [(1,)]
    assert len(str(caught.value)) < 800
    return str(caught.value)


# Length.


def test_a_statement_that_is_too_long_is_refused_before_it_is_read(connection: Connection) -> None:
    began = time.process_time()
    text = refused(connection, "SELECT " + "1," * 20_000_000 + "1")
    assert time.process_time() - began < 5  # to read it would take minutes
    assert "40,000,008 characters" in text
    assert "32,000,000" in text
    assert "json_each(?)" in text


@pytest.mark.long
def test_a_statement_of_too_many_tokens_is_refused(connection: Connection) -> None:
    text = refused(connection, "SELECT 1 IN (" + "1," * 500_000 + "1)")
    assert "1,000,000" in text
    assert "json_each(?)" in text


@pytest.mark.long
def test_long_statements_work(service: Service, connection: Connection) -> None:
    ids = ",".join(f"'thread_{n:024}'" for n in range(10_000))
    select = f"SELECT count(*) FROM messages WHERE thread_id = 'thread_a' AND thread_id NOT IN ({ids})"
    assert connection.execute(select).fetchone() == (3,)
    texts = ["x'y" * 80_000 for _ in range(12)]
    values = ", ".join("('thread_a', 'user', '{}')".format(text.replace("'", "''")) for text in texts)
    insert = f"INSERT INTO messages (thread_id, role, content) VALUES {values}"
    assert len(insert) > 3_000_000
    assert connection.execute(insert).rowcount == 12
    rows = ", ".join(f"({n}, {n}, {n})" for n in range(30_000))
    connection.execute("CREATE TABLE u (a, b, c)")
    assert connection.execute(f"INSERT INTO u VALUES {rows}").rowcount == 30_000
    literal = "y" * 20_000_000
    assert connection.execute(f"SELECT length('{literal}')").fetchone() == (20_000_000,)


# Nesting.

NESTED = (
    ("SELECT ", "(", "1", ")"),
    ("SELECT ", "(SELECT ", "1", ")"),
    ("SELECT * FROM ", "(SELECT * FROM ", "t", ")"),
    ("SELECT * FROM ", "(", "t", ")"),
    ("SELECT 1 WHERE ", "EXISTS (SELECT 1 WHERE ", "1", ")"),
    ("SELECT ", "1 IN (SELECT ", "1", ")"),
    ("SELECT ", "abs(", "1", ")"),
    ("SELECT ", "NOT ", "1", ""),
    ("SELECT ", "- ", "1", ""),
    ("SELECT ", "~", "1", ""),
    ("SELECT ", "CASE WHEN 1 THEN ", "1", " END"),
    ("SELECT 1 WHERE ", "a = (", "1", ")"),
    ("SELECT ", "1 + ", "1", ""),
    ("SELECT ", "1 OR ", "1", ""),
    ("SELECT ", "'a' || ", "1", ""),
    ("", "WITH a AS (", "SELECT 1", ") SELECT * FROM a"),
    ("EXPLAIN SELECT ", "(", "1", ")"),
    ("CREATE VIEW v AS SELECT ", "(SELECT ", "1", ")"),
    ("UPDATE messages SET metadata = ", "(", "'{}'", ") WHERE thread_id = 'thread_a'"),
    ("INSERT INTO messages (thread_id, role, content) SELECT ", "(", "1", ")"),
    ("DELETE FROM messages WHERE thread_id = 'thread_a' AND id IN ", "(", "1", ")"),
)


@pytest.mark.parametrize(("front", "opener", "inner", "closer"), NESTED)
@pytest.mark.parametrize("depth", [2_000, pytest.param(60_000, marks=pytest.mark.long)])
def test_nesting_has_a_bound(
    service: Service, connection: Connection, front: str, opener: str, inner: str, closer: str, depth: int
) -> None:
    with service.counting() as seen:
        text = refused(connection, front + opener * depth + inner + closer * depth)
    assert re.search("flatter", text), text
    assert "1,000" in text or "1000" in text or "Recursion limit" in text
    assert not seen


DEEP = """
import contextlib, threading, messages_dbapi
def run():
    for front, opener, inner, closer in {nested!r}:
        for depth in {depths!r}:
            with contextlib.suppress(messages_dbapi.Error):
                connection.execute(front + opener * depth + inner + closer * depth).fetchall()
with messages_dbapi.connect("messages://") as connection:
    connection.execute("CREATE TABLE t (a)")
    threading.stack_size(512 * 1024)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
print("done")
"""


def test_nesting_does_not_use_up_the_stack_of_a_thread(many: Callable[[int, int], int]) -> None:
    """As deep as SQLite goes, in a thread with the small stack that macOS gives; a crash would end the process."""
    depths = list(range(200, 1_001, many(400, 50)))
    script = DEEP.format(nested=NESTED[:14], depths=depths)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "done\n")


# Numbers of things.


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT " + ",".join("?" * 32_767), r"32,767, and may have at most 32,766.*json_each\(\?\)"),
        ("SELECT ?32767", r"32,767, and may have at most 32,766.*json_each\(\?\)"),
        ("SELECT ?99999999999999999999", r"at most 32,766"),
        ("SELECT " + ",".join("1" * 2_001), "too many columns in result set.*2,000"),
        ("CREATE TABLE u (" + ",".join(f"a{n}" for n in range(2_001)) + ")", "too many columns on u.*2,000"),
        ("SELECT * FROM t GROUP BY " + ",".join("1" * 2_001), "too many terms in GROUP BY.*2,000"),
        ("SELECT * FROM t ORDER BY " + ",".join("1" * 2_001), "too many terms in ORDER BY.*2,000"),
        (" UNION ALL ".join(["SELECT a FROM t"] * 501), "too many terms in compound SELECT.*500"),
        ("SELECT max(" + ",".join("1" * 1_001) + ")", "too many arguments on function max.*1,000"),
        ("SELECT 1 FROM " + ",".join(f"t AS t{n}" for n in range(65)), "at most 64 tables in a join"),
    ],
)
def test_numbers_have_bounds(connection: Connection, sql: str, said: str) -> None:
    assert re.search(said, refused(connection, sql)), refused(connection, sql)


def test_up_to_the_bounds_all_works(connection: Connection) -> None:
    assert len(connection.execute("SELECT " + ",".join("1" * 2_000)).fetchall()[0]) == 2_000
    assert connection.execute("SELECT 1 IN (" + ",".join("?" * 32_766) + ")", [1] * 32_766).fetchone() == (1,)
    many = "SELECT count(*) FROM json_each(?) WHERE value IN (SELECT value FROM json_each(?))"
    assert connection.execute(many, [list(range(100_000))] * 2).fetchone() == (100_000,)
    assert len(connection.execute(" UNION ALL ".join(["SELECT 1"] * 500)).fetchall()) == 500
    assert connection.execute("SELECT 'b' LIKE ?", ("%" * 5_000,)).fetchone() == (1,)


# The size of a value.

TOO_BIG = (
    "SELECT zeroblob(1e10)",
    "SELECT hex(zeroblob(134217729))",
    "SELECT randomblob(268435457)",
    "SELECT printf('%*d', 2000000000, 1)",
    "SELECT printf('%.*c', 2000000000, 'x')",
    "SELECT replace(hex(zeroblob(100000)), '0', hex(zeroblob(100000)))",
    "SELECT zeroblob(268435450) || 'xxxxxxx'",
    "SELECT quote(zeroblob(268435450))",
    "SELECT json_quote(printf('%.*c', 268435455, 'x'))",
    "INSERT INTO t VALUES (zeroblob(268435457))",
    "CREATE TABLE u AS SELECT zeroblob(268435457)",
    "SELECT 1 WHERE length(hex(zeroblob(200000000))) > 1",
    "INSERT INTO messages (thread_id, role, content) VALUES ('thread_a', 'user', hex(zeroblob(200000000)))",
    "UPDATE messages SET metadata = hex(zeroblob(200000000)) WHERE thread_id = 'thread_a'",
    "SELECT regexp_replace(hex(zeroblob(1000000)), '', hex(zeroblob(1000000)))",
    "SELECT regexp_replace(hex(zeroblob(10000)), '(?=(.*))', '$1$1')",
)
SLOW_AND_TOO_BIG = (
    "WITH x AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM x WHERE a < 100000) "
    "SELECT group_concat(a || hex(zeroblob(10000))) FROM x",
    "WITH x AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM x WHERE a < 100000) "
    "SELECT json_group_array(a || hex(zeroblob(10000))) FROM x",
    "WITH x(a) AS (SELECT 'xx' UNION ALL SELECT a || a FROM x) SELECT length(a) FROM x",
)


@pytest.mark.parametrize("sql", [*TOO_BIG, *(pytest.param(sql, marks=pytest.mark.long) for sql in SLOW_AND_TOO_BIG)])
def test_a_value_has_a_largest_size(service: Service, connection: Connection, sql: str) -> None:
    with service.counting() as seen:
        assert "268,435,456" in refused(connection, sql, OperationalError if "json_group_array" in sql else DataError)
    assert not seen


@pytest.mark.parametrize("kind", ["BLOB", pytest.param("text", marks=pytest.mark.long)])
def test_a_bound_value_has_a_largest_size(connection: Connection, kind: str) -> None:
    value = bytes(LONGEST_VALUE + 1) if kind == "BLOB" else "x" * (LONGEST_VALUE + 1)
    with pytest.raises(DataError, match=f"a {kind} of 268,435,457 bytes is bound, and a value has at most 268,435,456"):
        connection.execute("SELECT ?", (value,))


@pytest.mark.long
def test_a_page_of_the_longest_messages_is_one_value(service: Service) -> None:
    thread = service.thread_of(Draft(content='"' * 256_000, created_at=n) for n in range(100))
    with service.connect() as connection:
        ((found,),) = connection.execute(
            "SELECT length(json_group_array(content)) FROM messages WHERE thread_id = ?", (thread,)
        ).fetchall()
    assert 100 * 256_000 * 4 < found < LONGEST_VALUE


def test_the_text_of_an_error_is_not_as_long_as_the_statement(connection: Connection) -> None:
    refused(connection, f"SELECT 1 '{'x' * 1_000_000}' 'y'")
    refused(connection, f"SELECT {'x' * 1_000_000} FROM t")
    refused(connection, f"SELECT 1 '{'x' * 1_000_000}")


# Regular expressions.


@pytest.mark.parametrize(
    ("sql", "value", "said"),
    [
        ("SELECT regexp_like('a', ?)", "a{" + "9" * 5_000 + "}", "is not a regular expression"),
        ("SELECT regexp_like('a', ?)", "a{99999999999}", "is not a regular expression"),
        ("SELECT regexp_like('a', ?)", "(" * 5_000, "is not a regular expression"),
        ("SELECT 'a' REGEXP ?", "[[a]", "is not a regular expression"),
        ("SELECT regexp_substr('a', ?)", "(a", "is not a regular expression"),
        ("SELECT regexp_like('a', ?)", "a" * 10_001, "10,001 characters.* at most 10,000"),
        ("SELECT regexp_replace('a', 'a', ?)", "$" + "9" * 5_000, "does not fit the pattern"),
        ("SELECT regexp_replace('a', 'b', ?)", "$1", "does not fit the pattern"),
        ("SELECT regexp_replace(hex(zeroblob(20000)), 'b', ?)", "\\", "does not fit the pattern"),
        ("SELECT CAST(? AS TEXT)", b"\xff", "not Unicode.*AS BLOB"),
        ("SELECT json_equal(?, 1)", "[" * 100_000, "is not JSON"),
        ("SELECT json_equal(?, 1)", "9" * 100_000, "is not JSON"),
        ("SELECT split_part('a', 'b', ?)", 2**63 - 1, None),
        ("SELECT split_part('a', ?, 1)", b"", None),
        ("SELECT split_part(?, '', 1)", b"\xff", None),
        ("SELECT regexp_like(?, 'b')", b"abc", None),
    ],
)
def test_functions_give_a_value_or_one_of_our_errors(
    connection: Connection, sql: str, value: object, said: str | None
) -> None:
    if said is None:
        assert "b'" not in str(connection.execute(sql, (value,)).fetchone())
        return
    with pytest.raises(DataError) as caught:
        connection.execute(sql, (value,)).fetchall()
    assert re.search(said, str(caught.value)), str(caught.value)
    assert len(str(caught.value)) < 800


def test_memory_that_runs_out_is_an_operational_error(connection: Connection) -> None:
    """As SQLite and Python say it, by a function that wants more than any machine has."""

    def greedy(*_: object) -> int:
        raise MemoryError

    with connection.engine._unsealed():
        connection.engine._connection.create_scalar_function("greedy", greedy, 0)
    with pytest.raises(OperationalError, match="the memory ran out"):
        connection.execute("SELECT greedy()")


# Work grows with the length of a text, and not with its square.

PARTS = (
    *("'", "''", '"', "`", "[", "[]", "'\"", "x'", "/*", "/*/", "/**/", "*/", "/*+ ", "--", "--\n", "-", "\n-- '"),
    *("(", ")", "()", "( ", ".", "a.", "a.'b'.", "1e", "1e1e1e", "1_", "0x", "1.", ".1", ":a", ":a ", ":", "a:::"),
    *("?", "?1,", "$", "$a$", "$a::", "$a(", "@", "#", " ", "\n", "\x0b", "\ufeff", "\xa0", "ä", "a", "a ", "\\", "{"),
    *(";", "a;", "CASE ", "CASE WHEN 1 THEN ", "BEGIN ", "END ", "CREATE TRIGGER ", "CREATE TRIGGER a; END; ", "AS a "),
    *("WITH a AS (", "a AS (SELECT 1), ", "(SELECT ", "a OR ", "(a OR ", "a COLLATE b OR (", "(a IN ", ") IN ("),
    *("thread_id = (", "SET a = (1), ", "a = 1, ", "RETURNING a, ", "ON CONFLICT ", "ON CONFLICT DO ", "openai."),
    *("openai.assistants.", "openai.assistants.messages, ", "messages.*, ", "INSERT INTO messages ", "VALUES (1), "),
    *("UNION SELECT ", "JOIN "),
)
FRONTS = ("", "UPDATE messages SET ", "SELECT a COLLATE b OR (c IN (1) OR thread_id = 2) OR ")
BALANCED = (
    *(("(", "1", ")"), ("(SELECT ", "1", ")"), ("[", "", "]"), ("CASE WHEN ", "1", " END "), ("a IN (", "1", ") OR ")),
    *(("(thread_id = ", "1", ") IN (1) OR 2 "), ("a AS (", "SELECT 1", "), "), ("(a COLLATE b OR ", "1", ")")),
    *(("/*", "", "*/"), ("BEGIN ", "1;", " END; "), ("a.", "b", ".c"), ("(a, ", "1", ")")),
)


def texts(length: int) -> Iterator[tuple[str, str]]:
    """Give texts of about a length, each with what it is made of."""
    for front in FRONTS:
        for part in PARTS:
            yield f"{front}{part}…", front + part * (length // len(part))
        for opener, inner, closer in BALANCED:
            times = length // len(opener + closer)
            yield f"{front}{opener}…{closer}", front + opener * times + inner + closer * times


def work(text: str) -> float:
    """Measure the seconds that the processor needs to look at a text."""
    gc.disable()  # else they would depend on what all tests before have left
    try:
        began = time.process_time()
        with contextlib.suppress(messages_dbapi.Error):
            _analyse(text)
        return time.process_time() - began
    finally:
        gc.enable()


def test_work_grows_with_the_length_alone(many: Callable[[int, int], int]) -> None:
    """Eight times the text may take 32 times as long, for a machine is never quiet; its square would be 64 times."""
    length = many(1_000, 10_000)
    for (name, short), (_, long) in zip(texts(length), texts(8 * length), strict=True):
        # Only what seems slow is measured again: noise goes away, work does not.
        measured = (work(long) / max(work(short), length * 1e-6) for _ in range(6))
        assert any(ratio < 32 for ratio in measured), name
