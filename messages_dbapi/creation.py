"""Creates, at most once: what is read after a create whose end is not known, and what that proves.

A create whose reply was lost may or may not have been applied. Sending it again could double it; so the
newest messages are read, and exactly one that is new, unknown to this connection and equal to what was
sent is taken as ours. Whether a message is new is judged by the newest ids that this connection knew
before, and by the service's own clock, never by the local one. Anything else stays an error whose outcome
is "unknown".
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from . import decode
from .body import Body, encoded
from .calls import Calls, Listed, PageQuery, path_of
from .client import Reply, Request
from .decode import KEY, TIME, Reader
from .errors import DatabaseError, Error, InternalError, OperationalError
from .resources import PAGE_SIZE, Resource
from .statement import Statement
from .types import Row

_REMEMBERED = 10_000
# Seconds by which a Date may be behind the moment it was sent at: it is cut to the second, and several
# servers (uvicorn, nginx) write it once a second for all their replies.
_DATE_LAG = 2.0
# Seconds before a create that a Date leaves open at most: its lag, that of whole seconds, and a short reading.
_OPEN = 4.0
# Seconds before a create in which the newest row must have been seen where no Date bounds the time between;
# as long as what a Date leaves open.
_JUST_NOW = 2.0


class Head(NamedTuple):
    """The newest second of a scope, the ids that were seen in it, and when, by the monotonic clock."""

    time: int
    keys: tuple[str, ...]
    seen: float


class Evidence(NamedTuple):
    """What is known of a create's beginning: the head of its scope before, and when on the service's clock.

    ``earliest`` and ``latest`` bound that moment in Unix seconds; both are None where the service's clock is
    not known. ``head_counts`` tells whether what came after the head can be taken to come after the beginning.
    """

    head: Head | None
    earliest: float | None
    latest: float | None
    head_counts: bool

    def is_old(self, row: Row) -> bool:
        """Tell whether a row was surely there before the create began."""
        made = row[TIME]
        if self.head is not None and row[KEY] in self.head.keys:
            return True
        if not isinstance(made, int):
            return False
        before_head = self.head is not None and made < self.head.time
        return before_head or (self.earliest is not None and made + 1 <= self.earliest)

    def is_new(self, row: Row, *, above_head: bool) -> bool:
        """Tell whether a row that is not old was surely not there; ``above_head``: it is listed as newer."""
        made = row[TIME]
        if not isinstance(made, int):
            return False
        if self.latest is not None and made >= self.latest:
            return True
        if self.latest is not None and made < self.latest - _OPEN:
            return False
        return self.head is not None and self.head_counts and (above_head or made > self.head.time)


class _Create(NamedTuple):
    """One create under way; ``began`` is by the monotonic clock."""

    resource: Resource
    scope: str | None
    body: Body
    reader: Reader
    statement: Statement
    began: float


class Creation:
    """Create rows for one connection, and remember the newest rows it has seen in each scope."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._heads: OrderedDict[str, Head] = OrderedDict()
        # Creates that may be applied late: an equal row that turns up need not be that of an equal create.
        self._in_doubt: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._scope_locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._lock = threading.Lock()
        # The clock behind Date is not the one that stamps rows.
        self._date_is_off = False

    def note(self, scope: str | None, query: PageQuery, listed: Listed) -> None:
        """Remember the newest rows of a page, if it shows the newest of its scope."""
        if scope is not None:
            self._note(scope, _newest_first(query, listed), listed.asked)

    def _note(self, scope: str, rows: Sequence[Row], seen: float) -> None:
        newest = rows[0][TIME] if rows else None
        if not isinstance(newest, int):
            return
        keys = [str(row[KEY]) for row in takewhile(lambda row: row[TIME] == newest, rows)]
        with self._lock:
            known = self._heads.get(scope)
            head = Head(newest, tuple(keys[::-1]), seen)
            if known is not None and known.time >= newest:
                keys_known = known.keys + (head.keys if known.time == newest else ())
                # No more than a page can show.
                head = Head(known.time, keys_known[-PAGE_SIZE:], max(known.seen, seen))
            self._heads[scope] = head
            _trim(self._heads, scope)

    def create(self, resource: Resource, scope: str | None, body: Body, reader: Reader, statement: Statement) -> Row:
        """Create one row and give it as the service made it.

        Raise ProgrammingError where the thread is unknown, and OperationalError with ``outcome`` "unknown"
        where it cannot be told whether the row was created.
        """
        if scope is None:
            return self._send(_Create(resource, None, body, reader, statement, time.monotonic()))
        with self._lock:
            scope_lock = self._scope_locks.setdefault(scope, threading.Lock())
        # One at a time: an equal message of this very connection must not be mistaken for the lost one.
        with scope_lock:
            create = _Create(resource, scope, body, reader, statement, time.monotonic())
            try:
                row = self._created(create, scope)
            except BaseException as error:
                # Ctrl-C too leaves it open what became of the create.
                if not isinstance(error, Error) or error.outcome == "unknown":
                    self._doubt(create, scope)
                raise
            self._note(scope, [row], create.began)
        return row

    def _created(self, create: _Create, scope: str) -> Row:
        try:
            return self._send(create)
        except DatabaseError as error:
            if error.outcome != "unknown":
                raise
            found = self._find(create, scope)
            if found is None:
                raise
            return found

    def _send(self, create: _Create) -> Row:
        method = create.resource.method("INSERT", keyed=False)
        path = path_of(create.resource, method, create.scope)
        request = Request("POST", path, body=encoded(create.body), repeatable=False)
        reply = self._calls.client.send(request, create.statement)
        if reply.status == 404:
            raise self._missing(create, reply)
        try:
            row = create.reader.row(reply.body, create.scope)
        except InternalError as error:
            raise self._unreadable(path, reply, error) from error
        self._compare_clocks(row, reply, time.monotonic() - create.began)
        return row

    def _missing(self, create: _Create, reply: Reply) -> Error:
        error: Error = self._calls.no_api(reply)
        if create.scope is not None:
            try:
                self._calls.confirm(reply, create.statement, create.scope)
                error = self._calls.unknown_scope(create.resource, create.scope, reply)
            except Error as other:
                error = other
        error.outcome = "unknown" if reply.repeated else "failed"
        return error

    def _unreadable(self, path: str, reply: Reply, error: InternalError) -> OperationalError:
        doubtful = OperationalError(
            f"POST {path} of {self._calls.address}: {self._calls.unreadable(error, reply)}. It may have been applied, "
            "so that what it creates may exist; it is not sent again, as that could double it.",
            status=reply.status,
            request_id=reply.request_id,
        )
        doubtful.outcome = "unknown"
        return doubtful

    def _compare_clocks(self, row: Row, reply: Reply, elapsed: float) -> None:
        """See by a row just made whether Date and the time of rows are of one clock."""
        made = row[TIME]
        if isinstance(made, int) and reply.date is not None:
            self._date_is_off = not made - _DATE_LAG < reply.date < made + 1 + elapsed

    def _doubt(self, create: _Create, scope: str) -> None:
        doubt = (scope, hash(_shape(create.resource, create.body)))
        with self._lock:
            self._in_doubt[doubt] = None
            _trim(self._in_doubt, doubt)

    def _find(self, create: _Create, scope: str) -> Row | None:
        """Read the newest rows and give the one that is provably what the create made."""
        resource, shape = create.resource, _shape(create.resource, create.body)
        if (scope, hash(shape)) in self._in_doubt:
            return None
        full = decode.reader(resource, frozenset(create.reader.position) | frozenset(resource.create))
        query = PageQuery(descending=True, limit=PAGE_SIZE)
        try:
            listed = self._calls.page(resource, scope, full, query, create.statement)
        except Error:
            return None
        if isinstance(listed, Reply):
            return None
        evidence = self.evidence(self._heads.get(scope), listed, create.began, time.monotonic())
        found = find_new(listed, evidence, lambda row: _shape_of_row(resource, full, row) == shape)
        return None if found is None else tuple(found[full.position[name]] for name in create.reader.position)

    def evidence(self, head: Head | None, listed: Listed, began: float, received: float) -> Evidence:
        """Gather what is known of a create that began, and of a newest-first page received, at these moments."""
        newest = listed.page.rows[0][TIME] if listed.page.rows else None
        if self._date_is_off or listed.date is None or not isinstance(newest, int) or newest > listed.date + 1:
            return Evidence(head, None, None, head is not None and began - head.seen <= _JUST_NOW)
        # The Date was written after the listing was asked for, and before it was received.
        earliest = listed.date - (received - began)
        latest = listed.date + _DATE_LAG - (listed.asked - began)
        return Evidence(head, earliest, latest, head_counts=True)


def find_new(listed: Listed, evidence: Evidence, is_same: Callable[[Row], bool]) -> Row | None:
    """Give the one row of a newest-first page that may be what was created, if it is provably new.

    None where there is none, where another may be it as well, or where the page does not reach back to rows
    that are old, so that more of them may follow.
    """
    page = listed.page
    whole = page.has_more is False or (page.has_more is None and len(page.rows) < PAGE_SIZE)
    if not whole and not any(map(evidence.is_old, page.rows)):
        return None
    possible = [place for place, row in enumerate(page.rows) if not evidence.is_old(row) and is_same(row)]
    if len(possible) != 1:
        return None
    row = page.rows[possible[0]]
    keys = () if evidence.head is None else evidence.head.keys
    above_head = any(below[KEY] in keys for below in page.rows[possible[0] :])
    return row if evidence.is_new(row, above_head=above_head) else None


def _newest_first(query: PageQuery, listed: Listed) -> Sequence[Row]:
    """Give the rows of a page that shows the newest of its scope; none of any other page."""
    if query.filters:
        return ()
    if query.descending:
        return listed.page.rows if query.after is None else ()
    return listed.page.rows[::-1] if listed.page.has_more is False else ()


def _trim(remembered: OrderedDict[Any, Any], latest: object) -> None:
    remembered.move_to_end(latest)
    if len(remembered) > _REMEMBERED:
        remembered.popitem(last=False)


def _shape_of_row(resource: Resource, reader: Reader, row: Row) -> str | None:
    """Give the shape of a row that the service shows; None for one that cannot be what was sent."""
    try:
        return _shape(resource, {name: _value(resource, reader, row, name) for name in resource.create})
    except (ValueError, RecursionError):
        return None


def _value(resource: Resource, reader: Reader, row: Row, name: str) -> Any:
    value = row[reader.position[name]]
    return json.loads(value) if isinstance(value, str) and resource.field(name).type != "string" else value


def _shape(resource: Resource, values: Mapping[str, Any]) -> str:
    """Bring what was sent and what is shown to one form: a text is a list of one text part, nothing is empty."""
    return json.dumps([_normal(name, values.get(name)) for name in resource.create], sort_keys=True)


def _normal(name: str, value: Any) -> Any:
    if name == "content":
        return [_normal_part(part) for part in _as_list([{"type": "text", "text": value}], value)]
    if name == "attachments":
        return [_normal_attachment(item) for item in _as_list([], value)]
    return value or {}


def _as_list(other: list[Any], value: Any) -> list[Any]:
    return value if isinstance(value, list) else other


def _normal_part(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    kind = part.get("type")
    shown = part.get(str(kind))
    if not isinstance(shown, dict):
        return [kind, shown]
    if kind == "text":
        return [kind, shown.get("value")]
    # An image's detail is auto where a create names none.
    return [kind, {"detail": "auto", **_given(shown)}]


def _normal_attachment(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    tools = [tool.get("type") if isinstance(tool, dict) else tool for tool in _as_list([], item.get("tools"))]
    return {**_given(item), "tools": sorted(tools, key=repr)}


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
