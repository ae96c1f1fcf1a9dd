"""Files that are no store, or no store any more: refused or read as far as they are right, and never made worse."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest

import messages_dbapi
from messages_dbapi.connection import Connection
from messages_dbapi.embedded.database import VERSION
from messages_dbapi.embedded.documents import Draft
from messages_dbapi.embedded.store import Store
from messages_dbapi.errors import InterfaceError, OperationalError

from ..conftest import Many
from .test_file import contents

PATIENCE = 300.0
# Damaged files that one process tries: where it crashes or hangs, the test says which it was at.
AT_ONCE = 100


def _fill(path: Path, *, keep_log: bool) -> list[tuple[Any, ...]]:
    """Make a store of several pages of each table and index, and give its messages."""
    with Store(path) as store, contextlib.ExitStack() as stack:
        if keep_log:
            # As after a kill: nobody moves the log into the file.
            holder = stack.enter_context(contextlib.closing(apsw.Connection(str(path))))
            holder.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            holder.execute("SELECT count(*) FROM threads").fetchall()
        for number in range(3):
            drafts = [
                Draft(content=f"{number} {place} {'é' * (place * 211 % 3000)}", id=f"msg_{number}_{place}", run_id="r")
                for place in range(40)
            ]
            store.add_thread(thread_id=f"thread_{number}", messages=drafts)
            for place in range(0, 40, 9):
                store.delete_message(f"thread_{number}", f"msg_{number}_{place}")
        store.close()
    with (
        Store(_copied(path, path.with_name("read.db"))),
        messages_dbapi.connect(f"messages:///{path.with_name('read.db')}") as connection,
    ):
        return _rows(connection)


def _copied(path: Path, to: Path) -> Path:
    for ending in ("", "-wal"):
        to.with_name(to.name + ending).unlink(missing_ok=True)
        if path.with_name(path.name + ending).exists():
            shutil.copy(path.with_name(path.name + ending), to.with_name(to.name + ending))
    to.with_name(to.name + "-shm").unlink(missing_ok=True)
    return to


def _rows(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT * FROM messages").fetchall()


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("log", [False, True])
def test_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path, log: bool, read_only: bool) -> None:
    path = tmp_path / "store.db"
    Store(path).close()
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(log))
        connection.execute(f"PRAGMA user_version = {VERSION + 1}; CREATE TABLE runs (id)").fetchall()
    before = contents(tmp_path)
    assert ("store.db-wal" in before) == log
    for _ in range(2):
        with pytest.raises(InterfaceError, match=r"version 2, and this release .* upgrade") as caught:
            messages_dbapi.connect(f"messages:///{path}", read_only=read_only)
        assert str(path) in str(caught.value)
    after = contents(tmp_path)
    # The locks beside a log are no data: whoever opens first writes them anew.
    before.pop("store.db-shm", None)
    assert (after.pop("store.db-shm", None) is not None) == log
    assert after == before


def test_beside_a_program_that_has_it_open(tmp_path: Path) -> None:
    """The newer release goes on writing to its store, whose log is not cut meanwhile."""
    path = tmp_path / "store.db"
    Store(path).close()
    with contextlib.closing(apsw.Connection(str(path))) as newer:
        newer.execute(f"PRAGMA user_version = {VERSION + 1}; CREATE TABLE runs (id)").fetchall()
        for number in range(3):
            newer.execute("INSERT INTO runs VALUES (?)", (number,))
            with pytest.raises(InterfaceError, match="upgrade"):
                messages_dbapi.connect(f"messages:///{path}")
        assert newer.execute("SELECT count(*) FROM runs").get == 3
        assert newer.execute("PRAGMA integrity_check").get == "ok"


@pytest.mark.parametrize("log", [False, True])
def test_another_program_s_file_is_left_as_it_is(tmp_path: Path, log: bool) -> None:
    path = tmp_path / "it.db"
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(log))
        connection.execute("PRAGMA journal_mode = WAL; CREATE TABLE messages (id)").fetchall()
    before = contents(tmp_path)
    with pytest.raises(InterfaceError, match="another program's"):
        messages_dbapi.connect(f"messages:///{path}")
    after = contents(tmp_path)
    before.pop("it.db-shm", None)
    assert (after.pop("it.db-shm", None) is not None) == log
    assert after == before


def test_the_log_is_lost(tmp_path: Path) -> None:
    """What stood in it is gone; what the file holds is whole."""
    path = tmp_path / "store.db"
    with messages_dbapi.connect(f"messages:///{path}") as connection:
        thread = connection.execute("INSERT INTO threads DEFAULT VALUES").lastrowid
    kept = _fill_one(path, str(thread))
    assert path.with_name("store.db-wal").stat().st_size > 0
    path.with_name("store.db-wal").unlink()
    with messages_dbapi.connect(f"messages:///{path}") as connection:
        found = connection.execute("SELECT id FROM messages").fetchall()
        assert found == kept[: len(found)]
        connection.execute("INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', 'x')", (thread,))
    with contextlib.closing(apsw.Connection(str(path))) as check:
        assert check.execute("PRAGMA integrity_check").get == "ok"


def _fill_one(path: Path, thread: str) -> list[tuple[Any, ...]]:
    # A second reader keeps the log from being moved into the file when the store is closed.
    with contextlib.closing(apsw.Connection(str(path))) as holder:
        holder.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        holder.execute("SELECT count(*) FROM threads").fetchall()
        with messages_dbapi.connect(f"messages:///{path}") as connection:
            for number in range(20):
                connection.execute(
                    "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)", (thread, str(number))
                )
            return connection.execute("SELECT id FROM messages").fetchall()


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "store.db").touch()
    with pytest.raises(InterfaceError, match="holds no store yet"):
        messages_dbapi.connect(f"messages:///{tmp_path}/store.db", read_only=True)
    with messages_dbapi.connect(f"messages:///{tmp_path}/store.db") as connection:
        assert _rows(connection) == []


def test_a_damaged_store_says_so_at_once(tmp_path: Path) -> None:
    """With the file's path and SQLite's words, and without trying again what cannot fare better."""
    path = tmp_path / "store.db"
    _fill(path, keep_log=False)
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (path.stat().st_size - 8192))
    with messages_dbapi.connect(f"messages:///{path}") as connection:
        cursor = connection.cursor()
        with pytest.raises(OperationalError, match="malformed") as caught:
            cursor.execute("SELECT * FROM messages").fetchall()
        assert cursor.stats.retries == 0
    assert (caught.value.status, caught.value.code) == (500, "store_broken")
    assert str(path) in str(caught.value)


def test_a_text_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    _fill(path, keep_log=False)
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("UPDATE messages SET body = CAST(x'ff' AS TEXT) WHERE id = 'msg_0_1'")
    with messages_dbapi.connect(f"messages:///{path}") as connection:
        cursor = connection.cursor()
        with pytest.raises(OperationalError, match="not UTF-8") as caught:
            cursor.execute("SELECT * FROM messages").fetchall()
        assert cursor.stats.retries == 0
    assert (caught.value.code, caught.value.__cause__) == ("store_broken", None)


def _truncate(data: bytearray, chance: random.Random) -> None:
    # Most often at the end of a page, where SQLite would not see it by itself.
    pages = len(data) // 4096
    del data[chance.choice([chance.randrange(1, len(data)), chance.randrange(1, pages) * 4096]) :]


def _flip(data: bytearray, chance: random.Random) -> None:
    # Headers and roots of trees are few, and everything hangs on them.
    for _ in range(chance.choice([1, 1, 4, 40])):
        place = chance.choice(
            [chance.randrange(len(data)), chance.randrange(0, len(data), 4096) + chance.randrange(12)]
        )
        data[place % len(data)] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(data))
    data[place : place + 512] = chance.choice([bytes(512), b"\xff" * 512, chance.randbytes(512)])


DAMAGES = (_truncate, _flip, _flip, _flip, _overwrite)


def try_damaged(whole: Path, seeds: range, rows: list[tuple[Any, ...]], notes: Path) -> None:
    """Damage a copy of a store by each seed and use it, noting every outcome that must not be."""
    for seed in seeds:
        chance = random.Random(seed)
        path = _copied(whole, whole.with_name(f"{seeds.start}.db"))
        log = path.with_name(path.name + "-wal")
        file = chance.choice([path, log]) if log.exists() else path
        data = bytearray(file.read_bytes())
        damage = chance.choice(DAMAGES)
        damage(data, chance)
        file.write_bytes(data)
        with notes.open("a") as noted:
            noted.write(f"\n{seed} {damage.__name__} {file.name}: ")
            noted.write(_use(path, rows, exact=damage is _truncate and file is path))
    with notes.open("a") as noted:
        noted.write("\nend")


def _use(path: Path, rows: list[tuple[Any, ...]], *, exact: bool) -> str:
    try:
        with messages_dbapi.connect(f"messages:///{path}") as connection:
            return " ".join(_use_each_way(connection, rows, exact=exact))
    except messages_dbapi.Error as error:
        return f"{type(error).__name__}"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it must not be
        return f"FOREIGN {type(error).__name__} {error}"


def _use_each_way(connection: Connection, rows: list[tuple[Any, ...]], *, exact: bool) -> list[str]:
    outcomes = []
    for operation in (
        "SELECT * FROM messages",
        "SELECT * FROM messages WHERE thread_id = 'thread_1' ORDER BY created_at DESC",
        "SELECT * FROM threads",
        "UPDATE messages SET metadata = '{}' WHERE thread_id = 'thread_0' AND id = 'msg_0_1'",
        "DELETE FROM messages WHERE thread_id = 'thread_0' AND id = 'msg_0_2'",
        "INSERT INTO messages (thread_id, role, content) VALUES ('thread_2', 'user', 'x') RETURNING *",
        "DELETE FROM threads WHERE id = 'thread_1'",
    ):
        try:
            cursor = connection.execute(operation)
            found = cursor.fetchall() if cursor.description else []
        except messages_dbapi.Error as error:
            outcomes.append(type(error).__name__)
            continue
        if operation == "SELECT * FROM messages" and exact and found != rows:
            outcomes.append("WRONG")
        outcomes += ["WRONG" for row in found if not all(isinstance(value, (str, int, type(None))) for value in row)]
        outcomes.append("ok")
    return outcomes


@pytest.mark.parametrize("keep_log", [False, True], ids=["at rest", "with a log"])
def test_damage_at_random(tmp_path: Path, many: Many, keep_log: bool) -> None:
    """Every statement fails as one of ours, or gives rows; a file cut short never gives fewer."""
    whole = tmp_path / "whole.db"
    rows = _fill(whole, keep_log=keep_log)
    assert whole.with_name("whole.db-wal").exists() == keep_log
    context = multiprocessing.get_context("spawn")
    seen: list[str] = []
    for start in range(0, many(AT_ONCE, 5000), AT_ONCE):
        notes = tmp_path / f"{start}.notes"
        process = context.Process(target=try_damaged, args=(whole, range(start, start + AT_ONCE), rows, notes))
        process.start()
        process.join(PATIENCE)
        process.kill()
        lines = notes.read_text().splitlines()
        assert process.exitcode == 0, lines[-1]
        process.close()
        assert lines.pop() == "end"
        seen += lines
    wrong = [line for line in seen if "FOREIGN" in line or "WRONG" in line]
    assert wrong == []
    assert sum("ok" in line for line in seen) > 5
    assert sum("Error" in line for line in seen) > 5
