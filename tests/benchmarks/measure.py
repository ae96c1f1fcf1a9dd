"""How long a case takes: wall time and this process's CPU, the least of several rounds."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from typing import NamedTuple

from .cases import Case


class Measured(NamedTuple):
    """What a case took at best: requests of one run, wall seconds of one run, CPU seconds per message."""

    case: Case
    requests: int
    wall: float
    cpu: float


def measure(cases: Sequence[Case], rounds: int) -> list[Measured]:
    """Measure the cases in turn, round after round, so that each meets the machine's good and bad moments."""
    gc.collect()
    # What the imports have left is large, most of all for the official client: nobody's collections go through it.
    gc.freeze()
    best = [_measure_once(case) for case in cases]
    for _ in range(1, rounds):
        best = [known if known.case.once else _better(known, _measure_once(known.case)) for known in best]
    return best


def _better(known: Measured, other: Measured) -> Measured:
    return Measured(
        known.case, max(known.requests, other.requests), min(known.wall, other.wall), min(known.cpu, other.cpu)
    )


def _measure_once(case: Case) -> Measured:
    gc.collect()
    before, wall, cpu = case.counter.requests, time.perf_counter(), time.process_time()
    for _ in range(case.times):
        rows = case.work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if len(rows) != case.rows:
        raise RuntimeError(f"{case.group}, {case.way}: {len(rows)} rows, not {case.rows}")
    made = -((before - case.counter.requests) // case.times)
    return Measured(case, made, wall / case.times, cpu / case.times / case.messages)
