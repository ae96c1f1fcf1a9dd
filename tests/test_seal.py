"""The sealed engine: every door that plain SQL might open."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from messages_dbapi import DatabaseError, InterfaceError, NotSupportedError, OperationalError, ProgrammingError
from messages_dbapi.connection import Connection
from messages_dbapi.resources import RESOURCES
from messages_dbapi.seal import _CLOSED_FUNCTIONS, _CLOSED_MODULES, _READING_PRAGMAS
from messages_dbapi.sql import split

from .service import Service

DECLARED = [resource.name for resource in RESOURCES]


@pytest.fixture
def connection(service: Service) -> Iterator[Connection]:
    """Give a connection with a local table, beside a service with one thread."""
    service.thread(3, thread_id="thread_a")
    with service.connect() as connection:
        connection.execute("CREATE TABLE t (a PRIMARY KEY)")
        yield connection


INSERT = "INSERT INTO messages (thread_id, role, content) VALUES ('thread_a', 'user', 'x')"

DOORS = (
    "ATTACH '{file}' AS other",
    "ATTACH DATABASE ':memory:' AS other",
    "ATTACH 'file:{file}?mode=rwc' AS other",
    'DETACH "openai.assistants"',
    "DETACH main",
    "VACUUM",
    "VACUUM INTO '{file}'",
    "VACUUM main INTO '{file}'",
    "SELECT load_extension('{file}')",
    "SELECT load_extension('{file}', 'entry')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT readfile('{file}')",
    "SELECT writefile('{file}', 'x')",
    "SELECT edit('x')",
    "SELECT sqlite_log(1, 'x')",
    "PRAGMA writable_schema = 1",
    "PRAGMA writable_schema",
    "PRAGMA main.writable_schema(ON)",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA journal_mode",
    "PRAGMA trusted_schema = 1",
    "PRAGMA temp_store_directory = '/'",
    "PRAGMA data_store_directory = '/'",
    "PRAGMA user_version = 5",
    "PRAGMA encoding = 'UTF-16'",
    "PRAGMA schema_version = 5",
    "PRAGMA integrity_check",
    "PRAGMA foreign_keys = 0",
    "PRAGMA mmap_size = 1",
    "PRAGMA cache_size = 1000000",
    "PRAGMA hard_heap_limit = 1",
    "PRAGMA wal_checkpoint",
    "PRAGMA optimize",
    "PRAGMA module_list",
    "SELECT * FROM pragma_integrity_check",
    "SELECT * FROM pragma_journal_mode",
    "SELECT * FROM PRAGMA_Writable_Schema",
    "WITH x AS (SELECT * FROM pragma_integrity_check) SELECT * FROM x",
    "SELECT (SELECT count(*) FROM pragma_journal_mode)",
    "CREATE VIRTUAL TABLE v USING fts5(a)",
    "CREATE VIRTUAL TABLE v USING rtree(a, b, c)",
    "CREATE VIRTUAL TABLE v USING dbstat",
    "CREATE VIRTUAL TABLE v USING csv(filename='{file}')",
    "CREATE VIRTUAL TABLE v USING _returned_messages",
    "CREATE VIRTUAL TABLE temp.v USING messages",
    'CREATE VIRTUAL TABLE "openai.assistants".v USING messages',
    "SELECT * FROM sqlite_dbpage",
    "SELECT * FROM dbstat",
    "SELECT * FROM sqlite_stmt",
    "SELECT * FROM bytecode('SELECT 1')",
    "SELECT * FROM tables_used('SELECT 1')",
    "SELECT * FROM _returned_messages",
    "SELECT * FROM _returned_threads",
    "SELECT * FROM main._returned_messages",
    "SELECT _key FROM messages WHERE thread_id = 'thread_a'",
    "SELECT id FROM messages WHERE thread_id = 'thread_a' AND messages.[_KEY] > ''",
    "UPDATE messages SET metadata = _key WHERE thread_id = 'thread_a'",
    f"{INSERT} RETURNING _key",
    f"{INSERT} RETURNING (SELECT count(*) FROM _returned_messages)",
    f'{INSERT} RETURNING (SELECT tool_resources FROM "_Returned_Threads")',
    f"{INSERT} RETURNING [_returned_messages].id",
    f"{INSERT} RETURNING 'abc",
    f"{INSERT} RETURNING [abc",
    f"{INSERT} RETURNING 1 FROM t; DELETE FROM t",
    "DELETE FROM main.messages WHERE thread_id = 'thread_a'",
    "DELETE FROM temp.messages WHERE thread_id = 'thread_a'",
    "UPDATE main.messages SET metadata = '{{}}' WHERE thread_id = 'thread_a'",
    "INSERT INTO main.messages (thread_id, role, content) VALUES ('thread_a', 'user', 'x')",
    "INSERT INTO main.threads DEFAULT VALUES",
    "WITH x AS (SELECT 1) DELETE FROM main.threads WHERE id = 'thread_a'",
    "UPDATE sqlite_schema SET sql = 'x'",
    "DELETE FROM sqlite_schema",
    "DELETE FROM sqlite_temp_schema",
    "UPDATE main.sqlite_master SET rootpage = 1",
    'DELETE FROM "openai.assistants".sqlite_schema',
    'INSERT INTO "openai.assistants".sqlite_stat1 VALUES (1, 2, 3)',
    "ANALYZE",
    'ANALYZE "openai.assistants"',
    "INSERT INTO sqlite_schema VALUES ('table', 'x', 'x', 0, 'CREATE TABLE x (a)')",
    "DROP TABLE messages",
    "DROP TABLE openai.assistants.messages",
    'DROP TABLE IF EXISTS "openai.assistants".threads',
    "DROP TABLE assistants.messages",
    "DROP VIEW messages",
    "ALTER TABLE messages RENAME TO other",
    "ALTER TABLE messages RENAME COLUMN role TO other",
    "ALTER TABLE temp.t RENAME TO messages",
    'ALTER TABLE t RENAME TO "Messages"',
    "ALTER TABLE openai.assistants.messages ADD COLUMN x",
    "ALTER TABLE messages DROP COLUMN role",
    "CREATE INDEX i ON messages (role)",
    'CREATE INDEX "openai.assistants".i ON messages (role)',
    "CREATE TABLE openai.assistants.mine (a)",
    "CREATE TABLE assistants.mine (a)",
    "CREATE VIEW assistants.mine AS SELECT 1",
    'CREATE TABLE "openai.assistants".mine AS SELECT 1',
    "CREATE TRIGGER r INSTEAD OF DELETE ON messages BEGIN SELECT 1; END",
    "CREATE TEMP TRIGGER r AFTER DELETE ON openai.assistants.messages BEGIN SELECT 1; END",
    "CREATE TABLE messages (a)",
    "CREATE TEMP TABLE threads (a)",
    "CREATE VIEW transcript AS SELECT 1",
    'CREATE TABLE "openai.assistants.messages" (a)',
    "SELECT 1; DELETE FROM t",
    "SELECT 1; DELETE FROM messages WHERE thread_id = 'thread_a'",
    "SELECT 1\0; DELETE FROM t",
    "SELECT '\ud800'",
    "SELECT '\0'",
    "SELECT\xa01",
    "SELECT\u20281",
    "SELECT 'abc",
    'SELECT "abc',
    "SELECT `abc",
    "SELECT [abc",
    "SELECT x'00",
    'SELECT "no column but text" FROM t',
    'CREATE TABLE u (a CHECK (a <> "no text"))',
)


@pytest.mark.parametrize("sql", DOORS)
def test_a_door_is_closed(service: Service, connection: Connection, sql: str, tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    with service.counting() as seen, pytest.raises((NotSupportedError, ProgrammingError)) as caught:
        connection.execute(sql.format(file=file)).fetchall()
    assert not seen
    # Nothing of the driver's own is named that the text did not name.
    assert "_returned_" not in str(caught.value).lower() or "_returned_" in sql.lower()
    assert not file.exists()
    connection.rollback()
    assert connection.execute("SELECT count(*) FROM messages WHERE thread_id = 'thread_a'").fetchone() == (3,)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM pragma_journal_mode",
        "SELECT * FROM sqlite_dbpage",
        "SELECT load_extension('x')",
        "SELECT * FROM _returned_messages",
    ],
)
def test_a_door_is_closed_inside_a_view_and_a_trigger(connection: Connection, sql: str) -> None:
    for schema in ("main", "temp"):
        with pytest.raises(DatabaseError):
            run_all(connection, f"CREATE VIEW {schema}.v AS {sql}", "SELECT * FROM v")
        connection.execute(f"DROP VIEW IF EXISTS {schema}.v")
    trigger = f"CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN {sql}; END"
    with pytest.raises(DatabaseError):
        run_all(connection, trigger, "INSERT INTO t VALUES (1)")


def run_all(connection: Connection, *statements: str) -> None:
    """Run statements to their ends."""
    for sql in statements:
        list(connection.execute(sql)) if sql.startswith("SELECT") else connection.execute(sql)


@pytest.mark.parametrize(
    "action",
    [
        "DELETE FROM messages WHERE thread_id = 'thread_a'",
        "INSERT INTO messages (thread_id, role, content) VALUES ('thread_a', 'user', 'x')",
        "UPDATE messages SET metadata = '{}' WHERE thread_id = 'thread_a'",
        "DELETE FROM threads WHERE id = 'thread_a'",
    ],
)
@pytest.mark.parametrize("temporary", ["", "TEMP"])
def test_a_trigger_does_not_write_to_the_service(
    service: Service, connection: Connection, action: str, temporary: str
) -> None:
    trigger = f"CREATE {temporary} TRIGGER r AFTER INSERT ON t BEGIN {action}; END"
    with service.counting() as seen, pytest.raises(NotSupportedError, match="trigger"):
        run_all(connection, trigger, "INSERT INTO t VALUES (1)")
    assert not seen


def test_a_trigger_of_a_file_does_not_write_to_the_service(service: Service, tmp_path: Path) -> None:
    service.thread(3, thread_id="thread_a")
    with service.connect(local=tmp_path / "local.db") as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute(
            "CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM messages WHERE thread_id = 'thread_a'; END"
        )
    with service.connect(local=tmp_path / "local.db") as connection:
        with service.counting() as seen, pytest.raises(NotSupportedError, match="trigger"):
            connection.execute("INSERT INTO t VALUES (1)")
        assert not seen


def test_a_trigger_may_read_the_service_and_write_locally(connection: Connection) -> None:
    connection.execute("CREATE TABLE log (a)")
    connection.execute("CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO log SELECT new.a; END")
    connection.execute("INSERT INTO t SELECT content_text FROM messages WHERE thread_id = 'thread_a'")
    assert connection.execute("SELECT count(*) FROM log").fetchone() == (3,)


@pytest.mark.parametrize("name", sorted(_READING_PRAGMAS))
def test_a_pragma_that_reads_the_schema_passes(connection: Connection, name: str) -> None:
    assert connection.execute(f"PRAGMA {name}").description is not None or name == "read_uncommitted"


def test_the_schema_is_read(connection: Connection) -> None:
    names = [row[1] for row in connection.execute("PRAGMA table_info(messages)").fetchall()]
    assert names[:2] == ["id", "assistant_id"]
    for sql in (
        "PRAGMA openai.assistants.table_info(messages)",
        'PRAGMA "openai.assistants".table_info("messages")',
        "SELECT * FROM pragma_table_info('messages')",
    ):
        assert len(connection.execute(sql).fetchall()) == len(names)
    assert ("t",) in connection.execute("SELECT name FROM sqlite_schema").fetchall()
    connection.execute("PRAGMA read_uncommitted = 1")


def test_a_refusal_says_what_to_do(connection: Connection) -> None:
    with pytest.raises(NotSupportedError, match=r"attach\.NAME"):
        connection.execute("ATTACH 'x' AS y")
    with pytest.raises(NotSupportedError, match="table_info"):
        connection.execute("PRAGMA journal_mode")


# All that SQLite brings, as of the release that setup.cfg allows. A function or module that is not here is new:
# read what it does, and close it in seal.py if it reaches anything outside of the statement.
FUNCTIONS = """
-> ->> abs acos acosh asin asinh atan atan2 atanh avg bm25 ceil ceiling changes char coalesce concat concat_ws
cos cosh count cume_dist current_date current_time current_timestamp date datetime degrees dense_rank exp
first_value floor format fts3_tokenizer fts5 fts5_get_locale fts5_insttoken fts5_locale fts5_source_id
geopoly_area geopoly_bbox geopoly_blob geopoly_ccw geopoly_contains_point geopoly_debug geopoly_group_bbox
geopoly_json geopoly_overlap geopoly_regular geopoly_svg geopoly_within geopoly_xform glob group_concat hex
highlight if ifnull iif instr json json_array json_array_insert json_array_length json_error_position
json_extract json_group_array json_group_object json_insert json_object json_patch json_pretty json_quote
json_remove json_replace json_set json_type json_valid jsonb jsonb_array jsonb_array_insert jsonb_extract
jsonb_group_array jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace
jsonb_set julianday lag last_insert_rowid last_value lead length like likelihood likely ln load_extension log
log10 log2 lower ltrim match matchinfo max median min mod nth_value ntile nullif octet_length offsets optimize
percent_rank percentile percentile_cont percentile_disc pi pow power printf quote radians random randomblob
rank replace round row_number rtreecheck rtreedepth rtreenode rtrim sign sin sinh snippet
sqlite_compileoption_get sqlite_compileoption_used sqlite_log sqlite_source_id sqlite_version sqrt strftime
string_agg substr substring subtype sum tan tanh time timediff total total_changes trim trunc typeof unhex
unicode unistr unistr_quote unixepoch unlikely upper zeroblob
"""
OWN_FUNCTIONS = "regexp regexp_like regexp_substr regexp_replace split_part json_equal json_extract_scalar"
MODULES = """
dbstat fts3 fts3tokenize fts4 fts4aux fts5 fts5vocab geopoly pragma_function_list pragma_module_list rtree
rtree_i32
"""


def raw(connection: Connection) -> apsw.Connection:
    """Give the connection to SQLite under the seal."""
    return connection.engine._connection


def column(connection: Connection, sql: str) -> set[str]:
    """Give the first column of what SQLite answers without the seal."""
    with connection.engine._unsealed():
        return {str(value) for (value, *_) in raw(connection).execute(sql)}


def test_every_function_and_module_of_sqlite_is_known(connection: Connection) -> None:
    """A release of SQLite that brings another one has to be looked at first."""
    functions = column(connection, "SELECT DISTINCT name FROM pragma_function_list")
    assert functions - {*FUNCTIONS.split(), *OWN_FUNCTIONS.split()} == set()
    modules = column(connection, "SELECT name FROM pragma_module_list WHERE name NOT LIKE 'pragma_%'")
    assert modules - set(MODULES.split()) - {f"{own}{name}" for own in ("", "_returned_") for name in DECLARED} == set()
    assert functions & _CLOSED_FUNCTIONS == {"load_extension", "fts3_tokenizer", "sqlite_log"}
    assert modules & _CLOSED_MODULES == {"dbstat"}


def test_what_sqlite_has_switches_for_is_switched_off(connection: Connection) -> None:
    for name, value in {
        "DEFENSIVE": 1,
        "TRUSTED_SCHEMA": 0,
        "WRITABLE_SCHEMA": 0,
        "ENABLE_LOAD_EXTENSION": 0,
        "ENABLE_FTS3_TOKENIZER": 0,
        "DQS_DML": 0,
        "DQS_DDL": 0,
    }.items():
        assert raw(connection).config(getattr(apsw, f"SQLITE_DBCONFIG_{name}"), -1) == value, name
    assert column(connection, "PRAGMA cell_size_check") == {"1"}
    assert column(connection, "PRAGMA mmap_size") <= {"0"}


# Pragmas, in every form.

PRAGMA_FORMS = (
    "PRAGMA {}",
    "pragma {} ;",
    "PRAGMA main.{}",
    "PRAGMA temp . {}",
    'PRAGMA "openai.assistants".{}',
    "PRAGMA openai.assistants.{}",
    "PRAGMA {} = 1",
    "PRAGMA {}=OFF",
    "PRAGMA {} = 'DELETE'",
    "PRAGMA {} = -5",
    "PRAGMA {}(1)",
    "PRAGMA main.{}(ON)",
    'PRAGMA "{}"=1',
    "PRAGMA [{}](2)",
    "PRAGMA `{}` = 1",
    "PRAGMA 'main'.'{}'(1)",
    "/* a */ PRAGMA /* = */ main /* b */ . -- c\n {} /* d */ = /* e */ 1",
    "EXPLAIN PRAGMA {} = 1",
    "SELECT * FROM pragma_{}",
    "SELECT * FROM pragma_{}('t')",
    "SELECT * FROM pragma_{}(1)",
    'SELECT * FROM main."PRAGMA_{}"',
    "SELECT * FROM pragma_{} WHERE schema = 'main' AND arg = 1",
    "SELECT * FROM (WITH x AS (SELECT * FROM [pragma_{}]) SELECT * FROM x)",
    "INSERT INTO t SELECT 1 FROM pragma_{}(1)",
)


def settings(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """Read what every pragma that can be read without doing anything says, of both schemas."""
    acting = {"incremental_vacuum", "integrity_check", "optimize", "quick_check", "shrink_memory", "wal_checkpoint"}
    names = column(connection, "PRAGMA pragma_list") - acting - {"module_list", "table_list"}
    with connection.engine._unsealed():
        return {
            f"{schema}.{name}": raw(connection).execute(f"PRAGMA {schema}.{name}").fetchall()
            for name in sorted(names)
            for schema in ("main", "temp")
        }


def test_no_form_of_a_pragma_changes_a_setting(service: Service, connection: Connection, tmp_path: Path) -> None:
    """Whatever is not refused has changed nothing; only read_uncommitted passes, and may."""
    with service.connect(local=tmp_path / "local.db") as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.commit()
        before = settings(connection)
        assert len(before) > 100
        for name in column(connection, "PRAGMA pragma_list"):
            for form in PRAGMA_FORMS:
                sql = form.format(name.upper() if form.startswith("pragma") else name)
                passed = passes(connection, sql)
                connection.rollback()
                assert not passed or name in _READING_PRAGMAS, sql
        connection.execute("PRAGMA read_uncommitted = 0")
        assert settings(connection) == before


def passes(connection: Connection, sql: str) -> bool:
    """Tell whether a statement is executed; a refusal of a pragma says which there are."""
    try:
        connection.execute(sql).close()
    except NotSupportedError as error:
        return "table_info" not in str(error)
    except ProgrammingError:  # SQLite has no such form
        return False
    return True


# What is closed at the top is closed everywhere.

PLACES = (
    "SELECT ({})",
    "SELECT 1 WHERE 1 IN ({})",
    "SELECT * FROM t WHERE EXISTS ({})",
    "SELECT * FROM ({})",
    "WITH x AS MATERIALIZED ({}) SELECT * FROM x",
    "SELECT 1 UNION ALL {}",
    "SELECT max(a) OVER (ORDER BY ({})) FROM t",
    "SELECT a FROM t ORDER BY ({})",
    "SELECT a FROM t LIMIT ({})",
    "VALUES (({}))",
    "INSERT INTO t {}",
    "INSERT INTO t VALUES (({}))",
    "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = ({})",
    "INSERT INTO t VALUES (2) RETURNING ({})",
    "UPDATE t SET a = ({})",
    "UPDATE t SET a = x.a FROM (SELECT ({}) AS a) AS x",
    "DELETE FROM t WHERE a = ({})",
    "DELETE FROM t RETURNING ({})",
    "INSERT INTO messages (thread_id, role, content) VALUES ('thread_a', 'user', ({}))",
    "INSERT INTO messages (thread_id, role, content) SELECT 'thread_a', 'user', a FROM ({0} AS a)",
    "INSERT INTO messages (thread_id, role, content) VALUES ('thread_a', 'user', 'x') RETURNING ({})",
    "UPDATE messages SET metadata = ({}) WHERE thread_id = 'thread_a'",
    "DELETE FROM messages WHERE thread_id = 'thread_a' AND id = ({})",
    "DELETE FROM messages WHERE thread_id = 'thread_a' RETURNING ({})",
    "CREATE TABLE u AS {}",
    "CREATE TABLE u AS SELECT ({})",
    "EXPLAIN {}",
    "EXPLAIN QUERY PLAN {}",
    "CREATE VIEW v AS {}; SELECT * FROM v",
    "CREATE TEMP VIEW v AS SELECT ({}); SELECT * FROM v",
    "CREATE TRIGGER r AFTER INSERT ON t BEGIN {}; END; INSERT INTO t VALUES (1)",
    "CREATE TEMP TRIGGER r AFTER INSERT ON t WHEN ({}) BEGIN SELECT 1; END; INSERT INTO t VALUES (1)",
    "CREATE TRIGGER r BEFORE DELETE ON t BEGIN INSERT INTO t {}; END; DELETE FROM t",
)
SHUT = (
    "SELECT load_extension('x')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('{file}', 'x')",
    "SELECT edit('x')",
    "SELECT sqlite_log(1, 'x')",
    "SELECT name FROM dbstat",
    "SELECT data FROM sqlite_dbpage",
    "SELECT sql FROM sqlite_stmt",
    "SELECT opcode FROM bytecode('SELECT 1')",
    "SELECT name FROM tables_used('SELECT 1')",
    "SELECT name FROM fsdir('/')",
    "SELECT name FROM zipfile('{file}')",
    "SELECT value FROM carray(1, 2)",
    "SELECT * FROM pragma_journal_mode",
    "SELECT integrity_check FROM pragma_integrity_check",
    "SELECT id FROM _returned_messages",
    "SELECT _key FROM messages WHERE thread_id = 'thread_a'",
)


@pytest.mark.parametrize("place", PLACES)
def test_what_is_shut_is_shut_in_every_place(
    service: Service, connection: Connection, place: str, tmp_path: Path
) -> None:
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    for shut in SHUT:
        inner = shut.format(file=tmp_path / "x.db")
        statements = split(place.format(inner))
        with service.counting() as seen, pytest.raises((NotSupportedError, ProgrammingError)):
            run_all(connection, *statements)
        assert not seen, statements
        connection.rollback()
        for what in ("TRIGGER IF EXISTS r", "VIEW IF EXISTS v", "TABLE IF EXISTS u"):
            connection.execute(f"DROP {what}")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE u (a, b DEFAULT ({}))",
        "CREATE TABLE u (a, b AS ({}))",
        "CREATE TABLE u (a, b AS ({}) STORED)",
        "CREATE TABLE u (a CHECK ({}))",
        "CREATE TABLE u (a); CREATE INDEX i ON u ({})",
        "CREATE TABLE u (a); CREATE INDEX i ON u (a) WHERE {}",
        "CREATE TABLE u (a); ALTER TABLE u ADD COLUMN b DEFAULT ({})",
        "CREATE TABLE u (a); ALTER TABLE u ADD COLUMN b AS ({})",
    ],
)
@pytest.mark.parametrize("call", ["load_extension('x')", "writefile('{file}', 'x')", "sqlite_log(1, 'x')"])
def test_what_is_shut_is_shut_in_the_declaration_of_a_table(
    connection: Connection, sql: str, call: str, tmp_path: Path
) -> None:
    with pytest.raises((NotSupportedError, ProgrammingError)):
        run_all(
            connection, *sql.format(call.format(file=tmp_path / "x.db")).split("; "), "INSERT INTO u (a) VALUES (1)"
        )
    assert os.listdir(tmp_path) == []


def test_a_refusal_is_that_of_the_statement_itself(connection: Connection) -> None:
    with pytest.raises(NotSupportedError):
        connection.execute("PRAGMA journal_mode")
    with pytest.raises(ProgrammingError, match='near "authorized": syntax error'):
        connection.execute("authorized x")


# Names that shadow.


@pytest.mark.parametrize("options", [{}, {"local": "local.db"}])
@pytest.mark.parametrize(
    ("prepare", "select"),
    [
        ("CREATE TABLE main.messages (thread_id, id)", "SELECT id FROM messages"),
        ("CREATE VIEW main.messages AS SELECT 'thread_a' AS thread_id, 1 AS id", "SELECT id FROM messages"),
        ("CREATE TABLE openai (assistants, messages)", "SELECT id FROM openai.assistants.messages"),
        ("CREATE TABLE assistants (messages)", "SELECT messages.id FROM assistants.messages"),
        ("CREATE TABLE u (thread_id, id)", "SELECT messages.id FROM messages LEFT JOIN u ON u.id = messages.id"),
        ("CREATE TEMP TABLE u (thread_id, id)", "SELECT t.id FROM messages AS t"),
        ("CREATE TABLE u (messages)", 'SELECT id FROM "Messages"'),
        ("CREATE TABLE u (a)", "WITH threads AS (SELECT 1) SELECT id FROM openai.assistants.messages"),
        ("CREATE TABLE u (a)", "WITH messages AS (SELECT 1 AS id) SELECT m.id FROM assistants.messages AS m"),
    ],
)
def test_a_name_does_not_hide_the_service(
    service: Service, tmp_path: Path, options: dict[str, str], prepare: str, select: str
) -> None:
    thread = service.thread(3, thread_id="thread_a")
    with service.connect(**{name: tmp_path / value for name, value in options.items()}) as connection:
        connection.execute(prepare)
        connection.commit()
        qualifier = {"m": "m.", "t": "t.", "id": "messages."}.get(select.split()[-1].split(".")[-1], "")
        ids = connection.execute(f"{select} WHERE {qualifier}thread_id = '{thread}'").fetchall()
        assert [str(value)[:4] for (value,) in ids] == ["msg_"] * 3
        assert connection.execute(f"DELETE FROM messages WHERE thread_id = '{thread}'").rowcount == 3
    with service.connect() as connection:
        assert connection.execute(f"SELECT count(*) FROM messages WHERE thread_id = '{thread}'").fetchone() == (0,)


def test_a_common_table_of_a_declared_name_is_its_own(service: Service, connection: Connection) -> None:
    """As in any database: the text itself says what it means by the name."""
    with service.counting() as seen:
        rows = connection.execute("WITH messages (id) AS (VALUES (7)) SELECT id FROM messages").fetchall()
    assert (rows, seen) == ([(7,)], [])


# Files that somebody else has prepared.


class Nothing:
    """A module of SQLite under any name, with which a hostile file is written."""

    def Create(self, *arguments: object) -> tuple[str, Nothing]:  # noqa: N802  # APSW's name
        return "CREATE TABLE x (a)", self

    Connect = Create

    def Disconnect(self) -> None:  # noqa: N802  # APSW's name
        pass

    Destroy = Disconnect


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[[str], Path]:
    """Write a file with all that SQLite itself would let an attacker put into it."""

    def write(script: str) -> Path:
        file = tmp_path / "hostile.db"
        plain = apsw.Connection(str(file))
        for name in (*DECLARED, "_returned_messages", "pragma_journal_mode", "sqlite_dbpage"):
            module: Any = Nothing()  # APSW's protocol names the optional methods as well
            plain.create_module(name, module)
        for name in ("load_extension", "writefile", "sqlite_log"):
            plain.create_scalar_function(name, lambda *_: 1, deterministic=True)
        plain.execute(script)
        plain.close()
        return file

    return write


FILES = (
    ("CREATE VIEW v AS SELECT load_extension('x')", "SELECT * FROM v"),
    ("CREATE VIEW v AS SELECT writefile('{file}', 'x')", "SELECT * FROM v"),
    ("CREATE VIEW v AS SELECT sqlite_log(1, 'x')", "SELECT * FROM v"),
    ("CREATE VIEW v AS SELECT * FROM dbstat", "SELECT * FROM v"),
    ("CREATE VIEW v AS SELECT * FROM pragma_journal_mode", "SELECT * FROM v"),
    ("CREATE VIEW v AS SELECT * FROM _returned_messages", "SELECT * FROM v"),
    ("CREATE TABLE a (a, b DEFAULT (load_extension('x')))", "INSERT INTO a (a) VALUES (1)"),
    ("CREATE TABLE a (a, b AS (load_extension(a)))", "INSERT INTO a VALUES (1)"),
    ("CREATE TABLE a (a CHECK (load_extension(a)))", "INSERT INTO a VALUES (1)"),
    ("CREATE TABLE a (a); CREATE INDEX i ON a (load_extension(a))", "INSERT INTO a VALUES (1)"),
    ("CREATE TABLE a (a); CREATE INDEX i ON a (a) WHERE writefile('{file}', a)", "INSERT INTO a VALUES (1)"),
    (
        "CREATE TABLE a (a); CREATE TRIGGER r INSERT ON a BEGIN SELECT load_extension('x'); END",
        "INSERT INTO a VALUES (1)",
    ),
    (
        "CREATE TABLE a (a); CREATE TRIGGER r INSERT ON a BEGIN DELETE FROM messages WHERE thread_id = 'thread_a'; END",
        "INSERT INTO a VALUES (1)",
    ),
    ("CREATE VIRTUAL TABLE a USING pragma_journal_mode", "SELECT * FROM a"),
    ("CREATE VIRTUAL TABLE a USING sqlite_dbpage", "SELECT * FROM a"),
    ("CREATE VIRTUAL TABLE a USING messages", "DELETE FROM a WHERE thread_id = 'thread_a'"),
    ("CREATE VIRTUAL TABLE a USING messages", "UPDATE a SET metadata = NULL WHERE thread_id = 'thread_a'"),
    (
        "CREATE VIRTUAL TABLE a USING messages",
        "INSERT INTO a (thread_id, role, content) VALUES ('thread_a', 'user', 'x')",
    ),
    (
        "CREATE VIRTUAL TABLE a USING _returned_messages",
        "INSERT INTO a (thread_id, role, content) VALUES ('thread_a', 'user', 'x')",
    ),
    ("CREATE VIRTUAL TABLE threads USING threads", "DELETE FROM main.threads WHERE id = 'thread_a'"),
    (
        "CREATE VIRTUAL TABLE b USING messages; CREATE TABLE a (a); CREATE TRIGGER r INSERT ON a BEGIN "
        "DELETE FROM b WHERE thread_id = 'thread_a'; END",
        "INSERT INTO a VALUES (1)",
    ),
)


@pytest.mark.filterwarnings("ignore:the local file has a table:messages_dbapi.Warning")
@pytest.mark.parametrize(("script", "sql"), FILES)
@pytest.mark.parametrize("schema", ["main", "other"])
def test_a_hostile_file_opens_no_door(
    service: Service, prepare: Callable[[str], Path], tmp_path: Path, schema: str, script: str, sql: str
) -> None:
    service.thread(3, thread_id="thread_a")
    victim = tmp_path / "victim"
    file = prepare(script.format(file=victim))
    options = {"local": file} if schema == "main" else {"attach": {"other": file}}
    statement = sql.replace("main.", f"{schema}.")
    # SQLite may refuse the whole file, for its schema says what may not be said.
    with (
        pytest.raises((NotSupportedError, ProgrammingError, OperationalError)),
        service.connect(**options) as connection,
    ):
        connection.execute(statement).fetchall()
    assert not victim.exists()
    with service.connect() as connection:
        assert connection.execute("SELECT count(*) FROM messages WHERE thread_id = 'thread_a'").fetchone() == (3,)


def test_views_that_double_a_view_are_refused_in_time(service: Service, prepare: Callable[[str], Path]) -> None:
    doubling = (f"CREATE VIEW v{n} AS SELECT a FROM v{n - 1} UNION ALL SELECT a FROM v{n - 1};" for n in range(1, 60))
    file = prepare("CREATE VIEW v0 AS SELECT 1 AS a;" + "".join(doubling))
    with service.connect(local=file) as connection, pytest.raises(ProgrammingError, match="too many references"):
        connection.execute("SELECT count(*) FROM v59")


def test_a_file_s_own_views_of_the_service_still_work(service: Service, prepare: Callable[[str], Path]) -> None:
    service.thread(3, thread_id="thread_a")
    file = prepare(
        "CREATE VIRTUAL TABLE a USING messages; CREATE VIEW v AS SELECT id FROM a WHERE thread_id = 'thread_a'"
    )
    with service.connect(local=file) as connection:
        assert len(connection.execute("SELECT id FROM v").fetchall()) == 3


@pytest.mark.parametrize("option", ["local", "attach"])
def test_the_name_of_a_file_is_no_uri(service: Service, tmp_path: Path, option: str) -> None:
    other = tmp_path / "other.db"
    sqlite3.connect(other).close()
    name = f"file:{other}?mode=rwc"
    with pytest.raises(InterfaceError), service.connect(**{option: name if option == "local" else {"x": name}}):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["other.db"]


def test_more_files_than_sqlite_takes_are_refused(service: Service, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "other.db").close()
    with pytest.raises(InterfaceError, match="attach names 124 files, and SQLite takes at most 123"):
        service.connect(attach={f"a{n}": tmp_path / "other.db" for n in range(124)})
    with service.connect(attach={f"a{n}": tmp_path / "other.db" for n in range(123)}) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
