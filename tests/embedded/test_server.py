"""HTTP/1.1 on a socket, byte for byte: framing, keep-alive, 100-continue, mischief, the end."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pytest

from messages_dbapi.embedded.app import BODY_LIMIT
from messages_dbapi.embedded.serve import Server
from messages_dbapi.errors import InterfaceError

from .conftest import Seen, Service
from .contract import Held

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

HEADERS = b"Host: x\r\nOpenAI-Beta: assistants=v2\r\n"
MESSAGE = b'{"metadata": {"a": "b"}}'


def request(line: bytes, headers: bytes = b"", body: bytes = b"") -> bytes:
    """Write a request; its length is declared only where there is a body."""
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return line + b" HTTP/1.1\r\n" + HEADERS + length + headers + b"\r\n" + body


class Line:
    """A connection of our own: what is sent, and the answers read one by one."""

    def __init__(self, server: Server) -> None:
        port = int(server.base_url.split(":")[2].split("/")[0])
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read an answer: its status, its headers in lower case, its body."""
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, self.file.read(int(headers.get("content-length", 0)))

    def ended(self) -> bool:
        """Tell whether the server has closed the connection, which it must."""
        try:
            return self.file.read() == b""
        except ConnectionResetError:  # it had not been accepted yet
            return True


@pytest.fixture
def line(server: Server) -> Iterator[Line]:
    """Give a connection to the server."""
    opened = Line(server)
    with opened.socket, opened.file:
        yield opened


def test_a_connection_serves_many_requests(line: Line) -> None:
    for _ in range(3):
        line.send(request(b"POST /v1/threads", body=MESSAGE))
        status, headers, body = line.answer()
        assert (status, json.loads(body)["metadata"]) == (200, {"a": "b"})
        assert "connection" not in headers
    line.send(request(b"GET /v1/nothing"))
    assert line.answer()[0] == 404
    line.send(request(b"GET /healthz", b"Connection: close\r\n"))
    status, headers, _ = line.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert line.ended()


def test_requests_may_be_sent_ahead(line: Line) -> None:
    line.send(request(b"POST /v1/threads", body=MESSAGE) * 3 + request(b"GET /v1/threads"))
    assert [line.answer()[0] for _ in range(4)] == [200] * 4


def test_a_request_may_come_byte_by_byte(line: Line) -> None:
    for byte in request(b"POST /v1/threads", body=MESSAGE):
        line.send(bytes([byte]))
    assert line.answer()[0] == 200


def test_old_http_is_answered_and_closed(line: Line) -> None:
    line.send(b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert line.answer()[0] == 200
    assert line.ended()


def test_head_has_no_body(line: Line) -> None:
    line.send(request(b"HEAD /healthz") + request(b"GET /healthz"))
    head = line.socket.recv(65536)
    while head.count(b"HTTP/1.1 200 OK") < 2:
        head += line.socket.recv(65536)
    assert head.count(b"Content-Length: 15\r\n") == 2
    assert head.count(b'{"status":"ok"}') == 1


def test_the_body_is_asked_for(line: Line) -> None:
    start = request(b"POST /v1/threads", b"Expect: 100-continue\r\n", MESSAGE).removesuffix(MESSAGE)
    line.send(start)
    assert line.file.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert line.file.readline() == b"\r\n"
    line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in MESSAGE:
        line.send(bytes([byte]))
    assert line.answer()[0] == 200, "asked once"


def test_the_body_of_a_refused_request_is_not_asked_for(line: Line) -> None:
    length = b"Expect: 100-continue\r\nContent-Length: %d\r\n" % (BODY_LIMIT + 1)
    line.send(request(b"POST /v1/threads", length))
    status, headers, _ = line.answer()
    assert (status, headers["connection"]) == (413, "close")
    line.socket.shutdown(socket.SHUT_WR)
    assert line.ended()


def test_a_large_body_nobody_wants_does_not_lose_the_answer(line: Line) -> None:
    sender = threading.Thread(target=line.send, args=(request(b"POST /v1/nothing", body=b" " * 20_000_000),))
    sender.start()
    assert line.answer()[0] == 404
    sender.join()
    line.socket.shutdown(socket.SHUT_WR)
    assert line.ended()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Transfer-Encoding: chunked\r\n", 411),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 411),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        (b"Content-Length: 5, 5\r\n", 400),
        (b"Content-Length: -5\r\n", 400),
        (b"Content-Length: +5\r\n", 400),
        (b"Content-Length: five\r\n", 400),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n", 400),
        (b"Host: y\r\n", 400),
    ],
)
def test_a_body_of_uncertain_length_is_refused_and_the_connection_closed(
    line: Line, seen: list[Seen], headers: bytes, status: int
) -> None:
    line.send(request(b"POST /v1/threads", headers) + b"5\r\n{    \r\n0\r\n\r\n" + request(b"GET /v1/threads"))
    line.socket.shutdown(socket.SHUT_WR)
    answered, answer_headers, body = line.answer()
    assert (answered, answer_headers["connection"]) == (status, "close")
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
    assert line.ended()
    assert ("GET", "/v1/threads", "", 200) not in seen


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /healthz HTTP/3.0\r\n\r\n", 505),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"BREW /v1/threads HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_what_is_no_request_gets_the_envelope(line: Line, data: bytes, status: int) -> None:
    line.send(data)
    answered, headers, body = line.answer()
    assert answered == status
    assert (headers["content-type"], headers["connection"]) == ("application/json", "close")
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "QUERY"])
def test_a_method_that_http_has_and_we_do_not(served: Service, method: str) -> None:
    """405 says which there are; 501 would be for what is no method at all."""
    status, error = served.refused(method, "/threads")
    assert (status, error["code"]) == (405, "method_not_allowed")


def test_a_body_cut_short_does_nothing(line: Line, served: Service) -> None:
    line.send(request(b"POST /v1/threads", b"Content-Length: 100\r\n") + MESSAGE)
    line.socket.shutdown(socket.SHUT_WR)
    status, _, body = line.answer()
    assert (status, json.loads(body)["error"]["code"]) == (400, "incomplete_body")
    assert served.ok("GET", "/threads")["data"] == []


def test_a_client_that_goes_away_leaves_the_server_well(server: Server, served: Service) -> None:
    for data in (b"", b"GET /heal", request(b"POST /v1/threads", body=MESSAGE)[:-3], request(b"GET /v1/threads") * 50):
        line = Line(server)
        line.send(data)
        line.file.close()
        line.socket.close()
    assert served.call("GET", "/threads").status_code == 200


def test_a_header_with_an_underscore_is_not_another(line: Line) -> None:
    line.send(b"GET /v1/threads HTTP/1.1\r\nHost: x\r\nOpenAI_Beta: assistants=v2\r\n\r\n")
    assert line.answer()[0] == 400


def test_a_repeated_header_is_one_list(line: Line) -> None:
    line.send(request(b"GET /v1/threads", b"OpenAI-Beta: other=v1\r\n"))
    assert line.answer()[0] == 200


def test_many_connections_at_once(served: Service, server: Server) -> None:
    thread = served.thread()
    lines = [Line(server) for _ in range(30)]
    body = b'{"role": "user", "content": "x"}'
    for line in lines:
        line.send(request(f"POST /v1/threads/{thread}/messages".encode(), body=body))
    assert [line.answer()[0] for line in lines] == [200] * 30
    for line in lines:
        line.file.close()
        line.socket.close()
    assert len(served.ok("GET", f"/threads/{thread}/messages?limit=100")["data"]) == 30


class _Slow:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.begun.set()
        self.go_on.wait(20)
        start_response("200 OK", [("Content-Length", "4")])
        return [b"done"]


def test_stop_finishes_what_is_in_flight_and_ends_what_is_idle() -> None:
    app = _Slow()
    server = Server(app)
    server.start()
    busy, idle = Line(server), Line(server)
    with busy.socket, busy.file, idle.socket, idle.file:
        busy.send(request(b"GET /healthz"))
        assert app.begun.wait(20)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert idle.ended()
        assert stopping.is_alive()
        app.go_on.set()
        status, headers, body = busy.answer()
        assert (status, headers["connection"], body) == (200, "close", b"done")
        assert busy.ended()
        stopping.join(20)
        assert not stopping.is_alive()
    with pytest.raises(OSError, match="refused"), contextlib.closing(Line(server).socket):
        pass


def _sent_away(server: Server) -> bool:
    """Tell whether the server ends a new connection at once."""
    try:
        with contextlib.closing(Line(server).socket) as late:
            late.settimeout(1)
            return late.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:  # refused or reset
        return True


def test_stop_leaves_nobody_waiting_to_be_accepted() -> None:
    app = _Slow()
    server = Server(app)
    server.start()
    busy = Line(server)
    with busy.socket, busy.file:
        busy.send(request(b"GET /healthz"))
        assert app.begun.wait(20)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        # Whoever comes now is sent away at once, not when the last request is answered.
        ends = time.monotonic() + 10
        while not _sent_away(server):
            assert time.monotonic() < ends
        assert stopping.is_alive()
        app.go_on.set()
        assert busy.answer()[0] == 200
        stopping.join(20)
        assert not stopping.is_alive()


def test_stop_waits_for_a_body_that_is_on_its_way(app: Held) -> None:
    server = Server(app)
    server.start()
    busy, idle = Line(server), Line(server)
    with busy.socket, busy.file, idle.socket, idle.file:
        busy.send(request(b"POST /v1/threads", b"Expect: 100-continue\r\n", MESSAGE).removesuffix(MESSAGE))
        assert (busy.file.readline(), busy.file.readline()) == (b"HTTP/1.1 100 Continue\r\n", b"\r\n")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert idle.ended()
        busy.send(MESSAGE)
        assert busy.answer()[0] == 200
        assert busy.ended()
        stopping.join(20)
        assert not stopping.is_alive()


def test_an_address_that_cannot_be_listened_on(server: Server) -> None:
    port = int(server.base_url.split(":")[2].split("/")[0])
    for host, bad in (("127.0.0.1", port), ("203.0.113.1", 0), ("no.such.host.invalid", 0), ("127.0.0.1", 70_000)):
        with pytest.raises(InterfaceError, match=re.escape(f"cannot listen on {host} port {bad}")):
            Server(_Slow(), host, bad)


def test_ipv6_is_in_brackets() -> None:
    try:
        server = Server(_Slow(), "::1")
    except InterfaceError:
        pytest.skip("no IPv6 here")
    with server:
        assert re.fullmatch(r"http://\[::1\]:\d+/v1", server.base_url)
