"""The command ``messages-sql``, in process and as a process of its own."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from messages_dbapi import __version__, demo, sql
from messages_dbapi.arguments import parse_query
from messages_dbapi.cli import main
from messages_dbapi.embedded.documents import Draft
from messages_dbapi.options import OPTION_NAMES
from messages_dbapi.printing import NULL, Result, print_csv, print_json, print_table
from messages_dbapi.types import Column, Row

from .service import Service

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals, pipes or terminals of POSIX")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep whatever the command writes by itself in the test's own folder, and start there."""
    for name in ("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    # It would hide what is lost in buffers.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in process; give its status, output and errors."""

    def run(*argv: str) -> tuple[int, str, str]:
        try:
            status = main(argv)
        except SystemExit as left:
            status = int(left.code or 0)
        return (status, *capsys.readouterr())

    return run


@pytest.fixture
def url(service: Service) -> str:
    """Give the URL of a service with one thread of three messages."""
    service.thread_of(
        [
            Draft(content="one", created_at=1_700_000_000, metadata={"n": "1"}),
            Draft(content="zwei\nLinien", role="assistant", created_at=1_700_000_001),
            Draft(content='drei "3", 三', created_at=1_700_000_002),
        ],
        thread_id="thread_a",
    )
    return _url(service)


def _url(service: Service) -> str:
    return service.base_url.replace("http://", "messages+http://", 1)


def process(*argv: str, stdin: str | bytes = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command as a process."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    command = (sys.executable, "-m", "messages_dbapi", *argv)
    return subprocess.run(command, input=data, capture_output=True, env={**os.environ, **environment}, timeout=60)


def _text(data: bytes) -> str:
    # Windows ends the lines of standard error its own way.
    return data.decode().replace("\r\n", "\n")


# The demonstration


def _demonstration(file: str | None = None) -> str:
    stream = io.StringIO()
    demo.show(stream, 80, file)
    return stream.getvalue()


def test_the_demonstration_is_the_same_each_time_but_for_the_id_that_the_service_makes() -> None:
    first, second = (re.sub(r"msg_\w{24}", "msg_made", _demonstration()) for _ in range(2))
    assert first == second
    assert first.count("msg_made") == 3


def test_the_demonstration_fits_a_terminal_of_80_columns() -> None:
    assert max(map(_width, _demonstration().splitlines())) <= 80


def test_the_demonstration_shows_every_kind_of_statement_and_its_answer() -> None:
    text = _demonstration()
    statements = [piece.split(";\n\n")[0] for piece in re.split(r"-- \d\. .*\n", text)[1:]]
    kinds = [sql.analyse(statement).kind for statement in statements]
    assert kinds == ["SELECT", "SELECT", "INSERT", "UPDATE", "SELECT", "SELECT", "DELETE"]
    assert [hint in text for hint in ("/*+ create */", "/*+ update */", "/*+ delete */")] == [True] * 3
    assert "GROUP BY" in text
    # The message that the INSERT made is the newest one, with the labels of the UPDATE.
    assert re.search(r'ORDER BY created_at DESC.*\n\n.*\n.*\nthread_lisbon +user +\{"channel":"desk"\} +And the', text)
    assert "2026-03-02  support         4      2       90\n" in text
    assert "2026-03-04  travel          1      1       33\n" in text
    assert text.count("(1 row)") == 2


def test_what_the_demonstration_proposes_works(run: Run) -> None:
    proposed = [shlex.split(line)[1:] for line in _demonstration().splitlines() if line.startswith("  messages-sql")]
    kept, queried, served = proposed
    assert run(*kept)[0] == 0
    status, output, _ = run(*queried)
    assert status == 0
    assert "And if it rains?" in output
    assert served == ["serve", "--store", "demo.db"]


def test_the_demonstration_overwrites_no_file(run: Run) -> None:
    Path("kept.db").write_bytes(b"mine")
    status, output, error = run("demo", "--store", "kept.db")
    assert (status, output) == (1, "")
    assert error == "error: kept.db is there already: name a new file for the samples\n"
    assert Path("kept.db").read_bytes() == b"mine"


def test_the_demonstration_runs_as_a_process() -> None:
    done = process("demo")
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Salvato! 🍚 Perfetto." in done.stdout.decode()


# Formats


def test_a_table_in_a_pipe_is_aligned_and_whole(run: Run, url: str) -> None:
    status, output, error = run(url, "--thread-id", "thread_a", "-c", "SELECT role, content_text, run_id FROM messages")
    assert status == 0
    assert output == (
        "role       content_text  run_id\n"
        "---------  ------------  ------\n"
        "user       one           (null)\n"
        "assistant  zwei\\nLinien  (null)\n"
        'user       drei "3", 三  (null)\n'
    )
    assert error == "3 rows\n"


def test_numbers_stand_on_the_right(run: Run) -> None:
    _, output, _ = run(
        "messages://", "-c", "SELECT 1 AS n, 'x' AS s UNION ALL SELECT 1000, 'y' UNION ALL SELECT NULL, 'z'"
    )
    assert output.splitlines()[2:] == ["     1  x", "  1000  y", "(null)  z"]


def test_csv_is_for_programs(run: Run, url: str) -> None:
    _, output, _ = run(
        url, "--thread-id", "thread_a", "-c", "SELECT content_text, run_id FROM messages", "--format", "csv"
    )
    rows = list(csv.reader(io.StringIO(output, newline="")))
    assert rows == [["content_text", "run_id"], ["one", ""], ["zwei\nLinien", ""], ['drei "3", 三', ""]]


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_a_time_is_printed_as_sql_has_it(run: Run, url: str, form: str) -> None:
    statement = "SELECT created, created || '' AS text FROM transcript"
    _, output, _ = run(url, "--thread-id", "thread_a", "-c", statement + " LIMIT 1", "--format", form)
    first, second = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", output)
    assert first == second


def test_json_has_typed_values_and_arrays_and_objects_as_such(run: Run, url: str) -> None:
    statement = (
        "SELECT content, metadata, created_at, run_id, 1.5 AS half, json_array(1) AS text, 1 AS half FROM messages"
    )
    _, output, _ = run(url, "--thread-id", "thread_a", "-c", statement + " LIMIT 1", "--format", "json")
    [row] = json.loads(output)
    assert row == {
        "content": [{"type": "text", "text": {"value": "one", "annotations": []}}],
        "metadata": {"n": "1"},
        "created_at": 1_700_000_000,
        "run_id": None,
        "half": 1.5,
        "text": "[1]",
        "half_2": 1,
    }


@pytest.mark.parametrize(
    ("form", "expected"), [("table", "a\n-\n\na\n-\n1\n"), ("csv", "a\na\n1\n"), ("json", '[]\n[\n{"a": 1}\n]\n')]
)
def test_each_statement_answers_on_its_own(run: Run, form: str, expected: str) -> None:
    statements = "SELECT 1 AS a WHERE 0; CREATE TABLE t (b); SELECT 1 AS a;"
    status, output, error = run("messages://", "-c", statements, "--format", form)
    assert (status, output) == (0, expected)
    assert error == "0 rows\ndone\n1 row\n"


def _columns(count: int, code: str | None = None) -> list[Column]:
    return [(f"c{number}", code, None, None, None, None, None) for number in range(count)]


def _width(line: str) -> int:
    """Measure a line anew, by the rule of the terminal."""
    wide = sum(unicodedata.east_asian_width(character) in ("W", "F") for character in line)
    none = sum(unicodedata.category(character) in ("Mn", "Me", "Cf") for character in line)
    return len(line) + wide - none


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text(
    "ab\n\t\x1b\x9b\u2028\u202e中🍚é", max_size=60
)
_values = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | _texts


@st.composite
def _tables(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> list[Row]:
    width = draw(st.integers(1, 6))
    return draw(st.lists(st.tuples(*[values] * width), min_size=1, max_size=5))


@given(rows=_tables(_texts), width=st.integers(20, 120))
def test_a_table_on_a_terminal_fits_it_and_holds_no_control_character(rows: list[Row], width: int) -> None:
    stream = io.StringIO()
    assert print_table(Result(_columns(len(rows[0])), rows), stream, width) == len(rows)
    lines = stream.getvalue().split("\n")
    as_table, as_records = 2 + len(rows), len(rows) * (1 + len(rows[0]))
    assert len(lines) - 1 == (as_records if lines[0].startswith("-- row 1") else as_table)
    assert max(map(_width, lines)) <= width
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", "".join(lines))


@given(rows=_tables(_values))
def test_json_and_csv_give_the_values_back(rows: list[Row]) -> None:
    columns = _columns(len(rows[0]))
    stream = io.StringIO()
    print_json(Result(columns, rows), stream)
    assert [tuple(row.values()) for row in json.loads(stream.getvalue())] == rows
    stream = io.StringIO()
    print_csv(Result(columns, rows), stream)
    read = list(csv.reader(io.StringIO(stream.getvalue(), newline="")))[1:]
    assert read == [["" if value is None else str(value) for value in row] for row in rows]


@given(number=st.integers(10**18, 2**63 - 1), text=st.text("x", min_size=80, max_size=200))
def test_a_number_is_never_cut(number: int, text: str) -> None:
    stream = io.StringIO()
    print_table(Result(_columns(3), [(text, number, text)]), stream, 60)
    assert not stream.getvalue().startswith("-- row")
    assert str(number) in stream.getvalue().split()


def test_a_row_too_wide_for_the_terminal_is_a_record() -> None:
    stream = io.StringIO()
    print_table(Result(_columns(14), [(*(f"value {number}" for number in range(13)), None)]), stream, 80)
    head, *lines = stream.getvalue().splitlines()
    assert head.startswith("-- row 1 --")
    assert lines[0] == "c0   value 0"
    assert lines[13] == f"c13  {NULL}"


@pytest.mark.parametrize("text", ["{'no'", "[NaN]", "[" * 100_000, "", '"\\ud800"', "[1e5, 12345678901234567890]"])
def test_a_local_column_declared_json_may_hold_anything(text: str) -> None:
    stream = io.StringIO()
    print_json(Result(_columns(1, "JSON"), [(text,)]), stream)
    [row] = json.loads(stream.getvalue(), parse_constant=lambda name: pytest.fail(name))
    assert row["c0"] in (text, "\ud800", [1e5, 12345678901234567890])


def test_blobs_and_infinity_have_a_text(run: Run) -> None:
    statement = "SELECT x'00ff' AS b, 9e999 AS f"
    assert run("messages://", "-c", statement, "--format", "json")[1] == '[\n{"b": "00ff", "f": "inf"}\n]\n'
    assert run("messages://", "-c", statement, "--format", "csv")[1] == "b,f\n00ff,inf\n"
    assert run("messages://", "-c", statement)[1].splitlines()[2] == "x'00ff'  inf"


# Statements


def test_a_write_says_how_many_rows_and_the_id_that_was_made(run: Run, url: str, service: Service) -> None:
    insert = "INSERT INTO messages (thread_id, role, content) VALUES ('thread_a', 'user', 'x')"
    status, output, error = run(url, "-c", insert)
    assert (status, output) == (0, "")
    made = re.fullmatch(r"1 row, id (msg_\w+)\n", error)
    assert made is not None
    assert service.store.message("thread_a", made[1])
    assert run(url, "-c", "DELETE FROM messages WHERE thread_id = 'thread_a'")[2] == "4 rows\n"
    _, output, error = run(url, "-c", f"{insert} RETURNING role")
    assert output == "role\n----\nuser\n"
    assert error.startswith("1 row, id msg_")


def test_the_first_statement_that_fails_ends_the_run(run: Run, url: str, service: Service) -> None:
    script = "SELECT 1 AS a; SELECT nope FROM messages; DELETE FROM messages WHERE thread_id = 'thread_a'"
    status, output, error = run(url, "-c", script)
    assert (status, output) == (1, "a\n-\n1\n")
    assert error.startswith("1 row\nerror: statement 2 of 3: no such column: nope")
    assert [seen for seen in service.seen if seen.method == "DELETE"] == []


def test_texts_and_files_run_in_the_order_of_the_command_line(run: Run) -> None:
    Path("b.sql").write_text("\ufeffSELECT 'b;c' AS v; -- nothing more;\n", encoding="utf-8")
    argv = ("-c", "SELECT 'a' AS v", "-f", "b.sql", "messages://", "-c", "SELECT 'd' AS v;;", "--format", "csv")
    assert run(*argv)[1].split() == ["v", "a", "v", "b;c", "v", "d"]


def test_an_open_transaction_is_committed_after_success_only(run: Run) -> None:
    local = ("messages://", "-o", "local=local.db")
    run(*local, "-c", "CREATE TABLE t (a); BEGIN; INSERT INTO t VALUES (1)")
    assert run(*local, "-c", "BEGIN; INSERT INTO t VALUES (2); SELECT nope")[0] == 1
    assert run(*local, "-c", "SELECT a FROM t", "--format", "csv")[1] == "a\n1\n"
    assert run(*local, "-c", "INSERT INTO t VALUES (3); SELECT nope")[0] == 1
    assert run(*local, "-c", "SELECT a FROM t", "--format", "csv")[1] == "a\n1\n3\n"


def test_a_failed_run_warns_of_no_rollback(run: Run, url: str) -> None:
    script = "DELETE FROM messages WHERE thread_id = 'thread_a'; SELECT nope"
    assert run(url, "-c", script)[2] == "3 rows\nerror: statement 2 of 2: no such column: nope\n"


@pytest.mark.parametrize("argv", [("-",), ("-c", "-"), ("-f", "-"), ()])
def test_standard_input_is_read(argv: Sequence[str]) -> None:
    done = process("messages://", *argv, "--format", "csv", stdin="SELECT 'ä' AS a;\nSELECT 2 AS b")
    assert (done.returncode, done.stdout.decode()) == (0, "a\nä\nb\n2\n")


def test_standard_input_with_nothing_in_it_is_no_statement() -> None:
    done = process("messages://", stdin="  -- nothing\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert b"did you mean 'timeout'?" in process("messages://?timeot=1").stderr


def test_with_nothing_to_do_there_is_help() -> None:
    done = process()
    assert done.returncode == 0
    assert done.stdout.startswith(b"usage: messages-sql [URL] -c SQL")


@pytest.mark.parametrize("argv", [(), ("demo",), ("check",), ("serve",)])
def test_help_fits_a_hundred_columns_and_names_the_program(run: Run, argv: Sequence[str]) -> None:
    status, output, _ = run(*argv, "--help")
    assert status == 0
    assert output.startswith(" ".join(("usage: messages-sql", *argv)))
    assert max(map(len, output.splitlines())) <= 100


def test_the_version_is_the_package_s(run: Run) -> None:
    status, output, _ = run("--version")
    assert status == 0
    assert output.startswith(f"messages-sql {__version__} ")


# Where it goes


def test_a_service_s_own_url_does_too(run: Run, url: str, service: Service) -> None:
    assert (
        run(service.base_url, "--thread-id", "thread_a", "-c", "SELECT count(*) AS n FROM messages")[1] == "n\n-\n3\n"
    )


@pytest.mark.parametrize("variable", ["MESSAGES_URL", "OPENAI_BASE_URL"])
def test_the_environment_says_where_to_go(
    run: Run, url: str, service: Service, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, url if variable == "MESSAGES_URL" else service.base_url)
    status, output, error = run("-o", "thread_id=thread_a", "-c", "SELECT count(*) AS n FROM messages")
    assert (status, output, error) == (0, "n\n-\n3\n", "1 row\n")


def test_without_any_url_there_is_a_store_in_the_data_folder(run: Run, home: Path) -> None:
    _, _, error = run("-c", "INSERT INTO threads DEFAULT VALUES")
    path = error.splitlines()[0].removeprefix("no URL, so the store is ")
    assert Path(path).is_file()
    assert home in Path(path).parents
    assert run("-c", "SELECT count(*) AS n FROM threads")[1] == "n\n-\n1\n"
    assert run("check")[1].startswith(f"address           embedded store {path}\n")


@posix
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has a folder of its own")
def test_the_data_folder_is_the_home_s_where_no_absolute_one_is_named(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    run("-c", "SELECT 1")
    assert (home / ".local/share/messages-dbapi/messages.db").is_file()
    assert (home / ".local/share/messages-dbapi").stat().st_mode & 0o077 == 0
    assert not Path("relative").exists()


def test_a_data_folder_that_cannot_be_made_is_an_error(run: Run, home: Path) -> None:
    home.write_text("a file")
    status, _, error = run("-c", "SELECT 1")
    assert status == 1
    assert error.startswith("error: no URL is given, and the data folder for a store cannot be had")
    assert error.count("\n") == 1


def test_options_reach_the_connection(run: Run, url: str, service: Service) -> None:
    options = ("-o", "page_size=1", "-o", "missing_thread=skip")
    threads = ("--thread-id", "thread_a", "--thread-id", "thread_none")
    status, _, error = run(url, *options, *threads, "-c", "SELECT max(id) FROM messages")
    assert status == 0
    lists = [seen for seen in service.seen if seen.path.endswith("thread_a/messages")]
    assert len(lists) == 3
    [warning] = [line for line in error.splitlines() if line.startswith("warning: ")]
    assert "thread_none" in warning


def test_dictionaries_are_dotted() -> None:
    argv = ("messages://h/v1?query.a=0&query.z=9", "-o", "query.a=b=c", "-o", "headers.x-trace=1", "-o", "query.c=d")
    options = parse_query(argv).destination.resolve()
    assert options.query == (("z", "9"), ("a", "b=c"), ("c", "d"))
    assert options.headers == (("x-trace", "1"),)


def test_every_option_but_the_key_can_be_given(run: Run) -> None:
    for name in OPTION_NAMES:
        _, _, error = run("messages://", "-o", f"{name}=\x00", "-c", "SELECT 1")
        assert "there is no option" not in error


@pytest.mark.parametrize("key", ["sesame", "\ufeff sesame\n"])
def test_a_key_comes_from_a_file(run: Run, key: str) -> None:
    service = Service("sesame")
    Path("key").write_text(key, encoding="utf-8")
    try:
        assert run("check", _url(service), "--api-key-file", "key")[0] == 0
        assert run(_url(service), "--api-key-file", "key", "-c", "SELECT id FROM threads")[0] == 0
    finally:
        service.close()


# Check and serve


def test_check_reports_what_it_found(run: Run, url: str, service: Service) -> None:
    status, output, error = run("check", url)
    assert (status, error) == (0, "")
    assert output == (
        f"address           {service.base_url}\nreached           yes\nkey accepted      yes\ncan list threads  yes\n"
    )


def test_check_fails_on_a_wrong_key(run: Run) -> None:
    service = Service("sesame")
    try:
        status, output, error = run("check", _url(service).replace("://", "://:SECRET@"))
    finally:
        service.close()
    assert (status, output) == (1, "")
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "SECRET" not in error


@pytest.mark.parametrize("port", [None, 9])
def test_check_fails_on_a_wrong_address(run: Run, httpserver: HTTPServer, port: int | None) -> None:
    httpserver.expect_request(re.compile("/.*")).respond_with_data("Not Found", status=404)
    status, output, error = run("check", f"http://127.0.0.1:{port or httpserver.port}/v1")
    assert (status, output) == (1, "")
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.fixture
def served(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Serve a store with a key."""
    (tmp_path / "key").write_text("sesame\n")
    argv = [sys.executable, "-m", "messages_dbapi", "serve", "--store", "served.db", "--api-key-file", "key"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        yield server
        server.kill()


@posix
def test_serve_prints_its_base_url_first_and_ends_on_sigterm(run: Run, served: subprocess.Popen[str]) -> None:
    assert served.stdout is not None
    address = served.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", address)
    assert run("check", address)[0] == 1
    assert run("check", address, "--api-key-file", "key")[0] == 0
    assert run(address, "--api-key-file", "key", "-c", "INSERT INTO threads DEFAULT VALUES")[0] == 0
    served.send_signal(signal.SIGTERM)
    assert served.wait(30) == 0
    assert run("messages:///served.db", "-c", "SELECT count(*) AS n FROM threads")[1] == "n\n-\n1\n"


# Bad input


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("demmo",), "did you mean 'demo'?"),
        (("status",), "demo, check, serve"),
        (("messages://", "check"), "messages-sql check"),
        (("SELECT 1",), '-c "SELECT 1"'),
        (("messages://", "messages://:SECRET@host/v1"), "one URL is enough"),
        (("check", "messages://", "messages://:SECRET@host/v1"), "one URL is enough"),
        (("message://:SECRET@host/v1", "-c", "SELECT 1"), "not a URL of this driver"),
        (("messages://host?timeout=x", "-c", "SELECT 1"), "timeout"),
        (("messages:///no/such/folder/x.db", "-c", "SELECT 1"), "folder"),
        (("--formt", "csv"), "did you mean --format?"),
        (("--format", "xml"), "invalid choice: 'xml'"),
        (("--api-key=SECRET", "-c", "SELECT 1"), "no option --api-key"),
        (("--timeout", "3"), "-o timeout=VALUE"),
        (("-o", "timeout", "-c", "SELECT 1"), "NAME=VALUE"),
        (("messages://", "-o", "timeot=1", "-c", "SELECT 1"), "did you mean 'timeout'?"),
        (("messages://", "-o", "timeout=1", "-o", "timeout.x=1", "-c", "SELECT 1"), "timeout"),
        (("messages://", "-o", "api_key=SECRET", "-c", "SELECT 1"), "--api-key-file"),
        (("messages://", "-o", "headers.authorization=SECRET", "-c", "SELECT 1"), "--api-key-file"),
        (("-c",), "expected one argument"),
        (("messages://", "-f", "none.sql"), "cannot read SQL from none.sql: No such file"),
        (("messages://", "--api-key-file", "none", "-c", "SELECT 1"), "cannot read the API key from none"),
        (("messages://", "-c", "SELEC 1"), 'near "SELEC": syntax error'),
        (("messages://", "-c", "SELECT 1\x00"), "NUL"),
        (("messages://", "-c", "SELECT '\udcff'"), "surrogate"),
        (("messages:///\udcff.db", "-c", "SELECT 1"), "surrogate"),
        (("messages://", "-c", "SELECT contnt FROM messages"), "did you mean content?"),
        (("messages://", "-c", "SELECT * FROM messages WHERE thread_id = '\x1b[31m'"), "knows no thread"),
        (("messages://?unscoped=error", "-c", "SELECT * FROM messages"), "names no thread_id"),
        (("messages://", "-c", "UPDATE messages SET nope = 'user' WHERE thread_id = 't'"), "nope"),
        (("demo", "more"), "argument too many"),
        (("demo", "--store", "/no/such/folder/x.db"), "folder"),
        (("serve", "--port", "abc"), "invalid int value: 'abc'"),
        (("serve", "--port", "99999"), "99999"),
        (("serve", "--host", "0.0.0.0"), "key"),
    ],
)
def test_an_error_is_one_line(run: Run, argv: Sequence[str], says: str) -> None:
    status, output, error = run(*argv)
    assert (status, output) == (1, "")
    assert says in error
    assert re.fullmatch(r"error: [^\n]+\n", error)
    assert "\\n" not in error
    assert "SECRET" not in error
    assert "\x1b" not in error


def test_a_script_that_is_not_utf_8_is_an_error() -> None:
    done = process("messages://", stdin=b"SELECT '\xff'")
    assert (done.returncode, done.stdout) == (1, b"")
    assert _text(done.stderr) == "error: cannot read SQL from -: byte 8 is not UTF-8\n"


# Pipes, signals, terminals


def test_output_is_utf_8_whatever_the_locale() -> None:
    done = process("messages://", "-c", "SELECT 'é中' AS a, '\x9b' AS b", "--format", "json", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.decode() == '[\n{"a": "é中", "b": "\\u009b"}\n]\n'


@posix
def test_output_that_nobody_reads_is_no_error() -> None:
    unread, ours = os.pipe()
    os.close(unread)
    argv = (sys.executable, "-m", "messages_dbapi", "messages://", "-c", "SELECT 1")
    done = subprocess.run(argv, stdout=ours, stderr=subprocess.PIPE, timeout=60)
    os.close(ours)
    assert (done.returncode, done.stderr) == (141, b"")


@posix
def test_a_reader_that_leaves_ends_the_reading(service: Service) -> None:
    service.thread(5000, thread_id="thread_a")
    command = (sys.executable, "-m", "messages_dbapi", _url(service), "--format", "csv")
    argv = (*command, "-c", "SELECT * FROM messages WHERE thread_id = 'thread_a'")
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reading:
        assert reading.stdout is not None
        assert reading.stderr is not None
        assert reading.stdout.readline().startswith(b"id,")
        reading.stdout.close()
        assert reading.stderr.read() == b""
        status = reading.wait(30)
    assert status == 141
    assert len(service.seen) < 25


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_an_error() -> None:
    argv = (sys.executable, "-m", "messages_dbapi", "messages://", "-c", "SELECT 1")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (1, b"error: cannot write the output: No space left on device\n")
    closed = subprocess.run(["sh", "-c", f"{shlex.join(argv)} >&-"], stderr=subprocess.PIPE, timeout=60)
    assert (closed.returncode, closed.stderr) == (1, b"error: cannot write the output: standard output is closed\n")


@posix
def test_ctrl_c_is_quiet() -> None:
    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"
    argv = (sys.executable, "-m", "messages_dbapi", "messages://", "-c", "SELECT 'begun' AS a", "-c", endless)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == b"1 row\n"
        running.send_signal(signal.SIGINT)
        output, error = running.communicate(timeout=30)
    assert (running.returncode, error) == (130, b"")
    assert output == b"a\n-----\nbegun\n"


def _terminal(columns: int) -> tuple[int, int]:
    """Make a terminal, and give both its ends."""
    import fcntl  # POSIX has these two, Windows has not
    import struct
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    return ours, theirs


def _on_a_terminal(columns: int, *argv: str, stdout: int | None = None, **variables: str) -> tuple[int, str]:
    """Run the command on a terminal of its own, and give its status and all that came to the screen.

    Standard output goes there too, or elsewhere.
    """
    ours, theirs = _terminal(columns)
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = (sys.executable, "-m", "messages_dbapi", *argv)
    output = theirs if stdout is None else stdout
    with subprocess.Popen(
        command, stdin=theirs, stdout=output, stderr=theirs, env={**environment, **variables}
    ) as running:
        os.close(theirs)
        shown = b"".join(_read_screen(ours))
    os.close(ours)
    return running.returncode, shown.decode().replace("\r\n", "\n")


def _read_screen(terminal: int) -> Iterator[bytes]:
    try:
        while data := os.read(terminal, 65536):
            yield data
    except OSError:
        # How Linux says that nobody has the other end open.
        return


@posix
def test_a_terminal_gets_lines_that_fit_and_no_escape_sequences() -> None:
    hostile = "SELECT char(27) || '[31m' AS a, char(0x9b) AS b, printf('%.100c', 'x') AS c"
    status, screen = _on_a_terminal(60, "messages://", "-c", hostile)
    assert status == 0
    assert screen.splitlines()[2] == "\\x1b[31m  \\x9b  " + "x" * 43 + "…"
    status, screen = _on_a_terminal(60, "messages://", "-c", hostile, "--format", "csv")
    assert screen.splitlines()[1] == "\\x1b[31m,\\x9b," + "x" * 100


@posix
def test_at_a_terminal_without_sql_there_is_help_or_an_error() -> None:
    status, screen = _on_a_terminal(100)
    assert status == 0
    assert "Rows go to standard output" in screen
    status, screen = _on_a_terminal(100, "messages://")
    assert status == 1
    assert screen == "error: there is no SQL to run: pass -c SQL, -f FILE, or - for standard input\n"


# The bar


@pytest.fixture
def slow(service: Service, url: str) -> tuple[str, ...]:
    """Give the beginning of a command that reads three messages in as many requests, and takes over a second."""
    service.on_seen = lambda seen: time.sleep(0.52)
    return (url, "-o", "page_size=1", "-o", "concurrency=1", "--thread-id", "thread_a", "-c")


ROLES = "SELECT role FROM messages"
COUNT = "SELECT count(*) AS n FROM messages"
BAR = re.compile(r"\r2 requests \[00:01.*2 rows\]")


def _left(screen: str) -> list[str]:
    """Give the lines that are left on a screen: what follows a return stands over what was there."""
    lines = []
    for line in screen.removesuffix("\n").split("\n"):
        shown = ""
        for piece in line.split("\r"):
            shown = piece + shown[len(piece) :]
        lines.append(shown.rstrip())
    return lines


@posix
def test_the_bar_goes_to_standard_error_alone(slow: Sequence[str], tmp_path: Path) -> None:
    pytest.importorskip("tqdm")
    with (tmp_path / "rows.csv").open("wb") as file:
        status, screen = _on_a_terminal(80, *slow, COUNT, "--format", "csv", stdout=file.fileno())
    assert (status, (tmp_path / "rows.csv").read_text()) == (0, "n\n3\n")
    assert BAR.search(screen)
    assert _left(screen) == ["1 row"]


@posix
def test_a_long_statement_shows_a_bar_and_its_rows_stand_on_lines_of_their_own(slow: Sequence[str]) -> None:
    pytest.importorskip("tqdm")
    _, screen = _on_a_terminal(80, *slow, ROLES, "--format", "csv")
    assert BAR.search(screen)
    assert _left(screen) == ["role", "user", "assistant", "user", "3 rows"]


@posix
def test_ctrl_c_takes_the_bar_away(slow: Sequence[str]) -> None:
    pytest.importorskip("tqdm")
    ours, theirs = _terminal(80)
    argv = (sys.executable, "-m", "messages_dbapi", *slow, COUNT)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        while b"rows]" not in shown:
            shown += os.read(ours, 65536)
        running.send_signal(signal.SIGINT)
        shown += b"".join(_read_screen(ours))
    os.close(ours)
    assert running.returncode == 130
    assert _left(shown.decode()) == [""]


@posix
@pytest.mark.long
def test_there_is_no_bar_without_tqdm(slow: Sequence[str], tmp_path: Path) -> None:
    (tmp_path / "tqdm.py").write_text("raise ImportError")
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    assert _on_a_terminal(80, *slow, COUNT, PYTHONPATH=paths) == (0, "n\n-\n3\n1 row\n")


@posix
@pytest.mark.long
def test_there_is_no_bar_in_a_pipe(slow: Sequence[str]) -> None:
    done = process(*slow, COUNT)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"n\n-\n3\n", b"1 row\n")


@posix
def test_a_short_statement_shows_no_bar(url: str) -> None:
    status, screen = _on_a_terminal(80, url, "-o", "page_size=1", "--thread-id", "thread_a", "-c", COUNT)
    assert (status, screen) == (0, "n\n-\n3\n1 row\n")
