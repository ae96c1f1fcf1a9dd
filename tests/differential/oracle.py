"""One query on both sides, and what differs between the answers."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import apsw

from messages_dbapi.cursor import Cursor
from messages_dbapi.errors import Error, ProgrammingError
from messages_dbapi.sql import analyse

from ..service import Seen
from .query import (
    STARS,
    TIMES,
    Names,
    Select,
    Sql,
    Star,
    Value,
    Writer,
    is_listing,
    literal,
    names_of,
    settles_ties,
    sort_keys,
)
from .world import THREADS, World

Row = tuple[Any, ...]
Fetch = Callable[[Cursor], list[Row]]


@dataclass(frozen=True)
class Verdict:
    """How strictly a query was compared, and what was wrong: a kind of problem and a text."""

    strictness: str
    problem: str | None = None
    detail: str = ""


def fetch_all(cursor: Cursor) -> list[Row]:
    """Fetch an answer in one go."""
    return cursor.fetchall()


def _with_texts(rows: Sequence[Row]) -> list[Row]:
    """Give times as SQLite has them."""
    return [tuple(str(value) if isinstance(value, datetime) else value for value in row) for row in rows]


def text_of(select: Select) -> Sql:
    """Write a query as the driver is given it."""
    return Writer(oracle=False).write(select)


def compare(world: World, mode: str, select: Select, fetch: Fetch = fetch_all) -> Verdict:
    """Run a query on both sides; ``mode`` names the connection."""
    names = names_of(select)
    expected = expected_rows(world, mode, select)
    world.service.seen.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cursor = world.connections[mode].cursor()
        try:
            sql = text_of(select)
            rows = fetch(cursor.execute(sql.text, sql.values))
        except Error as error:
            return judge_error(world, mode, select, names, expected, error)
        finally:
            cursor.close()
            world.settle(cursor)
            requests = cursor.stats.requests
    if isinstance(expected, apsw.Error):
        return Verdict("refused", "accepted what SQLite refuses", str(expected))
    problem = judge_requests(world, mode, select, requests)
    if problem:
        return Verdict("requests", "requests", problem)
    return judge_rows(select, rows, expected)


def judge_error(
    world: World, mode: str, select: Select, names: Names, expected: list[Row] | apsw.Error, error: Error
) -> Verdict:
    """Tell whether the driver may refuse a query."""
    if isinstance(expected, apsw.Error):
        return Verdict("refused")
    unnamed = isinstance(error, ProgrammingError) and "names no thread_id" in str(error)
    if unnamed and mode == "error" and (names.open or names.unsure):
        return Verdict("unnamed")
    # SQLite does not show the table what such a text names: a refusal, never other rows.
    if isinstance(error, ProgrammingError) and mode != "scan" and analyse(text_of(select).text).hides_threads:
        return Verdict("hidden")
    return Verdict("error", f"{type(error).__name__}", str(error))


def judge_requests(world: World, mode: str, select: Select, counted: int) -> str | None:
    """Tell whether the log differs from the count, or the same was asked for again and again.

    A listing may be begun, and a row be read, a few times for each reference, however many rows are joined: branches
    of an OR and references with other columns read anew. Single rows of a thread are few before its listing is read.
    """
    seen = world.service.seen
    if len(seen) != counted:
        return f"cursor.stats counts {counted} requests, the service {len(seen)}"
    names = names_of(select)
    most = 3 * (names.references + names.threads) + 1
    begun = Counter(_begun(request) for request in seen)
    often = [f"{found} {count} times" for found, count in begun.items() if count > most]
    size = world.connections[mode].options.page_size
    singles = Counter(request.path.rsplit("/", 1)[0] for request in seen if _is_single(request))
    for thread, count in singles.items():
        pages = len(world.ids.get(thread.split("/")[3] if thread.count("/") > 3 else "", THREADS)) // size + 1
        if count > most * (_SINGLES + 2 * pages):
            often.append(f"{count} single rows of {thread}")
    return "; ".join(often) or None


# So many rows of a thread are read one by one before its listing is read beside.
_SINGLES = 8


def _is_single(request: Seen) -> bool:
    return not request.path.endswith(("/messages", "/threads"))


def _begun(request: Seen) -> tuple[str, ...]:
    return (request.path, *(f"{name}={value}" for name, value in request.query.items() if name != "limit"))


def expected_rows(world: World, mode: str, select: Select) -> list[Row] | apsw.Error:
    """Ask the oracle: all rows in order, without the last LIMIT, their sort keys as last columns."""
    sql = Writer(oracle=True, scoped=mode == "scoped").write(select)
    try:
        return world.oracle.execute(sql.text, sql.values).fetchall()
    except apsw.Error as error:
        return error


def judge_rows(select: Select, rows: Sequence[Row], expected: Sequence[Row]) -> Verdict:
    """Compare an answer with the oracle's: group by group of rows that may change places."""
    rows = _with_texts(rows)
    start, stop = _window(select, len(expected))
    tied = 0
    appended = len(sort_keys(select))
    wanted = [row[: len(row) - appended] if appended else row for row in expected]
    if len(rows) != stop - start:
        return Verdict("count", "row count", _difference(rows, wanted[start:stop]))
    strictness = "list"
    for first, last in _groups(select, expected):
        low, high = max(first, start), min(last, stop)
        if low >= high:
            continue
        given, possible = (
            Counter(map(_typed, rows[low - start : high - start])),
            Counter(map(_typed, wanted[first:last])),
        )
        if given - possible:
            return Verdict("rows", "rows", _difference(rows, wanted[start:stop]))
        tied += len(possible) > 1
        if len(possible) > 1 and high - low < last - first:
            strictness = "window"
    strictness = "window" if strictness == "window" else ("groups" if tied else "list")
    problem = _thread_order(select, rows, expected)
    return Verdict(strictness, "order within a thread" if problem else None, problem or "")


def _typed(row: Row) -> Row:
    # 1 and 1.0 and True are equal in Python, and different answers.
    return tuple((type(value).__name__, value) for value in row)


def _window(select: Select, count: int) -> tuple[int, int]:
    offset = max(0, _number(select.offset, 0))
    limit = _number(select.limit, -1)
    start = min(count, offset)
    return start, count if limit < 0 else min(count, start + limit)


def _number(value: Value | None, default: int) -> int:
    return default if value is None else int(value.value)


def _groups(select: Select, rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Give the places from and to which rows may be in any order."""
    numbers = [key.number - 1 for key in select.order if key.number is not None]
    appended = len(sort_keys(select))

    def key(place: int) -> Row:
        row = rows[place]
        return (*(row[number] for number in numbers), *row[len(row) - appended :])

    if not numbers and not appended:
        return [(0, len(rows))]
    groups = []
    for _, places in itertools.groupby(range(len(rows)), key):
        found = list(places)
        groups.append((found[0], found[-1] + 1))
    return groups


def _thread_order(select: Select, rows: Sequence[Row], expected: Sequence[Row]) -> str | None:
    """Tell whether rows of one thread come oldest first, or as ORDER BY of the time wants, ties like the service's."""
    if not isinstance(select.columns[0], Star) or not is_listing(select) or settles_ties(select):
        return None
    # The oracle's table is in the service's order, thread by thread; its sort is stable.
    order: dict[Row, int] = {}
    descending = bool(select.order) and "DESC" in select.order[0].suffix
    table = str(select.sources[0].table)
    thread, key, time = (STARS[table].index(name) for name in ("thread_id", "id", TIMES[table]))
    plain = sorted(expected, key=lambda row: (row[thread], row[time]))
    for place, row in enumerate(plain):
        order[row[key], row[thread]] = -place if descending else place
    last: dict[str, int] = {}
    for row in rows:
        place = order[row[key], row[thread]]
        if place < last.get(row[thread], -(10**9)):
            return f"{row[key]} of thread {row[thread]} is out of order"
        last[row[thread]] = place
    return None


def _difference(rows: Sequence[Row], expected: Sequence[Row]) -> str:
    given, wanted = Counter(map(_typed, rows)), Counter(map(_typed, expected))
    extra = [tuple(value for _, value in row) for row in (given - wanted).elements()][:3]
    lacking = [tuple(value for _, value in row) for row in (wanted - given).elements()][:3]
    return f"{len(rows)} rows, expected {len(expected)}; too many: {extra}; lacking: {lacking}"


def shown(select: Select) -> str:
    """Write a query with its values in place, to be read by a person."""
    sql = text_of(select)
    parts = sql.text.split("?")
    values = [f"/*json*/{value!r}" if isinstance(value, list) else literal(value) for value in sql.values]
    return "".join(
        part + value for part, value in itertools.zip_longest(parts, [f"⟦{v}⟧" for v in values], fillvalue="")
    )
