"""A server of HTTP on a real socket that misbehaves as it is told, request by request."""

from __future__ import annotations

import itertools
import json
import select
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

CERTIFICATE = Path(__file__).with_name("localhost.pem")


class Seen(NamedTuple):
    """Hold a request that the server has read whole."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Link(NamedTuple):
    """Hold one connection, for the actions."""

    sock: socket.socket
    number: int
    server: Wire


# An action meets one request, and returns whether the connection goes on.
Action = Callable[[Link], bool]


class Wire:
    """Serve each request by the next action that was told, and by an empty object with 200 after the last."""

    def __init__(self, tls: bool = False) -> None:
        self.requests: list[Seen] = []
        self.connections = 0
        self.closed = threading.Event()
        self._actions: deque[Action] = deque()
        self._lock = threading.Lock()
        self._links: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._context = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(CERTIFICATE)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def tell(self, *actions: Action) -> None:
        """Add actions for the requests to come."""
        self._actions.extend(actions)

    def close(self) -> None:
        self.closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._links:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        for number in itertools.count(1):
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections = number
            threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            with self._lock:
                self._links.add(sock)
            while self._readable(sock):
                if not self._next()(Link(sock, number, self)):
                    break
        except (OSError, ValueError):
            pass  # The client went away, which is what many tests want.
        finally:
            with self._lock:
                self._links.discard(sock)
            sock.close()

    def _readable(self, sock: socket.socket) -> bool:
        # Without taking anything, for some actions never read; below TLS, which cannot peek.
        select.select([sock], [], [])
        return socket.socket.recv(sock, 1, socket.MSG_PEEK) != b""

    def _next(self) -> Action:
        with self._lock:
            return self._actions.popleft() if self._actions else reply()


@contextmanager
def serving(*actions: Action, tls: bool = False) -> Iterator[Wire]:
    """Run a server that has been told these actions."""
    server = Wire(tls)
    server.tell(*actions)
    try:
        yield server
    finally:
        server.close()


def read(link: Link) -> Seen:
    """Read one request and note it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = link.sock.recv(1)
        if not byte:
            raise ConnectionError("the client closed")
        head += byte
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if ": " in line)}
    body = b""
    while len(body) < int(headers.get("content-length", "0")):
        body += link.sock.recv(65536)
    seen = Seen(method, target, headers, body, link.number)
    link.server.requests.append(seen)
    return seen


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Write the head of a reply."""
    lines = [f"HTTP/1.1 {status} Told", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reply(
    status: int = 200,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    *,
    announce: bool = False,
    leave: bool = False,
) -> Action:
    """Answer whole: bytes as they are, anything else as JSON; then close, announced or not, if told so."""
    content = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    lines = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
    if announce:
        lines["Connection"] = "close"
    return raw(head(status, lines) + content, leave=announce or leave)


def refusal(status: int, message: str = "no", *, code: str | None = None, **headers: str) -> Action:
    """Answer with the error envelope of the contract; headers are named with underscores."""
    error = {"message": message, "type": "told", "param": None, "code": code}
    return reply(status, {"error": error}, {name.replace("_", "-"): value for name, value in headers.items()})


def raw(data: bytes, *, leave: bool = True) -> Action:
    """Read the request, send these bytes, then close the connection or keep it."""

    def act(link: Link) -> bool:
        read(link)
        link.sock.sendall(data)
        return not leave

    return act


def drip(data: bytes, pause: float) -> Action:
    """Read the request and answer byte by byte."""

    def act(link: Link) -> bool:
        read(link)
        for byte in data:
            link.sock.sendall(bytes([byte]))
            time.sleep(pause)
        return False

    return act


def silence(link: Link) -> bool:
    """Read the request and say nothing until the client leaves."""
    read(link)
    link.sock.recv(1)
    return False


def hang_up(link: Link) -> bool:
    """Read the request and close without an answer."""
    read(link)
    return False


def reset(link: Link) -> bool:
    """Read the request, as a service that applies it, and reset the connection."""
    read(link)
    return reset_unread(link)


def reset_unread(link: Link) -> bool:
    """Reset the connection without reading the request."""
    link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def closed_port() -> int:
    """Find a port of this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
