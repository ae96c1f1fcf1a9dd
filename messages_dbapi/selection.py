"""A plan with the values of its terms: which scopes it names, and what to select in them.

Values are compared as SQLite would: the affinity of the column is applied to them, text that is no number
sorts above every number, and NULL meets nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import apsw

from .errors import DataError, NotSupportedError
from .plan import EQUAL, LIMIT, OFFSET, Plan, Term, misuse_of
from .resources import PAGE_SIZE, Resource
from .scan import Selection
from .timestamps import EARLIEST, LATEST, first_after, first_from
from .types import SQLValue


class Values(NamedTuple):
    """A plan with its values: the scopes it names (None: it names none), what to select, the parameters."""

    scopes: list[str] | None
    selection: Selection
    parameters: dict[str, SQLValue]


class _Nothing(Exception):  # noqa: N818  # not an error: a term that no row can meet
    pass


AsText = Callable[[float], str]


def bind(
    resource: Resource, plan: Plan, arguments: Iterable[object], position: dict[str, int], as_text: AsText
) -> Values | None:
    """Turn a plan and the values of its terms into what to select; None where no row can meet it.

    ``as_text`` writes a float as SQLite does. Raise DataError for a parameter of the listing with a bad
    value, NotSupportedError for a misused one.
    """
    if plan.misuse:
        raise NotSupportedError(plan.misuse)
    try:
        return _Binding(resource, plan, position, as_text).values(list(arguments))
    except _Nothing:
        return None


class _Binding:
    def __init__(self, resource: Resource, plan: Plan, position: dict[str, int], as_text: AsText) -> None:
        self._resource = resource
        self._plan = plan
        self._position = position
        self._as_text = as_text
        self._scopes: set[str] | None = None
        self._keys: set[str] | None = None
        self._low: int | None = None
        self._high: int | None = None
        self._equals: list[tuple[int, frozenset[SQLValue]]] = []
        self._filters: list[tuple[str, str]] = []
        self._parameters: dict[str, SQLValue] = {}
        self._skip = 0
        self._wanted: int | None = None
        # SQLite may drop rows that the terms select: then it counts to LIMIT alone.
        self._is_sure = True

    def values(self, arguments: list[object]) -> Values:
        for term, argument in zip(self._plan.terms, arguments, strict=True):
            self._apply(term, argument)
        if self._low is not None and self._high is not None and self._low > self._high:
            raise _Nothing
        scopes = None if self._scopes is None else sorted(self._scopes)
        return Values(scopes, self._selection(), self._parameters)

    def _apply(self, term: Term, argument: object) -> None:
        name = term.column
        values = list(_values(argument))
        if term.operator == LIMIT:
            self._wanted = _count(values[0])
        elif term.operator == OFFSET:
            self._skip = _count(values[0]) or 0
        elif name == self._resource.scope:
            self._scopes = _both(self._scopes, self._texts(values))
        elif name == self._resource.time:
            self._bound(term, values)
        elif name in self._resource.list_parameters:
            self._set_parameter(name, values)
        else:
            self._narrow(name, values)

    def _texts(self, values: list[SQLValue]) -> set[str]:
        """Give values as a column of text compares with them."""
        texts = {value for value in values if isinstance(value, str)}
        texts |= {str(value) for value in values if isinstance(value, int)}
        texts |= {self._as_text(value) for value in values if isinstance(value, float)}
        if not texts:
            raise _Nothing
        return texts

    def _narrow(self, name: str, values: list[SQLValue]) -> None:
        """Keep to text that was asked for; where another type was, SQLite alone decides."""
        if not all(isinstance(value, str) for value in values):
            return
        texts = frozenset(str(value) for value in values)
        if name in (self._resource.key, self._resource.key_parameter):
            self._keys = _both(self._keys, set(texts))
            return
        self._equals.append((self._position[name], frozenset(texts)))
        if name in self._resource.filters and len(texts) == 1:
            self._filters.append((name, next(iter(texts))))

    def _bound(self, term: Term, values: list[SQLValue]) -> None:
        bounds = [bounds for value in values if (bounds := self._bounds(term.operator, value)) is not None]
        low = min((low for low, _ in bounds), default=math.inf)
        high = max((high for _, high in bounds), default=-math.inf)
        if low == math.inf or high == -math.inf:
            raise _Nothing
        if low > -math.inf:
            self._low = max(int(low), self._low if self._low is not None else int(low))
        if high < math.inf:
            self._high = min(int(high), self._high if self._high is not None else int(high))

    def _bounds(self, operator: int, value: SQLValue) -> tuple[float, float] | None:
        if not self._resource.has_timestamps:
            return _bounds(operator, value)
        if isinstance(value, int | float) and operator not in EQUAL:
            self._is_sure = False
            return _number_bounds(operator, self._as_text(value) if isinstance(value, float) else str(value))
        return _timestamp_bounds(operator, value)

    def _set_parameter(self, name: str, values: list[SQLValue]) -> None:
        if len(values) != 1:
            raise NotSupportedError(misuse_of(name))
        value = _PARAMETER_CHECKS[name](name, values[0])
        if self._parameters.setdefault(name, value) != value:
            raise _Nothing

    def _selection(self) -> Selection:
        order_descending = self._parameters.get("order") == "desc"
        after, before, size = (self._parameters.get(name) for name in ("after", "before", "limit"))
        return Selection(
            keys=None if self._keys is None else frozenset(self._keys),
            low=self._low,
            high=self._high,
            equals=tuple(self._equals),
            filters=tuple(self._filters[:1]),
            after=str(after) if after is not None else None,
            before=str(before) if before is not None else None,
            cursor_descending=order_descending,
            descending=self._plan.descending if self._plan.ordered else order_descending,
            merged=self._plan.ordered,
            skip=self._skip,
            wanted=self._wanted if self._is_sure else None,
            page_size=int(size) if isinstance(size, int) else None,
        )


def _values(argument: object) -> Iterator[SQLValue]:
    if isinstance(argument, set | frozenset):
        yield from argument
    elif argument is None or isinstance(argument, int | float | str | bytes):
        yield argument


def _both(known: set[str] | None, further: set[str]) -> set[str]:
    both = further if known is None else known & further
    if not both:
        raise _Nothing
    return both


def _count(value: SQLValue) -> int | None:
    """Read a LIMIT or OFFSET: a negative one is none."""
    return value if isinstance(value, int) and value >= 0 else None


_NUMERIC_TEXT = re.compile(r"[ \t\n\v\f\r]*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[ \t\n\v\f\r]*", re.ASCII)


def _bounds(operator: int, value: SQLValue) -> tuple[float, float] | None:
    """Give the inclusive bounds that a comparison sets to an integer column; None where none can meet it.

    Text that is a number counts as that number, other text and blobs sort above every number.
    """
    number = _number(value)
    if number is None:
        return None
    if operator in EQUAL:
        return (number, number) if math.isfinite(number) and number == math.floor(number) else None
    if operator == apsw.SQLITE_INDEX_CONSTRAINT_GT:
        return (math.inf if number == math.inf else _floor(number) + 1, math.inf)
    if operator == apsw.SQLITE_INDEX_CONSTRAINT_GE:
        return (-_floor(-number), math.inf)
    if operator == apsw.SQLITE_INDEX_CONSTRAINT_LT:
        return (-math.inf, -math.inf if number == -math.inf else -_floor(-number) - 1)
    return (-math.inf, _floor(number))


_LOWER = (apsw.SQLITE_INDEX_CONSTRAINT_GT, apsw.SQLITE_INDEX_CONSTRAINT_GE)


def _timestamp_bounds(operator: int, value: SQLValue) -> tuple[float, float] | None:
    """Give the inclusive bounds, in seconds, that a comparison sets to a timestamp; None where none can meet it.

    It is one of texts, and a blob sorts above every text.
    """
    if isinstance(value, bytes):
        return (-math.inf, LATEST) if operator not in (*EQUAL, *_LOWER) else None
    if not isinstance(value, str):
        return None
    first, after = first_from(value), first_after(value)
    if operator in EQUAL:
        low, high = float(first), float(after - 1)
    elif operator in _LOWER:
        low, high = after if operator == apsw.SQLITE_INDEX_CONSTRAINT_GT else first, math.inf
    else:
        low, high = -math.inf, (after if operator == apsw.SQLITE_INDEX_CONSTRAINT_LE else first) - 1
    return (low, high) if low <= high and low <= LATEST and high >= EARLIEST else None


def _number_bounds(operator: int, text: str) -> tuple[float, float] | None:
    """Give bounds that a timestamp keeps to in either comparison with a number, given as its text.

    With a column of numbers it is one of numbers, and every text sorts above those; else one of texts.
    """
    return (EARLIEST, math.inf) if operator in _LOWER else _timestamp_bounds(operator, text)


def _floor(number: float) -> float:
    return math.floor(number) if math.isfinite(number) else number


def _number(value: SQLValue) -> float | None:
    if value is None or isinstance(value, int | float):
        return value
    # SQLite reads up to a NUL, and what it reads so is a float; so is an integer too wide for it.
    head, nul, _ = value.partition("\0") if isinstance(value, str) else ("", "", "")
    match = _NUMERIC_TEXT.fullmatch(head)
    if match is None:
        return math.inf
    text = match[1]
    is_integer = not nul and len(text) < 1000 and re.fullmatch(r"[+-]?\d+", text) and -(2**63) <= int(text) < 2**63
    return int(text) if is_integer else float(text)


def _page_size(name: str, value: SQLValue) -> SQLValue:
    number = _number(value)
    if number is None:
        raise _Nothing
    if number != number or number not in range(1, PAGE_SIZE + 1):
        raise DataError(f'"{name}" = {value!r} is not a page size from 1 to {PAGE_SIZE}')
    return int(number)


def _direction(name: str, value: SQLValue) -> SQLValue:
    if value is None:
        raise _Nothing
    if value not in ("asc", "desc"):
        raise DataError(f"\"{name}\" = {value!r} is neither 'asc' nor 'desc'")
    return value


def _cursor(name: str, value: SQLValue) -> SQLValue:
    if value is None:
        raise _Nothing
    if not isinstance(value, str) or not value:
        raise DataError(f'"{name}" = {value!r} is not an id')
    return value


_PARAMETER_CHECKS: dict[str, Callable[[str, SQLValue], SQLValue]] = {
    "limit": _page_size,
    "order": _direction,
    "after": _cursor,
    "before": _cursor,
}
