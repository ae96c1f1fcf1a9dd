"""How the memory of a process grows while a thread is read: python -m tests.benchmarks.memory WAY URL THREAD."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import messages_dbapi

from .baselines import Floor, Loop, Official, Rows
from .driver import LISTING, Driver

_STATUS = Path("/proc/self/status")
_MEGABYTE = 1 << 20

Way = Callable[[str, str], "Grown"]


class Grown(NamedTuple):
    """Rows read, requests made, megabytes by which the peak of memory grew, and those that the rows themselves hold."""

    rows: int
    requests: int
    growth: float
    held: float


def stream(base_url: str, thread_id: str, size: int = 1_000) -> Grown:
    """Fetch all messages of a thread, ``size`` rows at a time, and let go of them; the first fetch is not counted."""
    with messages_dbapi.connect(base_url.replace("http://", "messages+http://", 1)) as connection:
        cursor = connection.execute(LISTING, (thread_id,))
        count = len(cursor.fetchmany(size))
        _forget_peak()
        before = _peak()
        while rows := cursor.fetchmany(size):
            count += len(rows)
        return Grown(count, cursor.stats.requests, _peak() - before, 0)


def _listing(client: Loop | Floor | Official | Driver, thread_id: str) -> Grown:
    if not isinstance(client, Driver):
        client.newest(thread_id, 1)
    _forget_peak()
    asked, before = client.requests, _peak()
    rows = client.list_all(thread_id)
    growth = _peak() - before
    client.close()
    return Grown(len(rows), client.requests - asked, growth, _held(rows))


# By the names of the cases' ways in short.
WAYS: dict[str, Way] = {
    "stream": stream,
    "driver": lambda url, thread_id: _listing(Driver(url, remember=False), thread_id),
    "loop": lambda url, thread_id: _listing(Loop(url), thread_id),
    "floor": lambda url, thread_id: _listing(Floor(url), thread_id),
    "official": lambda url, thread_id: _listing(Official(url), thread_id),
}


def _held(rows: Rows) -> float:
    """Add up a list of tuples of texts and numbers, what is there twice only once."""
    objects = {id(value): value for row in rows for value in (row, *row)}
    return (sys.getsizeof(rows) + sum(map(sys.getsizeof, objects.values()))) / _MEGABYTE


def _forget_peak() -> None:
    """Let the peak be what is held now, where the system can: importing may have taken more for a moment."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """Give the peak of this process's memory in megabytes."""
    # Linux hands the peak that getrusage gives down from parent to child, but not this one.
    if _STATUS.exists():
        return next(int(line.split()[1]) / 1024 for line in _STATUS.open() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEGABYTE


if __name__ == "__main__":
    way, base_url, thread_id = sys.argv[1:]
    print(json.dumps(WAYS[way](base_url, thread_id)))  # noqa: T201  # a command's output
