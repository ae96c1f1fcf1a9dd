"""Through SQLAlchemy and pandas a fault ends as it does below: the right answer, or the class of the same name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("pandas")

import pandas as pd  # type: ignore[import-untyped]  # its stubs are no dependency of the tests
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from messages_dbapi.errors import Error
from sqlalchemy_messages import messages

from ..front import Front, fronting
from .cells import KEY, Cell, Trap
from .kinds import KINDS, REQUEST_ID
from .places import A, B, Place, settle

_CHOSEN = (
    "400",
    "405",
    "409",
    "500",
    "429 with a fraction",
    "reset",
    "no JSON",
    "an unannounced close",
)
_NEW = [{"thread_id": B, "role": "user", "content": f"new {n}"} for n in range(4)]

Use = Callable[[Any], Any]


def _select(engine: Any) -> Any:
    with engine.connect() as connection:
        rows = connection.execute(sa.select(messages.c.id).where(messages.c.thread_id == A)).all()
        return [name for (name,) in rows]


def _frame(engine: Any) -> Any:
    with engine.connect() as connection:
        frame = pd.read_sql(sa.text(f"SELECT id FROM messages WHERE thread_id = '{A}'"), connection)
        return list(frame["id"])


def _insert(engine: Any) -> Any:
    with engine.begin() as connection:
        return connection.execute(sa.insert(messages), _NEW).rowcount


def _update(engine: Any) -> Any:
    with engine.begin() as connection:
        change = sa.update(messages).where(messages.c.thread_id == A).values(metadata={"was": "set"})
        return connection.execute(change).rowcount


def _to_sql(engine: Any) -> Any:
    with engine.begin() as connection:
        return pd.DataFrame(_NEW).to_sql("messages", connection, if_exists="append", index=False)


_IDS = [f"msg_a{n}" for n in range(5)]
# What each gives, and how many rows are written before the one that meets the fault.
USES: dict[str, tuple[Place, Use, Any, int | None]] = {
    "select": (Place("select", "read", "SELECT", 1), _select, _IDS, None),
    "read_sql": (Place("read_sql", "read", "SELECT", 1), _frame, _IDS, None),
    "insert": (Place("insert", "create", "INSERT", 2), _insert, 4, 2),
    "update": (Place("update", "change", "UPDATE", 5), _update, 5, 2),
    "to_sql": (Place("to_sql", "create", "INSERT", 2), _to_sql, 4, 2),
}


@contextmanager
def engine_on(front: Front) -> Iterator[Any]:
    """Give an engine on the front whose connection has been used."""
    settle(front)
    url = f"messages+http://:{KEY}@127.0.0.1:{front.port}/v1?page_size=2&concurrency=1&max_retries=1"
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            newest = sa.select(messages.c.id).where(messages.c.thread_id == B).order_by(messages.c.created_at.desc())
            assert connection.execute(newest.limit(1)).scalar() == "msg_b2"
        yield engine
    finally:
        engine.dispose()


@pytest.mark.parametrize("stays", [False, True], ids=["once", "always"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name in _CHOSEN], ids=lambda kind: kind.name)
@pytest.mark.parametrize("use", USES)
@pytest.mark.filterwarnings("ignore:rollback cannot undo")
def test_a_fault_below_a_client(use: str, kind: Any, stays: bool) -> None:
    place, run, result, before = USES[use]
    cell = Cell(kind, place, stays, applies=bool(kind.applies))
    with fronting() as front, engine_on(front) as engine:
        trap = Trap(cell, front)
        try:
            answer, error = run(engine), None
        except (DBAPIError, pd.errors.DatabaseError) as caught:
            # Of to_sql pandas makes an error of its own.
            answer, error = None, caught if isinstance(caught, DBAPIError) else caught.__cause__
        trap.disarm()
        if error is None:
            assert cell.end.cls is None
            assert answer == result
        else:
            _check(cell, error, before)
        assert _select(engine) == _IDS


def _check(cell: Cell, error: BaseException, before: int | None) -> None:
    end = cell.end
    assert isinstance(error, DBAPIError)
    assert isinstance(error.orig, Error)
    assert type(error.orig) is end.cls
    assert type(error).__name__ == type(error.orig).__name__
    assert (error.orig.status, error.orig.code) == (cell.kind.status, cell.kind.code)
    assert error.orig.request_id == (REQUEST_ID if cell.kind.status else None)
    assert (error.orig.applied, error.orig.outcome) == (before, end.outcome)
    assert len(error.orig.ids) == (before or 0)
    assert KEY not in f"{error!r}{error}{error.orig!r}"
