"""One try of a request on its socket: whether it was sent, how long it may take, how another thread ends it.

urllib3 bounds each read of a socket, not their sum, and cannot say whether a broken request had left.
So its connections here report to the Exchange under way, and read their sockets through it.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidProxyURL
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

# Seconds that a kept connection may have been idle to carry a request that is sent only once. A service that
# closes it meanwhile leaves such a request in doubt; gunicorn closes after 2 seconds, uvicorn and node after 5.
FRESH = 1.0

_BUFFER = 1 << 16


class Exchange:
    """Bound one try: ``timeout`` seconds for each read, ``limit`` seconds in all; ``once`` wants a fresh connection.

    ``sent`` tells whether the service may have seen the request: false only where a connection of this
    module says so. ``cut`` tells that an interrupt met its socket: what was read may lack its end.
    ``query`` is what the target of the request has from its question mark on.
    """

    def __init__(self, timeout: float, limit: float, *, once: bool = False) -> None:
        self.once = once
        self.query = ""
        self.sent = True
        self.interrupted = False
        self.cut = False
        self.limit = limit
        self._timeout = timeout
        self._ends = time.monotonic() + limit
        self._handle: socket.socket | None = None
        self._lock = threading.Lock()

    @property
    def overdue(self) -> bool:
        """Tell whether its time in all is up."""
        return time.monotonic() >= self._ends

    def patience(self) -> float:
        """Give the seconds that the next step may block, or raise TimeoutError if there are none left."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time of the request is up")
        return min(self._timeout, left)

    def hold(self, sock: socket.socket) -> None:
        """Take the socket that the try uses, for ``interrupt``; raise ConnectionAbortedError after that."""
        # A duplicate: TLS detaches the socket it wraps, and a reply that announces a close drops its connection.
        handle = socket.socket(sock.family, sock.type, sock.proto, fileno=socket.dup(sock.fileno()))
        self.release()
        with self._lock:
            self._handle = handle
            interrupted = self.interrupted
        if interrupted:
            raise ConnectionAbortedError("the request was interrupted")

    def release(self) -> None:
        """Let go of the socket, which another try may use from now on."""
        with self._lock:
            handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    def interrupt(self) -> None:
        """End the try from another thread: what blocks on its socket fails at once."""
        with self._lock:
            self.interrupted = True
            if self._handle is not None:
                self.cut = True
                with suppress(OSError):
                    self._handle.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Be the exchange that the connections used by this thread report to."""
        token = _UNDER_WAY.set(self)
        try:
            yield
        finally:
            _UNDER_WAY.reset(token)
            self.release()


_UNDER_WAY: ContextVar[Exchange] = ContextVar("exchange under way")


def given_up() -> bool:
    """Tell whether nobody waits any longer for the exchange that is under way in this thread."""
    exchange = _UNDER_WAY.get(None)
    return exchange is not None and (exchange.interrupted or exchange.overdue)


class _Source(io.RawIOBase):
    """Read a socket, each read no longer than the exchange still allows."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._exchange = _UNDER_WAY.get()
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._exchange.patience())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Readable:
    """Stand for a socket where http.client wants only a file to read from."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Source(self._sock), _BUFFER)


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(_Readable(sock), *args, **options)  # type: ignore[arg-type]  # it only calls makefile

    def _read_status(self) -> tuple[str, int, str]:
        """Pass over interim replies such as 103, of which http.client knows 100 alone.

        It would take one for the reply, and that for the reply to the next request.
        """
        version, status, reason = super()._read_status()  # type: ignore[misc]  # typeshed leaves it out
        while 100 < status < 200 and status != http.HTTPStatus.SWITCHING_PROTOCOLS:
            http.client.parse_headers(self.fp)
            version, status, reason = super()._read_status()  # type: ignore[misc]  # as above
        return version, status, reason

    def begin(self) -> None:
        super().begin()
        # urllib3 would log lines that are no headers, and they may repeat what was sent.
        self.headers.defects.clear()
        self.headers.set_payload("")


class _Connection(HTTPConnection):
    """Report to the exchange under way when a request has left, and be bounded by it."""

    response_class = _Response
    idle_since = 0.0
    _connecting = False

    def connect(self) -> None:
        self._connecting = True
        try:
            super().connect()
        finally:
            self._connecting = False

    def putrequest(self, method: str, url: str, *args: Any, **options: Any) -> None:
        super().putrequest(method, url + _UNDER_WAY.get().query, *args, **options)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        exchange = _UNDER_WAY.get()
        self.sock.settimeout(exchange.patience())
        super().send(data)
        # The head goes first and in one piece: where sending it failed, the service cannot have read a request.
        # What is sent while connecting is for a proxy.
        exchange.sent = exchange.sent or not self._connecting

    def _new_conn(self) -> socket.socket:
        host = self._dns_host.strip("[]")
        try:
            found = socket.getaddrinfo(host, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NewConnectionError(self, "the host name cannot be resolved") from error
        except UnicodeError as error:
            raise NewConnectionError(self, "the host name is not valid") from error
        problem: OSError = OSError("the host name has no address")
        for family, kind, protocol, _, address in found:
            try:
                return self._open(socket.socket(family, kind, protocol), address)
            except OSError as error:
                problem = error
        if isinstance(problem, TimeoutError):
            raise ConnectTimeoutError(self, "no connection in time") from problem
        raise NewConnectionError(self, "no connection") from problem

    def _open(self, sock: socket.socket, address: Any) -> socket.socket:
        exchange = _UNDER_WAY.get()
        try:
            exchange.hold(sock)
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            patience = exchange.patience()
            sock.settimeout(patience if self.timeout is None else min(self.timeout, patience))
            sock.connect(address)
            if exchange.interrupted:
                raise ConnectionAbortedError("the request was interrupted")
        except BaseException:
            sock.close()
            raise
        return sock


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def urlopen(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        # urllib3 logs the target, and a query may hold a credential.
        path, mark, query = url.partition("?")
        _UNDER_WAY.get().query = mark + query
        return super().urlopen(method, path, *args, **options)

    def _get_conn(self, timeout: float | None = None) -> Any:
        exchange = _UNDER_WAY.get()
        conn: Any = super()._get_conn(timeout)
        try:
            if conn.sock is not None and exchange.once and time.monotonic() - conn.idle_since > FRESH:
                conn.close()
            if conn.sock is not None:
                exchange.hold(conn.sock)
        except BaseException:
            conn.close()
            raise
        return conn

    def _put_conn(self, conn: Any) -> None:
        # Before another thread can get it: an interrupt of this exchange must not reach the next one.
        _UNDER_WAY.get().release()
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)


class _SecurePool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class Adapter(HTTPAdapter):
    """Keep as many connections as ``width``, and verify TLS by ``bundle``: a file or folder of certificates."""

    def __init__(self, width: int, bundle: str) -> None:
        self._bundle = bundle
        self._pool: ConnectionPool | None = None
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        super().__init__(pool_connections=1, pool_maxsize=width, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> ConnectionPool:
        """Find the pool once: it is the same for every request of one client."""
        exchange = _UNDER_WAY.get()
        exchange.sent = False
        if self._pool is None:
            try:
                self._pool = super().get_connection_with_tls_context(*args, **options)
            except TypeError as error:
                # requests stumbles over a URL such as http://user:password@.
                raise InvalidProxyURL("its URL has no host") from error
        # The connections of other pools, those of SOCKS, do not tell when a request leaves.
        exchange.sent = not isinstance(self._pool, _Pool)
        return self._pool

    def close(self) -> None:
        """Close the kept connections now, not when nobody knows the pool any more."""
        pool, self._pool = self._pool, None
        super().close()
        if pool is not None:
            pool.close()

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: bool | str, cert: str | tuple[str, str] | None = None
    ) -> Any:
        place, options = super().build_connection_pool_key_attributes(request, True, cert)
        if place["scheme"] == "https":
            return place, {"ssl_context": self._tls(), "cert_reqs": "CERT_REQUIRED"}
        return place, options

    def cert_verify(self, conn: ConnectionPool, url: str, verify: object, cert: object) -> None:
        """Leave the connection alone: its context verifies, and was loaded once, not for each connection."""

    def _tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                folder = os.path.isdir(self._bundle)
                self._context = ssl.create_default_context(
                    cafile=None if folder else self._bundle, capath=self._bundle if folder else None
                )
            return self._context


def environment_bundle(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Name the variable that sets the certificates to trust, and their path."""
    variables = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    return next(((variable, environ[variable]) for variable in variables if environ.get(variable)), None)
