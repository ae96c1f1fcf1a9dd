"""Walks that go on ahead of their reader, in other threads: one walk, both ends of a listing, pages by known keys."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from .crew import Crew, Job
from .decode import KEY, Page
from .paging import FetchPage, Pager
from .types import Row

# Bytes of rows that all walks of a statement may be ahead of their readers.
AHEAD_BYTES = 32 << 20


class Walker(Protocol):
    """What gives the rows of a listing, page by page; see Pager."""

    @property
    def complete(self) -> bool:
        """Tell whether there are no more rows."""

    @property
    def missing(self) -> bool:
        """Tell whether the service has no such scope."""

    @property
    def in_order(self) -> bool:
        """Tell whether all rows came in order of their time."""

    @property
    def pages(self) -> int:
        """Count the pages that were requested."""

    def request(self, limit: int) -> list[Row]:
        """Give the rows of the next page."""


class Larder:
    """What the walks of one statement hold ahead of their readers, and the lock of them all."""

    def __init__(self, most: int = AHEAD_BYTES) -> None:
        self.changed = threading.Condition(threading.RLock())
        self._most = most
        self._held = 0
        self.emptied = False

    @property
    def is_full(self) -> bool:
        """Tell whether nothing more may be put in."""
        return self._held >= self._most

    def put(self, size: int) -> None:
        """Note what came in, or with a negative size what was taken out; the lock is held."""
        self._held += size
        self.changed.notify_all()

    def close(self) -> None:
        """Let every walk end."""
        with self.changed:
            self.emptied = True
            self.changed.notify_all()


# Tell a walk before each page whether to go on; None: another page that is under way will tell.
GoesOn = Callable[[], bool | None]


def _always() -> bool:
    return True


class Ahead:
    """Walk ahead of the reader in a thread of the crew, as long as ``goes_on``.

    ``is_busy`` tells that a page is under way.
    """

    def __init__(self, pager: Pager, page_size: int, crew: Crew, larder: Larder, goes_on: GoesOn = _always) -> None:
        self.pager = pager
        self._page_size = page_size
        self._crew = crew
        self._larder = larder
        self._goes_on = goes_on
        self._read: deque[tuple[list[Row], int]] = deque()
        self._awaited = False
        self.is_busy = False
        self._stopped = False
        self._ended = False
        self._error: BaseException | None = None
        self._job: Job[None] | None = crew.begin(self._run)

    @property
    def complete(self) -> bool:
        """Tell whether there are no more rows, and all were given."""
        return self._ended and not self._read and self._error is None and self.pager.complete

    @property
    def is_done(self) -> bool:
        """Tell whether the walk has ended well before the listing did, and all of it was given."""
        return self._ended and not self._read and self._error is None and not self.pager.complete

    @property
    def missing(self) -> bool:
        """Tell whether the service has no such scope."""
        return self.pager.missing

    @property
    def in_order(self) -> bool:
        """Tell whether all rows came in order of their time."""
        return self.pager.in_order

    @property
    def pages(self) -> int:
        """Count the pages that were requested."""
        return self.pager.pages

    def request(self, limit: int) -> list[Row]:
        """Give the rows of the next page, requesting it where the walk has ended before."""
        rows = self.take()
        return rows if rows is not None else self.pager.request(limit) if not self.pager.complete else []

    def take(self) -> list[Row] | None:
        """Give the rows of the next page of the walk; None once it has ended."""
        if self._job is not None and self._job.withdraw():
            self._job = None
            self._ended = True
        if self._job is None and not self._read:
            # Nobody was free to go ahead: the reader goes itself, page by page.
            return self._page() if self._has_room(awaited=True) else None
        with self._larder.changed:
            self._awaited = True
            self._larder.changed.notify_all()
            self._larder.changed.wait_for(lambda: self._read or self._ended)
            self._awaited = False
            if self._read:
                rows, size = self._read.popleft()
                self._larder.put(-size)
                return rows
        if self._error is not None:
            raise self._error
        return None

    def stop(self) -> None:
        """Go no further than the page under way."""
        with self._larder.changed:
            self._stopped = True
            self._larder.changed.notify_all()

    def _run(self) -> None:
        try:
            while self._has_room():
                rows = self._page()
                with self._larder.changed:
                    size = _size(rows)
                    self._read.append((rows, size))
                    self._larder.put(size)
        except BaseException as error:  # noqa: BLE001 - it is raised where the rows are taken
            self._error = error
        finally:
            with self._larder.changed:
                self._ended = True
                self._larder.changed.notify_all()

    def _page(self) -> list[Row]:
        try:
            return self.pager.request(self._page_size)
        finally:
            with self._larder.changed:
                self.is_busy = False
                self._larder.changed.notify_all()

    def _has_room(self, *, awaited: bool = False) -> bool:
        """Wait until there is room for a page, or none is needed; tell which."""

        def is_clear() -> bool:
            if self._is_over:
                return True
            return self._goes_on() is not None and (awaited or self._awaited or not self._larder.is_full)

        with self._larder.changed:
            self._larder.changed.wait_for(is_clear)
            self.is_busy = not self._is_over and bool(self._goes_on())
            return self.is_busy

    @property
    def _is_over(self) -> bool:
        return self._stopped or self._larder.emptied or self._crew.is_closed or self.pager.complete


def _size(rows: list[Row]) -> int:
    """Estimate the bytes that rows hold by the first of them."""
    if not rows:
        return 0
    return len(rows) * (100 + sum(50 + len(value) for value in rows[0] if isinstance(value, str)))


class Crossing:
    """Read a listing from both its ends at once: ``near`` walks as its reader does, ``far`` comes from the other end.

    They have met once their times have strictly crossed: services may list rows of one second in the same
    order both ways, so that a row which both have seen proves nothing.
    """

    def __init__(
        self, near: Pager, far: Pager, page_size: int, crew: Crew, larder: Larder, *, descending: bool
    ) -> None:
        self._sign = -1 if descending else 1
        self._near_pager, self._far_pager = near, far
        self._parted = False
        self._page_size = page_size
        # What the far walk has read, in its own order, once the two have met.
        self._rest: list[Row] | None = None
        self.complete = False
        with larder.changed:
            # Neither begins before both are there.
            self._near = Ahead(near, page_size, crew, larder, self._near_goes_on)
            self._far = Ahead(far, page_size, crew, larder, self._far_goes_on)

    @property
    def missing(self) -> bool:
        """Tell whether the service has no such scope."""
        return self._near_pager.missing

    @property
    def in_order(self) -> bool:
        """Tell whether all rows came in order of their time."""
        return self._near_pager.in_order

    @property
    def pages(self) -> int:
        """Count the pages that were requested."""
        return self._near_pager.pages + self._far_pager.pages

    def request(self, limit: int) -> list[Row]:
        """Give the rows of the next page of the near walk, and after its last one those of the far walk."""
        if self._rest is not None:
            return self._next_rest()
        rows = self._near.take()
        if rows is not None:
            return rows
        if self._near_pager.complete:
            self._far.stop()
            self.complete = True
            return []
        if self._parted:
            return self._near_pager.request(limit)
        self._meet()
        return []

    def _meet(self) -> None:
        found: list[Row] = []
        while (rows := self._far.take()) is not None:
            found += rows
        if not self._have_met():
            # The far walk came out of order meanwhile: the near one goes on alone.
            self._parted = True
            return
        # Whatever stands before the near walk it has given.
        self._rest = [row for row in found if self._near_pager.may_follow(row)]
        self.complete = not self._rest

    def _next_rest(self) -> list[Row]:
        """Give some rows at a time, and keep them no longer."""
        rest = self._rest or []
        rows = rest[-self._page_size :][::-1]
        del rest[-self._page_size :]
        self.complete = not rest
        return rows

    def _near_goes_on(self) -> bool | None:
        near, far = self._near_pager, self._far_pager
        if self._have_met():
            return False
        touch = far.time is not None and near.time is not None and (near.time - far.time) * self._sign >= 0
        return None if touch and self._far.is_busy else True

    def _far_goes_on(self) -> bool:
        near, far = self._near_pager, self._far_pager
        if near.complete or not (near.is_dated and far.is_dated):
            return False
        # Not through rows of one second that the near walk is among: it will read them all.
        return far.time is None or near.time is None or (far.time - near.time) * self._sign > 0

    def _have_met(self) -> bool:
        near, far = self._near_pager, self._far_pager
        if not (near.is_dated and far.is_dated and near.knows_its_second):
            return False
        if far.complete and not far.missing:
            return True
        return far.time is not None and near.time is not None and (near.time - far.time) * self._sign > 0


class Relay:
    """Fetch the pages of a listing side by side, those after ``starts``: keys that were seen in it before.

    A page is cut where the next one that is under way begins; a key that is not met is not gone on from.
    """

    def __init__(self, fetch: FetchPage, starts: Sequence[str | None], page_size: int, crew: Crew) -> None:
        self._fetch = fetch
        self._page_size = page_size
        self._crew = crew
        self._starts = starts
        self._place = {key: place for place, key in enumerate(starts)}
        self._at = 0
        self._begun = 0
        self._jobs: dict[str | None, Job[Page | None]] = {}

    def __call__(self, cursor: str | None, limit: int) -> Page | None:
        """Give the page after a key."""
        self._at = self._place.get(cursor, self._at)
        self._begin(self._at + 2 * self._crew.size)
        job = self._jobs.pop(cursor, None)
        page = self._fetch(cursor, limit) if job is None else job.result()
        page = None if page is None else self._cut(page)
        if page is None or page.has_more is False:
            self._withdraw()
        return page

    def _withdraw(self) -> None:
        """Ask for nothing behind the end: what begins after keys that were there is gone."""
        for job in self._jobs.values():
            job.withdraw()

    def _begin(self, end: int) -> None:
        for start in self._starts[self._begun : max(end, self._begun)]:
            self._jobs[start] = self._crew.begin(lambda start=start: self._fetch(start, self._page_size))  # type: ignore[misc]  # mypy infers no type for the default
            self._begun += 1

    def _cut(self, page: Page) -> Page:
        for place in range(len(page.rows) - 2, -1, -1):
            if page.rows[place][KEY] in self._jobs:
                return Page(page.rows[: place + 1], has_more=True)
        return page


def starts(last_page: Sequence[Row], keys: Sequence[str]) -> Sequence[str | None]:
    """Give the keys, of those seen before, that pages behind the last one begin after; None is the beginning.

    None at all where the last page, which is not the first, shows none of them.
    """
    if not last_page:
        return (None, *keys)
    rows = [row[KEY] for row in last_page]
    passed = max((place for place, key in enumerate(keys) if key in rows), default=len(keys))
    return keys[passed + (list(keys[passed : passed + 1]) != [rows[-1]]) :]
