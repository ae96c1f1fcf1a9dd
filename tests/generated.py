"""A service that makes up its messages as they are asked for: any number of them, in no memory, as slow as told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

BEGAN = 1_700_000_000


def key(number: int) -> str:
    """Give the id of a message."""
    return f"msg_{number:09d}"


def message(thread: str, number: int, text: str, metadata: dict[str, str] | None = None) -> dict[str, Any]:
    """Make up a message: each is one second younger than the one before it."""
    return {
        "id": key(number),
        "object": "thread.message",
        "created_at": BEGAN + number,
        "thread_id": thread,
        "status": "completed",
        "role": "user",
        "content": [{"type": "text", "text": {"value": text, "annotations": []}}],
        "metadata": metadata or {},
    }


class Generated:
    """Be a WSGI application whose every thread has ``count`` messages; each answer takes ``pause`` seconds.

    It modifies and deletes, and creates, what it is asked to, and forgets it. ``stop`` ends the pauses.
    """

    def __init__(self, count: int, *, pause: float = 0.0, text: str = "") -> None:
        self.count = count
        self.pause = pause
        self.text = text
        self.stop = threading.Event()
        self.asked = 0
        self.bodies: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            self.asked += 1
        self.stop.wait(self.pause)
        body = json.dumps(self._answer(environ)).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def _answer(self, environ: WSGIEnvironment) -> dict[str, Any]:
        path: list[str] = environ["PATH_INFO"].split("/")
        method, thread, known = environ["REQUEST_METHOD"], path[3], path[5] if len(path) > 5 else ""
        if method == "GET" and not known:
            return self._page(thread, parse_qs(environ["QUERY_STRING"]))
        number = int(known.removeprefix("msg_")) if known else self.count
        if method == "DELETE":
            return {"id": key(number), "object": "thread.message.deleted", "deleted": True}
        if method == "POST":
            sent = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            with self._lock:
                self.bodies.append(sent)
            return message(thread, number, str(sent.get("content", "")), sent.get("metadata"))
        return message(thread, number, self.text)

    def _page(self, thread: str, query: dict[str, list[str]]) -> dict[str, Any]:
        limit, step = int(query["limit"][0]), 1 if query["order"][0] == "asc" else -1
        first = 0 if step == 1 else self.count - 1
        if "after" in query:
            first = int(query["after"][0].removeprefix("msg_")) + step
        numbers = range(first, max(-1, min(self.count, first + step * limit)), step)
        return {
            "object": "list",
            "data": [message(thread, number, self.text or f"message {number}") for number in numbers],
            "first_id": key(numbers[0]) if numbers else None,
            "last_id": key(numbers[-1]) if numbers else None,
            "has_more": bool(numbers) and 0 < numbers[-1] + (step > 0) < self.count,
        }
