"""Routes, access, headers and the lives of threads and messages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
import requests

from messages_dbapi.embedded import gateway
from messages_dbapi.embedded.app import BODY_LIMIT, Application
from messages_dbapi.embedded.methods import METHODS
from messages_dbapi.embedded.store import Draft, Store
from messages_dbapi.embedded.transport import EmbeddedAdapter
from messages_dbapi.resources import MESSAGES, RESOURCES, THREADS

from .conftest import BETA, Seen, Service, session


def test_every_declared_method_is_there() -> None:
    assert set(METHODS) == {method.name for resource in RESOURCES for method in resource.methods}


def test_a_message_has_all_declared_fields(service: Service) -> None:
    thread = service.thread()
    created = service.ok("POST", f"/threads/{thread}/messages", {"role": "user", "content": "hello"})
    assert set(created) == {field.name for field in MESSAGES.fields}
    assert created["content"] == [{"type": "text", "text": {"value": "hello", "annotations": []}}]
    assert created["id"].startswith("msg_")
    assert len(created["id"]) == len("msg_") + 24
    assert (created["status"], created["attachments"], created["metadata"]) == ("completed", [], {})
    assert {name for name, value in created.items() if value is None} == {
        "assistant_id",
        "run_id",
        "completed_at",
        "incomplete_at",
        "incomplete_details",
    }
    assert service.ok("GET", f"/threads/{thread}/messages/{created['id']}") == created


def test_a_thread_has_all_declared_fields(service: Service) -> None:
    tools = {"code_interpreter": {"file_ids": ["file_1"]}, "file_search": {"vector_store_ids": ["vs_1"]}}
    created = service.ok("POST", "/threads", {"metadata": {"a": "b"}, "tool_resources": tools})
    assert set(created) == {field.name for field in THREADS.fields}
    assert (created["object"], created["metadata"], created["tool_resources"]) == ("thread", {"a": "b"}, tools)
    assert service.ok("GET", f"/threads/{created['id']}") == created


@pytest.mark.parametrize("body", [{}, {"data": b""}])
def test_a_thread_is_created_from_nothing(service: Service, body: dict[str, Any]) -> None:
    created = service.ok("POST", "/threads", **body)
    assert (created["metadata"], created["tool_resources"]) == ({}, {})


def test_messages_of_a_new_thread_keep_their_order(service: Service) -> None:
    texts = [f"text {number}" for number in range(50)]
    thread = service.thread(*texts)
    listed = service.ok("GET", f"/threads/{thread}/messages?order=asc&limit=100")["data"]
    assert [message["content"][0]["text"]["value"] for message in listed] == texts


@pytest.mark.parametrize(
    ("change", "after"),
    [
        ({"metadata": {"b": "2"}}, {"b": "2"}),
        ({"metadata": {}}, {}),
        ({"metadata": None}, {}),
        ({}, {"a": "1", "z": "26"}),
    ],
)
def test_modify_replaces_the_whole_metadata(service: Service, change: Any, after: Any) -> None:
    labels = {"a": "1", "z": "26"}
    thread = service.ok("POST", "/threads", {"metadata": labels})["id"]
    message = {"role": "assistant", "content": "x", "metadata": labels}
    path = f"/threads/{thread}/messages/{service.ok('POST', f'/threads/{thread}/messages', message)['id']}"
    for changed in (f"/threads/{thread}", path):
        before = service.ok("GET", changed)
        assert service.ok("POST", changed, change) == {**before, "metadata": after}
        assert service.ok("GET", changed) == {**before, "metadata": after}


def test_modify_of_a_thread_replaces_tool_resources_alone(service: Service) -> None:
    tools = {"code_interpreter": {"file_ids": ["file_1"]}}
    thread = service.ok("POST", "/threads", {"metadata": {"a": "b"}, "tool_resources": tools})["id"]
    other: dict[str, Any] = {"file_search": {"vector_store_ids": []}}
    modified = service.ok("POST", f"/threads/{thread}", {"tool_resources": other})
    assert (modified["metadata"], modified["tool_resources"]) == ({"a": "b"}, other)
    assert service.ok("POST", f"/threads/{thread}", {"tool_resources": None})["tool_resources"] == {}


def test_a_deleted_message_is_gone(service: Service) -> None:
    thread = service.thread("one", "two")
    first = service.ok("GET", f"/threads/{thread}/messages?order=asc")["first_id"]
    path = f"/threads/{thread}/messages/{first}"
    assert service.ok("DELETE", path) == {"id": first, "object": "thread.message.deleted", "deleted": True}
    for method in ("GET", "POST", "DELETE"):
        status, error = service.refused(method, path, {} if method == "POST" else None)
        assert (status, error["message"], error["param"], error["code"]) == (
            404,
            f"No message found with id '{first}'.",
            None,
            None,
        )


def test_a_deleted_thread_is_unknown(service: Service) -> None:
    thread = service.thread("one")
    message = service.ok("GET", f"/threads/{thread}/messages")["first_id"]
    assert service.ok("DELETE", f"/threads/{thread}") == {"id": thread, "object": "thread.deleted", "deleted": True}
    valid = {"role": "user", "content": "x"}
    for method, path, body in [
        ("GET", "", None),
        ("POST", "", {}),
        ("DELETE", "", None),
        ("GET", "/messages", None),
        ("POST", "/messages", valid),
        ("GET", f"/messages/{message}", None),
        ("POST", f"/messages/{message}", {}),
        ("DELETE", f"/messages/{message}", None),
    ]:
        status, error = service.refused(method, f"/threads/{thread}{path}", body)
        assert (status, error["message"]) == (404, f"No thread found with id '{thread}'.")


def test_a_message_belongs_to_one_thread(service: Service) -> None:
    one, other = service.thread("a"), service.thread("b")
    message = service.ok("GET", f"/threads/{one}/messages")["first_id"]
    for method in ("GET", "POST", "DELETE"):
        status, _ = service.refused(method, f"/threads/{other}/messages/{message}", {} if method == "POST" else None)
        assert status == 404
    # As a cursor, too; deleted or not, and a thread is no cursor among its messages.
    for prepare in ("GET", "DELETE"):
        service.ok(prepare, f"/threads/{one}/messages/{message}")
        for cursor in (message, one, other):
            status, error = service.refused("GET", f"/threads/{other}/messages?after={cursor}")
            assert (status, error["param"]) == (400, "after")
        service.ok("GET", f"/threads/{one}/messages?after={message}")


@pytest.mark.parametrize("path", ["", "/", "/thread", "/threads/", "/threads//messages", "/threads/a/messages/b/c"])
def test_an_unknown_path_is_404(service: Service, path: str) -> None:
    status, error = service.refused("GET", path)
    assert (status, error["code"]) == (404, "unknown_url")


@pytest.mark.parametrize(
    "thread", ["a%2Fmessages", "a%2fmessages%2fb", "%2e%2e", "x%3Flimit%3D0", "%00", "%F0%9F%98%80"]
)
def test_an_id_cannot_become_another_route(service: Service, thread: str) -> None:
    status, error = service.refused("DELETE", f"/threads/{thread}")
    assert (status, error["code"]) == (404, None)
    assert error["message"].startswith("No thread found")


def test_odd_ids_are_found(service: Service, store: Store) -> None:
    store.add_thread(thread_id="a/b?c#d %é")
    store.add_message("a/b?c#d %é", Draft(id="..", content="x"))
    path = "/threads/a%2Fb%3Fc%23d%20%25%C3%A9"
    assert service.ok("GET", path)["id"] == "a/b?c#d %é"
    assert service.ok("GET", path + "/messages")["first_id"] == ".."


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/threads", "GET, POST, HEAD, OPTIONS"),
        ("DELETE", "/threads", "GET, POST, HEAD, OPTIONS"),
        ("PATCH", "/threads/x", "GET, POST, DELETE, HEAD, OPTIONS"),
        ("DELETE", "/threads/x/messages", "GET, POST, HEAD, OPTIONS"),
        ("PUT", "/threads/x/messages/y", "GET, POST, DELETE, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_405(service: Service, method: str, path: str, allowed: str) -> None:
    response = service.call(method, path)
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == set(allowed.split(", "))
    options = service.call("OPTIONS", path, headers={})
    assert (options.status_code, options.content) == (204, b"")
    assert options.headers["Allow"] == response.headers["Allow"]


def test_head_is_get_without_the_body(service: Service) -> None:
    thread = service.thread("one")
    got, head = (service.call(method, f"/threads/{thread}/messages") for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(got.content))
    assert service.call("HEAD", "/threads/x").status_code == 404


@pytest.mark.parametrize("beta", [None, "", "assistants=v1", "assistants", "xassistants=v2"])
def test_the_beta_header_is_needed(service: Service, beta: str | None) -> None:
    status, error = service.refused("GET", "/threads", headers={} if beta is None else {"OpenAI-Beta": beta})
    assert (status, error["code"], error["type"]) == (400, "invalid_beta", "invalid_request_error")


def test_the_beta_header_may_name_more(service: Service) -> None:
    service.ok("GET", "/threads", headers={"OpenAI-Beta": "other=v1, assistants=v2"})


KEY = "sk-test-é"


@pytest.fixture
def locked() -> Callable[[dict[str, str]], requests.Response]:
    """Give the service with a key."""
    opened = session()
    opened.mount("http://embedded", EmbeddedAdapter(Application(Store(), KEY)))

    def get(headers: dict[str, str], path: str = "/v1/threads") -> requests.Response:
        sent = {name: value.encode() for name, value in headers.items()}
        return opened.get(f"http://embedded{path}", headers={**BETA, **sent})

    return get


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Bearer {KEY[:-1]}"},
        {"api-key": "wrong"},
        {"api_key": KEY},
        {"Authorization": "Bearer wrong", "api-key": KEY},
    ],
)
def test_a_wrong_key_is_401(locked: Callable[..., requests.Response], headers: dict[str, str]) -> None:
    response = locked(headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert KEY not in response.text
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"api-key": KEY}]
)
def test_the_key_opens(locked: Callable[..., requests.Response], headers: dict[str, str]) -> None:
    assert locked(headers).status_code == 200


def test_health_needs_no_key(locked: Callable[..., requests.Response]) -> None:
    response = locked({"OpenAI-Beta": "none"}, "/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_headers_of_every_answer(service: Service, store: Store) -> None:
    answers = [service.call("GET", "/threads"), service.call("GET", "/no"), service.call("POST", "/threads", [])]
    assert [answer.status_code for answer in answers] == [200, 404, 400]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    for answer in answers:
        assert answer.headers["Content-Type"] == "application/json"
        sent = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        assert sent <= service.ok("POST", "/threads")["created_at"]


def test_the_log_sees_each_request_once(service: Service, seen: list[Seen]) -> None:
    service.call("GET", "/threads?limit=1&order=asc")
    service.call("POST", "/threads", {"no": 1})
    service.call("GET", "/threads/a%2Fb", headers={})
    assert seen == [
        ("GET", "/v1/threads", "limit=1&order=asc", 200),
        ("POST", "/v1/threads", "", 400),
        ("GET", "/v1/threads/a%2Fb", "", 400),
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/threads", 200),
        ("HEAD", "/v1/threads", 200),
        ("OPTIONS", "/v1/threads", 204),
        ("POST", "/v1/threads", 200),
        ("GET", "/v1/threads/thread_\u00c3\u00a9 x", 404),
        ("DELETE", "/v1", 404),
    ],
)
def test_any_wsgi_server_will_do(store: Store, method: str, path: str, status: int) -> None:
    # The standard library's checker of PEP 3333, and an environment with nothing beyond that.
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    environ["HTTP_OPENAI_BETA"] = "assistants=v2"
    answered = gateway.call(validator(Application(store)), environ)
    assert int(answered.status.split()[0]) == status


def test_a_body_over_the_limit_is_413(service: Service) -> None:
    status, error = service.refused("POST", "/threads", data=b" " * (BODY_LIMIT + 1))
    assert (status, error["code"]) == (413, "request_too_large")
    status, error = service.refused("POST", "/threads", data=b" " * BODY_LIMIT)
    assert (status, error["code"]) == (400, "invalid_json")


_SECRET = "the text of a message"


class _BrokenStore(Store):
    def thread(self, thread_id: str) -> Any:
        """Fail as a bug would."""
        raise KeyError(_SECRET)


def test_a_bug_is_500_in_the_envelope(caplog: pytest.LogCaptureFixture) -> None:
    opened = session()
    opened.mount("http://embedded", EmbeddedAdapter(Application(_BrokenStore())))
    with caplog.at_level(logging.ERROR):
        response = opened.get("http://embedded/v1/threads/x", headers=BETA)
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"
    assert _SECRET not in response.text + caplog.text
    assert "KeyError" in caplog.text
    assert response.headers["x-request-id"] in caplog.text
