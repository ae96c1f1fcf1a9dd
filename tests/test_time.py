"""A statement that hangs ends in time, wherever it hangs: by its deadline, by cancel, and by Ctrl-C."""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

import messages_dbapi
from messages_dbapi import OperationalError
from messages_dbapi.connection import Connection
from messages_dbapi.cursor import Cursor
from messages_dbapi.embedded.server import Server

from .generated import Generated
from .service import Service
from .wire import Action, Link, Wire, drip, head, read, refusal, reply, silence

linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse what does not fit the queue")
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

# Seconds that an end may take on a busy machine. What is ended would last a minute or more, or for ever.
IN_TIME = 12
DEADLINE = 0.3

NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
SELECT = "SELECT id FROM messages WHERE thread_id = 'thread_a'"
EMPTY: dict[str, Any] = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
INSERT = "INSERT INTO messages (thread_id, role, content)"
PARALLEL = f"{INSERT} SELECT 'thread_' || value, 'user', 'x' FROM json_each('[1, 2, 3, 4, 5, 6, 7, 8]')"


class Stuck(NamedTuple):
    """A statement that hangs, after some others; what to do so that the connection can be used, and see that it can."""

    url: str
    sql: str
    before: tuple[str, ...] = ()
    options: dict[str, Any] = {}  # noqa: RUF012  # nobody changes it
    free: Callable[[], object] = bool
    after: str = "SELECT 1"
    answer: tuple[tuple[object, ...], ...] = ((1,),)
    # A write that may have been applied says so.
    outcome: str | None = None


# Where statements hang. Each of these makes it so, for the time of a block.


class Quiet(Wire):
    """Answer what nobody told with an empty listing."""

    def _next(self) -> Action:
        with self._lock:
            return self._actions.popleft() if self._actions else reply(200, EMPTY)


@contextmanager
def told(*actions: Action, sql: str = SELECT, outcome: str | None = None, tls: bool = False) -> Iterator[Stuck]:
    server = Quiet()
    server.tell(*actions)
    scheme = "messages" if tls else "messages+http"
    url = f"{scheme}://127.0.0.1:{server.port}/v1?timeout=60&connect_timeout=60"
    usable = ("SELECT 1", ((1,),)) if tls else (f"{SELECT} AND role = 'user'", ())
    try:
        yield Stuck(url, sql, free=server._actions.clear, after=usable[0], answer=usable[1], outcome=outcome)
    finally:
        server.close()


@contextmanager
def not_connected() -> Iterator[Stuck]:
    with socket.socket() as listener, ExitStack() as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield Stuck(f"messages+http://127.0.0.1:{listener.getsockname()[1]}/v1?connect_timeout=60", SELECT)


def no_handshake(link: Link) -> bool:
    link.server.closed.wait(60)
    return False


def half(link: Link) -> bool:
    """Send the beginning of a body, and no more of it."""
    read(link)
    link.sock.sendall(head(200, {"Content-Length": "1000"}) + b'{"data": [')
    link.server.closed.wait(60)
    return False


@contextmanager
def slow(sql: str, after: str = f"{SELECT} LIMIT 1") -> Iterator[Stuck]:
    """Be a service of endless listings that takes its time for each page."""
    app = Generated(100_000_000, pause=0.1)
    with Server(app) as server:
        url = server.base_url.replace("http://", "messages+http://") + "?page_size=10"
        outcome = "failed" if sql.startswith("UPDATE") else None
        yield Stuck(url, sql, free=app.stop.set, after=after, answer=(("msg_000000000",),), outcome=outcome)
        app.stop.set()


@contextmanager
def computing(sql: str, *before: str) -> Iterator[Stuck]:
    yield Stuck("messages://", sql, before, outcome="failed" if sql.startswith(INSERT) else None)


HOLDER = """
import apsw, sys
connection = apsw.Connection(sys.argv[1])
connection.execute(sys.argv[2])
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path, begin: str) -> Iterator[Callable[[], object]]:
    """Have another process lock a file; give what ends that."""
    argv = [sys.executable, "-c", HOLDER, str(path), begin]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline()

        def let_go() -> None:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()

        try:
            yield let_go
        finally:
            let_go()


@contextmanager
def local_lock(path: Path) -> Iterator[Stuck]:
    file = path / "local.db"
    connection = apsw.Connection(str(file))
    connection.execute("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    connection.close()
    with held(file, "BEGIN IMMEDIATE") as let_go:
        sql, after = "INSERT INTO t VALUES (2)", "SELECT a FROM t"
        yield Stuck("messages://", sql, options={"local": str(file)}, free=let_go, after=after)


@contextmanager
def store_lock(path: Path) -> Iterator[Stuck]:
    file = path / "store.db"
    with messages_dbapi.connect(f"messages:///{file}") as connection:
        connection.execute("INSERT INTO threads DEFAULT VALUES")
    sql = f"{INSERT} SELECT id, 'user', 'x' FROM threads"
    with held(file, "BEGIN IMMEDIATE") as let_go:
        yield Stuck(f"messages:///{file}", sql, free=let_go, after="SELECT count(*) FROM threads", outcome="failed")


@contextmanager
def many_rows(path: Path) -> Iterator[Stuck]:
    """Be a store whose rows joined with each other are more than anybody fetches."""
    file = path / "many.db"
    with messages_dbapi.connect(f"messages:///{file}") as connection:
        connection.execute("INSERT INTO threads DEFAULT VALUES")
        connection.execute(f"{INSERT} SELECT t.id, 'user', value FROM threads t, json_each(?)", (list(range(50)),))
    tables = ", ".join(f"messages m{n}" for n in range(9))
    yield Stuck(f"messages:///{file}", f"SELECT count(*) FROM {tables}", after="SELECT count(*) FROM threads")


PLACES: dict[str, Callable[[Path], Any]] = {
    "connecting": lambda _: not_connected(),
    "in a handshake": lambda _: told(no_handshake, tls=True),
    "before a reply": lambda _: told(silence),
    "within a reply": lambda _: told(half),
    "in a reply that drips": lambda _: told(drip(head(200, {}) + b" " * 9999, 0.05)),
    "before another try": lambda _: told(refusal(503, retry_after="100")),
    "in parallel writes": lambda _: told(*[silence] * 8, sql=PARALLEL, outcome="unknown"),
    "before another try of parallel writes": lambda _: told(
        *[refusal(429, retry_after="100")] * 8, sql=PARALLEL, outcome="failed"
    ),
    "in a listing of many pages": lambda _: slow(SELECT),
    "in an aggregate of many pages": lambda _: slow("SELECT max(content) FROM messages WHERE thread_id = 'thread_a'"),
    "in an update of many rows": lambda _: slow(
        f"UPDATE messages SET metadata = '{{}}' WHERE id IN ({SELECT}) AND thread_id = 'thread_a'"
    ),
    "in a recursive CTE": lambda _: computing(f"{NUMBERS} SELECT count(*) FROM n"),
    "in the first row of a CTE": lambda _: computing(f"{NUMBERS} SELECT i FROM n WHERE i < 0"),
    "in a view": lambda _: computing("SELECT count(*) FROM v", f"CREATE VIEW v AS {NUMBERS} SELECT i FROM n"),
    "in an insert from a CTE": lambda _: computing(f"INSERT INTO t {NUMBERS} SELECT i FROM n", "CREATE TABLE t (a)"),
    "in an insert from a CTE into the service": lambda _: computing(
        f"{INSERT} {NUMBERS} SELECT 'thread_a', 'user', i FROM n"
    ),
    "in a sort": lambda _: computing(f"{NUMBERS} SELECT i FROM n ORDER BY random()"),
    "in heavy functions": lambda _: computing(f"{NUMBERS} SELECT max(hex(randomblob(50000))) FROM n"),
    "in a join": many_rows,
    "at a lock of a local file": local_lock,
    "at a lock of the store": store_lock,
}
marks = {"connecting": linux}
each_place = pytest.mark.parametrize("place", [pytest.param(name, marks=marks.get(name, ())) for name in PLACES])


@contextmanager
def stuck_at(place: str, path: Path, **options: Any) -> Iterator[tuple[Stuck, Connection]]:
    with PLACES[place](path) as stuck:
        connection = messages_dbapi.connect(stuck.url, **stuck.options, **options)
        try:
            for sql in stuck.before:
                connection.execute(sql)
            yield stuck, connection
        finally:
            connection.close()


def fail(connection: Connection, stuck: Stuck) -> OperationalError:
    """Run the statement, and give the error that ends it in time."""
    started = time.monotonic()
    with pytest.raises(OperationalError) as caught, connection.cursor() as cursor:
        cursor.execute(stuck.sql).fetchall()
    assert time.monotonic() - started < IN_TIME
    assert caught.value.outcome == stuck.outcome
    return caught.value


def check_usable(connection: Connection, stuck: Stuck) -> None:
    stuck.free()
    assert tuple(connection.execute(stuck.after).fetchall()) == stuck.answer


@each_place
def test_a_deadline_ends_it(place: str, tmp_path: Path) -> None:
    with stuck_at(place, tmp_path, deadline=DEADLINE) as (stuck, connection):
        said = str(fail(connection, stuck))
        assert re.search("deadline", said)
        stuck.free()
    with messages_dbapi.connect(stuck.url, **stuck.options) as other:
        assert other.execute("SELECT 1").fetchone() == (1,)


@each_place
def test_cancel_ends_it(place: str, tmp_path: Path) -> None:
    """The cursor's and the connection's in turn."""
    of_connection = [*PLACES].index(place) % 2
    with stuck_at(place, tmp_path) as (stuck, connection):
        cursor = connection.cursor()
        errors: list[OperationalError] = []

        def work() -> None:
            try:
                cursor.execute(stuck.sql).fetchall()
            except OperationalError as error:
                errors.append(error)

        worker = threading.Thread(target=work)
        worker.start()
        await_seconds(lambda: cursor.stats.seconds > 0.1)
        started = time.monotonic()
        (connection if of_connection else cursor).cancel()
        worker.join(60)
        assert time.monotonic() - started < IN_TIME
        assert "cancelled" in str(errors[0])
        assert errors[0].outcome == stuck.outcome
        check_usable(connection, stuck)


def cancel_when(reached: Callable[[], bool], cursor: Cursor) -> None:
    await_seconds(reached)
    cursor.cancel()


def await_seconds(reached: Callable[[], bool], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < ends
        time.sleep(0.005)


def noise(error: str) -> list[str]:
    """Give the lines of standard error but for the warnings of a long wait, which Python prints by itself."""
    return [line for line in error.splitlines() if "try 2 in 100.0 s" not in line]


PROGRAM = """
import json, sys, warnings, messages_dbapi
for line in sys.stdin:
    stuck = json.loads(line)
    warnings.simplefilter(stuck["warnings"])
    connection = messages_dbapi.connect(stuck["url"], **stuck["options"])
    for sql in stuck["before"]:
        connection.execute(sql)
    try:
        print("begun", flush=True)
        connection.execute(stuck["sql"]).fetchall()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    sys.stdin.readline()
    print(json.dumps(connection.execute(stuck["after"]).fetchall()), flush=True)
    connection.close()
"""


@pytest.fixture(scope="module")
def interruptible() -> Iterator[subprocess.Popen[str]]:
    """Give a process that runs what hangs, and says on standard error what must not be said."""
    pipe = subprocess.PIPE
    argv = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        yield process
        _, error = process.communicate("", timeout=60)
    assert noise(error) == []


def interrupt(process: subprocess.Popen[str], stuck: Stuck, *, strict: bool = True) -> None:
    """Let the process run the statement, end it by Ctrl-C, and see that its connection can be used."""
    assert process.stdin is not None
    assert process.stdout is not None
    given = {**stuck._asdict(), "free": None, "warnings": "error" if strict else "ignore"}
    process.stdin.write(f"{json.dumps(given)}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.1)  # So that it hangs; if it does not yet, it ends all the sooner.
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    assert time.monotonic() - started < IN_TIME
    stuck.free()
    process.stdin.write("\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline()) == [list(row) for row in stuck.answer]


@posix
@each_place
def test_ctrl_c_ends_it(place: str, tmp_path: Path, interruptible: subprocess.Popen[str]) -> None:
    with PLACES[place](tmp_path) as stuck:
        # Python itself leaves the socket of a handshake that an interrupt ends to the collector, and warns of it.
        interrupt(interruptible, stuck, strict=place != "in a handshake")


@posix
@pytest.mark.parametrize(
    "place", ["before a reply", "before another try", "in parallel writes", "in a sort", "at a lock of the store"]
)
def test_ctrl_c_ends_the_command(place: str, tmp_path: Path) -> None:
    """Quietly, with the status of a shell."""
    with PLACES[place](tmp_path) as stuck:
        argv = [sys.executable, "-m", "messages_dbapi", stuck.url, "-c", "SELECT 1", "-c", stuck.sql]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == "1 row\n"
            time.sleep(0.15)
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=IN_TIME)
    assert process.returncode == 130
    assert noise(error) == []


# What keeps a statement from its turn.


def endless(connection: Connection) -> threading.Thread:
    """Have another thread compute on the connection until it is cancelled."""
    cursor = connection.cursor()

    def work() -> None:
        with pytest.raises(OperationalError, match="cancelled"):
            cursor.execute(f"{NUMBERS} SELECT count(*) FROM n")

    thread = threading.Thread(target=work)
    thread.start()
    await_seconds(lambda: cursor.stats.seconds > 0.05)
    return thread


@pytest.mark.parametrize("by", ["deadline", "cancel"])
def test_a_statement_does_not_wait_for_that_of_another_thread_beyond_its_end(service: Service, by: str) -> None:
    """They take turns on one connection, and the other one may have no end."""
    with service.connect() as connection:
        other = endless(connection)
        connection.options = replace(connection.options, deadline=0.3 if by == "deadline" else None)
        cursor = connection.cursor()
        if by == "cancel":
            threading.Timer(0.2, cursor.cancel).start()
        with pytest.raises(OperationalError, match="deadline of 0.3" if by == "deadline" else "cancelled"):
            cursor.execute("SELECT 1")
        assert other.is_alive()
        connection.cancel()
        other.join()
        assert cursor.execute("SELECT 2").fetchall() == [(2,)]


def test_letting_go_of_rows_does_not_wait_for_another_thread(service: Service) -> None:
    """Its table is free all the same as soon as the other one has ended."""
    with service.connect(deadline=None) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1), (2)")
        connection.commit()
        cursor = connection.execute("SELECT a FROM t")
        other = endless(connection)
        cursor.close()
        assert other.is_alive()
        connection.cancel()
        other.join()
        connection.execute("DROP TABLE t")


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (?)", f"{INSERT} VALUES ('thread_a', 'user', ?)"])
def test_parameters_without_end_end_at_the_deadline(service: Service, sql: str) -> None:
    with service.connect() as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.options = replace(connection.options, deadline=0.3)
        with pytest.raises(OperationalError, match="deadline"):
            connection.cursor().executemany(sql, ((str(n),) for n in itertools.count()))


def test_a_lock_is_not_waited_for_again_when_the_block_is_left(tmp_path: Path) -> None:
    """The rollback has nothing to wait for."""
    with local_lock(tmp_path) as stuck:
        stuck.free()
        connection = messages_dbapi.connect(stuck.url, **stuck.options, deadline=0.3)
        with held(tmp_path / "local.db", "BEGIN EXCLUSIVE"):
            started = time.monotonic()
            with pytest.raises(OperationalError, match="deadline"), connection:
                connection.execute("SELECT a FROM t")
            assert time.monotonic() - started < IN_TIME
    assert connection.closed


def test_a_lock_that_is_given_back_in_time_is_waited_for(tmp_path: Path) -> None:
    """By a local file and by a store."""
    with local_lock(tmp_path) as stuck, messages_dbapi.connect(stuck.url, **stuck.options) as connection:
        threading.Timer(0.3, stuck.free).start()
        assert connection.execute(stuck.sql).rowcount == 1
    with store_lock(tmp_path) as stuck, messages_dbapi.connect(stuck.url, **stuck.options) as connection:
        threading.Timer(0.3, stuck.free).start()
        cursor = connection.execute(stuck.sql)
        assert (cursor.rowcount, cursor.stats.requests) == (1, 2)


# What the service asks for.

STATEMENTS = {
    "select": SELECT,
    "create": f"{INSERT} VALUES ('thread_a', 'user', 'x')",
    "modify": "UPDATE messages SET metadata = '{}' WHERE thread_id = 'thread_a' AND id = 'msg_1'",
    "delete": "DELETE FROM messages WHERE thread_id = 'thread_a' AND id = 'msg_1'",
    "creates": PARALLEL,
}


@pytest.mark.parametrize("deadline", [None, 90])
@pytest.mark.parametrize("verb", STATEMENTS)
def test_a_wait_that_is_too_long_fails_at_once(verb: str, deadline: float | None) -> None:
    """And says how long the service asked to wait."""
    asked = {"retry_after": "121"} if deadline is None else {"retry_after_ms": "91000"}
    seconds = 121 if deadline is None else 91
    actions = [refusal(429, **asked)] * 8
    with told(*actions) as stuck, messages_dbapi.connect(stuck.url, deadline=deadline) as connection:
        started = time.monotonic()
        with pytest.raises(OperationalError) as caught:
            connection.execute(STATEMENTS[verb])
        assert time.monotonic() - started < IN_TIME
        assert f"asked to wait {seconds} seconds" in str(caught.value)
        assert (caught.value.status, caught.value.retry_after) == (429, seconds)
        check_usable(connection, stuck)


def test_a_reply_that_drips_ends_without_a_deadline() -> None:
    """Ten times the seconds that a read may take."""
    with told(drip(head(200, {}) + b" " * 9999, 0.01)) as stuck:
        url = stuck.url.replace("timeout=60&", "timeout=0.1&max_retries=0&")
        with messages_dbapi.connect(url) as connection, pytest.raises(OperationalError, match="1 seconds in all"):
            connection.execute(SELECT)


@pytest.mark.parametrize("verb", STATEMENTS)
def test_a_long_wait_is_logged(verb: str, caplog: pytest.LogCaptureFixture) -> None:
    """With status, attempt and seconds, and nothing else of a request than its method and path."""
    with told(*[refusal(503, retry_after="7")] * 8) as stuck, messages_dbapi.connect(stuck.url) as connection:
        cursor = connection.cursor()
        watcher = threading.Thread(target=lambda: cancel_when(lambda: bool(caplog.records), cursor))
        watcher.start()
        with caplog.at_level(logging.WARNING, "messages_dbapi"), pytest.raises(OperationalError, match="cancelled"):
            cursor.execute(STATEMENTS[verb])
        watcher.join()
    for record in caplog.records:
        said = r"(GET|POST|DELETE) /threads/thread_\w/messages(/msg_1)?: 503, try 2 in 7\.0 s"
        assert re.fullmatch(said, record.getMessage())
        assert record.levelno == logging.WARNING


# What cannot be stopped is kept short.


def test_a_pattern_that_is_too_long_is_refused(service: Service) -> None:
    """SQLite takes minutes for some of them, in one step."""
    with service.connect() as connection:
        text = "a" * 256_000
        for pattern, expected in (("%" + "a" * 4_000 + "b%", 0), ("%" + "a" * 4_000 + "%", 1)):
            assert connection.execute("SELECT ? LIKE ?", (text, pattern)).fetchone() == (expected,)
        for operator in ("LIKE", "GLOB"):
            with pytest.raises(messages_dbapi.ProgrammingError, match="at most 5,000 bytes; instr"):
                connection.execute(f"SELECT ? {operator} ?", (text, "%" + "a" * 5_000))


@posix
def test_ctrl_c_ends_a_regular_expression_that_backtracks(interruptible: subprocess.Popen[str]) -> None:
    """Nothing else does: it keeps every other thread of the process from running."""
    interrupt(interruptible, Stuck("messages://", f"SELECT regexp('(a+)+$', '{'a' * 64}b')"))
