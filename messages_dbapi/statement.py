"""One statement under way: what it may spend, what it has spent, and whether it was cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .errors import OperationalError

Wake = Callable[[], None]
# Takes the requests that are done, the rows so far, and the requests that are expected, or None.
Progress = Callable[[int, int, int | None], object]


@dataclass
class Stats:
    """What a statement has cost so far; readable from other threads while it runs.

    ``requests`` counts what was sent to the service, repeats included; ``seconds`` is time spent in
    ``execute`` and the fetches.
    """

    requests: int = 0
    pages: int = 0
    rows_received: int = 0
    rows_returned: int = 0
    retries: int = 0
    threads_missing: int = 0
    bytes_received: int = 0
    _spent: float = field(default=0.0, repr=False)
    _since: float | None = field(default=None, repr=False)

    @property
    def seconds(self) -> float:
        """Give the time that has passed in ``execute`` and the fetches, the one under way included."""
        since = self._since
        return self._spent + (0.0 if since is None else time.monotonic() - since)

    def start(self) -> None:
        """Note that time begins to pass."""
        self._since = time.monotonic()

    def stop(self) -> None:
        """Note that no more time passes."""
        self._spent, self._since = self.seconds, None


class Statement:
    """Bound one statement: ``deadline`` seconds in all, ``max_requests`` requests, until cancelled."""

    def __init__(
        self, deadline: float | None = None, max_requests: int | None = None, progress: Progress | None = None
    ) -> None:
        self.stats = Stats()
        self._ends = None if deadline is None else time.monotonic() + deadline
        self._deadline = deadline
        self._max_requests = max_requests
        self._cancelled = threading.Event()
        # Re-entrant, for a signal handler may call cancel() in the thread that holds it.
        self._lock = threading.RLock()
        self._wakes: list[Wake] = []
        # Held while the function is called.
        self._telling = threading.RLock()
        self._progress = progress
        self._finished = False
        self._replies = 0
        self._expected: int | None = None
        # What the function raised: it ends the statement, and comes out as it is.
        self.raised: BaseException | None = None

    def cancel(self) -> None:
        """End the statement from any thread: what blocks is woken, and its next step raises OperationalError."""
        self._cancelled.set()
        with self._lock:
            wakes = list(self._wakes)
        for wake in wakes:
            wake()

    @contextmanager
    def woken_by(self, wake: Wake) -> Iterator[None]:
        """Have ``cancel()`` call this, from its own thread, while the block runs; at once if it was cancelled."""
        with self._lock:
            self._wakes.append(wake)
        try:
            if self._cancelled.is_set():
                wake()
            yield
        finally:
            with self._lock:
                self._wakes.remove(wake)

    @property
    def stopped(self) -> bool:
        """Tell whether it was cancelled or its time is up."""
        return self.reason() is not None

    def reason(self) -> str | None:
        """Say why it has to stop, or None while it may go on."""
        if self._cancelled.is_set():
            return "the statement was cancelled"
        if self._ends is not None and time.monotonic() >= self._ends:
            return f"the statement took longer than its deadline of {self._deadline:g} seconds"
        return None

    def remaining(self) -> float | None:
        """Give the seconds left before the deadline, or None where there is no deadline."""
        return None if self._ends is None else max(0.0, self._ends - time.monotonic())

    def check(self) -> None:
        """Raise OperationalError if the statement was cancelled or its time is up."""
        reason = self.reason()
        if reason is not None:
            raise OperationalError(reason)

    def check_wanted(self) -> None:
        """Raise OperationalError if nobody waits for a reply any more."""
        self.check()
        if self._finished:
            raise OperationalError("the statement has ended")

    def admit_request(self) -> None:
        """Count a request that is about to be sent, or raise OperationalError if it may not be."""
        self.check_wanted()
        with self._lock:
            if self._max_requests is not None and self.stats.requests >= self._max_requests:
                raise OperationalError(
                    f"the statement needs more than max_requests={self._max_requests} requests; "
                    "narrow it, or raise the option"
                )
            self.stats.requests += 1

    def withdraw_request(self) -> None:
        """Take back a request that never left, such as one whose connection was refused."""
        with self._lock:
            self.stats.requests -= 1

    def count(
        self,
        *,
        pages: int = 0,
        rows_received: int = 0,
        retries: int = 0,
        threads_missing: int = 0,
        bytes_received: int = 0,
    ) -> None:
        """Add to ``stats``, from any thread: ``+=`` on it is safe in one thread only."""
        stats = self.stats
        with self._lock:
            stats.pages += pages
            stats.rows_received += rows_received
            stats.retries += retries
            stats.threads_missing += threads_missing
            stats.bytes_received += bytes_received

    @property
    def tells(self) -> bool:
        """Tell whether somebody wants to know how far it is."""
        return self._progress is not None

    def expect(self, replies: int) -> None:
        """Note how many replies are still to come."""
        with self._telling:
            self._expected = self._replies + replies

    def replied(self) -> None:
        """Tell of a reply that was read, from any thread; not once the statement has ended."""
        if self._progress is None:
            return
        with self._telling:
            if self._progress is None or self._cancelled.is_set():
                return
            self._replies += 1
            expected = None if self._expected is None else max(self._expected, self._replies)
            try:
                self._progress(self._replies, self.stats.rows_received, expected)
            except BaseException as error:
                self.raised, self._progress = error, None
                self.cancel()
                raise

    def finish(self) -> None:
        """Send nothing and tell nobody anything from now on; a call that is under way is waited for."""
        self._finished = True
        if self._progress is not None:
            with self._telling:
                self._progress = None

    def wait(self, seconds: float) -> None:
        """Sleep, but raise OperationalError as soon as the statement is cancelled or its time is up."""
        remaining = self.remaining()
        self._cancelled.wait(seconds if remaining is None else min(seconds, remaining))
        self.check()
