"""What is measured: each case a piece of work, beside the same work of the baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import ExitStack, closing, contextmanager
from typing import NamedTuple, Protocol

from .baselines import Floor, Loop, Official
from .driver import LISTING, Driver
from .library import CHANGED, CHANGED_MESSAGES, FOUND_MESSAGES, LISTED, PAGE, WRITTEN, several

# The ways of a group.
LOOP = "requests + orjson"
FLOOR = "http.client + msgspec"
OFFICIAL = "openai, limit=100"
SMALL = "openai, its page size"
FIRST = "driver, SELECT *"
AGAIN = "driver, SELECT * again"
SHORT = "driver, SELECT id, role"
COUNT = "driver, COUNT(*)"
GROUP = "driver, GROUP BY role"
BY_LIST = "driver, IN list"
BY_SUBQUERY = "driver, subquery"
BY_JOIN = "driver, join"
UPDATE = "driver, UPDATE"
INSERT = "driver, INSERT"
SELECT = "driver, SELECT"

INSERTED = 20
NEWEST = 10
# Requests that a walk from both ends may make in vain.
BOTH_ENDS = 2

LABELS = {"state": "read"}
_CONTENTS = ["a message as people write them, with an é and a 🙂 " * 10] * INSERTED


class Counter(Protocol):
    """Whoever counts the requests that it makes."""

    requests: int


class Case(NamedTuple):
    """A piece of work on ``messages`` messages, done ``times`` times in one measurement.

    ``floor`` is the fewest requests that do it, ``spare`` those that may come on top; ``once`` marks what
    is too slow for more than one round.
    """

    group: str
    way: str
    work: Callable[[], Sized]
    counter: Counter
    messages: int
    rows: int
    floor: int | None = None
    spare: int = 0
    times: int = 1
    once: bool = False


class Clients(NamedTuple):
    """All that are measured, at one URL; ``first`` forgets what it has read, ``again`` does not."""

    loop: Loop
    floor: Floor
    official: Official
    first: Driver
    again: Driver


@contextmanager
def clients(base_url: str, messages: int) -> Iterator[Clients]:
    """Open them all."""
    with ExitStack() as stack:
        opened = (
            stack.enter_context(closing(Loop(base_url))),
            stack.enter_context(closing(Floor(base_url))),
            stack.enter_context(closing(Official(base_url))),
            stack.enter_context(closing(Driver(base_url, remember=False))),
            stack.enter_context(closing(Driver(base_url, remember=True))),
        )
        found = Clients(*opened)
        for baseline in (found.loop, found.floor, found.official):
            baseline.newest(LISTED, 1)
        found.first.choose(several(messages))
        found.again.list_all(LISTED)
        yield found


def pages(messages: int) -> int:
    """Count the pages of a thread."""
    return max(1, -(-messages // PAGE))


def distant(far: Clients, messages: int) -> list[Case]:
    """List the cases that wait for the service."""
    return [
        *listings("one thread", far, messages),
        *_several(far, messages),
        *_changes(far),
        *_inserts(far),
    ]


def near(near: Clients, messages: int) -> list[Case]:
    """List the cases in which only the CPU counts."""
    return [*listings("CPU", near, messages), *_newest(near), *_points(near)]


def listings(group: str, of: Clients, messages: int) -> list[Case]:
    """List one thread whole."""
    floor = pages(messages)

    def case(
        way: str, work: Callable[[], Sized], counter: Counter, rows: int = messages, *, once: bool = False
    ) -> Case:
        ours = isinstance(counter, Driver)
        return Case(group, way, work, counter, messages, rows, floor if ours else None, BOTH_ENDS * ours, once=once)

    def ours(way: str, columns: str, tail: str, rows: int) -> Case:
        sql = f"SELECT {columns} FROM messages WHERE thread_id = ? {tail}"
        return case(way, lambda: of.first.select(sql, LISTED), of.first, rows)

    return [
        case(SMALL, lambda: of.official.list_small(LISTED), of.official, once=True),
        case(OFFICIAL, lambda: of.official.list_all(LISTED), of.official),
        case(LOOP, lambda: of.loop.list_all(LISTED), of.loop),
        case(FLOOR, lambda: of.floor.list_all(LISTED), of.floor),
        ours(FIRST, "*", "", messages),
        case(AGAIN, lambda: of.again.list_all(LISTED), of.again),
        ours(SHORT, "id, role", "", messages),
        ours(COUNT, "COUNT(*)", "", 1),
        ours(GROUP, "role, COUNT(*)", "GROUP BY role", 2),
    ]


def _several(of: Clients, messages: int) -> list[Case]:
    ids = several(messages)
    rows = len(ids) * PAGE

    def case(way: str, work: Callable[[], Sized], counter: Counter, floor: int | None = None) -> Case:
        return Case("several threads", way, work, counter, rows, rows, floor, once=way in (OFFICIAL, FLOOR))

    def ours(way: str, sql: str, values: Sequence[str] = ()) -> Case:
        return case(way, lambda: of.first.select(sql, *values), of.first, len(ids))

    marks = ", ".join("?" for _ in ids)
    return [
        case(OFFICIAL, lambda: of.official.list_each(ids), of.official),
        case(LOOP, lambda: of.loop.list_each(ids), of.loop),
        case(FLOOR, lambda: of.floor.list_each(ids), of.floor),
        ours(BY_LIST, f"SELECT * FROM messages WHERE thread_id IN ({marks})", ids),
        ours(BY_SUBQUERY, "SELECT * FROM messages WHERE thread_id IN (SELECT id FROM chosen)"),
        ours(BY_JOIN, "SELECT messages.* FROM chosen JOIN messages ON messages.thread_id = chosen.id"),
    ]


def _changes(of: Clients) -> list[Case]:
    floor = pages(CHANGED_MESSAGES) + FOUND_MESSAGES
    sql = "UPDATE messages SET metadata = ? WHERE thread_id = ? AND role = 'assistant'"

    def case(way: str, work: Callable[[], Sized], counter: Counter, *, once: bool = False) -> Case:
        ours = isinstance(counter, Driver)
        least = floor if ours else None
        return Case("UPDATE", way, work, counter, FOUND_MESSAGES, FOUND_MESSAGES, least, BOTH_ENDS * ours, once=once)

    return [
        case(OFFICIAL, lambda: of.official.label(CHANGED, "assistant", LABELS), of.official, once=True),
        case(LOOP, lambda: of.loop.label(CHANGED, "assistant", LABELS), of.loop),
        case(FLOOR, lambda: of.floor.label(CHANGED, "assistant", LABELS), of.floor, once=True),
        case(UPDATE, lambda: of.first.change(sql, '{"state":"read"}', CHANGED), of.first),
    ]


def _inserts(of: Clients) -> list[Case]:
    def case(way: str, client: Official | Loop | Floor | Driver) -> Case:
        floor = INSERTED if isinstance(client, Driver) else None
        return Case("INSERT", way, lambda: client.create(WRITTEN, _CONTENTS), client, INSERTED, INSERTED, floor)

    return [case(OFFICIAL, of.official), case(LOOP, of.loop), case(FLOOR, of.floor), case(INSERT, of.first)]


def _newest(of: Clients) -> list[Case]:
    sql = f"{LISTING} ORDER BY created_at DESC LIMIT {NEWEST}"

    def case(way: str, work: Callable[[], Sized], counter: Counter, floor: int | None = None) -> Case:
        return Case("newest 10", way, work, counter, NEWEST, NEWEST, floor, times=20)

    return [
        case(OFFICIAL, lambda: of.official.newest(LISTED, NEWEST), of.official),
        case(LOOP, lambda: of.loop.newest(LISTED, NEWEST), of.loop),
        case(FLOOR, lambda: of.floor.newest(LISTED, NEWEST), of.floor),
        case(SELECT, lambda: of.first.select(sql, LISTED), of.first, 1),
    ]


def _points(of: Clients) -> list[Case]:
    key = str(of.floor.newest(LISTED, 1)[0][0])

    def case(way: str, work: Callable[[], Sized], counter: Counter, floor: int | None = None) -> Case:
        return Case("point read", way, work, counter, 1, 1, floor, times=50)

    return [
        case(OFFICIAL, lambda: of.official.point(LISTED, key), of.official),
        case(LOOP, lambda: of.loop.point(LISTED, key), of.loop),
        case(FLOOR, lambda: of.floor.point(LISTED, key), of.floor),
        case(SELECT, lambda: of.first.select(f"{LISTING} AND id = ?", LISTED, key), of.first, 1),
    ]
