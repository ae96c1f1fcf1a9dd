"""PEP 3333, the server's side: a request as an environment, and an application called to its end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication, WSGIEnvironment

# These two reach an application without the HTTP_ of the other headers.
_PLAIN_HEADERS = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})

_GIVEN_UP: ContextVar[Callable[[], bool]] = ContextVar("whether the caller has given up", default=bool)


class Answer(NamedTuple):
    """What an application said; ``status`` is as ``200 OK``."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


def environment(
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]],
    stream: BinaryIO,
    server: tuple[str, int],
) -> WSGIEnvironment:
    """Describe a request; ``target`` is its path and query as they were sent."""
    path, _, query = target.partition("?")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": target,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": stream,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in headers:
        # `api_key` would be taken for `api-key`.
        if "_" not in name:
            key = name.upper().replace("-", "_")
            key = key if key in _PLAIN_HEADERS else f"HTTP_{key}"
            environ[key] = f"{environ[key]}, {value}" if key in environ else value
    return environ


@contextmanager
def waiting(given_up: Callable[[], bool]) -> Iterator[None]:
    """Let an application that is called in this thread ask whether its caller has given up."""
    token = _GIVEN_UP.set(given_up)
    try:
        yield
    finally:
        _GIVEN_UP.reset(token)


def given_up() -> bool:
    """Tell whether the caller of the application has given up; one on a socket never says so."""
    return _GIVEN_UP.get()()


def call(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """Call an application and collect its answer; its exceptions pass."""
    head = _Head()
    chunks = app(environ, head)
    try:
        return Answer(head.status, head.headers, b"".join(chunks))
    finally:
        if hasattr(chunks, "close"):
            chunks.close()


class _Head:
    """Take the status and headers: PEP 3333's ``start_response``."""

    status = ""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
        self.status = status
        self.headers = headers
        return _refuse_write


def _refuse_write(data: bytes, /) -> None:
    raise NotImplementedError("an application is to return its body here, not to write it")
