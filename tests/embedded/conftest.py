"""The embedded service in its forms, each answer held against the contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests

from messages_dbapi.embedded.app import Application
from messages_dbapi.embedded.serve import Server
from messages_dbapi.embedded.store import Store
from messages_dbapi.embedded.transport import EmbeddedAdapter

from .contract import Held

BETA = {"OpenAI-Beta": "assistants=v2"}


class Seen(NamedTuple):
    """What the request log got."""

    method: str
    path: str
    query: str
    status: int


class Service:
    """A client of the service, in process or over a socket, that adds no more than the one needed header."""

    def __init__(self, session: requests.Session, base_url: str, seen: list[Seen]) -> None:
        self.session = session
        self.base_url = base_url
        self.seen = seen

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        """Send a request; ``path`` begins after the base path."""
        return self.session.request(method, self.base_url + path, json=body, **{"headers": BETA, **options})

    def ok(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        """Send a request that must succeed and give its JSON."""
        response = self.call(method, path, body, **options)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def refused(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, dict[str, Any]]:
        """Send a request that must fail and give its status and error."""
        response = self.call(method, path, body, **options)
        error: dict[str, Any] = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return response.status_code, error

    def thread(self, *texts: str) -> str:
        """Create a thread with these messages and give its id."""
        messages = [{"role": "user", "content": text} for text in texts]
        return str(self.ok("POST", "/threads", {"messages": messages})["id"])


def session() -> requests.Session:
    """Open a session that reads nothing from the environment."""
    opened = requests.Session()
    opened.trust_env = False
    return opened


@pytest.fixture
def store() -> Iterator[Store]:
    """Give a store in memory."""
    with Store() as opened:
        yield opened


@pytest.fixture
def seen() -> list[Seen]:
    """Give the request log of the application."""
    return []


@pytest.fixture
def app(store: Store, seen: list[Seen]) -> Iterator[Held]:
    """Give the application without a key."""
    held = Held(Application(store, on_request=lambda *request: seen.append(Seen(*request))))
    yield held
    assert not held.faults


@pytest.fixture
def service(app: Held, seen: list[Seen]) -> Iterator[Service]:
    """Give the service in process."""
    with session() as opened:
        opened.mount("http://embedded", EmbeddedAdapter(app))
        yield Service(opened, "http://embedded/v1", seen)


@pytest.fixture
def server(app: Held) -> Iterator[Server]:
    """Give the application on a socket."""
    with Server(app) as started:
        yield started


@pytest.fixture
def served(server: Server, seen: list[Seen]) -> Iterator[Service]:
    """Give the service over a socket."""
    with session() as opened:
        yield Service(opened, server.base_url, seen)
