"""The messages that are measured with, and the service that holds them, in a process of its own."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from messages_dbapi.embedded.documents import Draft
from messages_dbapi.embedded.store import Store

LISTED = "thread_listed"
STREAMED = "thread_streamed"
WRITTEN = "thread_written"
CHANGED = "thread_changed"
# Of the thread that is changed: all its messages, and those that the predicate finds.
CHANGED_MESSAGES, FOUND_MESSAGES = 257, 113
# How many times longer than the listed thread the streamed one is.
STREAMED_TIMES = 10
PAGE = 100
# Lengths of the threads of the plot, where they are shorter than the listed one.
LENGTHS = (100, 300, 1_000, 3_000)

_FIRST = 1_700_000_000
_BATCH = 1_000
_PLAIN = (
    "please book a table near the station for six people tonight and tell me whether the train is late, "
    'confirm with\nmy colleague first; the "reservation" number is 4711 and the price must stay under 80'
)
_FOREIGN = "Zürich café Größe “seven” — naïve € 東京 大阪 🙂"


class Urls(NamedTuple):
    """Where the service is reached: without delay, and with the latency."""

    near: str
    far: str


def draft(place: int) -> Draft:
    """Make the message of a place: 250 to 500 characters, one text in three not ASCII, two speakers, labels, runs."""
    chance = random.Random(place)
    words = _PLAIN if place % 3 else f"{_PLAIN} {_FOREIGN}"
    said = " ".join(chance.choices(words.split(" "), k=chance.randint(45, 90)))
    answered = place % 2 == 1
    return Draft(
        content=said,
        role="assistant" if answered else "user",
        metadata={"topic": chance.choice(("travel", "food", "größe")), "turn": str(place)},
        created_at=_FIRST + place,
        run_id=f"run_{place // 2:024d}" if answered else None,
        assistant_id="asst_abcdefghijklmnopqrstuvwx" if answered else None,
        completed_at=_FIRST + place + 1 if answered else None,
    )


def several(messages: int) -> list[str]:
    """Name the threads of one page each that together have as many messages as the listed thread."""
    return [f"thread_several_{number}" for number in range(max(messages // PAGE, 2))]


def of_length(length: int) -> str:
    """Name a thread of the plot."""
    return f"thread_of_{length}"


def fill(path: Path, messages: int) -> None:
    """Write a store file with all the threads."""
    lengths = {of_length(length): length for length in LENGTHS if length < messages}
    with Store(path) as store:
        for thread, count in {LISTED: messages, STREAMED: messages * STREAMED_TIMES, WRITTEN: 0, **lengths}.items():
            store.add_thread(thread_id=thread)
            for first in range(0, count, _BATCH):
                store.add_messages(thread, map(draft, range(first, min(first + _BATCH, count))))
        for thread in several(messages):
            store.add_thread(thread_id=thread, messages=map(draft, range(PAGE)))
        store.add_thread(thread_id=CHANGED, messages=map(_changed, range(CHANGED_MESSAGES)))


def _changed(place: int) -> Draft:
    return Draft(
        content="a message to change",
        role="assistant" if place % 2 and place < 2 * FOUND_MESSAGES else "user",
        created_at=_FIRST + place,
    )


@contextmanager
def served(path: Path, latency: int, form: str) -> Iterator[Urls]:
    """Serve a store file from another process, whose time is not ours, with so many milliseconds of latency."""
    command = [sys.executable, "-m", "tests.benchmarks.service", str(path), str(latency), form]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline().strip() for _ in Urls._fields]
            if not all(lines):
                raise RuntimeError("the service did not start")
            yield Urls(*lines)
        finally:
            # Its end is the end of its input, so that it also ends when this process is killed.
            process.stdin.close()
