"""How many requests the reading of one thread will take, as far as that can be told before the first of them."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from .milestones import Milestones
from .options import Options
from .scan import SINGLE_READS, Scan, Selection, walk_for

# Requests by which a thread that is read from both its ends may exceed its pages.
_SPARE = 2
# Ids that are never asked for: no message can have them.
_VOID = ("", ".", "..")


class Bounds(NamedTuple):
    """The fewest and the most requests; ``most`` is None where nothing bounds them."""

    least: int
    most: int | None

    def __add__(self, other: object) -> Bounds:
        if not isinstance(other, Bounds):
            return NotImplemented
        both = self.most is not None and other.most is not None
        return Bounds(self.least + other.least, (self.most or 0) + (other.most or 0) if both else None)


NONE = Bounds(0, 0)


class Forecaster:
    """Forecast what one connection will request; repeats after errors, and what is missing, are not counted."""

    def __init__(self, options: Options, milestones: Milestones) -> None:
        self._options = options
        self._milestones = milestones
        self._is_alone = options.embedded or options.concurrency == 1
        self._spare = 0 if self._is_alone or options.max_requests is not None else _SPARE

    def size(self, selection: Selection) -> int:
        """Give the rows of a page."""
        return selection.page_size or self._options.page_size

    def is_known(self, scan: Scan, scope: str | None) -> bool:
        """Tell whether the thread was read before, so that its length is known."""
        return self._rows(scan, scope) is not None

    def _rows(self, scan: Scan, scope: str | None) -> int | None:
        return None if scope is None or scan.selection.is_keyed else self._milestones.rows(scope)

    def of(self, scan: Scan, scope: str | None) -> Bounds:
        """Bound the requests of a scan for one of its scopes, read to the end."""
        selection = scan.selection
        if selection.wanted == 0:
            return NONE
        if selection.is_keyed:
            return _of_keys(selection.keys or frozenset(), alone=scope is None)
        need = selection.need(walk_for(selection))
        rows = self._rows(scan, scope)
        if need is not None:
            return self._of_first(need, rows, self.size(selection), narrowed=_is_narrowed(selection))
        if rows is None:
            return Bounds(1, None)
        if selection.is_bounded or selection.wanted is not None or _is_narrowed(selection):
            return Bounds(1, _pages(rows, self.size(selection)) + self._spare)
        return self._of_whole(scope or "", rows, self.size(selection))

    def _of_first(self, need: int, rows: int | None, size: int, *, narrowed: bool) -> Bounds:
        if rows is None or narrowed:
            return Bounds(1, _pages(need, size))
        pages = _pages(min(need, rows), size)
        return Bounds(pages, pages)

    def _of_whole(self, scope: str, rows: int, size: int) -> Bounds:
        pages, known = _pages(rows, size), len(self._milestones.of(scope)) + 1
        if self._is_alone or pages == known:
            return Bounds(pages, pages)
        # Side by side, each part between two keys that are known ends with a page of its own.
        return Bounds(pages, pages + known + self._spare)


def _is_narrowed(selection: Selection) -> bool:
    """Tell whether the service lists a part of the thread only."""
    return bool(selection.filters) or selection.after is not None or selection.before is not None


def _pages(rows: int, size: int) -> int:
    return max(1, ceil(rows / size))


def _of_keys(keys: frozenset[str], *, alone: bool) -> Bounds:
    """Bound the requests for single rows: after some of them the listing is read alongside, where there is one."""
    asked = len(keys) - len(keys.intersection(_VOID))
    if alone or len(keys) <= SINGLE_READS:
        return Bounds(asked, asked)
    return Bounds(min(asked, SINGLE_READS), 2 * asked)
