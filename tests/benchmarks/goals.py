"""The goals, each a number of one run and its bound."""

from __future__ import annotations

from typing import NamedTuple

from . import cases
from .cold import BARE, CONNECT
from .result import Result


class Goal(NamedTuple):
    """What is compared, the number, and the bound that it may not pass; ``unit`` follows the numbers."""

    name: str
    measured: float
    bound: float
    unit: str = ""
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Tell whether the goal is met."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def goals(result: Result) -> list[Goal]:
    """List all goals."""
    return [_requests(result), *_walls(result), *_cpu(result), *_rest(result)]


def _requests(result: Result) -> Goal:
    name = f"shapes of queries, of {len(result.shapes)}, not answered by the fewest requests (both ends: 2 more)"
    return Goal(name, sum(not shape.is_met for shape in result.shapes), 0)


def _walls(result: Result) -> list[Goal]:
    def ratio(name: str, group: str, way: str, beside: str, bound: float) -> Goal:
        return Goal(name, result.of(group, way).wall / result.of(group, beside).wall, bound)

    one, several = "one thread", "several threads"
    loop = cases.LOOP
    return [
        ratio("one thread, wall time beside the loop", one, cases.FIRST, loop, 0.55),
        ratio("the same thread read again", one, cases.AGAIN, loop, 0.17),
        ratio("threads of a page each, by IN list", several, cases.BY_LIST, loop, 0.15),
        ratio("threads of a page each, by subquery", several, cases.BY_SUBQUERY, loop, 0.15),
        ratio("threads of a page each, by join", several, cases.BY_JOIN, loop, 0.15),
        ratio("UPDATE of 113 of 257 messages beside one after the other", "UPDATE", cases.UPDATE, loop, 0.2),
        ratio("20 INSERTs into one thread beside 20 bare round trips", "INSERT", cases.INSERT, cases.FLOOR, 1.06),
    ]


def _cpu(result: Result) -> list[Goal]:
    def ratio(way: str, beside: str) -> float:
        return result.of("CPU", way).cpu / result.of("CPU", beside).cpu

    return [
        Goal("SELECT *, CPU beside the loop", ratio(cases.FIRST, cases.LOOP), 1.5),
        Goal("SELECT *, CPU of the official client beside it", ratio(cases.OFFICIAL, cases.FIRST), 6, at_least=True),
        Goal("SELECT id, role, CPU beside the loop", ratio(cases.SHORT, cases.LOOP), 1),
        Goal("COUNT(*), CPU beside the loop", ratio(cases.COUNT, cases.LOOP), 1),
        Goal("GROUP BY role, CPU beside the loop", ratio(cases.GROUP, cases.LOOP), 1),
    ]


def _rest(result: Result) -> list[Goal]:
    stream, driver = result.memory["stream"], result.memory["driver"]
    return [
        Goal(f"memory, growth over {stream.rows:,} streamed rows", stream.growth, 5, " MB"),
        Goal("memory, fetchall beside the list of tuples itself", driver.growth / driver.held, 1.3),
        Goal("import and connect, CPU above bare Python", result.cold[CONNECT] - result.cold[BARE], 120, " ms"),
    ]
