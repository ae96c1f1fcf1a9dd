"""Stream a thread in this process and print what that took: python -m tests.benchmarks.stream URL THREAD SIZE."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import NamedTuple

import messages_dbapi

_STATUS = Path("/proc/self/status")


class Streamed(NamedTuple):
    """What streaming took: seconds in all, CPU seconds per message, megabytes by which the peak of memory grew."""

    messages: int
    requests: int
    wall: float
    cpu: float
    growth: float


def stream(url: str, thread_id: str, size: int) -> Streamed:
    """Fetch all messages of a thread, ``size`` rows at a time, and let go of them."""
    with messages_dbapi.connect(url) as connection:
        connection.check()
        before, wall, cpu = _peak(), time.perf_counter(), time.process_time()
        cursor = connection.execute("SELECT * FROM messages WHERE thread_id = ?", (thread_id,))
        count = 0
        while rows := cursor.fetchmany(size):
            count += len(rows)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        return Streamed(count, cursor.stats.requests, wall, cpu / count, _peak() - before)


def _peak() -> float:
    """Give the peak of this process's memory in megabytes."""
    # Linux hands the peak that getrusage gives down from parent to child, but not this one.
    if _STATUS.exists():
        return next(int(line.split()[1]) / 1024 for line in _STATUS.open() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    print(json.dumps(stream(sys.argv[1], sys.argv[2], int(sys.argv[3]))))  # noqa: T201  # a command's output
