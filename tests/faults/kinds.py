"""The kinds of fault, as data: how the service plays each, and what is promised of it."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from messages_dbapi.embedded.documents import Draft
from messages_dbapi.embedded.gateway import Answer

from ..front import Front
from ..wire import Link, Seen, hang_up_at_once, head, reset_unread
from . import promises
from .promises import Promise

REQUEST_ID = "req_fault"
# A reply to a write that was not applied, for what is done to replies.
_STAND_IN = b'{"id":"msg_none","object":"thread.message","created_at":1,"deleted":true}'

# Meet one request; the answer is the service's own, where it has got the request.
Play = Callable[[Front, Link, Seen, Answer | None], bool]
Place = Literal["anywhere", "listing", "later page"]


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    ``applies``: whether the service has acted on a write that meets it; None: it may or may not have.
    ``again`` tells which later requests meet it too where it stays. ``timeout`` is the option it needs.
    """

    name: str
    promise: Promise
    play: Play
    status: int | None = None
    code: str | None = None
    applies: bool | None = None
    where: Place = "anywhere"
    again: Callable[[Seen, Seen], bool] = lambda first, later: first[:2] + first[3:4] == later[:2] + later[3:4]
    timeout: float | None = None
    # The port is closed before the request comes.
    refuses: bool = False
    # The service changes meanwhile, once: the rows of either moment are right.
    changes: bool = False
    # It is nothing where it comes once.
    persists: bool = False


def _send(link: Link, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bool:
    lines = {"Content-Type": "application/json", "X-Request-Id": REQUEST_ID, "Content-Length": str(len(body))}
    link.sock.sendall(head(status, {**lines, **(headers or {})}) + body)
    return True


def _body(answer: Answer | None) -> bytes:
    return _STAND_IN if answer is None else answer.body


def _envelope(status: int, code: str) -> bytes:
    return json.dumps({"error": {"message": "no", "type": "told", "param": None, "code": code}}).encode()


def _status(
    status: int, promise: Promise, name: str = "", *, body: bytes | None = None, code: str | None = None, **headers: str
) -> Kind:
    """Make the kind of an answer with a status, in the service's envelope unless a body is given."""
    code = code or (f"told_{status}" if body is None else None)
    said = _envelope(status, code or "") if body is None else body
    lines = {line.replace("_", "-"): value for line, value in headers.items()}
    applies = None if promise in (promises.BROKEN, promises.ADVISED_AGAINST) else False

    def play(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
        places = {"Location": lines["Location"].format(front.elsewhere)} if "Location" in lines else {}
        return _send(link, status, said, lines | places)

    return Kind(f"{status} {name}".strip(), promise, play, status, code, applies)


def _reply(name: str, promise: Promise, change: Callable[[bytes], bytes], **options: Any) -> Kind:
    """Make the kind of a reply with success whose body is changed."""
    headers = options.pop("headers", None)

    def play(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
        return _send(link, 200, change(_body(answer)), headers)

    status = 200 if promise is promises.GARBLED else None
    return Kind(name, promise, play, status, applies=True if promise is promises.HARMLESS else None, **options)


def _always(body: bytes) -> Callable[[bytes], bytes]:
    return lambda _: body


def _json(name: str, promise: Promise, change: Callable[[dict[str, Any]], object], **options: Any) -> Kind:
    """Make the kind of a reply whose JSON object is changed in place."""

    def changed(body: bytes) -> bytes:
        reply = json.loads(body)
        change(reply)
        return json.dumps(reply).encode()

    return _reply(name, promise, changed, **options)


def _objects(reply: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the messages or threads of a reply."""
    data = reply.get("data")
    return data if isinstance(data, list) else [reply]


def _leave_out(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(reply: dict[str, Any]) -> None:
        for thing in (reply, *_objects(reply)):
            for name in names:
                thing.pop(name, None)

    return change


def _put(**values: Any) -> Callable[[dict[str, Any]], None]:
    def change(reply: dict[str, Any]) -> None:
        for thing in (reply, *_objects(reply)):
            thing.update(values)

    return change


def _huge(reply: dict[str, Any]) -> None:
    for thing in _objects(reply):
        thing.update({name: 10**30 for name in ("created_at", "deleted", "id") if name in thing})


def _add_part(reply: dict[str, Any]) -> None:
    for thing in _objects(reply):
        if "content" in thing:
            thing["content"].append({"type": "hologram", "hologram": {"depth": 3}})


# Lost connections and broken replies.


def _reset(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    return reset_unread(link)


def _hang_up(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    return False


def _silence(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    link.sock.recv(1)
    return False


def _half(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    body = _body(answer)
    link.sock.sendall(head(200, {"Content-Length": str(len(body))}) + body[: len(body) // 2])
    return False


def _half_chunked(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    half = _body(answer)[:-5]
    link.sock.sendall(head(200, {"Transfer-Encoding": "chunked"}) + b"%x\r\n%b\r\n" % (len(half), half))
    return False


def _half_without_length(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    link.sock.sendall(head(200, {"Connection": "close"}) + _body(answer)[:-5])
    return False


def _stall(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    link.sock.sendall(head(200, {"Content-Length": str(len(_body(answer)) + 1)}) + _body(answer))
    link.sock.recv(1)
    return False


def _drip(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    link.sock.sendall(head(200, {"Content-Length": "1000000"}))
    while not front.closed.wait(0.05):
        link.sock.sendall(b" ")
    return False


def _slowly(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    assert answer is not None
    link.sock.sendall(head(200, {"Content-Length": str(len(answer.body))}))
    for start in range(0, len(answer.body), 1 + len(answer.body) // 8):
        link.sock.sendall(answer.body[start : start + 1 + len(answer.body) // 8])
        time.sleep(0.002)
    return True


def _short_length(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    body = _body(answer)
    return _send(link, 200, body, {"Content-Length": str(len(body) - 10)})


def _header(lines: bytes, times: int) -> Play:
    def play(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
        link.sock.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(times):
            link.sock.sendall(lines)
        return False

    return play


def _endless(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    link.sock.sendall(head(200, {"Transfer-Encoding": "chunked", "X-Request-Id": REQUEST_ID}) + b"1\r\n{\r\n")
    while not front.closed.is_set():
        link.sock.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
    return False


# What does no harm.


def _announced(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    assert answer is not None
    return front.answer(link, answer, announce=True)


def _unannounced(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    assert answer is not None
    lines = head(int(answer.status[:3]), {"Content-Length": str(len(answer.body))})
    return hang_up_at_once(link, lines + answer.body)


def _interim(*replies: bytes) -> Play:
    def play(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
        assert answer is not None
        for interim in replies:
            link.sock.sendall(b"HTTP/1.1 " + interim + b"\r\n\r\n")
        return front.answer(link, answer)

    return play


# Paging.


def _thread(seen: Seen) -> str:
    return seen.target.split("/")[3]


def _after(seen: Seen) -> str | None:
    return parse_qs(urlsplit(seen.target).query).get("after", [None])[0]


def _same_listing(first: Seen, later: Seen) -> bool:
    return later.method == "GET" and urlsplit(first.target).path == urlsplit(later.target).path


def _loop(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    """Give the page that was asked for first, whatever is asked for later."""
    reply = json.loads(front.remembered.setdefault("page", _body(answer)))
    reply["has_more"] = True
    return _send(link, 200, json.dumps(reply).encode())


def _with_cursor_row(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    reply = json.loads(_body(answer))
    path, after = urlsplit(seen.target).path, _after(seen)
    if after is not None:
        row = front.pass_on(seen._replace(target=f"{path}/{after}"))
        reply["data"].insert(0, json.loads(row.body))
    return _send(link, 200, json.dumps(reply).encode())


def _repeat_last(reply: dict[str, Any]) -> None:
    reply["data"] += reply["data"][-1:]


def _empty_page(reply: dict[str, Any]) -> None:
    reply.update(data=[], first_id=None, last_id=None, has_more=True)


def _meanwhile(change: Callable[[Front, Seen], None]) -> Play:
    """Change the service before it answers."""

    def play(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
        change(front, seen)
        return front.answer(link, front.pass_on(seen))

    return play


def _add(front: Front, seen: Seen) -> None:
    if seen.target.startswith("/v1/threads?"):
        front.store.add_thread()
    else:
        front.store.add_message(_thread(seen), Draft(content="added meanwhile"))


def _delete_cursor(front: Front, seen: Seen) -> None:
    after = str(_after(seen))
    if seen.target.startswith("/v1/threads?"):
        front.store.delete_thread(after)
    else:
        front.store.delete_message(_thread(seen), after)


def _refuse_cursor(front: Front, link: Link, seen: Seen, answer: Answer | None) -> bool:
    """Delete the cursor's row, and know it no longer, as a service may that keeps no place of a deleted row."""
    after = str(_after(seen))
    if "deleted" not in front.remembered:
        front.remembered["deleted"] = b""
        _delete_cursor(front, seen)
    said = {"message": f"No message found with id '{after}'.", "type": "told", "param": "after", "code": None}
    return _send(link, 404, json.dumps({"error": said}).encode())


def _delete_another(front: Front, seen: Seen) -> None:
    if seen.target.startswith("/v1/threads?"):
        front.store.delete_thread("thread_c")
        return
    # The newest: in one order it was read already, in the other it was not.
    newest, _ = front.texts(_thread(seen))[-1]
    if newest != _after(seen):
        front.store.delete_message(_thread(seen), newest)


_SOON = "0.001"
_HTML = b"<!doctype html><p>Sign in"
_PAST = "Wed, 21 Oct 2015 07:28:00 GMT"

STATUSES = (
    *(_status(status, promises.INVALID) for status in (400, 413, 422)),
    *(_status(status, promises.DENIED) for status in (401, 402, 403, 410, 411, 415, 418, 426, 451)),
    _status(403, promises.DENIED, "in HTML", body=_HTML),
    _status(404, promises.MISSING),
    _status(405, promises.UNABLE),
    _status(409, promises.CONFLICT),
    _status(501, promises.UNABLE),
    *(_status(status, promises.BROKEN, retry_after_ms="1") for status in (408, 500, 502, 504, 507, 529)),
    _status(500, promises.BROKEN, "bare", body=b"", retry_after=_SOON),
    _status(502, promises.BROKEN, "in HTML", body=_HTML, retry_after=_SOON),
    _status(503, promises.BROKEN, "of a gateway", body=_HTML),
    _status(503, promises.BROKEN, "bare, with advice", body=b"", x_should_retry="true"),
    _status(503, promises.BUSY, "with Retry-After", body=_HTML, retry_after=_SOON),
    _status(503, promises.BUSY, "in the envelope"),
    _status(429, promises.BUSY, "with seconds", retry_after="0"),
    _status(429, promises.BUSY, "with a fraction", retry_after=_SOON),
    _status(429, promises.BUSY, "with a date", retry_after=_PAST),
    _status(429, promises.BUSY, "with a negative wait", retry_after="-5"),
    _status(429, promises.BUSY, "with garbage", retry_after="in a minute, or 5e999"),
    _status(429, promises.BUSY, "with milliseconds", retry_after_ms="1", retry_after="600"),
    _status(429, promises.BUSY, "bare", body=b"slow down", retry_after_ms="1"),
    _status(429, promises.BUSY, "with advice", x_should_retry="true", retry_after_ms="1"),
    _status(429, promises.TOO_LONG, "with a long wait", retry_after="100000"),
    _status(429, promises.TOO_LONG, "with a far date", retry_after="Fri, 31 Dec 2999 23:59:59 GMT"),
    _status(429, promises.NO_CREDIT, "insufficient_quota", code="insufficient_quota", retry_after_ms="1"),
    _status(400, promises.ADVISED, "with advice", x_should_retry="true", retry_after_ms="1"),
    _status(500, promises.ADVISED_AGAINST, "with advice", x_should_retry="false", retry_after_ms="1"),
    *(_status(status, promises.DENIED, "here", body=b"", Location="/v1/elsewhere") for status in (301, 302, 303)),
    *(_status(status, promises.DENIED, "here", body=b"", Location="/v1/elsewhere") for status in (307, 308)),
    *(_status(status, promises.DENIED, "away", body=b"", Location="{}/v1/threads") for status in (301, 302, 303)),
    *(_status(status, promises.DENIED, "away", body=b"", Location="{}/v1/threads") for status in (307, 308)),
)

LOST = (
    Kind("connection refused", promises.UNREACHED, _reset, applies=False, refuses=True),
    Kind("reset", promises.LOST, _reset),
    Kind("hang-up", promises.LOST, _hang_up),
    Kind("silence", promises.LOST, _silence, timeout=0.5),
    Kind("a body that stalls", promises.LOST, _stall, timeout=0.5),
    Kind("a body that drips for ever", promises.LOST, _drip, timeout=0.2),
    Kind("a body cut off, with length", promises.LOST, _half),
    Kind("a body cut off, chunked", promises.LOST, _half_chunked),
    Kind("a body cut off, without length", promises.LOST, _half_without_length),
    _reply(
        "broken gzip", promises.LOST, lambda body: gzip.compress(body)[:12] + body, headers={"Content-Encoding": "gzip"}
    ),
    Kind("a header line without end", promises.LOST, _header(b"x" * 0x10000, 3)),
    Kind("headers without end", promises.LOST, _header(b"X-More: 1\r\n", 300)),
)

REPLIES = (
    _reply("an empty body", promises.GARBLED, lambda _: b""),
    _reply("no JSON", promises.GARBLED, lambda body: body[:-1] + b",}"),
    *(
        _reply(f"JSON {shape.decode()}", promises.GARBLED, _always(shape))
        for shape in (b"[]", b'"text"', b"{}", b'{"data":5}', b'{"data":null}', b"null", b"5", b'{"data":[{}]}')
    ),
    _reply("HTML with 200", promises.GARBLED, lambda _: _HTML, headers={"Content-Type": "text/html"}),
    _reply("bytes that are not UTF-8", promises.GARBLED, lambda body: body.replace(b'"id"', b'"\xff"')[:-1] + b"\xfe}"),
    _reply("a NUL", promises.GARBLED, lambda body: body[:1] + b"\0" + body[1:]),
    _json("huge numbers", promises.GARBLED, _huge),
    Kind("a length that is too short", promises.GARBLED, _short_length, 200),
    Kind("a body without end", promises.ENDLESS, _endless),
)

HARMLESS = (
    Kind("an announced close", promises.HARMLESS, _announced, applies=True),
    Kind("an unannounced close", promises.HARMLESS, _unannounced, applies=True),
    Kind("100 before the reply", promises.HARMLESS, _interim(b"100 Continue"), applies=True),
    Kind(
        "103 before the reply",
        promises.HARMLESS,
        _interim(b"103 Early Hints\r\nLink: </x>", b"102 On it"),
        applies=True,
    ),
    Kind("a slow body", promises.HARMLESS, _slowly, applies=True),
    _reply("a wrong content type", promises.HARMLESS, bytes, headers={"Content-Type": "text/html; charset=latin-1"}),
    _reply("duplicate keys", promises.HARMLESS, lambda body: b'{"id":"x","has_more":true,"data":[],' + body[1:]),
    _json(
        "rare fields left out",
        promises.HARMLESS,
        _leave_out("completed_at", "incomplete_at", "incomplete_details", "status"),
    ),
    _json("unknown fields", promises.HARMLESS, _put(later={"deep": [10**30]}, 名="x", size=10**30)),
    _json("unknown content parts", promises.HARMLESS, _add_part),
    _json("has_more left out", promises.HARMLESS, _leave_out("has_more"), where="listing"),
    _json(
        "first_id and last_id null",
        promises.HARMLESS,
        lambda reply: reply.update(first_id=None, last_id=None),
        where="listing",
    ),
    _json("first_id and last_id left out", promises.HARMLESS, _leave_out("first_id", "last_id"), where="listing"),
    Kind("the cursor's row comes again", promises.HARMLESS, _with_cursor_row, where="listing", again=_same_listing),
    _json("the last row comes twice", promises.HARMLESS, _repeat_last, where="listing"),
    Kind("a row added meanwhile", promises.HARMLESS, _meanwhile(_add), where="listing", changes=True),
    Kind(
        "another row deleted meanwhile", promises.HARMLESS, _meanwhile(_delete_another), where="listing", changes=True
    ),
    Kind(
        "the cursor's row deleted, and refused",
        promises.HARMLESS,
        _refuse_cursor,
        where="later page",
        changes=True,
        persists=True,
    ),
    Kind("the cursor's row deleted", promises.HARMLESS, _meanwhile(_delete_cursor), where="later page", changes=True),
)

STUCK = (
    Kind("the same page again", promises.STUCK, _loop, where="listing", again=_same_listing, persists=True),
    _json("an empty page with has_more", promises.EMPTY, _empty_page, where="listing", again=_same_listing),
)

KINDS = (*STATUSES, *LOST, *REPLIES, *HARMLESS, *STUCK)
