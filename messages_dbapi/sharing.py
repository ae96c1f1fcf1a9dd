"""What several connections have in common that would else be in memory, for each its own."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import apsw

from .connection import Connection, open_connection
from .embedded.store import Store
from .errors import OperationalError
from .options import resolve
from .secrecy import forgetting

try:
    import fcntl
except ImportError:  # Windows has no such locks: there, what a killed process leaves stays
    fcntl = None  # type: ignore[assignment]

_PREFIX = "messages-dbapi-"
_LEASE = "lease"


class Shared:
    """Give connections one embedded service in memory, and one ``main`` for their local tables.

    What it holds is gone when neither it nor such a connection is left.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._main: str | None = None

    @forgetting
    def connect(self, url: str | None = None, **options: Any) -> Connection:
        """Open a connection as ``messages_dbapi.connect`` does; of what the URL puts into memory, all see one."""
        resolved = resolve(url, options, os.environ)
        store = self.store() if resolved.embedded and resolved.store is None else None
        if resolved.local is None:
            resolved = replace(resolved, local=self.main())
        return open_connection(resolved, store, keeps=self)

    def store(self) -> Store:
        """Give the embedded service's store in memory."""
        with self._lock:
            if self._store is None:
                self._store = Store(None)
            return self._store

    def main(self) -> str:
        """Give the file of the local tables, private to this user and removed in the end.

        A file, because SQLite's databases in memory let nobody read while another connection has a
        transaction open (https://sqlite.org/src/file/src/memdb.c, memdbLock); with a write-ahead log
        everybody can. Raise OperationalError where no temporary file can be made.
        """
        with self._lock:
            # Whoever tidies up temporary files may have removed it.
            if self._main is None or not os.path.exists(self._main):
                self._main = self._new_file()
            return self._main

    def _new_file(self) -> str:
        try:
            folder = tempfile.mkdtemp(prefix=_PREFIX)
            lease = _lease(folder)
        except OSError as error:
            raise OperationalError(
                f"there is no folder for the local tables that connections share: {error}; "
                "set TMPDIR, or keep them in a file of your own with local=FILE"
            ) from error
        weakref.finalize(self, _remove, folder, os.getpid(), lease)
        _sweep(Path(folder).parent)
        path = os.path.join(folder, "main.db")
        connection = apsw.Connection(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        return path


def _lease(folder: str) -> IO[bytes]:
    """Lock a file in the folder as long as this process lives, however it ends."""
    path = Path(folder, _LEASE)
    lease = path.with_suffix(".new").open("wb")
    if fcntl is not None:
        fcntl.flock(lease, fcntl.LOCK_SH)
    # Under its name it is never seen unlocked.
    os.replace(lease.name, path)
    return lease


def _remove(folder: str, process: int, lease: IO[bytes]) -> None:
    lease.close()
    # A forked child leaves the folder to the process that made it.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove what processes that were killed have left behind."""
    for lease in parent.glob(f"{_PREFIX}*/{_LEASE}"):
        if not _is_held(lease):
            shutil.rmtree(lease.parent, ignore_errors=True)


def _is_held(lease: Path) -> bool:
    if fcntl is None:
        return True
    try:
        with lease.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False
