"""Writers on one store, each a process of its own, and the notes they keep of what they were told is done.

A note is a line of a file that outlives the process, written before a statement and again when
``execute`` has returned: what a killed writer was promised, and the one statement it was in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import messages_dbapi
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.documents import Draft
from messages_dbapi.embedded.store import Store

# Messages of one import.
BATCH = 300

_INSERT = "INSERT INTO messages (thread_id, role, content, metadata) VALUES (?, 'user', ?, '{\"n\":\"0\"}')"
_INSERTS = f"{_INSERT}, (?, 'user', ?, '{{\"n\":\"0\"}}'), (?, 'user', ?, '{{\"n\":\"0\"}}')"
_UPDATE = "UPDATE messages SET metadata = ? WHERE thread_id = ? AND id = ?"
_DELETE = "DELETE FROM messages WHERE thread_id = ? AND id = ?"


def text_of(name: str, serial: int) -> str:
    """Give a writer's text number ``serial``: some fill a few bytes, some several pages of SQLite."""
    return f"{name} {serial} {'ä' * (serial * 997 % 5000)}."


class _Notes:
    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)

    def say(self, **note: Any) -> None:
        os.write(self._file, json.dumps(note).encode() + b"\n")


def write(url: str, thread: str, name: str, notes: Path) -> None:
    """Insert, update and delete messages of one's own until the end, which comes from outside."""
    with messages_dbapi.connect(url) as connection:
        writer = _Writer(connection, thread, name, _Notes(notes))
        for serial in count(0, 4):
            writer.turn(serial)


@dataclass
class _Writer:
    connection: Connection
    thread: str
    name: str
    notes: _Notes
    mine: list[str] = field(default_factory=list)

    def turn(self, serial: int) -> None:
        """Insert one message and then three, update one of them, delete one."""
        self._insert(_INSERT, range(serial, serial + 1))
        self._insert(_INSERTS, range(serial + 1, serial + 4))
        if len(self.mine) < 2:
            return
        self._change("update", self.mine[serial % len(self.mine)], serial)
        self._change("delete", self.mine.pop(-2), serial)

    def _insert(self, operation: str, serials: range) -> None:
        values = [value for serial in serials for value in (self.thread, text_of(self.name, serial))]
        self.notes.say(begun="insert", serials=list(serials))
        try:
            rows = self.connection.execute(operation + " RETURNING id", values).fetchall()
        except messages_dbapi.Error as error:
            self.notes.say(failed=error.outcome, ids=error.ids, text=str(error))
            return
        ids = [str(row[0]) for row in rows]
        self.notes.say(done=ids)
        self.mine += ids

    def _change(self, how: str, message: str, serial: int) -> None:
        values = (self.thread, message) if how == "delete" else (json.dumps({"n": str(serial)}), self.thread, message)
        self.notes.say(begun=how, id=message, n=str(serial))
        try:
            changed = self.connection.execute(_DELETE if how == "delete" else _UPDATE, values).rowcount
        except messages_dbapi.Error as error:
            self.notes.say(failed=error.outcome, ids=error.ids, text=str(error))
            return
        self.notes.say(done=changed)


def import_batches(path: Path, thread: str, name: str, notes: Path) -> None:
    """Import batch after batch, each all or nothing, until the end comes from outside."""
    kept = _Notes(notes)
    with Store(path) as store:
        for number in count():
            kept.say(begun="import", n=str(number))
            ids = store.add_messages(
                thread, [Draft(content=f"{name} {number} {place}", run_id=f"{name}.{number}") for place in range(BATCH)]
            )
            kept.say(done=ids)


def open_first(url: str, notes: Path) -> None:
    """Create a store and a thread in it."""
    kept = _Notes(notes)
    kept.say(begun="create")
    with messages_dbapi.connect(url) as connection:
        kept.say(done=connection.execute("INSERT INTO threads DEFAULT VALUES RETURNING id").fetchall()[0][0])


@dataclass
class Promises:
    """What a writer may rely on, as read from its notes.

    ``certain`` are the messages that must be there, ``gone`` those that must not, ``doubtful`` those that may.
    ``open`` are the serials whose creation nobody confirmed. ``numbers`` are all that a message's metadata was
    ever to be, in order, and ``settled`` tells which of them was the last confirmed.
    """

    name: str
    certain: set[str] = field(default_factory=set)
    numbers: dict[str, list[str]] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)
    open: set[int] = field(default_factory=set)
    done: int = 0

    @classmethod
    def read(cls, name: str, notes: Path) -> Promises:
        """Read the notes as far as they go: the writer may be at work."""
        promises = cls(name)
        for begun, ended in _statements(notes):
            promises._note(begun, ended)
        return promises

    def _note(self, begun: dict[str, Any], ended: dict[str, Any] | None) -> None:
        self.done += ended is not None and "done" in ended
        if begun["begun"] == "insert":
            self._note_insert(begun["serials"], ended)
        elif begun["begun"] == "update":
            self._note_update(begun["id"], begun["n"], ended)
        else:
            self._note_delete(begun["id"], ended)

    def _note_insert(self, serials: Sequence[int], ended: dict[str, Any] | None) -> None:
        if ended is None:
            self.open.update(serials)
            return
        created: list[str] = ended["done"] if "done" in ended else ended["ids"]
        self.certain.update(created)
        self.numbers |= {message: ["0"] for message in created}
        self.settled |= dict.fromkeys(created, 0)
        if ended.get("failed") == "unknown":
            self.open.add(serials[len(created)])
        else:
            assert "failed" in ended or len(created) == len(serials)

    def _note_update(self, message: str, number: str, ended: dict[str, Any] | None) -> None:
        if ended is not None and ended.get("failed") == "failed":
            return
        self.numbers[message].append(number)
        if ended is not None and "done" in ended:
            assert ended["done"] == 1
            self.settled[message] = len(self.numbers[message]) - 1

    def _note_delete(self, message: str, ended: dict[str, Any] | None) -> None:
        if ended is not None and ended.get("failed") == "failed":
            return
        self.certain.remove(message)
        if ended is not None and "done" in ended:
            assert ended["done"] == 1
            self.gone.add(message)
        else:
            self.doubtful.add(message)


def _statements(notes: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Give each statement's note before and, where it ended, after."""
    begun: dict[str, Any] | None = None
    for note in read_notes(notes):
        if "begun" in note:
            assert begun is None
            begun = note
        elif begun is not None:
            yield begun, note
            begun = None
    if begun is not None:
        yield begun, None


def read_notes(notes: Path) -> list[dict[str, Any]]:
    """Read the whole lines of the notes."""
    with suppress(FileNotFoundError):
        return [json.loads(line) for line in notes.read_bytes().split(b"\n")[:-1]]
    return []
