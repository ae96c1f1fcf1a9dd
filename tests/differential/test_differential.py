"""Random queries answer like a plain SQLite table with the same rows; so do several that are fetched in turns."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

import apsw
import pytest

from messages_dbapi.cursor import Cursor
from messages_dbapi.errors import Error
from messages_dbapi.types import SQLValue

from .campaign import Campaign, chosen
from .generator import BAD
from .mutants import MUTANTS, Mutant, changed, source_of
from .oracle import Row, expected_rows, judge_rows, shown, text_of
from .query import Select
from .world import BASE, World

# Three of them are like others, and take as long.
OPERATORS = ["=", "<", ">=", *(pytest.param(operator, marks=pytest.mark.long) for operator in ("<=", ">", "IS"))]


@pytest.fixture
def world() -> Iterator[World]:
    """Give one random content."""
    world = World(1)
    yield world
    world.close()


@pytest.mark.parametrize("seed", [101, 102, *(pytest.param(seed, marks=pytest.mark.long) for seed in (103, 104))])
def test_random_queries_answer_like_a_plain_table(seed: int) -> None:
    campaign = Campaign(seed)
    campaign.run(600)
    assert not campaign.failures, campaign.report()
    strict = campaign.strictness["list"] + campaign.strictness["groups"]
    assert campaign.queries == 600
    assert strict >= 0.85 * campaign.queries, campaign.report()
    assert campaign.strictness["unnamed"] <= 0.08 * campaign.queries, campaign.report()
    assert campaign.strictness["hidden"] <= 0.01 * campaign.queries, campaign.report()


@pytest.mark.parametrize("page_size", [1, 2, 10])
def test_a_page_size_changes_no_answer(page_size: int) -> None:
    campaign = Campaign(200 + page_size, page_size)
    campaign.run(150)
    assert not campaign.failures, campaign.report()


@pytest.mark.parametrize("page_size", [1, 2, 5])
def test_side_by_side_answers_are_the_same(page_size: int, many: Callable[[int, int], int]) -> None:
    """Over a socket, with eight requests in flight that are answered after random moments."""
    campaign = Campaign(300 + page_size, page_size, wide=True)
    campaign.run(many(150, 6_000))
    assert not campaign.failures, campaign.report()


@pytest.mark.parametrize("sql", BAD)
def test_what_sqlite_refuses_is_refused(world: World, sql: str) -> None:
    with pytest.raises(apsw.Error):
        world.oracle.execute(sql).fetchall()
    for connection in world.connections.values():
        with pytest.raises(Error):
            connection.execute(sql).fetchall()


class _Fetching(NamedTuple):
    select: Select
    cursor: Cursor
    rows: list[Row]
    expected: list[Row]


@pytest.mark.parametrize("seed", range(20))
def test_cursors_fetched_in_turns_do_not_disturb_each_other(world: World, seed: int) -> None:
    random = Random(seed)
    mode = random.choice(("scan", "scoped"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = [_start(world, mode, number) for number in range(seed * 1000, seed * 1000 + 30)]
        fetching = [one for one in started if one is not None]
        under_way = list(fetching)
        while under_way:
            one = random.choice(under_way)
            if not _fetch_some(one, random):
                under_way.remove(one)
    for one in fetching:
        verdict = judge_rows(one.select, one.rows, one.expected)
        assert verdict.problem is None, f"{verdict}: {shown(one.select)}"
    assert len(fetching) >= 3


def _start(world: World, mode: str, number: int) -> _Fetching | None:
    wanted, select = chosen(world, 1, number)
    expected = expected_rows(world, mode, select)
    if wanted != mode or isinstance(expected, apsw.Error):
        return None
    sql = text_of(select)
    return _Fetching(select, world.connections[mode].execute(sql.text, sql.values), [], expected)


def _fetch_some(one: _Fetching, random: Random) -> bool:
    """Fetch a few rows; tell whether there were any."""
    if random.random() < 0.5:
        row = one.cursor.fetchone()
        found = [] if row is None else [row]
    else:
        found = one.cursor.fetchmany(random.randint(1, 7))
    one.rows.extend(found)
    assert one.cursor.rownumber == len(one.rows)
    return bool(found)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_time_compares_with_any_value_like_a_column_of_integers(world: World, operator: str) -> None:
    random = Random(operator)
    sql = f"SELECT id FROM messages WHERE thread_id IN ('old', 'thread_a') AND created_at {operator} ?"
    for _ in range(250):
        value = _number_like(random)
        wanted = world.oracle.execute(sql, (value,)).fetchall()
        found = world.connections["error"].execute(sql, (value,)).fetchall()
        assert sorted(found) == sorted(wanted), f"{operator} {value!r}"


def _number_like(random: Random) -> str | float:
    """Make a text that looks like a number, or nearly so, or a number at the edge of what SQLite holds."""
    kind = random.random()
    if kind < 0.6:
        return "".join(random.choice("012345+-.eE \t\n\0_xA") for _ in range(random.randint(0, 5)))
    if kind < 0.8:
        edge = random.choice((str(BASE + 3), "9223372036854775808", "-9223372036854775809", "1.7e9", "٣", "9" * 5000))
        return edge + random.choice(("", " ", "\0", "\x000", ".0", "e0", ".5", "x"))
    return random.choice((BASE + 2.5, BASE + 3.0, 2.0**63, -(2.0**63), float("inf"), 5e-324, 2**63 - 1, -0.0, 3))


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_timestamp_compares_with_any_value_like_a_column_of_texts(world: World, operator: str) -> None:
    random = Random(operator)
    sql = f"SELECT id FROM transcript WHERE thread_id IN ('old', 'thread_a') AND created {operator} "
    stored = [str(text) for (text,) in world.oracle.execute("SELECT DISTINCT created FROM transcript")]
    for _ in range(250):
        value = _timestamp_like(random, stored)
        for side in ("?", "CAST(? AS NUMERIC)", "CAST(? AS TEXT)", "(SELECT x FROM (SELECT ? AS x))"):
            wanted = world.oracle.execute(sql + side, (value,)).fetchall()
            found = world.connections["error"].execute(sql + side, (value,)).fetchall()
            assert sorted(found) == sorted(wanted), f"{operator} {side} of {value!r}"


def _timestamp_like(random: Random, stored: list[str]) -> SQLValue:
    """Make a text that is one of the times or nearly so, or something that is no text."""
    text = random.choice(stored)
    place = random.randint(0, len(text))
    other = random.choice("0123456789-: T/;.\0aé🍚")
    texts = (text, text[:place], text[:place] + other + text[place + 1 :], text + other, other, "")
    others = (None, 5, 1970, 2023.5, BASE + 2, -1, 1e300, float("-inf"), text.encode(), b"")
    return random.choice(texts if random.random() < 0.7 else others)


@pytest.mark.parametrize("number", [5, 2000])
@pytest.mark.parametrize("side", ["?", "'{}'", "{}", "CAST('{}' AS INTEGER)", "i", "t", "x"])
@pytest.mark.parametrize("order", ["created, id", "created", "created DESC"])
def test_a_limit_counts_what_is_compared_with_numbers(world: World, number: int, side: str, order: str) -> None:
    """By the affinity of the other side, 2023-… > 5 holds or does not, and 2000 is among the times or below."""
    side = side.format(number)
    numbers = f"(SELECT CAST({number} AS INTEGER) AS i, CAST({number} AS TEXT) AS t, {number} AS x) CROSS JOIN" * (
        side in "itx"
    )
    for operator, limit in itertools.product(
        (">", "<", ">=", "<="), ("LIMIT 2", "LIMIT 2 OFFSET 1", "LIMIT -1 OFFSET 1")
    ):
        sql = (
            f"SELECT created FROM {numbers} transcript WHERE thread_id IN ('old', 'thread_a') "
            f"AND created {operator} {side} ORDER BY {order} {limit}"
        )
        values = (number,) if side == "?" else ()
        wanted = world.oracle.execute(sql, values).fetchall()
        given = world.connections["error"].execute(sql, values).fetchall()
        assert [(str(created),) for (created,) in given] == wanted, sql


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_the_bugs_to_plant_keep_up_with_the_driver(mutant: Mutant) -> None:
    text = source_of(mutant).read_text(encoding="utf-8")
    assert changed(mutant, text) != text
