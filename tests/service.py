"""One embedded service for a test, filled from Python, reached in process or over a socket, and its request log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

import messages_dbapi
from messages_dbapi.client import Client
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.app import Application
from messages_dbapi.embedded.documents import Draft
from messages_dbapi.embedded.server import Server
from messages_dbapi.embedded.store import Store
from messages_dbapi.embedded.transport import EmbeddedAdapter
from messages_dbapi.exchange import given_up
from messages_dbapi.options import resolve

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


class Seen(NamedTuple):
    """A request as the service saw it; the path begins with /v1."""

    method: str
    path: str
    query: dict[str, str]
    status: int


class Service:
    """A store in memory, the service on it, and what it was asked."""

    def __init__(self, api_key: str | None = None) -> None:
        self.store = Store()
        self.seen: list[Seen] = []
        # What a test does while a request is being answered.
        self.on_seen: Callable[[Seen], None] | None = None
        self.app = Application(self.store, api_key, on_request=self._see)
        self._server: Server | None = None

    def _see(self, method: str, path: str, query: str, status: int) -> None:
        self.seen.append(Seen(method, path, dict(parse_qsl(query)), status))
        if self.on_seen is not None:
            self.on_seen(self.seen[-1])

    @property
    def base_url(self) -> str:
        """Serve over a socket from the first time this is asked for, and give the base URL."""
        if self._server is None:
            self._server = Server(self.app)
            self._server.start()
        return self._server.base_url

    def connect(self, **options: Any) -> Connection:
        """Connect in process, as ``messages://`` does."""
        return self.connect_to(self.app, **options)

    @staticmethod
    def connect_to(app: WSGIApplication, **options: Any) -> Connection:
        """Connect in process to another application, such as one that stands before the service."""
        resolved = resolve("messages://", options, {})
        return Connection(resolved, Client(resolved, EmbeddedAdapter(app, given_up)))

    def connect_over_http(self, **options: Any) -> Connection:
        """Connect over the socket."""
        url = self.base_url.replace("http://", "messages+http://", 1)
        return messages_dbapi.connect(url, **options)

    def thread(
        self,
        count: int = 0,
        *,
        thread_id: str | None = None,
        created_at: int = 1_700_000_000,
        step: int = 1,
        **draft: Any,
    ) -> str:
        """Add a thread of ``count`` messages, ``step`` seconds apart, numbered in their content."""
        drafts = [Draft(content=f"message {n}", created_at=created_at + n * step, **draft) for n in range(count)]
        return self.thread_of(drafts, thread_id=thread_id)

    def thread_of(self, drafts: Iterable[Draft], *, thread_id: str | None = None) -> str:
        """Add a thread of these messages."""
        return self.store.add_thread(messages=drafts, thread_id=thread_id).id

    @contextmanager
    def counting(self) -> Iterator[list[Seen]]:
        """Log the requests of a block alone."""
        self.seen.clear()
        yield self.seen

    def close(self) -> None:
        """Stop serving and drop the store."""
        if self._server is not None:
            self._server.stop()
        self.store.close()
