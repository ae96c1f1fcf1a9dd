"""What went wrong with one try of a request: read from the service's answer or from a failed connection."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import NamedTuple

import requests
import urllib3

from .errors import DatabaseError, class_of_status
from .retry import asked_wait

# All that a transport may raise; UnicodeError is a ValueError, ssl.SSLError and TimeoutError are OSErrors.
FOREIGN = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)

_NETWORK = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)

# Characters of the service's own text that an error repeats.
_SAID = 500

_REQUEST_IDS = ("x-request-id", "apim-request-id", "x-ms-request-id")

_NO_CREDIT = frozenset({"insufficient_quota", "credit_balance_exhausted"})

_HINTS = {
    401: "Check api_key (in a URL the password: messages://:KEY@host/path).",
    403: "Check what this key may do, and the organization and project it belongs to.",
    407: "Check the user and password in the proxy's URL (HTTP_PROXY, HTTPS_PROXY).",
    429: "Try again later, or lower the option concurrency.",
}


class TooLargeError(http.client.HTTPException):
    """Stop reading a reply that is larger than any of the API can be."""


class Fault(NamedTuple):
    """One try that failed.

    ``applied``: the service may have acted on it. ``transient``: another try may fare better.
    ``advised`` is the service's own ``x-should-retry``. ``asked`` is how many seconds it asked to wait.
    """

    said: str
    applied: bool
    transient: bool
    status: int | None = None
    code: str | None = None
    param: str | None = None
    request_id: str | None = None
    advised: bool | None = None
    asked: float | None = None
    cause: Exception | None = None
    hint: str = ""

    def error(self, text: str) -> DatabaseError:
        """Make the exception of this fault."""
        return class_of_status(self.status or 0)(
            text,
            status=self.status,
            code=self.code,
            param=self.param,
            request_id=self.request_id,
            retry_after=self.asked,
        )


class _Envelope(NamedTuple):
    message: str | None
    code: str | None = None
    param: str | None = None
    kind: str | None = None
    proper: bool = False


def find_request_id(headers: Mapping[str, str], hide: Callable[[str], str] = str) -> str | None:
    """Give the id by which the service knows the request."""
    found = next((headers[name] for name in _REQUEST_IDS if name in headers), None)
    return _line(found, hide)


def read_answer(
    status: int, headers: Mapping[str, str], body: bytes, now: float, hide: Callable[[str], str] = str
) -> Fault:
    """Read an answer that is neither 2xx nor 404; ``hide`` takes the secrets out of the service's words."""
    envelope = _read_envelope(body)
    asked = asked_wait(headers, now)
    broke = _has_no_credit(envelope)
    said = f"the service answered {status} {http.client.responses.get(status, '')}".rstrip()
    words = _line(envelope.message or body.decode("utf-8", "replace"), hide)
    return Fault(
        said=f"{said}{_target(status, headers, hide)}{f': {words}' if words else ''}",
        applied=_may_be_applied(status, refused=asked is not None or envelope.proper),
        transient=not broke and (status in (408, 429) or (status >= 500 and status != 501)),
        status=status,
        code=_line(envelope.code, hide),
        param=_line(envelope.param, hide),
        request_id=find_request_id(headers, hide),
        advised=None if broke else _ADVICE.get(headers.get("x-should-retry", "")),
        asked=asked,
        hint="Check the plan and the billing of the account." if broke else _HINTS.get(status, ""),
    )


_ADVICE = {"true": True, "false": False}


def _may_be_applied(status: int, *, refused: bool) -> bool:
    # interface of the driver: only a 503 that the service itself wrote is sure to have done nothing.
    if status == 503:
        return not refused
    return status == 408 or (status >= 500 and status != 501) or status < 300


def _has_no_credit(envelope: _Envelope) -> bool:
    words = {envelope.code, envelope.kind} - {None}
    return any(word in _NO_CREDIT or str(word).startswith("billing") for word in words)


def _target(status: int, headers: Mapping[str, str], hide: Callable[[str], str]) -> str:
    if not 300 <= status < 400:
        return ""
    # Only the place: what follows it may be a token of a log-in page.
    place = re.split(r"[?#]", headers.get("location", "elsewhere"))[0]
    place = _line(re.sub(r"//[^/]*@", "//", place), hide) or ""
    return f", a redirect to {place}. Redirects are not followed: use that address in the URL if it is the service's"


def _read_envelope(body: bytes) -> _Envelope:
    try:
        return _find_envelope(parse(body))
    except RecursionError:
        return _Envelope(None)


def _find_envelope(reply: object) -> _Envelope:
    if not isinstance(reply, dict):
        return _Envelope(None)
    inner = reply.get("error")
    if isinstance(inner, dict):
        message, code, param, kind = (_text(inner.get(name)) for name in ("message", "code", "param", "type"))
        return _Envelope(message, code, param, kind, proper=True)
    # What other servers of the contract write: FastAPI's detail, problem+json, a bare message.
    return _Envelope(_text(inner) or _text(reply.get("detail")) or _text(reply.get("message")))


def parse(body: bytes) -> object:
    """Parse JSON, or give None for what is not."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _text(value: object) -> str | None:
    return None if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _line(words: str | None, hide: Callable[[str], str]) -> str | None:
    """Put words of another on one line, cut, without secrets and characters that a terminal obeys."""
    if words is None:
        return None
    # First the secrets, of which else a part might be left.
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in hide(words)[: 4 * _SAID]).split())
    return line if len(line) <= _SAID else line[: _SAID - 1] + "…"


def read_failure(
    error: Exception, outer: BaseException | None, *, sent: bool, patience: str, hide: Callable[[str], str] = str
) -> Fault:
    """Read what a transport raised while ``outer`` was being handled; ``patience`` says how long was waited."""
    root = _root(error, outer)
    said, transient = _describe(error, root, sent=sent, patience=patience)
    return Fault(
        said=_line(said, hide) or "", applied=sent, transient=transient, cause=root if _is_of_the_system(root) else None
    )


def _is_of_the_system(error: Exception) -> bool:
    """Tell whether an error has no words of others in it: they may repeat a header that was sent."""
    foreign = isinstance(error, ValueError | requests.exceptions.RequestException)
    return isinstance(error, OSError) and type(error) is not OSError and not foreign


def _root(error: Exception, outer: BaseException | None) -> Exception:
    """Find what happened first, without tracebacks: their frames hold the headers and so the key."""
    seen = {id(error), id(outer)}
    while True:
        within = error.__cause__ or error.__context__
        if not isinstance(within, _NETWORK) or id(within) in seen:
            break
        error = within
        seen.add(id(error))
    if isinstance(error, requests.exceptions.RequestException):
        error.request = error.response = None
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _describe(error: Exception, root: Exception, *, sent: bool, patience: str) -> tuple[str, bool]:
    """Say in words what happened, and whether another try may fare better."""
    if isinstance(root, TooLargeError):
        return str(root), False
    if isinstance(root, socket.gaierror):
        # A name that does not exist will not exist in a second; a resolver that fails may recover.
        return f"the host name cannot be resolved ({root.strerror})", root.errno != socket.EAI_NONAME
    if isinstance(root, ssl.SSLCertVerificationError):
        detail = getattr(root, "verify_message", "no reason given")
        return f"the TLS certificate is not trusted ({detail}); SSL_CERT_FILE can name a file of others to trust", False
    if isinstance(root, requests.exceptions.InvalidProxyURL | requests.exceptions.InvalidSchema):
        return f"the proxy that the environment names cannot be used ({root})", False
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy failed ({_name(root)})", True
    if isinstance(root, ssl.SSLError):
        return f"TLS failed ({getattr(root, 'reason', None) or _name(root)})", True
    if isinstance(root, ConnectionRefusedError):
        return "the connection was refused", True
    if isinstance(root, TimeoutError | urllib3.exceptions.TimeoutError | requests.exceptions.Timeout):
        return patience, True
    if isinstance(root, _NETWORK) and not isinstance(root, ValueError):
        return (
            f"the connection broke {'before the reply was whole' if sent else 'while it was made'} ({_name(root)})",
            True,
        )
    return f"the request could not be made ({type(root).__name__})", False


def _name(error: Exception) -> str:
    """Name a foreign error briefly: in the words of the system or of a proxy, for others may repeat a header."""
    if type(error) is OSError:
        return str(error)[:_SAID]
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
