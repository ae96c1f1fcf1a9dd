"""The SQLite database that a store keeps its rows in: opened, checked, shared by threads, and its failures named."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal, NamedTuple

import apsw

from ..errors import InterfaceError
from .gateway import given_up

APPLICATION_ID = 0x6D736773  # "msgs", as file(1) and SQLite's own header show it
VERSION = 1

# Seconds between two tries for what another writer holds.
_POLL = 0.02

# Rows are in order of created_at, then of their arrival. That is seq, under a name of its own because SQLite
# (3.54) searches an index by (created_at, seq) > (?, ?) on its first column only where seq is the rowid.
# A deleted row moves to `deleted`, without its content, so that a listing under way can still go on from it.
SCHEMA = f"""
CREATE TABLE threads (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    tool_resources TEXT NOT NULL,
    metadata TEXT NOT NULL,
    place INTEGER AS (seq)
);
CREATE INDEX threads_in_order ON threads (created_at, place);
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    thread INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    run_id TEXT,
    body TEXT NOT NULL,
    metadata TEXT NOT NULL,
    place INTEGER AS (seq)
);
CREATE INDEX messages_in_order ON messages (thread, created_at, place);
CREATE INDEX messages_of_run ON messages (thread, run_id, created_at, place) WHERE run_id IS NOT NULL;
CREATE TABLE deleted (
    id TEXT PRIMARY KEY,
    thread INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    place INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX deleted_of_thread ON deleted (thread);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""

Reason = Literal["busy", "full", "read_only", "broken"]

_REASONS: tuple[tuple[type[apsw.Error], Reason], ...] = (
    (apsw.BusyError, "busy"),
    (apsw.LockedError, "busy"),
    (apsw.FullError, "full"),
    (apsw.ReadOnlyError, "read_only"),
)

# What SQLite calls an I/O error may be a disk, quota or limit that is full; where it was writing, and not
# making sure of what was written, nothing of the transaction counts.
_WRITING = frozenset({apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_SHMSIZE})
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_WORDS: dict[Reason, str] = {
    "busy": "another process is writing to {store}",
    "full": "the disk that holds {store} is full",
    "read_only": "{store} cannot be written: {error}",
    "broken": "{store} cannot be used: {error}",
}


class StoreError(Exception):
    """Report that SQLite could not do what the store asked; ``{store}`` in the text stands for the store's name.

    Nothing of that transaction was applied; only where the reason is ``broken`` that is not certain.
    """

    def __init__(self, reason: Reason, text: str, name: str = "the store") -> None:
        super().__init__(text.replace("{store}", name))
        self.reason = reason
        # What clients on other machines may know: no path of this one.
        self.public = text.replace("{store}", "the store")


def _reason(error: apsw.Error, connection: apsw.Connection | None) -> Reason:
    # Every error has it, and only the stubs of apsw do not say so.
    detail: int = getattr(error, "extendedresult", 0)
    if connection is not None and detail in _WRITING and connection.system_errno in _NO_ROOM:
        return "full"
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "broken")


class _Identity(NamedTuple):
    application_id: int
    version: int
    tables: int


def _identity(connection: apsw.Connection) -> _Identity:
    row = connection.execute(
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),"
        " (SELECT count(*) FROM sqlite_schema)"
    ).get
    return _Identity(*row)


class Database:
    """Open the database at ``path``, or one in memory, and lend its connections to any thread.

    Raises InterfaceError for a path that cannot be a store: missing and ``create`` is false, not a
    SQLite database, another program's, or written by a newer version. Such a file is left as it is.
    ``busy_timeout`` is how many seconds a transaction waits for another writer, unless its caller gives up before.
    """

    def __init__(self, path: str | None, *, create: bool, busy_timeout: float) -> None:
        self._path = None if path is None else os.path.abspath(path)
        self._busy_timeout = busy_timeout
        self._idle: deque[apsw.Connection] = deque()
        self._process = os.getpid()
        self._closed = False
        # One writer of this process at a time queues here rather than polling SQLite's lock.
        self._writer = threading.Lock()
        # A database in memory is one connection, which one thread at a time may use.
        self._single = threading.Lock() if path is None else None
        self._idle.append(self._prepared(create))

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """Lend a connection inside a transaction that sees one state of the database."""
        self._after_fork()
        with self._borrowed() as connection, _transaction(connection, "BEGIN"):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """Lend a connection inside a transaction that is on disk when the block ends, or is undone."""
        self._after_fork()
        patience = _Patience(self._busy_timeout)
        while not self._writer.acquire(timeout=_POLL):
            if patience.is_over:
                raise StoreError("busy", "another thread is writing to {store}", self._name)
        try:
            with self._borrowed() as connection, _transaction(connection, "BEGIN IMMEDIATE"):
                yield connection
        finally:
            self._writer.release()

    def close(self) -> None:
        """Close what is idle now, and what is lent as soon as it comes back."""
        self._after_fork()
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _borrowed(self) -> Iterator[apsw.Connection]:
        if self._single is not None:
            self._single.acquire()
        try:
            connection = self._take()
            try:
                with self._named_failures(connection):
                    yield connection
            finally:
                self._give_back(connection)
        finally:
            if self._single is not None:
                self._single.release()

    def _take(self) -> apsw.Connection:
        if self._closed:
            raise InterfaceError("the store is closed")
        try:
            return self._idle.pop()
        except IndexError:
            return self._opened(create=False)

    def _give_back(self, connection: apsw.Connection) -> None:
        if self._closed or (connection.in_transaction and self._path is not None):
            connection.close()
        else:
            self._idle.append(connection)

    def _after_fork(self) -> None:
        if self._path is None or self._process == os.getpid():
            return
        # SQLite forbids a child to use, and even to close, the connections of its parent: keep them, unused.
        self._inherited = self._idle
        self._idle = deque()
        self._writer = threading.Lock()
        self._process = os.getpid()

    @property
    def _name(self) -> str:
        return "the store in memory" if self._path is None else f"the store {self._path}"

    @contextmanager
    def _named_failures(self, connection: apsw.Connection | None) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            reason = _reason(error, connection)
            raise StoreError(reason, _WORDS[reason].replace("{error}", str(error)), self._name) from error
        except UnicodeDecodeError:
            # Without its cause, which quotes the text.
            raise StoreError("broken", "{store} cannot be used: a text in it is not UTF-8", self._name) from None

    def _prepared(self, create: bool) -> apsw.Connection:
        try:
            return self._checked(create)
        except StoreError as error:
            if error.reason in ("busy", "full"):
                raise
            raise InterfaceError(self._why_unusable(error.__cause__, create)) from error.__cause__

    def _checked(self, create: bool) -> apsw.Connection:
        connection = self._opened(create)
        try:
            with self._named_failures(connection):
                self._check(connection, create)
                self._use_write_ahead_log(connection)
        except BaseException:
            self._tidy(connection)
            connection.close()
            raise
        return connection

    def _tidy(self, connection: apsw.Connection) -> None:
        # A log without content is of this connection's own making: SQLite may remove it, and the locks beside it.
        with suppress(OSError):
            if os.path.getsize(f"{self._path}-wal") == 0:
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)

    def _opened(self, create: bool) -> apsw.Connection:
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create or self._path is None else 0)
        with self._named_failures(None):
            connection = apsw.Connection(self._path or ":memory:", flags=flags)
        connection.set_busy_handler(_BusyHandler(self._busy_timeout))
        with self._named_failures(connection):
            connection.execute("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON").fetchall()
        return connection

    def _check(self, connection: apsw.Connection, create: bool) -> None:
        # Until it is known to be ours, leave even another program's write-ahead log where it is.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        if _identity(connection) == (0, 0, 0) and (create or self._path is None):
            self._create_schema(connection)
        found = _identity(connection)
        if found == (0, 0, 0):
            raise InterfaceError(f"{self._path} holds no store yet, and a read-only connection does not create one")
        if found.application_id != APPLICATION_ID:
            raise InterfaceError(f"{self._path} is another program's SQLite database, not a store; name another file")
        if found.version > VERSION:
            raise InterfaceError(
                f"{self._path} is a store of version {found.version}, and this release knows versions up to {VERSION}; "
                "upgrade messages-dbapi"
            )
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)

    def _create_schema(self, connection: apsw.Connection) -> None:
        with _transaction(connection, "BEGIN IMMEDIATE"):
            # Another process may have been quicker.
            if _identity(connection) == (0, 0, 0):
                connection.execute(SCHEMA).fetchall()

    def _use_write_ahead_log(self, connection: apsw.Connection) -> None:
        if self._path is None or connection.readonly("main"):
            return
        ends = time.monotonic() + self._busy_timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL").fetchall()
                return
            except apsw.BusyError:
                # SQLite does not wait here: https://sqlite.org/wal.html, "Sometimes Queries Return SQLITE_BUSY".
                if time.monotonic() >= ends:
                    raise
                time.sleep(0.01)

    def _why_unusable(self, error: BaseException | None, create: bool) -> str:
        path = self._path or ""
        folder = os.path.dirname(path)
        if isinstance(error, apsw.NotADBError):
            return f"{path} is not a SQLite database, so it cannot be a store; name another file"
        if os.path.isdir(path):
            return f"{path} is a directory; a store is a file"
        if not _may_be_entered(folder):
            return f"the directory {folder} of the store {path} cannot be entered by this user"
        if not os.path.isdir(folder):
            return f"the directory {folder} of the store {path} does not exist"
        if not os.path.exists(path):
            if create:
                return f"the store {path} cannot be created in its directory: {error}"
            return f"there is no store {path}, and a read-only connection does not create one"
        if not os.access(path, os.R_OK):
            return f"the store {path} cannot be read by this user"
        if not os.access(folder, os.W_OK):
            return (
                f"the store {path} cannot be opened: SQLite keeps a log beside it, "
                f"and the directory {folder} cannot be written by this user"
            )
        return f"the store {path} cannot be opened: {error}"


def _may_be_entered(folder: str) -> bool:
    try:
        os.stat(os.path.join(folder, "."))
    except PermissionError:
        return False
    except OSError:
        return True
    return True


class _Patience:
    """Tell when to wait no longer: after so many seconds, or when the caller has given up."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._ends or given_up()


class _BusyHandler:
    """Answer SQLite whether to try again for a lock: its own waiting cannot be ended."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._patience = _Patience(seconds)

    def __call__(self, tries: int) -> bool:
        if tries == 0:
            self._patience = _Patience(self._seconds)
        if self._patience.is_over:
            return False
        time.sleep(min(_POLL, 0.001 * (tries + 1)))
        return True


@contextmanager
def _transaction(connection: apsw.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some errors, a full disk among them, have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
