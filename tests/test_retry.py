"""When a request is tried again, and after how long."""

from __future__ import annotations

import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages_dbapi.retry import LONGEST_WAIT, asked_wait, backoff, plan_wait, read_date, worth_trying

seconds = st.floats(0, 1e6)
chances = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 200), chances)
def test_backoff_doubles_up_to_eight_seconds_and_takes_off_half_at_most(tries: int, chance: float) -> None:
    whole = min(8.0, 0.5 * 2.0 ** (tries - 1))
    assert whole / 2 <= backoff(tries, chance) <= whole
    assert backoff(tries, 0) == whole


@given(st.booleans(), st.booleans(), st.sampled_from([None, True, False]))
def test_what_is_sent_once_is_repeated_only_where_nothing_was_applied(
    transient: bool, applied: bool, advised: bool | None
) -> None:
    again = worth_trying(transient=transient, applied=applied, advised=advised, once=True)
    assert again == (transient and not applied)
    advice = worth_trying(transient=transient, applied=applied, advised=advised, once=False)
    assert advice == (transient if advised is None else advised)


@given(st.none() | seconds, st.integers(1, 10), st.integers(1, 10), st.none() | seconds, chances)
def test_a_planned_wait_keeps_every_bound(
    asked: float | None, tries: int, most: int, remaining: float | None, chance: float
) -> None:
    plan = plan_wait(asked=asked, tries=tries, most=most, remaining=remaining, chance=chance)
    if plan.wait is None:
        assert plan.why or tries == 1
        return
    assert tries < most
    assert plan.wait >= (asked or 0)
    assert plan.wait > 0
    assert plan.wait <= LONGEST_WAIT if remaining is None else plan.wait < remaining


def test_a_service_that_asks_for_too_long_is_not_waited_for() -> None:
    plan = plan_wait(asked=121, tries=1, most=9, remaining=None, chance=0)
    assert plan.wait is None
    assert "121 seconds" in plan.why
    assert plan_wait(asked=120, tries=1, most=9, remaining=None, chance=0).wait == 120
    assert plan_wait(asked=3600, tries=1, most=9, remaining=4000, chance=0).wait == 3600


DATE = "Sat, 21 Nov 2026 22:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": " 3 "}, 3),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "Sat, 21 Nov 2026 22:00:30 GMT", "date": DATE}, 30),
        ({"retry-after": "Sat, 21 Nov 2026 21:00:00 GMT", "date": DATE}, 0),
        ({"retry-after": "Saturday, 21-Nov-26 22:00:30 GMT", "date": DATE}, 30),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_how_long_the_service_asked_to_wait(headers: dict[str, str], expected: float | None) -> None:
    assert asked_wait(headers, now=0) == expected


@given(st.integers(0, 4_000_000_000), st.integers(0, 1_000_000), st.integers(-10_000, 10_000))
def test_a_date_is_counted_from_the_services_own_clock(then: int, later: int, wrong: int) -> None:
    stamp = email.utils.formatdate(then + later, usegmt=True)
    assert asked_wait({"retry-after": stamp, "date": email.utils.formatdate(then, usegmt=True)}, then + wrong) == later
    assert asked_wait({"retry-after": stamp}, then) == later


@given(st.none() | st.text())
def test_any_text_is_a_date_or_none(text: str | None) -> None:
    assert isinstance(read_date(text), float | None)
    assert isinstance(asked_wait({"retry-after": text or ""}, 0), float | None)
