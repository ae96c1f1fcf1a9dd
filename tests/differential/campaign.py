"""Many random queries, one world after the other: counted, and those that fail made smaller."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from .generator import Generator
from .oracle import Verdict, compare, shown
from .query import Select, names_of, smaller
from .world import World

QUERIES_PER_WORLD = 150
_CHANGES = 0.03
_TRIES = 400


class Failure(NamedTuple):
    """A query with a wrong answer, made smaller."""

    seed: int
    number: int
    mode: str
    problem: str
    detail: str
    sql: str
    page_size: int

    def __str__(self) -> str:
        where = f"--seed {self.seed} --only {self.number}"
        return f"{self.problem} ({self.mode}, page size {self.page_size}; {where}): {self.detail}\n    {self.sql}"


class Campaign:
    """Run queries from one seed; ``strictness`` counts how they were compared."""

    def __init__(
        self,
        seed: int,
        page_size: int | None = None,
        *,
        wide: bool = False,
        progress: bool = False,
        count_only: bool = False,
    ) -> None:
        self._seed = seed
        self._page_size = page_size
        self._wide = wide
        self._progress = progress
        self._count_only = count_only
        self.strictness: Counter[str] = Counter()
        self.failures: list[Failure] = []
        self.wrong = 0
        self.queries = 0
        self._began = time.monotonic()

    def run(self, count: int, stop_after: int = 20) -> None:
        """Run so many queries, fewer where too many fail; those that fail are counted, or made smaller and kept."""
        for first in range(0, count, QUERIES_PER_WORLD):
            self._run_world(first, range(first, min(count, first + QUERIES_PER_WORLD)))
            if self._progress and (first // QUERIES_PER_WORLD) % 20 == 19:
                print(f"{self.report(brief=True)}", file=sys.stderr, flush=True)  # noqa: T201  # progress
            if len(self.failures) >= stop_after:
                return

    def replay(self, number: int) -> None:
        """Run one query again, after what was changed before it."""
        first = number - number % QUERIES_PER_WORLD
        self._run_world(first, range(number, number + 1))

    def _run_world(self, first: int, numbers: range) -> None:
        world = World(self._seed * 1_000_003 + first, self._page_size, self._wide)
        try:
            for number in range(first, numbers.stop):
                if number > first and Random(f"{self._seed} change {number}").random() < _CHANGES:
                    world.change()
                if number in numbers:
                    self._run_query(world, number)
        finally:
            world.close()

    def _run_query(self, world: World, number: int) -> None:
        mode, select = chosen(world, self._seed, number)
        verdict = compare(world, mode, select)
        self.queries += 1
        self.strictness[verdict.strictness] += 1
        if verdict.problem is not None:
            self.wrong += 1
            if not self._count_only:
                self._fail(world, number, mode, select, verdict)

    def _fail(self, world: World, number: int, mode: str, select: Select, verdict: Verdict) -> None:
        select, verdict = minimised(world, mode, select, verdict)
        size = world.connections[mode].options.page_size
        problem, detail = verdict.problem or "", verdict.detail
        failure = Failure(self._seed, number, mode, problem, detail, shown(select), size)
        self.failures.append(failure)
        if self._progress:
            print(failure, flush=True)  # noqa: T201  # a command's output

    def report(self, *, brief: bool = False) -> str:
        """Say what was run, how strictly it was compared, and what failed."""
        seconds = time.monotonic() - self._began
        counts = ", ".join(f"{name} {count}" for name, count in self.strictness.most_common())
        text = f"{self.queries} queries in {seconds:.0f} s, {self.wrong} wrong; compared: {counts}"
        return text if brief or self._progress else "\n".join([text, *map(str, self.failures)])


def chosen(world: World, seed: int, number: int) -> tuple[str, Select]:
    """Make the query of a number, and choose the connection it runs on."""
    random = Random(f"{seed} query {number}")
    mode = random.choice(("error", "scan", "scoped"))
    generator = Generator(random, world.ids)
    for _ in range(50):
        select = generator.query()
        names = names_of(select)
        if mode != "scoped" or not (names.unsure or names.pushed):
            return mode, select
    return "scan", select


def minimised(world: World, mode: str, select: Select, verdict: Verdict) -> tuple[Select, Verdict]:
    """Take things out of a query as long as it fails in the same way."""
    tries = 0
    found = True
    while found and tries < _TRIES:
        found = False
        for candidate in _candidates(select, mode):
            tries += 1
            again = compare(world, mode, candidate)
            if again.problem == verdict.problem:
                select, verdict, found = candidate, again, True
                break
            if tries >= _TRIES:
                break
    return select, verdict


def _candidates(select: Select, mode: str) -> Iterator[Select]:
    for candidate in smaller(select):
        names = names_of(candidate)
        if (
            isinstance(candidate, Select)
            and candidate.columns
            and not (mode == "scoped" and names.unsure + names.pushed)
        ):
            yield candidate
