"""One listing of the service, read page by page as its rows are needed, and kept while they may be again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from .ahead import Ahead, Crossing, Larder, Relay, Walker, starts
from .crew import Crew
from .decode import KEY
from .errors import InternalError
from .paging import Pager
from .types import Row, SQLValue


class Intent(NamedTuple):
    """What is known of how far a reader will go, which may change while it reads.

    ``is_whole`` tells that it will come to the end, ``at_least`` how many rows of the listing it will surely
    take.
    """

    is_whole: Callable[[], bool]
    at_least: Callable[[], int]


# A reader of whom nothing is known.
UNKNOWN = Intent(lambda: False, lambda: 0)


@dataclass(frozen=True)
class Means:
    """How a listing is read: ``walk`` opens one of its walks, descending or not.

    ``keys`` were seen in it before, in its order. ``crossable``: it can be read from its other end as well.
    ``before_page`` is called before each page.
    """

    walk: Callable[[bool], Pager]
    crew: Crew
    larder: Larder
    before_page: Callable[[], None]
    keys: Sequence[str] = ()
    crossable: bool = False


class Listing:
    """The rows of one listing, in its order.

    Several scans of a statement read one listing; whoever is first to need a page requests it. A listing
    that only one scan reads can be released: then it forgets the rows it has delivered.
    """

    def __init__(self, means: Means, *, page_size: int, descending: bool) -> None:
        self._means = means
        self._pager = means.walk(descending)
        self._walker: Walker = self._pager
        self.page_size = page_size
        self._hastened = means.crew.is_alone
        self.descending = descending
        self.rows: list[Row] = []
        self._order_matters = False
        self.scans = 0
        self._forgotten = 0
        self._released = False
        self._row_of: dict[str, Row] = {}
        self._indexed = 0
        self._places_with: dict[int, dict[SQLValue, list[int]]] = {}
        self._count = 0
        self._milestones: list[str] = []

    @property
    def complete(self) -> bool:
        """Tell whether there are no more rows to request."""
        return self._walker.complete

    @property
    def missing(self) -> bool:
        """Tell whether the service has no such scope."""
        return self._walker.missing

    @property
    def pages(self) -> int:
        """Count the pages that were requested."""
        return self._walker.pages

    @property
    def count(self) -> int:
        """Count the rows that came."""
        return self._count

    @property
    def milestones(self) -> Sequence[str]:
        """Give the keys of a complete listing from which its pages can be asked for side by side, oldest first."""
        keys = self._milestones[: -1 if self._count % self.page_size == 0 else None]
        return keys[::-1] if self.descending else keys

    def release(self) -> bool:
        """Forget delivered rows from now on, unless another scan may read them again; tell whether it does."""
        self._released = self.scans <= 1
        return self._released

    def hasten(self) -> None:
        """Read side by side from now on where that can be: every row will be needed."""
        means = self._means
        if self._hastened or self.complete or self._walker is not self._pager:
            return
        known = starts(self._pager.last_page, means.keys) if means.keys else ()
        if known:
            self._pager.relay(lambda fetch: Relay(fetch, known, self.page_size, means.crew))
        elif not self.pages:
            return  # The first page tells whether there are others.
        elif means.crossable:
            far = means.walk(not self.descending)
            self._walker = Crossing(
                self._pager, far, self.page_size, means.crew, means.larder, descending=self.descending
            )
        else:
            self._walker = Ahead(self._pager, self.page_size, means.crew, means.larder)
        self._hastened = True

    def send_ahead(self, limit: int | None = None) -> None:
        """Begin to read now, in another thread: the first page of at most so many rows, or (None) every page."""
        if self._hastened or self.pages or self.scans:
            return
        means, pager = self._means, self._pager
        if limit is None:
            self._walker = Ahead(pager, self.page_size, means.crew, means.larder)
            self._hastened = True
        elif self._walker is pager:
            self._walker = Ahead(pager, limit, means.crew, means.larder, lambda: not pager.pages)

    def scan(self, need: int | None = None, intent: Intent = UNKNOWN) -> Iterator[Row]:
        """Deliver the rows in the listing's order, requesting pages as they are needed.

        ``need`` is the number of rows after which the reader will surely stop: no page asks for more.
        """
        return chain.from_iterable(self._pieces(need, intent))

    def _pieces(self, need: int | None, intent: Intent) -> Iterator[list[Row]]:
        self.scans += 1
        index = 0
        while True:
            piece = self.rows[index - self._forgotten :]
            if piece:
                index += len(piece)
                yield piece
            elif self.complete:
                return
            elif need is None:
                self._look_ahead(intent, index)
                self.request()
            else:
                self.request(max(1, min(self.page_size, need - index)))

    def _look_ahead(self, intent: Intent, index: int) -> None:
        if self._hastened or self._walker is not self._pager:
            return
        if intent.is_whole():
            self.hasten()
        elif self.pages and intent.at_least() > index + self.page_size:
            # As far as is known to be needed; the pager itself goes on from there.
            pager, wanted = self._pager, -((index - intent.at_least()) // self.page_size)
            end = pager.pages + wanted
            self._walker = Ahead(pager, self.page_size, self._means.crew, self._means.larder, lambda: pager.pages < end)

    def finish(self) -> list[Row]:
        """Request what is still missing, and give all rows."""
        while not self.complete:
            self.hasten()
            self.request()
        return self.rows

    def request(self, limit: int | None = None) -> None:
        """Request one more page."""
        self._means.before_page()
        if isinstance(self._walker, Ahead) and self._walker.is_done:
            self._walker = self._pager
        rows = self._walker.request(limit or self.page_size)
        if self._order_matters:
            self.rely_on_order()
        self._count_in(rows)
        if self._released:
            self._forgotten += len(self.rows)
            self.rows = []
        self.rows.extend(rows)

    def _count_in(self, rows: list[Row]) -> None:
        first = self.page_size - 1 - self._count % self.page_size
        self._milestones.extend(str(row[KEY]) for row in rows[first :: self.page_size])
        self._count += len(rows)

    def rely_on_order(self) -> None:
        """Raise InternalError, now or later, where the service does not deliver in the order asked for."""
        self._order_matters = True
        if not self._walker.in_order:
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
