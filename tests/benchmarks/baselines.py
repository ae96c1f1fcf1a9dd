"""What the driver is measured against: two loops written by hand, and the official client."""

from __future__ import annotations

import http.client
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec

from .library import PAGE

if TYPE_CHECKING:
    from collections.abc import Callable

Rows = Sequence[tuple[Any, ...]]
Query = Mapping[str, str | int]

_COLUMNS = (
    "id",
    "assistant_id",
    "attachments",
    "completed_at",
    "content",
    "created_at",
    "incomplete_at",
    "incomplete_details",
    "metadata",
    "object",
    "role",
    "run_id",
    "status",
    "thread_id",
)


class Page(NamedTuple):
    """Rows, and the id after which the next page begins; None after the last."""

    rows: list[tuple[Any, ...]]
    after: str | None


class Plain(ABC):
    """Do the work with one request after the other."""

    requests = 0

    def list_all(self, thread_id: str) -> Rows:
        """List a thread into tuples of all columns."""
        query: dict[str, str | int] = {"limit": PAGE, "order": "asc"}
        found: list[tuple[Any, ...]] = []
        while True:
            rows, after = self._page(self._send("GET", f"/{thread_id}/messages", query))
            found += rows
            if after is None:
                return found
            query["after"] = after

    def list_each(self, thread_ids: Sequence[str]) -> Rows:
        """List several threads."""
        return [row for thread_id in thread_ids for row in self.list_all(thread_id)]

    def newest(self, thread_id: str, count: int) -> Rows:
        """List the newest messages."""
        return self._page(self._send("GET", f"/{thread_id}/messages", {"limit": count, "order": "desc"})).rows

    def point(self, thread_id: str, message_id: str) -> Rows:
        """Get one message."""
        return [self._row(self._send("GET", f"/{thread_id}/messages/{message_id}"))]

    def label(self, thread_id: str, role: str, metadata: Mapping[str, str]) -> Rows:
        """Set the metadata of the messages of a role."""
        place = _COLUMNS.index("role")
        ids = [row[0] for row in self.list_all(thread_id) if row[place] == role]
        send = self._send
        return [self._row(send("POST", f"/{thread_id}/messages/{key}", body={"metadata": metadata})) for key in ids]

    def create(self, thread_id: str, contents: Sequence[str]) -> Rows:
        """Create messages in a thread."""
        bodies = [{"role": "user", "content": content} for content in contents]
        return [self._row(self._send("POST", f"/{thread_id}/messages", body=body)) for body in bodies]

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @abstractmethod
    def _send(self, method: str, path: str, query: Query | None = None, body: object = None) -> bytes: ...

    @abstractmethod
    def _page(self, reply: bytes) -> Page: ...

    @abstractmethod
    def _row(self, reply: bytes) -> tuple[Any, ...]: ...


class Loop(Plain):
    """requests and orjson, as one would write it by hand."""

    def __init__(self, base_url: str) -> None:
        # Imported here for the measure of memory, which wants no other library in its process.
        import orjson
        import requests

        self._threads = f"{base_url}/threads"
        self._session = requests.Session()
        self._session.headers["OpenAI-Beta"] = "assistants=v2"
        self._loads = orjson.loads
        self._values: Callable[[Any], tuple[Any, ...]] = itemgetter(*_COLUMNS)

    def close(self) -> None:
        self._session.close()

    def _send(self, method: str, path: str, query: Query | None = None, body: object = None) -> bytes:
        self.requests += 1
        response = self._session.request(method, self._threads + path, params=query, json=body)
        response.raise_for_status()
        return response.content

    def _page(self, reply: bytes) -> Page:
        listing = self._loads(reply)
        rows = [self._values(message) for message in listing["data"]]
        return Page(rows, listing["last_id"] if listing["has_more"] else None)

    def _row(self, reply: bytes) -> tuple[Any, ...]:
        return self._values(self._loads(reply))


class _Message(msgspec.Struct):
    id: str
    assistant_id: str | None
    attachments: msgspec.Raw
    completed_at: int | None
    content: msgspec.Raw
    created_at: int
    incomplete_at: int | None
    incomplete_details: msgspec.Raw
    metadata: msgspec.Raw
    object: str
    role: str
    run_id: str | None
    status: str
    thread_id: str


class _Listing(msgspec.Struct):
    data: list[_Message]
    has_more: bool
    last_id: str | None


_LISTING = msgspec.json.Decoder(_Listing)
_MESSAGE = msgspec.json.Decoder(_Message)


def _text(raw: msgspec.Raw) -> str | None:
    text = str(raw, "utf-8")
    return None if text == "null" else text


def _floor_row(message: _Message) -> tuple[Any, ...]:
    return (
        message.id,
        message.assistant_id,
        _text(message.attachments),
        message.completed_at,
        _text(message.content),
        message.created_at,
        message.incomplete_at,
        _text(message.incomplete_details),
        _text(message.metadata),
        message.object,
        message.role,
        message.run_id,
        message.status,
        message.thread_id,
    )


class Floor(Plain):
    """http.client and msgspec, nothing compressed, JSON columns left as the text they came in."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._threads = f"{parts.path}/threads"
        self._connection = http.client.HTTPConnection(parts.netloc)

    def close(self) -> None:
        self._connection.close()

    def _send(self, method: str, path: str, query: Query | None = None, body: object = None) -> bytes:
        self.requests += 1
        target = f"{self._threads}{path}?{urlencode(query)}" if query else self._threads + path
        content = None if body is None else msgspec.json.encode(body)
        headers = {"OpenAI-Beta": "assistants=v2", "Content-Type": "application/json"}
        response = self._answer(method, target, content, headers)
        reply = response.read()
        if response.status != 200:
            raise RuntimeError(f"{method} {path}: {response.status}")
        return reply

    def _answer(
        self, method: str, target: str, content: bytes | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        try:
            self._connection.request(method, target, content, headers)
            return self._connection.getresponse()
        except http.client.RemoteDisconnected:
            # The service has closed a connection that said nothing for a minute.
            self._connection.close()
            self._connection.request(method, target, content, headers)
            return self._connection.getresponse()

    def _page(self, reply: bytes) -> Page:
        listing = _LISTING.decode(reply)
        return Page(list(map(_floor_row, listing.data)), listing.last_id if listing.has_more else None)

    def _row(self, reply: bytes) -> tuple[Any, ...]:
        return _floor_row(_MESSAGE.decode(reply))


class Official:
    """The official client, its pages followed by itself."""

    def __init__(self, base_url: str) -> None:
        import openai

        self.requests = 0
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key="none",
            max_retries=0,
            http_client=openai.DefaultHttpxClient(event_hooks={"request": [self._count]}),
        )
        self._row: Callable[[object], tuple[Any, ...]] = attrgetter(*_COLUMNS)
        # It marks these calls as deprecated, because OpenAI has ended its own service of them.
        warnings.filterwarnings("ignore", "The Assistants API is deprecated", DeprecationWarning)

    def _count(self, _: object) -> None:
        self.requests += 1

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def list_all(self, thread_id: str) -> Rows:
        """List a thread into tuples of all columns."""
        return list(map(self._row, self._client.beta.threads.messages.list(thread_id, limit=PAGE, order="asc")))

    def list_small(self, thread_id: str) -> Rows:
        """List a thread with the pages that it takes by itself, of 20 messages."""
        return list(map(self._row, self._client.beta.threads.messages.list(thread_id, order="asc")))

    def list_each(self, thread_ids: Sequence[str]) -> Rows:
        """List several threads."""
        return [row for thread_id in thread_ids for row in self.list_all(thread_id)]

    def newest(self, thread_id: str, count: int) -> Rows:
        """List the newest messages."""
        page = self._client.beta.threads.messages.list(thread_id, limit=count, order="desc")
        return list(map(self._row, page.data))

    def point(self, thread_id: str, message_id: str) -> Rows:
        """Get one message."""
        return [self._row(self._client.beta.threads.messages.retrieve(message_id, thread_id=thread_id))]

    def label(self, thread_id: str, role: str, metadata: Mapping[str, str]) -> Rows:
        """Set the metadata of the messages of a role."""
        messages = self._client.beta.threads.messages
        found = [message.id for message in messages.list(thread_id, limit=PAGE, order="asc") if message.role == role]
        labels = dict(metadata)
        return [self._row(messages.update(key, thread_id=thread_id, metadata=labels)) for key in found]

    def create(self, thread_id: str, contents: Sequence[str]) -> Rows:
        """Create messages in a thread."""
        create = self._client.beta.threads.messages.create
        return [self._row(create(thread_id, role="user", content=content)) for content in contents]
