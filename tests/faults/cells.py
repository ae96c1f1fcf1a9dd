"""One fault at one place: the statement is run, and everything that it left behind is looked at."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

from messages_dbapi.connection import Connection
from messages_dbapi.cursor import Cursor
from messages_dbapi.errors import Error

from ..front import Fault, Front, fronting
from ..wire import Link, Seen
from . import promises
from .kinds import REQUEST_ID, Kind
from .places import A, Answer, B, C, Place, label, prepare, settle
from .promises import ANSWER, End

KEY = "sk-very-secret-4711"
# Seconds after which a refused connection is accepted: less than the shortest wait for another try.
_REFUSED_FOR = 0.1


class Cell(NamedTuple):
    """A fault at a place, played one way.

    ``stays``: each time the same request is sent. ``applies``: the service acts on a write all the same.
    """

    kind: Kind
    place: Place
    stays: bool
    applies: bool

    @property
    def end(self) -> End:
        """Say how the statement has to end."""
        promise, place = self.kind.promise, self.place
        if promise is promises.MISSING and place.later:
            return ANSWER  # The thread is there: it is the row to go on from that is not known.
        if promise is promises.MISSING:
            return ANSWER if place.missing is None else End(place.missing, "failed" if place.form != "read" else None)
        ends = {"read": promise.reads, "change": promise.changes, "create": promise.creates}[place.form]
        assert ends is not None, "it does not meet such a request"
        end = ends.always if self.stays else ends.once
        return ANSWER if end.proven and self.applies and place.provable else end


def ways(kind: Kind, place: Place) -> Iterator[Cell]:
    """Give every way in which a fault can be played at a place; none where it cannot happen there."""
    if (kind.where != "anywhere" and not place.listing) or (kind.where == "later page" and not place.later):
        return
    applied = (bool(kind.applies),) if kind.applies is not None or place.form == "read" else (False, True)
    for applies in applied:
        if not kind.persists:
            yield Cell(kind, place, False, applies)
        if not kind.changes or kind.persists:
            yield Cell(kind, place, True, applies)


class Trap:
    """Wait for the request of a place, and meet it with a fault."""

    def __init__(self, cell: Cell, front: Front) -> None:
        self._cell = cell
        self._front = front
        self._count = 0
        self._first: Seen | None = None
        if cell.kind.refuses and cell.place.at == 0:
            self._refuse()
            front.drop()
        else:
            front.plan = self._choose

    def _choose(self, seen: Seen) -> Fault | None:
        kind, at = self._cell.kind, self._cell.place.at
        number, self._count = self._count, self._count + 1
        if kind.refuses:
            return self._answer_and_refuse if number == at - 1 else None
        if self._first is None:
            self._first = seen if number == at else None
            return self._meet if number == at else None
        return self._meet if self._cell.stays and kind.again(self._first, seen) else None

    def _meet(self, front: Front, link: Link, seen: Seen) -> bool:
        gets = seen.method == "GET" or self._cell.applies
        return self._cell.kind.play(front, link, seen, front.pass_on(seen) if gets else None)

    def _answer_and_refuse(self, front: Front, link: Link, seen: Seen) -> bool:
        self._refuse()
        return front.answer(link, front.pass_on(seen), announce=True)

    def _refuse(self) -> None:
        self._front.refuse()
        if not self._cell.stays:
            threading.Timer(_REFUSED_FOR, self._front.accept_again).start()

    def disarm(self) -> None:
        """Let the service be well."""
        self._front.plan = None
        if self._cell.kind.refuses and self._cell.stays:
            self._front.accept_again()


@contextmanager
def world(place: Place, kind: Kind | None = None) -> Iterator[tuple[Front, Connection]]:
    """Give a service, and a connection that has been used."""
    options: dict[str, Any] = {} if kind is None or kind.timeout is None else {"timeout": kind.timeout}
    scope = (A, B, C) if "scope" in place.name else None
    with fronting() as front:
        settle(front)
        with front.connect(
            api_key=KEY, page_size=2, concurrency=1, max_retries=1, thread_id=scope, **options
        ) as connection:
            prepare(connection, place)
            yield front, connection
            connection.reset()


class Truth(NamedTuple):
    """What a place answers and does without a fault."""

    answer: Answer
    done: list[str]


@lru_cache
def truth(place: Place) -> Truth:
    """Run a place's statement on a service that is well."""
    with world(place) as (front, connection):
        answer = place.run(connection.cursor())
        assert len(front.requests) > place.at + 1
        return Truth(answer, place.done(front))


def play(cell: Cell, elsewhere: str = "") -> None:
    """Play one cell, and check all that has to hold."""
    kind, place = cell.kind, cell.place
    with world(place, kind) as (front, connection):
        front.elsewhere = elsewhere
        cursor, before = connection.cursor(), len(front.requests)
        trap = Trap(cell, front)
        answer, error = _run(place, cursor)
        sent = front.requests[before:]
        trap.disarm()
        assert cursor.stats.requests == len(sent), "the driver counts what the service saw"
        done = place.done(front)
        if error is None:
            assert answer is not None
            assert cell.end.cls is None, f"{cell.end} was promised, not an answer"
            _check_answer(cell, front, answer, done)
        else:
            _check_error(cell, error, done)
            _check_nothing_follows(cell, sent)
        _check_key(error)
        _check_usable(cell, front, connection)


def _run(place: Place, cursor: Cursor) -> tuple[Answer | None, Error | None]:
    try:
        return place.run(cursor), None
    except Error as error:
        return None, error


def _check_answer(cell: Cell, front: Front, answer: Answer, done: list[str]) -> None:
    true = truth(cell.place)
    if cell.kind.promise is promises.MISSING and not cell.place.later:
        assert len(answer.rows) + max(answer.rowcount, 0) == len(true.answer.rows) + max(true.answer.rowcount, 0) - 1
    elif not cell.kind.changes:
        assert answer == true.answer
        assert done == true.done
    elif cell.place.writes:
        # One row more or less is there to write.
        assert abs(answer.rowcount - len(true.done)) <= 1
        assert len(set(done)) == len(done)
    else:
        with front.connect(page_size=2, concurrency=1, thread_id=(A, B, C)) as other:
            label(other)
            assert answer in (true.answer, cell.place.run(other.cursor()))


def _check_error(cell: Cell, error: Error, done: list[str]) -> None:
    kind, place, end = cell.kind, cell.place, cell.end
    assert type(error) is end.cls, f"{end} was promised, not {error!r}"
    assert error.status == kind.status, error
    assert error.request_id == (REQUEST_ID if kind.status else None), error
    assert error.code == kind.code, error
    if place.form == "read":
        assert done == []
        assert (error.outcome, error.applied) == (("failed", 0) if place.writes else (None, None))
        return
    assert error.outcome == end.outcome, error
    before = place.at - place.reads
    true = truth(place).done
    assert error.applied == before == len(error.ids), error
    assert done == true[: before + cell.applies]
    assert f"row {before + 1} of the statement" in str(error) or len(true) == 1
    assert ("may have been applied" in str(error)) == (end.outcome == "unknown")


def _check_nothing_follows(cell: Cell, sent: list[Seen]) -> None:
    """See that after the request that failed there came only itself again, and looks for what it created."""
    at, place = cell.place.at, cell.place
    if cell.kind.refuses:
        assert len(sent) == at
        return
    first, rest = sent[at], sent[at + 1 :]
    assert all(cell.kind.again(first, later) or (later.method == "GET" and place.form == "create") for later in rest)
    if place.form == "create" and cell.end.outcome == "unknown":
        assert all(later.method == "GET" for later in rest), "a create was sent twice"


def _check_key(error: BaseException | None) -> None:
    """See that nothing of an error holds the key, its chain and the locals of our frames included."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        assert KEY not in "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "messages_dbapi" in frame.f_code.co_filename:
                assert KEY not in repr(frame.f_locals)
        error = error.__cause__ or error.__context__


def _check_usable(cell: Cell, front: Front, connection: Connection) -> None:
    """See that the next statements of the connection are right."""
    for thread in (A, B):
        whole = 'SELECT id, content_text FROM messages WHERE thread_id = ? AND "limit" = 100'
        assert connection.execute(whole, (thread,)).fetchall() == front.texts(thread)
    if not cell.place.writes and not cell.kind.changes:
        assert cell.place.run(connection.cursor()) == truth(cell.place).answer
