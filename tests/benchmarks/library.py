"""The messages that are measured with, and the service that holds them, in a process of its own."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from messages_dbapi.embedded.documents import Draft
from messages_dbapi.embedded.store import Store

LISTED = "thread_listed"
STREAMED = "thread_streamed"
WRITTEN = tuple(f"thread_written_{number}" for number in range(20))
# How many times longer than the listed thread the streamed one is.
STREAMED_TIMES = 10

_FIRST = 1_700_000_000
_BATCH = 1_000
_PLAIN = (
    "please book a table near the station for six people tonight and tell me whether the train is late, "
    'confirm with\nmy colleague first; the "reservation" number is 4711 and the price must stay under 80'
)
_FOREIGN = "Zürich café Größe “seven” — naïve € 東京 大阪 🙂"


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


def fill(path: Path, messages: int) -> None:
    """Write a store file: a thread of so many messages, a longer one to stream, some to write to."""
    with Store(path) as store:
        for thread, count in ((LISTED, messages), (STREAMED, messages * STREAMED_TIMES)):
            store.add_thread(thread_id=thread)
            for first in range(0, count, _BATCH):
                store.add_messages(thread, map(draft, range(first, min(first + _BATCH, count))))
        for thread in WRITTEN:
            store.add_thread(thread_id=thread)


@contextmanager
def served(path: Path) -> Iterator[str]:
    """Serve a store file from another process, whose time is not ours, and give the base URL."""
    command = [sys.executable, "-m", "messages_dbapi", "serve", "--store", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            base_url = process.stdout.readline().strip()
            if not base_url:
                raise RuntimeError("the service did not start")
            yield base_url
        finally:
            process.terminate()
