"""What a store does on a disk of a few hundred kilobytes; ``test_full_disk`` runs this where it has mounted one.

The disk's folder is the variable DISK. A connection gives up at once here, since room is made by the test.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

import messages_dbapi
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.app import Application
from messages_dbapi.embedded.server import Server
from messages_dbapi.embedded.store import Store
from messages_dbapi.errors import OperationalError

from ..conftest import Many

PAGE = 4096

INSERT = "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)"
STATEMENTS = (
    'UPDATE messages SET metadata = \'{"a":"b"}\' WHERE thread_id = ?',
    "DELETE FROM messages WHERE thread_id = ?",
    "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', 'x')",
    "DELETE FROM threads WHERE id = ?",
)


class Disk:
    """The small disk, and a file on it that takes up the room."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store.db"
        self._ballast = folder / "ballast"

    @property
    def url(self) -> str:
        """Give the URL of the store on it."""
        return f"messages:///{self.store}?max_retries=0"

    def leave(self, pages: int) -> None:
        """Take up all room but so many pages."""
        self._ballast.unlink(missing_ok=True)
        block = b"x" * PAGE
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(block) == PAGE:
                continue
        os.truncate(self._ballast, max(0, (self._ballast.stat().st_size // PAGE - pages) * PAGE))

    def clear(self) -> None:
        """Make room."""
        self._ballast.unlink(missing_ok=True)

    def assert_full(self, error: OperationalError) -> None:
        """See that an error says what is wrong, and with which file where that is a file of this machine."""
        assert "full" in str(error)
        assert (str(self.store) in str(error)) != ("http://" in str(error))


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Give the disk, empty."""
    folder = Path(os.environ["DISK"])
    yield Disk(folder)
    for file in folder.iterdir():
        file.unlink()


@pytest.fixture(params=["in process", "over http"])
def connection(disk: Disk, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """Give a connection to a store on the disk."""
    if request.param == "in process":
        with messages_dbapi.connect(disk.url) as opened:
            yield opened
        return
    with Store(disk.store) as store, Server(Application(store)) as server:
        url = server.base_url.replace("http://", "messages+http://")
        with messages_dbapi.connect(url, max_retries=0) as opened:
            yield opened


def _thread(connection: Connection, *texts: str) -> str:
    thread = str(connection.execute("INSERT INTO threads DEFAULT VALUES").lastrowid)
    for text in texts:
        connection.execute(INSERT, (thread, text))
    return thread


def _fill(connection: Connection, thread: str) -> tuple[list[str], OperationalError]:
    """Insert until the last page that the log has begun is full."""
    texts: list[str] = []
    while len(texts) < 200:
        text = f"{len(texts)} {'y' * 2000}"
        try:
            connection.execute(INSERT, (thread, text))
        except OperationalError as error:
            return texts, error
        texts.append(text)
    raise AssertionError("there is always room")


def _texts(connection: Connection, thread: str) -> list[str]:
    rows = connection.execute("SELECT content_text FROM messages WHERE thread_id = ?", (thread,)).fetchall()
    return [row[0] for row in rows]


def _assert_sound(store: Path) -> None:
    with closing(apsw.Connection(str(store))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_writes_fail_and_go_on_when_there_is_room(disk: Disk, connection: Connection) -> None:
    texts = ["first", "x" * 10_000]
    thread = _thread(connection, *texts)
    disk.leave(0)
    added, error = _fill(connection, thread)
    texts += added
    disk.assert_full(error)
    assert (error.status, error.code, error.outcome) == (503, "store_full", "failed")
    assert _texts(connection, thread) == texts
    disk.clear()
    connection.execute(INSERT, (thread, "last"))
    assert _texts(connection, thread) == [*texts, "last"]
    _assert_sound(disk.store)


@pytest.mark.parametrize("operation", STATEMENTS)
def test_whatever_is_written(disk: Disk, connection: Connection, operation: str) -> None:
    """Even a DELETE needs room: for the log of what it does."""
    thread = _thread(connection, "x" * 20_000)
    disk.leave(0)
    _fill(connection, thread)
    with pytest.raises(OperationalError) as caught:
        connection.execute(operation, (thread,))
    disk.assert_full(caught.value)
    before = _texts(connection, thread)
    assert before[0] == "x" * 20_000
    disk.clear()
    connection.execute(operation, (thread,))


def test_a_disk_that_is_full_at_any_place(disk: Disk, connection: Connection, many: Many) -> None:
    """However many pages were written when the disk was full, the message is there as a whole or not at all."""
    thread = _thread(connection)
    texts: list[str] = []
    failed = 0
    for pages in range(many(24, 240)):
        disk.leave(pages % 24)
        text = f"{pages} {'z' * 30_000}"
        try:
            connection.execute(INSERT, (thread, text))
            texts.append(text)
        except OperationalError as error:
            disk.assert_full(error)
            failed += 1
        assert _texts(connection, thread) == texts
        if len(texts) == 4:
            disk.clear()
            connection.execute("DELETE FROM messages WHERE thread_id = ?", (thread,))
            texts.clear()
    assert failed > 5
    _assert_sound(disk.store)


def test_no_room_to_create_a_store(disk: Disk) -> None:
    for pages in range(30):
        disk.leave(pages)
        try:
            with messages_dbapi.connect(disk.url) as connection:
                _thread(connection)
        except OperationalError as error:
            disk.assert_full(error)
        else:
            break
    assert 3 < pages < 29
    with messages_dbapi.connect(disk.url) as connection:
        assert len(connection.execute("SELECT id FROM threads").fetchall()) == 1


@pytest.mark.parametrize("pages", [0, 1, 4, 7, 8, 9, 12])
@pytest.mark.parametrize("read_only", [False, True])
def test_no_room_to_open_a_store(disk: Disk, pages: int, read_only: bool) -> None:
    with messages_dbapi.connect(disk.url) as connection:
        thread = _thread(connection, "kept")
    disk.leave(pages)
    try:
        with messages_dbapi.connect(disk.url, read_only=read_only) as connection:
            assert _texts(connection, thread) == ["kept"]
    except OperationalError as error:
        disk.assert_full(error)
    disk.clear()
    with messages_dbapi.connect(disk.url, read_only=read_only) as connection:
        assert _texts(connection, thread) == ["kept"]


def test_no_room_to_checkpoint(disk: Disk) -> None:
    """What is acknowledged stands in the log, and stays there when the database itself cannot grow."""
    texts = [f"{number} {'c' * 30_000}" for number in range(5)]
    with messages_dbapi.connect(disk.url) as connection:
        thread = _thread(connection, *texts)
        disk.leave(0)
    # It is closed: what the log held could not be moved.
    assert disk.store.with_name("store.db-wal").stat().st_size > 100_000
    disk.clear()
    with messages_dbapi.connect(disk.url) as connection:
        assert _texts(connection, thread) == texts
    assert not disk.store.with_name("store.db-wal").exists()
    _assert_sound(disk.store)


def test_the_disk_is_small(disk: Disk) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        (disk.folder / "large").write_bytes(b"x" * 10_000_000)
    assert caught.value.errno == errno.ENOSPC
