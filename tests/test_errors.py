"""Which error a statement ends with, on services that fail in every way, and what it leaves behind."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

import messages_dbapi
from messages_dbapi import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from messages_dbapi.connection import Connection

from .service import Service

KEY = "sk-very-secret"
LISTING = "/v1/threads/thread_a/messages"
SELECT = "SELECT id FROM messages WHERE thread_id = 'thread_a'"
INSERT = "INSERT INTO messages (thread_id, role, content) VALUES ('thread_a', 'user', 'a')"

Handler = Callable[[Request], Response]


@pytest.fixture
def connection(httpserver: HTTPServer) -> Iterator[Connection]:
    """Give a connection to a service that answers as the test says, and that is tried once."""
    with messages_dbapi.connect(base_url=httpserver.url_for("/v1"), api_key=KEY, max_retries=0) as connection:
        yield connection


def message(number: int) -> dict[str, Any]:
    """Give a message as the service sends it."""
    return {
        "id": f"msg_{number}",
        "object": "thread.message",
        "created_at": 1_700_000_000 + number,
        "assistant_id": None,
        "thread_id": "thread_a",
        "run_id": None,
        "status": "completed",
        "incomplete_details": None,
        "completed_at": None,
        "incomplete_at": None,
        "role": "user",
        "content": [{"type": "text", "text": {"value": f"message {number}", "annotations": []}}],
        "attachments": [],
        "metadata": {},
    }


def page(numbers: range, more: bool) -> Response:
    """Give a page of messages."""
    data = [message(number) for number in numbers]
    envelope = {"object": "list", "data": data, "first_id": "x", "last_id": "y", "has_more": more}
    return Response(json.dumps(envelope), content_type="application/json")


def refusal(status: int, **error: Any) -> Response:
    """Give an error in the service's envelope."""
    envelope = {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None} | error}
    return Response(json.dumps(envelope), status=status, content_type="application/json")


# Statuses.

STATUSES = (
    (400, DataError),
    (401, OperationalError),
    (402, OperationalError),
    (403, OperationalError),
    (405, NotSupportedError),
    (408, OperationalError),
    (409, IntegrityError),
    (410, OperationalError),
    (413, DataError),
    (418, OperationalError),
    (422, DataError),
    (429, OperationalError),
    (500, OperationalError),
    (501, NotSupportedError),
    (502, OperationalError),
    (503, OperationalError),
    (504, OperationalError),
    (301, OperationalError),
    (307, OperationalError),
)

STATEMENTS = (
    SELECT,
    f"{SELECT} AND id = 'msg_1'",
    INSERT,
    "UPDATE messages SET metadata = '{}' WHERE thread_id = 'thread_a' AND id = 'msg_1'",
    "DELETE FROM messages WHERE thread_id = 'thread_a' AND id = 'msg_1'",
)


@pytest.mark.parametrize(("status", "cls"), STATUSES)
def test_every_status_has_its_class(
    httpserver: HTTPServer, connection: Connection, status: int, cls: type[DatabaseError]
) -> None:
    httpserver.expect_request(LISTING, method="GET").respond_with_handler(lambda _: refusal(status))
    httpserver.expect_request(LISTING, method="POST").respond_with_handler(lambda _: refusal(status))
    httpserver.expect_request(f"{LISTING}/msg_1").respond_with_handler(lambda _: refusal(status))
    for sql in STATEMENTS:
        with pytest.raises(cls) as caught:
            connection.execute(sql)
        assert type(caught.value) is cls
        assert caught.value.status == status
        assert KEY not in repr(caught.value)


def test_an_error_carries_what_the_service_said(httpserver: HTTPServer, connection: Connection) -> None:
    response = refusal(429, message="Slow down", code="rate_limit_exceeded", param="thread_id")
    response.headers.extend({"x-request-id": "req_7", "retry-after": "1.5"})
    httpserver.expect_request(LISTING).respond_with_response(response)
    with pytest.raises(OperationalError, match="Slow down") as caught:
        connection.execute(SELECT)
    error = caught.value
    assert (error.status, error.code, error.param) == (429, "rate_limit_exceeded", "thread_id")
    assert (error.request_id, error.retry_after) == ("req_7", 1.5)


# What a 404 means.


def test_no_such_api_is_an_operational_error(httpserver: HTTPServer, connection: Connection) -> None:
    httpserver.expect_request(re.compile(".*")).respond_with_data("Not Found", status=404)
    for sql in STATEMENTS:
        with pytest.raises(OperationalError, match="no such API"):
            connection.execute(sql)
    with pytest.raises(OperationalError, match="no such API"):
        connection.check()


def test_an_unknown_thread_is_a_programming_error(service: Service) -> None:
    for connect in (service.connect, service.connect_over_http):
        with connect() as connection:
            for sql in (STATEMENTS[0], INSERT):
                with pytest.raises(ProgrammingError, match="thread_a") as caught:
                    connection.execute(sql)
                assert caught.value.status == 404
            for sql in (STATEMENTS[1], *STATEMENTS[3:]):
                cursor = connection.execute(sql)
                assert cursor.rowcount <= 0


def test_a_message_id_that_is_malformed_is_no_row(httpserver: HTTPServer, connection: Connection) -> None:
    said = "Invalid 'message_id': 'no id'. Expected an ID that begins with 'msg'."
    for error in (
        refusal(400, message=said, param="message_id"),
        refusal(400, message="'no id' is not an id"),
        Response('{"detail": [{"loc": ["path", "message_id"], "msg": "no match"}]}', status=422),
    ):
        httpserver.clear_all_handlers()
        httpserver.expect_request(f"{LISTING}/no id").respond_with_response(error)
        assert connection.execute(f"{SELECT} AND id = 'no id'").fetchall() == []


# Replies that break the promise.

REPLIES = (
    "",
    "hello",
    "<html>Sign in</html>",
    "[]",
    "null",
    '{"object": "list"}',
    '{"data": 5}',
    '{"data": [5], "has_more": false}',
    '{"data": [{"created_at": 5}], "has_more": false}',
    '{"data": [{"id": 5}], "has_more": false}',
    '{"data": [{"id": "a", "created_at": "soon"}], "has_more": false}',
    '{"data": [{"id": "a", "created_at": 5}]',
)


@pytest.mark.parametrize("body", REPLIES)
def test_a_reply_that_is_none_is_an_internal_error(httpserver: HTTPServer, connection: Connection, body: str) -> None:
    httpserver.expect_request(LISTING).respond_with_data(body, content_type="application/json")
    with pytest.raises(InternalError):
        connection.execute(f"{SELECT} AND created_at > 1")


def test_a_page_that_comes_again_is_an_internal_error(httpserver: HTTPServer, connection: Connection) -> None:
    httpserver.expect_request(LISTING).respond_with_handler(lambda _: page(range(3), True))
    cursor = connection.execute(SELECT)
    with pytest.raises(InternalError, match="does not advance"):
        cursor.fetchall()
    assert cursor.stats.requests <= 3


def test_pages_in_a_circle_are_an_internal_error(httpserver: HTTPServer, connection: Connection) -> None:
    def answer(request: Request) -> Response:
        after = request.args.get("after", "msg_-1")
        start = (int(after.removeprefix("msg_")) + 1) % 9
        return page(range(start, start + 3), True)

    httpserver.expect_request(LISTING).respond_with_handler(answer)
    with pytest.raises(InternalError, match="does not advance"):
        connection.execute(SELECT).fetchall()


def test_an_order_that_is_not_kept_is_an_internal_error(httpserver: HTTPServer, connection: Connection) -> None:
    httpserver.expect_request(LISTING).respond_with_handler(lambda _: page(range(3), False))
    assert len(connection.execute(SELECT).fetchall()) == 3
    with pytest.raises(InternalError, match="order"):
        connection.execute(f"{SELECT} ORDER BY created_at DESC").fetchall()


def test_missing_fields_are_null_and_unknown_ones_nothing(httpserver: HTTPServer, connection: Connection) -> None:
    body = '{"data": [{"id": "msg_1", "created_at": 5, "new": {"a": 1}}], "has_more": false}'
    httpserver.expect_request(LISTING).respond_with_data(body, content_type="application/json")
    row = connection.execute("SELECT * FROM messages WHERE thread_id = 'thread_a'").fetchone()
    assert row == ("msg_1", *(None,) * 4, 5, *(None,) * 7, "thread_a")


# A failure under way.


def failing_after(pages: int, status: int) -> Handler:
    """Give pages of two messages, and then a status."""
    calls = iter(range(pages))

    def answer(_: Request) -> Response:
        place = next(calls, None)
        return refusal(status) if place is None else page(range(place * 2, place * 2 + 2), True)

    return answer


@pytest.mark.parametrize("status", [500, 404, 400, 403])
def test_a_failed_fetch_stays_failed(httpserver: HTTPServer, connection: Connection, status: int) -> None:
    httpserver.expect_request(LISTING).respond_with_handler(failing_after(2, status))
    cursor = connection.execute(SELECT)
    assert cursor.fetchmany(4) == [(f"msg_{n}",) for n in range(4)]
    errors = []
    for fetch in (cursor.fetchone, cursor.fetchone, cursor.fetchall, cursor.fetchmany, lambda: next(cursor)):
        with pytest.raises(DatabaseError) as caught:
            fetch()
        errors.append(caught.value)
    assert len(set(map(id, errors))) == 1
    assert len(httpserver.log) <= 4
    httpserver.clear_all_handlers()
    httpserver.expect_request(LISTING).respond_with_handler(lambda _: page(range(2), False))
    assert len(cursor.execute(SELECT).fetchall()) == 2


def test_a_failure_is_not_hidden_by_an_aggregate(httpserver: HTTPServer, connection: Connection) -> None:
    httpserver.expect_request(LISTING).respond_with_handler(failing_after(2, 500))
    with pytest.raises(OperationalError) as caught:
        connection.execute("SELECT count(*) FROM messages WHERE thread_id = 'thread_a'")
    assert caught.value.status == 500


def test_max_requests_ends_a_statement_and_never_shortens_it(service: Service) -> None:
    service.thread(250, thread_id="thread_a")
    with service.connect(max_requests=2) as connection:
        cursor = connection.execute(SELECT)
        assert len(cursor.fetchmany(200)) == 200
        for _ in range(2):
            with pytest.raises(OperationalError, match="max_requests=2"):
                cursor.fetchone()
        assert cursor.stats.requests == 2
        assert len(connection.execute(f"{SELECT} LIMIT 200").fetchall()) == 200


def test_a_deadline_ends_a_statement() -> None:
    with messages_dbapi.connect("messages://", deadline=0.05) as connection:
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        with pytest.raises(OperationalError, match=r"deadline of 0\.05 seconds"):
            connection.execute(endless)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_deadline_ends_a_slow_service(httpserver: HTTPServer) -> None:
    waiting = threading.Event()
    httpserver.expect_request(LISTING).respond_with_handler(lambda _: (waiting.wait(5), page(range(1), False))[1])
    with messages_dbapi.connect(base_url=httpserver.url_for("/v1"), deadline=0.1) as connection:
        with pytest.raises(OperationalError, match="deadline"):
            connection.execute(SELECT)
        waiting.set()


# Keys.


@pytest.mark.parametrize("auth", ["bearer", "api-key"])
def test_the_key_goes_where_auth_says(httpserver: HTTPServer, auth: str) -> None:
    # The server's own log may still get the request that the test before this one has abandoned.
    sent: list[tuple[str | None, str | None]] = []

    def answer(request: Request) -> Response:
        sent.append((request.headers.get("Authorization"), request.headers.get("api-key")))
        return page(range(1), False)

    httpserver.expect_request(LISTING).respond_with_handler(answer)
    with messages_dbapi.connect(base_url=httpserver.url_for("/v1"), api_key=KEY, auth=auth) as connection:  # type: ignore[arg-type]  # pytest's str
        connection.execute(SELECT).fetchall()
    assert sent == [(f"Bearer {KEY}", None) if auth == "bearer" else (None, KEY)]


def test_a_wrong_key_is_an_operational_error_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    service = Service(api_key="sk-right")
    service.thread(1, thread_id="thread_a")
    caplog.set_level(logging.DEBUG)
    try:
        for key, auth in ((KEY, "bearer"), (KEY, "api-key"), (None, "bearer")):
            with service.connect_over_http(api_key=key, auth=auth) as connection:
                for misuse in (connection.check, lambda c=connection: c.execute(SELECT)):
                    with pytest.raises(OperationalError) as caught:
                        misuse()
                    assert caught.value.status == 401
                    assert KEY not in f"{caught.value!r}{connection!r}{caught.value.__cause__!r}{caplog.text}"
        with service.connect_over_http(api_key=lambda: "sk-right") as connection:
            assert connection.check().key_accepted
    finally:
        service.close()


def test_check_reports_what_it_found(service: Service, httpserver: HTTPServer) -> None:
    for connect in (service.connect, service.connect_over_http):
        with connect() as connection, service.counting() as seen:
            check = connection.check()
        assert (check.reached, check.key_accepted, check.can_list_threads) == (True, True, True)
        assert len(seen) == 1
    httpserver.expect_request("/v1/threads/thread_check").respond_with_response(
        refusal(404, message="No thread found with id 'thread_check'.")
    )
    httpserver.expect_request("/v1/threads").respond_with_response(refusal(405))
    with messages_dbapi.connect(base_url=httpserver.url_for("/v1")) as connection:
        assert not connection.check().can_list_threads


@pytest.mark.parametrize("body", ["<!doctype html><p>Welcome", "", "[]", '{"hello": "world"}'])
def test_an_address_of_something_else_is_no_success(httpserver: HTTPServer, body: str) -> None:
    httpserver.expect_request("/v1/threads").respond_with_data(body, content_type="text/html")
    with messages_dbapi.connect(base_url=httpserver.url_for("/v1")) as connection:
        with pytest.raises(OperationalError, match=r"no such API at that address.*must end where /threads begins"):
            connection.check()
        assert connection.cursor().execute("SELECT 1").fetchone() == (1,)


def test_a_page_for_people_does_not_confirm_a_404(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/threads").respond_with_data("<p>Welcome", content_type="text/html")
    httpserver.expect_request(LISTING).respond_with_data("<p>Nothing here", status=404, content_type="text/html")
    with (
        messages_dbapi.connect(base_url=httpserver.url_for("/v1")) as connection,
        pytest.raises(OperationalError, match="no such API"),
    ):
        connection.execute(SELECT)


def test_a_service_that_is_not_there_is_an_operational_error() -> None:
    with messages_dbapi.connect(base_url="http://127.0.0.1:9/v1", max_retries=0) as connection:
        for misuse in (connection.check, lambda: connection.execute(SELECT)):
            with pytest.raises(OperationalError, match=r"127\.0\.0\.1:9"):
                misuse()


# Creates that may have been applied.


def test_a_create_in_doubt_is_sent_once(httpserver: HTTPServer, connection: Connection) -> None:
    httpserver.expect_request(LISTING, method="POST").respond_with_response(refusal(500))
    httpserver.expect_request(LISTING, method="GET").respond_with_handler(lambda _: page(range(1), False))
    with pytest.raises(OperationalError, match="may have been applied") as caught:
        connection.execute(INSERT)
    assert (caught.value.outcome, caught.value.applied, caught.value.ids) == ("unknown", 0, ())
    assert [request.method for request, _ in httpserver.log].count("POST") == 1


# Misuse.


def test_options_are_named() -> None:
    with pytest.raises(InterfaceError, match="page_size"):
        messages_dbapi.connect("messages://?page_size=0")
    with pytest.raises(InterfaceError, match="page_size"):
        messages_dbapi.connect("messages://?pagesize=5")
    with pytest.raises(InterfaceError, match="messages://"):
        messages_dbapi.connect()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT contnt FROM messages", "no such column: contnt (did you mean content?)"),
        ("SELECT * FROM mesages", "no such table: mesages (did you mean messages?)"),
        ("SELECT * FROM main.transcripts", "(did you mean transcript?)"),
        ("SELECT * FROM customers", "no such table: customers"),
        (f"SELECT 1 WHERE 1 IN ({','.join('?' * 32_767)})", "json_each(?)"),
        ("INSERT INTO threads (title) VALUES (1)", "no column named title; it takes metadata, tool_resources"),
        (
            'INSERT INTO messages ("index") VALUES (1)',
            "thread_id, role, content, attachments, metadata (to_sql of pandas",
        ),
    ],
)
def test_a_name_that_is_not_there(connection: Connection, statement: str, said: str) -> None:
    """The text names what may have been meant."""
    with pytest.raises(ProgrammingError) as caught:
        connection.execute(statement, (1,) * statement.count("?"))
    assert said in str(caught.value)
    assert ("did you mean" in str(caught.value)) == ("did you mean" in said)
