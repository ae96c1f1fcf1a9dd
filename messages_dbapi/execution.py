"""What one statement needs while SQLite runs it: its reading, its writing, and the plans SQLite agreed to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from itertools import chain
from operator import add
from typing import NamedTuple

from . import decode
from .body import check_columns
from .decode import KEY, Reader
from .errors import NotSupportedError, OperationalError, ProgrammingError
from .forecast import NONE, Forecaster
from .listing import Intent
from .options import Options
from .plan import Demands, Plan
from .program import Loop
from .resources import RESOURCES, THREADS, Resource
from .scan import SCOPES_AHEAD, Reading, Scan, Selection
from .sql import Text
from .statement import Statement
from .types import Row, SQLValue
from .writing import Writing

# Repeated scans that are looked for ahead, at most.
_SCOUTED = 10_000
_RESOURCES = {resource.name: resource for resource in RESOURCES}


class Sighting(NamedTuple):
    """A scan in a run that reads nothing: its plan, the scan (None: no row can meet it), and whether it would read."""

    plan: int
    scan: Scan | None
    reads: bool


@dataclass
class Execution:
    """The state of one statement, from its first compilation to its last row."""

    text: Text
    statement: Statement
    new_reading: Callable[[], Reading]
    writing: Writing
    options: Options
    # Gives the default scope: the ids of thread_id= and threads=, read anew.
    default_scope: Callable[[], tuple[str, ...]]
    # Looks at SQLite's program for the statement, by the numbers of its plans.
    loops: Callable[[Execution], dict[int, Loop]]
    # Runs the statement without the scans that are repeated, and gives those in order, by the same numbers.
    scout: Callable[[Execution], dict[int, list[Scan]]]
    forecaster: Forecaster
    plans: list[Plan] = field(default_factory=list)
    # Of which resource each plan is.
    sources: list[Resource] = field(default_factory=list)
    # The columns of each resource that the statement reads by name, as SQLite's authorizer reports them.
    reads: dict[str, set[str]] = field(default_factory=dict)
    # The columns of each resource that any of its scans uses.
    used: dict[str, set[str]] = field(default_factory=dict)
    # The columns that a RETURNING list uses.
    returning: frozenset[str] = frozenset()
    # JSON texts of the lists that are bound as parameters.
    bound_lists: frozenset[str] = frozenset()
    # Rows of a DELETE … RETURNING by their internal key, to be given back once they are deleted.
    doomed: dict[str, Row] = field(default_factory=dict)
    # Columns that the result shows as they are; only there may an unset parameter of the listing read NULL.
    shown: set[str] = field(default_factory=set)
    # What is asked of SQLite's plans, until it turns out that it cannot be had.
    demands: Demands = field(default_factory=Demands)
    # What SQLite compiled last: the text, and the values it was given.
    compiled: tuple[str, Sequence[SQLValue]] = ("", ())
    # Whether whoever fetches takes every row; a write looks at every row that it finds.
    takes_all: bool = False
    # How many rows whoever fetches will have taken at least, those before included.
    wanted: int = 0
    # The repeated scans, in a run that only looks for them.
    found: dict[int, list[Scan]] | None = None
    # Every scan, in a run that reads nothing and only notes them.
    sightings: list[Sighting] | None = None
    known_loops: dict[int, Loop] | None = None
    _scouted: dict[int, list[Scan]] | None = None
    _repeated: Counter[int] = field(default_factory=Counter)
    _target_opened: bool = False
    # Writes that runs with earlier parameters have gathered.
    _earlier: int = 0

    def __post_init__(self) -> None:
        self._open_reading()

    def _open_reading(self) -> None:
        self.reading = self.new_reading()
        self.reading.keeps = self._keeps_rows

    def _keeps_rows(self) -> bool:
        """Tell whether rows that were read may be read again: not by a program of one loop."""
        loops = self._loops_now()
        return not loops or not all(loop.alone for loop in loops.values())

    @property
    def target(self) -> Resource | None:
        """Give the resource that the statement writes to, if it is one of the service's."""
        return _RESOURCES.get(self.text.target or "")

    def intent(self, plan: int) -> Intent:
        """Tell what is known of how far a scan by this plan will be read."""
        return Intent(partial(self._is_whole, plan), partial(self._at_least, plan))

    def _loop(self, plan: int) -> Loop | None:
        return self._loops_now().get(plan)

    def _loops_now(self) -> dict[int, Loop]:
        if self.known_loops is None:
            self.known_loops = self.loops(self)
        return self.known_loops

    def _is_whole(self, plan: int) -> bool:
        loop = self._loop(plan)
        return loop is not None and loop.runs_out and (self.takes_all or not loop.gives_rows)

    def _at_least(self, plan: int) -> int:
        if not self.wanted:
            return 0
        loop = self._loop(plan)
        # A row of the only loop gives one row at most.
        return self.wanted if loop is not None and loop.runs_out and loop.gives_rows and loop.alone else 0

    def begin(self, lists: frozenset[str] = frozenset()) -> None:
        """Prepare for a further run of the text, with other parameters: what was read may have changed."""
        # Where the text of the statement holds the same literal, the value may be that text.
        self.bound_lists = frozenset(text for text in lists if f"'{text}'" not in self.text.sql)
        self._forget_plans()
        self._renew_reading()
        self._earlier = self.writing.pending

    def repeat(self, demands: Demands) -> None:
        """Prepare to compile the same text once more, with fewer demands."""
        self.demands = demands
        self._forget_plans()

    def _forget_plans(self) -> None:
        self.plans.clear()
        self.sources.clear()
        self.known_loops = self._scouted = None
        self._repeated.clear()
        self._target_opened = False

    def _renew_reading(self) -> None:
        self.reading.stop()
        self._open_reading()

    def let_go(self) -> None:
        """Keep nothing of what was read for the statement, which has ended."""
        self.plans.clear()
        self.sources.clear()
        self.doomed.clear()
        self._renew_reading()

    def send(self, count: int | None = None) -> None:
        """Send the writes gathered so far, or the first ``count`` of them."""
        if self.target is not None:
            self.writing.send(decode.reader(self.target, self.returning), count)

    def opens_doomed(self, resource: Resource) -> bool:
        """Tell whether the scan that opens finds the rows of a DELETE: SQLite opens that one first."""
        first = not self._target_opened
        self._target_opened |= self.text.target == resource.name
        return first and self.text.kind == "DELETE" and self.text.target == resource.name

    @property
    def gives_back_deleted(self) -> bool:
        """Tell whether rows must be read before they are deleted."""
        return self.text.kind == "DELETE" and self.text.returning is not None

    def doom(self, internal_key: str, row: Row, resource: Resource, reader: Reader) -> None:
        """Keep a row that will be deleted, as the RETURNING list will want it."""
        if self.gives_back_deleted:
            returned = decode.reader(resource, self.returning)
            self.doomed[internal_key] = tuple(row[reader.position[name]] for name in returned.position)

    def rows(self, plan: int, scan: Scan, *, is_target: bool) -> Iterator[Row]:
        """Deliver the rows of a scan.

        ``is_target`` marks the scan that finds the rows to modify or delete. Raise ProgrammingError where
        nothing says which threads to read.
        """
        if self.text.kind == "INSERT" and self.target is not None:
            # Rows that need no reading are checked one by one; of others, what can be is checked before.
            check_columns(self.target, self.text.columns)
        if self.sightings is not None:
            self._check_scopes(scan, is_target=is_target)
            self.sight(plan, scan, reads=scan.selection.wanted != 0)
            return iter(())
        if self._is_left_out(plan, scan):
            return iter(())
        if self._earlier:
            self.send(self._earlier)
            self._earlier = 0
        intent = self.intent(plan)
        if scan.resource.scope is None:
            return self._unscoped_rows(scan, intent, is_target=is_target)
        self._read_ahead(plan, scan, intent)
        scopes = self._open_scopes(scan.resource) if scan.scopes is None else scan.scopes
        if self.statement.tells and isinstance(scopes, Sequence):
            self._expect(plan, scan, scopes)
        return self.reading.rows(scan.resource, scan.reader, scopes, scan.selection, intent)

    def sight(self, plan: int, scan: Scan | None, *, reads: bool) -> None:
        """Note a scan, in a run that reads nothing."""
        if self.sightings is None:
            return
        if len(self.sightings) >= _SCOUTED:
            raise OperationalError("more scans are repeated than are looked for ahead")
        self.sightings.append(Sighting(plan, scan, reads))

    def _check_scopes(self, scan: Scan, *, is_target: bool) -> None:
        """Raise ProgrammingError where nothing says which threads to read."""
        if scan.resource.scope is None:
            self._check_target(scan, is_target=is_target)
        elif scan.scopes is None:
            self._open_scopes(scan.resource)

    def _check_target(self, scan: Scan, *, is_target: bool) -> None:
        if is_target and scan.selection.keys is None:
            raise ProgrammingError(_names_nothing_to_write(self.text.kind, scan.resource, scan.resource.key))

    def _expect(self, plan: int, scan: Scan, scopes: Sequence[str]) -> None:
        """Note how many requests a statement will make that has one scan, where that is known exactly."""
        loop = self._loop(plan)
        if loop is None or not (loop.alone and loop.runs_out) or self.target is not None:
            return
        least, most = reduce(add, (self.forecaster.of(scan, scope) for scope in scopes), NONE)
        if least == most:
            self.statement.expect(least)

    def _is_left_out(self, plan: int, scan: Scan) -> bool:
        """Note a repeated scan, where the run is made to find them."""
        if self.found is None:
            return False
        loop = self._loop(plan)
        if loop is None or not loop.repeats:
            return False
        if sum(map(len, self.found.values())) >= _SCOUTED:
            raise OperationalError("more scans are repeated than are looked for ahead")
        self.found.setdefault(plan, []).append(scan)
        return True

    def _read_ahead(self, plan: int, scan: Scan, intent: Intent) -> None:
        """Begin to read what the next repetitions of a scan will read: SQLite asks for one after the other."""
        place = self._repeated[plan]
        self._repeated[plan] += 1
        if self.options.embedded or self.options.concurrency == 1 or not intent.is_whole():
            return
        loop = self._loop(plan)
        if loop is None or not loop.repeats or (loop.repeats_for_rows and not self.takes_all):
            return
        if self._scouted is None:
            self._scouted = self.scout(self)
        known = self._scouted.get(plan, [])
        if known[place : place + 1] != [scan]:
            return
        ahead = self.options.concurrency * SCOPES_AHEAD
        for coming in known[place + 1 : place + 1 + ahead]:
            if coming.scopes is not None:
                self.reading.send_ahead(coming.resource, coming.reader, coming.scopes, coming.selection, intent)

    def _unscoped_rows(self, scan: Scan, intent: Intent, *, is_target: bool) -> Iterator[Row]:
        """Deliver rows of the one listing that the resource has, or single ones where it cannot be listed."""
        resource, reader, _, selection = scan
        self._check_target(scan, is_target=is_target)
        rows = self.reading.rows(resource, reader, (None,), selection, intent)
        try:
            first = next(rows, None)
        except NotSupportedError:
            if not self.has_default_scope:
                raise
            keyed = replace(selection, keys=frozenset(self.default_scope()))
            rows = self.reading.rows(resource, reader, (None,), keyed, intent)
            first = next(rows, None)
        return iter(()) if first is None else chain((first,), rows)

    def _open_scopes(self, resource: Resource) -> Iterable[str]:
        if self.text.kind in ("UPDATE", "DELETE") and self.text.target == resource.name:
            raise ProgrammingError(_names_nothing_to_write(self.text.kind, resource, resource.scope or ""))
        if self.has_default_scope and self.text.hides_threads:
            raise ProgrammingError(_hidden_threads(resource))
        if self.has_default_scope:
            return self.default_scope()
        if self.options.unscoped == "scan":
            return self._every_thread()
        raise ProgrammingError(_names_nothing(resource))

    def _every_thread(self) -> Iterator[str]:
        reader = decode.reader(THREADS, frozenset())
        return (row[KEY] for row in self.reading.rows(THREADS, reader, (None,), Selection()))

    @property
    def has_default_scope(self) -> bool:
        """Tell whether the connection says which threads to read where a statement names none."""
        return bool(self.options.thread_id) or self.options.threads is not None


def _names_nothing(resource: Resource) -> str:
    methods = " and ".join(
        f"{method.name} needs {', '.join(method.required)}" for method in resource.methods_of("SELECT")
    )
    return (
        f"SELECT from {resource.name} names no {resource.scope} ({methods}). "
        f"Write WHERE {resource.scope} = 'thread_…', or {resource.scope} IN (SELECT id FROM threads) where the "
        f"service lists threads, or give the connection thread_id=… or threads=FILE"
    )


def _hidden_threads(resource: Resource) -> str:
    return (
        f"the {resource.scope} that this statement names is not seen by the table, and its default scope would answer "
        f"instead: name it in a subquery, (SELECT * FROM {resource.name} WHERE {resource.scope} IN (…)), and put "
        "COLLATE or RIGHT and FULL JOIN outside of it"
    )


def _names_nothing_to_write(kind: str, resource: Resource, name: str) -> str:
    method = resource.methods_of("UPDATE" if kind == "UPDATE" else "DELETE")[0]
    example = f"{name} = 'thread_…'" if resource.scope else f"{name} IN (SELECT {name} FROM {resource.name} WHERE …)"
    return (
        f"{kind} of {resource.name} names no {name} ({method.name} needs {', '.join(method.required)}). "
        f"Write WHERE {example}; a default scope does not count for writes"
    )
