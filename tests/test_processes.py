"""Threads and processes that share, inherit or forget connections: right answers, nothing left, nothing harmed."""

from __future__ import annotations

import gc
import json
import os
import random
import re
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest
import sqlalchemy

import messages_dbapi
from messages_dbapi import Error, OperationalError, ProgrammingError
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.store import Page, Store

from .service import Service
from .wire import serving

forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
counting = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="a system that does not list open files")

Many = Callable[[int, int], int]

NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
INSERT = "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)"
COUNT = "SELECT count(*) FROM messages WHERE thread_id = ?"
WATCHDOG = 300


# Threads.


def test_eight_threads_do_all_that_there_is_on_one_connection(
    service: Service, connection: Connection, many: Many
) -> None:
    """Each with its own cursors: reads, writes, local tables, errors, and statements that are cancelled."""
    rounds = many(15, 500)
    service.thread(250, thread_id="thread_read")
    for number in range(8):
        service.thread(thread_id=f"thread_{number}")
    connection.execute("CREATE TABLE t (worker, n)")
    connection.commit()
    start = threading.Barrier(8)

    def work(number: int) -> tuple[int, int]:
        start.wait()
        chance = random.Random(number)
        sent = kept = 0
        for step in range(rounds):
            kind = chance.randrange(6)
            with connection.cursor() as cursor:
                if kind == 0:
                    _read(cursor, chance.choice((1, 7, 100)))
                elif kind == 1:
                    sent += cursor.execute(INSERT, (f"thread_{number}", str(step))).rowcount
                elif kind == 2:
                    kept += cursor.execute("INSERT INTO t VALUES (?, ?)", (number, step)).rowcount
                elif kind == 3:
                    _fail(cursor, number)
                elif kind == 4:
                    _cancel(cursor)
                else:
                    assert cursor.execute(COUNT, (f"thread_{number}",)).fetchall() == [(sent,)]
        return sent, kept

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(work, number) for number in range(8)]
        done = [future.result(timeout=WATCHDOG) for future in futures]
    for number, (sent, kept) in enumerate(done):
        assert connection.execute(COUNT, (f"thread_{number}",)).fetchone() == (sent,)
        assert connection.execute("SELECT count(*) FROM t WHERE worker = ?", (number,)).fetchone() == (kept,)
    assert sum(sent for sent, _ in done) > 0


def _read(cursor: Any, size: int) -> None:
    cursor.execute("SELECT content_text FROM messages WHERE thread_id = 'thread_read'")
    rows = [row for rows in iter(lambda: cursor.fetchmany(size), []) for row in rows]
    assert rows == [(f"message {n}",) for n in range(250)]


def _fail(cursor: Any, number: int) -> None:
    with pytest.raises(ProgrammingError, match=f"thread_none_{number}"):
        cursor.execute("SELECT * FROM messages WHERE thread_id = ?", (f"thread_none_{number}",)).fetchall()
    with pytest.raises(ProgrammingError, match=f"nowhere_{number}"):
        cursor.execute(f"SELECT * FROM nowhere_{number}")


def _cancel(cursor: Any) -> None:
    done = threading.Event()

    def cancel() -> None:
        # Again and again: it may come before the statement, and is then none of its.
        while not done.wait(0.01):
            cursor.cancel()

    other = threading.Thread(target=cancel)
    other.start()
    with pytest.raises(OperationalError, match="cancelled"):
        cursor.execute(f"{NUMBERS} SELECT count(*) FROM n")
    done.set()
    other.join()


# Processes. What forks is a program of its own: this one has threads, which no fork should leave behind.


def run(program: str, *arguments: str) -> str:
    """Run a program in a process of its own, and give its output; it must say nothing on standard error."""
    argv = [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=WATCHDOG)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


WORKERS = """
    import multiprocessing, sys, messages_dbapi
    method, url, before = sys.argv[1], sys.argv[2], sys.argv[3] == "before"
    given = None

    def work(number, results):
        connection = given or messages_dbapi.connect(url)
        thread = f"thread_{number}"
        for step in range(20):
            connection.execute("INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)",
                               (thread, f"{number} {step}"))
        read = "SELECT content_text FROM messages WHERE thread_id = ?"
        results.put((number, [row[0] for row in connection.execute(read, (thread,)).fetchall()]))
        connection.close()

    if __name__ == "__main__":
        context = multiprocessing.get_context(method)
        results = context.SimpleQueue()
        if before:
            given = messages_dbapi.connect(url)
            given.execute("SELECT count(*) FROM threads").fetchall()
        workers = [context.Process(target=work, args=(number, results)) for number in range(4)]
        for worker in workers:
            worker.start()
        found = dict(results.get() for _ in workers)
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0, worker.exitcode
        assert found == {number: [f"{number} {step}" for step in range(20)] for number in range(4)}, found
        if before:
            assert given.execute("SELECT count(*) FROM threads").fetchall() == [(4,)]
            given.close()
"""


@forking
@pytest.mark.parametrize("where", ["over http", "in a file"])
@pytest.mark.parametrize(("method", "when"), [("fork", "before"), ("fork", "after"), ("spawn", "after")])
def test_four_workers_write_and_read(service: Service, tmp_path: Path, where: str, method: str, when: str) -> None:
    """With connections of their own, or with one that was opened before they were forked."""
    if where == "over http":
        url = service.base_url.replace("http://", "messages+http://", 1)
        for number in range(4):
            service.thread(thread_id=f"thread_{number}")
    else:
        url = f"messages:///{tmp_path}/store.db"
        with Store(tmp_path / "store.db") as store:
            for number in range(4):
                store.add_thread(thread_id=f"thread_{number}")
    program = tmp_path / "workers.py"
    program.write_text(textwrap.dedent(WORKERS))
    argv = [sys.executable, "-W", "error", str(program), method, url, when]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=WATCHDOG)
    assert (done.returncode, done.stderr) == (0, "")
    if where == "over http":
        for number in range(4):
            rows = service.store.messages(f"thread_{number}", Page(limit=100, ascending=True)).rows
            texts = [json.loads(row.reply)["content"][0]["text"]["value"] for row in rows]
            assert texts == [f"{number} {step}" for step in range(20)]


INHERITED = """
    import gc, os, sys, messages_dbapi
    path, how = sys.argv[1:]
    connection = messages_dbapi.connect("messages://", local=path)
    connection.execute("CREATE TABLE t (a, b)")
    connection.execute("INSERT INTO t SELECT value, zeroblob(1000) FROM json_each(?)", (list(range(5000)),))
    connection.commit()
    connection.execute("UPDATE t SET a = a + 1, b = ?", ("y" * 1000,))  # larger than what SQLite keeps in memory
    cursor = connection.execute("SELECT a FROM t")
    child = os.fork()
    if child == 0:
        if how in ("executes", "commits", "fetches"):
            try:
                {"executes": lambda: connection.execute("SELECT 1"), "commits": connection.commit,
                 "fetches": cursor.fetchall}[how]()
            except messages_dbapi.InterfaceError as error:
                assert "opened by the parent" in str(error), error
            else:
                os._exit(1)
        elif how == "closes":
            cursor.close()
            connection.close()
            connection.close()
        elif how == "forgets":
            del connection, cursor
            gc.collect()
        elif how == "exits":
            sys.exit(0)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert len(cursor.fetchall()) == 5000
    connection.commit()
    connection.close()
"""


@forking
@pytest.mark.parametrize("how", ["executes", "commits", "fetches", "closes", "forgets", "exits"])
def test_a_child_does_no_harm_to_the_transaction_of_its_parent(tmp_path: Path, how: str) -> None:
    """SQLite would undo it, in the midst of it, when the child closes what it has inherited."""
    path = tmp_path / "local.db"
    run(INHERITED, str(path), how)
    connection = apsw.Connection(str(path))
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    rows = connection.execute("SELECT count(*), sum(a), count(nullif(typeof(b), 'blob')) FROM t").get
    assert rows == (5000, sum(range(1, 5001)), 5000)
    connection.close()


@forking
def test_a_child_closes_nothing_of_its_parent_s_sockets(service: Service) -> None:
    """Its own copy of a kept connection is closed, and that of the parent goes on."""
    with serving() as server:
        run(
            """
            import os, sys, messages_dbapi
            connection = messages_dbapi.connect(sys.argv[1])
            connection._calls.answers(connection.new_statement())
            child = os.fork()
            if child == 0:
                connection.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            connection._calls.answers(connection.new_statement())
            connection.close()
            """,
            f"messages+http://127.0.0.1:{server.port}/v1",
        )
        assert [seen.connection for seen in server.requests] == [1, 1]


@forking
def test_a_child_may_use_what_is_in_memory_unless_it_was_in_use(service: Service) -> None:
    """A lock that another thread held when the process was forked is never given back in the child."""
    run(
        """
        import os, sys, threading, time, messages_dbapi
        connection = messages_dbapi.connect("messages://")
        cursor = connection.cursor()

        def compute():
            try:
                cursor.execute("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n")
            except messages_dbapi.OperationalError:
                pass

        def forked(work):
            import warnings
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of threads, where Python warns of them
                child = os.fork()
            if child == 0:
                status = 1
                try:
                    work()
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0

        def use():
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
            connection.close()

        def refuse():
            try:
                connection.execute("SELECT 1")
            except messages_dbapi.InterfaceError as error:
                assert "connect anew" in str(error), error
            else:
                raise AssertionError
            connection.close()

        forked(use)
        thread = threading.Thread(target=compute)
        thread.start()
        while cursor.stats.seconds < 0.1:
            time.sleep(0.01)
        forked(refuse)
        connection.cancel()
        thread.join()
        forked(use)
        connection.close()
        """
    )


@forking
def test_a_child_does_not_wait_for_what_its_parent_reads_ahead(service: Service) -> None:
    """The threads that go ahead stay in the parent, and nobody would ever give what they were at."""
    for number in range(20):
        service.thread(10, thread_id=f"thread_{number}")
    service.on_seen = lambda seen: time.sleep(0.1)
    run(
        """
        import os, signal, sys, warnings, messages_dbapi
        with messages_dbapi.connect(sys.argv[1], thread_id=[f"thread_{n}" for n in range(20)]) as connection:
            connection.check()
            ahead = connection.execute("SELECT id FROM messages ORDER BY created_at")
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, where Python warns of them
            child = os.fork()
            if child == 0:
                signal.alarm(30)
                try:
                    ahead.fetchall()
                except messages_dbapi.InterfaceError as error:
                    assert "begun by the parent" in str(error), error
                else:
                    os._exit(1)
                assert connection.execute("SELECT count(*) FROM messages").fetchall() == [(200,)]
                ahead.close()
                connection.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert len(ahead.fetchall()) == 200
        """,
        service.base_url.replace("http://", "messages+http://", 1),
    )


# Nothing is left.


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def _once_in_process(service: Service, url: str, tmp_path: Path) -> None:
    with messages_dbapi.connect("messages://") as connection:
        connection.execute("SELECT count(*) FROM threads").fetchall()


def _once_over_http(service: Service, url: str, tmp_path: Path) -> None:
    with messages_dbapi.connect(url) as connection:
        connection.execute("SELECT count(*) FROM threads").fetchall()


def _once_in_files(service: Service, url: str, tmp_path: Path) -> None:
    with messages_dbapi.connect(f"messages:///{tmp_path}/store.db", local=tmp_path / "local.db") as connection:
        connection.execute("SELECT count(*) FROM threads").fetchall()
        connection.execute("CREATE TABLE IF NOT EXISTS t (a)")


def _once_failing(service: Service, url: str, tmp_path: Path) -> None:
    connection = messages_dbapi.connect(url, max_retries=0)
    with pytest.raises(Error), connection:
        connection.execute("SELECT * FROM messages WHERE thread_id = 'thread_none'").fetchall()


def _once_writing(service: Service, url: str, tmp_path: Path) -> None:
    """With threads of the driver's own."""
    with messages_dbapi.connect(url) as connection:
        connection.execute("INSERT INTO messages (thread_id, role, content) SELECT id, 'user', 'x' FROM threads")
        connection.execute("DELETE FROM messages WHERE thread_id IN (SELECT id FROM threads)")


def _once_through_an_engine(service: Service, url: str, tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT count(*) FROM threads")).fetchall()
    engine.dispose()


ONCE = [_once_in_process, _once_over_http, _once_in_files, _once_failing, _once_writing, _once_through_an_engine]
ORDINARY = [_once_over_http, _once_in_files, _once_through_an_engine]


@counting
@pytest.mark.parametrize(
    "once",
    [once if once in ORDINARY else pytest.param(once, marks=pytest.mark.long) for once in ONCE],
    ids=lambda once: once.__name__.removeprefix("_once_").replace("_", " "),
)
def test_connect_query_close_leaves_nothing(
    service: Service, tmp_path: Path, many: Many, once: Callable[[Service, str, Path], None]
) -> None:
    """No open file, here or in the service, no thread, no memory; a request log is the tests' own."""
    for number in range(2):
        service.thread(thread_id=f"thread_{number}")
    url = service.base_url.replace("http://", "messages+http://", 1)
    idle = threading.active_count()

    def repeat(times: int) -> None:
        for _ in range(times):
            once(service, url, tmp_path)
            service.seen.clear()
        gc.collect()

    repeat(20)
    settle(lambda: threading.active_count() <= idle)
    files, threads = _open_files(), threading.active_count()
    tracemalloc.start()
    try:
        repeat(10)
        before, _ = tracemalloc.get_traced_memory()
        times = many(30, 10_000)
        repeat(times)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The service's own side of a connection goes a moment later.
    settle(lambda: _open_files() <= files and threading.active_count() <= threads)
    assert (_open_files() <= files, threading.active_count() <= threads) == (True, True)
    assert after - before < 200_000 + 20 * times, "bytes; what one connection holds is a hundred thousand"


def settle(reached: Callable[[], bool], seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while not reached() and time.monotonic() < ends:
        time.sleep(0.01)


@counting
@pytest.mark.parametrize("how", ["plain", "in a cycle", "with open cursors", "as an error"])
def test_a_forgotten_connection_is_closed_with_a_warning(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Its sockets and files with it, whatever holds it."""
    service.thread(250, thread_id="thread_a")
    url = service.base_url.replace("http://", "messages+http://", 1)
    sql = "SELECT id FROM messages WHERE thread_id = 'thread_a'"
    gc.collect()
    files = _open_files()
    connection = messages_dbapi.connect(url, local=tmp_path / "local.db")
    connection.execute("CREATE TABLE IF NOT EXISTS t (a)")
    cursor: Any = connection.execute(sql)
    cursor.fetchone()
    if how == "in a cycle":
        connection.itself = connection  # type: ignore[attr-defined]  # a cycle that a program may make
        cursor.arraysize = cursor
    elif how == "plain":
        cursor.close()
    assert _open_files() > files
    ignored: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    with warnings.catch_warnings(record=how != "as an error") as caught:
        warnings.simplefilter("error" if how == "as an error" else "always", ResourceWarning)
        del connection, cursor
        gc.collect()
    said = [str(entry.exc_value) for entry in ignored] + [str(warning.message) for warning in caught or ()]
    assert [bool(re.search(r"messages_dbapi.Connection to .* was not closed", text)) for text in said] == [True]
    settle(lambda: _open_files() <= files)
    assert _open_files() <= files


@counting
def test_a_closed_connection_has_no_sockets_however_long_it_is_kept(service: Service) -> None:
    """Nor threads, nor files."""
    url = service.base_url.replace("http://", "messages+http://", 1)
    gc.collect()
    files = _open_files()
    kept = []
    for _ in range(5):
        connection = messages_dbapi.connect(url)
        cursor = connection.execute("SELECT count(*) FROM threads")
        connection.close()
        cursor.close()
        cursor.close()
        kept.append((connection, cursor))
    settle(lambda: _open_files() <= files)
    assert _open_files() <= files
    assert all(connection.closed for connection, _ in kept)


FORGETTING = {
    "global": "c = messages_dbapi.connect(url); k = c.execute(sql); k.fetchone()",
    "in a cycle": "c = messages_dbapi.connect(url); c.k = c.execute(sql); c.k.fetchone(); c.c = c",
    "dropped": "messages_dbapi.connect(url).execute(sql).fetchone()",
    "of a thread": "import threading; c = messages_dbapi.connect(url);"
    " t = threading.Thread(target=lambda: c.execute(sql).fetchone()); t.start(); t.join()",
    "of an engine": "import sqlalchemy; e = sqlalchemy.create_engine(url); c = e.connect();"
    " c.execute(sqlalchemy.text(sql)).fetchone()",
}


@pytest.mark.parametrize("where", FORGETTING)
def test_a_process_that_forgets_its_connections_ends_without_noise(service: Service, where: str) -> None:
    """But for the one warning."""
    service.thread(250, thread_id="thread_a")
    url = service.base_url.replace("http://", "messages+http://", 1)
    sql = "SELECT id FROM messages WHERE thread_id = 'thread_a'"
    program = f"import messages_dbapi; url, sql = {url!r}, {sql!r}; {FORGETTING[where]}"
    argv = [sys.executable, "-W", "always", "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    warned = [line for line in done.stderr.splitlines() if "Warning: <" in line]
    assert len(warned) <= 1
    assert all("was not closed" in line for line in warned)
