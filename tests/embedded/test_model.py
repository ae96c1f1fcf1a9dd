"""The service against a model of plain lists, whatever is done to it and by which way: WSGI, HTTP or SQL."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import pytest
import requests
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

import messages_dbapi
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.app import Application
from messages_dbapi.embedded.documents import Draft
from messages_dbapi.embedded.server import Server
from messages_dbapi.embedded.store import Store
from messages_dbapi.embedded.transport import EmbeddedAdapter
from messages_dbapi.errors import DataError, ProgrammingError
from messages_dbapi.resources import THREADS

from ..conftest import Many
from .conftest import BETA, session
from .contract import Held

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

JSON = dict[str, Any]

RUNS = (None, "run_1", "run_2")


@dataclass
class Listed:
    """A listing as the model has it: all ids that ever stood in it, in order, and those still there."""

    order: list[str] = field(default_factory=list)
    rows: dict[str, JSON] = field(default_factory=dict)

    def add(self, row: JSON) -> None:
        """Append a row."""
        assert row["id"] not in self.order, "an id comes twice"
        self.order.append(row["id"])
        self.rows[row["id"]] = row

    def between(
        self, after: str | None, before: str | None, *, ascending: bool, run_id: str | None = None
    ) -> list[JSON]:
        """Give the rows after one and before another; KeyError for one that never stood here."""
        ordered = self.order if ascending else self.order[::-1]
        for cursor in (after, before):
            if cursor is not None and cursor not in ordered:
                raise KeyError(cursor)
        first = 0 if after is None else ordered.index(after) + 1
        last = len(ordered) if before is None else ordered.index(before)
        rows = [self.rows[row_id] for row_id in ordered[first:last] if row_id in self.rows]
        return [row for row in rows if run_id is None or row["run_id"] == run_id]

    def page(self, limit: int, after: str | None, before: str | None, **how: Any) -> JSON:
        """Give a page as the service words it."""
        rows = self.between(after, before, **how)
        cut = rows[-limit:] if before is not None and after is None else rows[:limit]
        edges = (cut[0]["id"], cut[-1]["id"]) if cut else (None, None)
        return {
            "object": "list",
            "data": cut,
            "first_id": edges[0],
            "last_id": edges[1],
            "has_more": len(rows) > limit,
        }


class Site:
    """The application in process and over a socket, whose store comes and goes."""

    def __init__(self) -> None:
        self.app: Held | None = None
        self.server = Server(self)
        self.in_process = session()
        self.in_process.mount("http://embedded", EmbeddedAdapter(self))
        self.over_http = session()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as the application of the moment does."""
        assert self.app is not None
        return self.app(environ, start_response)

    def call(self, way: str, method: str, path: str, body: Any = None, query: JSON | None = None) -> requests.Response:
        """Send a request one way or the other."""
        opened, base = (
            (self.in_process, "http://embedded/v1") if way == "wsgi" else (self.over_http, self.server.base_url)
        )
        return opened.request(method, base + path, json=body, params=query, headers=BETA)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Give a site that is served."""
    site = Site()
    with site.server, site.in_process, site.over_http:
        yield site


WAYS = st.sampled_from(["wsgi", "http"])
TEXTS = st.text(max_size=20)
METADATA = st.dictionaries(st.text(max_size=5), TEXTS, max_size=3)
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.just({"type": "image_file", "image_file": {"file_id": "file_1", "detail": "low"}}),
    st.just({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}),
)
CONTENTS = st.one_of(TEXTS, st.lists(PARTS, min_size=1, max_size=3))
ATTACHMENTS = st.lists(
    st.sampled_from([{"file_id": "file_1", "tools": [{"type": "file_search"}]}, {"file_id": "file_2"}]), max_size=2
)
ROLES = st.sampled_from(["user", "assistant"])
RESOURCES = st.sampled_from([{}, {"code_interpreter": {"file_ids": ["file_1"]}}])
# Which of those known; the last few are of another thread, deleted, or never were.
PICKS = st.integers(0, 60)
LIMITS = st.sampled_from([None, 1, 2, 3, 7, 100])
CURSORS = st.one_of(st.none(), PICKS)


def _shown(content: str | Sequence[JSON]) -> list[JSON]:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [
        {"type": "text", "text": {"value": part["text"], "annotations": []}} if part["type"] == "text" else part
        for part in parts
    ]


class Machine(RuleBasedStateMachine):
    """Do what may be done to threads and messages, and compare every answer with the model's."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._site = site
        self._ends = ExitStack()
        self._path = Path(self._ends.enter_context(tempfile.TemporaryDirectory())) / "store.db"
        self._threads = Listed()
        self._messages: dict[str, Listed] = {}
        self._ever: list[str] = ["msg_none", "thread_none"]
        self._open()

    @initialize(count=st.integers(0, 9))
    def begin(self, count: int) -> None:
        """Have something to list from the first."""
        self.create_thread("wsgi", {"a": "b"}, {}, ["x"] * count)
        self.create_thread("http", {}, {}, ["y"])

    def _open(self) -> None:
        self._opened = ExitStack()
        self._store = self._opened.enter_context(Store(self._path))
        self._site.app = Held(Application(self._store))
        self._sql: Connection = self._opened.enter_context(messages_dbapi.connect(f"messages:///{self._path}"))

    def teardown(self) -> None:
        """Close it, and see that nothing is left in it of what was deleted."""
        self._opened.close()
        with closing(apsw.Connection(str(self._path))) as connection:
            kept = sum(len(listed.rows) for listed in self._messages.values())
            assert connection.execute("SELECT count(*) FROM messages").get == kept
        self._ends.close()
        assert self._site.app is not None
        assert not self._site.app.faults

    @invariant()
    def _keeps_the_contract(self) -> None:
        assert self._site.app is not None
        assert not self._site.app.faults

    def _ok(self, response: requests.Response) -> JSON:
        assert response.status_code == 200, response.text
        answer: JSON = response.json()
        return answer

    def _thread(self, pick: int) -> str:
        known = [*self._threads.order, "thread_none"]
        return known[pick % len(known)]

    def _message(self, thread: str, pick: int) -> str:
        own = self._messages[thread].order if thread in self._messages else []
        # Mostly those of the thread.
        return own[pick % len(own)] if own and pick < 50 else self._ever[pick % len(self._ever)]

    def _cursor(self, thread: str, pick: int | None) -> str | None:
        return None if pick is None else self._message(thread, pick)

    def _is_there(self, thread: str, message: str | None = None) -> bool:
        return thread in self._messages and (message is None or message in self._messages[thread].rows)

    def _check_missing(self, response: requests.Response, kind: str) -> None:
        assert response.status_code == 404
        assert response.json()["error"]["message"].startswith(f"No {kind} found")

    def _added_thread(self, thread: JSON, metadata: JSON, resources: JSON) -> None:
        assert set(thread) == {column.name for column in THREADS.fields}
        assert (thread["object"], thread["metadata"], thread["tool_resources"]) == ("thread", metadata, resources)
        self._threads.add(thread)
        self._messages[thread["id"]] = Listed()

    def _added_message(self, thread: str, message: JSON, body: JSON) -> None:
        made = {"id": message["id"], "created_at": message["created_at"]}
        empty = dict.fromkeys(("assistant_id", "completed_at", "incomplete_at", "incomplete_details", "run_id"))
        assert message == {
            **made,
            **empty,
            "object": "thread.message",
            "status": "completed",
            "thread_id": thread,
            "role": body["role"],
            "content": _shown(body["content"]),
            "attachments": body.get("attachments", []),
            "metadata": body.get("metadata", {}),
        }
        listed = self._messages[thread]
        assert all(message["created_at"] >= row["created_at"] for row in listed.rows.values())
        listed.add(message)
        self._ever.append(message["id"])

    @rule()
    def close_and_open_again(self) -> None:
        """Whatever was written stays."""
        self._opened.close()
        self._open()

    @rule(way=WAYS, metadata=METADATA, resources=RESOURCES, contents=st.lists(CONTENTS, max_size=4))
    def create_thread(self, way: str, metadata: JSON, resources: JSON, contents: list[Any]) -> None:
        """With the messages that it begins with."""
        messages = [{"role": "user", "content": content} for content in contents]
        body = {"metadata": metadata, "tool_resources": resources, "messages": messages}
        thread = self._ok(self._site.call(way, "POST", "/threads", body))
        self._added_thread(thread, metadata, resources)
        rows = self._ok(self._site.call(way, "GET", f"/threads/{thread['id']}/messages", query={"order": "asc"}))[
            "data"
        ]
        assert len(rows) == len(messages)
        for row, message in zip(rows, messages, strict=True):
            self._added_message(thread["id"], row, message)

    @rule(metadata=METADATA)
    def insert_thread(self, metadata: JSON) -> None:
        """Create one by SQL."""
        cursor = self._sql.execute("INSERT INTO threads (metadata) VALUES (?) RETURNING *", (json.dumps(metadata),))
        self._added_thread(_read(cursor)[0], metadata, {})

    @rule(way=WAYS, pick=PICKS, role=ROLES, content=CONTENTS, attachments=ATTACHMENTS, metadata=METADATA)
    def create_message(
        self, way: str, pick: int, role: str, content: Any, attachments: list[JSON], metadata: JSON
    ) -> None:
        """In a thread that may be gone."""
        thread = self._thread(pick)
        body = {"role": role, "content": content, "attachments": attachments, "metadata": metadata}
        response = self._site.call(way, "POST", f"/threads/{thread}/messages", body)
        if self._is_there(thread):
            self._added_message(thread, self._ok(response), body)
        else:
            self._check_missing(response, "thread")

    @rule(pick=PICKS, role=ROLES, contents=st.lists(CONTENTS, min_size=1, max_size=3), metadata=METADATA)
    def insert_messages(self, pick: int, role: str, contents: list[Any], metadata: JSON) -> None:
        """Several in one statement."""
        thread = self._thread(pick)
        columns = "(thread_id, role, content, metadata)"
        places = ", ".join(["(?, ?, ?, ?)"] * len(contents))
        # A text stays a text, whatever it looks like.
        values = [value for content in contents for value in (thread, role, _bound(content), json.dumps(metadata))]
        operation = f"INSERT INTO messages {columns} VALUES {places} RETURNING *"
        if not self._is_there(thread):
            with pytest.raises(ProgrammingError, match="thread"):
                self._sql.execute(operation, values)
            return
        for row, content in zip(_read(self._sql.execute(operation, values)), contents, strict=True):
            self._added_message(thread, row, {"role": role, "content": content, "metadata": metadata})

    @rule(pick=PICKS, runs=st.lists(st.sampled_from(RUNS), min_size=1, max_size=6))
    def import_messages(self, pick: int, runs: list[str | None]) -> None:
        """As a program does that has the store, of runs."""
        thread = self._thread(pick)
        if self._is_there(thread):
            for message in self._store.add_messages(thread, [Draft(content="x", run_id=run) for run in runs]):
                row = json.loads(self._store.message(thread, message).reply)
                self._messages[thread].add(row)
                self._ever.append(message)

    @rule(way=WAYS, pick=PICKS, of=PICKS)
    def get_message(self, way: str, pick: int, of: int) -> None:
        """One, or what is not there."""
        thread = self._thread(pick)
        message = self._message(thread, of)
        response = self._site.call(way, "GET", f"/threads/{thread}/messages/{message}")
        sql = "SELECT * FROM messages WHERE thread_id = ? AND id = ?"
        rows = _read(self._sql.execute(sql, (thread, message)))
        if self._is_there(thread, message):
            assert self._ok(response) == self._messages[thread].rows[message]
            assert rows == [self._messages[thread].rows[message]]
        else:
            self._check_missing(response, "message" if self._is_there(thread) else "thread")
            assert rows == []

    @rule(way=WAYS, pick=PICKS)
    def get_thread(self, way: str, pick: int) -> None:
        """One, or what is not there."""
        thread = self._thread(pick)
        response = self._site.call(way, "GET", f"/threads/{thread}")
        rows = _read(self._sql.execute("SELECT * FROM threads WHERE id = ?", (thread,)))
        if self._is_there(thread):
            assert self._ok(response) == self._threads.rows[thread]
            assert rows == [self._threads.rows[thread]]
        else:
            self._check_missing(response, "thread")
            assert rows == []

    @rule(
        way=WAYS,
        pick=PICKS,
        limit=LIMITS,
        order=st.sampled_from([None, "asc", "desc"]),
        after=CURSORS,
        before=CURSORS,
        run_id=st.sampled_from([None, None, *RUNS, "none"]),
    )
    def list_messages(
        self,
        way: str,
        pick: int,
        limit: int | None,
        order: str | None,
        after: int | None,
        before: int | None,
        run_id: str | None,
    ) -> None:
        """With any mix of parameters."""
        thread = self._thread(pick)
        cursors = {"after": self._cursor(thread, after), "before": self._cursor(thread, before)}
        query = {"limit": limit, "order": order, "run_id": run_id, **cursors}
        response = self._site.call(way, "GET", f"/threads/{thread}/messages", query=query)
        if not self._is_there(thread):
            self._check_missing(response, "thread")
            return
        try:
            page = self._messages[thread].page(limit or 20, **cursors, ascending=order == "asc", run_id=run_id)
        except KeyError:
            assert response.status_code == 400
            assert response.json()["error"]["param"] in cursors
            return
        assert self._ok(response) == page

    @rule(
        pick=PICKS,
        limit=LIMITS,
        order=st.sampled_from([None, "asc", "desc"]),
        after=CURSORS,
        before=CURSORS,
        run_id=st.sampled_from([None, None, *RUNS, "none"]),
    )
    def select_messages(
        self, pick: int, limit: int | None, order: str | None, after: int | None, before: int | None, run_id: str | None
    ) -> None:
        """By SQL: a limit and an order change nothing but how the rows come."""
        thread = self._thread(pick)
        cursors = {"after": self._cursor(thread, after), "before": self._cursor(thread, before)}
        given = {"thread_id": thread, '"limit"': limit, '"order"': order, "run_id": run_id, **cursors}
        given = {name: value for name, value in given.items() if value is not None}
        conditions = " AND ".join(f"{name} = ?" for name in given)
        operation = f"SELECT * FROM messages WHERE {conditions}"
        if not self._is_there(thread):
            with pytest.raises(ProgrammingError, match=thread):
                self._sql.execute(operation, tuple(given.values())).fetchall()
            return
        try:
            rows = self._messages[thread].between(**cursors, ascending=order != "desc", run_id=run_id)
        except KeyError:
            self._select_from_nowhere(operation, tuple(given.values()), cursors["after"])
            return
        assert _read(self._sql.execute(operation, tuple(given.values()))) == rows

    def _select_from_nowhere(self, operation: str, values: tuple[Any, ...], after: str | None) -> None:
        with suppress(DataError):
            assert self._sql.execute(operation, values).fetchall() == []
            # The driver follows one of two cursors, and never meets the other.
            assert after is not None
            assert "before = ?" in operation

    @rule(way=WAYS, limit=LIMITS, order=st.sampled_from([None, "asc", "desc"]), after=CURSORS, before=CURSORS)
    def list_threads(
        self, way: str, limit: int | None, order: str | None, after: int | None, before: int | None
    ) -> None:
        """With any mix of parameters, and all of them by SQL."""
        cursors = {
            "after": None if after is None else self._thread(after),
            "before": None if before is None else self._thread(before),
        }
        response = self._site.call(way, "GET", "/threads", query={"limit": limit, "order": order, **cursors})
        try:
            page = self._threads.page(limit or 20, **cursors, ascending=order == "asc")
        except KeyError:
            assert response.status_code == 400
            assert response.json()["error"]["param"] in cursors
        else:
            assert self._ok(response) == page
        rows = _read(self._sql.execute("SELECT * FROM threads"))
        assert sorted(row["id"] for row in rows) == sorted(self._threads.rows)
        assert all(row == self._threads.rows[row["id"]] for row in rows)

    @rule(way=st.sampled_from(["wsgi", "http", "sql"]), pick=PICKS, of=PICKS, metadata=st.one_of(st.none(), METADATA))
    def modify_message(self, way: str, pick: int, of: int, metadata: JSON | None) -> None:
        """The whole map, or to none."""
        thread = self._thread(pick)
        message = self._message(thread, of)
        if way == "sql":
            self._update(thread, message, metadata)
        else:
            response = self._site.call(way, "POST", f"/threads/{thread}/messages/{message}", {"metadata": metadata})
            if not self._is_there(thread, message):
                self._check_missing(response, "message" if self._is_there(thread) else "thread")
                return
            assert self._ok(response) == {**self._messages[thread].rows[message], "metadata": metadata or {}}
        if self._is_there(thread, message):
            self._messages[thread].rows[message]["metadata"] = metadata or {}

    def _update(self, thread: str, message: str, metadata: JSON | None) -> None:
        text = None if metadata is None else json.dumps(metadata)
        operation = "UPDATE messages SET metadata = ? WHERE thread_id = ? AND id = ?"
        changed = self._sql.execute(operation, (text, thread, message)).rowcount
        assert changed == self._is_there(thread, message)

    @rule(way=WAYS, pick=PICKS, metadata=METADATA, resources=st.one_of(st.none(), RESOURCES))
    def modify_thread(self, way: str, pick: int, metadata: JSON, resources: JSON | None) -> None:
        """What is not given stays as it is."""
        thread = self._thread(pick)
        body = {"metadata": metadata} if resources is None else {"metadata": metadata, "tool_resources": resources}
        response = self._site.call(way, "POST", f"/threads/{thread}", body)
        if self._is_there(thread):
            self._threads.rows[thread] |= body
            assert self._ok(response) == self._threads.rows[thread]
        else:
            self._check_missing(response, "thread")

    @rule(way=st.sampled_from(["wsgi", "http", "sql"]), pick=PICKS, of=PICKS)
    def delete_message(self, way: str, pick: int, of: int) -> None:
        """Its place still serves as a cursor."""
        thread = self._thread(pick)
        message = self._message(thread, of)
        there = self._is_there(thread, message)
        if way == "sql":
            operation = "DELETE FROM messages WHERE thread_id = ? AND id = ?"
            assert self._sql.execute(operation, (thread, message)).rowcount == there
        else:
            response = self._site.call(way, "DELETE", f"/threads/{thread}/messages/{message}")
            if there:
                assert self._ok(response) == {"id": message, "object": "thread.message.deleted", "deleted": True}
            else:
                self._check_missing(response, "message" if self._is_there(thread) else "thread")
        if there:
            del self._messages[thread].rows[message]

    @rule(pick=PICKS, role=ROLES)
    def delete_messages(self, pick: int, role: str) -> None:
        """All that match."""
        thread = self._thread(pick)
        if self._is_there(thread):
            rows = self._messages[thread].rows
            gone = [message for message, row in rows.items() if row["role"] == role]
            operation = "DELETE FROM messages WHERE thread_id = ? AND role = ?"
            assert self._sql.execute(operation, (thread, role)).rowcount == len(gone)
            for message in gone:
                del rows[message]

    @rule(way=st.sampled_from(["wsgi", "http", "sql"]), pick=PICKS, surely=st.integers(0, 2))
    def delete_thread(self, way: str, pick: int, surely: int) -> None:
        """With all its messages; seldom, so that most grow."""
        thread = self._thread(pick)
        if surely:
            return
        if way == "sql":
            assert self._sql.execute("DELETE FROM threads WHERE id = ?", (thread,)).rowcount == self._is_there(thread)
        else:
            response = self._site.call(way, "DELETE", f"/threads/{thread}")
            if not self._is_there(thread):
                self._check_missing(response, "thread")
                return
            assert self._ok(response) == {"id": thread, "object": "thread.deleted", "deleted": True}
        if self._is_there(thread):
            del self._messages[thread]
            del self._threads.rows[thread]


def _bound(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _read(cursor: Any) -> list[JSON]:
    """Give the rows of ``SELECT *`` as the service words them."""
    columns = [(item[0], item[1] == "JSON") for item in cursor.description]
    return [
        {
            name: json.loads(value) if is_json and value is not None else value
            for (name, is_json), value in zip(columns, row, strict=True)
        }
        for row in cursor.fetchall()
    ]


def test_the_service_is_its_model(site: Site, many: Many) -> None:
    run_state_machine_as_test(
        lambda: Machine(site),  # type: ignore[arg-type]  # any factory will do, says its documentation
        settings=settings(
            max_examples=many(30, 500),
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
