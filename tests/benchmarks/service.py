"""The embedded service as one meets it over a network: late, compressed, printed as services print JSON.

python -m tests.benchmarks.service STORE LATENCY FORM serves until its input ends.
"""

from __future__ import annotations

import gzip
import sys
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from messages_dbapi.embedded import gateway
from messages_dbapi.embedded.app import Application
from messages_dbapi.embedded.server import Server
from messages_dbapi.embedded.store import Store

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# Bytes of replies that are kept.
_KEPT = 100 << 20
_GZIP_FROM = 1_000
FORMS = {"pretty": 2, "compact": 0}


class Kept:
    """Print and compress replies, and keep those of reads, so that the service's work weighs on nobody's time."""

    def __init__(self, app: WSGIApplication, form: str) -> None:
        self._app = app
        self._indent = FORMS[form]
        self._kept: dict[tuple[str, str, bool], gateway.Answer] = {}
        self._size = 0
        self._lock = threading.Lock()

    def answer(self, environ: WSGIEnvironment) -> gateway.Answer:
        """Answer a request."""
        # /v1/threads/ID/messages
        thread = "".join(environ["PATH_INFO"].split("/")[3:4])
        compressed = "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")
        if environ["REQUEST_METHOD"] != "GET":
            return self._write(environ, thread, compressed)
        key = (thread, environ["REQUEST_URI"], compressed)
        answer = self._kept.get(key)
        return self._keep(key, self._dressed(environ, compressed)) if answer is None else answer

    def _write(self, environ: WSGIEnvironment, thread: str, compressed: bool) -> gateway.Answer:
        answer = self._dressed(environ, compressed)
        with self._lock:
            self._kept = {key: kept for key, kept in self._kept.items() if key[0] != thread}
        return answer

    def _keep(self, key: tuple[str, str, bool], answer: gateway.Answer) -> gateway.Answer:
        with self._lock:
            if self._size > _KEPT:
                self._kept, self._size = {}, 0
            self._kept[key] = answer
            self._size += len(answer.body)
        return answer

    def _dressed(self, environ: WSGIEnvironment, compressed: bool) -> gateway.Answer:
        status, headers, body = gateway.call(self._app, environ)
        body = msgspec.json.format(body, indent=self._indent) if self._indent else body
        headers = [(name, value) for name, value in headers if name != "Content-Length"]
        if compressed and len(body) >= _GZIP_FROM:
            body = gzip.compress(body, 5)
            headers.append(("Content-Encoding", "gzip"))
        return gateway.Answer(status, [*headers, ("Content-Length", str(len(body)))], body)


class Late:
    """Answer after so many seconds."""

    def __init__(self, kept: Kept, latency: float) -> None:
        self._kept = kept
        self._latency = latency

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as PEP 3333 says."""
        due = time.monotonic() + self._latency
        answer = self._kept.answer(environ)
        # The service's own work is part of the latency.
        time.sleep(max(0.0, due - time.monotonic()))
        start_response(answer.status, answer.headers)
        return [answer.body]


def main(path: str, latency: str, form: str) -> None:
    """Print the URLs, serve, and end with the input."""
    with Store(path) as store:
        kept = Kept(Application(store), form)
        with Server(Late(kept, 0)) as near, Server(Late(kept, int(latency) / 1000)) as far:
            sys.stdout.write(f"{near.base_url}\n{far.base_url}\n")
            sys.stdout.flush()
            sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
