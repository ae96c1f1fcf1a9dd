"""A few sample threads, and the resource's statements at work on them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count, islice
from typing import NamedTuple, TextIO

from .client import Client
from .connection import Connection
from .cursor import Cursor
from .destination import url_of_store
from .embedded.app import Application
from .embedded.store import Draft, Store
from .embedded.transport import EmbeddedAdapter
from .errors import InterfaceError
from .options import resolve
from .printing import Result, print_table


class _Said(NamedTuple):
    at: str
    role: str
    text: str


class _Sample(NamedTuple):
    name: str
    metadata: dict[str, str]
    said: tuple[_Said, ...]


_SAMPLES = (
    _Sample(
        "parcel",
        {"topic": "support", "language": "en"},
        (
            _Said("2026-03-02 09:14", "user", "Hello, my parcel was due on Friday and tracking shows nothing."),
            _Said("2026-03-02 09:14", "assistant", "Sorry about that. Which order? It begins with two letters."),
            _Said("2026-03-02 09:16", "user", "KB 40718, two bicycle lamps."),
            _Said(
                "2026-03-02 09:17",
                "assistant",
                "Found it:\nthe label was unreadable, so it went back to the depot.\nIt leaves again tonight.",
            ),
            _Said("2026-03-04 18:40", "user", "They are here, and they are bright. Thank you!"),
        ),
    ),
    _Sample(
        "lisbon",
        {"topic": "travel", "language": "en"},
        (
            _Said("2026-03-02 20:05", "user", "Three days in Lisbon in May, with a child of six. Where do we start?"),
            _Said("2026-03-02 20:06", "assistant", "With the ferry to Cacilhas: ten minutes, and the best view of it."),
            _Said("2026-03-03 07:52", "user", "And if it rains?"),
            _Said("2026-03-03 07:53", "assistant", "The Oceanário. Go at ten, before the schools do."),
        ),
    ),
    _Sample(
        "risotto",
        {"topic": "cooking", "language": "it"},
        (
            _Said("2026-03-03 19:31", "user", "Il risotto è già cotto ma troppo liquido. Che faccio?"),
            _Said(
                "2026-03-03 19:31", "assistant", "Fuoco alto per un minuto, poi spegni: burro, parmigiano, coperchio."
            ),
            _Said("2026-03-03 19:44", "user", "Salvato! 🍚 Perfetto."),
        ),
    ),
)
_CLOCK_STARTS = "2026-03-04 19:00"


class _Step(NamedTuple):
    """A statement, what it shows, and how many of its rows are printed; ``{created}`` is the message it made."""

    title: str
    sql: str
    shown: int = 20


_STEPS = (
    _Step(
        "All 14 columns of the messages of a thread",
        """\
SELECT id, assistant_id, attachments, completed_at, content, created_at,
       incomplete_at, incomplete_details, metadata, object, role, run_id,
       status, thread_id
FROM openai.assistants.messages WHERE thread_id = 'thread_parcel';""",
        shown=1,
    ),
    _Step(
        "What was said in it",
        """\
SELECT strftime('%H:%M', created_at, 'unixepoch') AS time, role, content_text
FROM openai.assistants.messages WHERE thread_id = 'thread_parcel';""",
    ),
    _Step(
        "INSERT creates a message",
        """\
/*+ create */
INSERT INTO openai.assistants.messages
  (data__role, data__content, data__metadata, thread_id)
SELECT 'user', 'And the 28 tram: worth the queue?', '{{"channel": "phone"}}',
       'thread_lisbon' ;""",
    ),
    _Step(
        "UPDATE replaces its labels",
        """\
/*+ update */
UPDATE openai.assistants.messages
SET metadata = '{{"channel": "desk"}}'
WHERE message_id = '{created}'
  AND thread_id = 'thread_lisbon';""",
    ),
    _Step(
        "The newest messages, whatever their thread",
        """\
SELECT thread_id, role, metadata, content_text
FROM openai.assistants.messages ORDER BY created_at DESC LIMIT 4;""",
    ),
    _Step(
        "Messages by day, with what is known of their threads",
        """\
SELECT date(m.created_at, 'unixepoch') AS day,
       t.metadata ->> 'topic' AS topic, count(*) AS messages,
       sum(m.role = 'user') AS asked, max(length(content_text)) AS longest
FROM openai.assistants.messages m
JOIN openai.assistants.threads t ON t.id = m.thread_id
GROUP BY day, topic ORDER BY day, topic;""",
    ),
    _Step(
        "DELETE removes the message again",
        """\
/*+ delete */
DELETE FROM openai.assistants.messages
WHERE message_id = '{created}'
  AND thread_id = 'thread_lisbon';""",
    ),
)


def show(stream: TextIO, width: int, file: str | None = None) -> None:
    """Run the statements on the samples and print each with its answer, for lines of ``width``.

    The samples are kept in ``file``, a new one, or in memory. Raise InterfaceError for a file that is
    there already.
    """
    if file is not None and os.path.exists(file):
        raise InterfaceError(f"{file} is there already: name a new file for the samples")
    started = int(_time(_CLOCK_STARTS))
    # A clock of its own: what the demonstration shows does not depend on the day it is run.
    store = Store(file, clock=map(float, count(started, 30)).__next__)
    _fill(store)
    options = resolve("messages://", {}, {})
    with Connection(options, Client(options, EmbeddedAdapter(Application(store))), store) as connection:
        _run(connection, stream, width)
    stream.write(_farewell(file))


def _fill(store: Store) -> None:
    for sample in _SAMPLES:
        drafts = [_draft(sample.name, number, said) for number, said in enumerate(sample.said, 1)]
        store.add_thread(
            thread_id=f"thread_{sample.name}",
            metadata=sample.metadata,
            created_at=drafts[0].created_at,
            messages=drafts,
        )


def _draft(name: str, number: int, said: _Said) -> Draft:
    answered = said.role == "assistant"
    return Draft(
        id=f"msg_{name}_{number}",
        content=said.text,
        role=said.role,
        created_at=_time(said.at),
        completed_at=_time(said.at) if answered else None,
        assistant_id="asst_helpdesk" if answered else None,
        run_id=f"run_{name}_{number}" if answered else None,
        metadata={} if answered else {"channel": "web"},
    )


def _time(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def _run(connection: Connection, stream: TextIO, width: int) -> None:
    created: str | int | None = None
    for number, step in enumerate(_STEPS, 1):
        sql = step.sql.format(created=created)
        stream.write(f"-- {number}. {step.title}\n{sql}\n\n")
        with connection.execute(sql) as cursor:
            created = cursor.lastrowid or created
            connection.commit()  # else a closed pipe would end in a warning that the writes stay
            stream.write(_answer(cursor, step.shown, stream, width))


def _answer(cursor: Cursor, shown: int, stream: TextIO, width: int) -> str:
    """Print the rows of a statement, if it has any, and say how many there are."""
    if cursor.description is None:
        made = f", id {cursor.lastrowid}" if cursor.lastrowid else ""
        return f"({_rows(cursor.rowcount)}{made})\n\n"
    rows = cursor.fetchall()
    print_table(Result(cursor.description, islice(rows, shown)), stream, width)
    only = "" if len(rows) <= shown else f", {shown} of them shown"
    return f"({_rows(len(rows))}{only})\n\n"


def _rows(number: int) -> str:
    return f"{number} row" + ("" if number == 1 else "s")


def _command() -> str:
    """Give the command as it was called, so that what is proposed can be copied."""
    called = sys.argv[0]
    return called if os.path.basename(called).startswith("messages-sql") else "messages-sql"


def _farewell(file: str | None) -> str:
    command = _command()
    lines: Iterable[str] = (
        f'  {command} {url_of_store(file or "demo.db")} -c "SELECT role, content_text FROM messages"',
        f"  {command} serve --store {file or 'demo.db'}",
    )
    if file is None:
        lines = (f"  {command} demo --store demo.db", *lines)
    return "\n".join(("Try your own, on these threads kept in a file:", *lines)) + "\n"
