"""What the driver is measured against: a loop written by hand, and the official client."""

from __future__ import annotations

import warnings
from typing import Any

import msgspec
import openai
import requests

from .library import LISTED

PAGE = 100


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


class _Short(msgspec.Struct):
    id: str
    role: str


class _ShortListing(msgspec.Struct):
    data: list[_Short]
    has_more: bool
    last_id: str | None


_LISTING = msgspec.json.Decoder(_Listing)
_SHORT_LISTING = msgspec.json.Decoder(_ShortListing)
_MESSAGE = msgspec.json.Decoder(_Message)


def _text(raw: msgspec.Raw) -> str | None:
    text = str(raw, "utf-8")
    return None if text == "null" else text


def _row(message: _Message) -> tuple[Any, ...]:
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


class Loop:
    """A plain requests session and msgspec: what one would write by hand for this one task."""

    def __init__(self, base_url: str) -> None:
        self._threads = f"{base_url}/threads"
        self._session = requests.Session()
        self._session.headers["OpenAI-Beta"] = "assistants=v2"
        self.requests = 0

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def list_all(self) -> list[tuple[Any, ...]]:
        """List the thread into tuples of all columns."""
        return [row for listing in self._pages(_LISTING) for row in map(_row, listing.data)]

    def list_short(self) -> list[tuple[Any, ...]]:
        """List the thread into tuples of two columns."""
        return [(message.id, message.role) for listing in self._pages(_SHORT_LISTING) for message in listing.data]

    def newest(self, count: int) -> list[tuple[Any, ...]]:
        """List the newest messages into tuples of all columns."""
        return list(map(_row, _LISTING.decode(self._get(LISTED, {"limit": count, "order": "desc"})).data))

    def point(self, message_id: str) -> list[tuple[Any, ...]]:
        """Get one message as a tuple of all columns."""
        self.requests += 1
        response = self._session.get(f"{self._threads}/{LISTED}/messages/{message_id}")
        response.raise_for_status()
        return [_row(_MESSAGE.decode(response.content))]

    def create(self, thread_ids: list[str], content: str) -> list[tuple[Any, ...]]:
        """Create a message in each thread."""
        return [self._create(thread_id, content) for thread_id in thread_ids]

    def size_of_page(self) -> int:
        """Give the bytes of the first page."""
        return len(self._get(LISTED, {"limit": PAGE}))

    def _create(self, thread_id: str, content: str) -> tuple[Any, ...]:
        self.requests += 1
        body = {"role": "user", "content": content}
        response = self._session.post(f"{self._threads}/{thread_id}/messages", json=body)
        response.raise_for_status()
        return _row(_MESSAGE.decode(response.content))

    def _pages(self, decoder: Any) -> Any:
        query: dict[str, str | int] = {"limit": PAGE, "order": "asc"}
        while True:
            listing = decoder.decode(self._get(LISTED, query))
            yield listing
            if not listing.has_more:
                return
            query["after"] = listing.last_id

    def _get(self, thread_id: str, query: dict[str, str | int]) -> bytes:
        self.requests += 1
        response = self._session.get(f"{self._threads}/{thread_id}/messages", params=query)
        response.raise_for_status()
        return response.content


class Official:
    """The official client, its pages followed by itself."""

    def __init__(self, base_url: str) -> None:
        self.requests = 0
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key="none",
            max_retries=0,
            http_client=openai.DefaultHttpxClient(event_hooks={"request": [self._count]}),
        )
        # It marks these calls as deprecated, because OpenAI has ended its own service of them.
        warnings.filterwarnings("ignore", "The Assistants API is deprecated", DeprecationWarning)

    def _count(self, _: object) -> None:
        self.requests += 1

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def list_all(self) -> list[tuple[Any, ...]]:
        """List the thread into tuples of all columns."""
        found = self._client.beta.threads.messages.list(LISTED, limit=PAGE, order="asc")
        return list(map(_official_row, found))

    def newest(self, count: int) -> list[tuple[Any, ...]]:
        """List the newest messages into tuples of all columns."""
        page = self._client.beta.threads.messages.list(LISTED, limit=count, order="desc")
        return list(map(_official_row, page.data))

    def point(self, message_id: str) -> list[tuple[Any, ...]]:
        """Get one message as a tuple of all columns."""
        return [_official_row(self._client.beta.threads.messages.retrieve(message_id, thread_id=LISTED))]

    def create(self, thread_ids: list[str], content: str) -> list[tuple[Any, ...]]:
        """Create a message in each thread."""
        create = self._client.beta.threads.messages.create
        return [_official_row(create(thread_id, role="user", content=content)) for thread_id in thread_ids]


def _official_row(message: Any) -> tuple[Any, ...]:
    return (
        message.id,
        message.assistant_id,
        message.attachments,
        message.completed_at,
        message.content,
        message.created_at,
        message.incomplete_at,
        message.incomplete_details,
        message.metadata,
        message.object,
        message.role,
        message.run_id,
        message.status,
        message.thread_id,
    )
