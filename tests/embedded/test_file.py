"""A store in a file: what may be opened, several processes, kills, full disks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest
import requests

from messages_dbapi.embedded.app import Application
from messages_dbapi.embedded.database import APPLICATION_ID, SCHEMA, VERSION
from messages_dbapi.embedded.store import Draft, NotFoundError, Page, Store, StoreError
from messages_dbapi.embedded.transport import EmbeddedAdapter
from messages_dbapi.errors import InterfaceError

from .conftest import BETA, Service, session


def contents(path: Path) -> dict[str, bytes]:
    """Read every file of a folder."""
    return {entry.name: entry.read_bytes() for entry in path.iterdir() if entry.is_file()}


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store(path) as store:
        thread = store.add_thread(messages=[Draft(content="one")], metadata={"a": "b"})
        message = store.add_message(thread.id, Draft(content="two"))
    with Store(str(path), create=False) as store:
        assert store.thread(thread.id) == thread
        assert store.message(thread.id, message.id) == message
        assert len(store.messages(thread.id, Page()).rows) == 2


def _other_program(path: Path) -> None:
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute(
            "PRAGMA journal_mode = WAL; CREATE TABLE messages (id); INSERT INTO messages VALUES (1)"
        ).fetchall()


def _other_program_without_tables(path: Path) -> None:
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA application_id = 7")


def _newer(path: Path) -> None:
    Store(path).close()
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")


def _text(path: Path) -> None:
    path.write_text("thread_id,text\n")


def _long_text(path: Path) -> None:
    path.write_bytes(b"%PDF-1.7 " * 5000)


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (_other_program, "another program's"),
        (_other_program_without_tables, "another program's"),
        (_newer, "upgrade"),
        (_text, "not a SQLite database"),
        (_long_text, "not a SQLite database"),
        (_folder, "is a directory"),
    ],
)
def test_what_is_no_store_is_refused_and_left_alone(
    tmp_path: Path, prepare: Callable[[Path], None], words: str, create: bool
) -> None:
    path = tmp_path / "it.db"
    prepare(path)
    before = contents(tmp_path)
    for _ in range(2):
        with pytest.raises(InterfaceError, match=words) as caught:
            Store(path, create=create)
        assert str(path) in str(caught.value)
    after = contents(tmp_path)
    assert after.get("it.db") == before.get("it.db")


def test_another_programs_write_ahead_log_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "it.db"
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").fetchall()
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.close()
    before = contents(tmp_path)
    with pytest.raises(InterfaceError):
        Store(path)
    after = contents(tmp_path)
    assert (after["it.db"], after["it.db-wal"]) == (before["it.db"], before["it.db-wal"])


def test_a_missing_store_is_only_made_where_wanted(tmp_path: Path) -> None:
    with pytest.raises(InterfaceError, match="no store"):
        Store(tmp_path / "new.db", create=False)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InterfaceError, match=r"directory .*nowhere of the store .* does not exist"):
        Store(tmp_path / "nowhere" / "new.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(InterfaceError, match="holds no store yet"):
        Store(tmp_path / "empty.db", create=False)
    assert (tmp_path / "empty.db").read_bytes() == b""
    Store(tmp_path / "empty.db").close()
    Store(tmp_path / "empty.db", create=False).close()


def test_names_that_mean_something_to_sqlite_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (":memory:", "file:x?mode=memory"):
        Store(name).close()
        assert (tmp_path / name).is_file()


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db"):
        pass
    header = (tmp_path / "store.db").read_bytes()[:100]
    assert int.from_bytes(header[68:72], "big") == APPLICATION_ID
    assert int.from_bytes(header[60:64], "big") == VERSION
    assert (header[18], header[19]) == (2, 2), "write-ahead log"


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    for store in (Store(), Store(tmp_path / "store.db")):
        store.close()
        store.close()
        with pytest.raises(InterfaceError, match="closed"):
            store.threads(Page())


def test_a_delete_leaves_no_content_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store(path) as store:
        thread = store.add_thread(
            messages=[Draft(content="a secret text", id="msg_1"), Draft(content="a secret text 2")]
        )
        store.delete_message(thread.id, "msg_1")
        store.delete_thread(thread.id)
    assert b"a secret text" not in path.read_bytes()


def test_many_threads_on_one_store(tmp_path: Path) -> None:
    for store in (Store(), Store(tmp_path / "store.db")):
        thread = store.add_thread().id

        def work(number: int, store: Store = store, thread: str = thread) -> list[str]:
            mine = []
            for place in range(10):
                mine.append(store.add_message(thread, Draft(content=f"{number} {place}")).id)
                store.messages(thread, Page(limit=100))
                store.modify_message(thread, mine[-1], metadata={"by": str(number)})
            store.delete_message(thread, mine.pop())
            return mine

        with store, ThreadPoolExecutor(8) as pool:
            added = list(pool.map(work, range(8)))
            rows, has_more = store.messages(thread, Page(limit=100, ascending=True))
            ids = [row.id for row in rows]
            assert (len(ids), has_more) == (72, False)
            for mine in added:
                assert [message for message in ids if message in mine] == mine


def test_a_writer_that_waits_too_long_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store(path, busy_timeout=0.05) as store:
        thread = store.add_thread().id
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as caught:
            store.add_message(thread, Draft(content="x"))
        assert caught.value.reason == "busy"
        answer = _in_process(store).post(f"http://embedded/v1/threads/{thread}", json={}, headers=BETA)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json()["error"]["code"] == "store_busy"
        # Reading goes on beside a writer, and writing afterwards.
        assert store.messages(thread, Page()).rows == []
        other.execute("ROLLBACK")
        other.close()
        store.add_message(thread, Draft(content="x"))


def test_a_writer_of_the_same_process_waits_too(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db", busy_timeout=0.05) as store:
        entered, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with store._database.writing():  # the lock that every write takes
                entered.set()
                leave.wait(10)

        with ThreadPoolExecutor(1) as pool:
            holding = pool.submit(hold)
            entered.wait(10)
            with pytest.raises(StoreError, match="another thread"):
                store.add_thread()
            leave.set()
            holding.result()
        store.add_thread()


def test_a_full_disk_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        thread = store.add_thread(messages=[Draft(content="kept")]).id
        # SQLite's own limit fails as a full disk does; the one idle connection is the one used next.
        with store._database.reading() as connection:
            connection.execute("PRAGMA max_page_count = 1").fetchall()
        body = {"role": "user", "content": "x" * 100_000}
        answer = _in_process(store).post(f"http://embedded/v1/threads/{thread}/messages", json=body, headers=BETA)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_full")
        assert len(store.messages(thread, Page()).rows) == 1


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        thread = store.add_thread(messages=[Draft(content="kept")]).id
        with store._database.reading() as connection:
            connection.execute("PRAGMA query_only = ON").fetchall()
        answer = _in_process(store).delete(f"http://embedded/v1/threads/{thread}", headers=BETA)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "store_read_only")
        assert len(store.messages(thread, Page()).rows) == 1


def _in_process(store: Store) -> requests.Session:
    opened = session()
    opened.mount("http://embedded", EmbeddedAdapter(Application(store)))
    return opened


WRITER = """
import sys
from messages_dbapi.embedded.store import Draft, Store
path, thread, name, count = sys.argv[1:]
with Store(path) as store:
    if thread == "new":
        store.add_thread(thread_id=name)
    else:
        for number in range(int(count)):
            print(store.add_message(thread, Draft(content=f"{name} {number}")).id, flush=True)
"""


def _writer(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE, text=True)


def test_processes_create_one_file_together(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    writers = [_writer(str(path), "new", f"thread_{number}", "0") for number in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    for writer in writers:
        writer.communicate()
    with Store(path) as store:
        assert {row.id for row in store.threads(Page()).rows} == {f"thread_{number}" for number in range(4)}


def test_another_process_may_be_quicker_to_create(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with contextlib.closing(apsw.Connection(str(path))) as other, ThreadPoolExecutor(1) as pool:
        other.execute("BEGIN IMMEDIATE")
        opening = pool.submit(Store, path)
        # Most likely it has found the file empty by now, and waits to create the tables itself.
        time.sleep(0.1)
        other.execute(SCHEMA).fetchall()
        other.execute("COMMIT")
        with opening.result(30) as store:
            store.add_thread()


def test_processes_write_one_file_together(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store(path) as store:
        thread = store.add_thread().id
        writers = [_writer(str(path), thread, f"writer {number}", "20") for number in range(4)]
        acknowledged = [writer.communicate(timeout=60)[0].split() for writer in writers]
        rows, _ = store.messages(thread, Page(limit=100, ascending=True))
        ids = [row.id for row in rows]
        assert sorted(ids) == sorted(message for mine in acknowledged for message in mine)
        for mine in acknowledged:
            assert [message for message in ids if message in set(mine)] == mine
            assert len(mine) == 20


SERVER = "import sys; from messages_dbapi.embedded.serve import run; sys.exit(run(store=sys.argv[1]))"


def _write_until_it_dies(base_url: str, thread: str, name: int, first: threading.Event) -> list[dict[str, Any]]:
    acknowledged: list[dict[str, Any]] = []
    with session() as opened, contextlib.suppress(requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        service = Service(opened, base_url, [])
        while True:
            body = {"role": "user", "content": f"{name} {len(acknowledged)}"}
            acknowledged.append(service.ok("POST", f"/threads/{thread}/messages", body))
            if len(acknowledged) == 5:
                first.set()
    return acknowledged


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_server_has_kept_every_acknowledged_write(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store(path) as store:
        thread = store.add_thread().id
    everything: list[dict[str, Any]] = []
    for _ in range(4):
        server = subprocess.Popen([sys.executable, "-c", SERVER, str(path)], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        base_url = server.stdout.readline().strip()
        first = threading.Event()
        with ThreadPoolExecutor(3) as pool:
            writing = [pool.submit(_write_until_it_dies, base_url, thread, name, first) for name in range(3)]
            assert first.wait(30)
            server.send_signal(signal.SIGKILL)
            acknowledged = [writer.result() for writer in writing]
        server.communicate()
        everything += [message for mine in acknowledged for message in mine]
        with Store(path) as store:
            kept = [json.loads(reply) for reply in _all_replies(store, thread)]
        known = {message["id"] for message in everything}
        assert [message for message in everything if message not in kept] == []
        # A message that was not acknowledged may be there: at most the one in flight of each writer.
        assert len(kept) - len(known) <= 3 * 4
        for mine in acknowledged:
            order = [message["id"] for message in kept if message in mine]
            assert order == [message["id"] for message in mine]


def _all_replies(store: Store, thread: str) -> list[str]:
    replies: list[str] = []
    after, has_more = None, True
    while has_more:
        rows, has_more = store.messages(thread, Page(limit=100, ascending=True, after=after))
        replies += [row.reply for row in rows]
        after = rows[-1].id if rows else None
    return replies


def _in_the_child(store: Store, thread: str) -> None:
    status = 1
    try:
        store.add_message(thread, Draft(content="from the child"))
        store.messages(thread, Page())
        status = 0
    finally:
        os._exit(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_a_forked_child_opens_the_file_anew(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        thread = store.add_thread().id
        # Held as by a thread that the child does not have.
        with store._database._writer:
            child = os.fork()
            if child == 0:
                _in_the_child(store, thread)
        assert os.waitpid(child, 0)[1] == 0
        store.add_message(thread, Draft(content="from the parent"))
        assert len(store.messages(thread, Page()).rows) == 2


def test_an_import_is_all_or_nothing(store: Store) -> None:
    thread = store.add_thread().id
    drafts = [Draft(content="x", id="msg_1"), Draft(content="y", id="msg_1")]
    with pytest.raises(StoreError):
        store.add_messages(thread, drafts)
    assert store.messages(thread, Page()).rows == []
    with pytest.raises(NotFoundError):
        store.add_messages("thread_none", [])
