"""The embedded service as a transport of requests: it calls the application in this process, with no socket."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from requests import PreparedRequest, Response, exceptions
from requests.adapters import HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse

from . import gateway

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication, WSGIEnvironment


class EmbeddedAdapter(HTTPAdapter):
    """Mount on a Session, so that what is sent below that URL reaches ``app`` in this process.

    Whatever exception leaves the application is a ConnectionError of requests. Timeouts, proxies and
    certificates have no meaning here: ``given_up`` tells whether the caller still waits for the answer. Closing
    the adapter does nothing to the application.
    """

    def __init__(self, app: WSGIApplication, given_up: Callable[[], bool] = bool) -> None:
        super().__init__()
        self._app = app
        self._given_up = given_up

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: object = None,
        verify: object = True,
        cert: object = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Response:
        """Answer a request with what the application says."""
        try:
            with gateway.waiting(self._given_up):
                answer = gateway.call(self._app, _environment(request))
            raw = _raw(answer, request.method)
        except Exception as error:
            text = f"the embedded service failed with {type(error).__name__}"
            raise exceptions.ConnectionError(text, request=request) from error
        response: Response = self.build_response(request, raw)
        return response


def _raw(answer: gateway.Answer, method: str | None) -> HTTPResponse:
    status, _, reason = answer.status.partition(" ")
    return HTTPResponse(
        body=io.BytesIO(answer.body),
        headers=HTTPHeaderDict(answer.headers),
        status=int(status),
        reason=reason,
        version=11,
        preload_content=False,
        request_method=method,
    )


def _environment(request: PreparedRequest) -> WSGIEnvironment:
    body = _bytes(request.body)
    headers = [(name, _text(value)) for name, value in request.headers.items()]
    environ = gateway.environment(
        request.method or "GET", request.path_url, headers, io.BytesIO(body), ("embedded", 80)
    )
    # It is all here, however it was going to be sent.
    environ["CONTENT_LENGTH"] = str(len(body))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    return environ


def _bytes(body: Any) -> bytes:
    if body is None or isinstance(body, bytes):
        return body or b""
    if isinstance(body, str):
        return body.encode()
    return bytes(body.read()) if hasattr(body, "read") else b"".join(body)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
