"""What of a query the service can answer: SQLite's offer of terms to a plan.

A term is taken exactly or not at all. Terms on the scope, the time and the parameters of the listing are
taken over wholly; other equalities only narrow what is delivered, and SQLite checks them again, so that
affinities and mixed types stay its own.

Of a comparison with a timestamp SQLite shows neither the value while it plans nor the affinity of the other
side, by which a number is compared as text or as a number: unless a text is seen, SQLite checks it again, and
LIMIT is let go of where the value turns out to be a number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import apsw

from .resources import Resource
from .seal import KEY_COLUMN

# SQLite reports 64 used columns for the target of an UPDATE, however few it reads.
ALL_COLUMNS = 64

EQUAL = (apsw.SQLITE_INDEX_CONSTRAINT_EQ, apsw.SQLITE_INDEX_CONSTRAINT_IS)
_RANGES = (
    apsw.SQLITE_INDEX_CONSTRAINT_GT,
    apsw.SQLITE_INDEX_CONSTRAINT_GE,
    apsw.SQLITE_INDEX_CONSTRAINT_LT,
    apsw.SQLITE_INDEX_CONSTRAINT_LE,
)
# SQLite shows (created_at, id) > (?, ?) as created_at >= ?, and does not tell the two apart.
_PERHAPS_WEAKER = (apsw.SQLITE_INDEX_CONSTRAINT_GE, apsw.SQLITE_INDEX_CONSTRAINT_LE)
_IS_NULL = apsw.SQLITE_INDEX_CONSTRAINT_ISNULL
LIMIT = apsw.SQLITE_INDEX_CONSTRAINT_LIMIT
OFFSET = apsw.SQLITE_INDEX_CONSTRAINT_OFFSET

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


# APSW 3.54 fails, and crashes Python 3.12 and later, where the values of an IN that has none are asked for.
_HANDS_OVER_LISTS = tuple(map(int, apsw.apsw_version().split(".")[:2])) < (3, 54)


@dataclass(frozen=True)
class Demands:
    """What is asked of SQLite's plans.

    ``lists_at_once``: the values of an IN come together, not in one scan each. ``scope_first``: a table
    whose scope a term names is scanned only when that term has its value. ``narrow_first``: a scan with
    more terms is cheaper.
    """

    lists_at_once: bool = _HANDS_OVER_LISTS
    scope_first: bool = True
    narrow_first: bool = True


@dataclass
class _Offer:
    """What is taken of one offer of SQLite, while it is being looked at.

    ``lists_at_once``: the values of an IN come together, not in one scan each. ``unsure``: of the rows that
    the terms select, SQLite may drop some.
    """

    lists_at_once: bool
    terms: list[Term] = field(default_factory=list)
    exact: bool = True
    unsure: bool = False
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

    def plan(self, info: apsw.IndexInfo, used: frozenset[str], demands: Demands) -> Plan | None:
        """Take what can be answered exactly, price it, and say in the offer what was taken.

        None refuses the offer: a term names the scope, but has no value in this order of the tables. No
        price keeps SQLite from such an order: of a table that three others refer to, it makes the outermost.
        """
        offer = _Offer(demands.lists_at_once, scoped=self._resource.scope is None)
        limits: list[int] = []
        for index in range(info.nConstraint):
            if info.get_aConstraint_op(index) in (LIMIT, OFFSET):
                limits.append(index)
            else:
                self._consider(info, index, offer)
        if demands.scope_first and offer.unusable_scope and not offer.scoped:
            return None
        ordered, descending = self._order(info, offer)
        if offer.exact and (ordered or not info.nOrderBy):
            _take_limits(info, limits, offer)
        info.orderByConsumed = ordered
        info.estimatedCost, info.estimatedRows = _price(offer, demands)
        is_update = len(info.colUsed) >= ALL_COLUMNS
        return Plan(tuple(offer.terms), used, ordered, descending, offer.misuse, is_update)

    def _consider(self, info: apsw.IndexInfo, index: int, offer: _Offer) -> None:
        name = self._names[info.get_aConstraint_iColumn(index)]
        operator = info.get_aConstraint_op(index)
        if not info.get_aConstraint_usable(index):
            offer.exact = False
            offer.unusable_scope |= name == self._resource.scope and operator in EQUAL
            offer.misuse = misuse_of(name) if name in self._resource.list_parameters else offer.misuse
            return
        if name in self._resource.list_parameters:
            self._take_parameter(info, index, name, operator, offer)
        elif name == self._resource.scope and operator in (*EQUAL, _IS_NULL) and _is_binary(info, index):
            self._take_scope(info, index, operator, offer)
        elif name == self._resource.time and operator in (*EQUAL, *_RANGES):
            self._take_time(info, index, operator, offer)
        elif name in self._keys | self._narrowing and operator in EQUAL and _is_binary(info, index):
            _take(info, index, name, operator, offer, exact=False)
            offer.keyed |= name in self._keys
        else:
            offer.exact = False

    def _take_parameter(self, info: apsw.IndexInfo, index: int, name: str, operator: int, offer: _Offer) -> None:
        if operator in EQUAL and not info.get_aConstraintUsage_in(index):
            _take(info, index, name, operator, offer, exact=True)
            return
        offer.exact = False
        offer.misuse = misuse_of(name)

    def _take_scope(self, info: apsw.IndexInfo, index: int, operator: int, offer: _Offer) -> None:
        is_list = info.get_aConstraintUsage_in(index)
        _take(info, index, self._resource.scope or "", operator, offer, exact=True)
        offer.scoped = True
        offer.single_scope |= not is_list

    def _take_time(self, info: apsw.IndexInfo, index: int, operator: int, offer: _Offer) -> None:
        has_timestamps = self._resource.has_timestamps
        if has_timestamps and not _is_binary(info, index):
            offer.exact = False
            return
        exact = operator not in _PERHAPS_WEAKER and not info.get_aConstraintUsage_in(index)
        _take(info, index, self._resource.time, operator, offer, exact=exact)
        if has_timestamps and operator not in EQUAL and not isinstance(info.get_aConstraint_rhs(index), str):
            offer.unsure = True
            info.set_aConstraintUsage_omit(index, False)

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
    # SQLite counts the rows of a LIMIT itself, but what an OFFSET has left out here is lost to it.
    if offer.unsure and any(info.get_aConstraint_op(index) == OFFSET for index in indexes):
        return
    for index in indexes:
        offer.terms.append(Term("", info.get_aConstraint_op(index)))
        info.set_aConstraintUsage_argvIndex(index, len(offer.terms))
        info.set_aConstraintUsage_omit(index, True)


def _price(offer: _Offer, demands: Demands) -> tuple[float, int]:
    if not offer.scoped:
        return (_UNUSABLE_COST if offer.unusable_scope else _UNSCOPED_COST), _LIST_ROWS
    if not demands.narrow_first:
        return _LIST_COST, _LIST_ROWS
    cost = _KEY_COST if offer.keyed else _LIST_COST
    cost -= _TERM_DISCOUNT * min(len(offer.terms), 20)
    return cost * _IN_FACTOR**offer.lists, _KEY_ROWS if offer.keyed else _LIST_ROWS


def misuse_of(name: str) -> str:
    """Say how a parameter of the listing may be used."""
    return (
        f'"{name}" is a parameter of the listing: it takes only a top-level "{name}" = constant or parameter; '
        "filter with another column"
    )
