"""Connections of an engine: what they share, how they are given back, and when they are no longer good."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, exc, func, insert, select, text
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool, QueuePool

import messages_dbapi
from sqlalchemy_messages import messages, threads

from ..service import Service
from .conftest import Engines

local = Table("numbers", MetaData(), Column("n", Integer, primary_key=True))


def test_connections_share_what_is_in_memory(engines: Engines) -> None:
    """One embedded service and one main for an engine; another engine has others."""
    engine, other = engines("messages://"), engines("messages://")
    local.create(engine)
    with engine.connect() as first, engine.connect() as second:
        first.execute(insert(threads))
        first.execute(insert(local), {"n": 1})
        assert second.execute(select(func.count()).select_from(threads)).scalar() == 1
        assert second.execute(select(func.count()).select_from(local)).scalar() == 0, "not committed yet"
        first.commit()
        assert second.execute(select(local.c.n)).scalar() == 1
    with other.connect() as connection:
        assert connection.execute(select(func.count()).select_from(threads)).scalar() == 0
        with pytest.raises(exc.ProgrammingError, match="no such table: numbers"):
            connection.execute(select(local))


def test_main_is_shared_beside_a_remote_service(engines: Engines, url: str) -> None:
    """Local tables in memory belong to the engine, whatever the service is."""
    engine = engines(url)
    local.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(local), [{"n": 1}, {"n": 2}])
    with engine.connect() as first, engine.connect() as second:
        assert first.execute(select(func.count()).select_from(local)).scalar() == 2
        assert second.execute(select(func.count()).select_from(local)).scalar() == 2


def test_it_outlives_the_pool(engines: Engines) -> None:
    """As long as the engine is there, also where no connection is."""
    engine = engines("messages://", poolclass=NullPool)
    local.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(threads))
    engine.dispose()
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(threads)).scalar() == 1
        assert connection.execute(select(func.count()).select_from(local)).scalar() == 0


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """The file of shared local tables goes with the engine, or with the process."""
    program = (
        "import sys, sqlalchemy as sa\n"
        "kept, dropped = (sa.create_engine('messages://') for _ in range(2))\n"
        "for engine in (kept, dropped):\n"
        "    with engine.connect() as connection: connection.execute(sa.text('CREATE TABLE x (y)'))\n"
        "    engine.dispose()\n"
        "del engine, dropped, connection\n"
        "import gc, os, tempfile; gc.collect()\n"
        "assert len(os.listdir(tempfile.gettempdir())) == 1\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_child_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder belongs to the process that made it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shared = messages_dbapi.Shared()
    file = Path(shared.main())
    child = os.fork()
    if child == 0:
        del shared
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert file.exists()


def test_no_folder_for_temporary_files(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that says what to do."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(exc.OperationalError, match="local=FILE"):
        engines("messages://").connect()


@pytest.mark.parametrize("where", ["messages://", "messages:///store.db", "messages://example.com/v1"])
def test_the_pool_is_a_queue(engines: Engines, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of URL bears several connections."""
    monkeypatch.chdir(tmp_path)
    assert isinstance(engines(where).pool, QueuePool)


def test_eight_threads(engines: Engines) -> None:
    """Each with connections of its own, on one service in memory."""
    engine = engines("messages://", pool_size=8)
    with engine.begin() as connection:
        key: Any = connection.execute(insert(threads)).inserted_primary_key
        thread_id = key[0]
    local.create(engine)

    def work(number: int) -> None:
        for step in range(5):
            with engine.begin() as connection:
                content = f"{number} {step}"
                connection.execute(insert(messages).values(thread_id=thread_id, role="user", content=content))
                connection.execute(insert(local).values(n=number * 5 + step))

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(work, range(8)))
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(messages)).scalar() == 40
        assert connection.execute(select(func.count()).select_from(local)).scalar() == 40


def test_giving_back_warns_of_nothing(engine: Engine, thread: str) -> None:
    """A block that is left without a commit, and a pool's reset; what was written stands."""
    statement = insert(messages).values(thread_id=thread, role="user", content="x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with engine.connect() as connection:
            connection.execute(statement)
        raw = engine.raw_connection()
        raw.cursor().execute("INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', 'y')", (thread,))
        raw.close()
    with engine.connect() as connection:
        count = select(func.count()).select_from(messages).where(messages.c.thread_id == thread)
        assert connection.execute(count).scalar() == 103


def test_a_rollback_that_was_asked_for_warns(engine: Engine, thread: str) -> None:
    """The service's writes cannot be undone, and whoever asks must know."""
    statement = insert(messages).values(thread_id=thread, role="user", content="x")
    with engine.connect() as connection:
        connection.execute(statement)
        with pytest.warns(messages_dbapi.Warning, match="cannot undo the 1 row"):
            connection.rollback()
        transaction = connection.begin()
        connection.execute(statement)
        with pytest.warns(messages_dbapi.Warning, match="cannot undo the 1 row"):
            transaction.rollback()


def test_a_nested_transaction_that_is_rolled_back_warns(engine: Engine, thread: str) -> None:
    """As the whole does."""
    with engine.connect() as connection:
        nested = connection.begin_nested()
        connection.execute(insert(messages).values(thread_id=thread, role="user", content="x"))
        with pytest.warns(messages_dbapi.Warning, match="cannot undo the 1 row"):
            nested.rollback()
        connection.commit()


def test_local_tables_have_transactions(engines: Engines) -> None:
    """Rolled back, committed, and in parts by savepoints."""
    engine = engines("messages://")
    local.create(engine)
    with engine.connect() as connection:
        connection.execute(insert(local).values(n=1))
        connection.rollback()
        assert connection.execute(select(local)).fetchall() == []
        outer = connection.begin_nested() if connection.in_transaction() else connection.begin()
        connection.execute(insert(local).values(n=2))
        inner = connection.begin_nested()
        connection.execute(insert(local).values(n=3))
        inner.rollback()
        outer.commit()
        connection.rollback()
        assert connection.execute(select(local)).fetchall() == []
    with engine.begin() as connection, connection.begin_nested():
        connection.execute(insert(local).values(n=4))
    with engine.connect() as connection:
        assert connection.execute(select(local.c.n)).fetchall() == [(4,)]


def test_autocommit_is_an_isolation_level(engines: Engines) -> None:
    """Each statement stands for itself, and the next user of the connection has transactions again."""
    engine = engines("messages://", pool_size=1, max_overflow=0)
    local.create(engine)
    with engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        assert connection.get_isolation_level() == "AUTOCOMMIT"
        connection.execute(insert(local).values(n=1))
    with engine.connect() as connection:
        assert connection.get_isolation_level() == "SERIALIZABLE"
        connection.execute(insert(local).values(n=2))
    with engine.connect() as connection:
        assert connection.execute(select(local.c.n)).fetchall() == [(1,)]


def test_liveness_makes_no_request(engines: Engines, service: Service, url: str) -> None:
    """A connection that is closed is replaced; one that is good costs nothing to ask."""
    engine = engines(url, pool_pre_ping=True, pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        connection.connection.dbapi_connection.close()  # type: ignore[union-attr]  # the driver's own
    with service.counting() as seen, engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    assert seen == []


def test_a_fault_of_the_service_is_no_disconnect(engines: Engines, service: Service, url: str) -> None:
    """The connection stays good, and the pool full."""
    engine = engines(url, pool_size=1, max_overflow=0, connect_args={"max_retries": 0})
    with engine.connect() as connection:
        kept = connection.connection.dbapi_connection
        service.close()
        with pytest.raises(exc.OperationalError) as caught:
            connection.execute(text("SELECT * FROM threads"))
        assert not caught.value.connection_invalidated
        assert connection.connection.dbapi_connection is kept
        kept.close()  # type: ignore[union-attr]  # the driver's own
        with pytest.raises(exc.InterfaceError, match="the connection is closed") as closed:
            connection.execute(text("SELECT 1"))
        assert closed.value.connection_invalidated


def test_check_is_within_reach(engine: Engine) -> None:
    """The driver's own connection is there for what SQL has no words for."""
    with engine.connect() as connection:
        assert connection.connection.dbapi_connection.check().reached  # type: ignore[union-attr]  # the driver's own
