"""Keys at every so many rows of the threads that one connection has read whole: where a page can begin again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

# Keys that are remembered in all, of the threads read last: some two megabytes.
_REMEMBERED = 20_000


class Milestones:
    """Remember where the pages of a thread began; messages only arrive at its end or disappear."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._most = most
        self._count = 0
        self._keys: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._rows: dict[str, int] = {}
        self._lock = threading.Lock()

    def of(self, scope: str) -> tuple[str, ...]:
        """Give the keys of a scope, oldest first; none where it was not read whole, or is one page."""
        with self._lock:
            if scope not in self._keys:
                return ()
            self._keys.move_to_end(scope)
            return self._keys[scope]

    def rows(self, scope: str) -> int | None:
        """Give how many rows a scope had when keys of it were noted; None where there are none."""
        with self._lock:
            return self._rows.get(scope)

    def note(self, scope: str, keys: Sequence[str], rows: int) -> None:
        """Remember the keys of a scope, oldest first, and how many rows it has, in the place of those known before."""
        with self._lock:
            self._count -= len(self._keys.pop(scope, ()))
            self._rows.pop(scope, None)
            if not keys or len(keys) > self._most:
                return
            self._keys[scope] = tuple(keys)
            self._rows[scope] = rows
            self._count += len(keys)
            while self._count > self._most:
                name, forgotten = self._keys.popitem(last=False)
                del self._rows[name]
                self._count -= len(forgotten)
