"""Paging through a thread that changes: nothing is lost and nothing doubled, however a service takes a lost cursor."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import pytest

import messages_dbapi
from messages_dbapi import DataError, InternalError, ProgrammingError
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.documents import Draft
from messages_dbapi.embedded.server import Server
from messages_dbapi.embedded.store import Page

from .service import Service

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

THREAD = "thread_a"
SELECT = f"SELECT id FROM messages WHERE thread_id = '{THREAD}'"


def envelope(message: str, param: str | None = None) -> bytes:
    """Write the contract's error."""
    return json.dumps({"error": {"message": message, "type": "told", "param": param, "code": None}}).encode()


# What services answer where ``after`` names a message that is gone; None: they list from the beginning.
Answer = tuple[int, bytes]
ANSWERS: dict[str, Callable[[str], Answer | None]] = {
    "400 about after": lambda key: (400, envelope("Invalid 'after'.", "after")),
    "400 that names it": lambda key: (400, envelope(f"Invalid cursor '{key}'.")),
    "404 that names it": lambda key: (404, envelope(f"No message found with id '{key}'.")),
    "404 that names nothing": lambda key: (404, b'{"detail": "Not Found"}'),
    "404 without a body": lambda key: (404, b""),
    "422": lambda key: (422, b'{"detail": [{"loc": ["query", "after"], "msg": "no such message"}]}'),
    "ignored": lambda key: None,
}


class Forgetful:
    """Stand before a service as one that does not know the place of a deleted message."""

    def __init__(self, service: Service, answer: Callable[[str], Answer | None]) -> None:
        self.service = service
        self._answer = answer
        # Called before each listing but the first.
        self.between: Callable[[], object] = bool
        self.listings = 0
        self.lost = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        query = dict(parse_qsl(str(environ.get("QUERY_STRING", ""))))
        if "order" in query:
            self.listings += 1
            if self.listings > 1:
                self.between()
        after = query.get("after")
        if after is not None and after not in self.keys():
            self.lost += 1
            answer = self._answer(after)
            if answer is not None:
                status, body = answer
                start_response(
                    f"{status} {HTTPStatus(status).phrase}",
                    [("Content-Type", "application/json"), ("Content-Length", str(len(body)))],
                )
                return [body]
            del query["after"]
            environ = {**environ, "QUERY_STRING": urlencode(query)}
        return self.service.app(environ, start_response)

    def keys(self) -> list[str]:
        """List the ids of the thread, oldest first."""
        found: list[str] = []
        while True:
            after = found[-1] if found else None
            listing = self.service.store.messages(THREAD, Page(limit=100, ascending=True, after=after))
            found += [row.id for row in listing.rows]
            if not listing.has_more:
                return found

    def delete(self, key: str) -> None:
        """Delete a message of the thread."""
        self.service.store.delete_message(THREAD, key)

    @contextmanager
    def connect(self, page_size: int) -> Iterator[Connection]:
        """Connect to it in process, where one request follows the other."""
        with Service.connect_to(self, page_size=page_size) as connection:
            yield connection

    @contextmanager
    def connect_over_http(self, **options: Any) -> Iterator[Connection]:
        """Connect to it over a socket, where requests go side by side."""
        with Server(self) as server:
            url = server.base_url.replace("http://", "messages+http://", 1)
            with messages_dbapi.connect(url, **options) as connection:
                connection.check()
                yield connection


@pytest.fixture(params=list(ANSWERS.values()), ids=list(ANSWERS))
def forgetful(service: Service, request: pytest.FixtureRequest) -> Forgetful:
    service.thread(12, thread_id=THREAD)
    return Forgetful(service, request.param)


ORDERS = ("", " ORDER BY created_at DESC")


@pytest.mark.parametrize("order", ORDERS)
def test_the_cursor_may_be_deleted(forgetful: Forgetful, order: str) -> None:
    keys = forgetful.keys()[:: -1 if order else 1]
    with forgetful.connect(page_size=3) as connection:
        forgetful.between = lambda: forgetful.delete(keys[5]) if forgetful.listings == 3 else None
        cursor = connection.execute(SELECT + order)
        assert [key for (key,) in cursor] == keys
        assert forgetful.lost >= 1
        # The page before, the refusal, at most one question whether the thread is there, the page again.
        assert cursor.stats.requests <= 4 + 2


@pytest.mark.parametrize("order", ORDERS)
def test_what_was_read_may_be_deleted_meanwhile(forgetful: Forgetful, order: str) -> None:
    """As a program does that reads a thread and deletes what it has read."""
    keys = forgetful.keys()[:: -1 if order else 1]
    with forgetful.connect(page_size=3) as connection:
        read: list[str] = []
        for (key,) in connection.execute(SELECT + order):
            read.append(key)
            connection.execute("DELETE FROM messages WHERE thread_id = ? AND id = ?", (THREAD, key))
        assert (read, forgetful.keys()) == (keys, [])


def test_what_was_read_may_be_deleted_together(forgetful: Forgetful) -> None:
    keys = forgetful.keys()

    def purge() -> None:
        if forgetful.listings == 3:
            for key in keys[:5]:
                forgetful.delete(key)
            forgetful.delete(keys[5])

    with forgetful.connect(page_size=3) as connection:
        forgetful.between = purge
        assert [key for (key,) in connection.execute(SELECT)] == keys


def test_a_thread_that_is_deleted_meanwhile_is_an_error(forgetful: Forgetful) -> None:
    with forgetful.connect(page_size=3) as connection:
        cursor = connection.execute(SELECT)
        assert len(cursor.fetchmany(6)) == 6
        requests = cursor.stats.requests
        forgetful.service.store.delete_thread(THREAD)
        forgetful.keys = list  # type: ignore[method-assign]  # the thread has none any more
        with pytest.raises(ProgrammingError, match=f"knows no thread '{THREAD}'"):
            cursor.fetchall()
        assert cursor.stats.requests <= requests + 4


@pytest.mark.parametrize("name", ["400 about after", "404 that names it", "404 that names nothing"])
def test_a_cursor_of_the_statement_that_is_unknown_is_an_error(service: Service, name: str) -> None:
    service.thread(3, thread_id=THREAD)
    forgetful = Forgetful(service, ANSWERS[name])
    with forgetful.connect(page_size=3) as connection:
        with pytest.raises(DataError, match=r"msg_gone|'after'"):
            connection.execute(f"{SELECT} AND after = 'msg_gone'").fetchall()
        forgetful.service.store.delete_thread(THREAD)
        forgetful.keys = lambda: ["msg_gone"]  # type: ignore[method-assign]  # so that the thread is what is missing
        with pytest.raises(ProgrammingError, match=f"knows no thread '{THREAD}'"):
            connection.execute(f"{SELECT} AND after = 'msg_gone'").fetchall()


def test_a_cursor_may_be_called_what_an_unknown_thread_is(service: Service, connection: Connection) -> None:
    sql = "SELECT id FROM messages WHERE thread_id = 'thread_none' AND after = 'thread_none'"
    with pytest.raises(ProgrammingError, match="knows no thread 'thread_none'"):
        connection.execute(sql).fetchall()


@pytest.mark.parametrize("name", ANSWERS)
def test_any_deletions_lose_and_double_nothing(name: str, many: Callable[[int, int], int]) -> None:
    chance = random.Random(name)
    for _ in range(many(60, 2_000)):
        service = Service()
        size = chance.randint(1, 20)
        times = sorted(1_700_000_000 + chance.randint(0, chance.choice((1, 3, 30))) for _ in range(size))
        service.thread_of([Draft(content="x", created_at=time) for time in times], thread_id=THREAD)
        forgetful = Forgetful(service, ANSWERS[name])
        keys = forgetful.keys()
        gone: set[str] = set()
        share = chance.choice((0.1, 0.3, 0.6))

        def delete_some(
            forgetful: Forgetful = forgetful, keys: list[str] = keys, gone: set[str] = gone, share: float = share
        ) -> None:
            for key in keys:
                if key not in gone and chance.random() < share / 3:
                    gone.add(key)
                    forgetful.delete(key)

        forgetful.between = delete_some
        descending = chance.random() < 0.5
        with forgetful.connect(page_size=chance.randint(1, 5)) as connection:
            order = chance.choice((" ORDER BY created_at DESC", " ORDER BY created_at DESC, id DESC"))
            rows = [key for (key,) in connection.execute(SELECT + (order if descending else ""))]
        assert len(set(rows)) == len(rows)
        assert set(keys) - gone <= set(rows) <= set(keys)
        if "id" not in order:
            assert rows == [key for key in keys[:: -1 if descending else 1] if key in rows]
        service.close()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [0, 1, 3, 4])
def test_an_empty_page_that_says_more_follows_may_be_the_end(service: Service, order: str, size: int) -> None:
    """As one server of the contract says of any part of a listing, also of the empty one behind the last."""
    service.thread(size, thread_id=THREAD)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = b"".join(service.app(environ, start_response))
        # As long as before: the length that was announced stays right.
        return [body.replace(b'"has_more":false', b'"has_more":true ') if size else body]

    with Service.connect_to(app, page_size=3) as connection:
        cursor = connection.execute(SELECT + order)
        assert len(cursor.fetchall()) == size
        assert cursor.stats.requests <= 2 + size // 3 + 1


def test_a_service_that_lists_in_no_order_is_not_taken_for_one_that_begins_anew(service: Service) -> None:
    """Its rows go back in time at every page; none of them may be left out for that."""
    keys = [f"msg_{number}" for number in range(9)]

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        query = dict(parse_qsl(str(environ.get("QUERY_STRING", ""))))
        start = keys.index(query["after"]) + 1 if "after" in query else 0
        data = [{"id": key, "thread_id": THREAD, "created_at": 100 - keys.index(key) // 3} for key in keys]
        reply: object = {"data": data[start : start + 3], "has_more": start + 3 < len(keys)}
        if not environ["PATH_INFO"].endswith("/messages"):
            reply = data[keys.index(environ["PATH_INFO"].rpartition("/")[2])]
        body = json.dumps(reply).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    with Service.connect_to(app) as connection:
        assert [key for (key,) in connection.execute(SELECT)] == keys
        with pytest.raises(InternalError, match="order"):
            connection.execute(f"{SELECT} ORDER BY created_at").fetchall()
