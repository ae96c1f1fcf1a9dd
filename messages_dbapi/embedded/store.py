"""Threads and messages, kept in SQLite: what the service knows, whoever asks it."""

from __future__ import annotations

import os
import secrets
import string
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple

import apsw

from . import documents
from .database import Database, StoreError
from .documents import JSON, Draft, Row
from .listing import MESSAGES, THREADS, CursorError, NotFoundError, Page, bury, page_of

__all__ = ["CursorError", "Draft", "Listing", "NotFoundError", "Page", "Row", "Store", "StoreError"]

# 256 alphanumerics to choose from with a random byte: 24 of them carry 142 bits.
_ALPHANUMERICS = ((string.ascii_letters + string.digits) * 5)[:256].encode()


class Listing(NamedTuple):
    """Rows in the order asked for, and whether there are more of them than the page held."""

    rows: list[Row]
    has_more: bool


class Store:
    """Keep threads and messages in the file ``path``, or in memory.

    All its methods may be called from any thread, and several processes may use one file. What a
    method wrote is on disk when it returns. A file that is not a store, or was written by a newer
    version, is an InterfaceError and stays as it is; so is a missing one unless ``create``.
    Raises StoreError where SQLite cannot go on: another writer for ``busy_timeout`` seconds, a full
    disk, a file that cannot be written. ``clock`` gives Unix seconds.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        create: bool = True,
        busy_timeout: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = Database(None if path is None else os.fspath(path), create=create, busy_timeout=busy_timeout)
        self._clock = clock

    def close(self) -> None:
        """Let go of the file; a store in memory is gone."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add_thread(
        self,
        *,
        messages: Iterable[Draft] = (),
        metadata: Mapping[str, str] | None = None,
        tool_resources: Mapping[str, JSON] | None = None,
        thread_id: str | None = None,
        created_at: int | None = None,
    ) -> Row:
        """Create a thread that holds ``messages`` in their order."""
        thread_id = thread_id or _new_id("thread")
        texts = (documents.to_text(tool_resources or {}), documents.to_text(metadata or {}))
        drafts = list(messages)
        with self._database.writing() as connection:
            created_at = self._time_for_thread(connection) if created_at is None else created_at
            connection.execute(
                "INSERT INTO threads (id, created_at, newest, tool_resources, metadata) VALUES (?, ?, ?, ?, ?)",
                (thread_id, created_at, created_at, *texts),
            )
            self._insert(connection, thread_id, drafts)
        return Row(thread_id, documents.thread(thread_id, created_at, *texts))

    def thread(self, thread_id: str) -> Row:
        """Give a thread, or raise NotFoundError."""
        with self._database.reading() as connection:
            return _thread(connection, thread_id)

    def threads(self, page: Page) -> Listing:
        """List the threads."""
        with self._database.reading() as connection:
            rows, has_more = page_of(connection, THREADS, 0, page)
        return Listing([Row(row[0], documents.thread(*row)) for row in rows], has_more)

    def modify_thread(
        self,
        thread_id: str,
        *,
        metadata: Mapping[str, str] | None = None,
        tool_resources: Mapping[str, JSON] | None = None,
    ) -> Row:
        """Replace the whole of what is given; None leaves it as it is."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE threads SET metadata = coalesce(?, metadata), tool_resources = coalesce(?, tool_resources)"
                " WHERE id = ?",
                (_text(metadata), _text(tool_resources), thread_id),
            )
            return _thread(connection, thread_id)

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread and all its messages."""
        with self._database.writing() as connection:
            seq = _seq(connection, thread_id)
            connection.execute("DELETE FROM messages WHERE thread = ?", (seq,))
            connection.execute("DELETE FROM deleted WHERE thread = ?", (seq,))
            bury(connection, THREADS, 0, thread_id)

    def add_message(self, thread_id: str, draft: Draft) -> Row:
        """Append a message to a thread."""
        with self._database.writing() as connection:
            [inserted] = self._insert(connection, thread_id, [draft])
        return inserted.row

    def add_messages(self, thread_id: str, drafts: Iterable[Draft]) -> list[str]:
        """Append messages to a thread, all or none, and give their ids."""
        drafts = list(drafts)
        with self._database.writing() as connection:
            return [inserted.id for inserted in self._insert(connection, thread_id, drafts)]

    def message(self, thread_id: str, message_id: str) -> Row:
        """Give a message, or raise NotFoundError."""
        with self._database.reading() as connection:
            return _message(connection, thread_id, message_id)

    def messages(self, thread_id: str, page: Page) -> Listing:
        """List the messages of a thread."""
        with self._database.reading() as connection:
            rows, has_more = page_of(connection, MESSAGES, _seq(connection, thread_id), page)
        return Listing([Row(row[0], documents.message(row[1], row[2])) for row in rows], has_more)

    def modify_message(self, thread_id: str, message_id: str, *, metadata: Mapping[str, str] | None = None) -> Row:
        """Replace the whole map of metadata; None leaves it as it is."""
        with self._database.writing() as connection:
            seq = _seq(connection, thread_id)
            connection.execute(
                "UPDATE messages SET metadata = coalesce(?, metadata) WHERE thread = ? AND id = ?",
                (_text(metadata), seq, message_id),
            )
            return _message(connection, thread_id, message_id)

    def delete_message(self, thread_id: str, message_id: str) -> None:
        """Delete a message; its place in the listing still serves as a cursor."""
        with self._database.writing() as connection:
            bury(connection, MESSAGES, _seq(connection, thread_id), message_id)

    def _insert(self, connection: apsw.Connection, thread_id: str, drafts: Sequence[Draft]) -> list[_Message]:
        seq = _seq(connection, thread_id)
        newest: int = connection.execute("SELECT newest FROM threads WHERE seq = ?", (seq,)).get
        now = int(self._clock())
        messages = []
        for draft in drafts:
            # A clock that was set back must not put a message before those already there.
            created_at = max(now, newest) if draft.created_at is None else draft.created_at
            newest = max(created_at, newest)
            messages.append(_new_message(draft, thread_id, seq, created_at))
        connection.executemany(
            "INSERT INTO messages (id, thread, created_at, run_id, body, metadata) VALUES (?, ?, ?, ?, ?, ?)", messages
        )
        connection.execute("UPDATE threads SET newest = ? WHERE seq = ?", (newest, seq))
        return messages

    def _time_for_thread(self, connection: apsw.Connection) -> int:
        newest: int | None = connection.execute("SELECT max(created_at) FROM threads").get
        return max(int(self._clock()), newest or 0)


class _Message(NamedTuple):
    id: str
    thread: int
    created_at: int
    run_id: str | None
    body: str
    metadata: str

    @property
    def row(self) -> Row:
        return Row(self.id, documents.message(self.body, self.metadata))


def _new_message(draft: Draft, thread_id: str, seq: int, created_at: int) -> _Message:
    message_id = draft.id or _new_id("msg")
    body = documents.message_body(draft, message_id, thread_id, created_at)
    return _Message(message_id, seq, created_at, draft.run_id, body, documents.to_text(draft.metadata))


def _new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_bytes(24).translate(_ALPHANUMERICS).decode()}"


def _text(value: Mapping[str, JSON] | None) -> str | None:
    return None if value is None else documents.to_text(value)


def _seq(connection: apsw.Connection, thread_id: str) -> int:
    seq: int | None = connection.execute("SELECT seq FROM threads WHERE id = ?", (thread_id,)).get
    if seq is None:
        raise NotFoundError("thread", thread_id)
    return seq


def _thread(connection: apsw.Connection, thread_id: str) -> Row:
    found = connection.execute(f"SELECT {THREADS.columns} FROM threads WHERE id = ?", (thread_id,)).fetchone()
    if found is None:
        raise NotFoundError("thread", thread_id)
    return Row(thread_id, documents.thread(*found))


def _message(connection: apsw.Connection, thread_id: str, message_id: str) -> Row:
    found = connection.execute(
        "SELECT body, metadata FROM messages WHERE thread = ? AND id = ?", (_seq(connection, thread_id), message_id)
    ).fetchone()
    if found is None:
        raise NotFoundError("message", message_id)
    return Row(message_id, documents.message(*found))
