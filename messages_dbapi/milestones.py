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
        self._lock = threading.Lock()

    def of(self, scope: str) -> tuple[str, ...]:
        """Give the keys of a scope, oldest first; none where it was not read whole, or is one page."""
        with self._lock:
            if scope not in self._keys:
                return ()
            self._keys.move_to_end(scope)
            return self._keys[scope]

    def note(self, scope: str, keys: Sequence[str]) -> None:
        """Remember the keys of a scope, oldest first, in the place of those known before."""
        with self._lock:
            self._count -= len(self._keys.pop(scope, ()))
            if not keys or len(keys) > self._most:
                return
            self._keys[scope] = tuple(keys)
            self._count += len(keys)
            while self._count > self._most:
                _, forgotten = self._keys.popitem(last=False)
                self._count -= len(forgotten)
