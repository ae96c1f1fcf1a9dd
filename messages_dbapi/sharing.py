"""What several connections have in common that would else be in memory, for each its own."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from dataclasses import replace
from typing import Any

import apsw

from .connection import Connection, open_connection
from .embedded.store import Store
from .errors import OperationalError
from .options import resolve


class Shared:
    """Give connections one embedded service in memory, and one ``main`` for their local tables.

    What it holds is gone when neither it nor such a connection is left.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._main: str | None = None

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
            if self._main is None:
                self._main = self._new_file()
            return self._main

    def _new_file(self) -> str:
        try:
            folder = tempfile.mkdtemp(prefix="messages-dbapi-")
        except OSError as error:
            raise OperationalError(
                f"there is no folder for the local tables that connections share: {error}; "
                "set TMPDIR, or keep them in a file of your own with local=FILE"
            ) from error
        weakref.finalize(self, _remove, folder, os.getpid())
        path = os.path.join(folder, "main.db")
        connection = apsw.Connection(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        return path


def _remove(folder: str, process: int) -> None:
    # A forked child leaves the folder to the process that made it.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
