"""Connections that share what is in memory, and what a pool does with one that it gets back."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

import pytest

import messages_dbapi
from messages_dbapi import Shared
from messages_dbapi.embedded.store import Page

from .service import Service

INSERT = "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', 'x')"


def test_the_service_in_memory_is_shared() -> None:
    """And still there when one of its connections is closed; it is nobody else's."""
    shared = Shared()
    with shared.connect("messages://") as first:
        thread = first.execute("INSERT INTO threads DEFAULT VALUES").lastrowid
    with shared.connect("messages://") as second, messages_dbapi.connect("messages://") as other:
        assert second.execute("SELECT id FROM threads").fetchall() == [(thread,)]
        assert other.execute("SELECT id FROM threads").fetchall() == []


def test_a_store_in_a_file_stays_its_own(tmp_path: Path) -> None:
    """The URL says where the store is."""
    shared = Shared()
    with shared.connect(f"messages:///{tmp_path}/a.db") as file:
        file.execute("INSERT INTO threads DEFAULT VALUES")
    with shared.connect("messages://") as memory:
        assert memory.execute("SELECT count(*) FROM threads").fetchone() == (0,)


def test_local_tables_are_shared() -> None:
    """Committed rows are seen; a transaction that is open keeps nobody from reading."""
    shared = Shared()
    with (
        shared.connect("messages://") as first,
        shared.connect("messages://") as second,
    ):
        first.execute("CREATE TABLE numbers (n)")
        first.execute("INSERT INTO numbers VALUES (1)")
        assert second.execute("SELECT n FROM numbers").fetchall() == []
        first.commit()
        assert second.execute("SELECT n FROM numbers").fetchall() == [(1,)]


def test_a_table_that_another_connection_makes_hides_nothing() -> None:
    """The name alone stays the service's, in a connection that was open before."""
    shared = Shared()
    with shared.connect("messages://") as first, shared.connect("messages://") as second:
        first.execute("CREATE TABLE main.messages (a)")
        first.execute("INSERT INTO main.messages VALUES (5)")
        first.commit()
        assert second.execute("SELECT a FROM main.messages").fetchall() == [(5,)]
        assert len(second.execute("SELECT * FROM messages").description or ()) == 14
        assert second.execute("SELECT a FROM main.messages").fetchall() == [(5,)]
        assert second.execute("UPDATE main.messages SET a = 6").rowcount == 1


def test_a_file_of_local_tables_wins(tmp_path: Path) -> None:
    """Whoever names one has it."""
    with Shared().connect("messages://", local=tmp_path / "local.db") as connection:
        connection.execute("CREATE TABLE here (n)")
    with messages_dbapi.connect("messages://", local=tmp_path / "local.db") as connection:
        assert connection.execute("SELECT n FROM here").fetchall() == []


def test_the_file_goes_when_nothing_is_left() -> None:
    """Neither the shared part nor a connection that uses it."""
    shared = Shared()
    file = Path(shared.main())
    connection = shared.connect("messages://")
    assert file.parent.stat().st_mode & 0o077 == 0, "nobody else may read it"
    del shared
    gc.collect()
    connection.execute("CREATE TABLE numbers (n)")
    assert file.exists()
    connection.close()
    del connection
    gc.collect()
    assert not file.parent.exists()


@pytest.mark.skipif(os.name != "posix", reason="a system without signals of that kind")
def test_what_a_killed_process_leaves_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the next one that needs such a folder; what a living one uses stays."""
    program = (
        "import messages_dbapi, sys, time\nshared = messages_dbapi.Shared()\n"
        "print(shared.main(), flush=True)\ntime.sleep(60)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    alive, killed = (
        subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    with alive, killed:
        used, left = (Path(str(process.stdout and process.stdout.readline().strip())) for process in (alive, killed))
        killed.kill()
        killed.wait()
        assert left.exists()
        mine = Path(Shared().main())
        assert (used.exists(), left.parent.exists()) == (True, False)
        alive.kill()
    assert not mine.exists()


def test_a_file_that_was_tidied_away_is_made_anew() -> None:
    """Local tables are gone then, and the service is still there."""
    shared = Shared()
    shutil.rmtree(Path(shared.main()).parent)
    with shared.connect("messages://") as connection:
        assert connection.execute("SELECT count(*) FROM threads").fetchone() == (0,)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="a system that does not list open files")
@pytest.mark.parametrize("pooled", [False, True], ids=["forgotten", "of a pool"])
def test_a_connection_that_is_dropped_is_closed(service: Service, tmp_path: Path, pooled: bool) -> None:
    """Its files and sockets with it."""
    url = service.base_url.replace("http://", "messages+http://", 1)
    connect = Shared().connect if pooled else messages_dbapi.connect
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(10):
            connection = connect(url, local=tmp_path / "local.db")
            connection.execute("SELECT count(*) FROM threads").fetchall()
            connection.execute("CREATE TABLE IF NOT EXISTS numbers (n)")
            del connection
            gc.collect()
    port = service.base_url.rpartition(":")[2].partition("/")[0]
    assert [name for name in _open_files() if "local.db" in name] == []
    assert [name for name in _connected() if name.endswith(f":{int(port):04X}")] == []


def _open_files() -> list[str]:
    names = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            names.append(os.readlink(f"/proc/self/fd/{number}"))
    return names


def _connected() -> list[str]:
    """Give the remote ends of connections that are established from this side."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [remote for _, _local, remote, state, *_ in rows if state == "01"]


def test_a_pool_may_drop_its_connections() -> None:
    """Without the warning that somebody has forgotten one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        connection = Shared().connect("messages://")
        del connection
        gc.collect()


def test_reset_undoes_local_changes_and_warns_of_nothing(service: Service) -> None:
    """Where a rollback says that the service's rows stay."""
    thread = service.thread()
    with service.connect() as connection:
        connection.execute("CREATE TABLE numbers (n)")
        connection.execute("INSERT INTO numbers VALUES (1)")
        connection.execute(INSERT, (thread,))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            connection.reset()
            connection.rollback()
        assert connection.execute("SELECT n FROM numbers").fetchall() == []
        connection.execute(INSERT, (thread,))
        with pytest.warns(messages_dbapi.Warning, match="1 row"):
            connection.rollback()
    with pytest.raises(messages_dbapi.InterfaceError):
        connection.reset()


def test_closed_says_so() -> None:
    """Without asking anything of the service."""
    connection = messages_dbapi.connect("messages://")
    assert not connection.closed
    connection.close()
    assert connection.closed


def test_a_closed_cursor_still_tells_what_it_did(service: Service) -> None:
    """As sqlite3's does: programs close a cursor first and ask afterwards."""
    thread = service.thread()
    with service.connect() as connection:
        cursor = connection.execute(INSERT, (thread,))
        cursor.close()
        assert (cursor.rowcount, cursor.lastrowid) == (1, service.store.messages(thread, Page()).rows[0].id)
        with pytest.raises(messages_dbapi.InterfaceError):
            cursor.fetchall()


def test_a_savepoint_is_inside_a_transaction() -> None:
    """Its release commits nothing that a rollback should undo."""
    with messages_dbapi.connect("messages://") as connection:
        connection.execute("CREATE TABLE numbers (n)")
        connection.execute("SAVEPOINT inner")
        connection.execute("INSERT INTO numbers VALUES (1)")
        connection.execute("RELEASE inner")
        connection.rollback()
        assert connection.execute("SELECT n FROM numbers").fetchall() == []
        connection.autocommit = True
        connection.execute("SAVEPOINT inner")
        connection.execute("INSERT INTO numbers VALUES (2)")
        connection.execute("RELEASE inner")
        assert connection.execute("SELECT n FROM numbers").fetchall() == [(2,)]
