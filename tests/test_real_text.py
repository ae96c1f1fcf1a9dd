"""Real conversations and hostile texts: what goes in comes out, byte for byte and in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messages_dbapi import DataError, ProgrammingError
from messages_dbapi.connection import Connection
from messages_dbapi.resources import CONTENT_LENGTH

from .service import Service

CONVERSATIONS = Path(__file__).resolve().parents[2] / "shared" / "data" / "sgd-dev-001.jsonl"

INSERT = "INSERT INTO messages (thread_id, role, content, metadata) VALUES (?, ?, ?, ?)"
SELECT = "SELECT role, content_text, metadata FROM messages WHERE thread_id = ?"


def conversations() -> list[dict[str, Any]]:
    """Read the conversations, each with its messages in order."""
    return [json.loads(line) for line in CONVERSATIONS.read_text(encoding="utf-8").splitlines()]


@pytest.mark.skipif(not CONVERSATIONS.exists(), reason="the conversations are not beside this checkout")
@pytest.mark.parametrize("how", ["bound", "as literals", "many at once"])
def test_conversations_come_out_as_they_went_in(service: Service, connection: Connection, how: str) -> None:
    dialogues = conversations()
    chosen = dialogues if how == "many at once" else dialogues[:10]
    threads = {dialogue["dialogue_id"]: service.thread() for dialogue in chosen}
    rows = [
        (threads[dialogue["dialogue_id"]], message["role"], message["content"], json.dumps(message["metadata"]))
        for dialogue in chosen
        for message in dialogue["messages"]
    ]
    insert(connection, rows, how)
    for dialogue in chosen:
        expected = [(message["role"], message["content"], message["metadata"]) for message in dialogue["messages"]]
        found = connection.execute(SELECT, (threads[dialogue["dialogue_id"]],)).fetchall()
        assert [(role, text, json.loads(metadata)) for role, text, metadata in found] == expected


def insert(connection: Connection, rows: Sequence[tuple[str, ...]], how: str) -> None:
    """Insert rows in one of three ways."""
    if how == "many at once":
        assert connection.cursor().executemany(INSERT, rows).rowcount == len(rows)
        return
    for row in rows:
        if how == "bound":
            connection.execute(INSERT, row)
        else:
            connection.execute(INSERT.replace("?", "{}").format(*(quoted(value) for value in row)))


def quoted(text: str) -> str:
    """Write a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=200)


@settings(max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(text=TEXTS)
def test_any_text_comes_out_as_it_went_in(connection: Connection, text: str) -> None:
    insert = "INSERT INTO messages (thread_id, role, content) SELECT ?, 'user', {} RETURNING content_text, content"
    for sql, parameters in ((insert.format("?"), (text,)), (insert.format(quoted(text)), ())):
        thread = connection.execute("INSERT INTO threads DEFAULT VALUES").lastrowid
        ((returned, content),) = connection.execute(sql, (thread, *parameters)).fetchall()
        assert returned == text
        assert json.loads(content)[0]["text"]["value"] == text
        listed = connection.execute("SELECT content_text FROM messages WHERE thread_id = ?", (thread,))
        assert listed.fetchall() == [(text,)]


@pytest.mark.parametrize("letter", ["x", "ä", "日", "👋", "'", '"', "\\", "\n", "{"])
def test_the_longest_text_comes_out_as_it_went_in(service: Service, connection: Connection, letter: str) -> None:
    thread = service.thread()
    text = letter * CONTENT_LENGTH
    connection.execute("INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)", (thread, text))
    assert connection.execute("SELECT content_text FROM messages WHERE thread_id = ?", (thread,)).fetchone() == (text,)
    with service.counting() as seen, pytest.raises(DataError, match="256001"):
        connection.execute(
            "INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)", (thread, text + letter)
        )
    assert not seen


def test_nul_is_kept_where_it_is_bound_and_refused_in_a_statement(service: Service, connection: Connection) -> None:
    thread = service.thread()
    connection.execute("INSERT INTO messages (thread_id, role, content) VALUES (?, 'user', ?)", (thread, "a\x00b"))
    assert connection.execute("SELECT content_text FROM messages WHERE thread_id = ?", (thread,)).fetchone() == (
        "a\x00b",
    )
    with pytest.raises(ProgrammingError):
        connection.execute("SELECT 'a\x00b'")
