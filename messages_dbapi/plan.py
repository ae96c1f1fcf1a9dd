"""What of a query the service can answer: SQLite's offer of terms to a plan, and a plan to a selection.

A term is taken exactly or not at all. Terms on the scope, the time and the parameters of the listing are
taken over wholly; other equalities only narrow what is delivered, and SQLite checks them again, so that
affinities and mixed types stay its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import apsw

from .errors import DataError, NotSupportedError
from .resources import PAGE_SIZE, Resource
from .scan import Selection
from .types import SQLValue

KEY_COLUMN = "_key"
# SQLite reports 64 used columns for the target of an UPDATE, however few it reads.
ALL_COLUMNS = 64

_EQ = (apsw.SQLITE_INDEX_CONSTRAINT_EQ, apsw.SQLITE_INDEX_CONSTRAINT_IS)
_RANGES = (
    apsw.SQLITE_INDEX_CONSTRAINT_GT,
    apsw.SQLITE_INDEX_CONSTRAINT_GE,
    apsw.SQLITE_INDEX_CONSTRAINT_LT,
    apsw.SQLITE_INDEX_CONSTRAINT_LE,
)
# SQLite shows (created_at, id) > (?, ?) as created_at >= ?, and does not tell the two apart.
_PERHAPS_WEAKER = (apsw.SQLITE_INDEX_CONSTRAINT_GE, apsw.SQLITE_INDEX_CONSTRAINT_LE)
_IS_NULL = apsw.SQLITE_INDEX_CONSTRAINT_ISNULL
_LIMIT = apsw.SQLITE_INDEX_CONSTRAINT_LIMIT
_OFFSET = apsw.SQLITE_INDEX_CONSTRAINT_OFFSET

# Nearly flat prices: where two selective loops look cheaper than one scan, SQLite splits an OR into
# branches and drops every AND-term with a subquery from them, and so the thread (seen in 1 of 200 queries).
_LIST_COST = 100_000.0
_KEY_COST = 60_000.0
_TERM_DISCOUNT = 1_000.0
_IN_FACTOR = 1.15
_LIST_ROWS, _KEY_ROWS = 1_000, 1
# A scan of no named scope, dearer than any join order that names one; more so where a term could name it.
_UNSCOPED_COST = 1e30
_UNUSABLE_COST = 1e60


class Term(NamedTuple):
    """A term of WHERE that SQLite hands the value of to a scan; ``is_list`` where it is an IN."""

    column: str
    operator: int
    is_list: bool = False


@dataclass(frozen=True)
class Plan:
    """How one scan of a resource will be asked for: the terms whose values come, in order, and its order.

    ``is_update`` marks the scan that finds the rows of an UPDATE.
    """

    terms: tuple[Term, ...]
    used: frozenset[str]
    ordered: bool = False
    descending: bool = False
    misuse: str | None = None
    is_update: bool = False


@dataclass
class _Offer:
    """What is taken of one offer of SQLite, while it is being looked at.

    ``lists_at_once``: the values of an IN come together, not in one scan each.
    """

    lists_at_once: bool
    terms: list[Term] = field(default_factory=list)
    exact: bool = True
    scoped: bool = False
    unusable_scope: bool = False
    single_scope: bool = False
    keyed: bool = False
    lists: int = 0
    misuse: str | None = None


def column_names(resource: Resource) -> list[str]:
    """List the columns of a resource's table in declared order, the internal key last."""
    return [*(column.name for column in resource.columns), KEY_COLUMN]


class Planner:
    """Answer SQLite's offers for one resource."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._names = column_names(resource)
        self._keys = {resource.key, resource.key_parameter}
        self._narrowing = {f.name for f in resource.fields if f.type == "string"} - {resource.scope}

    def plan(self, info: apsw.IndexInfo, used: frozenset[str], *, lists_at_once: bool) -> Plan:
        """Take what can be answered exactly, price it, and say in the offer what was taken."""
        offer = _Offer(lists_at_once, scoped=self._resource.scope is None)
        limits: list[int] = []
        for index in range(info.nConstraint):
            if info.get_aConstraint_op(index) in (_LIMIT, _OFFSET):
                limits.append(index)
            else:
                self._consider(info, index, offer)
        ordered, descending = self._order(info, offer)
        if offer.exact and (ordered or not info.nOrderBy):
            _take_limits(info, limits, offer)
        info.orderByConsumed = ordered
        info.estimatedCost, info.estimatedRows = _price(offer)
        is_update = len(info.colUsed) >= ALL_COLUMNS
        return Plan(tuple(offer.terms), used, ordered, descending, offer.misuse, is_update)

    def _consider(self, info: apsw.IndexInfo, index: int, offer: _Offer) -> None:
        name = self._names[info.get_aConstraint_iColumn(index)]
        operator = info.get_aConstraint_op(index)
        if not info.get_aConstraint_usable(index):
            offer.exact = False
            offer.unusable_scope |= name == self._resource.scope and operator in _EQ
            offer.misuse = misuse_of(name) if name in self._resource.list_parameters else offer.misuse
            return
        if name in self._resource.list_parameters:
            self._take_parameter(info, index, name, operator, offer)
        elif name == self._resource.scope and operator in (*_EQ, _IS_NULL) and _is_binary(info, index):
            self._take_scope(info, index, operator, offer)
        elif name == self._resource.time and operator in (*_EQ, *_RANGES):
            exact = operator not in _PERHAPS_WEAKER and not info.get_aConstraintUsage_in(index)
            _take(info, index, name, operator, offer, exact=exact)
        elif name in self._keys | self._narrowing and operator in _EQ and _is_binary(info, index):
            _take(info, index, name, operator, offer, exact=False)
            offer.keyed |= name in self._keys
        else:
            offer.exact = False

    def _take_parameter(self, info: apsw.IndexInfo, index: int, name: str, operator: int, offer: _Offer) -> None:
        if operator in _EQ and not info.get_aConstraintUsage_in(index):
            _take(info, index, name, operator, offer, exact=True)
            return
        offer.exact = False
        offer.misuse = misuse_of(name)

    def _take_scope(self, info: apsw.IndexInfo, index: int, operator: int, offer: _Offer) -> None:
        is_list = info.get_aConstraintUsage_in(index)
        _take(info, index, self._resource.scope or "", operator, offer, exact=True)
        offer.scoped = True
        offer.single_scope |= not is_list

    def _order(self, info: apsw.IndexInfo, offer: _Offer) -> tuple[bool, bool]:
        """Tell whether the order asked for is the listing's, and which way."""
        wanted = [
            (self._names[info.get_aOrderBy_iColumn(index)], info.get_aOrderBy_desc(index))
            for index in range(info.nOrderBy)
        ]
        if offer.single_scope and wanted and wanted[0][0] == self._resource.scope:
            del wanted[0]
        ordered = len(wanted) == 1 and wanted[0][0] == self._resource.time
        return ordered, ordered and wanted[0][1]


def _is_binary(info: apsw.IndexInfo, index: int) -> bool:
    return info.get_aConstraint_collation(index) == "BINARY"


def _take(info: apsw.IndexInfo, index: int, name: str, operator: int, offer: _Offer, *, exact: bool) -> None:
    is_list = bool(info.get_aConstraintUsage_in(index))
    at_once = is_list and offer.lists_at_once
    if at_once:
        info.set_aConstraintUsage_in(index, True)
    offer.terms.append(Term(name, operator, at_once))
    offer.lists += is_list
    offer.exact &= exact and at_once == is_list
    info.set_aConstraintUsage_argvIndex(index, len(offer.terms))
    info.set_aConstraintUsage_omit(index, exact)


def _take_limits(info: apsw.IndexInfo, indexes: list[int], offer: _Offer) -> None:
    """Take LIMIT and OFFSET together or not at all; an unusable one may not be marked."""
    if not all(info.get_aConstraint_usable(index) for index in indexes):
        return
    for index in indexes:
        offer.terms.append(Term("", info.get_aConstraint_op(index)))
        info.set_aConstraintUsage_argvIndex(index, len(offer.terms))
        info.set_aConstraintUsage_omit(index, True)


def _price(offer: _Offer) -> tuple[float, int]:
    if not offer.scoped:
        return (_UNUSABLE_COST if offer.unusable_scope else _UNSCOPED_COST), _LIST_ROWS
    cost = _KEY_COST if offer.keyed else _LIST_COST
    cost -= _TERM_DISCOUNT * min(len(offer.terms), 20)
    return cost * _IN_FACTOR**offer.lists, _KEY_ROWS if offer.keyed else _LIST_ROWS


def misuse_of(name: str) -> str:
    """Say how a parameter of the listing may be used."""
    return (
        f'"{name}" is a parameter of the listing: it takes only a top-level "{name}" = constant or parameter; '
        "filter with another column"
    )


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
        if term.operator == _LIMIT:
            self._wanted = _count(values[0])
        elif term.operator == _OFFSET:
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
        bounds = [bounds for value in values if (bounds := _bounds(term.operator, value)) is not None]
        low = min((low for low, _ in bounds), default=math.inf)
        high = max((high for _, high in bounds), default=-math.inf)
        if low == math.inf or high == -math.inf:
            raise _Nothing
        if low > -math.inf:
            self._low = max(int(low), self._low if self._low is not None else int(low))
        if high < math.inf:
            self._high = min(int(high), self._high if self._high is not None else int(high))

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
            wanted=self._wanted,
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
    if operator in _EQ:
        return (number, number) if math.isfinite(number) and number == math.floor(number) else None
    if operator == apsw.SQLITE_INDEX_CONSTRAINT_GT:
        return (math.inf if number == math.inf else _floor(number) + 1, math.inf)
    if operator == apsw.SQLITE_INDEX_CONSTRAINT_GE:
        return (-_floor(-number), math.inf)
    if operator == apsw.SQLITE_INDEX_CONSTRAINT_LT:
        return (-math.inf, -math.inf if number == -math.inf else -_floor(-number) - 1)
    return (-math.inf, _floor(number))


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
