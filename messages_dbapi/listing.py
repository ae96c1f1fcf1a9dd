"""One listing of the service, read page by page as its rows are needed, and kept while they may be again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain

from .decode import KEY
from .errors import InternalError
from .paging import Pager
from .types import Row, SQLValue


class Listing:
    """The rows of one listing, in its order.

    Several scans of a statement read one listing; whoever is first to need a page requests it. A listing
    that only one scan reads can be released: then it forgets the rows it has delivered.
    """

    def __init__(self, pager: Pager, *, page_size: int, descending: bool) -> None:
        self._pager = pager
        self._page_size = page_size
        self.descending = descending
        self.rows: list[Row] = []
        self._order_matters = False
        self.scans = 0
        self._forgotten = 0
        self._released = False
        self._row_of: dict[str, Row] = {}
        self._indexed = 0
        self._places_with: dict[int, dict[SQLValue, list[int]]] = {}

    @property
    def complete(self) -> bool:
        """Tell whether there are no more rows to request."""
        return self._pager.complete

    @property
    def missing(self) -> bool:
        """Tell whether the service has no such scope."""
        return self._pager.missing

    @property
    def pages(self) -> int:
        """Count the pages that were requested."""
        return self._pager.pages

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
        rows = self._pager.request(limit or self._page_size)
        if self._order_matters:
            self.rely_on_order()
        if self._released:
            self._forgotten += len(self.rows)
            self.rows = []
        self.rows.extend(rows)

    def rely_on_order(self) -> None:
        """Raise InternalError, now or later, where the service does not deliver in the order asked for."""
        self._order_matters = True
        if not self._pager.in_order:
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
