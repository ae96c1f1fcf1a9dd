"""One call of a method of a resource: its path, its reply as rows, and what a 404 to it means."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import quote

from . import decode
from .client import Client, Reply, Request
from .decode import Page, Reader
from .errors import (
    DatabaseError,
    DataError,
    InternalError,
    NotSupportedError,
    OperationalError,
    Outcome,
    ProgrammingError,
)
from .resources import THREADS, Method, Resource
from .statement import Statement
from .types import Row

_SEGMENTS_WITH_A_MEANING = (".", "..")
_BASE_URL = "the base URL must end where /threads begins, such as https://host/v1"
# Characters of a reply that an error repeats.
_START = 200
_ID_READER = decode.reader(THREADS, frozenset({"id"}))


class PageQuery(NamedTuple):
    """What to ask of a listing: ``filters`` are fields it is narrowed by, ``after`` a key to go on from."""

    descending: bool
    limit: int
    after: str | None = None
    filters: tuple[tuple[str, str], ...] = ()


class Listed(NamedTuple):
    """A page, and the service's own clock when it gave it (Unix seconds, None where it did not say).

    ``asked`` is when it was asked for, by the monotonic clock.
    """

    page: Page
    date: float | None
    asked: float


class Calls:
    """Make the calls of one connection; each counts on, and is bounded by, the statement it is made for."""

    def __init__(self, client: Client, address: str) -> None:
        self.client = client
        self.address = address
        self._listed: set[str] = set()
        self._unlisted: set[str] = set()

    def page(
        self, resource: Resource, scope: str | None, reader: Reader, query: PageQuery, statement: Statement
    ) -> Listed | Reply:
        """List a page; the 404 where the service has no such scope.

        Raise NotSupportedError where the service cannot list the resource, and DataError with param
        "after" where it does not know the key to list on from.
        """
        asked = time.monotonic()
        try:
            reply = self._listing(resource, scope, query, statement)
        except DataError as error:
            if query.after is not None and _is_about(error, query.after, "after"):
                error.param = "after"
            raise
        if reply.status == 404:
            if query.after is not None and self._lacks_only(query.after, scope, reply, statement):
                raise self._unknown_key(resource, query.after, reply)
            self.confirm(reply, statement, scope)
            statement.replied()
            return reply
        with self._reading(resource, scope, reply):
            page = reader.page(reply.body, scope)
        statement.count(pages=1, rows_received=len(page.rows))
        statement.replied()
        return Listed(page, reply.date, asked)

    def _lacks_only(self, key: str, scope: str | None, reply: Reply, statement: Statement) -> bool:
        """Tell whether a listing is 404 for the key to go on from, and not for its scope."""
        if scope is None:
            return True
        # The scope first: a statement may name any text as the key, also that of the scope.
        if decode.names(reply.body, scope):
            return False
        if decode.names(reply.body, key):
            return True
        path = path_of(THREADS, THREADS.method("SELECT", keyed=True), key=scope)
        return self.client.send(Request("GET", path), statement).status != 404

    def _unknown_key(self, resource: Resource, key: str, reply: Reply) -> DataError:
        return DataError(
            f"{self.address} lists no {resource.name} after {key!r}: it knows no such id there",
            status=reply.status,
            code=reply.code,
            param="after",
            request_id=reply.request_id,
        )

    def _listing(self, resource: Resource, scope: str | None, query: PageQuery, statement: Statement) -> Reply:
        method = resource.method("SELECT", keyed=False)
        request = Request("GET", path_of(resource, method, scope), _parameters(query))
        if resource.scope is not None:
            return self.client.send(request, statement)
        if resource.name in self._unlisted:
            raise self._cannot_list(resource)
        try:
            reply = self.client.send(request, statement)
        except NotSupportedError as error:
            raise self._cannot_list(resource, error) from error
        if reply.status == 404 and query.after is None:
            raise self._cannot_list(resource, reply)
        self._listed.add(resource.name)
        return reply

    def get(self, resource: Resource, scope: str | None, key: str, reader: Reader, statement: Statement) -> Row | None:
        """Get one row; None where there is none, also where the service calls the key malformed."""
        if key == "" or key in _SEGMENTS_WITH_A_MEANING:
            return None
        method = resource.method("SELECT", keyed=True)
        try:
            reply = self.client.send(Request("GET", path_of(resource, method, scope, key)), statement)
        except DataError as error:
            if not _is_about(error, key, resource.key, resource.key_parameter):
                raise
            statement.replied()
            return None
        if reply.status == 404:
            self.confirm(reply, statement, key, scope)
            statement.replied()
            return None
        statement.count(rows_received=1)
        with self._reading(resource, scope, reply):
            row = reader.row(reply.body, scope)
        statement.replied()
        return row

    def modify(
        self, resource: Resource, scope: str | None, key: str, body: bytes, reader: Reader, statement: Statement
    ) -> Row | None:
        """Modify one row and give it as it is now; None where there is none."""
        method = resource.method("UPDATE", keyed=True)
        reply = self.client.send(Request("POST", path_of(resource, method, scope, key), body=body), statement)
        if reply.status == 404:
            self.confirm(reply, statement, key, scope)
            return None
        with self._reading(resource, scope, reply, outcome="unknown"):
            return reader.row(reply.body, scope)

    def delete(self, resource: Resource, scope: str | None, key: str, statement: Statement) -> bool:
        """Delete one row and tell whether there was one.

        A repeated call that finds nothing counts, because its first try may have deleted the row.
        """
        method = resource.method("DELETE", keyed=True)
        reply = self.client.send(Request("DELETE", path_of(resource, method, scope, key)), statement)
        if reply.status == 404:
            self.confirm(reply, statement, key, scope)
            return reply.repeated
        with self._reading(resource, scope, reply, outcome="unknown"):
            return decode.deletion(reply.body) or reply.repeated

    @contextmanager
    def _reading(
        self, resource: Resource, scope: str | None, reply: Reply, *, outcome: Outcome | None = None
    ) -> Iterator[None]:
        """Say of a reply that cannot be read where it came from, and of a write that it may have been applied."""
        try:
            yield
        except InternalError as error:
            place = resource.name if scope is None else f"{resource.name} of {scope}"
            doubt = ". It may have been applied" if outcome == "unknown" else ""
            error.args = (f"{self.address}, {place}: {self.unreadable(error, reply)}{doubt}",)
            error.status, error.request_id, error.outcome = reply.status, reply.request_id, outcome
            raise

    def confirm(self, reply: Reply, statement: Statement, *keys: str | None) -> None:
        """Return where a 404 says that a key of the request is unknown; raise OperationalError where it is the API.

        A connection that has had a success at its address knows the API is there; else one request asks. So it
        does where the 404 names none of the keys, and the service has listed threads, which shows whether the
        API has gone since.
        """
        named = any(key and decode.names(reply.body, key) for key in keys)
        if self.client.confirmed and (named or THREADS.name not in self._listed):
            return
        if self.answers(statement) or named:
            return
        raise self.no_api(reply)

    def answers(self, statement: Statement) -> bool:
        """Ask whether the API is at the address, by the cheapest listing there is: of one thread."""
        listed = self._list_one_thread(statement)
        return listed is None or (listed.status != 404 and self.client.confirmed)

    def check(self, statement: Statement, scopes: Sequence[str]) -> bool:
        """Tell whether threads can be listed; raise OperationalError where the API is not there.

        Where they cannot, a thread is asked for: of the default scope, else one that cannot exist.
        """
        listed = self._list_one_thread(statement)
        if listed is not None and listed.status != 404:
            with self._is_api(listed):
                _ID_READER.page(listed.body, None)
            return True
        scope = scopes[0] if scopes else "thread_check"
        path = path_of(THREADS, THREADS.method("SELECT", keyed=True), key=scope)
        reply = self.client.send(Request("GET", path), statement)
        if reply.status != 404:
            with self._is_api(reply):
                _ID_READER.row(reply.body, None)
        elif not self.client.confirmed and not decode.names(reply.body, scope):
            raise self.no_api(reply)
        return False

    def _list_one_thread(self, statement: Statement) -> Reply | None:
        """Ask for a listing of one thread: a success, a 404, or None where the service refuses."""
        path = path_of(THREADS, THREADS.method("SELECT", keyed=False))
        try:
            return self.client.send(Request("GET", path, (("limit", "1"),)), statement)
        except (DataError, NotSupportedError):
            return None

    @contextmanager
    def _is_api(self, reply: Reply) -> Iterator[None]:
        """Say of a success that is no reply of the API, such as a page for people, that the address is wrong."""
        try:
            yield
        except InternalError as error:
            raise OperationalError(
                f"{self.address} is reached, and there is no such API at that address: "
                f"{self.unreadable(error, reply)}; {_BASE_URL}"
            ) from error

    def unreadable(self, error: InternalError, reply: Reply) -> str:
        """Say why a reply cannot be read, and how it begins."""
        start = self.client.hide(reply.body.decode("utf-8", "replace"))[:_START]
        return f"{error}; the reply begins {start!r}"

    def no_api(self, reply: Reply) -> OperationalError:
        """Say that a 404 means that the API is not there, or no longer."""
        gone = "the API was there before, and is no longer at that address"
        never = f"there is no such API at that address; {_BASE_URL}"
        return OperationalError(
            f"{self.address} answers 404: {gone if self.client.confirmed else never}",
            status=404,
            code=reply.code,
            request_id=reply.request_id,
        )

    def unknown_scope(self, resource: Resource, scope: str, reply: Reply) -> ProgrammingError:
        """Say that the thread a statement names is not there, by the 404 that told it."""
        return ProgrammingError(
            f"{self.address} knows no thread {scope!r}",
            status=404,
            code=reply.code,
            param=resource.scope,
            request_id=reply.request_id,
        )

    def _cannot_list(self, resource: Resource, refusal: Reply | NotSupportedError | None = None) -> NotSupportedError:
        # A service that has listed them can.
        if resource.name not in self._listed:
            self._unlisted.add(resource.name)
        return NotSupportedError(
            f"{self.address} does not list {resource.name}: name them, as in WHERE {resource.key} = '…' or "
            f"{resource.key} IN (…), or give the connection thread_id=… or threads=FILE",
            status=None if refusal is None else refusal.status,
            code=None if refusal is None else refusal.code,
            request_id=None if refusal is None else refusal.request_id,
        )


def _is_about(error: DatabaseError, key: str, *parameters: str | None) -> bool:
    """Tell whether the service refuses a key, by the parameter that it names or by the key itself."""
    # The text begins with the path, which may name the key whatever is wrong.
    said = str(error).partition("the service answered")[2]
    # A plain word needs its quotes to be more than a word.
    plain = [name for name in parameters if name and "_" in name]
    named = (*plain, *(f"{quote}{name}{quote}" for quote in "'\"" for name in (key, *parameters) if name))
    return error.status in (400, 422) and (error.param in parameters or any(name in said for name in named))


def path_of(resource: Resource, method: Method, scope: str | None = None, key: str | None = None) -> str:
    """Fill a method's path with percent-encoded ids.

    Raise DataError for an id that is empty, ``.`` or ``..``: such a segment would lead elsewhere.
    """
    ids = {resource.scope: scope, resource.key_parameter: key}
    return method.path.format(
        **{name: _segment(name, value) for name, value in ids.items() if name and value is not None}
    )


def _segment(name: str, value: str) -> str:
    if value == "" or value in _SEGMENTS_WITH_A_MEANING:
        raise DataError(f"{name} = {value!r} is not an id")
    return quote(value, safe="")


def _parameters(query: PageQuery) -> tuple[tuple[str, str], ...]:
    order = "desc" if query.descending else "asc"
    cursor = () if query.after is None else (("after", query.after),)
    return (("limit", str(query.limit)), ("order", order), *cursor, *query.filters)
