"""How fast a service is asked: in flight and per second, over all connections of a process, and by its own word."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import messages_dbapi
from messages_dbapi import OperationalError
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.server import Server
from messages_dbapi.pace import Pace, duration, pace_of
from messages_dbapi.statement import Statement

from .service import Service

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

THREADS = [f"thread_{number}" for number in range(12)]
COUNT = f"SELECT count(*) FROM messages WHERE thread_id IN ({', '.join(map(repr, THREADS))})"


class Metered:
    """Stand before a service: see how many requests are in flight, when they come, and say what is left."""

    def __init__(self, service: Service, *, pause: float = 0.01) -> None:
        self._app = service.app
        self._pause = pause
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0
        self.times: list[float] = []
        self.says: Callable[[int], list[tuple[str, str]]] = lambda number: []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.times.append(time.monotonic())
            number = len(self.times)
        time.sleep(self._pause)

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, *self.says(number)], *rest)

        try:
            return list(self._app(environ, start))
        finally:
            with self._lock:
                self._now -= 1


@pytest.fixture
def metered(service: Service) -> Metered:
    for thread in THREADS:
        service.thread(3, thread_id=thread)
    return Metered(service)


def connect(server: Server, **options: Any) -> Connection:
    """Connect to a server."""
    return messages_dbapi.connect(server.base_url.replace("http://", "messages+http://", 1), **options)


@pytest.mark.parametrize("keys", [[None] * 6, ["sk-a"] * 6])
def test_connections_of_one_key_share_their_requests_in_flight(metered: Metered, keys: list[str | None]) -> None:
    with Server(metered) as server, ExitStack() as stack:
        connections = [stack.enter_context(connect(server, concurrency=3, api_key=key)) for key in keys]
        counts: list[int] = []
        workers = [
            threading.Thread(target=lambda one=one: counts.append(one.execute(COUNT).fetchone()[0]))
            for one in connections
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert counts == [36] * 6
        assert metered.most <= 3


def test_other_keys_and_other_services_are_apart() -> None:
    def key() -> str:
        return "sk-a"

    paces = [pace_of("http://a/v1", None), pace_of("http://a/v1", "sk-a"), pace_of("http://b/v1", "sk-a")]
    assert len({id(pace) for pace in [*paces, pace_of("http://a/v1", key)]}) == 4
    assert pace_of("http://a/v1", "sk-a") is paces[1]
    assert "sk-a" not in repr(paces[1]) + repr(vars(paces[1]))


def test_the_rate_holds_over_connections(metered: Metered) -> None:
    with Server(metered) as server, connect(server, rate=100) as one, connect(server, rate=100) as other:
        for connection in (one, other):
            assert connection.execute(COUNT).fetchone() == (36,)
    gaps = [later - earlier for earlier, later in zip(metered.times, metered.times[1:], strict=False)]
    assert len(metered.times) == 24
    # What is sent a hundredth of a second apart may arrive a little closer together.
    assert sum(gaps) >= 0.01 * (len(gaps) - 1)


def test_what_the_service_says_is_left_is_kept_to(metered: Metered) -> None:
    """After four requests it has none left for a while: the next waits until then, and no 429 comes."""
    allowed = 4

    def says(number: int) -> list[tuple[str, str]]:
        left = max(0, allowed - number)
        return [("x-ratelimit-remaining-requests", str(left)), ("x-ratelimit-reset-requests", "300ms")]

    metered.says = says
    with Server(metered) as server, connect(server, concurrency=2) as connection:
        assert connection.execute(COUNT).fetchone() == (36,)
    # Of those in flight when the fourth was answered one more may have been sent.
    assert metered.times[allowed + 1] - metered.times[0] >= 0.3


@pytest.mark.parametrize(
    ("remaining", "reset"),
    [("x", "1s"), ("-1", "1s"), ("1" * 50, "1s"), ("0", ""), ("0", "soon"), ("0", "1"), ("0", "1s!"), ("٣", "1s")],
)
def test_what_makes_no_sense_holds_nothing_back(remaining: str, reset: str) -> None:
    pace = Pace()
    with pace.turn(Statement(), 1, None):
        pace.note({"x-ratelimit-remaining-requests": remaining, "x-ratelimit-reset-requests": reset})
    with pace.turn(Statement(deadline=5), 1, None):
        pass


def test_a_wait_ends_with_its_statement(caplog: pytest.LogCaptureFixture) -> None:
    pace = Pace()
    with pace.turn(Statement(), 8, None):
        pace.note({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"})
    started = time.monotonic()
    with pytest.raises(OperationalError, match="deadline"), pace.turn(Statement(deadline=0.05), 8, None):
        pass
    cancelled = Statement()
    threading.Timer(0.05, cancelled.cancel).start()
    caplog.set_level(logging.WARNING)
    with pytest.raises(OperationalError, match="cancelled"), pace.turn(cancelled, 8, None):
        pass
    assert time.monotonic() - started < 20
    assert "limit of requests" in caplog.text


def test_a_turn_is_waited_for_and_given_back() -> None:
    pace = Pace()
    with pace.turn(Statement(), 1, None):
        with pytest.raises(OperationalError, match="deadline"), pace.turn(Statement(deadline=0.02), 1, None):
            pass
        with pace.turn(Statement(), 2, None):
            pass
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), pace.turn(Statement(), 1, None):
            raise ZeroDivisionError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12ms", 0.012), ("1s", 1), ("6m0s", 360), ("1h30m", 5400), ("1.5s", 1.5), ("1d", 86400), (" 2s ", 2)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@given(st.text(alphabet="0123456789.msdh ٣-x"))
def test_any_text_is_a_duration_or_none(text: str) -> None:
    found = duration(text)
    assert found is None or found >= 0


def test_the_embedded_service_is_not_held_back(service: Service) -> None:
    for thread in THREADS:
        service.thread(1, thread_id=thread)
    with service.connect(rate=0.001) as connection:
        assert json.dumps(connection.execute(COUNT).fetchone()) == "[12]"
