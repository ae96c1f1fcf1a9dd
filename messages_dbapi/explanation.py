"""What EXPLAIN REQUESTS answers: a row for each scan of a service's table, one for the writes, and their sum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import apsw

from .execution import Execution, Sighting
from .forecast import NONE, Bounds
from .plan import LIMIT, OFFSET, Plan, Term
from .program import Loop, Place, chores, loops, places
from .resources import Resource
from .scan import Scan, walk_for
from .types import Column, Row

# Pages that are surely kept while a statement may read them again.
_KEPT_PAGES = 5
_TYPES = {"at_least": "BIGINT", "at_most": "BIGINT"}
_NAMES = ("table", "threads", "pushed_down", "afterwards", "direction", "requests", "at_least", "at_most")
COLUMNS: tuple[Column, ...] = tuple(
    (name, _TYPES.get(name, "VARCHAR"), None, None, None, None, None) for name in _NAMES
)

_OPERATORS = {
    apsw.SQLITE_INDEX_CONSTRAINT_EQ: "=",
    apsw.SQLITE_INDEX_CONSTRAINT_IS: "IS",
    apsw.SQLITE_INDEX_CONSTRAINT_ISNULL: "IS NULL",
    apsw.SQLITE_INDEX_CONSTRAINT_GT: ">",
    apsw.SQLITE_INDEX_CONSTRAINT_GE: ">=",
    apsw.SQLITE_INDEX_CONSTRAINT_LT: "<",
    apsw.SQLITE_INDEX_CONSTRAINT_LE: "<=",
    LIMIT: "LIMIT",
    OFFSET: "OFFSET",
}


class _Seen(NamedTuple):
    """What is known of the scans by one plan: those that will be, whether there may be others, and their bounds."""

    scans: list[Scan]
    is_complete: bool
    bounds: Bounds


class Explanation:
    """Explain a statement by a run in which its scans gave no rows.

    ``program`` are the rows of SQLite's EXPLAIN, where they are known. ``is_whole`` tells that the run came to
    its end. What a scan was given counts where it cannot depend on the rows that were not there.
    """

    def __init__(self, trial: Execution, program: Sequence[Sequence[Any]] | None, *, is_whole: bool) -> None:
        self._trial = trial
        self._forecaster = trial.forecaster
        self._is_whole = is_whole
        self._sightings = trial.sightings or []
        reading = (place for place, sighting in enumerate(self._sightings) if sighting.reads)
        self._first = next(reading, len(self._sightings))
        self._places = places(program or ())
        # Of INTERSECT and EXCEPT one side may end before the other is read, and what an OR goes to may leave its scans.
        codes = [row[1] for row in program or ()]
        merges = codes.count("InitCoroutine") > 1 or ("Gosub" in codes and "AggStep" not in codes)
        self._loops = {loop.plan: loop._replace(runs_out=loop.runs_out and not merges) for loop in loops(program or ())}
        self._chores = chores(program or ())
        # What the scans before have read, which may serve those behind.
        self._read: set[tuple[str, str | None]] = set()

    def rows(self) -> list[Row]:
        """Give a row for each scan in the order in which SQLite does them, for the writes, and for all together."""
        bounds: list[Bounds] = []
        rows: list[Row] = []
        for plan in dict.fromkeys([*self._places, *(sighting.plan for sighting in self._sightings)]):
            seen = self._look(plan)
            bounds.append(seen.bounds)
            rows.append(self._scan_row(plan, seen))
        if self._trial.target is not None:
            bounds.append(self._writes())
            rows.append(self._write_row(self._trial.target, bounds[-1]))
        together = reduce(add, bounds, NONE)
        return [*rows, ("total", None, None, _join(self._chores), None, _said(together), *together)]

    def _look(self, plan: int) -> _Seen:
        own = [(number, sighting) for number, sighting in enumerate(self._sightings) if sighting.plan == plan]
        place = self._places.get(plan)
        sure = [sighting for number, sighting in own if number <= self._first or (place and place.constant)]
        is_complete = self._is_complete(own, place)
        counted = [sighting for _, sighting in own] if is_complete else sure
        scans = _distinct(sighting.scan for sighting in counted)
        reading = _distinct(sighting.scan for sighting in counted if sighting.reads)
        most = self._most(reading, is_repeated=len(own) > len(reading)) if is_complete else None
        is_met = bool(sure) and (own[0][0] <= self._first or (place is not None and place.certain))
        least = self._least(plan, reading, is_complete=is_complete) if is_met else 0
        self._read.update((scan.resource.name, scope) for scan in reading for scope in self._scopes(scan) or ())
        return _Seen(scans, is_complete, Bounds(least, most))

    def _is_complete(self, own: Sequence[tuple[int, Sighting]], place: Place | None) -> bool:
        """Tell whether the run has shown every scan by a plan that there will be."""
        if self._is_whole and self._first == len(self._sightings):
            return True  # Nothing was read that anything could depend on.
        if place is None or not own or not self._is_whole:
            return False
        if place.constant:
            return True
        others = any(sighting.reads and sighting.plan != own[0][1].plan for sighting in self._sightings)
        if place.local:
            return not others and not place.circles
        return len(own) == 1 and own[0][0] <= self._first and not place.nested

    def _scopes(self, scan: Scan) -> Sequence[str | None] | None:
        """Name the threads of a scan; None for every thread that the service lists."""
        if scan.resource.scope is None:
            return (None,)
        if scan.scopes is not None:
            return scan.scopes
        return self._trial.default_scope() if self._trial.has_default_scope else None

    def _most(self, scans: Iterable[Scan], *, is_repeated: bool) -> int | None:
        bounds = [self._forecaster.of(scan, scope) for scan in scans for scope in self._scopes(scan) or ()]
        if any(self._scopes(scan) is None for scan in scans):
            return None
        most = reduce(add, bounds, NONE).most
        # Of much that is read repeatedly the rows may be forgotten once.
        return most * 2 if most is not None and is_repeated and most > _KEPT_PAGES else most

    def _least(self, plan: int, scans: Sequence[Scan], *, is_complete: bool) -> int:
        loop = self._loops.get(plan)
        repeats = loop is not None and loop.repeats and is_complete
        new: set[tuple[str, str | None]] = set()
        found = 0
        for scan in scans if repeats else scans[:1]:
            for scope, least in self._least_of(scan, loop):
                if (scan.resource.name, scope) not in self._read | new:
                    found += least
                    new.add((scan.resource.name, scope))
        return found

    def _least_of(self, scan: Scan, loop: Loop | None) -> Iterator[tuple[str | None, int]]:
        """Give for each scope of a scan the fewest requests; those that may not be come to are left out."""
        scopes = self._scopes(scan)
        if scopes is None:
            yield None, 1  # the listing of the threads
            return
        runs_out = loop is not None and loop.runs_out
        if not scan.selection.merged and not (runs_out and scan.selection.wanted is None):
            scopes = scopes[:1]
        for scope in scopes:
            least = self._forecaster.of(scan, scope).least
            yield scope, least if runs_out or scan.selection.is_keyed else min(1, least)

    def _writes(self) -> Bounds:
        pending = self._trial.writing.pending
        is_sure = self._is_whole and self._first == len(self._sightings)
        return Bounds(pending, pending) if is_sure else Bounds(0, None)

    def _write_row(self, target: Resource, bounds: Bounds) -> Row:
        count = len(self._trial.writing.scopes)
        threads = None if target.scope is None or bounds.most is None else f"{count} named"
        said = _said(bounds, "1 for each row")
        return (target.name, threads, None, f"{self._trial.text.kind}s the rows", None, said, *bounds)

    def _scan_row(self, plan: int, seen: _Seen) -> Row:
        resource, terms = self._trial.sources[plan], self._trial.plans[plan]
        return (
            resource.name,
            self._threads(resource, terms, plan, seen),
            _join(_pushed_down(resource, terms)),
            _join(self._afterwards(plan)),
            _direction(seen.scans),
            _said(seen.bounds, self._note(resource, terms, seen)),
            *seen.bounds,
        )

    def _threads(self, resource: Resource, plan: Plan, number: int, seen: _Seen) -> str | None:
        name = resource.scope or resource.key
        if not any(term.column in (name, resource.key_parameter, resource.scope) for term in plan.terms):
            return self._unnamed(resource)
        if not seen.is_complete:
            place = self._places.get(number)
            return "named" if place is not None and place.constant else "from a join or subquery"
        scopes = {scope for scan in seen.scans for scope in scan.scopes or scan.selection.keys or ()}
        return f"{len(scopes)} named"

    def _unnamed(self, resource: Resource) -> str | None:
        if resource.scope is None:
            return "every thread"
        if self._trial.has_default_scope:
            return f"default scope: {len(self._trial.default_scope())}"
        return "every thread" if self._trial.options.unscoped == "scan" else None

    def _afterwards(self, number: int) -> Iterator[str]:
        loop, place = self._loops.get(number), self._places.get(number)
        if place is not None and place.filters:
            yield "filters"
        if loop is not None:
            yield "reads all" if loop.runs_out else "may stop early"
        if place is not None and place.nested:
            yield "again for each row of another table"

    def _note(self, resource: Resource, plan: Plan, seen: _Seen) -> str:
        if any(self._forecaster.is_known(scan, scope) for scan in seen.scans for scope in self._scopes(scan) or ()):
            return "as it was read last"
        if seen.bounds.most is not None:
            return ""
        if any(term.column in (resource.key, resource.key_parameter) for term in plan.terms):
            return "1 for each id"
        size = next((self._forecaster.size(scan.selection) for scan in seen.scans), self._trial.options.page_size)
        rows = f"{size} {'threads' if resource.scope is None else 'messages'}"
        is_one = resource.scope is None or (seen.is_complete and len(self._names(seen)) == 1)
        return f"1 for each {rows}" if is_one else f"1 for each {rows} of a thread"

    def _names(self, seen: _Seen) -> set[str | None]:
        return {scope for scan in seen.scans for scope in self._scopes(scan) or (None, "")}


def _distinct(scans: Iterable[Scan | None]) -> list[Scan]:
    known = [scan for scan in scans if scan is not None]
    return list({(tuple(scan.scopes or ()), scan.selection): scan for scan in known}.values())


def _pushed_down(resource: Resource, plan: Plan) -> Iterator[str]:
    counts = sorted((term for term in plan.terms if not term.column), key=lambda term: term.operator)
    yield from (_condition(term) for term in plan.terms if term.column)
    if plan.ordered:
        yield f"ORDER BY {resource.time}{' DESC' if plan.descending else ''}"
    yield from (_OPERATORS[term.operator] for term in counts)


def _condition(term: Term) -> str:
    return f"{term.column} {'IN' if term.is_list else _OPERATORS[term.operator]}"


def _direction(scans: Sequence[Scan]) -> str | None:
    """Tell in which direction the listings are read; None for single rows, and where it is not known."""
    ways = {walk_for(scan.selection).descending for scan in scans if not scan.selection.is_keyed}
    return ("newest first" if ways.pop() else "oldest first") if len(ways) == 1 else None


def _join(parts: Iterable[str]) -> str | None:
    return ", ".join(parts) or None


def _said(bounds: Bounds, note: str = "") -> str:
    least, most = bounds
    number = f"{least}" if most == least else f"{least} or more" if most is None else f"{least} to {most}"
    return f"{number}, {note}" if note else number
