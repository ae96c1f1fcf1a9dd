"""The connection of PEP 249, and ``connect``: options in, a service behind an engine out."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Literal, NamedTuple, Never, Self

from . import errors
from .binding import Parameters
from .calls import Calls
from .client import Client
from .cursor import Cursor
from .embedded.app import Application
from .embedded.store import Store, StoreError
from .embedded.transport import EmbeddedAdapter
from .engine import Engine
from .errors import InterfaceError, OperationalError
from .exchange import given_up
from .options import Options, describe, resolve
from .secrecy import forgetting
from .statement import Statement


class Check(NamedTuple):
    """What ``Connection.check`` found; what could not be had at all is an error instead."""

    address: str
    reached: bool
    key_accepted: bool
    can_list_threads: bool


class Connection:
    """A connection to one service; threads may share it, each with its own cursor.

    Writes to the service have happened when ``execute`` returns. Local tables are transactional: a
    transaction begins with the first INSERT, UPDATE or DELETE and ends with ``commit`` or ``rollback``;
    with ``autocommit`` set, each statement stands for itself.
    """

    Warning = errors.Warning
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    def __init__(self, options: Options, client: Client, store: Store | None = None, keeps: object = None) -> None:
        self._closed = True
        self.options = options
        self._client = client
        # The store to close with the connection, and what must not go before it.
        self._store = store
        self._keeps = keeps
        self._calls = Calls(client, describe(options))
        self._cursors: weakref.WeakSet[Cursor] = weakref.WeakSet()
        self._lock = threading.Lock()
        self.engine = Engine(options, self._calls)
        self._closed = False

    @property
    def closed(self) -> bool:
        """Tell whether the connection is closed."""
        return self._closed

    @property
    def autocommit(self) -> bool:
        """Tell whether each statement on local tables stands for itself; settable."""
        return self.engine.autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        self.check_open()
        if value:
            self.engine.commit()
        self.engine.autocommit = value

    def cursor(self) -> Cursor:
        """Make a cursor."""
        with self._lock:
            self.check_open()
            cursor = Cursor(self)
            self._cursors.add(cursor)
        return cursor

    def execute(self, operation: str, parameters: Parameters | None = None) -> Cursor:
        """Make a cursor and execute a statement with it."""
        return self.cursor().execute(operation, parameters)

    def commit(self) -> None:
        """Commit the changes of local tables; the service's stand already."""
        self.check_open()
        self.engine.commit()

    def rollback(self) -> None:
        """Undo the changes of local tables; warn if the service was written to since the last commit."""
        self.check_open()
        self.engine.rollback()

    def reset(self) -> None:
        """Undo the changes of local tables, and warn of nothing: what a pool does with a connection it gets back."""
        self.check_open()
        self.engine.rollback(warn=False)

    def cancel(self) -> None:
        """End every statement under way, from another thread; the connection stays usable."""
        with self._lock:
            cursors = list(self._cursors)
        for cursor in cursors:
            cursor.cancel()

    def check(self) -> Check:
        """Make one or two requests and report what the service allows.

        Raise OperationalError where it is not reached, the key is refused, or there is no such API.
        """
        self.check_open()
        found = self._calls.check(self.new_statement(), self.options.thread_id[:1])
        return Check(self._calls.address, reached=True, key_accepted=True, can_list_threads=found)

    def close(self) -> None:
        """Close the connection and its cursors; a transaction of local tables that is open is undone.

        A second time it does nothing.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            cursors = list(self._cursors)
        try:
            for cursor in cursors:
                cursor.close()
        finally:
            self._close_parts()

    def _close_parts(self) -> None:
        self.engine.close()
        self._client.close()
        if self._store is not None:
            self._store.close()

    def new_statement(self) -> Statement:
        """Make the bounds of one statement from the options."""
        return Statement(self.options.deadline, self.options.max_requests, self.options.progress)

    def forget(self, cursor: Cursor) -> None:
        """Let go of a cursor that was closed."""
        with self._lock:
            self._cursors.discard(cursor)

    def check_open(self) -> None:
        """Raise InterfaceError if the connection is closed."""
        if self._closed:
            raise InterfaceError("the connection is closed")

    def __enter__(self) -> Self:
        self.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._closed:
            return
        try:
            if kind is None:
                self.commit()
            else:
                self.rollback()
        finally:
            self.close()

    def __del__(self) -> None:
        # A forked child has not opened what its parent has, and must leave it alone.
        if self._closed or self.engine.inherited:
            return
        try:
            # A pool lets go of its connections together, and nobody has forgotten them.
            if self._keeps is None:
                warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=1, source=self)
        finally:
            # SQLite's callbacks lead back to the engine where the collector does not see it: nobody else would close.
            self._closed = True
            self._close_parts()

    def __repr__(self) -> str:
        return f"<messages_dbapi.Connection to {describe(self.options)}{', closed' if self._closed else ''}>"


@forgetting
def connect(
    url: str | None = None,
    *,
    base_url: str | None = None,
    api_key: str | Callable[[], str] | None = None,
    thread_id: str | Iterable[str] | None = None,
    threads: str | None = None,
    unscoped: Literal["error", "scan"] | None = None,
    missing_thread: Literal["error", "skip"] | None = None,
    read_only: bool | None = None,
    concurrency: int | None = None,
    rate: float | None = None,
    remember: bool | None = None,
    page_size: int | None = None,
    max_requests: int | None = None,
    timeout: float | None = None,
    connect_timeout: float | None = None,
    deadline: float | None = None,
    max_retries: int | None = None,
    resend: bool | None = None,
    auth: Literal["bearer", "api-key"] | None = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    local: str | os.PathLike[str] | None = None,
    attach: Mapping[str, str | os.PathLike[str]] | None = None,
    allow_insecure: bool | None = None,
    progress: Callable[[int, int, int | None], object] | None = None,
    **unknown: Never,
) -> Connection:
    """Open a connection; nothing is requested before the first statement.

    ``url`` is ``messages://`` (embedded, in memory), ``messages:///store.db`` (embedded, in that file),
    ``messages://:KEY@host/base/path`` (a service over https) or ``messages+http://…`` (plain http on this
    machine). Without one, ``base_url``, ``MESSAGES_URL`` or ``OPENAI_BASE_URL`` says where to go. An
    argument wins over the same option in the URL. Raise InterfaceError for what has no meaning.
    """
    named = {name: value for name, value in locals().items() if name not in ("url", "unknown")}
    return open_connection(resolve(url, named | unknown, os.environ))


def open_connection(options: Options, store: Store | None = None, keeps: object = None) -> Connection:
    """Open a connection with options that are resolved already.

    An embedded service uses ``store``, which then stays open; ``keeps`` lives as long as the connection.
    """
    if not options.embedded:
        return Connection(options, Client(options), keeps=keeps)
    used = store or _open_store(options)
    client = Client(options, EmbeddedAdapter(Application(used), given_up))
    return Connection(options, client, None if store else used, keeps)


def _open_store(options: Options) -> Store:
    try:
        return Store(options.store, create=not options.read_only)
    except UnicodeError as error:
        raise InterfaceError(f"{options.store!r} cannot be the name of a file: {error}") from error
    except StoreError as error:
        raise OperationalError(str(error)) from error.__cause__
