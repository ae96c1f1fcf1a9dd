"""One listing of the service, read page by page as its rows are needed, and kept while they may be again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import chain

from .decode import KEY, TIME, Page
from .errors import InternalError
from .types import Row, SQLValue

# Give the page that follows a key (None: the first one) with at most so many rows; None: no such scope.
FetchPage = Callable[[str | None, int], Page | None]


class Listing:
    """The rows of one listing, in its order.

    Several scans of a statement read one listing; whoever is first to need a page requests it. A listing
    that only one scan reads can be released: then it forgets the rows it has delivered.
    """

    def __init__(self, fetch: FetchPage, *, page_size: int, descending: bool, after: str | None = None) -> None:
        self._fetch = fetch
        self._page_size = page_size
        self.descending = descending
        self.rows: list[Row] = []
        self.complete = False
        self.missing = False
        self._in_order = True
        self._order_matters = False
        self.scans = 0
        self.pages = 0
        self._forgotten = 0
        self._released = False
        self._cursor = after
        self._cursors: set[str] = set()
        self._last_page: list[Row] = []
        self._row_of: dict[str, Row] = {}
        self._indexed = 0
        self._places_with: dict[int, dict[SQLValue, list[int]]] = {}

    def release(self) -> bool:
        """Forget delivered rows from now on, unless another scan may read them again; tell whether it does."""
        self._released = self.scans <= 1
        return self._released

    def scan(self, need: int | None = None) -> Iterator[Row]:
        """Deliver the rows in the listing's order, requesting pages as they are needed.

        ``need`` is the number of rows after which the reader will surely stop: no page asks for more.
        """
        return chain.from_iterable(self._pieces(need))

    def _pieces(self, need: int | None) -> Iterator[list[Row]]:
        self.scans += 1
        index = 0
        while True:
            piece = self.rows[index - self._forgotten :]
            if piece:
                index += len(piece)
                yield piece
            elif self.complete:
                return
            else:
                self.request(self._page_size if need is None else max(1, min(self._page_size, need - index)))

    def finish(self) -> list[Row]:
        """Request what is still missing, and give all rows."""
        while not self.complete:
            self.request(self._page_size)
        return self.rows

    def request(self, limit: int | None = None) -> None:
        """Request one more page."""
        limit = limit or self._page_size
        page = self._fetch(self._cursor, limit)
        self.pages += 1
        if page is None:
            self.complete = self.missing = True
            return
        rows = self._new_rows(page)
        self._check_order(rows)
        if self._released:
            self._forgotten += len(self.rows)
            self.rows = []
        self.rows.extend(rows)
        # A page that leaves has_more out is the last one where it is not full.
        more = page.has_more if page.has_more is not None else len(page.rows) >= limit
        self.complete = not (more and page.rows)
        self._last_page = page.rows
        if page.rows:
            self._advance(str(page.rows[-1][KEY]))

    def _new_rows(self, page: Page) -> list[Row]:
        """Leave out what the page before had already: some services repeat the row of the cursor."""
        known = {row[KEY] for row in self._last_page}
        rows = [row for row in page.rows if row[KEY] not in known] if known else page.rows
        if page.rows and not rows and page.has_more:
            raise InternalError(
                f"the listing does not advance: after {self._cursor!r} the service gave the same page again"
            )
        return rows

    def _advance(self, cursor: str) -> None:
        if cursor in self._cursors and not self.complete:
            raise InternalError(f"the listing does not advance: it came to {cursor!r} a second time")
        self._cursors.add(cursor)
        self._cursor = cursor

    def _check_order(self, rows: list[Row]) -> None:
        times = [row[TIME] for row in (*self._last_page[-1:], *rows) if row[TIME] is not None]
        self._in_order = self._in_order and times == sorted(times, reverse=self.descending)
        if self._order_matters:
            self.rely_on_order()

    def rely_on_order(self) -> None:
        """Raise InternalError, now or later, where the service does not deliver in the order asked for."""
        self._order_matters = True
        if not self._in_order:
            raise InternalError("the service does not list its rows in order of their time")

    def row(self, key: str) -> Row | None:
        """Find a row among those read so far."""
        for row in self.rows[self._indexed :]:
            self._row_of[row[KEY]] = row
        self._indexed = len(self.rows)
        return self._row_of.get(key)

    def rows_with(self, position: int, values: Collection[SQLValue]) -> list[Row]:
        """Find the rows of a complete listing whose column holds one of the values, in its order."""
        places = self._places_with.get(position)
        if places is None:
            places = self._places_with[position] = {}
            for place, row in enumerate(self.rows):
                places.setdefault(row[position], []).append(place)
        return [self.rows[place] for place in sorted(place for value in values for place in places.get(value, ()))]
