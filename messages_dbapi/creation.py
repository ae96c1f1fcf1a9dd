"""Creates, at most once: what is read after a create whose end is not known, and what that proves.

A create whose reply was lost may or may not have been applied. Sending it again could double it; so the
newest messages are read, and exactly one that is new, unknown to this connection and equal to what was
sent is taken as ours. Whether a message is new is judged by ids that this connection knew before, else by
the service's own clock, never by the local one. Anything else stays an error whose outcome is "unknown".
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from . import decode
from .body import Body, encoded
from .calls import Calls, Listed, PageQuery, path_of
from .client import Request
from .decode import KEY, TIME, Reader
from .errors import Error, OperationalError
from .resources import PAGE_SIZE, Resource
from .statement import Statement
from .types import Row

_SCOPES_REMEMBERED = 10_000


class _Known(NamedTuple):
    """The newest second of a scope that this connection has seen, and the ids it has seen there."""

    time: int
    keys: frozenset[str]


class Creation:
    """Create rows for one connection, and remember the newest ids it has seen in each scope."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._scope_locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def note(self, scope: str | None, rows: Iterable[Row]) -> None:
        """Remember the newest of the rows that were read from a scope."""
        timed = [(row[TIME], row[KEY]) for row in rows if isinstance(row[TIME], int)]
        if scope is None or not timed:
            return
        newest = max(seen for seen, _ in timed)
        keys = frozenset(str(key) for seen, key in timed if seen == newest)
        with self._lock:
            known = self._known.get(scope)
            if known is not None and known.time >= newest:
                keys, newest = (known.keys | keys if known.time == newest else known.keys), known.time
            self._known[scope] = _Known(newest, keys)
            self._known.move_to_end(scope)
            if len(self._known) > _SCOPES_REMEMBERED:
                self._known.popitem(last=False)

    def create(self, resource: Resource, scope: str | None, body: Body, reader: Reader, statement: Statement) -> Row:
        """Create one row and give it as the service made it.

        Raise ProgrammingError where the thread is unknown, and OperationalError with ``outcome`` "unknown"
        where it cannot be told whether the row was created.
        """
        if scope is None:
            return self._create(resource, None, body, reader, statement)
        with self._lock:
            scope_lock = self._scope_locks.setdefault(scope, threading.Lock())
        # One at a time: an equal message of this very connection must not be mistaken for the lost one.
        with scope_lock:
            row = self._create(resource, scope, body, reader, statement)
        self.note(scope, [row])
        return row

    def _create(self, resource: Resource, scope: str | None, body: Body, reader: Reader, statement: Statement) -> Row:
        method = resource.method("INSERT", keyed=False)
        request = Request("POST", path_of(resource, method, scope), body=encoded(body), repeatable=False)
        known = self._known.get(scope or "")
        began = time.monotonic()
        try:
            reply = self._calls.client.send(request, statement)
        except OperationalError as error:
            if error.outcome != "unknown" or scope is None:
                raise
            return self._recover(resource, scope, body, reader, statement, known, began, error)
        if reply.status == 404:
            self._calls.confirm(scope or "", reply, statement)
            raise self._calls.unknown_scope(resource, scope or "")
        return reader.row(reply.body, scope)

    def _recover(
        self,
        resource: Resource,
        scope: str,
        body: Body,
        reader: Reader,
        statement: Statement,
        known: _Known | None,
        began: float,
        error: OperationalError,
    ) -> Row:
        full = decode.reader(resource, frozenset(reader.position) | frozenset(resource.create))
        query = PageQuery(descending=True, limit=PAGE_SIZE)
        try:
            listed = self._calls.page(resource, scope, full, query, statement)
        except Error:
            raise error from error.__cause__
        if listed is None:
            raise error
        elapsed = time.monotonic() - began
        ours = [row for row in _new_rows(listed, known, elapsed) if _same(resource, full, row, body)]
        if len(ours) != 1:
            raise error
        return tuple(ours[0][full.position[name]] for name in reader.position)


def _new_rows(listed: Listed, known: _Known | None, elapsed: float) -> Sequence[Row]:
    """Give the rows of a newest-first page that provably came after ``elapsed`` seconds before it was made."""
    rows = listed.page.rows
    if known is not None:
        for index, row in enumerate(rows):
            if row[KEY] in known.keys:
                return rows[:index]
    if listed.date is None or not _clock_agrees(rows, listed.date):
        return ()
    # A Date is cut to the second: the service's clock stood below date + 1 when it answered.
    return [row for row in rows if isinstance(row[TIME], int) and row[TIME] >= listed.date + 1 - elapsed]


def _clock_agrees(rows: Sequence[Row], date: float) -> bool:
    return all(isinstance(row[TIME], int) and row[TIME] <= date + 1 for row in rows[:1])


def _same(resource: Resource, reader: Reader, row: Row, body: Body) -> bool:
    return all(
        _normal(name, body.get(name)) == _normal(name, _value(resource, reader, row, name)) for name in resource.create
    )


def _value(resource: Resource, reader: Reader, row: Row, name: str) -> Any:
    value = row[reader.position[name]]
    return json.loads(value) if isinstance(value, str) and resource.field(name).type != "string" else value


def _normal(name: str, value: Any) -> Any:
    """Bring what was sent and what is shown to one form: a text is a list of one text part, nothing is empty."""
    if name == "content":
        return [
            _normal_part(part) for part in (value if isinstance(value, list) else [{"type": "text", "text": value}])
        ]
    if name == "attachments":
        return [
            (item.get("file_id"), sorted(tool.get("type", "") for tool in item.get("tools") or ()))
            for item in value or ()
        ]
    return value or {}


def _normal_part(part: Body) -> Any:
    kind = part.get("type", "")
    shown = part.get(kind)
    if kind == "text":
        return (kind, shown.get("value") if isinstance(shown, dict) else shown)
    return (kind, shown.get("file_id", shown.get("url")) if isinstance(shown, dict) else shown)
