"""How fast one service may be asked with one key: requests in flight and per second, over all connections here."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from weakref import WeakValueDictionary

from .retry import LONGEST_WAIT
from .statement import Statement

# Seconds from which on a wait is worth a warning.
_LONG_WAIT = 2.0
_REMAINING, _RESET = "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"
# Durations as the service writes them: 12ms, 1s, 6m0s, 1h30m.
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_log = logging.getLogger("messages_dbapi")


class Pace:
    """Give requests their turns; threads and connections share one for each service and key."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._in_flight = 0
        # When the next request may be sent: by the option rate, and by what the service said. Monotonic seconds.
        self._next = 0.0
        self._resumes = 0.0
        # How many more may be sent until then, where the service said.
        self._left: int | None = None

    @contextmanager
    def turn(self, statement: Statement, concurrency: int, rate: float | None) -> Iterator[None]:
        """Wait for a turn, and have it while the block runs: ``concurrency`` in flight, ``rate`` a second.

        Raise OperationalError where the statement ends before.
        """
        with statement.woken_by(self._wake):
            self._enter(statement, concurrency, rate)
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _enter(self, statement: Statement, concurrency: int, rate: float | None) -> None:
        warned = False
        with self._changed:
            while True:
                statement.check_wanted()
                wait = self._wait(rate)
                if self._in_flight >= concurrency:
                    self._changed.wait(statement.remaining())
                elif wait <= 0:
                    break
                else:
                    if wait > _LONG_WAIT and not warned:
                        _log.warning("waiting %.1f s for the limit of requests", wait)
                        warned = True
                    remaining = statement.remaining()
                    self._changed.wait(wait if remaining is None else min(wait, remaining))
            self._in_flight += 1
            if rate is not None:
                self._next = max(self._next, time.monotonic()) + 1 / rate
            if self._left is not None:
                self._left -= 1

    def _wait(self, rate: float | None) -> float:
        """Give the seconds until the next request may be sent."""
        now = time.monotonic()
        if now >= self._resumes:
            self._left = None
        is_spent = self._left is not None and self._left <= 0
        return max(self._next - now if rate is not None else 0.0, self._resumes - now if is_spent else 0.0)

    def note(self, headers: Mapping[str, str]) -> None:
        """Take in what a reply says of the requests that are left."""
        remaining, reset = headers.get(_REMAINING), duration(headers.get(_RESET, ""))
        if remaining is None or reset is None or not remaining.isdecimal() or len(remaining) > 9:
            return
        with self._changed:
            # Those in flight may not be counted yet.
            self._left = int(remaining) - (self._in_flight - 1)
            self._resumes = time.monotonic() + min(reset, LONGEST_WAIT)


def duration(text: str) -> float | None:
    """Read a duration; None for what is none."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


_paces: WeakValueDictionary[tuple[int, str, str], Pace] = WeakValueDictionary()
_lock = threading.Lock()


def pace_of(base_url: str, key: str | Callable[[], str] | None) -> Pace:
    """Give the pace of a service and key, which is one for all connections of this process."""
    name = f"{id(key)}" if callable(key) else hashlib.sha256((key or "").encode()).hexdigest()
    place = (os.getpid(), base_url, name)
    with _lock:
        pace = _paces.get(place)
        if pace is None:
            pace = _paces[place] = Pace()
        return pace
