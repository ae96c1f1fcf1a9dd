"""One request over a real socket: what is sent, what every answer and fault becomes, and what time allows."""

from __future__ import annotations

import gzip
import http.client
import inspect
import io
import itertools
import json
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import requests.exceptions
import urllib3.exceptions
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.adapters import BaseAdapter

from messages_dbapi import errors
from messages_dbapi.client import Client, Reply, Request
from messages_dbapi.exchange import Exchange
from messages_dbapi.fault import read_answer
from messages_dbapi.options import resolve
from messages_dbapi.session import Way
from messages_dbapi.statement import Statement

from .wire import (
    CERTIFICATE,
    Action,
    Link,
    Wire,
    closed_port,
    drip,
    hang_up,
    head,
    raw,
    read,
    refusal,
    reply,
    reset,
    reset_unread,
    serving,
    silence,
)

KEY = "sk-very-secret-4711"

GET = Request("GET", "/threads/thread_1/messages", (("limit", "100"),))
DELETE = Request("DELETE", "/threads/thread_1/messages/msg_1")
MODIFY = Request("POST", "/threads/thread_1/messages/msg_1", body=b'{"metadata":{}}')
CREATE = Request("POST", "/threads/thread_1/messages", body=b'{"role":"user","content":"hi"}', repeatable=False)
REPEATABLE = (GET, DELETE, MODIFY)

SOON = {"retry_after_ms": "1"}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Wire]:
    with serving() as wire:
        yield wire


def client_of(port: int, scheme: str = "messages+http", host: str = "127.0.0.1", **arguments: Any) -> Client:
    arguments.setdefault("api_key", KEY)
    return Client(resolve(f"{scheme}://{host}:{port}/v1", arguments, {}))


@pytest.fixture
def connect(server: Wire) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def make(**arguments: Any) -> Client:
        clients.append(client_of(arguments.pop("port", server.port), **arguments))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


Connect = Callable[..., Client]


def failure(client: Client, request: Request, statement: Statement | None = None) -> errors.Error:
    """Send a request that fails, and check what every error must keep."""
    statement = statement or Statement()
    with pytest.raises(errors.Error) as caught:
        client.send(request, statement)
    error = caught.value
    assert error.outcome in ((None,) if request.method == "GET" else ("failed", "unknown"))
    assert KEY not in "".join(traceback.format_exception(error))
    for frame in inspect.getinnerframes(caught.tb):
        if "messages_dbapi" in frame.filename:
            assert KEY not in repr(frame.frame.f_locals)
    return error


# What is sent


def test_a_request_carries_what_the_contract_wants(server: Wire, connect: Connect) -> None:
    connect().send(GET, Statement())
    (seen,) = server.requests
    assert (seen.method, seen.target, seen.body) == ("GET", "/v1/threads/thread_1/messages?limit=100", b"")
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers["openai-beta"] == "assistants=v2"
    assert seen.headers["accept"] == "application/json"
    assert seen.headers["accept-encoding"] == "gzip"
    assert seen.headers["user-agent"].startswith("messages-dbapi/")
    assert not {"content-type", "content-length", "openai-organization", "openai-project"} & seen.headers.keys()


@pytest.mark.parametrize("request_", [MODIFY, CREATE])
def test_a_body_is_sent_as_json(server: Wire, connect: Connect, request_: Request) -> None:
    connect().send(request_, Statement())
    (seen,) = server.requests
    assert (seen.body, seen.headers["content-type"]) == (request_.body, "application/json")


def test_options_reach_every_request(server: Wire) -> None:
    arguments = {"headers": {"X-Tenant": "blue"}, "query": {"api-version": "v 1"}, "auth": "api-key"}
    environment = {"OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj-1"}
    options = resolve(f"messages+http://:{KEY}@127.0.0.1:{server.port}/base/path", arguments, environment)
    client = Client(options)
    client.send(GET, Statement())
    client.send(DELETE, Statement())
    client.close()
    first, second = server.requests
    assert first.target == "/base/path/threads/thread_1/messages?api-version=v+1&limit=100"
    assert second.target == "/base/path/threads/thread_1/messages/msg_1?api-version=v+1"
    for seen in server.requests:
        assert seen.headers["x-tenant"] == "blue"
        assert seen.headers["api-key"] == KEY
        assert seen.headers["openai-organization"] == "org-1"
        assert seen.headers["openai-project"] == "proj-1"
        assert "authorization" not in seen.headers


def test_a_netrc_is_never_used(server: Wire, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    connect().send(GET, Statement())
    connect(api_key=None).send(GET, Statement())
    assert [seen.headers.get("authorization") for seen in server.requests] == [f"Bearer {KEY}", None]


def test_cookies_are_not_kept(server: Wire, connect: Connect) -> None:
    server.tell(reply(headers={"Set-Cookie": "session=1; Path=/"}))
    client = connect()
    client.send(GET, Statement())
    client.send(GET, Statement())
    assert "cookie" not in server.requests[1].headers


def test_a_query_that_is_not_unicode_is_refused_before_sending(server: Wire, connect: Connect) -> None:
    error = failure(connect(), Request("GET", "/threads/t/messages", (("run_id", "\ud800"),)))
    assert type(error) is errors.DataError
    assert server.requests == []


# Replies


@pytest.mark.parametrize("status", [200, 201, 404])
def test_success_and_not_found_are_returned(server: Wire, connect: Connect, status: int) -> None:
    server.tell(reply(status, {"id": "é"}, {"x-request-id": "req_1", "Date": "Sat, 21 Nov 2026 22:00:00 GMT"}))
    statement = Statement()
    answer = connect().send(GET, statement)
    body = json.dumps({"id": "é"}).encode()
    assert answer == Reply(status, body, "req_1", 1795298400.0, repeated=False)
    assert (statement.stats.requests, statement.stats.retries) == (1, 0)
    assert statement.stats.bytes_received == len(body)


def test_a_success_confirms_the_address_and_a_404_does_not(server: Wire, connect: Connect) -> None:
    server.tell(reply(404), reply(200, b"<html>hello</html>"), refusal(400), reply(200, b'\n{"object":"list"}'))
    client = connect()
    known = []
    for _ in range(4):
        with suppress(errors.DataError):
            client.send(GET, Statement())
        known.append(client.confirmed)
    assert known == [False, False, False, True]


def test_bodies_are_unpacked(server: Wire, connect: Connect) -> None:
    body = json.dumps({"data": ["x" * 300_000]}).encode()
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:])) + b"0\r\n\r\n"
    server.tell(
        reply(200, gzip.compress(body), {"Content-Encoding": "gzip"}),
        raw(head(200, {"Transfer-Encoding": "chunked"}) + chunked, leave=False),
        raw(b"HTTP/1.0 200 OK\r\n\r\n" + body),
    )
    client, statement = connect(), Statement()
    assert [client.send(GET, statement).body for _ in range(3)] == [body] * 3
    assert statement.stats.bytes_received == 3 * len(body)


def test_connections_are_kept(server: Wire, connect: Connect) -> None:
    client = connect()
    for request in (GET, DELETE, CREATE, MODIFY, GET):
        client.send(request, Statement())
    assert server.connections == 1


@pytest.mark.parametrize("announce", [True, False])
def test_a_connection_that_the_service_closed_is_replaced(server: Wire, connect: Connect, announce: bool) -> None:
    server.tell(reply(announce=announce, leave=True))
    client, statement = connect(), Statement()
    client.send(GET, statement)
    await_close(client)
    client.send(CREATE, statement)
    assert (server.connections, statement.stats.requests, statement.stats.retries) == (2, 2, 0)


def await_close(client: Client) -> None:
    """Give the close of the service, sent before the reply was read or right after, time to arrive."""
    time.sleep(0.05)


# Refusals


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.DataError),
        (401, errors.OperationalError),
        (402, errors.OperationalError),
        (403, errors.OperationalError),
        (405, errors.NotSupportedError),
        (409, errors.IntegrityError),
        (410, errors.OperationalError),
        (413, errors.DataError),
        (418, errors.OperationalError),
        (422, errors.DataError),
        (501, errors.NotSupportedError),
    ],
)
@pytest.mark.parametrize("request_", [*REPEATABLE, CREATE])
def test_a_refusal_is_one_request_and_one_error(
    server: Wire, connect: Connect, status: int, kind: type[errors.Error], request_: Request
) -> None:
    body = {"error": {"message": "not like that", "type": "t", "param": "limit", "code": "too_big"}}
    server.tell(reply(status, body, {"x-request-id": "req_9"}))
    error = failure(connect(), request_)
    assert type(error) is kind
    assert (error.status, error.code, error.param, error.request_id) == (status, "too_big", "limit", "req_9")
    assert error.outcome == (None if request_.method == "GET" else "failed")
    for words in (request_.method, request_.path, str(status), "not like that", "req_9"):
        assert words in str(error)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "answered 400 Bad Request."),
        (b"plain\nwords", "plain words"),
        (b'{"error": "short"}', ": short"),
        (b'{"detail": "fastapi"}', ": fastapi"),
        (b'{"detail": [{"loc": 1}]}', '[{"loc": 1}]'),
        (b'{"error": {"code": 400, "message": null}}', "400"),
        (b"[" * 100_000, "[[["),
        (b"\xff\x00\x1b[31m", "[31m"),
        (b'"' + b"9" * 5000 + b'"', "9" * 490),
    ],
)
def test_any_body_of_a_refusal_gives_a_text(server: Wire, connect: Connect, body: bytes, words: str) -> None:
    server.tell(reply(400, body))
    text = str(failure(connect(), GET))
    assert words in text
    assert len(text) < 800
    assert text.isprintable()


def test_no_depth_of_json_breaks_an_error() -> None:
    for depth in range(1, 1500, 3):
        body = b'{"detail":' + b"[" * depth + b"]" * depth + b"}"
        assert read_answer(400, {}, body, 0.0).status == 400


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_random_bodies_of_a_refusal_never_break_the_error(body: bytes) -> None:
    with serving(reply(422, body)) as server:
        client = client_of(server.port)
        assert type(failure(client, CREATE)) is errors.DataError
        client.close()


def test_an_echoed_key_is_taken_out_before_the_text_is_cut(server: Wire, connect: Connect) -> None:
    for padding in (0, 490):
        server.tell(refusal(400, "x" * padding + f"bad key {KEY} given", code=f"bad_{KEY}"))
        error = failure(connect(), GET)
        assert KEY[:8] not in str(error) + str(error.code)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("request_", [GET, DELETE, MODIFY, CREATE])
def test_no_redirect_is_followed(server: Wire, connect: Connect, status: int, request_: Request) -> None:
    with serving() as other:
        target = f"http://user:pass@127.0.0.1:{other.port}/v2/threads?token=abc"
        server.tell(reply(status, headers={"Location": target}))
        error = failure(connect(), request_)
        assert type(error) is errors.OperationalError
        assert f"http://127.0.0.1:{other.port}/v2/threads" in str(error)
        assert "user:pass" not in str(error)
        assert "token=abc" not in str(error)
        assert (len(server.requests), other.connections) == (1, 0)


def test_a_refused_token_is_replaced_once(server: Wire, connect: Connect) -> None:
    tokens = (f"token-{number}" for number in itertools.count(1))
    client, statement = connect(api_key=lambda: next(tokens)), Statement()
    server.tell(reply(), refusal(401), reply(), reply(), refusal(401), refusal(401))
    for _ in range(3):
        client.send(CREATE, statement)
    assert failure(client, CREATE).status == 401
    sent = [seen.headers["authorization"].split("-")[-1] for seen in server.requests]
    assert sent == ["1", "1", "2", "2", "2", "3"]
    assert (statement.stats.requests, statement.stats.retries) == (4, 1)


def test_threads_that_are_refused_together_ask_for_one_token(server: Wire, connect: Connect) -> None:
    asked = itertools.count(1)
    together = threading.Barrier(4)

    def stale(link: Link) -> bool:
        read(link)
        together.wait(5)
        link.sock.sendall(head(401, {"Content-Length": "0"}))
        return True

    client = connect(api_key=lambda: f"token-{next(asked)}")
    server.tell(*[stale] * 4)
    threads = [threading.Thread(target=client.send, args=(GET, Statement())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [seen.headers["authorization"] for seen in server.requests] == ["Bearer token-1"] * 4 + [
        "Bearer token-2"
    ] * 4


@pytest.mark.parametrize(
    ("give", "kind"),
    [
        (lambda: 1 / 0, errors.OperationalError),
        (lambda: None, errors.InterfaceError),
        (lambda: "", errors.InterfaceError),
        (lambda: f"{KEY}\r\nX-Evil: 1", errors.InterfaceError),
        (lambda: f"{KEY}\u20ac", errors.InterfaceError),
    ],
)
def test_a_function_that_gives_no_token_is_an_error(
    server: Wire, connect: Connect, give: Callable[[], Any], kind: type[errors.Error]
) -> None:
    with pytest.raises(kind, match="api_key") as caught:
        connect(api_key=give).send(GET, Statement())
    assert KEY not in str(caught.value)
    assert server.requests == []


def test_openais_own_404_says_that_the_service_has_ended(tmp_path: Path) -> None:
    options = resolve("messages://api.openai.com/v1", {"api_key": KEY, "max_retries": 0}, {})

    class Gone(BaseAdapter):
        def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
            response = requests.Response()
            response.status_code, response._content = 404, b""
            response._content_consumed = True  # type: ignore[attr-defined]  # a reply that has been read
            return response

        def close(self) -> None:
            pass

    error = failure(Client(options, Gone()), GET)
    assert (type(error), error.status) == (errors.OperationalError, 404)
    for words in ("2026-08-26", "Foundry", "2027-03-31", "messages://"):
        assert words in str(error)


# Tries again


PASSING: list[Action] = [
    refusal(408, **SOON),
    refusal(429, **SOON),
    refusal(500, **SOON),
    refusal(502, **SOON),
    reply(502, b"<html>Bad Gateway</html>", {"retry-after-ms": "1"}),
    refusal(503, **SOON),
    refusal(504, **SOON),
    refusal(529, **SOON),
    refusal(409, x_should_retry="true", **SOON),
    refusal(400, x_should_retry="true", **SOON),
]


@pytest.mark.parametrize("request_", REPEATABLE)
def test_what_may_pass_is_tried_again(server: Wire, connect: Connect, request_: Request) -> None:
    for action in PASSING:
        server.tell(action, reply(200, {"id": 1}))
        statement = Statement()
        assert connect().send(request_, statement).body == b'{"id": 1}'
        assert (statement.stats.requests, statement.stats.retries) == (2, 1)


BROKEN: list[Action] = [
    hang_up,
    reset,
    reset_unread,
    raw(b""),
    raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"),
    raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"),
    raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{"),
    raw(b'HTTP/1.0 200 OK\r\n\r\n{"id": '),
    raw(b"garbage\r\n\r\n"),
    raw(b"HTTP/1.1 999999 OK\r\n\r\n"),
    raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 2000 + b"\r\n"),
    raw(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000 + b"\r\n\r\n"),
    reply(200, b"\x1f\x8bnot gzip", {"Content-Encoding": "gzip"}),
    reply(200, gzip.compress(b'{"data": "' + bytes(range(32, 90)) * 99)[:-40], {"Content-Encoding": "gzip"}),
]


def test_a_broken_reply_is_asked_for_again_and_never_taken() -> None:
    def meet(fault: Action) -> tuple[bytes, bool, int]:
        with serving(fault, reply(200, {"id": 1})) as server:
            client, statement = client_of(server.port), Statement()
            answer = client.send(GET, statement)
            client.close()
            return answer.body, answer.repeated, statement.stats.retries

    # Side by side, for each of them waits before it tries again.
    with ThreadPoolExecutor(len(BROKEN)) as pool:
        assert list(pool.map(meet, BROKEN)) == [(b'{"id": 1}', True, 1)] * len(BROKEN)


@pytest.mark.parametrize("fault", BROKEN)
def test_a_create_with_a_broken_reply_is_in_doubt_and_not_sent_again(
    server: Wire, connect: Connect, fault: Action
) -> None:
    server.tell(fault)
    statement = Statement()
    error = failure(connect(), CREATE, statement)
    assert (type(error), error.outcome) == (errors.OperationalError, "unknown")
    assert "may exist" in str(error)
    assert (server.connections, statement.stats.requests, statement.stats.retries) == (1, 1, 0)


IN_DOUBT: list[Action] = [
    *BROKEN,
    refusal(408, **SOON),
    refusal(500, **SOON),
    refusal(502, **SOON),
    refusal(504, **SOON),
    refusal(524, **SOON),
    refusal(500, x_should_retry="true", **SOON),
    reply(503, b"<html>no backend</html>"),
    reply(503, b"", {"x-should-retry": "true"}),
    reply(503, {"detail": "overloaded"}),
    reply(200, b"<html>welcome</html>"),
    reply(200, b""),
    reply(200, b'{"id": "msg_'),
    reply(200, b"[1]"),
    reply(200, b'{"a":' * 100_000),
    reply(204, b""),
]
REFUSED: list[Action] = [
    refusal(429, **SOON),
    reply(429, b"slow down", {"retry-after-ms": "1"}),
    refusal(429, x_should_retry="false", **SOON),
    refusal(503, **SOON),
    reply(503, b"<html>back soon</html>", {"Retry-After": "0.001"}),
]
FINAL: list[Action] = [refusal(400), refusal(403), refusal(409, x_should_retry="true"), refusal(422), refusal(501)]


@pytest.fixture(scope="module")
def shared() -> Iterator[Wire]:
    with serving() as wire:
        yield wire


@given(
    st.lists(st.sampled_from(REFUSED), max_size=3),
    st.sampled_from([*((action, "unknown") for action in IN_DOUBT), *((action, "failed") for action in FINAL), None]),
)
@settings(max_examples=150, deadline=None)
def test_a_create_is_sent_until_it_may_have_been_applied_and_never_again(
    shared: Wire, refused: list[Action], end: tuple[Action, str] | None
) -> None:
    client = client_of(shared.port)
    before = len(shared.requests)
    shared.tell(*refused, *([end[0]] if end else [reply(200, {"id": "msg_1"})]))
    statement = Statement()
    if end is None:
        assert client.send(CREATE, statement).repeated is False
    else:
        assert failure(client, CREATE, statement).outcome == end[1]
    client.close()
    unread = 1 if end is not None and end[0] is reset_unread else 0
    assert len(shared.requests) - before + unread == len(refused) + 1
    assert not shared._actions
    assert (statement.stats.requests, statement.stats.retries) == (len(refused) + 1, len(refused))


@pytest.mark.parametrize("action", [action for action in IN_DOUBT if action not in BROKEN])
def test_with_resend_a_create_in_doubt_is_sent_again(server: Wire, connect: Connect, action: Action) -> None:
    server.tell(action, reply(200, {"id": "msg_1"}))
    answer = connect(resend=True).send(CREATE, Statement())
    assert (answer.body, answer.repeated, len(server.requests)) == (b'{"id": "msg_1"}', True, 2)


@pytest.mark.parametrize("request_", REPEATABLE)
def test_a_reply_tells_whether_an_earlier_try_may_have_worked(
    server: Wire, connect: Connect, request_: Request
) -> None:
    server.tell(refusal(429, **SOON), reply(404), refusal(500, **SOON), refusal(429, **SOON), reply(404))
    client = connect()
    assert [client.send(request_, Statement()).repeated for _ in range(2)] == [False, True]


def test_a_delete_that_fails_after_a_try_in_doubt_has_an_unknown_outcome(server: Wire, connect: Connect) -> None:
    server.tell(refusal(500, **SOON), refusal(403))
    assert failure(connect(), DELETE).outcome == "unknown"


@pytest.mark.parametrize("request_", [*REPEATABLE, CREATE])
def test_tries_end(server: Wire, connect: Connect, request_: Request) -> None:
    server.tell(*[refusal(503, "overloaded", **SOON)] * 9)
    statement = Statement()
    error = failure(connect(max_retries=2), request_, statement)
    assert (type(error), error.status, error.retry_after) == (errors.OperationalError, 503, 0.001)
    assert "3 tries" in str(error)
    assert len(server.requests) == statement.stats.requests == 3
    assert statement.stats.retries == 2


def test_max_requests_counts_every_try(server: Wire, connect: Connect) -> None:
    server.tell(*[refusal(503, **SOON)] * 9)
    error = failure(connect(), GET, Statement(max_requests=2))
    assert "max_requests=2" in str(error)
    assert len(server.requests) == 2


@pytest.mark.parametrize("code", ["insufficient_quota", "credit_balance_exhausted", "billing_not_active"])
@pytest.mark.parametrize("request_", [GET, CREATE])
def test_a_lack_of_credit_is_not_tried_again(server: Wire, connect: Connect, code: str, request_: Request) -> None:
    server.tell(refusal(429, code=code, x_should_retry="true", **SOON))
    error = failure(connect(), request_)
    assert (error.status, error.code, len(server.requests)) == (429, code, 1)
    assert "billing" in str(error)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_advice_against_another_try_is_followed(server: Wire, connect: Connect, status: int) -> None:
    server.tell(refusal(status, x_should_retry="false", **SOON))
    assert failure(connect(), GET).status == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("headers", [{"retry_after": "121"}, {"retry_after": "Fri, 01 Jan 2100 00:00:00 GMT"}])
@pytest.mark.parametrize("request_", [GET, CREATE])
def test_a_long_wait_fails_at_once(server: Wire, connect: Connect, headers: dict[str, str], request_: Request) -> None:
    server.tell(refusal(429, **headers))
    error = failure(connect(), request_)
    assert error.retry_after is not None
    assert error.retry_after > 120
    assert f"{error.retry_after:g} seconds" in str(error)
    assert len(server.requests) == 1


def test_a_wait_beyond_the_deadline_fails_at_once_and_keeps_the_status(server: Wire, connect: Connect) -> None:
    server.tell(refusal(503, retry_after="30"))
    error = failure(connect(), GET, Statement(deadline=20))
    assert (error.status, error.retry_after) == (503, 30)
    assert "30 seconds" in str(error)


def test_a_wait_over_two_seconds_is_a_warning(server: Wire, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    statement = Statement()
    server.tell(cancelling(statement, refusal(503, retry_after="2.5")))
    assert "cancelled" in str(failure(connect(), GET, statement))
    (record,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert record.name == "messages_dbapi"
    for words in ("503", "2.5 s", "try 2"):
        assert words in record.getMessage()


# Connections that fail


@pytest.mark.parametrize("request_", [*REPEATABLE, CREATE])
def test_a_refused_connection_never_left_and_is_tried_again(request_: Request) -> None:
    client, statement = client_of(closed_port(), max_retries=1), Statement()
    error = failure(client, request_, statement)
    assert type(error) is errors.OperationalError
    assert "refused" in str(error)
    assert "127.0.0.1" in str(error)
    assert "2 tries" in str(error)
    assert error.outcome in (None, "failed")
    assert (statement.stats.requests, statement.stats.retries) == (0, 1)


def test_a_create_is_sent_when_the_service_comes_up() -> None:
    port = closed_port()

    def come_up() -> None:
        time.sleep(0.1)
        with socket.create_server(("127.0.0.1", port)) as late:
            sock, _ = late.accept()
            with sock:
                sock.sendall(head(200, {"Content-Length": "2"}) + b"{}")
                sock.recv(65536)

    service = threading.Thread(target=come_up)
    service.start()
    client, statement = client_of(port), Statement()
    assert client.send(CREATE, statement).repeated is False
    client.close()
    service.join()
    assert statement.stats.requests == 1
    assert statement.stats.retries >= 1


@pytest.mark.parametrize("host", ["no-such-host.invalid", "xn--.invalid"])
def test_a_host_that_is_unknown_is_an_error(host: str) -> None:
    client, statement = client_of(80, scheme="messages", host=host, max_retries=0), Statement()
    error = failure(client, CREATE, statement)
    assert (type(error), error.outcome) == (errors.OperationalError, "failed")
    assert "host name" in str(error)
    assert statement.stats.requests == 0


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception) and not issubclass(value, Warning)


def foreign_errors() -> list[Exception]:
    modules = (requests.exceptions, urllib3.exceptions, http.client, ssl)
    classes = {value for module in modules for value in vars(module).values() if _is_error(value)}
    made = [kind.__new__(kind) for kind in sorted(classes, key=lambda kind: (kind.__module__, kind.__name__))]
    for error in made:
        # What the texts of http.client.IncompleteRead and its kind are made of.
        whole = b"" if type(error) is http.client.IncompleteRead else 0
        vars(error).update(partial=whole, expected=9, length=b"zz", response=None)
    return [*made, OSError(5, "I/O"), UnicodeError(KEY), ValueError(KEY)]


class Raising(BaseAdapter):
    """A transport that fails as it is told."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def send(self, *_: Any, **__: Any) -> requests.Response:
        raise self.error

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "error", foreign_errors(), ids=lambda error: f"{type(error).__module__}.{type(error).__name__}"
)
def test_no_foreign_error_escapes(error: Exception) -> None:
    client = Client(resolve("messages://", {"max_retries": 0}, {}), Raising(error))
    if isinstance(error, requests.exceptions.RequestException):
        error.request = requests.Request(headers={"Authorization": KEY})
    for request in (GET, CREATE):
        raised = failure(client, request)
        assert type(raised) is errors.OperationalError
        assert getattr(raised.__cause__, "request", None) is None


@pytest.mark.parametrize(("number", "retries"), [(socket.EAI_NONAME, 0), (socket.EAI_AGAIN, 1)])
def test_only_a_resolver_that_fails_is_asked_again(number: int, retries: int) -> None:
    client = Client(resolve("messages://", {"max_retries": 1}, {}), Raising(socket.gaierror(number, "told so")))
    statement = Statement()
    assert "told so" in str(failure(client, GET, statement))
    assert statement.stats.retries == retries


def test_the_cause_is_what_failed_and_not_what_the_caller_was_handling() -> None:
    client = client_of(closed_port(), max_retries=0)
    try:
        raise OSError("the caller's own trouble")
    except OSError:
        error = failure(client, GET)
    assert isinstance(error.__cause__, ConnectionRefusedError)
    assert error.__cause__.__traceback__ is None


def test_tls_is_verified() -> None:
    with serving(tls=True) as server:
        client, statement = client_of(server.port, scheme="messages"), Statement()
        error = failure(client, CREATE, statement)
        assert (type(error), error.outcome) == (errors.OperationalError, "failed")
        assert "certificate" in str(error)
        assert "SSL_CERT_FILE" in str(error)
        assert (server.requests, statement.stats.requests, statement.stats.retries) == ([], 0, 0)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_to_trust_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, str(CERTIFICATE))
    with serving(tls=True) as server:
        client = client_of(server.port, scheme="messages")
        client.send(CREATE, Statement())
        server.tell(reset)
        assert failure(client, CREATE).outcome == "unknown"
        client.close()
    monkeypatch.setenv(name, "/no/such/file.pem")
    with pytest.raises(errors.InterfaceError, match=f"{name}.*/no/such/file.pem"):
        client_of(1, scheme="messages")


def test_certificates_that_are_none_are_an_error_before_sending(
    server: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(empty))
    client, statement = client_of(server.port, scheme="messages", max_retries=0), Statement()
    error = failure(client, CREATE, statement)
    assert (type(error), error.outcome, statement.stats.requests) == (errors.OperationalError, "failed", 0)
    assert "TLS" in str(error)


def test_plain_http_behind_https_is_an_error(server: Wire) -> None:
    client, statement = client_of(server.port, scheme="messages", max_retries=0), Statement()

    def answer_plainly(link: Link) -> bool:
        link.sock.recv(65536)
        link.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        return False

    server.tell(answer_plainly)
    error = failure(client, CREATE, statement)
    assert (type(error), error.outcome, statement.stats.requests) == (errors.OperationalError, "failed", 0)


# Proxies


def test_a_proxy_of_the_environment_is_used_for_http(server: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:pass@127.0.0.1:{server.port}")
    options = resolve("messages+http://service.invalid/v1", {"allow_insecure": True, "api_key": KEY}, {})
    client = Client(options)
    server.tell(hang_up)
    assert failure(client, CREATE).outcome == "unknown"
    client.send(CREATE, Statement())
    assert {seen.target for seen in server.requests} == {"http://service.invalid/v1/threads/thread_1/messages"}
    assert all("proxy-authorization" in seen.headers for seen in server.requests)
    monkeypatch.setenv("no_proxy", "service.invalid")
    assert "host name" in str(failure(Client(options), Request("GET", "/x"), Statement(deadline=0.1)))


def test_plain_http_to_this_machine_passes_by_any_proxy(
    server: Wire, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{proxy.port}")
        connect().send(GET, Statement())
        assert (len(server.requests), proxy.connections) == (1, 0)


def test_a_proxy_of_the_environment_is_asked_for_a_tunnel(server: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass@127.0.0.1:{server.port}")
    server.tell(raw(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), hang_up)
    client, statement = client_of(443, scheme="messages", host="service.invalid", max_retries=1), Statement()
    error = failure(client, CREATE, statement)
    assert (type(error), error.outcome, statement.stats.requests) == (errors.OperationalError, "failed", 0)
    assert "proxy" in str(error)
    assert "pass" not in "".join(traceback.format_exception(error))
    assert [(seen.method, seen.target) for seen in server.requests] == [("CONNECT", "service.invalid:443")] * 2
    assert "authorization" not in server.requests[0].headers


def test_a_tunnel_carries_tls_to_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with serving(tls=True) as service, serving() as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        proxy.tell(tunnel(service.port))
        client = client_of(service.port, scheme="messages")
        client.send(CREATE, Statement())
        client.close()
        assert [seen.method for seen in service.requests] == ["POST"]
        assert [seen.method for seen in proxy.requests] == ["CONNECT"]


def tunnel(port: int) -> Action:
    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def act(link: Link) -> bool:
        read(link)
        with socket.create_connection(("127.0.0.1", port)) as behind:
            link.sock.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            back = threading.Thread(target=pump, args=(behind, link.sock), daemon=True)
            back.start()
            pump(link.sock, behind)
            back.join()
        return False

    return act


# Time


SILENT: list[Action] = [
    silence,
    raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", leave=False),
    raw(b"HTTP/1.1 200 OK\r\n", leave=False),
]


def test_silence_is_a_timeout() -> None:
    def meet(fault: Action) -> errors.Error:
        with serving(fault, reply(), fault) as server:
            client = client_of(server.port, timeout=0.5)
            assert client.send(GET, Statement()).repeated is True
            return failure(client, CREATE)

    with ThreadPoolExecutor(len(SILENT)) as pool:
        for error in pool.map(meet, SILENT):
            assert (type(error), error.outcome) == (errors.OperationalError, "unknown")
            assert "no byte came for 0.5 seconds" in str(error)


DRIPS = [
    drip(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 99 + b"\r\n", 0.02),
    drip(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b"{" * 200, 0.02),
    drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;" + b"x" * 200, 0.02),
]


def test_a_reply_that_drips_ends() -> None:
    def meet(fault: Action) -> errors.Error:
        with serving(fault) as server:
            return failure(client_of(server.port, timeout=0.2, max_retries=0), CREATE)

    with ThreadPoolExecutor(len(DRIPS)) as pool:
        for error in pool.map(meet, DRIPS):
            assert "longer than 2 seconds in all" in str(error)
            assert error.outcome == "unknown"


@pytest.mark.parametrize("request_", [GET, CREATE])
def test_a_deadline_ends_a_request_under_way(request_: Request) -> None:
    def meet(fault: Action) -> errors.Error:
        with serving(fault) as server:
            return failure(client_of(server.port), request_, Statement(deadline=0.5))

    faults = [silence, *DRIPS]
    with ThreadPoolExecutor(len(faults)) as pool:
        for error in pool.map(meet, faults):
            assert "deadline of 0.5 seconds" in str(error)
            assert error.outcome == (None if request_ is GET else "unknown")


def test_a_deadline_ends_a_body_that_is_not_taken(server: Wire, connect: Connect) -> None:
    client = connect()
    client.send(GET, Statement())
    server.tell(lambda link: link.server.closed.wait(20))
    started = time.monotonic()
    error = failure(client, MODIFY._replace(body=b" " * 50_000_000), Statement(deadline=0.2))
    assert time.monotonic() - started < 10, "the service ended it, not the deadline"
    assert (error.outcome, server.connections) == ("unknown", 1)


def test_a_body_may_take_longer_than_connecting(server: Wire, connect: Connect) -> None:
    def read_late(link: Link) -> bool:
        time.sleep(0.5)
        return reply()(link)

    server.tell(reply(), read_late)
    client, statement = connect(connect_timeout=0.1), Statement()
    client.send(GET, statement)
    client.send(CREATE._replace(body=b" " * 20_000_000), statement)
    assert (server.connections, statement.stats.requests) == (1, 2)


def test_a_short_deadline_does_not_outlive_its_statement(server: Wire, connect: Connect) -> None:
    def late(link: Link) -> bool:
        read(link)
        time.sleep(0.5)
        link.sock.sendall(head(200, {"Content-Length": "2"}) + b"{}")
        return True

    client = connect()
    client.send(GET, Statement(deadline=0.3))
    server.tell(late)
    client.send(CREATE, Statement())
    assert server.connections == 1


def cancelling(statement: Statement, fault: Action) -> Action:
    """Cancel the statement soon after its request has arrived."""

    def act(link: Link) -> bool:
        threading.Timer(0.05, statement.cancel).start()
        return fault(link)

    return act


@pytest.mark.parametrize("fault", [silence, *DRIPS])
@pytest.mark.parametrize("request_", [GET, CREATE])
@pytest.mark.parametrize("kept", [True, False])
def test_cancel_ends_a_blocked_request_and_the_client_goes_on(
    server: Wire, connect: Connect, fault: Action, request_: Request, kept: bool
) -> None:
    client, statement = connect(), Statement()
    if kept:
        client.send(GET, Statement())
    server.tell(cancelling(statement, fault))
    started = time.monotonic()
    error = failure(client, request_, statement)
    assert time.monotonic() - started < 5, "the timeout ended it, which is 60 seconds, or the end of the drip"
    assert "cancelled" in str(error)
    assert error.outcome == (None if request_ is GET else "unknown")
    assert client.send(GET, Statement()).repeated is False


def test_a_reply_that_cancel_cut_off_is_not_taken_for_whole(server: Wire, connect: Connect) -> None:
    # Its end is the end of the connection, which cancel makes too.
    statement = Statement()
    server.tell(cancelling(statement, raw(b'HTTP/1.0 200 OK\r\n\r\n{"data": []}', leave=False)))
    assert "cancelled" in str(failure(connect(), GET, statement))


def test_cancel_ends_a_tls_handshake_that_hangs(server: Wire) -> None:
    client, statement = client_of(server.port, scheme="messages", connect_timeout=30), Statement()
    server.tell(cancelling(statement, lambda link: link.server.closed.wait(10)))
    error = failure(client, CREATE, statement)
    assert "cancelled" in str(error)
    assert (error.outcome, statement.stats.requests) == ("failed", 0)


def test_cancel_ends_a_tls_read_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    statement = Statement()
    with serving(cancelling(statement, silence), tls=True) as server:
        client = client_of(server.port, scheme="messages")
        assert "cancelled" in str(failure(client, GET, statement))
        client.send(GET, Statement())
        client.close()


@pytest.fixture
def full_port() -> Iterator[int]:
    """Give a port whose connections are neither accepted nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        yield int(listener.getsockname()[1])
        for filler in fillers:
            filler.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse what does not fit the queue")
def test_a_connection_that_is_not_made_ends_in_time(full_port: int) -> None:
    client, statement = client_of(full_port, connect_timeout=0.2, max_retries=0), Statement()
    error = failure(client, CREATE, statement)
    assert "no connection within 0.2 seconds" in str(error)
    assert (error.outcome, statement.stats.requests) == ("failed", 0)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse what does not fit the queue")
def test_cancel_ends_a_connection_that_is_not_made(full_port: int) -> None:
    client, statement = client_of(full_port, connect_timeout=60), Statement()
    threading.Timer(0.1, statement.cancel).start()
    assert "cancelled" in str(failure(client, CREATE, statement))


def test_cancel_ends_a_wait(server: Wire, connect: Connect) -> None:
    statement = Statement()
    server.tell(cancelling(statement, refusal(503, retry_after="60")))
    error = failure(connect(), CREATE, statement)
    assert "cancelled" in str(error)
    assert error.outcome == "failed"


def test_cancel_ends_a_reply_of_the_embedded_service() -> None:
    statement = Statement()

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            statement.cancel()
            return b" " * size

    class Slow(Raising):
        def send(self, *_: Any, **__: Any) -> requests.Response:
            response = requests.Response()
            response.status_code, response.raw = 200, Endless()
            return response

    client = Client(resolve("messages://", {}, {}), Slow(OSError()))
    error = failure(client, CREATE, statement)
    assert "cancelled" in str(error)
    assert (error.outcome, statement.stats.requests) == ("unknown", 1)


def test_a_reply_that_is_whole_counts_though_the_statement_was_cancelled() -> None:
    statement = Statement()

    class Late(Raising):
        def send(self, *_: Any, **__: Any) -> requests.Response:
            response = requests.Response()
            response.status_code, response.raw = 200, io.BytesIO(b'{"id": "msg_1"}')
            statement.cancel()
            return response

    client = Client(resolve("messages://", {}, {}), Late(OSError()))
    assert client.send(CREATE, statement).body == b'{"id": "msg_1"}'


def test_a_cancelled_statement_sends_nothing(server: Wire, connect: Connect) -> None:
    statement = Statement()
    statement.cancel()
    assert failure(connect(), CREATE, statement).outcome == "failed"
    assert server.connections == 0


def test_an_interrupt_that_comes_late_does_not_reach_the_next_request(server: Wire) -> None:
    way = Way(resolve(f"messages+http://127.0.0.1:{server.port}/v1", {}, {}), None)
    late, exchange = Exchange(5, 50), Exchange(5, 50)
    with late.under_way():
        with way.send(way.prepare(GET), 50) as response:
            assert response.content == b"{}"
        late.interrupt()
        with exchange.under_way(), way.send(way.prepare(CREATE), 50) as response:
            assert response.content == b"{}"
    assert not late.cut
    assert server.connections == 1
    way.close()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_passes_and_its_connection_is_not_used_again(server: Wire, connect: Connect) -> None:
    client, statement = connect(), Statement()
    client.send(GET, statement)
    server.tell(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", leave=False))
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        client.send(GET, statement)
    assert client.send(GET, statement).body == b"{}"
    assert [seen.connection for seen in server.requests] == [1, 1, 2]


# Threads and processes


def test_many_threads_share_a_client(server: Wire, connect: Connect) -> None:
    def echo(link: Link) -> bool:
        seen = read(link)
        body = json.dumps({"target": seen.target}).encode()
        link.sock.sendall(head(200, {"Content-Length": str(len(body))}) + body)
        return True

    server.tell(*[echo] * 400)
    client, statement = connect(concurrency=8), Statement()
    wrong: list[str] = []

    def work(name: int) -> None:
        for number in range(50):
            answer = client.send(Request("GET", f"/{name}/{number}"), statement)
            if json.loads(answer.body)["target"] != f"/v1/{name}/{number}":
                wrong.append(answer.body.decode())

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert server.connections <= 8
    assert statement.stats.requests == len(server.requests) == 400
    assert statement.stats.bytes_received == sum(len(f'{{"target": "{seen.target}"}}') for seen in server.requests)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_opens_connections_of_its_own(server: Wire) -> None:
    program = f"""
        import os
        from messages_dbapi.client import Client, Request
        from messages_dbapi.options import resolve
        from messages_dbapi.statement import Statement
        client = Client(resolve("messages+http://127.0.0.1:{server.port}/v1", {{}}, {{}}))
        def send(path):
            client.send(Request("GET", path), Statement())
        send("/parent/1")
        child = os.fork()
        if not child:
            send("/child")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        send("/parent/2")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)
    assert [(seen.target[3:], seen.connection) for seen in server.requests] == [
        ("/parent/1", 1),
        ("/child", 2),
        ("/parent/2", 1),
    ]


def test_a_create_does_not_trust_a_connection_that_was_idle(server: Wire, connect: Connect) -> None:
    client = connect()
    client.send(GET, Statement())
    time.sleep(1.1)
    client.send(CREATE, Statement())
    client.send(GET, Statement())
    assert [seen.connection for seen in server.requests] == [1, 2, 2]


def test_close_is_final_and_may_be_repeated(server: Wire, connect: Connect) -> None:
    client = connect()
    client.send(GET, Statement())
    client.close()
    client.close()
    assert type(failure(client, GET)) is errors.InterfaceError


def test_a_given_adapter_is_not_closed() -> None:
    class Kept(Raising):
        closed = False

        def close(self) -> None:
            self.closed = True

    adapter = Kept(OSError())
    Client(resolve("messages://", {}, {}), adapter).close()
    assert not adapter.closed


# Secrets


def test_nothing_says_the_key(server: Wire, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = connect(max_retries=1, headers={"X-Token": "tenant-token-0815"})
    server.tell(refusal(500, **SOON), refusal(401, f"bad {KEY} and tenant-token-0815"))
    error = failure(client, GET)
    shown = [*(record.getMessage() for record in caplog.records), repr(client), repr(vars(client)), str(error)]
    assert not [text for text in shown if KEY in text or "tenant-token-0815" in text]


def test_a_debug_line_tells_method_path_status_and_time(
    server: Wire, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "messages_dbapi")
    server.tell(reply(404))
    connect().send(GET, Statement())
    (record,) = (record for record in caplog.records if record.name == "messages_dbapi")
    assert record.getMessage().startswith("GET /threads/thread_1/messages 404 ")
    assert record.getMessage().endswith(" ms")


def test_a_statement_wakes_what_blocks_and_only_then() -> None:
    statement, woken = Statement(), list[str]()
    with statement.woken_by(lambda: woken.append("before")):
        pass
    with statement.woken_by(lambda: woken.append("meanwhile")):
        statement.cancel()
    with statement.woken_by(lambda: woken.append("after")):
        assert woken == ["meanwhile", "after"]
