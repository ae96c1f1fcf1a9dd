"""The SQL functions beside SQLite's own: regular expressions, split_part, and comparing and reading JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache

import apsw

from .errors import DataError, NotSupportedError
from .types import LONGEST_VALUE, SQLValue

Function = Callable[..., SQLValue]

_LONGEST_PATTERN = 10_000
# Python's words for what is no pattern or template, of which FutureWarning only where it is made an error.
_NO_PATTERN = (re.error, IndexError, ValueError, OverflowError, RecursionError, FutureWarning)


def _pattern(value: SQLValue) -> re.Pattern[str]:
    pattern = _text(value)
    if len(pattern) > _LONGEST_PATTERN:
        raise DataError(
            f"a regular expression of {len(pattern):,} characters; it may have at most {_LONGEST_PATTERN:,}"
        )
    return _compiled(pattern)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except _NO_PATTERN as error:
        raise DataError(f"{pattern[:100]!r} is not a regular expression: {str(error)[:200]}") from error


def _text(value: SQLValue) -> str:
    """Give a value as text; the bytes of a BLOB are UTF-8, as for SQLite."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _search(text: SQLValue, pattern: SQLValue) -> re.Match[str] | None:
    return _pattern(pattern).search(_text(text))


def regexp_like(text: SQLValue, pattern: SQLValue) -> SQLValue:
    """Tell whether the pattern occurs in the text; NULL where either is."""
    if text is None or pattern is None:
        return None
    return int(_search(text, pattern) is not None)


def regexp(pattern: SQLValue, text: SQLValue) -> SQLValue:
    """Be SQL's ``text REGEXP pattern``, which SQLite calls with the pattern first."""
    return regexp_like(text, pattern)


def regexp_substr(text: SQLValue, pattern: SQLValue) -> SQLValue:
    """Give the first part of the text that the pattern matches, or NULL."""
    if text is None or pattern is None:
        return None
    match = _search(text, pattern)
    return None if match is None else match[0]


def regexp_replace(text: SQLValue, pattern: SQLValue, replacement: SQLValue) -> SQLValue:
    r"""Replace every part that the pattern matches; ``$1`` and ``\1`` stand for its groups."""
    if text is None or pattern is None or replacement is None:
        return None
    compiled, template = _pattern(pattern), re.sub(r"\$(\d+)", r"\\g<\1>", _text(replacement))
    try:
        return _substituted(compiled, template, _text(text))
    except _NO_PATTERN as error:
        raise DataError(
            f"{_text(replacement)[:100]!r} does not fit the pattern {compiled.pattern[:100]!r}: {str(error)[:200]}"
        ) from error


def _substituted(pattern: re.Pattern[str], template: str, text: str) -> str:
    escapes = template.count("\\")
    if (len(text) + 1) * (len(template) + escapes * len(text)) > LONGEST_VALUE:
        _check_growth(pattern, len(template), escapes, text)
    return pattern.sub(template, text)


def _check_growth(pattern: re.Pattern[str], length: int, escapes: int, text: str) -> None:
    """Refuse what may give more than a value can hold: Python would fill the memory with it."""
    size = len(text)
    for match in pattern.finditer(text):
        size += length + escapes * max(len(group or "") for group in (match[0], *match.groups()))
        if size > LONGEST_VALUE:
            raise DataError(f"regexp_replace may give more than the {LONGEST_VALUE:,} characters of a value")


def split_part(text: SQLValue, separator: SQLValue, n: SQLValue) -> SQLValue:
    """Give the nth part between separators, from 1, or from the end where n is negative; '' beyond."""
    if text is None or separator is None or n is None:
        return None
    if not isinstance(n, int) or n == 0:
        raise DataError(f"split_part counts from 1, or from -1 at the end, not {n!r}")
    whole, mark = _text(text), _text(separator)
    parts = whole.split(mark) if mark else [whole]
    place = n - 1 if n > 0 else n
    return parts[place] if -len(parts) <= place < len(parts) else ""


def json_equal(a: SQLValue, b: SQLValue) -> SQLValue:
    """Tell whether two JSON texts mean the same, whatever the order of their keys; NULL where either is."""
    if a is None or b is None:
        return None
    return int(_json(a) == _json(b))


def _json(value: SQLValue) -> object:
    try:
        return _typed(json.loads(_text(value)))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{_text(value)[:100]!r} is not JSON") from error


def _typed(value: object) -> object:
    """Keep true apart from 1, which Python takes for equal."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return ("boolean", value) if isinstance(value, bool) else value


def sqlite_log(*_: SQLValue) -> SQLValue:
    """Stand in the place of SQLite's own, which writes into a log of the whole process.

    The authorizer alone would not do: SQLite does not ask it about the DEFAULT of a column.
    """
    raise NotSupportedError("the function sqlite_log is not available")


_FUNCTIONS: dict[str, tuple[Function, int]] = {
    "regexp": (regexp, 2),
    "regexp_like": (regexp_like, 2),
    "regexp_substr": (regexp_substr, 2),
    "regexp_replace": (regexp_replace, 3),
    "split_part": (split_part, 3),
    "json_equal": (json_equal, 2),
}


def register(connection: apsw.Connection) -> None:
    """Make the functions known to a connection, also to the views of its files."""

    def json_extract_scalar(*arguments: SQLValue) -> SQLValue:
        """Be ``document ->> path``, under the name that some BI tools write."""
        value: SQLValue = connection.execute("SELECT ? ->> ?", arguments).get
        return value

    for name, (function, arity) in {**_FUNCTIONS, "json_extract_scalar": (json_extract_scalar, 2)}.items():
        connection.create_scalar_function(name, function, arity, deterministic=True, flags=apsw.SQLITE_INNOCUOUS)
    connection.create_scalar_function("sqlite_log", sqlite_log, 2, flags=apsw.SQLITE_DIRECTONLY)
