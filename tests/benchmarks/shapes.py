"""Shapes of queries, each with the fewest requests that answer it, and how many the driver makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .cases import BOTH_ENDS, Case, Clients, pages
from .library import CHANGED, CHANGED_MESSAGES, LISTED, several
from .measure import Measured

_ONE = "FROM messages WHERE thread_id = ?"
_CHOSEN = "FROM messages WHERE thread_id IN (SELECT id FROM chosen)"


class Shape(NamedTuple):
    """A query: the requests that it made, the fewest that do, and those that may come on top."""

    name: str
    requests: int
    floor: int
    spare: int

    @property
    def is_met(self) -> bool:
        """Tell whether it made no more than it may."""
        return self.floor <= self.requests <= self.floor + self.spare


class _Query(NamedTuple):
    name: str
    sql: str
    values: Sequence[str | int]
    floor: int
    spare: int = 0


def shapes(of: Clients, messages: int) -> list[Shape]:
    """Run every shape once."""
    return [_run(of, query) for query in _queries(of, messages)]


def of_cases(measured: Sequence[Measured]) -> list[Shape]:
    """Give those of the cases that were measured."""
    return [_of_case(one.case, one.requests, one.case.floor) for one in measured if one.case.floor is not None]


def _of_case(case: Case, requests: int, floor: int) -> Shape:
    return Shape(f"{case.group}: {case.way}", requests, floor, case.spare)


def _run(of: Clients, query: _Query) -> Shape:
    before = of.first.requests
    of.first.select(query.sql, *query.values)
    return Shape(query.name, of.first.requests - before, query.floor, query.spare)


def _queries(of: Clients, messages: int) -> list[_Query]:
    whole, threads = pages(messages), len(several(messages))
    rows = of.floor.newest(LISTED, 100)
    keys, third, run = [str(row[0]) for row in rows[:3]], int(rows[2][5]), next(str(row[11]) for row in rows if row[11])
    return [
        _Query("one message", f"SELECT * {_ONE} AND id = ?", (LISTED, keys[0]), 1),
        _Query("three messages", f"SELECT * {_ONE} AND id IN (?, ?, ?)", (LISTED, *keys), min(3, whole)),
        _Query("a thread of three pages", f"SELECT * {_ONE}", (CHANGED,), pages(CHANGED_MESSAGES), BOTH_ENDS),
        _Query("a thread of one page", f"SELECT * {_ONE}", (several(messages)[0],), 1),
        _Query("ids alone", f"SELECT id {_ONE}", (LISTED,), whole, BOTH_ENDS),
        _Query("newest 10", f"SELECT * {_ONE} ORDER BY created_at DESC LIMIT 10", (LISTED,), 1),
        _Query("newest 250", f"SELECT * {_ONE} ORDER BY created_at DESC LIMIT 250", (LISTED,), 3),
        _Query("newest 10 after 30", f"SELECT * {_ONE} ORDER BY created_at DESC LIMIT 10 OFFSET 30", (LISTED,), 1),
        _Query("oldest 10", f"SELECT * {_ONE} ORDER BY created_at LIMIT 10", (LISTED,), 1),
        _Query("any 10", f"SELECT * {_ONE} LIMIT 10", (LISTED,), 1),
        _Query("LIMIT 0", f"SELECT * {_ONE} LIMIT 0", (LISTED,), 0),
        _Query("newest of a role", f"SELECT * {_ONE} AND role = 'user' ORDER BY created_at DESC LIMIT 9", (LISTED,), 1),
        _Query("created_at >=", f"SELECT * {_ONE} AND created_at >= ?", (LISTED, third), 1),
        _Query("run_id =", f"SELECT * {_ONE} AND run_id = ?", (LISTED, run), 1),
        _Query("MAX(created_at)", f"SELECT MAX(created_at) {_ONE}", (LISTED,), 1),
        _Query("MIN(created_at)", f"SELECT MIN(created_at) {_ONE}", (LISTED,), 1),
        _Query("no thread can match", f"SELECT * {_ONE} AND 1 = 0", (LISTED,), 0),
        _Query(
            "a thread named twice",
            "SELECT * FROM messages WHERE thread_id IN (?, ?)",
            (CHANGED, CHANGED),
            pages(CHANGED_MESSAGES),
            BOTH_ENDS,
        ),
        _Query("newest of several threads", f"SELECT * {_CHOSEN} ORDER BY created_at DESC LIMIT 10", (), threads),
        _Query("COUNT(*) of several threads", f"SELECT COUNT(*) {_CHOSEN}", (), threads),
        _Query("GROUP BY of several threads", f"SELECT thread_id, COUNT(*) {_CHOSEN} GROUP BY thread_id", (), threads),
        _Query(
            "a self join",
            "SELECT COUNT(*) FROM messages a JOIN messages b ON a.thread_id = b.thread_id AND a.id = b.id "
            "WHERE a.thread_id = ?",
            (CHANGED,),
            pages(CHANGED_MESSAGES),
            BOTH_ENDS,
        ),
    ]
