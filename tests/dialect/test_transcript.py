"""The readable table through Core: real timestamps, and conditions on them that the service answers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from sqlalchemy import (
    Column,
    Date,
    DateTime,
    MetaData,
    String,
    Table,
    cast,
    exc,
    extract,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.engine import Engine

from sqlalchemy_messages import messages, transcript

from ..service import Service

c = transcript.c
# The service's fixture makes messages a second apart from here on.
BEGAN = datetime(2023, 11, 14, 22, 13, 20)


@pytest.fixture
def thread(service: Service) -> str:
    """Give a thread of 257 messages, so that it takes three pages."""
    return service.thread(257)


def test_rows_are_what_people_read(engine: Engine, thread: str) -> None:
    """A datetime, the text, and labels as a dict."""
    with engine.connect() as connection:
        first = connection.execute(select(transcript).where(c.thread_id == thread)).first()
    assert first is not None
    assert (first.created, first.role, first.text, first.metadata) == (BEGAN, "user", "message 0", {})
    assert [column.name for column in transcript.columns] == list(first._fields)


@pytest.mark.parametrize(
    "moment",
    [
        BEGAN + timedelta(seconds=250),
        (BEGAN + timedelta(seconds=250)).replace(tzinfo=UTC),
        (BEGAN + timedelta(seconds=250)).replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=5, minutes=30))),
        BEGAN + timedelta(seconds=249, microseconds=1),
        str(BEGAN + timedelta(seconds=250)),
    ],
    ids=["naive", "UTC", "another zone", "microseconds", "text"],
)
@pytest.mark.parametrize("written", [False, True], ids=["bound", "written"])
def test_a_condition_on_time_is_pushed_down(
    service: Service, engine: Engine, thread: str, moment: datetime | str, written: bool
) -> None:
    """One page is read, from the newest end."""
    statement = select(c.text).where(c.thread_id == thread, c.created >= moment).order_by(c.created)
    with service.counting() as seen, engine.connect() as connection:
        if written:
            text = str(statement.compile(engine, compile_kwargs={"literal_binds": True}))
            rows = [row[0] for row in connection.exec_driver_sql(text)]
        else:
            rows = list(connection.execute(statement).scalars())
    assert rows == [f"message {n}" for n in range(250, 257)]
    assert len(seen) == 1


def test_between_equal_and_a_day(service: Service, engine: Engine, thread: str) -> None:
    """Exact to the second; a date is the text of its midnight."""
    conditions = {
        c.created == BEGAN: 1,
        c.created.between(BEGAN, BEGAN + timedelta(seconds=9)): 10,
        c.created > date(2023, 11, 14): 257,
        c.created > date(2023, 11, 15): 0,
        c.created.is_(None): 0,
        c.created.in_([BEGAN, BEGAN + timedelta(seconds=256)]): 2,
    }
    with engine.connect() as connection:
        for condition, expected in conditions.items():
            count = select(func.count()).select_from(transcript).where(c.thread_id == thread, condition)
            assert connection.execute(count).scalar() == expected, condition


def test_the_newest(service: Service, engine: Engine, thread: str) -> None:
    """Ordered and limited by the service."""
    statement = select(c.created, c.text).where(c.thread_id == thread).order_by(c.created.desc()).limit(2)
    with service.counting() as seen, engine.connect() as connection:
        rows = connection.execute(statement).fetchall()
    assert [row.text for row in rows] == ["message 256", "message 255"]
    assert rows[0].created == BEGAN + timedelta(seconds=256)
    assert [(request.query["order"], request.query["limit"]) for request in seen] == [("desc", "2")]


def test_messages_a_day(engine: Engine, thread: str) -> None:
    """Grouped by what Core has for the day, the year and the hour."""
    day, year = cast(c.created, Date), extract("year", c.created)
    statement = select(day, year, func.strftime("%H", c.created), func.count()).where(c.thread_id == thread)
    with engine.connect() as connection:
        rows = connection.execute(statement.group_by(day)).fetchall()
    assert rows == [(date(2023, 11, 14), 2023, "22", 257)]


def test_joins_with_messages(engine: Engine, thread: str) -> None:
    """By the key that both have."""
    both = (messages.c.thread_id == c.thread_id) & (messages.c.id == c.id)
    statement = select(c.created, messages.c.created_at).where(both, c.thread_id == thread).limit(3)
    with engine.connect() as connection:
        for created, created_at in connection.execute(statement):
            assert created.replace(tzinfo=UTC).timestamp() == created_at


def test_the_newest_time_is_a_timestamp(engine: Engine, thread: str) -> None:
    """A function keeps the type."""
    with engine.connect() as connection:
        newest = connection.execute(select(func.max(c.created)).where(c.thread_id == thread)).scalar()
        written = connection.execute(select(literal(BEGAN, c.created.type))).scalar()
    assert newest == BEGAN + timedelta(seconds=256)
    assert written == BEGAN


def test_a_table_of_ones_own(engine: Engine, thread: str) -> None:
    """With SQLAlchemy's types, and without any."""
    at = datetime(2023, 11, 14, 22, 13, 20)
    own = Table("transcript", MetaData(), Column("thread_id", String), Column("created", DateTime))
    with engine.connect() as connection:
        assert connection.execute(select(own.c.created).where(own.c.thread_id == thread)).scalars().first() == at
        assert connection.execute(text(f"SELECT created FROM transcript WHERE thread_id = '{thread}'")).scalar() == at
        newest = select(func.max(own.c.created)).where(own.c.thread_id == thread)
        assert connection.execute(newest).scalar() == at + timedelta(seconds=256)


def test_it_is_read_only(service: Service, engine: Engine, thread: str) -> None:
    """Refused before anything is sent, with the table to write to."""
    with engine.connect() as connection, pytest.raises(exc.NotSupportedError, match=r"write to openai\.assistants"):
        connection.execute(insert(transcript).values(thread_id=thread, role="user", text="x"))
    assert service.seen == []
