"""The service as a WSGI application: routes, access, and every answer's status and headers."""

from __future__ import annotations

import hmac
import logging
import secrets
import time
import traceback
from collections.abc import Callable, Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

from ..resources import RESOURCES
from . import documents, refusals
from .bodies import read_body
from .database import StoreError
from .listing import CursorError, NotFoundError
from .methods import METHODS, Call
from .queries import read_query
from .refusals import Refusal
from .store import Store

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

logger = logging.getLogger(__name__)

BASE_PATH = "/v1"
BODY_LIMIT = 32 * 1024 * 1024  # bytes

OnRequest = Callable[[str, str, str, int], None]


class _Route(NamedTuple):
    segments: tuple[str, ...]
    # The declared method behind each HTTP method.
    methods: dict[str, str]

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """Give the ids that stand in a path, or None where it is not of this route."""
        if len(segments) != len(self.segments):
            return None
        ids = {}
        for own, given in zip(self.segments, segments, strict=True):
            if own.startswith("{") and given:
                ids[own[1:-1]] = given
            elif own != given:
                return None
        return ids


def _routes() -> tuple[_Route, ...]:
    of_path: dict[str, dict[str, str]] = {"/healthz": {"GET": "health"}}
    for resource in RESOURCES:
        for method in resource.methods:
            of_path.setdefault(BASE_PATH + method.path, {})[method.http] = method.name
    return tuple(_Route(tuple(path.split("/")[1:]), methods) for path, methods in of_path.items())


_ROUTES = _routes()


class _Answer(NamedTuple):
    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()


class Application:
    """Serve a store below the base path ``/v1``; thread-safe.

    With ``api_key``, every call but ``/healthz`` needs it as a bearer token or in an ``api-key``
    header. ``on_request`` is called once for each request, when its answer is known, with its HTTP
    method, its path and query as they were sent, and the status.
    """

    def __init__(self, store: Store, api_key: str | None = None, *, on_request: OnRequest | None = None) -> None:
        self._store = store
        self._key = None if api_key is None else api_key.encode()
        self._on_request = on_request

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        started = time.perf_counter()
        request_id = f"req_{secrets.token_hex(16)}"
        method, path, query = environ["REQUEST_METHOD"], _raw_path(environ), environ.get("QUERY_STRING", "")
        answer = self._answer(environ, method, path, query, request_id)
        if self._on_request is not None:
            self._on_request(method, path, query, answer.status)
        body = answer.body.encode()
        # A 204 has no content to describe (RFC 9110, 8.6).
        content = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))] if body else []
        headers = [
            ("Date", formatdate(usegmt=True)),
            *content,
            ("x-request-id", request_id),
            ("openai-processing-ms", str(int((time.perf_counter() - started) * 1000))),
            *answer.headers,
        ]
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", headers)
        return [] if method == "HEAD" else [body]

    def _answer(self, environ: WSGIEnvironment, method: str, path: str, query: str, request_id: str) -> _Answer:
        try:
            return self._route(environ, method, path, query)
        except Refusal as refusal:
            return _refused(refusal)
        except (NotFoundError, CursorError, StoreError) as error:
            return _refused(refusals.of_store(error))
        except Exception as error:  # noqa: BLE001 - a bug here must answer 500 rather than end the caller's thread
            # The error's own text may quote a message.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("%s failed with %s\n%s", request_id, type(error).__name__, where)
            text = "The server had an error while processing the request."
            # What a bug has ended once, it ends again.
            return _refused(Refusal(500, text, kind="server_error", headers=[("x-should-retry", "false")]))

    def _route(self, environ: WSGIEnvironment, method: str, path: str, query: str) -> _Answer:
        route, ids = _find(path, method)
        if method == "OPTIONS":
            return _Answer(204, "", (("Allow", _allowed(route)),))
        name = route.methods.get("GET" if method == "HEAD" else method)
        if name is None:
            text = f"Not allowed to {method} on {refusals.shown(path)}. Allowed: {_allowed(route)}."
            raise Refusal(405, text, code="method_not_allowed", headers=[("Allow", _allowed(route))])
        if name == "health":
            return _Answer(200, '{"status":"ok"}')
        self._check_key(environ)
        _check_version(environ)
        page = read_query(name, query)
        body = read_body(name, _body(environ))
        call = Call(ids.get("thread_id", ""), ids.get("message_id", ""), page, body)
        return _Answer(200, METHODS[name](self._store, call))

    def _check_key(self, environ: WSGIEnvironment) -> None:
        if self._key is None:
            return
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else environ.get("HTTP_API_KEY", "")
        # WSGI gives the bytes of a header as Latin-1.
        if not hmac.compare_digest(given.encode("latin-1"), self._key):
            text = "Incorrect API key provided." if given else "No API key provided: send 'Authorization: Bearer KEY'."
            raise Refusal(401, text, code="invalid_api_key", headers=[("WWW-Authenticate", "Bearer")])


def _refused(refusal: Refusal) -> _Answer:
    body = documents.error(refusal.message, refusal.kind, refusal.param, refusal.code)
    return _Answer(refusal.status, body, tuple(refusal.headers))


def _raw_path(environ: WSGIEnvironment) -> str:
    # PATH_INFO is decoded already: "a%2Fb" and "a/b" look the same in it. Most servers give the original too.
    target: str = environ.get("REQUEST_URI") or environ.get("RAW_URI") or ""
    if target.startswith("/") and not environ.get("SCRIPT_NAME"):
        return target.partition("?")[0]
    return quote(environ.get("PATH_INFO", "").encode("latin-1"))


def _find(path: str, method: str) -> tuple[_Route, dict[str, str]]:
    segments = [unquote(segment) for segment in path.split("/")[1:]]
    for route in _ROUTES:
        ids = route.match(segments)
        if ids is not None:
            return route, ids
    raise Refusal(404, f"Invalid URL ({method} {path[:200]}).", code="unknown_url")


def _allowed(route: _Route) -> str:
    head = ("HEAD",) if "GET" in route.methods else ()
    return ", ".join((*route.methods, *head, "OPTIONS"))


def _check_version(environ: WSGIEnvironment) -> None:
    versions = [version.strip() for version in environ.get("HTTP_OPENAI_BETA", "").split(",")]
    if "assistants=v2" not in versions:
        text = (
            "You must provide the 'OpenAI-Beta' header to access this API. "
            "Please try again by setting the header 'OpenAI-Beta: assistants=v2'."
        )
        raise Refusal(400, text, code="invalid_beta")


def _body(environ: WSGIEnvironment) -> bytes:
    length = _length(environ)
    try:
        body: bytes = environ["wsgi.input"].read(length) if length else b""
    except OSError:
        raise Refusal(408, "The body did not arrive.", code="incomplete_body") from None
    if len(body) < length:
        raise Refusal(400, "The body is shorter than its Content-Length.", code="incomplete_body")
    return body


def _length(environ: WSGIEnvironment) -> int:
    if environ.get("HTTP_TRANSFER_ENCODING"):
        raise Refusal(411, "Send the body with a Content-Length, not in chunks.", code="length_required")
    text = environ.get("CONTENT_LENGTH") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Refusal(400, "The Content-Length header is not a number.", code="invalid_content_length")
    if int(text) > BODY_LIMIT:
        raise Refusal(413, f"The body is larger than {BODY_LIMIT} bytes.", code="request_too_large")
    return int(text)
