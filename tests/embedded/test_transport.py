"""The transport in process gives what a socket gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest
import requests

from messages_dbapi.embedded.transport import EmbeddedAdapter

from .conftest import BETA, Service, session

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

# They change with each request.
VOLATILE = {"x-request-id", "date", "openai-processing-ms"}


def _headers(response: requests.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items() if name.lower() not in VOLATILE}


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/threads?limit=1", {}),
        ("GET", "/threads/thread_%C3%A9%2F..", {}),
        ("HEAD", "/threads", {}),
        ("OPTIONS", "/threads", {}),
        ("DELETE", "/threads", {}),
        ("POST", "/threads", {"data": '{"metadata": {"a": "é"}'}),
        ("POST", "/threads", {"data": b"\xff"}),
        ("POST", "/threads", {"headers": {}}),
    ],
)
def test_both_roads_answer_alike(
    service: Service, served: Service, method: str, path: str, options: dict[str, Any]
) -> None:
    near, far = (road.call(method, path, **options) for road in (service, served))
    assert (near.status_code, near.reason, near.content) == (far.status_code, far.reason, far.content)
    assert (near.encoding, near.text, near.ok) == (far.encoding, far.text, far.ok)
    assert _headers(near) == _headers(far)
    assert near.headers["X-Request-Id"].startswith("req_")
    assert near.elapsed.total_seconds() > 0
    assert near.url.removeprefix(service.base_url) == far.url.removeprefix(served.base_url)
    assert near.request.method == method


def test_a_stream_is_read_in_pieces(service: Service) -> None:
    whole = service.call("GET", "/threads").content
    with service.call("GET", "/threads", stream=True) as response:
        start = response.raw.read(5)
        assert start + b"".join(response.iter_content(7)) == whole
    with service.call("GET", "/threads", stream=True) as response:
        assert response.raw.read(decode_content=True) == whole
        assert response.raw.read() == b""
    with service.call("GET", "/threads", stream=True) as response:
        assert next(response.iter_content(3)) == whole[:3]


def _pieces() -> Iterable[bytes]:
    yield b'{"metadata":'
    yield b' {"a": "b"}}'


def test_bodies_of_any_kind_arrive(service: Service, tmp_path: Any) -> None:
    text = '{"metadata": {"a": "b"}}'
    (tmp_path / "body").write_text(text)
    with (tmp_path / "body").open("rb") as file:
        for data in (text, text.encode(), file, _pieces()):
            assert service.ok("POST", "/threads", data=data)["metadata"] == {"a": "b"}


class _Closing:
    def __init__(self) -> None:
        self.closed = False

    def __iter__(self) -> Any:
        return iter([b"a", b"b"])

    def close(self) -> None:
        self.closed = True


def test_the_answer_of_the_application_is_closed() -> None:
    body = _Closing()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("299 Odd Enough", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return body

    with session() as opened:
        opened.mount("http://embedded", EmbeddedAdapter(app))
        response = opened.get("http://embedded/")
    assert (response.status_code, response.reason, response.content) == (299, "Odd Enough", b"ab")
    assert response.raw.headers.getlist("Set-Cookie") == ["a=1", "b=2"]
    assert body.closed


@pytest.mark.parametrize("late", [False, True])
def test_nothing_foreign_escapes(late: bool) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if late:
            start_response("200 OK", [])
            return (str(1 / zero).encode() for zero in [0])
        raise ZeroDivisionError("secret")

    with session() as opened:
        opened.mount("http://embedded", EmbeddedAdapter(app))
        with pytest.raises(requests.ConnectionError, match="ZeroDivisionError") as caught:
            opened.get("http://embedded/", headers=BETA)
    assert "secret" not in str(caught.value)
