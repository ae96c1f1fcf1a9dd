"""A WSGI application over HTTP/1.1: sockets, connections, framing; a thread for each connection."""

from __future__ import annotations

import http.server
import io
import ipaddress
import logging
import os
import socket
import socketserver
import sys
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import InterfaceError
from . import documents, gateway
from .app import BASE_PATH

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

logger = logging.getLogger(__name__)

# Seconds that a connection may say nothing, between requests or within one.
IDLE_TIMEOUT = 60
# Seconds that stop() waits for requests in flight: longer than the store waits for another writer.
GRACE = 40
# What is still read of a body that nobody wanted, so that the client gets to see the answer: bytes, seconds.
_LINGER_BYTES = 64 * 1024 * 1024
_LINGER_SECONDS = 5


class Server:
    """Serve ``app`` on a socket, from ``start`` to ``stop`` or as a context manager.

    ``port`` 0 is any free one. ``local_names`` answers only what is addressed to this machine's
    loopback: without a key, that keeps out web pages whose host name was pointed at 127.0.0.1.
    Raises InterfaceError where it cannot listen.
    """

    def __init__(
        self, app: WSGIApplication, host: str = "127.0.0.1", port: int = 0, *, local_names: bool = False
    ) -> None:
        if not 0 <= port <= 65535:
            # getaddrinfo() would take it modulo 65536.
            raise InterfaceError(f"cannot listen on {host} port {port}: a port is a number from 0 to 65535")
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._listener = _Listener(app, family, address, local_names)
        except (OSError, UnicodeError) as error:
            raise InterfaceError(f"cannot listen on {host} port {port}: {error}") from error
        self._host = f"[{host}]" if ":" in host else host
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True)

    @property
    def base_url(self) -> str:
        """Give the URL that clients need, such as ``http://127.0.0.1:8000/v1``."""
        return f"http://{self._host}:{self._listener.address[1]}{BASE_PATH}"

    def start(self) -> None:
        """Begin to answer, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests, finish those in flight, close."""
        if self._thread.is_alive():
            self._end_accepting()
        # Before the wait: whoever was not accepted yet would wait too, for an answer that never comes.
        self._listener.server_close()
        self._listener.finish()

    def _end_accepting(self) -> None:
        ending = threading.Thread(target=self._listener.shutdown)
        ending.start()
        # The loop looks whether to end after each connection, and else only now and then.
        with suppress(OSError), socket.create_connection(self._listener.address, timeout=1):
            pass
        ending.join()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    request_queue_size = 128
    # On Windows this option would let another program take the port over.
    allow_reuse_address = os.name == "posix"

    def __init__(self, app: WSGIApplication, family: int, address: Any, local_names: bool) -> None:
        self.app = app
        self.local_names = local_names
        self.address_family = family
        self.stopping = False
        # Every open connection, and whether a request of it is in flight.
        self._busy: dict[socket.socket, bool] = {}
        self._closed = threading.Condition()
        super().__init__(address, _Handler)
        self.address = (str(self.server_address[0]), int(self.server_address[1]))

    def mark(self, connection: socket.socket, *, busy: bool) -> None:
        """Note whether a request is in flight on a connection."""
        self._busy[connection] = busy

    def finish(self) -> None:
        """End the idle connections, and wait for the others to answer and end."""
        self.stopping = True
        with self._closed:
            for connection, busy in list(self._busy.items()):
                if not busy:
                    _stop_reading(connection)
            self._closed.wait_for(lambda: not self._busy, GRACE)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._busy[request] = False
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._closed:
            self._busy.pop(request, None)
            self._closed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has gone away; socketserver would print a traceback."""
        error = sys.exception()
        if not isinstance(error, OSError):
            logger.error("a connection failed with %s", type(error).__name__)


def _stop_reading(connection: socket.socket) -> None:
    try:
        # What has already arrived is still read and answered.
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        return


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Listener
    protocol_version = "HTTP/1.1"
    timeout = IDLE_TIMEOUT
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        self._awaits_continue = False
        self.server.mark(self.connection, busy=False)
        if self.server.stopping:
            self.close_connection = True
        else:
            super().handle_one_request()

    def parse_request(self) -> bool:
        self.server.mark(self.connection, busy=True)
        if not super().parse_request():
            return False
        hosts = self.headers.get_all("Host", [])
        if self.request_version == "HTTP/1.1" and len(hosts) != 1:
            self.send_error(400, "Send one Host header")
            return False
        if self.server.local_names and not all(map(_is_local, hosts)):
            self.send_error(403, "Without a key, this service is reached by the names of its own machine only")
            return False
        return True

    def handle_expect_100(self) -> bool:
        # Said when the application reads the body: it may refuse the request unread.
        self._awaits_continue = True
        return True

    def _serve(self) -> None:
        body = _Body(self, self._body_length())
        stream = io.BufferedReader(body)
        environ = gateway.environment(self.command, self.path, self.headers.items(), stream, self.server.address)
        answer = gateway.call(self.server.app, environ)
        if body.left or self._misframed() or self.request_version != "HTTP/1.1" or self.server.stopping:
            self.close_connection = True
        self._send(answer.status, answer.headers, answer.body)
        if body.left:
            self._linger()

    # The names by which BaseHTTPRequestHandler finds the method for a request.
    do_GET = do_POST = do_DELETE = do_HEAD = do_OPTIONS = do_PUT = do_PATCH = do_TRACE = do_QUERY = _serve  # noqa: N815 - see above

    def _misframed(self) -> bool:
        # Where the next request begins cannot be told.
        lengths = self.headers.get_all("Content-Length", [])
        return "Transfer-Encoding" in self.headers or len(lengths) > 1 or not all(map(_is_length, lengths))

    def _body_length(self) -> int:
        return 0 if self._misframed() else int(self.headers.get("Content-Length", 0))

    def _send(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        if self.close_connection:
            headers = [*headers, ("Connection", "close")]
        lines = [f"HTTP/1.1 {status}", *[f"{name}: {value}" for name, value in headers], "", ""]
        # One send: a second packet could wait for the client's delayed acknowledgement of the first.
        self.wfile.write("\r\n".join(lines).encode("latin-1") + body)

    def _linger(self) -> None:
        # Closing with unread input resets the connection, and the client may lose the answer.
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1)
        ends = time.monotonic() + _LINGER_SECONDS
        left = _LINGER_BYTES
        while left > 0 and time.monotonic() < ends:
            read = len(self.rfile.read1(65536))
            if not read:
                return
            left -= read

    def continue_(self) -> None:
        """Ask for the body, where the client waits to be asked."""
        if self._awaits_continue:
            self._awaits_continue = False
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what never became a request with the service's error envelope, and close."""
        self.close_connection = True
        status = HTTPStatus(code)
        body = documents.error(f"{message or status.phrase}.", "invalid_request_error", None, None).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        self._send(f"{code} {status.phrase}", headers, body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing: a request line may hold what only its sender should know."""


def _is_length(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def _is_local(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class _Body(io.RawIOBase):
    """Read the body of one request and not a byte further; ``left`` is what was not read."""

    def __init__(self, handler: _Handler, length: int) -> None:
        self._handler = handler
        self.left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self.left)
        if not wanted:
            return 0
        self._handler.continue_()
        read = self._handler.rfile.readinto1(memoryview(buffer)[:wanted])
        self.left -= read
        return int(read)
