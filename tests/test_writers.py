"""Creates are at most once and never guessed at where others write too, clocks are off, and proxies stand between."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

import messages_dbapi
from messages_dbapi import OperationalError
from messages_dbapi.connection import Connection
from messages_dbapi.embedded import gateway

from .crowd import EQUAL, Report, Row, write
from .front import SOON, Fault, Front, after_applying, doing, fronting, lose, refuse, say
from .test_creation import APPLIED, DOUBTFUL, INSERT, REFUSED, fail, insert
from .wire import CERTIFICATE, Link, Seen, raw, serving

figures = logging.getLogger(__name__)


@pytest.fixture
def front() -> Iterator[Front]:
    with fronting() as front:
        yield front


@pytest.fixture
def connection(front: Front) -> Iterator[Connection]:
    with front.connect() as connection:
        yield connection


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def try_to_insert(connection: Connection, thread: str, text: str) -> str | None:
    """Insert a message and give its id, or None where the outcome is unknown."""
    outcomes = []
    try:
        return insert(connection, thread, text)
    except OperationalError as error:
        outcomes.append(error.outcome)
    assert outcomes == ["unknown"]
    return None


# A reply that comes late.


def answer_late(front: Front, link: Link, seen: Seen) -> bool:
    """Apply, and answer when nobody waits any more."""
    answer = front.pass_on(seen)
    link.sock.settimeout(20)
    assert link.sock.recv(1) == b"", "the client should have gone"
    return front.answer(link, answer)


def apply_when_left(front: Front, link: Link, seen: Seen) -> bool:
    """Apply only when the client has given up, and its reading was answered."""
    front.late.append(seen)
    link.sock.settimeout(20)
    link.sock.recv(1)
    return False


@pytest.mark.parametrize("bound", [{"timeout": 0.4}, {"timeout": 60, "deadline": 0.6}], ids=["timeout", "deadline"])
def test_a_reply_that_comes_too_late(front: Front, bound: dict[str, float]) -> None:
    """What was applied in time is taken where there is time to read; what was not is unknown; both stand once."""
    thread = front.thread("first")
    with front.connect(**bound) as connection:
        insert(connection, thread, "known")
        front.faults.append(answer_late)
        if "deadline" in bound:
            assert "deadline" in str(fail(connection, thread, "late"))
        else:
            assert insert(connection, thread, "late") == front.applied[-1].id
        front.faults.append(apply_when_left)
        fail(connection, thread, "later")
        # The late one is not taken for an equal one that is lost.
        front.apply_late()
        front.faults.append(lose)
        fail(connection, thread, "later")
    assert [text for _, text in front.texts(thread)] == ["first", "known", "late", "later"]


# Clocks.


@pytest.mark.parametrize(
    "hours", [-100_000, 1, *(pytest.param(hours, marks=pytest.mark.long) for hours in (-1, 100_000))]
)
def test_the_local_clock_does_not_matter(front: Front, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """The driver's alone is off, the service keeps the right time; the first create is judged by Date alone."""
    off = SimpleNamespace(**{**vars(time), "time": lambda: time.time() + hours * 3600, "time_ns": None})
    rooms = [
        room
        for name, room in sys.modules.items()
        if name.startswith("messages_dbapi.") and ".embedded" not in name and vars(room).get("time") is time
    ]
    assert len(rooms) >= 3
    for room in rooms:
        monkeypatch.setattr(room, "time", off)
    thread = front.thread("hello", "hello", age=30)
    with front.connect() as connection:
        for fault in (
            lose,
            doing(lose, before=lambda: front.another(thread, "hello", created_at=int(time.time()) - 9)),
        ):
            front.faults.append(fault)
            fail(connection, thread)
        if abs(hours) == 1:
            # So long after it began that Date alone proves it to be new.
            front.faults.append(doing(after_applying(lose), before=lambda: threading.Event().wait(3.1)))
            assert insert(connection, thread, "proven") == front.applied[-1].id
        insert(connection, thread, "sent")
        front.faults.append(after_applying(lose))
        assert insert(connection, thread, "known") == front.applied[-1].id


@pytest.mark.parametrize("moved", [-7200, 7200])
def test_a_clock_of_the_service_that_jumps(front: Front, connection: Connection, moved: int) -> None:
    """Between two creates, for Date and rows alike or for Date alone: nothing of another is taken."""
    thread = front.thread("first", age=10)
    insert(connection, thread, "known")
    front.date = lambda: time.time() + moved
    front.faults.append(doing(lose, before=lambda: front.another(thread, "other")))
    fail(connection, thread)
    front.faults.append(after_applying(lose))
    made = try_to_insert(connection, thread, "mine")
    assert made in (None, front.applied[-1].id)
    assert [text for _, text in front.texts(thread)].count("mine") == 1


# Advice, gateways and proxies.


ADVICE = {"x-should-retry": "true", "retry-after-ms": "1"}


@pytest.mark.parametrize("status", [408, 500, 502, 504])
@pytest.mark.parametrize("applied", [True, False])
def test_advice_to_try_again_is_no_proof(front: Front, connection: Connection, status: int, applied: bool) -> None:
    thread = front.thread("first")
    insert(connection, thread, "known")
    fault = refuse(status, ADVICE)
    front.faults.append(after_applying(fault) if applied else fault)
    if applied:
        assert insert(connection, thread) == front.applied[-1].id
    else:
        assert fail(connection, thread).status == status
    assert [text for _, text in front.texts(thread)].count("hello") == applied
    assert front.posts == 2


GATEWAYS: dict[str, Fault] = {
    "503 page": say(503, b"<html>no backend</html>"),
    "503 empty": say(503, b""),
    "503 JSON": say(503, b'{"message": "no backend"}'),
    "503 text as error": say(503, b'{"error": "no backend"}'),
    "503 advised": say(503, b"<html>", {"x-should-retry": "true"}),
    "502": say(502, b"<html>"),
    "502 that asks to wait": say(502, b"<html>", SOON),
    "504": say(504, b"<html>"),
    "504 with an envelope": refuse(504, SOON),
    "520": say(520, b"<html>"),
}


@pytest.mark.parametrize("fault", GATEWAYS.values(), ids=GATEWAYS)
@pytest.mark.parametrize("applied", [True, False])
def test_what_a_gateway_says_is_no_refusal(front: Front, connection: Connection, fault: Fault, applied: bool) -> None:
    thread = front.thread("first")
    insert(connection, thread, "known")
    front.faults.append(after_applying(fault) if applied else fault)
    if applied:
        assert insert(connection, thread) == front.applied[-1].id
    else:
        fail(connection, thread)
    assert front.posts == 2


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_has_no_tunnel_has_sent_nothing(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over https a proxy answers before anything is sent: another try does no harm."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with serving(*[raw(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())] * 9) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        with messages_dbapi.connect("messages://service.invalid/v1", max_retries=2) as connection:
            with pytest.raises(OperationalError) as caught:
                connection.execute(INSERT, ("thread_a", "hello"))
            assert caught.value.outcome == "failed"
        assert [seen.method for seen in proxy.requests] == ["CONNECT"] * 3


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("applied", [True, False])
def test_a_proxy_of_plain_http_may_have_passed_it_on(
    front: Front, monkeypatch: pytest.MonkeyPatch, status: int, applied: bool
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{front.port}")
    thread = front.thread("first")
    whole = front.pass_on

    def pass_on(seen: Seen) -> gateway.Answer:
        # A proxy is sent the whole URL.
        return whole(seen._replace(target=seen.target.removeprefix("http://service.invalid")))

    monkeypatch.setattr(front, "pass_on", pass_on)
    url = "messages+http://service.invalid/v1?allow_insecure=1"
    with messages_dbapi.connect(url) as connection:
        insert(connection, thread, "known")
        fault = say(status, b"<html>bad gateway</html>")
        front.faults.append(after_applying(fault) if applied else fault)
        if applied:
            assert insert(connection, thread) == front.applied[-1].id
        else:
            fail(connection, thread)
    assert front.posts == 2


# What was not sent is sent again.


def test_a_kept_connection_that_closes_just_when_a_create_is_sent(
    front: Front, many: Callable[[int, int], int]
) -> None:
    """Noticed before, it costs nothing; noticed too late, the create is in doubt; it is never sent twice."""
    thread = front.thread("first")
    rounds = many(150, 3000)
    outcomes: Counter[str] = Counter()
    with front.connect() as connection:
        insert(connection, thread, "known")
        for number in range(rounds):
            front.reads.append(_closing(number % 7))
            connection.execute("SELECT id FROM messages WHERE thread_id = ? LIMIT 1", (thread,)).fetchall()
            front.reads.clear()
            made = try_to_insert(connection, thread, f"row {number}")
            outcomes["unknown" if made is None else "confirmed"] += 1
            assert made in (None, front.applied[-1].id)
    texts = Counter(text for _, text in front.texts(thread))
    assert set(texts.values()) == {1}
    assert sum(text.startswith("row") for text in texts) >= outcomes["confirmed"] > 0
    figures.info("%d rounds: %s", rounds, dict(outcomes))


def _closing(steps: int) -> Fault:
    """Answer a read, and close the connection after some tenths of a millisecond, without a word."""

    def act(front: Front, link: Link, seen: Seen) -> bool:
        front.answer(link, front.pass_on(seen))
        time.sleep(steps * 0.0002)
        return False

    return act


# Several writers.


class Post(NamedTuple):
    """A create that has arrived, when, and the id that was made of it, if any."""

    writer: str
    row: Row
    at: float


class Crowded(Front):
    """Note who has sent what, and which of it was applied."""

    def __init__(self) -> None:
        self.sent: list[Post] = []
        self.made: dict[str, Post] = {}
        self.held: list[Post] = []
        super().__init__()

    def _fault(self, seen: Seen) -> Fault | None:
        if _is_create(seen):
            self.sent.append(_post(seen))
        return super()._fault(seen)

    def pass_on(self, seen: Seen) -> gateway.Answer:
        with self._order:
            answer = super().pass_on(seen)
            if _is_create(seen) and answer.status == "200 OK":
                self.made[json.loads(answer.body)["id"]] = _post(seen)
        return answer


def _is_create(seen: Seen) -> bool:
    return seen.method == "POST" and seen.target.endswith("/messages")


def _post(seen: Seen) -> Post:
    row = (seen.target.split("/")[3], json.loads(seen.body)["content"])
    return Post(seen.headers["x-writer"], row, time.monotonic())


def _storm() -> Callable[[], Fault | None]:
    chance = random.Random(11)
    applied, doubtful, refused = [*APPLIED.values()], [*DOUBTFUL.values()], [*REFUSED.values()]

    def choose() -> Fault | None:
        roll = chance.random()
        if roll < 0.75:
            return None
        if roll < 0.80:
            return chance.choice(refused)
        if roll < 0.93:
            return chance.choice(applied)
        return chance.choice(doubtful) if roll < 0.99 else hold_back

    return choose


def hold_back(front: Front, link: Link, seen: Seen) -> bool:
    """Apply after the next read of anyone."""
    assert isinstance(front, Crowded)
    front.held.append(_post(seen))
    front.late.append(seen)
    return lose(front, link, seen)


def _process(port: int, writer: str, threads: list[str], statements: int) -> Report:
    root = Path(__file__).parent.parent
    path = os.pathsep.join([str(Path(messages_dbapi.__file__).parent.parent), str(root)])
    done = subprocess.run(
        (sys.executable, "-m", "tests.crowd", str(port), writer, ",".join(threads), str(statements)),
        capture_output=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    rows, confirmed, doubted, failed = json.loads(done.stdout)
    return Report(
        [(thread, text) for thread, text in rows],
        {name: (thread, text) for name, (thread, text) in confirmed.items()},
        [(thread, text) for thread, text in doubted],
        [(thread, text) for thread, text in failed],
    )


def test_several_writers_of_equal_texts_under_random_faults(many: Callable[[int, int], int]) -> None:
    """Two connections of this process and two of others: none takes what is provably another's.

    One case nobody can tell: a create is lost, or comes after it was looked for, and another writer's equal
    message comes into the same thread in the seconds that the service's clock leaves open. That one may be
    taken, in place of one that was not there, and only for a text that others write too.
    """
    statements = many(60, 1500)
    front = Crowded()
    threads = [front.thread() for _ in range(4)]
    front.choose = _storm()
    writers = {"here 1": write, "here 2": write, "there 1": _process, "there 2": _process}
    try:
        with ThreadPoolExecutor(len(writers)) as pool:
            running = {name: pool.submit(run, front.port, name, threads, statements) for name, run in writers.items()}
            reports = {name: future.result() for name, future in running.items()}
        front.apply_late()
        taken = sum(_check(front, name, report) for name, report in reports.items())
        listed = [name for thread in threads for name, _ in front.texts(thread)]
        assert sorted(listed) == sorted(front.made), "the service has what was applied, and nothing else"
    finally:
        front.close()
        front.store.close()
    rows = sum(len(report.rows) for report in reports.values())
    doubted = sum(len(report.doubted) for report in reports.values())
    # It was a storm, and most of it was weathered.
    assert len(front.made) > rows / 2
    assert 0 < doubted < rows / 4
    figures.info(
        "%d rows, %d sent, %d applied, %d in doubt, %d of others taken",
        rows,
        len(front.sent),
        len(front.made),
        doubted,
        taken,
    )


def _check(front: Crowded, writer: str, report: Report) -> int:
    """Hold what a writer was told against what was applied; give how many messages of others it took for its own."""
    own = {name: made for name, made in front.made.items() if made.writer == writer}
    rows_applied = Counter(made.row for made in own.values())
    assert rows_applied <= Counter(report.rows), "a row was applied twice"
    assert report.confirmed.keys() <= front.made.keys(), "an id that nobody made"
    told = Counter(front.made[name].row for name in report.confirmed)
    assert all(row in (front.made[name].row, ("", "")) for name, row in report.confirmed.items())
    assert rows_applied <= told + Counter(report.doubted), "a row was applied, and neither confirmed nor in doubt"
    for thread in {thread for thread, _ in report.rows}:
        order = [made.row[1] for made in own.values() if made.row[0] == thread and made.row[1] not in EQUAL]
        confirmed = [text for text in order if (thread, text) in told]
        assert [text for text in confirmed if (thread, text) not in report.doubted] == sorted(
            text for text in confirmed if (thread, text) not in report.doubted
        )
    return _check_taken(front, writer, report)


def _check_taken(front: Crowded, writer: str, report: Report) -> int:
    taken = [front.made[name] for name in report.confirmed if front.made[name].writer != writer]
    sent = Counter(post.row for post in front.sent if post.writer == writer)
    applied = Counter(made.row for made in front.made.values() if made.writer == writer)
    for made in taken:
        assert made.row[1] in EQUAL, "a text that only another writes"
        # Of its own it has sent one that was lost, then.
        assert any(post.writer == writer and post.row == made.row and made.at > post.at - 10 for post in front.sent)
    late = Counter(post.row for post in front.held if post.writer == writer)
    assert Counter(made.row for made in taken) <= (sent - applied) + late
    return len(taken)
