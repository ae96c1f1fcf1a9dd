"""Many calls that answer one scan: which listings or single rows to ask for, in which order, and when to stop."""

from __future__ import annotations

import heapq
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

from . import decode, errors
from .ahead import Larder
from .calls import Calls, PageQuery
from .client import Reply
from .creation import Creation
from .crew import Crew, Job
from .decode import KEY, TIME, Page, Reader
from .listing import UNKNOWN, Intent, Listing, Means
from .milestones import Milestones
from .paging import Pager
from .resources import Resource
from .statement import Statement
from .types import Row, SQLValue

# PEP 249's cursor.messages: the class of a warning, and the warning.
Message = tuple[type[errors.Warning], errors.Warning]

# Rows of one statement are kept, as bytes received, so that a second scan makes no further requests.
_KEPT_BYTES = 12 << 20
# So many single rows of one scope are asked for one by one; beyond, its listing is read alongside.
SINGLE_READS = 8
# Scopes that are read ahead of the one at hand, as multiple of the requests in flight.
SCOPES_AHEAD = 4


@dataclass(frozen=True)
class Walk:
    """One way through a scope: in which order, from where, narrowed by what."""

    descending: bool
    after: str | None = None
    filters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Selection:
    """Which rows of each scope to deliver, and how.

    ``low`` and ``high`` bound the time, inclusive Unix seconds. ``equals`` are positions in the row with
    the values wanted there. ``filters`` the service can apply itself. ``after`` and ``before`` are keys in
    the order that ``cursor_descending`` names. ``descending`` is the order of delivery; where ``merged``,
    it holds across scopes. ``skip`` and ``wanted`` count delivered rows.
    """

    keys: frozenset[str] | None = None
    low: int | None = None
    high: int | None = None
    equals: tuple[tuple[int, frozenset[SQLValue]], ...] = ()
    filters: tuple[tuple[str, str], ...] = ()
    after: str | None = None
    before: str | None = None
    cursor_descending: bool = False
    descending: bool = False
    merged: bool = False
    skip: int = 0
    wanted: int | None = None
    page_size: int | None = None

    @property
    def is_keyed(self) -> bool:
        """Tell whether the rows are named one by one."""
        return self.keys is not None and self.after is None and self.before is None

    @property
    def is_bounded(self) -> bool:
        """Tell whether a walk may stop before its end."""
        return self.low is not None or self.high is not None or self.before is not None

    @property
    def takes_all(self) -> bool:
        """Tell whether every row that a walk comes to is delivered."""
        return self.keys is None and self.low is None and self.high is None and not self.equals

    def need(self, walk: Walk) -> int | None:
        """Give the number of rows of a walk after which nothing more is needed, where that is known."""
        counts = self.takes_all and self.before is None and walk.descending == self.descending
        return self.skip + self.wanted if self.wanted is not None and counts else None


class Scan(NamedTuple):
    """One scan of a resource: which scopes it names (None: none), and what it selects in them."""

    resource: Resource
    reader: Reader
    scopes: Sequence[str] | None
    selection: Selection


class Reading:
    """The reading of one statement: what it has read is kept, within bounds, for its other scans."""

    def __init__(
        self,
        calls: Calls,
        creation: Creation,
        statement: Statement,
        *,
        messages: list[Message],
        crew: Crew,
        milestones: Milestones,
        page_size: int,
        skip_missing: bool,
        crosses: bool,
    ) -> None:
        self._calls = calls
        self._creation = creation
        self._statement = statement
        self._messages = messages
        self._crew = crew
        self._milestones = milestones
        self._larder = Larder()
        self._pid = os.getpid()
        self._page_size = page_size
        self._skip_missing = skip_missing
        self._crosses = crosses
        self._listings: dict[tuple[str, str | None, Reader, Walk], Listing] = {}
        self._single: dict[tuple[str, str | None, str, Reader], Row | None] = {}
        self._single_reads: dict[tuple[str, str | None], int] = {}
        self._single_jobs: dict[tuple[str, str | None, str, Reader], Job[Row | None]] = {}
        # Tells whether a scan may read again what another has read.
        self.keeps: Callable[[], bool] = lambda: True
        self._released_at = 0
        self._outgrown: set[tuple[str, str | None]] = set()
        # The 404s by which scopes are known to be missing, where that is an error.
        self._refusals: dict[tuple[str, str | None], Reply] = {}
        # The scopes in the order in which they are come to, and those of which a page was read.
        self._order: list[str | None] = []
        self._read: set[str | None] = set()
        self.missing: set[str] = set()

    @property
    def inherited(self) -> bool:
        """Tell whether what goes on ahead does so in the parent of this process, if anywhere."""
        return self._pid != os.getpid() and not self._crew.is_alone

    def stop(self) -> None:
        """Let what goes on ahead end: nobody will read it."""
        # A thread of the parent's may have held the lock when the process was forked.
        if not self.inherited:
            self._larder.close()

    def rows(
        self,
        resource: Resource,
        reader: Reader,
        scopes: Iterable[str | None],
        selection: Selection,
        intent: Intent = UNKNOWN,
    ) -> Iterator[Row]:
        """Deliver the selected rows of the scopes; scopes and pages are asked for as rows are needed."""
        if selection.wanted == 0:
            return iter(())
        if not (isinstance(scopes, Sequence) and len(scopes) == 1):
            # Which of the scopes has how many of the rows that will be taken nobody knows.
            intent = intent._replace(at_least=UNKNOWN.at_least)
        parts = self._parts(resource, reader, scopes, selection, intent)
        rows: Iterator[Row] = chain.from_iterable(parts)
        if selection.merged:
            rows = heapq.merge(*parts, key=_time, reverse=selection.descending)
        if not selection.skip and selection.wanted is None:
            return rows
        stop = None if selection.wanted is None else selection.skip + selection.wanted
        return islice(rows, selection.skip, stop)

    def _parts(
        self,
        resource: Resource,
        reader: Reader,
        scopes: Iterable[str | None],
        selection: Selection,
        intent: Intent,
    ) -> Iterator[Iterator[Row]]:
        """Give the rows of each scope; the scopes that will be needed after it are read ahead."""
        source = iter(scopes)
        waiting: deque[str | None] = deque()
        while True:
            # A merge needs a row of every scope before it gives one.
            window = self._crew.size * SCOPES_AHEAD if intent.is_whole() or selection.merged else 1
            for scope in islice(source, max(0, window - len(waiting))):
                waiting.append(scope)
                self._order.append(scope)
            if len(waiting) > 1:
                self.send_ahead(resource, reader, waiting, selection, intent)
            if not waiting:
                return
            yield self._scope_rows(resource, reader, waiting.popleft(), selection, intent)

    def send_ahead(
        self, resource: Resource, reader: Reader, scopes: Iterable[str | None], selection: Selection, intent: Intent
    ) -> None:
        """Begin to read scopes that will be needed, as far as is known that they will."""
        if self._crew.is_alone:
            return
        walk = walk_for(selection)
        need = selection.need(walk)
        limit = None
        if not intent.is_whole() or need is not None or selection.is_bounded:
            limit = min(self._page_size, need or self._page_size)
        for scope in scopes:
            if selection.is_keyed:
                self._ask_ahead(resource, reader, scope, selection.keys or frozenset())
            else:
                self._listing(resource, reader, scope, walk, selection).send_ahead(limit)

    def _scope_rows(
        self, resource: Resource, reader: Reader, scope: str | None, selection: Selection, intent: Intent
    ) -> Iterator[Row]:
        if selection.is_keyed:
            rows = self._single_rows(resource, reader, scope, selection.keys or frozenset())
            return iter(sorted(filter(partial(_matches, selection), rows), key=_time, reverse=selection.descending))
        walk = walk_for(selection)
        # Chained, not yielded row by row: a row passes no frame of Python on its way.
        rows = chain.from_iterable(self._walked(resource, reader, scope, walk, selection, intent))
        if walk.descending == selection.descending:
            return rows
        return _reversed(rows)

    def _walked(
        self,
        resource: Resource,
        reader: Reader,
        scope: str | None,
        walk: Walk,
        selection: Selection,
        intent: Intent,
    ) -> Iterator[Iterator[Row]]:
        """Give the rows of a walk when the first is needed, and after the last one report a scope that is missing."""
        listing = self._listing(resource, reader, scope, walk, selection)
        if selection.merged or selection.low is not None or selection.high is not None:
            listing.rely_on_order()
        rows = self._listed(listing, walk, selection, UNKNOWN if selection.is_bounded else intent)
        if selection.after is not None and selection.before is not None:
            rows = _until_key(rows, selection.before)
        yield rows if selection.takes_all else _between(rows, selection, walk.descending)
        if listing.missing:
            self._report_missing(resource, scope)
        elif listing.complete and self._has_milestones(scope, walk, listing.page_size):
            self._milestones.note(scope or "", listing.milestones, listing.count)

    def _listed(self, listing: Listing, walk: Walk, selection: Selection, intent: Intent) -> Iterator[Row]:
        if listing.complete and listing.scans and selection.equals:
            found = listing.rows_with(*selection.equals[0])
            return iter(found if listing.descending == walk.descending else found[::-1])
        if listing.descending == walk.descending:
            return listing.scan(selection.need(walk), intent)
        return reversed(listing.finish())

    def _listing(
        self, resource: Resource, reader: Reader, scope: str | None, walk: Walk, selection: Selection
    ) -> Listing:
        listing = self._kept(resource, reader, scope, walk, selection)
        if listing is None:
            listing = self._open(resource, reader, scope, walk, selection.page_size)
        return listing

    def _kept(
        self, resource: Resource, reader: Reader, scope: str | None, walk: Walk, selection: Selection
    ) -> Listing | None:
        """Find a listing of this statement that has the rows, or will when it is read to its end."""
        kept = self._listings.get((resource.name, scope, reader, walk))
        if kept is not None or walk.after is not None:
            return kept
        for descending in (walk.descending, not walk.descending):
            whole = self._listings.get((resource.name, scope, reader, Walk(descending)))
            if whole is None:
                continue
            if whole.complete or whole.descending == walk.descending or selection.need(walk) is None:
                return whole
        return None

    def _open(
        self, resource: Resource, reader: Reader, scope: str | None, walk: Walk, page_size: int | None = None
    ) -> Listing:
        if walk.filters and self._is_narrowed_otherwise(resource, scope, walk):
            walk = Walk(walk.descending, walk.after)
        size = page_size or self._page_size
        side_by_side = self._crosses and self._has_milestones(scope, walk, page_size)
        keys = self._milestones.of(scope or "") if side_by_side else ()
        means = Means(
            walk=partial(self._walk, resource, reader, scope, walk, size),
            crew=self._crew,
            larder=self._larder,
            before_page=self._release,
            keys=keys[::-1] if walk.descending else keys,
            crossable=self._crosses and walk.after is None,
        )
        listing = Listing(means, page_size=size, descending=walk.descending)
        if (resource.name, scope) in self._outgrown:
            listing.scans = 1  # It is read a second time: this time its rows stay.
        self._listings[resource.name, scope, reader, walk] = listing
        return listing

    def _has_milestones(self, scope: str | None, walk: Walk, page_size: int | None) -> bool:
        """Tell whether a walk is through a whole scope, by pages of the size that its milestones are apart."""
        usual = page_size in (None, self._page_size)
        return usual and scope is not None and not walk.filters and walk.after is None

    def _is_narrowed_otherwise(self, resource: Resource, scope: str | None, walk: Walk) -> bool:
        """Tell whether a join asks for one value after the other: then the whole listing is cheaper."""
        return any(
            (name, kept_scope) == (resource.name, scope) and kept_walk.filters and kept_walk.filters != walk.filters
            for name, kept_scope, _, kept_walk in self._listings
        )

    def _walk(
        self,
        resource: Resource,
        reader: Reader,
        scope: str | None,
        walk: Walk,
        page_size: int,
        descending: bool,
    ) -> Pager:
        return Pager(
            partial(self._fetch, resource, reader, scope, descending, walk.filters),
            partial(self._has_row, resource, scope),
            partial(self._fetch_end, resource, reader, scope, not descending, walk.filters),
            page_size=page_size,
            descending=descending,
            after=walk.after,
        )

    def _fetch(
        self,
        resource: Resource,
        reader: Reader,
        scope: str | None,
        descending: bool,
        filters: tuple[tuple[str, str], ...],
        after: str | None,
        limit: int,
    ) -> Page | None:
        """Request a page, in any thread."""
        query = PageQuery(descending, limit, after, filters)
        listed = self._calls.page(resource, scope, reader, query, self._statement)
        if isinstance(listed, Reply):
            if not self._skip_missing:
                self._refusals[resource.name, scope] = listed
            return None
        self._read.add(scope)
        self._creation.note(scope, query, listed)
        return listed.page

    def _has_row(self, resource: Resource, scope: str | None, key: str) -> bool:
        reader = decode.reader(resource, frozenset())
        return self._calls.get(resource, scope, key, reader, self._statement) is not None

    def _fetch_end(
        self,
        resource: Resource,
        reader: Reader,
        scope: str | None,
        descending: bool,
        filters: tuple[tuple[str, str], ...],
    ) -> Page | None:
        return self._fetch(resource, reader, scope, descending, filters, None, 1)

    def _release(self) -> None:
        """Forget the rows that only one scan has read, once they are many or will surely not be read again."""
        received = self._statement.stats.bytes_received
        if not received or received - self._released_at < (_KEPT_BYTES if self.keeps() else 1):
            return
        self._released_at = received
        for key, listing in list(self._listings.items()):
            # One that goes on ahead was read by nobody yet.
            if listing.scans and listing.release():
                del self._listings[key]
                self._outgrown.add(key[:2])

    def _single_rows(
        self, resource: Resource, reader: Reader, scope: str | None, keys: frozenset[str]
    ) -> Iterator[Row]:
        if len(keys) > 1:
            self._ask_ahead(resource, reader, scope, keys)
        for key in sorted(keys):
            row = self._single_row(resource, reader, scope, key)
            if row is not None:
                yield row

    def _ask_ahead(self, resource: Resource, reader: Reader, scope: str | None, keys: frozenset[str]) -> None:
        """Begin to ask for the single rows that will be asked for one by one."""
        walks = (Walk(descending=False), Walk(descending=True))
        if self._crew.is_alone or any((resource.name, scope, reader, walk) in self._listings for walk in walks):
            return
        names = ((resource.name, scope, key, reader) for key in sorted(keys))
        free = max(0, SINGLE_READS - self._single_reads.get((resource.name, scope), 0))
        for name in islice((name for name in names if name not in self._single), free):
            if name not in self._single_jobs:
                ask = partial(self._calls.get, resource, scope, name[2], reader, self._statement)
                self._single_jobs[name] = self._crew.begin(ask)

    def _single_row(self, resource: Resource, reader: Reader, scope: str | None, key: str) -> Row | None:
        name = (resource.name, scope, key, reader)
        if name in self._single:
            return self._single[name]
        listing = self._listing_alongside(resource, reader, scope)
        row = None if listing is None else listing.row(key)
        if row is None and not (listing is not None and listing.complete):
            self._single_reads[name[:2]] = self._single_reads.get(name[:2], 0) + 1
            job = self._single_jobs.pop(name, None)
            row = self._calls.get(resource, scope, key, reader, self._statement) if job is None else job.result()
            self._single[name] = row
        return row

    def _listing_alongside(self, resource: Resource, reader: Reader, scope: str | None) -> Listing | None:
        """Find the listing that may hold a single row; where many were asked for, read it page by page.

        So a join by key costs at most twice the cheaper of its rows one by one and the whole listing.
        """
        walk = Walk(descending=False)
        listing = self._listings.get((resource.name, scope, reader, walk)) or self._listings.get(
            (resource.name, scope, reader, Walk(descending=True))
        )
        reads = self._single_reads.get((resource.name, scope), 0)
        if reads < SINGLE_READS or scope is None:
            return listing
        listing = listing or self._open(resource, reader, scope, walk)
        listing.scans += 1
        if not listing.complete and listing.pages <= reads - SINGLE_READS:
            listing.request()
        return listing

    def _report_missing(self, resource: Resource, scope: str | None) -> None:
        if scope is None or scope in self.missing:
            return
        if not self._skip_missing:
            error = self._calls.unknown_scope(resource, scope, self._refusals[resource.name, scope])
            read = len(self._read.intersection(self._order[: self._order.index(scope)]))
            if read:
                error.args = (f"{error}; {read} of the threads before it were read",)
            raise error
        warning = errors.Warning(f"{self._calls.address} knows no thread {scope!r}: it was skipped")
        if not self.missing:
            warnings.warn(warning, stacklevel=2)
        self.missing.add(scope)
        self._messages.append((errors.Warning, warning))
        self._statement.count(threads_missing=1)


def walk_for(selection: Selection) -> Walk:
    """Choose the way that reaches the wanted rows with the fewest pages."""
    if selection.after is not None:
        filters = () if selection.before is not None else selection.filters
        return Walk(selection.cursor_descending, selection.after, filters)
    if selection.before is not None:
        # What precedes a key in one order follows it in the other; services differ on a lone `before`.
        return Walk(not selection.cursor_descending, selection.before, selection.filters)
    if selection.low is not None:
        return Walk(True, None, selection.filters)
    if selection.high is not None and selection.wanted is None:
        return Walk(False, None, selection.filters)
    return Walk(selection.descending, None, selection.filters)


def _between(rows: Iterator[Row], selection: Selection, descending: bool) -> Iterator[Row]:
    """Drop what the selection does not want, and stop where nothing it wants can follow."""
    beyond = selection.low if descending else selection.high
    for row in rows:
        if beyond is not None and row[TIME] is not None and (row[TIME] < beyond if descending else row[TIME] > beyond):
            return
        if _matches(selection, row):
            yield row


def _matches(selection: Selection, row: Row) -> bool:
    time = row[TIME]
    if selection.low is not None and (time is None or time < selection.low):
        return False
    if selection.high is not None and (time is None or time > selection.high):
        return False
    if selection.keys is not None and row[KEY] not in selection.keys:
        return False
    return all(row[position] in values for position, values in selection.equals)


def _until_key(rows: Iterator[Row], key: str) -> Iterator[Row]:
    """Give the rows before one key; none where it does not come, for then it does not lie behind them."""
    held: list[Row] = []
    for row in rows:
        if row[KEY] == key:
            yield from held
            return
        held.append(row)


def _reversed(rows: Iterator[Row]) -> Iterator[Row]:
    yield from list(rows)[::-1]


def _time(row: Row) -> int:
    return row[TIME] if row[TIME] is not None else -1
