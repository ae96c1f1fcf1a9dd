"""A front on a real socket before the embedded service: each write meets the next fault that was told."""

from __future__ import annotations

import io
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any, NamedTuple

import messages_dbapi
from messages_dbapi.connection import Connection
from messages_dbapi.embedded import gateway
from messages_dbapi.embedded.app import Application
from messages_dbapi.embedded.documents import Draft
from messages_dbapi.embedded.store import Page, Store

from .wire import Action, Link, Seen, Wire, head, read, reset_unread

SOON = {"Retry-After": "0.001"}


class Applied(NamedTuple):
    """A create of the client that reached the store."""

    thread: str
    text: str
    id: str


# A fault meets one write that was read, and returns whether the connection goes on.
Fault = Callable[["Front", Link, Seen], bool]


class Front(Wire):
    """Pass requests on to a service, but meet each write (or, with ``reads``, each read) with a fault where told.

    ``applied`` lists the creates that were passed on. ``late`` holds writes that are passed on only after the
    next read was answered. ``date`` gives the Date header, None for none. ``dress`` changes what is listed.
    ``plan`` chooses the fault of every request, in place of all these. ``elsewhere`` is the address of another
    host, and ``remembered`` is what a fault keeps from one request to the next.
    """

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or Store()
        self.app = Application(self.store)
        self.applied: list[Applied] = []
        self.posts = 0
        self.late: list[Seen] = []
        self.faults: deque[Fault | None] = deque()
        self.reads: deque[Fault | None] = deque()
        self.choose: Callable[[], Fault | None] = lambda: None
        self.plan: Callable[[Seen], Fault | None] | None = None
        self.elsewhere = ""
        self.remembered: dict[str, bytes] = {}
        self.date: Callable[[], float | None] = time.time
        self.dress: Callable[[dict[str, Any]], None] | None = None
        self._order = threading.RLock()
        super().__init__()

    def connect(self, **options: Any) -> Connection:
        """Connect to it."""
        return messages_dbapi.connect(base_url=f"http://127.0.0.1:{self.port}/v1", **options)

    def thread(self, *texts: str, age: int = 0, thread_id: str | None = None) -> str:
        """Add a thread with messages of others, the newest of them some seconds old."""
        made = int(time.time()) - age
        return self.store.add_thread(
            messages=[Draft(content=text, created_at=made) for text in texts], thread_id=thread_id
        ).id

    def another(self, thread: str, text: str, **draft: Any) -> str:
        """Let another writer add a message, and give its id."""
        return self.store.add_message(thread, Draft(content=text, **draft)).id

    def texts(self, thread: str) -> list[tuple[str, str]]:
        """List the ids and texts of a thread, oldest first."""
        found: list[tuple[str, str]] = []
        while True:
            after = found[-1][0] if found else None
            listing = self.store.messages(thread, Page(limit=100, ascending=True, after=after))
            found += [(row.id, json.loads(row.reply)["content"][0]["text"]["value"]) for row in listing.rows]
            if not listing.has_more:
                return found

    def ask(self, target: str) -> Any:
        """Read from the service itself."""
        return json.loads(self.pass_on(Seen("GET", target, {"openai-beta": "assistants=v2"}, b"", 0)).body)

    def pass_on(self, seen: Seen) -> gateway.Answer:
        """Give a request to the service."""
        environ = gateway.environment(
            seen.method, seen.target, seen.headers.items(), io.BytesIO(seen.body), ("127.0.0.1", self.port)
        )
        with self._order:
            answer = gateway.call(self.app, environ)
            path = seen.target.split("/")
            if seen.method == "POST" and len(path) == 5 and answer.status == "200 OK":
                text = json.loads(seen.body)["content"]
                self.applied.append(Applied(path[3], text, json.loads(answer.body)["id"]))
        return answer

    def answer(self, link: Link, answer: gateway.Answer, *, announce: bool = False) -> bool:
        """Send an answer of the service, with an announcement of a close if told so."""
        headers = {name: value for name, value in answer.headers if name != "Date"}
        date = self.date()
        if date is not None:
            headers["Date"] = formatdate(date, usegmt=True)
        if announce:
            headers["Connection"] = "close"
        link.sock.sendall(head(int(answer.status[:3]), headers) + answer.body)
        return not announce

    def apply_late(self) -> None:
        """Pass on what was held back."""
        with self._order:
            held, self.late[:] = self.late[:], []
        for seen in held:
            self.pass_on(seen)

    def _next(self) -> Action:
        return self._meet

    def _meet(self, link: Link) -> bool:
        seen = read(link)
        fault = self._fault(seen)
        if fault is not None:
            return fault(self, link, seen)
        answer = self.pass_on(seen)
        if seen.method == "GET":
            self.apply_late()
            if self.dress is not None and answer.status == "200 OK":
                answer = _dressed(answer, self.dress)
        return self.answer(link, answer)

    def _fault(self, seen: Seen) -> Fault | None:
        with self._order:
            if self.plan is not None:
                return self.plan(seen)
            if seen.method == "GET":
                return self.reads.popleft() if self.reads else None
            self.posts += seen.method == "POST"
            return self.faults.popleft() if self.faults else self.choose()


def _dressed(answer: gateway.Answer, dress: Callable[[dict[str, Any]], None]) -> gateway.Answer:
    listing = json.loads(answer.body)
    for message in listing["data"]:
        dress(message)
    body = json.dumps(listing).encode()
    headers = [(name, str(len(body)) if name == "Content-Length" else value) for name, value in answer.headers]
    return gateway.Answer(answer.status, headers, body)


@contextmanager
def fronting(store: Store | None = None) -> Iterator[Front]:
    """Run a front."""
    front = Front(store)
    try:
        yield front
    finally:
        front.close()
        front.store.close()


def lose(front: Front, link: Link, seen: Seen) -> bool:
    """Reset the connection; nothing is applied."""
    return reset_unread(link)


def hold(front: Front, link: Link, seen: Seen) -> bool:
    """Reset the connection, and apply only after the next read was answered."""
    front.late.append(seen)
    return reset_unread(link)


def say(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Fault:
    """Answer otherwise than the service; nothing is applied."""

    def act(front: Front, link: Link, seen: Seen) -> bool:
        lines = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        link.sock.sendall(head(status, lines) + body)
        return True

    return act


def refuse(status: int, headers: Mapping[str, str] | None = None) -> Fault:
    """Answer with the service's error envelope; nothing is applied."""
    error = {"message": "no", "type": "told", "param": None, "code": None}
    return say(status, json.dumps({"error": error}).encode(), headers)


def truncate(front: Front, link: Link, seen: Seen) -> bool:
    """Apply, and send half of the reply."""
    answer = front.pass_on(seen)
    lines = head(200, {"Content-Type": "application/json", "Content-Length": str(len(answer.body))})
    link.sock.sendall(lines + answer.body[: len(answer.body) // 2])
    return False


def after_applying(fault: Fault) -> Fault:
    """Apply, and then go wrong."""

    def act(front: Front, link: Link, seen: Seen) -> bool:
        front.pass_on(seen)
        return fault(front, link, seen)

    return act


def doing(fault: Fault | None, *, before: Callable[[], object] = bool, after: Callable[[], object] = bool) -> Fault:
    """Do something before and after a fault has applied or not applied a write, still before it is answered."""

    def act(front: Front, link: Link, seen: Seen) -> bool:
        before()
        if fault is None:
            answer = front.pass_on(seen)
            after()
            return front.answer(link, answer)
        goes_on = fault(front, link, seen)
        after()
        return goes_on

    return act
