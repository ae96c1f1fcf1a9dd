"""The places where a request can meet a fault, as data: the statement, and which of its requests it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from messages_dbapi import errors
from messages_dbapi.connection import Connection
from messages_dbapi.cursor import Cursor
from messages_dbapi.embedded.documents import Draft
from messages_dbapi.errors import Error

from ..front import Front

Form = Literal["read", "change", "create"]

A, B, C = "thread_a", "thread_b", "thread_c"
_COUNTS = {A: 5, B: 3, C: 3, "thread_d": 2, "thread_e": 0}
_SET = {"was": "set"}


class Answer(NamedTuple):
    """What a statement answered; ``rowcount`` is that of a write."""

    rows: list[Any]
    rowcount: int


@dataclass(frozen=True)
class Place:
    """One request of one statement.

    ``at`` counts the requests before it. ``missing`` is what a 404 to it means: a class, or None, no such
    row. A ``created`` row can be proven to be ours, unless ``provable`` says no.
    """

    name: str
    form: Form
    sql: str
    at: int = 0
    many: Sequence[tuple[object, ...]] = ()
    missing: type[Error] | None = errors.ProgrammingError
    listing: bool = False
    later: bool = False
    provable: bool = True
    threads: tuple[str, ...] = ()
    # What a write has done so far, in its order, and how many requests of it come before its first write.
    done: Callable[[Front], list[str]] = lambda front: []
    reads: int = 0

    @property
    def writes(self) -> bool:
        """Tell whether the statement writes, whatever this request does."""
        return not self.sql.startswith("SELECT")

    def run(self, cursor: Cursor) -> Answer:
        """Run the statement and fetch all it gives."""
        if self.many:
            cursor.executemany(self.sql, self.many)
        else:
            cursor.execute(self.sql)
        return Answer(cursor.fetchall() if cursor.description else [], cursor.rowcount)


def settle(front: Front) -> None:
    """Fill the service with threads of messages, the same each time."""
    for thread, count in _COUNTS.items():
        letter = thread[-1]
        drafts = [
            Draft(content=f"{letter}{n}", id=f"msg_{letter}{n}", created_at=1_700_000_000 + n, role="user")
            for n in range(count)
        ]
        front.store.add_thread(messages=drafts, thread_id=thread, created_at=1_600_000_000 + "deabc".index(letter))


def label(connection: Connection) -> None:
    """Give a connection a local table."""
    connection.execute("CREATE TABLE labels (id TEXT, label TEXT)")
    rows = [(f"msg_a{n}", f"label {n}") for n in range(5)]
    connection.cursor().executemany("INSERT INTO labels VALUES (?, ?)", rows)
    connection.commit()


def prepare(connection: Connection, place: Place) -> None:
    """Give a connection what a place needs, a success, and the newest message of the thread that is written to."""
    label(connection)
    if place.sql.endswith("threads"):
        # Else it would learn from the fault that threads cannot be listed.
        connection.execute("SELECT id FROM threads LIMIT 1").fetchall()
    newest = f"SELECT id FROM messages WHERE thread_id = '{B}' ORDER BY created_at DESC LIMIT 1"
    assert connection.execute(newest).fetchall() == [("msg_b2",)]


def _created(front: Front) -> list[str]:
    return [text for _, text in front.texts(B)[_COUNTS[B] :]]


def _threads_created(front: Front) -> list[str]:
    reply = front.ask("/v1/threads?limit=100&order=asc")
    return [thread["metadata"]["name"] for thread in reply["data"] if thread["metadata"]]


def _messages(front: Front) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = front.ask(f"/v1/threads/{A}/messages?limit=100&order=asc")["data"]
    return listed


def _modified(front: Front) -> list[str]:
    return [message["id"] for message in _messages(front) if message["metadata"] == _SET]


def _deleted(front: Front) -> list[str]:
    left = {message["id"] for message in _messages(front)}
    return [name for name in (f"msg_a{n}" for n in range(_COUNTS[A])) if name not in left]


_OF_A = f"FROM messages WHERE thread_id = '{A}'"
_UPDATE = f"UPDATE messages SET metadata = '{json.dumps(_SET)}' WHERE thread_id = '{A}'"
_DELETE = f"DELETE FROM messages WHERE thread_id = '{A}'"
_INSERT = "INSERT INTO messages (thread_id, role, content)"
_ROWS = ", ".join(f"('{B}', 'user', 'new {n}')" for n in range(4))
_SETS = tuple((B, f"new {n}") for n in range(4))
_IDS = tuple((f"msg_a{n}",) for n in range(4))

PLACES = (
    Place("first page", "read", f"SELECT id, content_text, completed_at {_OF_A}", listing=True),
    Place("later page", "read", f"SELECT id, content_text {_OF_A}", 1, listing=True, later=True),
    Place("last page", "read", f"SELECT id, content_text {_OF_A}", 2, listing=True, later=True),
    Place("newest first", "read", f"SELECT id {_OF_A} ORDER BY created_at DESC", 1, listing=True, later=True),
    Place("oldest first", "read", f"SELECT id {_OF_A} ORDER BY created_at", 1, listing=True, later=True),
    Place(
        "one thread of many",
        "read",
        f"SELECT thread_id, id FROM messages WHERE thread_id IN ('{A}', '{B}', '{C}')",
        3,
        listing=True,
    ),
    Place(
        "a join with a local table",
        "read",
        f"SELECT label, content_text FROM labels JOIN messages USING (id) WHERE thread_id = '{A}'",
        1,
        listing=True,
        later=True,
    ),
    Place(
        "an aggregate",
        "read",
        f"SELECT count(*), group_concat(id), max(created_at) {_OF_A}",
        1,
        listing=True,
        later=True,
    ),
    Place("point read", "read", f"SELECT id, content_text {_OF_A} AND id = 'msg_a2'", missing=None),
    Place("the default scope", "read", "SELECT thread_id, id FROM messages", 4, listing=True, later=True),
    Place("listing of threads", "read", "SELECT id FROM threads", missing=errors.NotSupportedError, listing=True),
    Place(
        "later page of threads",
        "read",
        "SELECT id FROM threads",
        1,
        missing=errors.NotSupportedError,
        listing=True,
        later=True,
    ),
    Place("point read of a thread", "read", f"SELECT id, metadata FROM threads WHERE id = '{A}'", missing=None),
    Place(
        "the transcript",
        "read",
        f"SELECT created, role, text FROM transcript WHERE thread_id = '{A}'",
        1,
        listing=True,
        later=True,
    ),
    Place("create", "create", f"{_INSERT} VALUES ('{B}', 'user', 'new 0')", done=_created),
    Place("k-th row of INSERT", "create", f"{_INSERT} VALUES {_ROWS}", 2, done=_created),
    Place("k-th set of executemany", "create", f"{_INSERT} VALUES (?, 'user', ?)", 2, _SETS, done=_created),
    Place(
        "listing of INSERT SELECT",
        "read",
        f"{_INSERT} SELECT '{B}', role, content_text {_OF_A}",
        1,
        listing=True,
        later=True,
        done=_created,
    ),
    Place(
        "k-th row of INSERT SELECT",
        "create",
        f"{_INSERT} SELECT '{B}', role, content_text {_OF_A}",
        4,
        done=_created,
        reads=3,
    ),
    Place(
        "create of a thread",
        "create",
        'INSERT INTO threads (metadata) VALUES (\'{"name": "new"}\')',
        missing=errors.OperationalError,
        provable=False,
        done=_threads_created,
    ),
    Place("modify", "change", f"{_UPDATE} AND id = 'msg_a1'", missing=None, done=_modified),
    Place("delete", "change", f"{_DELETE} AND id = 'msg_a1'", missing=None, done=_deleted),
    Place("listing of UPDATE", "read", f"{_UPDATE} AND role = 'user'", 1, listing=True, later=True, done=_modified),
    Place("k-th row of UPDATE", "change", f"{_UPDATE} AND role = 'user'", 5, missing=None, done=_modified, reads=3),
    Place("listing of DELETE", "read", f"{_DELETE} AND role = 'user'", 1, listing=True, later=True, done=_deleted),
    Place("k-th row of DELETE", "change", f"{_DELETE} AND role = 'user'", 5, missing=None, done=_deleted, reads=3),
    Place("k-th set of an UPDATE", "change", f"{_UPDATE} AND id = ?", 2, _IDS, missing=None, done=_modified),
)
