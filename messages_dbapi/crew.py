"""The threads by which one connection makes requests side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Job(Generic[_T]):
    """A piece of work that was given to a crew."""

    def __init__(self, work: Callable[[], _T], future: Future[_T] | None) -> None:
        self._work = work
        self._future = future

    def withdraw(self) -> bool:
        """Take the work back; False where somebody has begun it."""
        return self._future is None or self._future.cancel()

    def result(self) -> _T:
        """Wait for the work, or do it here where nobody has begun it; raise what it raised."""
        if self._future is None or self.withdraw():
            return self._work()
        return self._future.result()


class Crew:
    """At most ``size`` threads, started as they are needed; with a size of 1 there are none."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._pid = 0
        self.is_closed = False

    @property
    def is_alone(self) -> bool:
        """Tell whether there is nobody to work side by side with."""
        return self.size <= 1

    def begin(self, work: Callable[[], _T]) -> Job[_T]:
        """Give a piece of work to a thread that is free, or will be."""
        with self._lock:
            if self.is_alone or self.is_closed:
                return Job(work, None)
            # A forked child has none of its parent's threads.
            if self._executor is None or self._pid != os.getpid():
                self._executor = ThreadPoolExecutor(self.size, thread_name_prefix="messages-dbapi")
                self._pid = os.getpid()
            try:
                return Job(work, self._executor.submit(work))
            except RuntimeError:
                return Job(work, None)  # There are no threads to be had, such as while the interpreter ends.

    def close(self) -> None:
        """Let the threads end once they have done what they are at."""
        with self._lock:
            executor, self._executor = self._executor, None
            self.is_closed = True
        if executor is not None and self._pid == os.getpid():
            executor.shutdown(wait=False, cancel_futures=True)
