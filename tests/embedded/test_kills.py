"""Processes killed at random moments: what they were told is done is there, and the store goes on."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

import messages_dbapi
from messages_dbapi.embedded.store import Page, Store
from messages_dbapi.resources import MESSAGES

from ..conftest import Many
from . import writers
from .writers import Promises

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL")

# Long enough for the slowest machine: what waits so long has failed.
PATIENCE = 120.0

FIELDS = {field.name for field in MESSAGES.fields}


@pytest.fixture(scope="module")
def forked() -> Any:
    """Start processes by forking one that has nothing but the modules, so that hundreds cost little."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.embedded.writers"])
    return context


class Crew:
    """Writers at work on one store, and all the promises that they ever got."""

    def __init__(self, forked: Any, folder: Path, store: Path, *, url: str | None = None) -> None:
        self._forked = forked
        self._folder = folder
        self.store = store
        self._url = url or f"messages:///{store}"
        self.kills = 0
        self._names: list[str] = []
        self._batches: list[str] = []
        self._working: dict[str, Any] = {}
        with Store(store) as opened:
            self.thread = opened.add_thread().id
            self.imports = opened.add_thread().id

    def start(self) -> None:
        """Start another writer."""
        name = f"w{len(self._names)}"
        self._names.append(name)
        self._begin(name, writers.write, self._url, self.thread, name, self.notes(name))

    def start_import(self) -> None:
        """Start a process that imports."""
        name = f"i{len(self._batches)}"
        self._batches.append(name)
        self._begin(name, writers.import_batches, self.store, self.imports, name, self.notes(name))

    def _begin(self, name: str, work: Callable[..., None], *arguments: object) -> None:
        self._working[name] = self._forked.Process(target=work, args=arguments)
        self._working[name].start()

    def notes(self, name: str) -> Path:
        """Name the file of a writer's notes."""
        return self._folder / f"{name}.notes"

    @property
    def working(self) -> list[str]:
        """Name those at work."""
        return list(self._working)

    def wait_for_each(self, statements: int = 1) -> None:
        """Wait until every one at work has got so many more statements done."""
        wanted = {name: self._done(name) + statements for name in self._working}
        _wait_until(lambda: all(self._done(name) >= number for name, number in wanted.items()), self._assert_alive)

    def _done(self, name: str) -> int:
        return sum("done" in note for note in writers.read_notes(self.notes(name)))

    def _assert_alive(self) -> None:
        assert all(process.is_alive() for process in self._working.values()), "a writer ended by itself"

    def kill(self, names: Sequence[str]) -> None:
        """Kill these at once."""
        for name in names:
            self._working[name].kill()
        for name in names:
            process = self._working.pop(name)
            process.join(PATIENCE)
            assert process.exitcode == -9
            process.close()
            self.kills += 1

    def promises(self) -> list[Promises]:
        """Read what has been promised by now."""
        return [Promises.read(name, self.notes(name)) for name in self._names]

    def check(self) -> None:
        """See that the store keeps every promise that was made before, whoever is writing now."""
        before = self.promises()
        imported = {name: writers.read_notes(self.notes(name)) for name in self._batches}
        with Store(self.store) as store:
            kept = [json.loads(row.reply) for row in _walk(store, self.thread, 100, ascending=True)]
            batches = Counter(
                json.loads(row.reply)["run_id"] for row in _walk(store, self.imports, 100, ascending=True)
            )
        after = self.promises()
        for early, late in zip(before, after, strict=True):
            _assert_kept(early, late, [message for message in kept if _writer(message) == early.name])
        for name, notes in imported.items():
            done = sum("done" in note for note in notes)
            assert {batches[f"{name}.{number}"] for number in range(done)} <= {writers.BATCH}
        assert set(batches.values()) <= {writers.BATCH}, "a batch is there in part"

    def check_at_rest(self) -> None:
        """See besides, with nobody at work, that the file is sound and all ways of paging agree."""
        assert not self._working
        with contextlib.closing(apsw.Connection(str(self.store))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        self.check()
        _assert_pages_agree(self.store, self.thread)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._working.values():
            process.kill()
            process.join(PATIENCE)


def _wait_until(come: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    ends = time.monotonic() + PATIENCE
    while not come():
        meanwhile()
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.005)


def _writer(message: dict[str, Any]) -> str:
    return str(message["content"][0]["text"]["value"]).split()[0]


def _serial(message: dict[str, Any]) -> int:
    return int(message["content"][0]["text"]["value"].split()[1])


def _assert_kept(early: Promises, late: Promises, kept: list[dict[str, Any]]) -> None:
    """Hold what is there against what was promised; a writer at work got from ``early`` to ``late`` meanwhile."""
    for message in kept:
        assert set(message) == FIELDS
        assert message["content"][0]["text"]["value"] == writers.text_of(early.name, _serial(message))
    ids = [message["id"] for message in kept]
    assert len(ids) == len(set(ids)), "a message is there twice"
    deleting = late.doubtful | late.gone
    assert early.certain - deleting <= set(ids), "a promised message is lost"
    assert not early.gone & set(ids), "a deleted message is there again"
    serials = [_serial(message) for message in kept]
    assert serials == sorted(set(serials)), "a text is there twice, or out of order"
    unconfirmed = {_serial(message) for message in kept if message["id"] not in late.numbers}
    assert unconfirmed <= late.open, "a message is there that no statement can have left"
    for message in kept:
        numbers = late.numbers.get(message["id"], ["0"])[early.settled.get(message["id"], 0) :]
        assert message["metadata"]["n"] in numbers, "an update is lost"


def _walk(store: Store, thread: str, limit: int, *, ascending: bool, backwards: bool = False) -> Iterator[Any]:
    """Page through a thread, from its start by ``after`` or from its end by ``before``."""
    pages: list[list[Any]] = []
    cursor, has_more = None, True
    if backwards:
        # A `before` needs a message to stand before: the last of all.
        last = store.messages(thread, Page(limit=1, ascending=not ascending)).rows
        if not last:
            return
        pages, cursor = [last], last[0].id
    while has_more:
        page = Page(limit, ascending, before=cursor) if backwards else Page(limit, ascending, after=cursor)
        rows, has_more = store.messages(thread, page)
        pages.append(rows)
        cursor = (rows[0] if backwards else rows[-1]).id if rows else None
        assert rows or not has_more
    for rows in reversed(pages) if backwards else pages:
        yield from rows


def _assert_pages_agree(path: Path, thread: str) -> None:
    with Store(path) as store:
        whole = [row.id for row in _walk(store, thread, 100, ascending=True)]
        for limit in (1, 2, 7, 100):
            for ascending in (True, False):
                for backwards in (False, True):
                    walked = [row.id for row in _walk(store, thread, limit, ascending=ascending, backwards=backwards)]
                    assert walked == (whole if ascending else whole[::-1])
    with messages_dbapi.connect(f"messages:///{path}", read_only=True) as connection:
        rows = connection.execute("SELECT id FROM messages WHERE thread_id = ?", (thread,)).fetchall()
        assert [row[0] for row in rows] == whole


def test_writers_killed_in_process(tmp_path: Path, forked: Any, many: Many) -> None:
    """All writers at once, so that the next one recovers the file; and one of them, while the others go on."""
    kills = 0
    for number in range(many(1, 20)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Crew(forked, folder, folder / "store.db") as crew:
            for _ in range(many(2, 4)):
                _kill_one_and_then_all(crew)
        kills += crew.kills
    assert kills >= 8


def _kill_one_and_then_all(crew: Crew) -> None:
    for _ in range(3):
        crew.start()
    crew.start_import()
    crew.wait_for_each()
    time.sleep(random.uniform(0, 0.1))
    crew.kill(random.sample(crew.working, 1))
    crew.check()
    crew.wait_for_each()
    time.sleep(random.uniform(0, 0.1))
    crew.kill(crew.working)
    crew.check_at_rest()


@contextlib.contextmanager
def _server(store: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "messages_dbapi", "serve", "--store", str(store), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().strip() == f"http://127.0.0.1:{port}/v1"
            yield server
        finally:
            server.kill()


def _quiet_port() -> int:
    """Find a port that no outgoing connection gets by itself, so that a server can come back to it."""
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


def test_a_server_killed_under_clients(tmp_path: Path, forked: Any, many: Many) -> None:
    """They carry on with the next one: the driver says of each statement whether it is done, failed, or unknown."""
    port = _quiet_port()
    url = f"messages+http://127.0.0.1:{port}/v1?connect_timeout=60"
    for number in range(many(1, 10)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Crew(forked, folder, folder / "store.db", url=url) as crew:
            for turn in range(many(4, 10)):
                _kill_the_server(crew, port, clients=0 if turn else 3)
            crew.kill(crew.working)
            crew.check_at_rest()


def _kill_the_server(crew: Crew, port: int, *, clients: int) -> None:
    with _server(crew.store, port) as server:
        for _ in range(clients):
            crew.start()
        crew.wait_for_each(2)
        time.sleep(random.uniform(0, 0.1))
        server.kill()
        server.wait(PATIENCE)
        crew.check()


def test_killed_at_the_first_open(tmp_path: Path, forked: Any, many: Many) -> None:
    """What is left is a store or will be one: the next to open it creates what is missing."""
    begun = 0
    for number in range(many(20, 500)):
        path, notes = tmp_path / f"{number}.db", tmp_path / f"{number}.notes"
        process = forked.Process(target=writers.open_first, args=(f"messages:///{path}", notes))
        process.start()
        _wait_until(notes.exists)
        time.sleep(random.uniform(0, 0.03))
        process.kill()
        process.join(PATIENCE)
        process.close()
        promised = [note["done"] for note in writers.read_notes(notes) if "done" in note]
        begun += not promised
        with messages_dbapi.connect(f"messages:///{path}") as connection:
            threads = [row[0] for row in connection.execute("SELECT id FROM threads")]
            assert set(promised) <= set(threads)
            assert len(threads) <= 1
            connection.execute("INSERT INTO threads DEFAULT VALUES")
        with contextlib.closing(apsw.Connection(str(path))) as check:
            assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert begun, "every kill came too late"
