"""A random query as a tree: written for the driver and for the oracle, asked what it names, and made smaller."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from messages_dbapi.resources import RESOURCES

STARS = {resource.name: [field.name for field in resource.fields] for resource in RESOURCES}
# The tables of messages, in both forms, with the column that a listing is in order of.
TIMES = {resource.name: resource.time for resource in RESOURCES if resource.scope is not None}
# A view of all messages has the same columns as their table, the hidden ones left out.
STARS |= {f"all_{name}": STARS[name] for name in TIMES}
# What shows only the default scope where a reference names no thread.
_SCOPED = {*TIMES, *(f"all_{name}" for name in TIMES)}


@dataclass(frozen=True)
class Value:
    """A literal, or a parameter where ``bound``; a tuple is a list that is bound as JSON."""

    value: Any
    bound: bool = False


@dataclass(frozen=True)
class Star:
    """``*``, or ``alias.*``."""

    alias: str | None = None


@dataclass(frozen=True)
class Term:
    """A piece of SQL; as a term of WHERE it may name the thread of some sources.

    ``names`` are aliases whose thread it names by itself, ``links`` two whose threads it makes equal,
    ``mentions`` those of whose thread it says something else, ``keys`` those whose key it names.
    ``oracle`` is what a plain table has instead.
    """

    pieces: tuple[Piece, ...]
    names: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()
    mentions: frozenset[str] = frozenset()
    keys: bool = False
    single: bool = False
    reorders: bool = False
    oracle: tuple[Piece, ...] | None = None


@dataclass(frozen=True)
class Logic:
    """Terms joined by AND or OR, or one under NOT."""

    operator: str
    children: tuple[Predicate, ...]


@dataclass(frozen=True)
class Key:
    """A term of ORDER BY: an expression, or a column's number where the result has no other columns to sort by."""

    expression: Term
    number: int | None = None
    nocase: bool = False
    suffix: str = ""


@dataclass(frozen=True)
class Source:
    """A table, view or subquery in FROM; ``join`` is what stands before it."""

    table: str | Select
    alias: str
    join: str = ""
    on: tuple[Predicate, ...] = ()
    spelling: str = ""


@dataclass(frozen=True)
class Select:
    """A SELECT; ``compound`` are further ones."""

    columns: tuple[Piece, ...]
    sources: tuple[Source, ...] = ()
    where: tuple[Predicate, ...] = ()
    group: tuple[Term, ...] = ()
    having: tuple[Term, ...] = ()
    order: tuple[Key, ...] = ()
    limit: Value | None = None
    offset: Value | None = None
    distinct: bool = False
    ctes: tuple[Cte, ...] = ()
    compound: tuple[Arm, ...] = ()


@dataclass(frozen=True)
class Cte:
    """A common table expression; ``head`` is all up to its parenthesis."""

    head: str
    select: Select


@dataclass(frozen=True)
class Arm:
    """A further SELECT, after UNION or its like."""

    operator: str
    select: Select


Predicate = Term | Logic
Piece = str | Value | Star | Term | Logic | Select


class Sql(NamedTuple):
    """A text with its values."""

    text: str
    values: tuple[Any, ...]


class Names(NamedTuple):
    """How the references of a statement to messages name their threads: how many in which way.

    ``pushed`` ones are in a subquery whose outer query names the thread.
    """

    named: int
    unsure: int
    pushed: int
    open: int
    threads: int

    @property
    def references(self) -> int:
        """Count them all."""
        return self.named + self.unsure + self.pushed + self.open


class Writer:
    """Write a query for the driver, or for the oracle: with the sort keys as further columns and no last LIMIT."""

    def __init__(self, *, oracle: bool, scoped: bool = False) -> None:
        self._oracle = oracle
        self._scoped = scoped
        self._parts: list[str] = []
        self._values: list[Any] = []

    def write(self, select: Select) -> Sql:
        """Write a whole statement."""
        self._select(select, top=True)
        return Sql("".join(self._parts), tuple(self._values))

    def _select(self, select: Select, *, top: bool = False) -> None:
        if select.ctes:
            self._add("WITH RECURSIVE " if any("rec" in cte.head for cte in select.ctes) else "WITH ")
        for number, cte in enumerate(select.ctes):
            self._add(", " * bool(number) + cte.head + " (")
            self._select(cte.select)
            self._add(") ")
        self._core(select, extra=sort_keys(select) if top and self._oracle else ())
        for arm in select.compound:
            self._add(f" {arm.operator} ")
            self._core(arm.select, extra=())
        self._order(select)
        if not (top and self._oracle):
            self._limits(select)

    def _core(self, select: Select, extra: tuple[Term, ...]) -> None:
        self._add("SELECT DISTINCT " if select.distinct else "SELECT ")
        for number, column in enumerate((*select.columns, *extra)):
            self._add(", " * bool(number))
            self._star(column, select) if isinstance(column, Star) else self._piece(column)
        for source in select.sources:
            self._source(source, status(select).get(source.alias) == "open")
        self._conjunction(" WHERE ", select.where)
        self._list(" GROUP BY ", select.group)
        self._list(" HAVING ", select.having)

    def _source(self, source: Source, is_open: bool) -> None:
        self._add(f" {source.join or 'FROM'} ")
        if isinstance(source.table, Select):
            self._add("(")
            self._select(source.table)
            self._add(")")
        elif not self._oracle:
            self._add(source.spelling or source.table)
        else:
            self._add(source.table + "_in_scope" * (self._scoped and is_open and source.table in _SCOPED))
        self._add(f" AS {source.alias}")
        self._conjunction(" ON ", source.on)

    def _star(self, star: Star, select: Select) -> None:
        if not self._oracle:
            self._add(f"{star.alias}.*" if star.alias else "*")
            return
        chosen = [source for source in select.sources if star.alias in (None, source.alias)]
        columns = [
            f"{source.alias}.{name}"
            for source in chosen
            for name in (STARS.get(source.table, ["*"]) if isinstance(source.table, str) else ["*"])
        ]
        self._add(", ".join(columns))

    def _order(self, select: Select) -> None:
        for number, key in enumerate(select.order):
            self._add(", " if number else " ORDER BY ")
            self._piece(key.expression) if key.number is None else self._add(str(key.number))
            self._add(" COLLATE NOCASE" * key.nocase + key.suffix)
        if self._oracle and select.order and settles_ties(select):
            alias, suffix = select.sources[0].alias, select.order[0].suffix
            self._add(f", {alias}._seq{suffix}")

    def _limits(self, select: Select) -> None:
        for word, value in (("LIMIT", select.limit), ("OFFSET", select.offset)):
            if value is not None and select.limit is not None:
                self._add(f" {word} ")
                self._piece(value)

    def _conjunction(self, word: str, predicates: tuple[Predicate, ...]) -> None:
        for number, predicate in enumerate(predicates):
            self._add(" AND " if number else word)
            self._piece(predicate)

    def _list(self, word: str, terms: tuple[Term, ...]) -> None:
        for number, term in enumerate(terms):
            self._add(("," if "GROUP" in word else " AND ") if number else word)
            self._piece(term)

    def _piece(self, piece: Piece) -> None:
        if isinstance(piece, str):
            self._add(piece)
        elif isinstance(piece, Value):
            self._value(piece)
        elif isinstance(piece, Term):
            for part in piece.oracle if self._oracle and piece.oracle is not None else piece.pieces:
                self._piece(part)
        elif isinstance(piece, Logic):
            self._logic(piece)
        elif isinstance(piece, Select):
            self._add("(")
            self._select(piece)
            self._add(")")

    def _logic(self, logic: Logic) -> None:
        self._add("NOT (" if logic.operator == "NOT" else "(")
        for number, child in enumerate(logic.children):
            self._add(f" {logic.operator} " * bool(number))
            self._piece(child)
        self._add(")")

    def _value(self, value: Value) -> None:
        is_list = isinstance(value.value, tuple)
        if value.bound or is_list:
            self._add("?")
            self._values.append(value.value if not is_list else self._bound_list(value.value))
        else:
            self._add(literal(value.value))

    def _bound_list(self, values: tuple[Any, ...]) -> Any:
        return json.dumps(values) if self._oracle else list(values)

    def _add(self, text: str) -> None:
        self._parts.append(text)


def literal(value: Any) -> str:
    """Write a value as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return {"inf": "9e999", "-inf": "-9e999"}.get(repr(value), repr(value))


def sort_keys(select: Select) -> tuple[Term, ...]:
    """Give the expressions that tell where rows of the result may change places."""
    if settles_ties(select):
        alias = select.sources[0].alias
        return (Term((_time_of(select),)), Term((f"{alias}._seq",)))
    keys = [key for key in select.order if key.number is None]
    return tuple(Term(("lower(", key.expression, ")")) if key.nocase else key.expression for key in keys)


def settles_ties(select: Select) -> bool:
    """Tell whether the contract gives each row its place: those of one thread, by time or in no other order."""
    if not is_listing(select):
        return False
    terms = [term for term in select.where if isinstance(term, Term) and term.names]
    return any(term.single for term in terms) and len(terms) == 1


def is_listing(select: Select) -> bool:
    """Tell whether a query shows the rows of messages in the order that the contract gives them."""
    if len(select.sources) != 1 or select.sources[0].table not in TIMES or select.ctes or select.compound:
        return False
    if select.distinct or select.group or select.having or any("OVER" in str(column) for column in select.columns):
        return False
    if "count(" in str(select.columns) or "max(" in str(select.columns) or "min(" in str(select.columns):
        return False
    if any(isinstance(term, Logic) or term.keys or (term.reorders and not select.order) for term in select.where):
        return False
    by_time = [key.expression.pieces == (_time_of(select),) for key in select.order]
    plain = all(key.suffix in ("", " DESC", " ASC") and not key.nocase for key in select.order)
    return not select.order or (by_time == [True] and plain)


def _time_of(select: Select) -> str:
    return f"{select.sources[0].alias}.{TIMES[str(select.sources[0].table)]}"


def status(select: Select) -> dict[str, str]:
    """Tell of each source that is the service's whether the query names its thread: named, open or unsure."""
    known = _named(select)
    mentioned = _mentioned(select)
    found = {}
    for source in select.sources:
        if source.table not in _SCOPED:
            continue
        if source.alias in known:
            found[source.alias] = "named"
        else:
            found[source.alias] = "unsure" if source.alias in mentioned else "open"
    return found


def _named(select: Select) -> set[str]:
    if any(source.join in ("RIGHT JOIN", "FULL JOIN") for source in select.sources):
        return set()  # Rows of either side may stay unmatched: WHERE narrows neither scan.
    terms = list(select.where)
    for source in select.sources:
        if source.join in ("JOIN", "CROSS JOIN", ","):
            terms += source.on
    named = {alias for term in terms for alias in _names(term)}
    for source in select.sources:
        if source.join == "LEFT JOIN":
            named |= {alias for term in source.on for alias in (*_names(term), *_links(term)) if alias == source.alias}
    links = [_links(term) for term in terms]
    for _ in select.sources:
        named |= {alias for link in links if link & named for alias in link}
    return named & {source.alias for source in select.sources}


def _names(predicate: Predicate) -> frozenset[str]:
    if isinstance(predicate, Term):
        return predicate.names
    branches = [_names(child) for child in predicate.children]
    if predicate.operator == "AND":
        return frozenset().union(*branches)
    # SQLite looks at no branch of an OR by itself where a COLLATE stands anywhere in it.
    is_split = predicate.operator == "OR" and "COLLATE" not in str(predicate)
    return frozenset.intersection(*branches) if is_split else frozenset()


def _links(predicate: Predicate) -> frozenset[str]:
    return predicate.links if isinstance(predicate, Term) else frozenset()


def _mentioned(select: Select) -> set[str]:
    terms = [term for term in walk(select) if isinstance(term, Term)]
    return {alias for term in terms for alias in (*term.names, *term.links, *term.mentions)}


def names_of(select: Select) -> Names:
    """Count the references to messages by how they name their threads."""
    parts = list(walk(select))
    statuses = [found for part in parts if isinstance(part, Select) for found in status(part).values()]
    threads = sum(isinstance(part, Source) and part.table == "threads" for part in parts)
    views = sum(isinstance(part, Source) and part.table == "of_one" for part in parts)
    named, unsure, open_ = (statuses.count(name) for name in ("named", "unsure", "open"))
    pushed = sum(_pushed(part) for part in parts if isinstance(part, Select))
    outside = sum(_named_outside(part) for part in parts if isinstance(part, Select)) - pushed
    return Names(named + views, unsure + outside, pushed, max(0, open_ - pushed - outside), threads)


def _pushed(select: Select) -> int:
    """Tell whether the one source is a plain subquery that has its thread from this query."""
    if len(select.sources) != 1 or not isinstance(select.sources[0].table, Select):
        return 0
    inner = select.sources[0].table
    if len(inner.sources) != 1 or inner.order or inner.limit or inner.distinct or inner.group or inner.compound:
        return 0
    return int(select.sources[0].alias in _named(select) and list(status(inner).values()) == ["open"])


def _named_outside(select: Select) -> int:
    """Count the sources whose threads this query speaks of though they are subqueries."""
    mentioned = _mentioned(select)
    inner = [source for source in select.sources if source.alias in mentioned and source.table not in _SCOPED]
    return sum(isinstance(source.table, Select) or source.table.startswith(("c0", "rec")) for source in inner)


def walk(node: Any) -> Iterator[Any]:
    """Give every part of a query."""
    yield node
    if isinstance(node, tuple):
        for item in node:
            yield from walk(item)
    elif dataclasses.is_dataclass(node):
        for field in dataclasses.fields(node):
            yield from walk(getattr(node, field.name))


def smaller(node: Any) -> Iterator[Any]:
    """Give the queries that have one thing less."""
    if isinstance(node, tuple) and not isinstance(node, str):
        for place, item in enumerate(node):
            yield node[:place] + node[place + 1 :]
            yield from ((*node[:place], less, *node[place + 1 :]) for less in smaller(item))
    elif isinstance(node, Logic):
        yield from node.children
        yield from (dataclasses.replace(node, children=children) for children in smaller(node.children) if children)
    elif isinstance(node, Select | Source | Cte | Arm | Key):
        yield from _smaller_fields(node)
    elif isinstance(node, Term):
        nested = [place for place, piece in enumerate(node.pieces) if isinstance(piece, Select | Term | Logic)]
        for place in nested:
            for less in smaller(node.pieces[place]):
                yield dataclasses.replace(node, pieces=(*node.pieces[:place], less, *node.pieces[place + 1 :]))


def _smaller_fields(node: Any) -> Iterator[Any]:
    for field in dataclasses.fields(node):
        old = getattr(node, field.name)
        if old in (None, (), False) or isinstance(old, str | int):
            if old is True:
                yield dataclasses.replace(node, **{field.name: False})
            continue
        if isinstance(old, Value) and field.name in ("limit", "offset"):
            yield dataclasses.replace(node, **{field.name: None})
            continue
        for less in smaller(old):
            if not (field.name in ("columns", "sources") and isinstance(node, Select) and not less):
                yield dataclasses.replace(node, **{field.name: less})
