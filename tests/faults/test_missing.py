"""What a 404 means: a wrong address, an API that has gone, an unknown thread and an unknown message."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import messages_dbapi
from messages_dbapi import OperationalError, ProgrammingError
from messages_dbapi.connection import Connection
from messages_dbapi.errors import Error

from ..front import Fault, Front, fronting, refuse, say

INSERT = "INSERT INTO messages (thread_id, role, content) VALUES ('{thread}', 'user', 'new')"
LIST = {
    "SELECT": "SELECT id FROM messages WHERE thread_id = '{thread}'",
    "SELECT newest": "SELECT id FROM messages WHERE thread_id = '{thread}' ORDER BY created_at DESC LIMIT 1",
    "SELECT count": "SELECT count(*) FROM messages WHERE thread_id = '{thread}'",
    "INSERT": INSERT,
    "UPDATE": "UPDATE messages SET metadata = '{{}}' WHERE thread_id = '{thread}' AND role = 'user'",
    "DELETE": "DELETE FROM messages WHERE thread_id = '{thread}'",
}
POINT = {
    "SELECT one": "SELECT id FROM messages WHERE thread_id = '{thread}' AND id = '{message}'",
    "UPDATE one": "UPDATE messages SET metadata = '{{}}' WHERE thread_id = '{thread}' AND id = '{message}'",
    "DELETE one": "DELETE FROM messages WHERE thread_id = '{thread}' AND id = '{message}'",
    "SELECT a thread": "SELECT id FROM threads WHERE id = '{thread}'",
    "UPDATE a thread": "UPDATE threads SET metadata = '{{}}' WHERE id = '{thread}'",
    "DELETE a thread": "DELETE FROM threads WHERE id = '{thread}'",
}
ALL = LIST | POINT
IDS = {"thread": "thread_a", "message": "msg_0"}

# What another thing that answers in the API's place may say.
STRANGE: dict[str, Fault] = {
    "a page": say(404, b"<!doctype html><p>Nothing here", {"Content-Type": "text/html"}),
    "nothing": say(404),
    "JSON": say(404, b'{"detail": "Not Found"}'),
    "the envelope": refuse(404),
    "the path": say(404, b'{"error": {"message": "Invalid URL (GET /v1/threads/thread_a/messages/msg_0)"}}'),
}


@pytest.fixture
def front() -> Iterator[Front]:
    with fronting() as front:
        front.thread("a", "b", thread_id="thread_a")
        yield front


def failure(front: Front, connection: Connection, sql: str, most: int) -> Error:
    """Run a statement that fails with at most so many requests, of which a write was none that was applied."""
    before = len(front.requests)
    cursor = connection.cursor()
    with pytest.raises(Error) as caught:
        cursor.execute(sql).fetchall()
    assert cursor.stats.requests == len(front.requests) - before <= most
    error = caught.value
    assert error.status == 404
    assert (error.outcome, error.applied) == ((None, None) if sql.startswith("SELECT") else ("failed", 0))
    return error


@pytest.mark.parametrize("said", STRANGE)
@pytest.mark.parametrize("statement", ALL)
def test_a_wrong_address(front: Front, statement: str, said: str) -> None:
    front.plan = lambda seen: STRANGE[said]
    with messages_dbapi.connect(base_url=f"http://127.0.0.1:{front.port}/v2") as connection:
        for _ in range(2):
            error = failure(front, connection, ALL[statement].format_map(IDS), 2)
            assert type(error) is OperationalError
            assert "there is no such API at that address" in str(error)
            assert "must end where /threads begins" in str(error)


@pytest.mark.parametrize("statement", ALL)
def test_a_wrong_path_of_the_service_itself(front: Front, statement: str) -> None:
    with messages_dbapi.connect(base_url=f"http://127.0.0.1:{front.port}/v1/v1") as connection:
        error = failure(front, connection, ALL[statement].format_map(IDS), 2)
        assert type(error) is OperationalError
        assert "there is no such API at that address" in str(error)


@pytest.mark.parametrize("said", STRANGE)
@pytest.mark.parametrize("statement", ALL)
def test_an_api_that_has_gone(front: Front, statement: str, said: str) -> None:
    """It was there: what is said of everything now is not taken for a thread or message that is missing."""
    with front.connect() as connection:
        assert len(connection.execute("SELECT id FROM threads").fetchall()) == 1
        front.plan = lambda seen: STRANGE[said]
        error = failure(front, connection, ALL[statement].format_map(IDS), 2)
        assert type(error) is OperationalError
        assert "the API was there before, and is no longer at that address" in str(error)
        front.plan = None
        assert len(connection.execute("SELECT id FROM messages WHERE thread_id = 'thread_a'").fetchall()) == 2


# A service that is there. It may not list threads, and say so in several ways.
LISTS: dict[str, Fault | None] = {"lists": None, "404": refuse(404), "405": refuse(405)}


def _service(front: Front, listing: Fault | None, missing: Fault | None) -> None:
    """Have it say so of a listing of threads, and of what is missing."""
    front.plan = lambda seen: (
        listing if seen.target.startswith("/v1/threads?") else missing if "none" in seen.target else None
    )


def known(front: Front, connection: Connection) -> None:
    """Have a success."""
    assert connection.execute(POINT["SELECT one"].format(thread="thread_a", message=front.texts("thread_a")[0][0]))


Warm = Callable[[Front, Connection], None]


@pytest.mark.parametrize("warm", [known, lambda *_: None], ids=["known", "fresh"])
@pytest.mark.parametrize("lists", LISTS)
@pytest.mark.parametrize("statement", LIST)
def test_an_unknown_thread(front: Front, statement: str, lists: str, warm: Warm) -> None:
    with front.connect() as connection:
        _service(front, LISTS[lists], None)
        warm(front, connection)
        error = failure(front, connection, LIST[statement].format(thread="thread_none"), 2 - (warm is known))
        assert type(error) is ProgrammingError
        assert "knows no thread 'thread_none'" in str(error)


@pytest.mark.parametrize("warm", [known, lambda *_: None], ids=["known", "fresh"])
@pytest.mark.parametrize("lists", LISTS)
@pytest.mark.parametrize("statement", POINT)
def test_an_unknown_message(front: Front, statement: str, lists: str, warm: Warm) -> None:
    sql = POINT[statement].format(thread="thread_none" if "a thread" in statement else "thread_a", message="msg_none")
    with front.connect() as connection:
        _service(front, LISTS[lists], None)
        warm(front, connection)
        before = len(front.requests)
        cursor = connection.execute(sql)
        assert cursor.fetchall() == [] if sql.startswith("SELECT") else cursor.rowcount == 0
        assert cursor.stats.requests == len(front.requests) - before <= 2 - (warm is known)


@pytest.mark.parametrize("statement", [name for name in POINT if "a thread" not in name])
def test_a_message_of_an_unknown_thread(front: Front, statement: str) -> None:
    """The 404 names the thread: it is of the API's making, though threads have been listed."""
    with front.connect() as connection:
        assert len(connection.execute("SELECT id FROM threads").fetchall()) == 1
        cursor = connection.execute(POINT[statement].format(thread="thread_none", message="msg_none"))
        assert cursor.fetchall() == [] if statement.startswith("SELECT") else cursor.rowcount == 0
        assert cursor.stats.requests == 1


@pytest.mark.parametrize("said", STRANGE)
@pytest.mark.parametrize("lists", ["404", "405"])
@pytest.mark.parametrize("statement", POINT)
def test_a_service_that_names_nothing(front: Front, statement: str, lists: str, said: str) -> None:
    """Once it has had a success, and lists no threads, any 404 is its word: some send one without a body."""
    sql = POINT[statement].format(thread="thread_none" if "a thread" in statement else "thread_a", message="msg_none")
    with front.connect() as connection:
        _service(front, LISTS[lists], STRANGE[said])
        known(front, connection)
        cursor = connection.execute(sql)
        assert cursor.fetchall() == [] if sql.startswith("SELECT") else cursor.rowcount == 0
        assert cursor.stats.requests == 1
