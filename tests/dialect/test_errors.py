"""Errors of the driver under SQLAlchemy's class of the same name, with the driver's text and attributes."""

from __future__ import annotations

import pytest
from sqlalchemy import exc, text
from sqlalchemy.engine import Engine

import messages_dbapi

from ..service import Service
from .conftest import Engines


@pytest.mark.parametrize(
    ("name", "statement", "said"),
    [
        ("ProgrammingError", "SELECT * FROM messages", "names no thread_id"),
        ("ProgrammingError", "SELECT * FROM messages WHERE thread_id = 'nobody'", "knows no thread 'nobody'"),
        ("ProgrammingError", "SELECT contnt FROM messages WHERE thread_id = 'x'", "did you mean content"),
        ("ProgrammingError", "SELEC 1", "syntax error"),
        ("ProgrammingError", "UPDATE messages SET metadata = NULL", "names no thread_id"),
        ("IntegrityError", "INSERT INTO messages (thread_id, role) VALUES ('x', 'user')", "content"),
        ("DataError", "INSERT INTO messages (thread_id, role, content) VALUES ('x', 'robot', 'y')", "robot"),
        ("NotSupportedError", "UPDATE messages SET role = 'user' WHERE thread_id = 'x'", "cannot be written"),
        ("NotSupportedError", "ATTACH 'x' AS y", "attach.NAME=FILE"),
    ],
)
def test_classes(service: Service, engine: Engine, name: str, statement: str, said: str) -> None:
    """Nothing is written, and the text says what to do."""
    with engine.connect() as connection, pytest.raises(getattr(exc, name)) as caught:
        connection.execute(text(statement))
    assert type(caught.value) is getattr(exc, name)
    assert isinstance(caught.value.orig, getattr(messages_dbapi, name))
    assert said in str(caught.value)
    assert [seen for seen in service.seen if seen.method != "GET"] == []


def test_what_the_service_said_is_on_the_original(engine: Engine) -> None:
    """Status and code are attributes of the driver's error."""
    with engine.connect() as connection, pytest.raises(exc.ProgrammingError) as caught:
        connection.execute(text("SELECT * FROM messages WHERE thread_id = 'nobody'"))
    assert caught.value.orig.status == 404  # type: ignore[union-attr]  # the driver's own


def test_a_wrong_key(engines: Engines) -> None:
    """The service's refusal is an OperationalError."""
    service = Service(api_key="right")
    try:
        engine = engines(service.base_url.replace("http://", "messages+http://:wrong@", 1))
        with engine.connect() as connection, pytest.raises(exc.OperationalError) as caught:
            connection.execute(text("SELECT * FROM threads"))
        assert caught.value.orig.status == 401  # type: ignore[union-attr]  # the driver's own
    finally:
        service.close()
