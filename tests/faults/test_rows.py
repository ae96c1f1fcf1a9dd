"""A write of many rows that fails in the middle says what was applied, sends no more, and the connection goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from messages_dbapi import OperationalError
from messages_dbapi.connection import Connection
from messages_dbapi.cursor import Cursor
from messages_dbapi.embedded.documents import Draft
from messages_dbapi.errors import Error, Outcome

from ..front import Fault, Front, after_applying, fronting, lose, refuse
from ..wire import Link, Seen

_COUNT = 7
_SET = '{"was": "set"}'

Run = Callable[[Connection, list[str], int], Cursor]


def _values(connection: Connection, threads: list[str], count: int) -> Cursor:
    rows = [(threads[n % len(threads)], f"row {n}") for n in range(count)]
    sql = ", ".join(["(?, 'user', ?)"] * count)
    flat = [value for row in rows for value in row]
    return connection.execute(f"INSERT INTO messages (thread_id, role, content) VALUES {sql}", flat)


def _select(connection: Connection, threads: list[str], count: int) -> Cursor:
    connection.execute("DROP TABLE IF EXISTS drafts")
    connection.execute("CREATE TABLE drafts (place INTEGER, thread TEXT, text TEXT)")
    rows = [(n, threads[n % len(threads)], f"row {n}") for n in range(count)]
    connection.cursor().executemany("INSERT INTO drafts VALUES (?, ?, ?)", rows)
    return connection.execute(
        "INSERT INTO messages (thread_id, role, content) SELECT thread, 'user', text FROM drafts ORDER BY place"
    )


def _many(connection: Connection, threads: list[str], count: int) -> Cursor:
    rows = [(threads[n % len(threads)], f"row {n}") for n in range(count)]
    return connection.cursor().executemany(
        "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)", rows
    )


def _update(connection: Connection, threads: list[str], count: int) -> Cursor:
    return connection.execute(
        f"UPDATE messages SET metadata = '{_SET}' WHERE thread_id IN (SELECT value FROM json_each(?))", (threads,)
    )


def _delete(connection: Connection, threads: list[str], count: int) -> Cursor:
    return connection.execute("DELETE FROM messages WHERE thread_id IN (SELECT value FROM json_each(?))", (threads,))


def _many_updates(connection: Connection, threads: list[str], count: int) -> Cursor:
    rows = [(threads[n % len(threads)], f"msg_{n % len(threads)}_{n // len(threads)}") for n in range(count)]
    return connection.cursor().executemany(
        f"UPDATE messages SET metadata = '{_SET}' WHERE thread_id = ? AND id = ?", rows
    )


class Write(NamedTuple):
    """A kind of statement that writes ``count`` rows, and whether it creates them."""

    run: Run
    creates: bool


WRITES = {
    "INSERT VALUES": Write(_values, True),
    "INSERT SELECT": Write(_select, True),
    "executemany": Write(_many, True),
    "UPDATE": Write(_update, False),
    "DELETE": Write(_delete, False),
    "executemany of UPDATE": Write(_many_updates, False),
}

# What happens to the row, what is reported of it, and whether it was applied.
FAULTS: dict[str, tuple[Fault, Outcome, bool]] = {
    "refused": (refuse(403), "failed", False),
    "lost": (lose, "unknown", False),
    "lost after applying": (after_applying(lose), "unknown", True),
}


@pytest.fixture
def front() -> Iterator[Front]:
    with fronting() as front:
        yield front


class World:
    """Threads of one service, and which of their rows a statement has written so far."""

    def __init__(self, front: Front, write: Write, threads: int, count: int) -> None:
        self.front = front
        self.write = write
        self.names = [f"thread_{t}" for t in range(threads)]
        for t, name in enumerate(self.names):
            # Rows to change; a thread in which rows are created is empty.
            held = 0 if write.creates else len(range(t, count, threads))
            drafts = [Draft(content=f"{t} {n}", id=f"msg_{t}_{n}") for n in range(held)]
            front.store.add_thread(messages=drafts, thread_id=name)
        self.ids = {str(message["id"]) for message in self._messages()}

    def _messages(self) -> list[dict[str, object]]:
        pages = [self.front.ask(f"/v1/threads/{name}/messages?limit=100&order=asc") for name in self.names]
        return [message for page in pages for message in page["data"]]

    def written(self) -> set[str]:
        """Name the rows that were written: created, changed or deleted."""
        now = self._messages()
        changed = {str(message["id"]) for message in now if message["metadata"] or message["id"] not in self.ids}
        return changed | (self.ids - {str(message["id"]) for message in now})

    def check_usable(self, connection: Connection) -> None:
        """See that the connection reads and writes on."""
        found = connection.execute(
            "SELECT thread_id, id FROM messages WHERE thread_id IN (SELECT value FROM json_each(?))", (self.names,)
        ).fetchall()
        assert sorted(found) == sorted((str(message["thread_id"]), str(message["id"])) for message in self._messages())
        insert = "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', 'after')"
        assert connection.execute(insert, self.names[:1]).rowcount == 1


def _fail_at(place: int, fault: Fault, sent: list[Seen], *, creates: bool) -> Callable[[Seen], Fault | None]:
    """Meet one write with a fault, and keep all writes; what was created and lost cannot be looked for."""

    def plan(seen: Seen) -> Fault | None:
        if seen.method == "GET":
            return refuse(500) if creates else None
        sent.append(seen)
        return fault if len(sent) == place + 1 else None

    return plan


def _fail(run: Callable[[], Cursor]) -> Error:
    with pytest.raises(OperationalError) as caught:
        run()
    return caught.value


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_row_that_fails_in_the_middle(threads: int, write: str, fault: str, many: Callable[[int, int], int]) -> None:
    for count in (1, _COUNT, 20)[: many(2, 3)]:
        places = range(count) if many(0, 1) or count == 1 else (0, count // 2, count - 1)
        for place in places:
            with fronting() as front:
                _check(front, World(front, WRITES[write], threads, count), count, place, *FAULTS[fault])


def _check(front: Front, world: World, count: int, place: int, fault: Fault, outcome: Outcome, applies: bool) -> None:
    sent: list[Seen] = []
    with front.connect(concurrency=1, max_retries=0) as connection:
        connection.execute("SELECT 1 FROM threads").fetchall()
        front.plan = _fail_at(place, fault, sent, creates=world.write.creates)
        error = _fail(lambda: world.write.run(connection, world.names, count))
        front.plan = None
        assert (error.applied, len(error.ids), error.outcome) == (place, place, outcome)
        assert len(sent) == place + 1, "something was sent after the row that failed"
        written = world.written()
        assert set(error.ids) <= written
        assert len(written) == place + applies
        if count > 1:
            assert "of the statement" in str(error)
        world.check_usable(connection)
        connection.commit()


@pytest.mark.parametrize("write", WRITES)
def test_threads_side_by_side_stop_too(front: Front, write: str, many: Callable[[int, int], int]) -> None:
    """What is on its way in other threads may still be applied, and is then reported as such."""
    threads, count = 4, many(24, 120)
    world = World(front, WRITES[write], threads, count)
    together = threading.Barrier(threads)
    sent: list[Seen] = []

    def meet(front: Front, link: Link, seen: Seen) -> bool:
        # Others are under way when one fails.
        together.wait(60)
        return (refuse(403) if seen is sent[2] else _pass)(front, link, seen)

    def plan(seen: Seen) -> Fault | None:
        if seen.method == "GET":
            return None
        sent.append(seen)
        return meet if len(sent) <= threads else None

    with front.connect(concurrency=threads, max_retries=0) as connection:
        front.plan = plan
        error = _fail(lambda: world.write.run(connection, world.names, count))
        front.plan = None
        assert error.outcome == "failed"
        assert set(error.ids) == world.written()
        assert error.applied == len(error.ids) >= threads - 1
        if world.write.creates:
            assert [seen.target for seen in sent].count(sent[2].target) == 1, "the thread went on"
        assert "of the statement" in str(error)
        world.check_usable(connection)
        connection.commit()


def _pass(front: Front, link: Link, seen: Seen) -> bool:
    return front.answer(link, front.pass_on(seen))


def test_a_listing_that_fails_after_rows_were_sent_says_which(front: Front) -> None:
    """A later set of executemany may need to read what an earlier one has written."""
    World(front, WRITES["UPDATE"], 2, 4)
    update = f"UPDATE messages SET metadata = '{_SET}' WHERE thread_id = ? AND role = 'user'"
    with front.connect(concurrency=1, max_retries=0) as connection:
        front.plan = lambda seen: refuse(500) if seen.method == "GET" and "thread_1" in seen.target else None
        error = _fail(lambda: connection.cursor().executemany(update, [("thread_0",), ("thread_1",)]))
        assert (error.applied, error.ids, error.outcome) == (2, ("msg_0_0", "msg_0_1"), "failed")
        connection.commit()
