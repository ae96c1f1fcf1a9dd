"""Fixtures: the messages that Superset is to show, the service that has them, and Superset itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import messages_dbapi
from messages_dbapi.embedded.store import Draft, Store

from .server import Superset, serve_messages, serve_superset, set_up

# What a URL must escape is in it.
KEY = "sk-of:this/test@only"
THREADS = ("thread_parcel", "thread_lisbon")
_START = 1_764_547_200  # 2025-12-01 00:00 UTC, a Monday


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a Superset that is set up."""
    folder = tmp_path_factory.mktemp("superset")
    set_up(folder)
    return folder


@pytest.fixture(scope="session")
def url(folder: Path) -> Iterator[str]:
    """Serve two threads of messages over ten weeks, and give the driver's URL without a thread."""
    with Store(str(folder / "messages.db")) as store:
        for n, thread_id in enumerate(THREADS):
            store.add_thread(thread_id=thread_id, messages=_drafts(n), created_at=_START)
    with serve_messages(folder / "messages.db", KEY) as base_url:
        yield base_url.replace("http://", f"messages+http://:{quote(KEY, safe='')}@")


def _drafts(n: int) -> Iterator[Draft]:
    for i in range(80):
        yield Draft(
            role="assistant" if i % 3 else "user",
            content=f"It's {i} % of 100, isn't it?",
            created_at=_START + i * 75_000 + n * 1_800,
            metadata={"topic": ("parcel", "travel")[n], "a.b": str(i % 2)},
            run_id=None if i % 3 == 0 else f"run_{i % 4}",
        )


@pytest.fixture(scope="session")
def scoped_url(url: str) -> str:
    """Give the URL with both threads as its default."""
    return f"{url}?" + "&".join(f"thread_id={thread_id}" for thread_id in THREADS)


@pytest.fixture(scope="session")
def superset(folder: Path, url: str) -> Iterator[Superset]:
    """Serve Superset, in an environment that has a key."""
    with serve_superset(folder, {"OPENAI_API_KEY": "sk-of-the-server"}) as superset:
        yield superset


@pytest.fixture(scope="session")
def database(superset: Superset, scoped_url: str) -> int:
    """Give the id of the database."""
    return add_database(superset, "messages", scoped_url, allow_dml=True)


def add_database(superset: Superset, name: str, url: str, **properties: Any) -> int:
    """Add a database to Superset."""
    body = {"database_name": name, "sqlalchemy_uri": url, "expose_in_sqllab": True, **properties}
    number: int = superset.post("/api/v1/database/", body)["id"]
    return number


@pytest.fixture(scope="session")
def connection(scoped_url: str) -> Iterator[messages_dbapi.Connection]:
    """Connect by the driver, whose answers Superset's are compared with."""
    with messages_dbapi.connect(scoped_url) as connection:
        yield connection
