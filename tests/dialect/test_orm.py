"""The ORM: what an object knows after flush, and how many requests each step makes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import delete, exc, inspect, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session

from sqlalchemy_messages import Message, Thread

from ..service import Service


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """Give a session on the service."""
    with Session(engine, future=True) as session:
        yield session


def methods(service: Service) -> list[str]:
    """Give the methods of the requests so far, and forget them."""
    found = [seen.method for seen in service.seen]
    service.seen.clear()
    return found


def test_an_object_knows_itself_after_flush(service: Service, session: Session) -> None:
    """The id, the time, the status and the text come with the INSERT."""
    thread = Thread(metadata={"topic": "travel"})
    session.add(thread)
    session.flush()
    message = Message(thread_id=thread.id, role="user", content="Where is it?", metadata={"k": "v"})
    session.add(message)
    session.flush()
    assert methods(service) == ["POST", "POST"]
    assert message.id.startswith("msg_")
    assert message.created_at >= thread.created_at > 0
    assert (message.status, message.object, message.content_text) == ("completed", "thread.message", "Where is it?")
    assert (message.run_id, message.completed_at is None or isinstance(message.completed_at, int)) == (None, True)
    session.commit()
    assert methods(service) == []


def test_what_was_left_out_is_there_after_flush(service: Service, session: Session) -> None:
    """Empty labels and attachments, as the service keeps them, so that an entry can be set."""
    message = Message(thread_id=service.thread(), role="user", content="x")
    thread = Thread()
    session.add_all([message, thread])
    session.flush()
    assert (message.metadata, message.attachments, thread.metadata, thread.tool_resources) == ({}, [], {}, {})
    assert message.metadata is not None
    message.metadata["state"] = "solved"
    session.flush()
    assert methods(service) == ["POST", "POST", "POST"]


def test_an_object_shows_itself_without_asking(service: Service, session: Session) -> None:
    """New, expired and detached: a log line makes no request, and never fails."""
    message = Message(thread_id=service.thread(), role="user", content="x")
    assert repr(message) == "<Message None of None>"
    session.add(message)
    session.commit()
    service.seen.clear()
    shown = repr(message)
    session.close()
    assert shown == repr(message) == f"<Message {inspect(message).identity[1]} of {inspect(message).identity[0]}>"
    assert repr(Thread()) == "<Thread None>"
    assert service.seen == []


def test_get_refresh_update_delete_are_one_request_each(service: Service, session: Session) -> None:
    """By the primary key of thread and message."""
    thread = service.thread(3)
    first = session.execute(select(Message).where(Message.thread_id == thread)).scalars().first()
    assert first is not None
    key = (thread, first.id)
    session.close()
    service.seen.clear()
    message = session.get(Message, key)
    assert message is not None
    assert methods(service) == ["GET"]
    session.refresh(message)
    assert methods(service) == ["GET"]
    message.metadata = {"state": "solved"}
    session.flush()
    assert methods(service) == ["POST"]
    assert message.metadata is not None
    message.metadata["by"] = "me"
    session.flush()
    assert methods(service) == ["POST"]
    session.delete(message)
    session.flush()
    assert methods(service) == ["DELETE"]
    session.commit()
    assert session.get(Message, key) is None
    assert session.get(Message, (thread, "nobody")) is None


def test_many_objects_keep_their_order(service: Service, session: Session) -> None:
    """A request each, and rows in the order in which they were added."""
    thread = service.thread()
    added = [Message(thread_id=thread, role="user", content=f"{n}") for n in range(12)]
    session.add_all(added)
    session.commit()
    assert methods(service) == ["POST"] * 12
    read = session.execute(select(Message).where(Message.thread_id == thread)).scalars().all()
    assert read == added
    assert [message.content_text for message in read] == [f"{n}" for n in range(12)]
    assert methods(service) == ["GET"]


def test_update_and_delete_by_condition(service: Service, session: Session) -> None:
    """With true counts; objects of the session follow."""
    thread = service.thread(5)
    kept = session.execute(select(Message).where(Message.thread_id == thread)).scalars().all()
    of_thread = Message.thread_id == thread
    values = update(Message).where(of_thread, Message.created_at > kept[2].created_at).values(metadata={"a": "b"})
    result = session.execute(values)
    assert result.rowcount == 2  # type: ignore[attr-defined]  # a write's result
    assert [message.metadata for message in kept] == [{}, {}, {}, {"a": "b"}, {"a": "b"}]
    removed = session.execute(delete(Message).where(of_thread, Message.created_at <= kept[2].created_at))
    assert removed.rowcount == 3  # type: ignore[attr-defined]  # a write's result
    session.commit()
    assert len(session.execute(select(Message).where(of_thread)).scalars().all()) == 2


@pytest.mark.parametrize("value", ["changed", "", 0, None])
@pytest.mark.parametrize("attribute", ["role", "content", "created_at", "content_text"])
def test_a_read_only_attribute(service: Service, session: Session, attribute: str, value: object) -> None:
    """Refused before anything is sent, also where the flush has something else to send."""
    thread = service.thread(1)
    message = session.execute(select(Message).where(Message.thread_id == thread)).scalars().one()
    service.seen.clear()
    session.add(Message(thread_id=thread, role="user", content="another"))
    setattr(message, attribute, value)
    with pytest.raises(exc.NotSupportedError, match=f"column {attribute}"):
        session.flush()
    assert methods(service) == []


@pytest.mark.parametrize("attribute", ["id", "thread_id"])
def test_a_part_of_the_key(service: Service, session: Session, attribute: str) -> None:
    """Is read-only like the rest."""
    thread = service.thread(1)
    message = session.execute(select(Message).where(Message.thread_id == thread)).scalars().one()
    service.seen.clear()
    setattr(message, attribute, "changed")
    with pytest.raises(exc.NotSupportedError, match=f"column {attribute}"):
        session.flush()
    assert methods(service) == []


@pytest.mark.parametrize("value", [5, 0])
def test_a_new_object_with_a_read_only_attribute(service: Service, session: Session, value: int) -> None:
    """The service gives such values; asking for another is an error, and nothing is sent."""
    thread = service.thread()
    session.add_all(
        [
            Message(thread_id=thread, role="user", content="fine"),
            Message(thread_id=thread, role="user", content="not fine", created_at=value),
        ]
    )
    with pytest.raises(exc.NotSupportedError, match="column created_at"):
        session.flush()
    assert methods(service) == []


def test_a_missing_attribute(service: Service, session: Session) -> None:
    """A message without a role is an IntegrityError, as in any database."""
    session.add(Message(thread_id=service.thread(), content="x"))
    with pytest.raises(exc.IntegrityError, match="role"):
        session.flush()
    assert methods(service) == []


def test_an_unknown_attribute_is_a_type_error() -> None:
    """As with every mapped class."""
    with pytest.raises(TypeError, match="contnt"):
        Message(contnt="x")


def test_automap_finds_classes(service: Service, engine: Engine) -> None:
    """By reflection alone, which makes no request."""
    base = automap_base()
    base.prepare(autoload_with=engine, schema="openai.assistants")
    assert service.seen == []
    assert {"messages", "threads"} <= set(base.classes.keys())
    thread = service.thread(1)
    with Session(engine, future=True) as session:
        message = base.classes.messages(thread_id=thread, role="user", content="x")
        session.add(message)
        session.commit()
        assert message.id.startswith("msg_")
        assert inspect(type(message)).primary_key[0].name == "thread_id"
