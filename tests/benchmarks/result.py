"""All that one run has measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .measure import Measured
from .memory import Grown
from .shapes import Shape


class Point(NamedTuple):
    """Wall seconds of reading a thread of some length."""

    way: str
    length: int
    wall: float


class Result(NamedTuple):
    """Facts of the run, the cases, the shapes, memory and CPU of fresh processes, and the points of the plot."""

    facts: Mapping[str, str | int]
    measured: Sequence[Measured]
    shapes: Sequence[Shape]
    memory: Mapping[str, Grown]
    cold: Mapping[str, float]
    points: Sequence[Point]

    def of(self, group: str, way: str) -> Measured:
        """Give the measure of a case."""
        return next(one for one in self.measured if (one.case.group, one.case.way) == (group, way))
