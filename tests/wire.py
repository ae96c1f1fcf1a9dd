"""A server of HTTP on a real socket that misbehaves as it is told, request by request."""

from __future__ import annotations

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
        self.port = int(self._listener.getsockname()[1])
        self._context = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(CERTIFICATE)
        threading.Thread(target=self._accept, daemon=True).start()

    def tell(self, *actions: Action) -> None:
        """Add actions for the requests to come."""
        self._actions.extend(actions)

    def close(self) -> None:
        self.closed.set()
        self.refuse()
        self.drop()

    def refuse(self) -> None:
        """Close the port; connections that stand go on."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def drop(self) -> None:
        """Close every connection."""
        with self._lock:
            for sock in self._links:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def accept_again(self) -> None:
        """Open the port again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        listener = self._listener
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

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


def _up_to_body(sock: socket.socket, head: bytes) -> int:
    """Tell how many bytes can be read without taking anything of what follows the head; TLS cannot peek."""
    if isinstance(sock, ssl.SSLSocket):
        return 1
    ahead = sock.recv(65536, socket.MSG_PEEK)
    end = (head[-3:] + ahead).find(b"\r\n\r\n")
    return max(1, len(ahead) if end < 0 else end + 4 - len(head[-3:]))


def read(link: Link) -> Seen:
    """Read one request and note it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = link.sock.recv(_up_to_body(link.sock, head))
        if not piece:
            raise ConnectionError("the client closed")
        head += piece
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


def hang_up_at_once(link: Link, data: bytes) -> bool:
    """Send bytes and close without announcing it, so that whoever has read them sees the close as well."""
    # Held back by Linux until the close goes with it.
    link.sock.sendall(data, getattr(socket, "MSG_MORE", 0))
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
