"""SQL text: tokens, statements, kinds, names, RETURNING and parameters, with SQLite as the judge."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import apsw
import pytest
import sqlparse.lexer
from hypothesis import given, settings
from hypothesis import strategies as st

from messages_dbapi.errors import NotSupportedError, ProgrammingError
from messages_dbapi.lexer import Token, meaningful, statements, tokenize
from messages_dbapi.sql import Kind, analyse, split

SEEDS = {
    "SELECT": """
    SELECT id, assistant_id, attachments, completed_at, content, created_at, incomplete_at, incomplete_details,
           metadata, object, role, run_id, status, thread_id
    FROM openai.assistants.messages WHERE thread_id = '{{ thread_id }}';
    """,
    "INSERT": """
    /*+ create */
    INSERT INTO openai.assistants.messages (data__role, data__content, data__attachments, data__metadata, thread_id)
    SELECT '{{ role }}', '{{ content }}', '{{ attachments }}', '{{ metadata }}', '{{ thread_id }}' ;
    """,
    "INSERT, required": """
    /*+ create */
    INSERT INTO openai.assistants.messages (data__role, data__content, thread_id)
    SELECT '{{ role }}', '{{ content }}', '{{ thread_id }}' ;
    """,
    "UPDATE": """
    /*+ update */
    UPDATE openai.assistants.messages SET metadata = '{{ metadata }}'
    WHERE message_id = '{{ message_id }}' AND thread_id = '{{ thread_id }}';
    """,
    "DELETE": """
    /*+ delete */
    DELETE FROM openai.assistants.messages WHERE message_id = '{{ message_id }}' AND thread_id = '{{ thread_id }}';
    """,
}

# Every way to write the table's full name; blanks and comments between the parts are put in by the tests.
SPELLINGS = (
    "openai.assistants.messages",
    "OpenAI.ASSISTANTS.Messages",
    '"openai"."assistants"."messages"',
    '"openai.assistants".messages',
    '"openai.assistants"."messages"',
    "`openai.assistants`.`messages`",
    "[openai.assistants].[messages]",
    '[openai].assistants."MESSAGES"',
    "'openai.assistants'.messages",
    "openai.'assistants'.messages",
    "assistants.messages",
    '"assistants".[messages]',
    '"openai.assistants.messages"',
    "[OpenAI.Assistants.Messages]",
)
GAPS = ("", " ", "\n", "\t/* openai.assistants.messages */ ", " -- openai.assistants.messages '\n", "/*;*/")
DECOYS = (
    "'openai.assistants.messages'",
    "'it''s openai.assistants.messages'",
    "'\\'",
    "'-- openai.assistants.messages'",
    "'/* openai.assistants.messages'",
    "x'00'",
    '1 AS "openai.assistants.messages"',
    "1 AS [a''b; openai.assistants.messages.id]",
    "1 /* \"'openai.assistants.messages */",
    "1 -- openai.assistants.messages ' \" [\n",
    "1e3",
    "5 AS größe",
)

FRAGMENTS = (
    *"'\"`[]();,.?:@#$*/-\\\n\t\x0b \ufeffaE09_|<>=!~&%+{}ä漢😀\x7f\x01",
    *("''", '""', "--", "/*", "*/", "/*/", "\r\n", "$$", "$a$", "$a::b(c)", ":name", "?12", "x'", "X'00'"),
    *("0x1F", "1_000.5e-3", ".5", "1.", "||", "->", "->>", "messages", "returning", "openai.assistants.messages"),
    *("CREATE", "TEMP", "TRIGGER", "BEGIN", "CASE", "END", "CREATE TRIGGER ", ";END", "; END ;"),
)
scripts = st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)


def text_of(tokens: list[Token]) -> str:
    return "".join(token.text for token in tokens)


def stand_in() -> apsw.Connection:
    """Open SQLite with plain tables in the places where the driver has those of the service."""
    connection = apsw.Connection(":memory:")
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
    connection.execute(
        """
        ATTACH ':memory:' AS "openai.assistants";
        CREATE TABLE "openai.assistants".messages (id, assistant_id, attachments, completed_at, content, created_at,
            incomplete_at, incomplete_details, metadata, object, role, run_id, status, thread_id, message_id,
            data__role, data__content, data__attachments, data__metadata);
        CREATE TABLE "openai.assistants".threads (id, metadata);
        CREATE TABLE main.t (id, messages, "returning", conflict);
        INSERT INTO "openai.assistants".messages (id, thread_id) VALUES ('remote', 'thread');
        INSERT INTO "openai.assistants".threads (id) VALUES ('thread');
        INSERT INTO main.t (id) VALUES ('local');
        """
    )
    return connection


@pytest.fixture(name="sqlite", scope="module")
def fixture_sqlite() -> apsw.Connection:
    return stand_in()


def compiles(connection: apsw.Connection, sql: str) -> None:
    """Let SQLite compile a text; it raises if that fails."""
    connection.execute("EXPLAIN " + sql, [None] * len(analyse(sql).parameters)).fetchall()


# Tokens


@given(scripts | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@settings(max_examples=500)
def test_token_texts_joined_are_the_text(text: str) -> None:
    tokens = tokenize(text)
    assert text_of(tokens) == text
    assert [token.position for token in tokens] == list(range(len(tokens)))


HOSTILE = (
    *(
        "''",
        "[]",
        "(",
        "/**/",
        "--\n",
        "$a$ ",
        "a:::",
        "1e+",
        "?",
        ";",
        "x''",
        "\\",
        "a ",
        "'a'||",
        "{",
        ".",
        "a,",
        "a.'b'.",
    ),
    *("CREATE TRIGGER ; END ", "openai.", "openai.assistants.messages,", "ON CONFLICT ", "RETURNING ", "(SELECT "),
    *("WITH a AS (", "a AS (SELECT 1), ", "AS ", "[a].", "DELETE FROM messages ", "?1,:a,", "/*"),
)


@pytest.mark.parametrize("part", HOSTILE)
@pytest.mark.parametrize("front", ["", "INSERT INTO messages SELECT ", "WITH "])
def test_hostile_text_is_read_to_its_end(part: str, front: str) -> None:
    text = front + part * (9_000 // len(part))
    assert text_of(tokenize(text)) == text
    with contextlib.suppress(ProgrammingError):
        analyse(text)


@pytest.mark.parametrize(
    ("opener", "part"),
    [
        *(("'", "''"), ('"', 'a""'), ("`", "``a"), ("[", "["), ("/*", "/* "), ("/*", "*"), ("--", "-"), ("x'", "0x[")),
        *(("$a(", "$a("), (":", ":"), ("@a", "::"), ("a", "a"), ("1", "1_"), ("0x", "0x"), ("1e", "1e")),
    ],
)
def test_what_is_not_closed_is_read_once(opener: str, part: str) -> None:
    # Were it tried and given up, the next quote, bracket or colon would begin the same again: work that
    # grows with the square of the length, hours for this one.
    first, *rest = tokenize(opener + part * (1_000_000 // len(part)))
    assert len(first.text) > 999_990
    assert len(rest) <= 1


@pytest.mark.parametrize("part", ["a", "''", "openai.assistants.messages ", "\\", ";", "漢", "/*", "--\n"])
def test_a_literal_of_a_megabyte_is_one_token(part: str) -> None:
    literal = "'" + part * (1_000_000 // len(part)) + "'"
    assert [token.text for token in tokenize(f"SELECT {literal}")] == ["SELECT", " ", literal]
    assert analyse(f"SELECT {literal};").sql == f"SELECT {literal}"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_quoted_text_is_read_as_sqlite_reads_it(sqlite: apsw.Connection, value: str) -> None:
    literal = "'" + value.replace("'", "''") + "'"
    for name in ('"' + value.replace('"', '""') + '"', "`" + value.replace("`", "``") + "`"):
        sql = f"SELECT/**/{literal}AS{name}--"
        tokens = meaningful(tokenize(sql))
        assert [token.type for token in tokens] == ["word", "string", "word", "quoted"]
        assert [tokens[1].spelling, tokens[3].spelling] == [value, value]
        cursor = sqlite.execute(sql)
        assert cursor.get_description()[0][0] == value
        assert cursor.fetchall() == [(value,)]


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("a$b", ["word"]),
        ("größe", ["word"]),
        ("a\ufeff", ["word"]),
        ("\ufeffa", ["blank", "word"]),
        (" \x0b", ["blank"]),
        ("\x0b", ["unknown"]),
        ("0x1F", ["number"]),
        ("1_000.5e-3", ["number"]),
        (".5", ["number"]),
        ("1.e", ["number"]),
        ("a.b", ["word", "sign", "word"]),
        ("a->>'b'", ["word", "sign", "string"]),
        ("1--2", ["number", "comment"]),
        ("1- -2", ["number", "sign", "blank", "sign", "number"]),
        ("X'00'x", ["blob", "word"]),
        ("$a::b(c d", ["parameter", "blank", "word"]),
        ("$a::b(c)d", ["parameter", "word"]),
        ("$$a$$", ["parameter"]),
        ("@a:b", ["parameter", "parameter"]),
        ("#1", ["parameter"]),
        ("/*/ */a", ["comment", "word"]),
        ("/*", ["sign", "sign"]),
        ("/* a", ["comment"]),
        ("/* /* */ */", ["comment", "blank", "sign", "sign"]),
        ("-- a\r'", ["comment"]),
        ("'\\'a", ["string", "word"]),
        ("[a'b\"]c", ["quoted", "word"]),
    ],
)
def test_tokens_are_those_of_sqlite(text: str, types: list[str]) -> None:
    assert [token.type for token in tokenize(text)] == types


def test_only_ascii_letters_are_folded() -> None:
    assert [token.name for token in meaningful(tokenize('THREADS [Ä] "\u212a" me\u017f\u017fages'))] == [
        "threads",
        "Ä",
        "\u212a",
        "me\u017f\u017fages",
    ]
    assert analyse("DELETE FROM me\u017f\u017fages").target is None


def test_the_shared_lexer_of_sqlparse_is_left_alone() -> None:
    shared: Any = sqlparse.lexer  # it declares no types
    assert [str(kind) for kind, _ in shared.tokenize("$$a$$")] == ["Token.Literal"]
    assert [str(kind) for kind, _ in shared.tokenize("select")] == ["Token.Keyword.DML"]


# Statements


@given(scripts)
@settings(max_examples=1000)
def test_statements_end_where_sqlite3_complete_says(text: str) -> None:
    tokens = tokenize(text)
    # It knows neither $a(…) nor the byte order mark.
    if "\ufeff" in text or any(token.type == "parameter" and "(" in token.text for token in tokens):
        return
    ended = len(statements(tokenize(text + "\n x"))) == len(statements(tokens)) + 1
    has_end = ended and any(token.text == ";" for token in tokens)
    assert apsw.complete(text + "\n") == has_end


@given(
    st.lists(
        st.sampled_from([*SEEDS.values(), "SELECT ';'", "/* ; */ SELECT 1 -- ;", 'DELETE FROM "a;b"', ";", "-- a"])
    )
)
def test_a_script_is_split_at_its_statements(pieces: list[str]) -> None:
    meant = [piece.strip(" \n;") for piece in pieces if piece not in (";", "-- a")]
    assert [piece.strip(" \n;") for piece in split("\n;\n".join(pieces)) if piece.replace("-- a", "").strip()] == meant


def test_blanks_around_a_statement_are_left_out() -> None:
    # A vertical tab is a blank only behind another; alone it has to reach SQLite, which refuses it.
    assert split(" \x0b\ufeffSELECT 1 \n; \x0bSELECT 2\t;\x0bSELECT 3") == ["SELECT 1", "SELECT 2", "\x0bSELECT 3"]
    assert analyse(" \x0b\ufeffSELECT 1 -- x\n").sql == "SELECT 1 -- x"


def test_only_a_trigger_holds_semicolons() -> None:
    for create in ("CREATE TABLE trigger (a)", "CREATE TEMP VIEW v AS SELECT 1", "CREATE INDEX i ON t (a)"):
        assert split(f"{create}; SELECT 1") == [create, "SELECT 1"]


def test_a_trigger_is_one_statement(sqlite: apsw.Connection) -> None:
    trigger = (
        "CREATE /* ; */ TEMP TRIGGER g AFTER INSERT ON t BEGIN "
        "SELECT CASE WHEN 1 THEN ';' ELSE CASE 1 WHEN 2 THEN 3 END END; UPDATE t SET id = 1; END"
    )
    assert split(f"SELECT 1; {trigger} ; BEGIN; SELECT CASE 1 WHEN 1 THEN 2 END; END;") == [
        "SELECT 1",
        trigger,
        "BEGIN",
        "SELECT CASE 1 WHEN 1 THEN 2 END",
        "END",
    ]
    assert analyse(trigger + ";").kind == "DDL"
    compiles(sqlite, analyse(trigger).sql)


@pytest.mark.parametrize(
    "text", ["", " \n", ";", "-- SELECT 1", "/*+ create */ ; ;", "/* SELECT 1; DELETE FROM t", "\ufeff"]
)
def test_a_text_without_a_statement_is_empty(text: str) -> None:
    assert analyse(text).kind == "EMPTY"
    assert split(text) == []


@pytest.mark.parametrize("text", ["SELECT 1; SELECT 2", ";SELECT 1;;/**/DELETE FROM t;", "SELECT ';'; x", "SELECT 1;'"])
def test_two_statements_are_refused(text: str) -> None:
    with pytest.raises(ProgrammingError, match="execute takes one statement at a time"):
        analyse(text)


@pytest.mark.parametrize("text", ["SELECT '\0'", "SELECT 1\0; DROP TABLE t", "SELECT '\ud800'"])
def test_text_that_sqlite_cannot_read_is_refused(text: str) -> None:
    with pytest.raises(ProgrammingError, match="position"):
        analyse(text)


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1", "SELECT"),
        ("/*+ create */ VALUES (1)", "SELECT"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "SELECT"),
        ("WITH replace AS (SELECT 1), b(x) AS NOT MATERIALIZED (VALUES (2)) SELECT * FROM replace", "SELECT"),
        ("WITH RECURSIVE a(x) AS MATERIALIZED (SELECT ')') INSERT INTO t (id) SELECT * FROM a", "INSERT"),
        ("WITH a AS (DELETE) UPDATE t SET id = 1", "UPDATE"),
        ("REPLACE INTO t VALUES (1)", "INSERT"),
        ("INSERT OR IGNORE INTO t VALUES (1)", "INSERT"),
        ("-- x\nupdate or fail t SET id = 1", "UPDATE"),
        ("Delete From t", "DELETE"),
        *(
            (f"{word} x", "DDL")
            for word in ("CREATE TABLE", "DROP TABLE", "ALTER TABLE", "REINDEX", "ANALYZE", "VACUUM")
        ),
        *((word, "TRANSACTION") for word in ("BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT a", "RELEASE a")),
        ("PRAGMA table_info(t)", "PRAGMA"),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
        ("explain query plan DELETE FROM messages", "EXPLAIN"),
        ("EXPLAIN", "EXPLAIN"),
        ("ATTACH 'x' AS y", "OTHER"),
        ("'SELECT'", "OTHER"),
        ("WITH", "OTHER"),
    ],
)
def test_kinds(sql: str, kind: Kind) -> None:
    text = analyse(sql)
    assert (text.kind, text.explain) == (kind, kind == "EXPLAIN")
    assert text.target is None


def test_the_verb_stands_behind_comments_and_common_tables() -> None:
    texts = (
        "/* x */ rollback",
        "replace into t values (1)",
        "WITH a AS (SELECT 1) DELETE FROM t",
        "explain x",
        "x",
        "",
    )
    assert [analyse(text).verb for text in texts] == ["ROLLBACK", "REPLACE", "DELETE", "EXPLAIN", "", ""]


WORDS = (
    *("EXPLAIN QUERY PLAN", "WITH", "RECURSIVE", "a AS (SELECT 1)", "INSERT INTO", "UPDATE", "DELETE FROM", "REPLACE"),
    *("OR IGNORE", "SET", "AS", "RETURNING", "ON CONFLICT", "DO NOTHING", "CREATE", "TEMP", "TABLE", "VIEW", "INDEX"),
    *(
        "TRIGGER",
        "BEGIN",
        "END",
        "IF NOT EXISTS",
        "DROP",
        "ALTER TABLE",
        "RENAME TO",
        "PRAGMA",
        "ON",
        "(",
        ")",
        ",",
        ".",
    ),
    *("*", ";", "?", ":a", "messages", "threads.id", "main.t", "'messages'", "temp", '"openai.assistants"', *SPELLINGS),
)


@given(
    st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
    | scripts
    | st.text(st.characters())  # with NUL and halves of surrogate pairs
    | st.lists(st.sampled_from((*WORDS, *FRAGMENTS, "\0", "\ud800")), max_size=12).map("".join)
)
@settings(max_examples=1000)
def test_any_text_is_either_refused_or_made_ready(operation: str) -> None:
    with contextlib.suppress(ProgrammingError, NotSupportedError):
        sql = analyse(operation).sql
        assert analyse(sql).sql == sql


# Names


@pytest.mark.parametrize(("name", "sql"), SEEDS.items())
def test_the_resource_s_own_statements(sqlite: apsw.Connection, name: str, sql: str) -> None:
    text = analyse(sql)
    assert text.kind == name.partition(",")[0]
    assert text.target == (None if name == "SELECT" else "messages")
    assert '"openai.assistants".messages' in text.sql
    compiles(sqlite, text.sql)


@st.composite
def spelled(draw: st.DrawFn, tail: str = "") -> str:
    """Draw one way to write the table's name, with gaps around its dots, and ``tail`` behind it."""
    spelling = draw(st.sampled_from(SPELLINGS))
    gaps = st.tuples(st.sampled_from(GAPS), st.sampled_from(GAPS))
    parts = [token.text for token in tokenize(spelling + tail)]
    return "".join(f"{before}.{after}" if part == "." else part for part in parts for before, after in [draw(gaps)])


SHAPES = (
    "SELECT {decoy}, {column} FROM {table}",
    "SELECT {decoy}, {star} FROM {table}",
    "SELECT {decoy}, m.id FROM {table} AS m",
    "SELECT {decoy}, m.id FROM t, {table} m WHERE EXISTS (SELECT {decoy} FROM {table} WHERE {column} = m.id)",
    "WITH a AS (SELECT * FROM {table}) SELECT {decoy}, a.id FROM a LEFT JOIN t ON a.id = t.messages",
    "SELECT {decoy}, id FROM t UNION ALL SELECT {decoy}, {column} FROM {table} ORDER BY 2 DESC LIMIT 1",
    "SELECT {decoy}, (SELECT max({column}) FROM {table} GROUP BY {column})",
    "SELECT {decoy}, max(v.id) FROM (SELECT * FROM {table}) AS v",
)


@given(st.data(), st.sampled_from(SHAPES))
@settings(max_examples=600)
def test_every_spelling_reads_the_service_s_table(sqlite: apsw.Connection, data: st.DataObject, shape: str) -> None:
    words = shape.replace("{", "\0{").replace("}", "}\0").split("\0")
    drawn = {
        "{table}": spelled(),
        "{column}": spelled(".id"),
        "{star}": spelled(".*"),
        "{decoy}": st.sampled_from(DECOYS),
    }
    sql = "".join(data.draw(drawn[word]) if word in drawn else word for word in words)
    assert sqlite.execute(analyse(sql).sql).fetchall()[0][1] == "remote"


@given(st.lists(st.sampled_from([*DECOYS, "x.openai.assistants.messages", "messages.id", "a.assistants.messages"])))
def test_what_only_looks_like_the_name_is_untouched(decoys: list[str]) -> None:
    sql = "SELECT " + ", ".join([*decoys, "1"])
    assert analyse(sql).sql == sql


@pytest.mark.parametrize(
    ("sql", "result"),
    [
        ("SELECT openai.assistants.messages.id", 'SELECT "openai.assistants".messages.id'),
        ("SELECT openai.assistants.threads.*, 1", 'SELECT "threads".*, 1'),
        (
            "SELECT[assistants].[messages].*FROM[assistants].[messages]WHERE 1",
            'SELECT"messages".*FROM"openai.assistants".[messages]WHERE 1',
        ),
        ("SELECT * FROM openai -- a\n.assistants.messages", 'SELECT * FROM "openai.assistants" -- a\n.messages'),
        ("SELECT name FROM openai.assistants.sqlite_schema", 'SELECT name FROM "openai.assistants".sqlite_schema'),
        ("SELECT assistants.id FROM t AS assistants",) * 2,
        ("SELECT openai.assistants FROM openai",) * 2,
        ("SELECT openai.assistants.messages.id.x",) * 2,
        ("SELECT x.openai.assistants.messages",) * 2,
        ("PRAGMA openai.assistants.table_info(messages)", 'PRAGMA "openai.assistants".table_info(messages)'),
        ("PRAGMA table_info(openai.assistants.messages)", 'PRAGMA table_info("messages")'),
        (
            "CREATE VIEW v AS SELECT assistants.messages.id FROM openai.assistants.messages",
            'CREATE VIEW v AS SELECT "messages".id FROM "messages"',
        ),
        (
            "CREATE VIEW IF NOT EXISTS main.v AS SELECT * FROM openai.assistants.threads",
            'CREATE VIEW IF NOT EXISTS main.v AS SELECT * FROM "threads"',
        ),
        (
            "CREATE TEMP VIEW v AS SELECT * FROM openai.assistants.threads",
            'CREATE TEMP VIEW v AS SELECT * FROM "openai.assistants".threads',
        ),
        (
            "CREATE VIEW temp.v AS SELECT * FROM openai.assistants.threads",
            'CREATE VIEW temp.v AS SELECT * FROM "openai.assistants".threads',
        ),
        (
            "CREATE TABLE x AS SELECT * FROM assistants.threads",
            'CREATE TABLE x AS SELECT * FROM "openai.assistants".threads',
        ),
        (
            "CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO openai.assistants.threads (id) VALUES (1); END",
            'CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO "threads" (id) VALUES (1); END',
        ),
    ],
)
def test_names_are_rewritten(sql: str, result: str) -> None:
    assert analyse(sql).sql == result


@pytest.mark.parametrize("sql", ["SELECT * FROM {}", "INSERT INTO {} VALUES (1)", "SELECT {}.id", "DROP TABLE {}"])
@pytest.mark.parametrize(
    "name", ["openai.assistants.files", '"openai.assistants".messagez', "OPENAI . `assistants` . [x]"]
)
def test_a_table_that_the_service_does_not_have(sql: str, name: str) -> None:
    with pytest.raises(
        ProgrammingError,
        match=r"tables are (openai\.assistants\.\w+, )+openai\.assistants\.\w+ and openai\.assistants\.transcript",
    ):
        analyse(sql.format(name))


# Writes


@pytest.mark.parametrize(
    ("sql", "target", "alias", "conflict"),
    [
        ("INSERT INTO messages AS m (id) VALUES (1)", "messages", "m", None),
        ('INSERT OR Ignore INTO "Threads" AS "a ""b" (id) VALUES (1)', "threads", 'a "b', "IGNORE"),
        ("REPLACE INTO openai.assistants.threads (id) VALUES (1)", "threads", None, "REPLACE"),
        ("INSERT INTO 'messages' (id) VALUES (1)", "messages", None, None),
        ("INSERT INTO threads (id) SELECT 1 WHERE 1 ON CONFLICT DO NOTHING", "threads", None, "UPSERT"),
        ("INSERT INTO threads (id) VALUES (1) ON /**/ CONFLICT (id) DO UPDATE SET id = 2", "threads", None, "UPSERT"),
        ("INSERT INTO threads (id) SELECT t.id FROM t JOIN threads ON conflict", "threads", None, None),
        (
            "INSERT INTO threads (id) VALUES (1), (2) ON CONFLICT (id) WHERE id > (1) DO NOTHING",
            "threads",
            None,
            "UPSERT",
        ),
        ("WITH a AS (SELECT 1) INSERT INTO assistants.messages (id) SELECT * FROM a", "messages", None, None),
        ("UPDATE OR ABORT [messages] AS m SET id = m.id", "messages", "m", "ABORT"),
        ("UPDATE messages NOT INDEXED SET id = 1", "messages", None, None),
        ("WITH a AS (SELECT 1) UPDATE `openai`.assistants.threads SET id = 2 FROM t AS x", "threads", None, None),
        ("DELETE FROM openai.assistants.messages AS m NOT INDEXED WHERE m.id = 1", "messages", "m", None),
        ("INSERT INTO main.t (id) SELECT id FROM messages", None, None, None),
        ("DELETE FROM t AS messages", None, None, None),
        ("REPLACE INTO t (id) VALUES (1)", None, None, None),
        ("EXPLAIN DELETE FROM messages AS m", None, None, None),
    ],
)
def test_targets(
    sqlite: apsw.Connection, sql: str, target: str | None, alias: str | None, conflict: str | None
) -> None:
    text = analyse(sql)
    assert (text.target, text.alias, text.conflict) == (target, alias, conflict)
    if conflict != "UPSERT":
        compiles(sqlite, text.sql.removeprefix("EXPLAIN "))


def test_a_local_table_of_the_same_name_is_local() -> None:
    for name in ("main.messages", '"main".[messages]', "temp.messages", "shop.threads"):
        for sql in (f"INSERT INTO {name} VALUES (1) RETURNING *", f"UPDATE {name} SET a = 1", f"DELETE FROM {name}"):
            assert (analyse(sql).target, analyse(sql).sql, analyse(sql).returning) == (None, sql, None)


@pytest.mark.parametrize(
    ("sql", "rest", "returning"),
    [
        ("DELETE FROM messages RETURNING *", "DELETE FROM messages", "*"),
        ("DELETE FROM messages /* a */ returning/**/id -- x\n;", "DELETE FROM messages /* a */", "/**/id"),
        (
            "DELETE FROM threads WHERE id = 'returning' RETURNING(id)",
            "DELETE FROM threads WHERE id = 'returning'",
            "(id)",
        ),
        ('INSERT INTO threads (id) SELECT "returning" FROM t',) * 2 + (None,),
        ("DELETE FROM threads RETURNING",) * 2 + (None,),
        ("DELETE FROM threads RETURNING id RETURNING 1", "DELETE FROM threads", "id RETURNING 1"),
        ("DELETE FROM t RETURNING openai",) * 2 + (None,),
        (
            "DELETE FROM threads AS x RETURNING assistants.threads.*, x.id",
            "DELETE FROM threads AS x",
            '"threads".*, x.id',
        ),
        (
            "DELETE FROM threads RETURNING assistants.threads.id, (SELECT max(messages.id) FROM assistants.messages)",
            "DELETE FROM threads",
            '"threads".id, (SELECT max(messages.id) FROM "openai.assistants".messages)',
        ),
    ],
)
def test_returning_is_cut_off(sql: str, rest: str, returning: str | None) -> None:
    text = analyse(sql)
    assert (text.sql, text.returning) == (rest, returning)


def test_explain_of_a_write_has_no_returning() -> None:
    text = analyse("EXPLAIN UPDATE messages SET metadata = ? RETURNING id, ?")
    assert (text.sql, text.returning) == ("EXPLAIN UPDATE messages SET metadata = ?1", None)
    assert (text.parameters, text.sql_parameters, text.returning_parameters) == ((None, None), (1,), ())


PARAMETERS = ("?", "?1", "?3", "?0000002", ":a", "@a", "$b", ":b", "$c::d(e)", "'?'", "1")


@given(st.lists(st.sampled_from(PARAMETERS), min_size=1, max_size=6), st.lists(st.sampled_from(PARAMETERS), max_size=6))
@settings(max_examples=300)
def test_both_halves_of_a_cut_statement_bind_what_the_whole_binds(body: list[str], columns: list[str]) -> None:
    rows = " UNION ALL ".join(f"SELECT {n}, {value}" for n, value in enumerate(body))
    sql = f"INSERT INTO threads (id, metadata) {rows} RETURNING {', '.join(['id', 'metadata', *columns])}"
    text = analyse(sql)
    values = [f"value {number}" for number in range(1, len(text.parameters) + 1)]
    whole, halves = stand_in(), stand_in()
    expected = whole.execute(sql, values).fetchall()
    halves.execute("DELETE FROM threads")
    halves.execute(text.sql, [values[number - 1] for number in text.sql_parameters])
    bound = [values[number - 1] for number in text.returning_parameters]
    assert halves.execute(f"SELECT {text.returning} FROM threads", bound).fetchall() == expected


@given(st.lists(st.sampled_from(PARAMETERS), max_size=8))
def test_parameters_are_numbered_and_named_as_sqlite_does(sqlite: apsw.Connection, values: list[str]) -> None:
    text = analyse(f"SELECT {', '.join([*values, '0'])}")
    assert text.sql_parameters == tuple(range(1, len(text.parameters) + 1))
    cursor = sqlite.cursor()
    cursor.execute(text.sql, [None] * len(text.parameters))
    names = [name if name is None or not name[0].isdigit() else None for name in cursor.bindings_names]
    assert list(text.parameters) == names


def test_a_parameter_number_that_sqlite_will_refuse_costs_nothing() -> None:
    with pytest.raises(ProgrammingError, match=r"32,766.*json_each"):
        analyse("SELECT ?" + "9" * 100_000)
    assert len(analyse("SELECT ?32766").parameters) == 32_766
    assert analyse("SELECT ?0").parameters == (None,)


# What would hide or change the service's tables


@pytest.mark.parametrize("name", ["messages", '"Messages"', "'threads'", "[threads]", '"openai.assistants.messages"'])
@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE {} (a)",
        "create table if not exists {} (a)",
        "CREATE TEMP TABLE {} AS SELECT 1",
        "CREATE TEMPORARY VIEW {} AS SELECT 1",
        "CREATE VIEW {} AS SELECT 1",
        "CREATE VIRTUAL TABLE {} USING fts5(a)",
        "CREATE UNIQUE INDEX {} ON t (id)",
        "CREATE TABLE temp.{} (a)",
        "CREATE TABLE openai.assistants.{} (a)",
        "CREATE VIEW assistants.{} AS SELECT 1",
        "EXPLAIN CREATE TABLE {} (a)",
    ],
)
def test_a_new_table_may_not_hide_one_of_the_service(sql: str, name: str) -> None:
    if "." in name and "." in sql:
        return
    with pytest.raises(ProgrammingError, match=r"to make a local one, write CREATE .* main\.(?i:messages|threads)"):
        analyse(sql.format(name))


def test_nothing_is_created_in_the_service_s_schema() -> None:
    with pytest.raises(ProgrammingError, match=r"write CREATE TABLE main\.notes"):
        analyse("CREATE TABLE openai.assistants.notes (a)")


def test_renaming_may_not_hide_one_of_the_service() -> None:
    with pytest.raises(ProgrammingError, match="would hide the service's Threads"):
        analyse("ALTER TABLE t RENAME TO [Threads]")


@pytest.mark.parametrize(
    "name", ["messages", "openai.assistants.threads", '"openai.assistants".`messages`', "'threads'"]
)
@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE {}",
        "DROP VIEW IF EXISTS {}",
        "ALTER TABLE {} RENAME TO x",
        "ALTER TABLE {} ADD COLUMN x",
        "CREATE INDEX i ON {} (id)",
        "CREATE UNIQUE INDEX IF NOT EXISTS i ON {} (id)",
        "CREATE TRIGGER g AFTER UPDATE OF id, role ON {} BEGIN SELECT 1; END",
        "CREATE TEMP TRIGGER IF NOT EXISTS g INSTEAD OF DELETE ON {} BEGIN SELECT 1; END",
    ],
)
def test_the_service_s_tables_stay_as_they_are(sql: str, name: str) -> None:
    with pytest.raises(NotSupportedError, match="is the service's and stays as it is"):
        analyse(sql.format(name))


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE main.messages (id)",
        'CREATE TABLE IF NOT EXISTS "main"."threads" (id)',
        "CREATE VIEW main.messages AS SELECT 1",
        "CREATE INDEX main.i ON messages (id)",
        "CREATE TRIGGER main.g AFTER DELETE ON messages BEGIN SELECT 1; END",
        "CREATE TEMP TRIGGER g AFTER DELETE ON main.messages BEGIN SELECT 1; END",
        "DROP TABLE main.messages",
        "ALTER TABLE main.messages RENAME TO old",
        "ALTER TABLE main.t RENAME TO messages",
        "ALTER TABLE t RENAME COLUMN a TO messages",
        "CREATE TABLE notes (messages, threads)",
        "CREATE TRIGGER messages AFTER INSERT ON t BEGIN SELECT 1; END",
    ],
)
def test_local_tables_may_have_any_name(sql: str) -> None:
    assert analyse(sql).sql == sql


def test_repeated_statements_are_looked_at_once() -> None:
    assert analyse("SELECT 1 FROM openai.assistants.messages") is analyse("SELECT 1 FROM openai.assistants.messages")
    long = f"SELECT '{'a' * 200_000}'"
    assert analyse(long) is not analyse(long)


@pytest.mark.parametrize(
    ("operation", "columns"),
    [
        ("INSERT INTO messages (thread_id, Role, [content]) VALUES (1, 2, 3)", ("thread_id", "Role", "content")),
        ("REPLACE INTO messages (a) SELECT b FROM t", ("a",)),
        ('INSERT INTO openai.assistants.messages AS m ("a", `b`) VALUES (1, 2)', ("a", "b")),
        ("INSERT INTO messages SELECT (a) FROM t", ()),
        ("INSERT INTO messages DEFAULT VALUES", ()),
        ("INSERT INTO local (a) VALUES (1)", ()),
    ],
)
def test_columns_of_an_insert(operation: str, columns: tuple[str, ...]) -> None:
    """The columns that an INSERT into the service's table lists, without their quotes."""
    assert analyse(operation).columns == columns


@pytest.mark.parametrize(
    ("assignments", "constants"),
    [
        ("metadata = '{}'", [("metadata", "'{}'", ())]),
        ("[metadata] = ? ", [("metadata", "?1", (1,))]),
        ("metadata = :m", [("metadata", "?1", (1,))]),
        ("metadata = NULL", [("metadata", "NULL", ())]),
        ("metadata = json_object('a', 1 - -1, ?)", [("metadata", "json_object ( 'a' , 1 - - 1 , ?1 )", (1,))]),
        ("role = 1, metadata = '{}'", [("role", "1", ()), ("metadata", "'{}'", ())]),
        ("metadata = role, data__metadata = 2", [("data__metadata", "2", ())]),
        ('metadata = json_set("metadata", 1)', []),
        ("metadata = (SELECT 1)", []),
        ("metadata = CASE WHEN 1 THEN 2 END", []),
        ("(metadata, role) = (1, 2)", []),
    ],
)
@pytest.mark.parametrize("end", ["", " WHERE id = 'x, y'", " FROM t WHERE a = 1", " WHERE 1 RETURNING id"])
def test_constants_of_an_update(assignments: str, constants: list[tuple[str, str, tuple[int, ...]]], end: str) -> None:
    """What SET gives without looking at a row can be evaluated beforehand; anything else is left alone."""
    found = analyse(f"UPDATE messages SET {assignments}{end}").constants
    assert list(found) == constants


# Against SQLite itself, at random


# Expressions that hold the name as text or not at all, with the values they have.
LITERALS: tuple[tuple[str, object], ...] = (
    ("'openai.assistants.messages'", "openai.assistants.messages"),
    ("'it''s \"openai\".assistants.messages.id'", 'it\'s "openai".assistants.messages.id'),
    ("' -- openai.assistants.messages'", " -- openai.assistants.messages"),
    ("'/* openai.assistants.messages */'", "/* openai.assistants.messages */"),
    ("''''", "'"),
    ("''", ""),
    ("'\\'", "\\"),
    ("'$a$ ?1 :b @c'", "$a$ ?1 :b @c"),
    ("'RETURNING [id]; DELETE FROM messages'", "RETURNING [id]; DELETE FROM messages"),
    ("x'27'", b"'"),
    ("X'2D2d'", b"--"),
    ("1e3", 1000.0),
    (".5", 0.5),
    ("0x1F", 31),
    ("1_000", 1000),
    ("1- -1", 2),
    ("1/*'*/-1", 0),
    ("'a'||/*openai.assistants.messages*/'b'", "ab"),
    ("'{\"a\":1}'->>'a'", 1),
    ("CASE 1 WHEN 1 THEN 'openai.assistants.threads' END", "openai.assistants.threads"),
    ("(SELECT 'assistants.messages' AS [openai.assistants.messages])", "assistants.messages"),
    ("NULL", None),
)
BLANKS = (" ", "\n", "\t", "\f", "\r\n", " \x0b", " \ufeff", "/* ' \" [ */", "/*/ */", "-- assistants.messages\n")


def test_only_names_are_rewritten(sqlite: apsw.Connection, many: Callable[[int, int], int]) -> None:
    """Literals keep their values, and names in every spelling read the service's table, whatever is between."""
    pick = random.Random(3)
    for _ in range(many(2_000, 100_000)):
        parts, values = ["SELECT"], []
        for _ in range(pick.randrange(1, 8)):
            literal, value = pick.choice(LITERALS)
            name = pick.choice((None, "{}.id", "m.id", "max({}.id)OVER()"))
            text = literal if name is None else name.format(dotted(pick))
            parts += [text, *pick.choice(((), (f"AS{pick.choice(BLANKS)}{pick.choice(ALIASES)}",))), ","]
            values.append(value if name is None else "remote")
        parts += ["0", "FROM", dotted(pick), f",(SELECT id FROM {dotted(pick)}) AS m"]
        sql = "".join(part + pick.choice(BLANKS) for part in parts)
        found = sqlite.execute(analyse(sql).sql).fetchall()
        assert found == [(*values, 0)], sql


ALIASES = ("a", '"openai.assistants.messages"', "[it's; a -- b]", "`a``b`", "größe", "'x.y'")


def dotted(pick: random.Random) -> str:
    """Write the name of the service's table in one of its spellings, with blanks and comments around its dots."""
    tokens = [token.text for token in tokenize(pick.choice(SPELLINGS))]
    return "".join(f"{pick.choice(GAPS)}.{pick.choice(GAPS)}" if token == "." else token for token in tokens)


class _Anything(dict[str, None]):
    """Have no value for any parameter."""

    def __missing__(self, name: str) -> None:
        return None


def said(connection: apsw.Connection, sql: str) -> tuple[object, ...]:
    """Let SQLite compile a text, and give what it finds in it, or what it says is wrong."""
    cursor = connection.cursor()
    cursor.exec_trace = lambda *_: False
    try:
        cursor.execute(sql, _Anything(), can_cache=False)
    except apsw.ExecTraceAbort:
        return (*cursor.bindings_names, len(cursor.description_full))
    except apsw.Error as error:
        return (type(error), str(error))
    return ()


def test_tokens_end_where_those_of_sqlite_end(sqlite: apsw.Connection, many: Callable[[int, int], int]) -> None:
    """A comment between two tokens changes nothing; were one of them cut in two, it would."""
    pick = random.Random(5)
    compiled = 0
    for _ in range(many(5_000, 200_000)):
        tokens = [token.text for token in tokenize(pick.choice(COMPILED))]
        for _ in range(pick.randrange(3)):
            tokens[pick.randrange(len(tokens))] = pick.choice((*FRAGMENTS, *tokens))
        sql = "".join(tokens)
        tokens = [token.text for token in tokenize(sql)]
        expected = said(sqlite, sql)
        compiled += expected != () and not isinstance(expected[0], type)
        assert said(sqlite, "/**/".join(tokens)) == expected, sql
    assert compiled > 500


COMPILED = (
    "SELECT t.id, 1e3+.5*0x1F-1_0, 'a''b'||x'00'->>'$' FROM t WHERE id<>?1 AND id!=:a OR id IN($b::c(d),@e,?)",
    'SELECT"id","t"."id",[t].[id],`t`.`id`FROM"t"AS"größe"WHERE(1<<2>>1|3&4)>=5',
    "WITH a(b)AS(SELECT 1)SELECT*FROM a LEFT JOIN t ON a.b==t.id ORDER BY 1 DESC LIMIT 1/*c*/--d\n",
    "INSERT INTO t(id)VALUES(1),('x')RETURNING id,~1%2",
    "SELECT CASE WHEN 1 THEN 2 ELSE 3 END,-1,- -1,+1,1.,1.e1 FROM t\x0c WHERE 1;",
)
