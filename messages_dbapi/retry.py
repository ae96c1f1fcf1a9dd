"""When a request is tried again and after how long: decisions only, no clock, no chance, no network."""

from __future__ import annotations

import email.utils
import math
from collections.abc import Mapping
from typing import NamedTuple

# Seconds that a service may ask to wait where the statement has no deadline.
LONGEST_WAIT = 120.0

_FIRST_WAIT = 0.5
_LAST_WAIT = 8.0


class Plan(NamedTuple):
    """What to do after a failed try: wait so many seconds and try again, or (None) give up, and why."""

    wait: float | None
    why: str = ""


def worth_trying(*, transient: bool, applied: bool, advised: bool | None, once: bool) -> bool:
    """Tell whether a request may be sent again.

    A request that may be sent ``once`` only is sent again where the first try was surely not applied;
    the service's advice is followed for the others alone, since it cannot know what was applied.
    """
    if once:
        return transient and not applied
    return transient if advised is None else advised


def plan_wait(*, asked: float | None, tries: int, most: int, remaining: float | None, chance: float) -> Plan:
    """Plan the next of at most ``most`` tries, ``tries`` being made, with ``remaining`` seconds to the deadline."""
    if tries >= most:
        return Plan(None, f"{tries} tries were made." if tries > 1 else "")
    if asked is not None and asked > (LONGEST_WAIT if remaining is None else remaining):
        limit = f"the {LONGEST_WAIT:g} seconds that are waited" if remaining is None else "its deadline allows"
        return Plan(None, f"The service asked to wait {asked:g} seconds, longer than {limit}.")
    wait = asked or backoff(tries, chance)
    if remaining is not None and wait >= remaining:
        return Plan(None, f"The deadline leaves no time to try again after {_count(tries)}.")
    return Plan(wait)


def _count(tries: int) -> str:
    return "the first try" if tries == 1 else f"{tries} tries"


def backoff(tries: int, chance: float) -> float:
    """Give the seconds to wait after so many tries: 0.5, 1, 2 … 8, less up to half of that by ``chance``, 0 to 1."""
    return min(_LAST_WAIT, _FIRST_WAIT * 2.0 ** min(tries - 1, 10)) * (1 - chance / 2)


def asked_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Read how many seconds the service asked to wait, or None; ``now`` serves where it sent no Date."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None:
        return seconds
    until = read_date(text)
    if until is None:
        return None
    sent = read_date(headers.get("date"))
    return max(0.0, until - (now if sent is None else sent))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def read_date(text: str | None) -> float | None:
    """Read a date of HTTP as Unix seconds."""
    try:
        parts = email.utils.parsedate_tz(text or "")
        return None if parts is None else float(email.utils.mktime_tz((*parts[:9], parts[9] or 0)))
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
