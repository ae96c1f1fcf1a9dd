"""One walk through a listing of the service: its next page, also where the message to go on from was deleted."""

from __future__ import annotations

from collections.abc import Callable

from .decode import KEY, TIME, Page
from .errors import DatabaseError, DataError, InternalError
from .types import Row

# Give the page that follows a key (None: the first one) with at most so many rows; None: no such scope.
# Raise DataError with param "after" where the service does not know the key.
FetchPage = Callable[[str | None, int], Page | None]

# Tell whether the service still has the row of a key.
HasRow = Callable[[str], bool]
# Give a page with the row that the listing ends with, asked for from its other end; None: no such scope.
FetchEnd = Callable[[], Page | None]

# Ids of one second that are remembered, to leave out what was given when a walk begins anew.
_REMEMBERED = 10_000
# Times that a walk may begin anew and come to nothing new before the service is said to go in circles.
_BEGINNINGS = 5


class Pager:
    """Walk through a listing from its beginning, or from behind the key ``after``; each row is given once.

    Messages arrive at the end and disappear anywhere. Where the one that a page ended with has disappeared,
    some services refuse to go on from it, and others begin the listing anew in silence: then the walk goes
    on from a row before it, at last from the beginning, leaving out by time and id what it has given.
    """

    def __init__(
        self,
        fetch: FetchPage,
        has_row: HasRow,
        fetch_end: FetchEnd,
        *,
        page_size: int,
        descending: bool,
        after: str | None = None,
    ) -> None:
        self._fetch = fetch
        self._has_row = has_row
        self._fetch_end = fetch_end
        self._page_size = page_size
        self._descending = descending
        self._start = after
        self._cursor = after
        self.last_page: list[Row] = []
        # The first and last key of every page: where they come again, the service has begun anew.
        self._marks: set[str] = set()
        # The keys that were gone on from since the walk last began.
        self._cursors: set[str] = set()
        self._again = False
        self._beginnings = 0
        # The time of the row given last, and the keys of that time; None once they are too many.
        self.time: int | None = None
        self._keys_of_time: set[str] | None = set()
        self.pages = 0
        self.complete = False
        self.missing = False
        self.in_order = True
        # Whether each row had a time, and all were in order of it.
        self.is_dated = True

    @property
    def knows_its_second(self) -> bool:
        """Tell whether ``may_follow`` is sure of rows that have the time of the last one."""
        return self._keys_of_time is not None

    def relay(self, make: Callable[[FetchPage], FetchPage]) -> None:
        """Have pages fetched otherwise from now on; ``make`` is given how they were."""
        self._fetch = make(self._fetch)

    def request(self, limit: int) -> list[Row]:
        """Request one more page of at most so many rows, and give those that are new."""
        page = self._next_page(limit)
        self.pages += 1
        if page is not None and page.has_more and not page.rows and not self._is_at_end():
            page = self._page_once_more(limit)
        if page is None:
            self.complete = self.missing = True
            return []
        if self._begins_anew(page.rows):
            self._begin_anew(InternalError("the service began the listing anew, and not in order of time"))
        rows = self._new_rows(page)
        # A page that leaves has_more out is the last one where it is not full.
        more = page.has_more if page.has_more is not None else len(page.rows) >= limit
        self.complete = not (more and page.rows)
        if page.rows:
            self._advance(page.rows)
        self._give(rows)
        return rows

    def _next_page(self, limit: int) -> Page | None:
        try:
            return self._fetch(self._cursor, self._page_size if self._again else limit)
        except DataError as error:
            if error.param != "after" or not self.last_page:
                raise
            lost = error
        for row in self.last_page[-2:-1]:
            try:
                return self._fetch(str(row[KEY]), limit)
            except DataError as error:
                if error.param != "after":
                    raise
        self._begin_anew(lost)
        return self._fetch(self._start, self._page_size)

    def _is_at_end(self) -> bool:
        """Tell whether nothing follows an empty page that says otherwise, as some services say of any part."""
        end = self._fetch_end()
        if end is None or not end.rows:
            return end is not None and not end.has_more
        return not self.may_follow(end.rows[0])

    def _page_once_more(self, limit: int) -> Page | None:
        page = self._next_page(limit)
        self.pages += 1
        if page is not None and page.has_more and not page.rows:
            raise InternalError(
                f"the listing does not advance: after {self._cursor!r} the service gave an empty page, and more rows "
                "follow"
            )
        return page

    def _begins_anew(self, rows: list[Row]) -> bool:
        """Tell whether a page shows what was given before the last page, as if no key had been named."""
        if self._again:
            return bool(rows) and rows[-1][KEY] in self._cursors
        new = {row[KEY] for row in rows}.difference(row[KEY] for row in self.last_page)
        if not new.isdisjoint(self._marks):
            return True
        # Or it is out of order, as a service may be: then the row to go on from is still there.
        goes_back = (
            self.in_order
            and not self._is_later(rows)
            and any(not self.may_follow(row) for row in rows if row[KEY] in new)
        )
        return goes_back and not self._has_row(str(self._cursor))

    def _is_later(self, rows: list[Row]) -> bool:
        """Tell by their times alone, which is quick, that all rows can stand behind those given."""
        times = [row[TIME] for row in rows]
        if self.time is None or None in times:
            return False
        return not times or (max(times) < self.time if self._descending else min(times) > self.time)

    def _begin_anew(self, reason: DatabaseError) -> None:
        """Leave out from now on what was given, or raise the reason where that cannot be told."""
        if not self.in_order or self.time is None or self._keys_of_time is None:
            raise reason
        self._beginnings += 1
        if self._beginnings > _BEGINNINGS:
            raise InternalError(f"the listing does not advance: it came to {self._cursor!r} a second time")
        self._again = True
        self._cursors.clear()

    def _new_rows(self, page: Page) -> list[Row]:
        # Some services repeat a row in its page, and some the row of the cursor.
        listed = list({row[KEY]: row for row in page.rows}.values())
        if self._again:
            rows = [row for row in listed if self._is_further(row)]
            self._again = len(rows) < len(listed)
            return rows
        known = {row[KEY] for row in self.last_page}
        rows = [row for row in listed if row[KEY] not in known] if known else listed
        if page.rows and not rows and page.has_more:
            raise InternalError(
                f"the listing does not advance: after {self._cursor!r} the service gave the same page again"
            )
        return rows

    def _is_further(self, row: Row) -> bool:
        if row[TIME] is None:
            raise InternalError("the service began the listing anew, and a row of it has no time")
        return self.may_follow(row)

    def may_follow(self, row: Row) -> bool:
        """Tell whether a row can stand behind those given, by its time, and at the same time by its key."""
        time = row[TIME]
        if time is None or self.time is None:
            return True
        if time == self.time:
            return self._keys_of_time is None or row[KEY] not in self._keys_of_time
        return bool(time < self.time if self._descending else time > self.time)

    def _advance(self, rows: list[Row]) -> None:
        cursor = str(rows[-1][KEY])
        if cursor in self._cursors and not self.complete:
            raise InternalError(f"the listing does not advance: it came to {cursor!r} a second time")
        self._cursors.add(cursor)
        self._cursor = cursor
        self._marks.update((str(rows[0][KEY]), cursor))

    def _give(self, rows: list[Row]) -> None:
        """Remember what is needed to tell what was given."""
        if not rows:
            return
        times = [row[TIME] for row in (*self.last_page[-1:], *rows) if row[TIME] is not None]
        self.in_order = self.in_order and times == sorted(times, reverse=self._descending)
        self.is_dated = self.is_dated and self.in_order and len(times) == len(rows) + bool(self.last_page)
        self._beginnings = 0
        self.last_page = rows
        newest = rows[-1][TIME]
        if newest != self.time:
            self.time, self._keys_of_time = newest, set()
        if self._keys_of_time is not None:
            self._keys_of_time.update(str(row[KEY]) for row in rows if row[TIME] == newest)
            if len(self._keys_of_time) > _REMEMBERED:
                self._keys_of_time = None
