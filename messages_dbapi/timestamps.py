"""Points in time as timestamps: texts such as 2023-11-14 22:13:20 in UTC, and the seconds that texts lie between.

The order of such texts is the order of time, as long as years have four digits.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1)  # without a zone, as the texts are
# Unix seconds of the years 0001 to 9999.
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799
_SECONDS = range(EARLIEST, LATEST + 1)
_LENGTH = len("2023-11-14 22:13:20")


def timestamp(seconds: int) -> str:
    """Write Unix seconds as SQLite's ``datetime(…, 'unixepoch')`` does.

    Raise OverflowError outside of the years 0001 to 9999.
    """
    return str(_EPOCH + timedelta(seconds=seconds))


def moment(value: Any) -> Any:
    """Read a timestamp as a ``datetime`` in UTC without a zone; give any other value as it is."""
    if not isinstance(value, str) or len(value) != _LENGTH or value[7:11:3] != "- ":
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return value


def first_from(text: str) -> int:
    """Give the first second whose timestamp does not sort before a text; LATEST + 1 where none is so late.

    Texts are compared code point by code point, which is the order of their UTF-8 bytes.
    """
    return EARLIEST + bisect_left(_SECONDS, text, key=timestamp)


def first_after(text: str) -> int:
    """Give the first second whose timestamp sorts after a text; LATEST + 1 where none is so late."""
    return EARLIEST + bisect_right(_SECONDS, text, key=timestamp)
