"""How one request to the service is made right: tries, waiting, time, and what an answer means."""

from __future__ import annotations

import itertools
import logging
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

from .errors import DatabaseError, Error, InterfaceError, OperationalError
from .exchange import Exchange
from .fault import FOREIGN, Fault, TooLargeError, find_request_id, parse, read_answer, read_failure
from .options import Options, describe
from .retry import plan_wait, read_date, worth_trying
from .secrecy import Body, without_frames
from .session import EMBEDDED, Request, Way
from .statement import Statement

__all__ = ["EMBEDDED", "Client", "Reply", "Request"]

# How many times longer than without progress a request may last in all.
_IN_ALL = 10
# Seconds from which on a wait is worth a warning.
_LONG_WAIT = 2.0
_CHUNK = 1 << 18
# Bytes that a reply may have, unpacked: a full page of the longest messages (100 of 256,000 characters, in up to
# 12 bytes each where they are escaped) has 0.3 GiB, and no page of a service that speaks the contract has more.
LARGEST_REPLY = 1 << 30
# Bytes looked at to see how a body begins or ends.
_EDGE = 64

_ENDED = (
    "OpenAI ended its Assistants API, threads and messages included, on 2026-08-26. What can be used instead: "
    "Microsoft Foundry's endpoint (until 2027-03-31), a server of your own that speaks the contract, "
    "or the embedded service (messages://)."
)

_PROXIED = "A proxy stands between, which the environment names (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY; NO_PROXY excepts)."

_log = logging.getLogger("messages_dbapi")


class Reply(NamedTuple):
    """Hold a reply: 2xx, or 404 with its ``code``. ``date`` is the service's own, in Unix seconds.

    ``repeated`` tells that an earlier try of the request may have been applied.
    """

    status: int
    body: bytes
    request_id: str | None
    date: float | None
    repeated: bool
    code: str | None = None


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """Send requests to one service, from any thread; ``adapter`` is the transport of the embedded one.

    ``confirmed`` tells that the service has answered a request with success: only then does its 404
    mean that a thread or message is missing, and not that there is no such API.
    """

    def __init__(self, options: Options, adapter: BaseAdapter | None = None) -> None:
        self.confirmed = adapter is not None
        self._options = options
        self._adapter = adapter
        self._way = Way(options, adapter)
        self._closed = False

    def close(self) -> None:
        """Close the kept connections; a request after that raises InterfaceError."""
        self._closed = True
        self._way.close()

    def hide(self, text: str) -> str:
        """Take every secret of this connection out of a text."""
        return self._way.hide(text)

    def send(self, request: Request, statement: Statement) -> Reply:
        """Get the reply to a request, 2xx or 404, after as many tries as it takes and may take.

        Raises the class of ``errors.class_of_status``. For a POST or DELETE the error has its
        ``outcome``: ``unknown`` if a try may have been applied.
        """
        doubt = False
        try:
            for tries in itertools.count(1):
                answer = self._try_with_key(request, statement)
                if isinstance(answer, Reply):
                    return answer._replace(repeated=doubt)
                doubt = doubt or answer.applied
                self._wait(request, answer, tries, statement)
                statement.count(retries=1)
        except Error as error:
            if request.method != "GET" and error.outcome is None:
                error.outcome = "unknown" if doubt else "failed"
            raise
        raise AssertionError  # the loop ends only by return or raise

    def _try_with_key(self, request: Request, statement: Statement) -> Reply | Fault:
        credential = self._here().credential
        edition = credential.edition
        answer = self._try(request, statement)
        if isinstance(answer, Fault) and answer.status == 401 and credential.renew(max(edition, 1)):
            statement.count(retries=1)
            return self._try(request, statement)
        return answer

    def _try(self, request: Request, statement: Statement) -> Reply | Fault:
        with self._turn(statement):
            return self._try_now(request, statement)

    def _turn(self, statement: Statement) -> AbstractContextManager[None]:
        """Wait until the service may be asked; what is embedded needs no such care."""
        if self._adapter is not None:
            return nullcontext()
        return self._here().pace.turn(statement, self._options.concurrency, self._options.rate)

    def _try_now(self, request: Request, statement: Statement) -> Reply | Fault:
        way = self._here()
        prepared = way.prepare(request)
        statement.admit_request()
        exchange = self._exchange(request, statement)
        started = time.perf_counter()
        outer = sys.exc_info()[1]
        answer: _Answer | Fault
        try:
            with statement.woken_by(exchange.interrupt), exchange.under_way():
                answer = self._receive(way, prepared, exchange, statement)
        except FOREIGN as error:
            patience = self._patience(exchange)
            answer = read_failure(error, outer, sent=exchange.sent, patience=patience, hide=way.hide)
        except BaseException as error:
            # Such as Ctrl-C: the frames of the transport hold the headers and so the key.
            without_frames(error, outer)
            raise
        finally:
            if not exchange.sent:
                statement.withdraw_request()
        spent = (time.perf_counter() - started) * 1000
        _log.debug("%s %s %s %.0f ms", request.method, request.path, answer.status or "no reply", spent)
        return answer if isinstance(answer, Fault) else self._judge(request, answer, way)

    def _here(self) -> Way:
        """Give the way of this process: a forked child must not write to its parent's connections."""
        if self._closed:
            raise InterfaceError("the client is closed")
        if self._way.pid != os.getpid():
            self._way = Way(self._options, self._adapter)
        return self._way

    def _exchange(self, request: Request, statement: Statement) -> Exchange:
        remaining = statement.remaining()
        limit = self._options.timeout * _IN_ALL
        return Exchange(
            self._options.timeout, limit if remaining is None else min(limit, remaining), once=self._once(request)
        )

    def _once(self, request: Request) -> bool:
        return not (request.repeatable or self._options.resend)

    def _receive(self, way: Way, prepared: PreparedRequest, exchange: Exchange, statement: Statement) -> _Answer:
        with way.send(prepared, exchange.limit) as response:
            body = Body(b"".join(_chunks(response, statement)))
        if exchange.cut or (self._adapter is None and _broke_off(response.headers, body)):
            raise ConnectionAbortedError("the reply broke off")
        statement.count(bytes_received=len(body))
        return _Answer(response.status_code, response.headers, body)

    def _patience(self, exchange: Exchange) -> str:
        if not exchange.sent:
            return f"no connection within {min(self._options.connect_timeout, exchange.limit):g} seconds"
        if exchange.overdue:
            return f"the reply took longer than {exchange.limit:g} seconds in all"
        return f"no byte came for {self._options.timeout:g} seconds"

    def _judge(self, request: Request, answer: _Answer, way: Way) -> Reply | Fault:
        status, headers, body = answer
        way.pace.note(headers)
        success = 200 <= status < 300
        if success and not request.repeatable and not isinstance(parse(body), dict):
            return Fault(
                f"the service answered {status} with something that is not JSON",
                applied=True,
                transient=True,
                status=status,
                request_id=find_request_id(headers, way.hide),
            )
        if status == 404 and way.host == "api.openai.com":
            return Fault(
                "the service answered 404",
                applied=False,
                transient=False,
                status=404,
                request_id=find_request_id(headers, way.hide),
                hint=_ENDED,
            )
        if not success:
            fault = read_answer(status, headers, body, time.time(), way.hide)
            missing = Reply(status, body, fault.request_id, read_date(headers.get("date")), False, fault.code)
            return missing if status == 404 else fault
        # A page of HTML with 200, from whatever stands before the service, confirms nothing.
        self.confirmed = self.confirmed or body[:_EDGE].lstrip()[:1] == b"{"
        request_id = find_request_id(headers, way.hide)
        return Reply(status, body, request_id, read_date(headers.get("date")), repeated=False)

    def _wait(self, request: Request, fault: Fault, tries: int, statement: Statement) -> None:
        """Wait until the request may be sent again, or raise the error of the fault."""
        once = self._once(request)
        doubt = _doubt(fault, once=once) if request.method != "GET" else ""
        reason = statement.reason()
        if reason is not None and fault.status is None:
            raise OperationalError(_join(f"{reason}, during {request.method} {request.path}", doubt))
        if not worth_trying(transient=fault.transient, applied=fault.applied, advised=fault.advised, once=once):
            raise self._error(request, fault, doubt) from fault.cause
        plan = plan_wait(
            asked=fault.asked,
            tries=tries,
            most=self._options.max_retries + 1,
            remaining=statement.remaining(),
            chance=random.random(),
        )
        if plan.wait is None:
            raise self._error(request, fault, plan.why, doubt) from fault.cause
        if plan.wait > _LONG_WAIT:
            status = fault.status or "no reply"
            _log.warning("%s %s: %s, try %d in %.1f s", request.method, request.path, status, tries + 1, plan.wait)
        statement.wait(plan.wait)

    def _error(self, request: Request, fault: Fault, *why: str) -> DatabaseError:
        known = f" (request id {fault.request_id})" if fault.request_id else ""
        said = f"{request.method} {request.path} of {describe(self._options)}: {fault.said}{known}"
        proxy = _PROXIED if fault.status is None and self._way.proxied else ""
        return fault.error(_join(said, *why, fault.hint, proxy))


def _chunks(response: Response, statement: Statement) -> Iterator[bytes]:
    stopped = False
    left = LARGEST_REPLY
    for chunk in response.iter_content(_CHUNK):
        # Not before there is more: a reply that is whole counts, whatever happens meanwhile.
        if stopped:
            raise ConnectionAbortedError("the statement was stopped")
        left -= len(chunk)
        if left < 0:
            raise TooLargeError(f"the reply has more than {LARGEST_REPLY:,} bytes")
        yield chunk
        stopped = statement.stopped


def _broke_off(headers: Mapping[str, str], body: bytes) -> bool:
    """Tell whether a body of JSON lacks its end where HTTP could not show it: no length, or a cut gzip stream."""
    framed = "content-length" in headers or "transfer-encoding" in headers
    if framed and "content-encoding" not in headers:
        return False
    return body[:_EDGE].lstrip()[:1] == b"{" and body[-_EDGE:].rstrip()[-1:] != b"}"


def _doubt(fault: Fault, *, once: bool) -> str:
    if not fault.applied:
        return ""
    if not once:
        return "It may have been applied."
    return "It may have been applied, so that what it creates may exist; it is not sent again, as that could double it."


def _join(*sentences: str) -> str:
    return " ".join(f"{sentence.rstrip('.')}." for sentence in sentences if sentence)
